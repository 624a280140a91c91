// Loaded before the page is drawn, so that a stored theme does not flash.
try {
  const theme = localStorage.getItem("runlore-theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden: the system's preference decides.
}
document.documentElement.classList.add("js");
