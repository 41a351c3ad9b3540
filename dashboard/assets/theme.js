// Applies the chosen theme before the first paint; without a choice the system's holds.
(() => {
  try {
    const theme = localStorage.getItem("infra-watch-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // A browser that keeps nothing gets the system's theme.
  }
})();
