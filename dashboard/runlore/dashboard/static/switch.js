// Dark and light: the system's preference, until the visitor chooses.
const dark = matchMedia("(prefers-color-scheme: dark)");

export const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : dark.matches;
};

const store = (theme) => {
  try {
    localStorage.setItem("runlore-theme", theme);
  } catch {
    // Storage may be forbidden: the choice is for this page only.
  }
};

export function themeSwitch() {
  const button = document.querySelector("[data-theme-switch]");
  if (!button) return;
  const showLabel = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  const changed = () => {
    showLabel();
    document.dispatchEvent(new Event("theme"));
  };
  button.hidden = false;
  showLabel();
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    store(theme);
    changed();
  });
  dark.addEventListener("change", changed);
}
