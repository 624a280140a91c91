// Rows chosen for comparing: how many, and a button that does nothing with none.
export const chosen = (form) => form.querySelectorAll("input[name=ref]:checked").length;

export function selection() {
  const form = document.querySelector("[data-selection]");
  if (!form) return;
  const count = form.querySelector("[data-count]");
  const button = form.querySelector("button.primary");
  const show = () => {
    const many = chosen(form);
    count.textContent = many ? `${many} selected` : "select rows, or press x";
    button.disabled = many === 0;
  };
  form.addEventListener("change", show);
  document.addEventListener("refreshed", show);
  addEventListener("pageshow", show); // Back restores the boxes
  show();
}
