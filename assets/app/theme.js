// Runs before anything is painted: dark unless this browser chose light. A reading room is dark.
(() => {
  let kept = null;
  try { kept = localStorage.getItem("interval.theme"); } catch { /* private mode keeps nothing */ }
  document.documentElement.dataset.theme = kept === "light" ? "light" : "dark";
})();
