// The engine as readers see it: loading, ready, or what to do about it.
import { get, post } from "./api.js";
import { fill, h } from "./dom.js";
import { on, state, update } from "./state.js";
import { attempt, say } from "./toast.js";

let timer = 0;

/** Ask for the engine's state until it is ready; slowly when it is missing. */
export function watchEngine() {
  clearTimeout(timer);
  if (state.engine.state === "ready") return;
  timer = setTimeout(async () => {
    try {
      update({ engine: await get("/api/engine") });
    } catch { /* the next question says it */ }
    watchEngine();
  }, state.engine.state === "loading" ? 700 : 4000);
}

export function engineChip() {
  const dot = h("span.dot", { "aria-hidden": "true" });
  const words = h("span.clip");
  const chip = h("button.engine", { type: "button", onclick: () => say(state.engine.detail || state.engine.text, state.engine.state === "ready" ? "good" : "bad"), dataset: { testid: "engine" } }, dot, words);
  const draw = () => {
    const { engine } = state;
    chip.dataset.state = engine.state;
    words.textContent = engine.state === "ready" ? [engine.model, engine.engine].filter(Boolean).join(" · ") : engine.text;
    chip.title = engine.detail;
    chip.setAttribute("aria-label", `Engine: ${words.textContent}`);
  };
  on("engine", draw);
  draw();
  return chip;
}

/** What to do when there is no model. */
export function engineCard() {
  const retry = h("button.button.main", { type: "button", dataset: { testid: "engine-retry" }, onclick: async () => {
    const now = await attempt(() => post("/api/engine/open"));
    if (now) { update({ engine: now }); watchEngine(); }
  } }, "Try again");
  return fill(h("div.enginecard", { dataset: { testid: "engine-card" } }),
    h("h2", {}, state.engine.state === "missing" ? "There is no model yet" : "The engine did not start"),
    h("p", {}, state.engine.detail),
    state.engine.state === "missing" && h("p", {}, "Build the bundled model once, then try again:"),
    state.engine.state === "missing" && h("code.command", {}, "python app.py models build bundled"),
    h("p.quiet", {}, "Images can be read meanwhile."), retry);
}
