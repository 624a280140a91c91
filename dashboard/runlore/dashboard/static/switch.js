// Dark and light: what the system prefers, until the visitor says otherwise.
const dark = matchMedia("(prefers-color-scheme: dark)");

export const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : dark.matches;
};

export function themeSwitch() {
  const button = document.querySelector("[data-theme-switch]");
  if (!button) return;
  const label = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  const changed = () => { label(); document.dispatchEvent(new Event("theme")); };
  button.hidden = false;
  label();
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("runlore-theme", theme); } catch { /* then for this page only */ }
    changed();
  });
  dark.addEventListener("change", changed);
}
