// Runs before anything is painted: dark unless this browser chose light. A reading room is dark.
(() => {
  let kept = null;
  try { kept = localStorage.getItem("interval.theme"); } catch { /* private mode keeps nothing */ }
  document.documentElement.dataset.theme = kept === "light" ? "light" : "dark";
})();
// Gradio's sign of loading asks for every frame of the screen for ever, also when it is long gone. Its modules keep the function they
// find now; once the page is built (main.js) Gradio has nothing to draw, and what it asks for is not done any more.
(() => {
  const asked = window.requestAnimationFrame;
  let quiet = false;
  window.requestAnimationFrame = (draw) => (quiet ? 0 : asked.call(window, draw));
  window.quietGradio = () => {
    quiet = true;
    window.requestAnimationFrame = asked;
  };
})();
