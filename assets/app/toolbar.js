// The tools above the images, and the one list of commands: whatever a button or a key can do is registered here once.
import { fill, h, icon } from "./dom.js";

/** {id, words, group, keys, run, enabled}: what keys.js finds a key in and the keyboard list shows. */
export const commands = [];

const ORDER = ["look", "measure", "mark", "view", "layout", "link", "compare", "history"];
const NAMES = { look: "Mouse", measure: "Measure", mark: "Mark", view: "View", layout: "Layout", link: "Link", compare: "Compare", history: "History", go: "Go", ask: "Ask" };
const FOLDED = new Set(["measure", "mark", "layout", "compare"]);
const groups = new Map();
const items = [];
let current = () => "window";
let choose = () => undefined;

const group = (name) => {
  if (!groups.has(name)) groups.set(name, h("div.tool-group", { role: "group", "aria-label": NAMES[name], dataset: { group: name } }));
  return groups.get(name);
};

/** Register a command; `group` names the part of the keyboard list it stands in, `quiet` keeps it out of that list. */
export function addCommand({ id, words, group: place = "view", keys = [], run, enabled = () => true, quiet = false }) {
  commands.push({ id, words, group: NAMES[place] ?? place, keys, run, enabled, quiet });
}

/** A tool of the primary mouse button. `name` is what the viewer calls it. */
export function addTool({ name, label, icon: picture, key = null, group: place = "look" }) {
  addAction({ name: `tool-${name}`, label, icon: picture, key, group: place, run: () => choose(name), pressed: () => current() === name, tool: name });
}

/** A button of the toolbar. `pressed` makes it a switch; `enabled` greys it. */
export function addAction({ name, label, icon: picture, key = null, group: place = "view", run, pressed = null, enabled = () => true, tool = null }) {
  const keys = key === null ? [] : [key].flat();
  addCommand({ id: name, words: label, group: place, keys, run, enabled });
  const title = keys.length ? `${label} (${keys[0].length === 1 ? keys[0].toUpperCase() : keys[0].replaceAll("+", " ")})` : label;
  const words = FOLDED.has(place) ? h("span", {}, label) : null;
  const button = h("button.tool", { type: "button", title, "aria-label": title, "aria-pressed": pressed ? "false" : null, onclick: () => { run(); refresh(); }, dataset: { action: name } }, icon(picture), words);
  const item = { button, place, pressed, enabled, tool, picture, label, title };
  items.push(item);
  if (FOLDED.has(place)) fold(place).add(item);
  else group(place).append(button);
  order();
  refresh();
}

const folds = new Map();

/** A group that shows one of its tools and opens to the others. */
function fold(place) {
  if (folds.has(place)) return folds.get(place);
  const list = h("div.folded", { popover: "auto", id: `iv-fold-${place}`, role: "group", "aria-label": NAMES[place] });
  const face = h("button.tool.face", { type: "button" });
  const open = h("button.tool.unfold", { type: "button", title: `${NAMES[place]}: more`, "aria-label": `${NAMES[place]}: more`, "aria-haspopup": "true", popovertarget: list.id }, icon("down"));
  const made = { items: [], shown: null, add(item) { this.items.push(item); this.shown ??= item; list.append(item.button); item.button.addEventListener("click", () => { this.shown = item; list.hidePopover?.(); refresh(); }); }, face, list };
  face.addEventListener("click", () => made.shown?.button.click());
  list.addEventListener("beforetoggle", (event) => {
    if (event.newState !== "open") return;
    const box = open.getBoundingClientRect();
    Object.assign(list.style, { left: `${Math.max(6, Math.min(face.getBoundingClientRect().left, innerWidth - 220))}px`, top: `${box.bottom + 4}px` });
  });
  group(place).append(face, open, list);
  folds.set(place, made);
  return made;
}

const bar = h("div.toolbar", { role: "toolbar", "aria-label": "Viewer tools", dataset: { testid: "toolbar" } });

function order() {
  const here = ORDER.filter((name) => groups.has(name)).map((name) => groups.get(name));
  if (here.some((one, at) => bar.children[at] !== one)) fill(bar, here);
}

/** Pressed, enabled and folded as they are now. */
export function refresh() {
  for (const { button, pressed, enabled } of items) {
    if (pressed) button.setAttribute("aria-pressed", String(Boolean(pressed())));
    button.disabled = !enabled();
  }
  for (const one of folds.values()) {
    const lit = one.items.find((item) => item.pressed?.());
    if (lit) one.shown = lit;
    const { shown, face } = one;
    if (face.dataset.shown !== shown.picture + shown.title) {
      face.dataset.shown = shown.picture + shown.title;
      fill(face, icon(shown.picture));
      face.title = shown.title;
      face.setAttribute("aria-label", shown.title);
    }
    if (shown.pressed) face.setAttribute("aria-pressed", String(Boolean(shown.pressed())));
    face.disabled = shown.button.disabled;
  }
}

/** The toolbar; `tool()` is the primary tool, `use(name)` makes another the primary one. */
export function toolbar(tool, use) {
  current = tool;
  choose = use;
  refresh();
  return bar;
}
