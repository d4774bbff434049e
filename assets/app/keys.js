// One key for what readers do most. Never while they write.
import { stop } from "./ask.js";
import { h, iconButton } from "./dom.js";
import { swap } from "./hang.js";
import { filled, state } from "./state.js";
import { viewports } from "./stage.js";

const LIST = [
  ["/", "Go to the question"],
  ["Enter", "Ask; Shift+Enter for a new line"],
  ["Esc", "Stop the answer"],
  ["X", "Swap the order of the images"],
  ["Tab", "Next viewport or control"],
  ["↑ ↓", "Slice before or after; Home and End"],
  ["1 – 7", "Window presets"],
  ["+  -", "Zoom; drag to pan, wheel to zoom or scroll"],
  ["I", "Invert grey levels"],
  ["0", "Reset the view"],
  ["[", "Show or hide the list"],
  ["?", "This list"],
];

export function keysDialog() {
  const dialog = h("dialog.keys", { "aria-label": "Keyboard shortcuts" },
    h("header", {}, h("h2", {}, "Keyboard"), iconButton("close", "Close", () => dialog.close())),
    h("dl", {}, LIST.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}

export function listen(showKeys, toggleRail) {
  const view = () => viewports[state.active];
  const step = (by) => view()?.slot && view().toFrame(view().slot.frame + by);
  const actions = {
    "/": () => document.getElementById("iv-question").focus(),
    x: () => filled().length > 1 && swap(),
    "[": toggleRail,
    "?": showKeys,
    ArrowUp: () => step(-1), ArrowDown: () => step(1), PageUp: () => step(-10), PageDown: () => step(10),
    Home: () => step(-1e6), End: () => step(1e6),
    "+": () => view()?.magnify(1.25), "=": () => view()?.magnify(1.25), "-": () => view()?.magnify(1 / 1.25),
    i: () => view()?.invert(), 0: () => view()?.reset(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.running && !document.querySelector("dialog[open]")) return stop();
    if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
    if (event.target.closest("input:not([type=range]), textarea, select, dialog")) return undefined;
    if (event.target.closest("[role=radio], input[type=range], .thread, .rail") && /^(Arrow|Page|Home|End)/.test(event.key)) return undefined;
    const action = /^[1-7]$/.test(event.key) ? () => view()?.preset(Number(event.key)) : actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return undefined;
    event.preventDefault();
    return action();
  });
}
