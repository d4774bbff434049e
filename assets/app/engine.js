// The engine as readers see it: loading, ready, or what to do about it.
import { get, post } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { on, state, update } from "./state.js";
import { attempt, say } from "./toast.js";

Object.assign(state, { model: { name: "", words: "" } }); // who answers the questions of this tab; without a name the served one

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
  const list = h("div.casemenu.models", { popover: "auto", role: "menu", "aria-label": "Which model answers", dataset: { testid: "engine-menu" } });
  const chip = h("button.engine", { type: "button", "aria-haspopup": "menu", onclick: () => open(), dataset: { testid: "engine" } }, dot, words);
  const choose = (one) => {
    list.hidePopover();
    update({ model: one });
  };
  const open = async () => {
    const { engine } = state;
    const found = engine.state === "ready" ? await attempt(() => get("/api/models")) : null;
    if (!found) return void say(engine.detail || engine.text, engine.state === "ready" ? "good" : "bad");
    fill(list, h("p.quiet", {}, engine.detail), Boolean(engine.parity) && h("p.quiet", { dataset: { testid: "parity" } }, engine.parity), found.map((one) => h("button.item", { type: "button", role: "menuitemradio", "aria-checked": String(one.name === state.model.name), onclick: () => choose(one.name ? one : { name: "", words: "" }), dataset: { testid: "engine-model" } }, one.name === state.model.name ? icon("check") : h("span.icon"), h("span", {}, one.words))));
    const box = chip.getBoundingClientRect();
    list.style.setProperty("top", `${box.bottom + 4}px`);
    list.style.setProperty("right", `${Math.max(8, innerWidth - box.right)}px`);
    list.showPopover();
    list.querySelector('[aria-checked="true"]')?.focus();
  };
  const draw = () => {
    const { engine, model } = state;
    chip.dataset.state = engine.state;
    words.textContent = engine.state !== "ready" ? engine.text : model.name ? model.words : [engine.model, engine.engine].filter(Boolean).join(" · ");
    chip.title = model.name ? "Chosen by you for this tab; press to change" : engine.detail;
    chip.setAttribute("aria-label", `Engine: ${words.textContent}`);
  };
  for (const name of ["engine", "model"]) on(name, draw);
  draw();
  return h("div.enginebox", {}, chip, list);
}

/** What to do when there is no model. */
export function engineCard() {
  const retry = h("button.button.main", { type: "button", dataset: { testid: "engine-retry", key: "retry" }, onclick: async () => {
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
