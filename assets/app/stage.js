// The centre: tools, a line that says how the images relate, and one to eight viewports in declared order.
import { cine, stopCine } from "./cine.js";
import { fill, h, icon, iconButton } from "./dom.js";
import { addSlot, setSlots, swap } from "./hang.js";
import { filled, on, remember, state, update } from "./state.js";
import { say } from "./toast.js";
import { addAction, addCommand, addTool, refresh, toolbar } from "./toolbar.js";
import { Viewport } from "./viewport.js";

export const viewports = [];

const WORDS = { temporal: "Over time", views: "Views of one study", sides: "Left and right", unrelated: "Unrelated" };

let coming = null;

/** The viewer, loaded once: `ui/viewer/src/bridge.ts` says what it understands. */
export function viewer() {
  coming ??= import("/app/viewer/viewer.js").then(({ mount }) => {
    const bridge = mount();
    bridge.on("tool", refresh);
    bridge.on("window", refresh);
    bridge.on("failed", ({ slot, sentence }) => slot === null && say(sentence));
    const told = () => document.querySelector(".stage")?.setAttribute("data-renderer", bridge.renderer.cpu ? "cpu" : "webgl");
    bridge.on("renderer", ({ reason }) => {
      told();
      say(`Images are drawn by the processor from here on: ${reason}.`, "good");
    });
    ready = bridge;
    told();
    refresh();
    return bridge;
  });
  return coming;
}
let ready = null;

const view = () => viewports[state.active];
const shown = () => view()?.element.dataset.state === "shown";
const act = (work) => () => ready && shown() && work(ready, state.active);

/** Layouts: how many rows and columns of viewports there is room for. `auto` shows all slots. */
const LAYOUTS = {
  auto: ["Automatic", "grid"],
  "1x1": ["One image", "one"],
  "1x2": ["Side by side", "beside"],
  "2x1": ["One above the other", "above"],
  "2x2": ["Two by two", "four"],
  "1xN": ["All in one row", "row"],
};

/** Choose a layout. A smaller one keeps all images open and shows those around the active one. */
export function setLayout(name) {
  const wanted = { "1x2": 2, "2x1": 2, "2x2": 4 }[name] ?? 2;
  const slots = [...state.slots];
  while (slots.length > 2 && slots.length > wanted && slots.at(-1) === null) slots.pop();
  while (slots.length < Math.min(wanted, state.limits.max_images)) slots.push(null);
  update({ layout: name in LAYOUTS ? name : "auto" });
  setSlots(slots);
}

/** Slots that the layout has room for. */
function visible() {
  const count = state.slots.length;
  const room = { "1x1": 1, "1x2": 2, "2x1": 2, "2x2": 4 }[state.layout] ?? count;
  const first = Math.max(0, Math.min(count - room, Math.floor(state.active / room) * room));
  return { first, room: Math.min(room, count) };
}

function template(count) {
  const grid = (rows, columns) => `repeat(${rows}, minmax(0, 1fr)) / repeat(${columns}, minmax(0, 1fr))`;
  if (state.layout === "2x1" && count > 1) return grid(2, 1);
  if (state.layout === "1xN" || count < 4) return grid(1, count);
  return grid(2, Math.ceil(count / 2));
}

export function stage() {
  const kind = h("strong.relates");
  const reason = h("span.reason.clip", { dataset: { testid: "reason" } });
  const warnings = h("ul.warnings", { role: "status", dataset: { testid: "relation-warnings" } });
  const exchange = iconButton("swap", "Swap the order (X)", () => swap(), { classes: "plain small", "data-testid": "swap" });
  const more = h("button.button.plain.small", { type: "button", onclick: addSlot, title: "Add a viewport for another time point", "data-testid": "add-slot" }, icon("plus"), "Time point");
  const bar = h("div.stagebar", {}, h("div.relation", {}, kind, reason), h("div.tools", {}, more, exchange));
  const strip = h("div", { id: "iv-strip" });
  const grid = h("div.grid", { dataset: { testid: "grid" } });
  tools();
  const draw = () => {
    while (viewports.length > state.slots.length) viewports.pop().remove();
    while (viewports.length < state.slots.length) {
      const one = new Viewport(viewports.length, viewer);
      viewports.push(one);
      grid.append(one.element);
    }
    const { first, room } = visible();
    grid.dataset.count = room;
    grid.style.gridTemplate = template(room);
    viewports.forEach((one, number) => {
      one.element.hidden = number < first || number >= first + room;
      one.show(state.slots[number], number === state.active && room > 1);
    });
    exchange.disabled = filled().length < 2;
    more.disabled = state.slots.length >= state.limits.max_images;
    refresh();
  };
  const tell = () => {
    const { relation } = state;
    kind.textContent = filled().length > 1 && relation ? WORDS[relation.relationship] : "";
    reason.textContent = relation ? [state.why, relation.reason].filter(Boolean).join(" ") : "";
    reason.title = reason.textContent;
    fill(warnings, (relation?.warnings ?? []).map((text) => h("li", {}, icon("warning"), h("span", {}, text))));
    warnings.hidden = !relation?.warnings.length;
  };
  for (const name of ["slots", "active", "limits", "layout", "names"]) on(name, draw);
  on("relation", () => { tell(); draw(); });
  on("layout", remember);
  on("shown", refresh);
  draw();
  tell();
  viewer().catch(() => say("The viewer could not be loaded. Reload the page; nothing is lost.", "bad", ["Reload", () => location.reload()]));
  return h("main.stage", { "aria-label": "Images" }, toolbar(() => ready?.tool() ?? "window", (name) => ready?.tool(name)), bar, warnings, strip, grid, h("div", { id: "iv-drawer" }));
}

