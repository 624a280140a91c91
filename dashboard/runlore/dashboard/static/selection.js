// Rows selected for a comparison: their number, and a button that is disabled without any.
export function rowSelection() {
  const form = document.querySelector("[data-selection]");
  if (!form) return;
  const count = form.querySelector("[data-count]");
  const button = form.querySelector("button.primary");
  const show = () => {
    const selected = form.querySelectorAll("input[name=ref]:checked").length;
    count.textContent = selected ? `${selected} selected` : "select rows, or press x";
    button.disabled = selected === 0;
  };
  form.addEventListener("change", show);
  document.addEventListener("refreshed", show);
  addEventListener("pageshow", show); // going back restores the boxes
  show();
}