function played() {
  for (const one of viewports) one.element.classList.toggle("playing", cine.slot === one.index);
  refresh();
}

/** Everything the toolbar and the keys can do with the active viewport. */
function tools() {
  addTool({ name: "window", label: "Window: drag right to widen, down to darken", icon: "contrast", key: "w" });
  addTool({ name: "pan", label: "Move; also the middle button", icon: "hand", key: "p" });
  addTool({ name: "zoom", label: "Zoom; also the right button", icon: "zoom", key: "z" });
  addTool({ name: "scroll", label: "Scroll through the stack; also the wheel", icon: "stack", key: "s" });
  const enabled = shown;
  addAction({ name: "rotate", label: "Turn clockwise", icon: "rotate", key: "r", enabled, run: act((bridge, slot) => bridge.rotate(slot, 90)) });
  addAction({ name: "flip-h", label: "Mirror left to right", icon: "flipH", key: "h", enabled, run: act((bridge, slot) => bridge.flip(slot, "h")) });
  addAction({ name: "flip-v", label: "Mirror top to bottom", icon: "flipV", key: "v", enabled, run: act((bridge, slot) => bridge.flip(slot, "v")) });
  addAction({ name: "invert", label: "Invert grey levels", icon: "invert", key: "i", enabled, pressed: () => Boolean(state.slots[state.active]?.invert), run: act((bridge, slot) => bridge.setInvert(slot, !bridge.window(slot)?.invert, true)) });
  addAction({ name: "cine", label: "Play the stack", icon: "play", key: "c", enabled: () => shown() && state.slots[state.active]?.series.frames > 1, pressed: () => cine.slot === state.active, run: () => ready && cine.toggle(ready, state.active, played) });
  addAction({ name: "overlays", label: "Show or hide the words over the images", icon: "text", key: "o", pressed: () => !document.querySelector(".stage")?.classList.contains("bare"), run: () => document.querySelector(".stage").classList.toggle("bare") });
  addAction({ name: "reset", label: "Reset the view", icon: "reset", key: "0", enabled, run: () => view()?.reset() });
  addAction({ name: "reset-all", label: "Reset all views", icon: "resetAll", key: "Shift+r", enabled: () => filled().length > 0, run: () => viewports.forEach((one) => one.reset()) });
  for (const [name, [label, picture]] of Object.entries(LAYOUTS)) addAction({ name: `layout-${name}`, label, icon: picture, group: "layout", pressed: () => (state.layout ?? "auto") === name, run: () => setLayout(name) });
  const step = (by) => act((bridge, slot) => { stopCine(); bridge.step(slot, by, true); });
  const go = [["previous", "Slice before", "ArrowUp", -1], ["next", "Slice after", "ArrowDown", 1], ["back", "Ten slices back", "PageUp", -10], ["on", "Ten slices on", "PageDown", 10], ["first", "First slice", "Home", -1e6], ["last", "Last slice", "End", 1e6]];
  for (const [id, words, key, by] of go) addCommand({ id: `slice-${id}`, words, group: "go", keys: [key], run: step(by) });
  addCommand({ id: "zoom-in", words: "Zoom in", group: "view", keys: ["+", "="], run: act((bridge, slot) => bridge.zoom(slot, 1.25)) });
  addCommand({ id: "zoom-out", words: "Zoom out", group: "view", keys: ["-"], run: act((bridge, slot) => bridge.zoom(slot, 1 / 1.25)) });
  for (let number = 1; number <= 9; number += 1) addCommand({ id: `preset-${number}`, words: `Window preset ${number}`, group: "view", keys: [String(number)], quiet: true, run: () => view()?.preset(number) });
  const named = () => ready && state.slots.some((slot, number) => slot && ready.meta(number)?.study.name);
  addCommand({ id: "names", words: "Show or hide patients' names, where this site keeps them", group: "view", keys: ["Shift+n"], enabled: () => Boolean(named()), run: () => update({ names: !state.names }) });
  addCommand({ id: "swap", words: "Swap the order of the images", group: "go", keys: ["x"], run: () => filled().length > 1 && swap() });
  const hop = (by) => () => update({ active: (state.active + by + state.slots.length) % state.slots.length });
  addCommand({ id: "viewport-next", words: "Next viewport", group: "go", keys: ["ArrowRight"], run: hop(1) });
  addCommand({ id: "viewport-previous", words: "Viewport before", group: "go", keys: ["ArrowLeft"], run: hop(-1) });
  addCommand({ id: "maximise", words: "One image, or all again; also a double click", group: "go", keys: ["m"], run: () => maximise() });
}

/** The active image alone, or the layout from before again. */
export function maximise() {
  const before = state.layout === "1x1" ? (state.layoutBefore ?? "auto") : "1x1";
  update({ layoutBefore: state.layout ?? "auto" });
  setLayout(before === "1x1" && state.layout === "1x1" ? "auto" : before);
}
