// Elements by hand. Text only ever becomes a text node: nothing here, or anywhere in this folder, parses HTML,
// so whatever a file, a reader or a model wrote stays words.

const PATHS = {
  upload: "M8 10.5V2.5M4.8 5.4 8 2.3l3.2 3.1M2.5 10.5v2a1 1 0 0 0 1 1h9a1 1 0 0 0 1-1v-2",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9ZM10.4 10.4l3.1 3.1",
  swap: "M3 5.5h9.5M9.8 2.8l2.7 2.7-2.7 2.7M13 10.5H3.5M6.2 7.8l-2.7 2.7 2.7 2.7",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  close: "M4 4l8 8M12 4l-8 8",
  reset: "M3 8a5 5 0 1 0 1.6-3.7L3 5.8M3 2.6v3.2h3.2",
  invert: "M8 2.5a5.5 5.5 0 1 0 0 11ZM8 2.5a5.5 5.5 0 0 1 0 11",
  sun: "M8 10.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6ZM8 1.5v1.4M8 13.1v1.4M1.5 8h1.4M13.1 8h1.4M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1",
  moon: "M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8Z",
  keyboard: "M2 4.5h12v7H2ZM4.6 7h.01M7 7h.01M9.3 7h.01M11.5 7h.01M5.5 9.3h5",
  rail: "M2.5 3.5h11v9h-11ZM6 3.5v9",
  stop: "M4.5 4.5h7v7h-7Z",
  send: "M8 13V3.2M4 7l4-4 4 4",
  again: "M13 8a5 5 0 1 1-1.6-3.7L13 5.8M13 2.6v3.2H9.8",
  agree: "M5 7.2 7.4 2.4c1 0 1.7.8 1.5 1.8l-.4 2.2h3.3c.9 0 1.5.8 1.3 1.6l-.9 4c-.2.7-.7 1.1-1.4 1.1H5M5 7.2H2.8v5.9H5Z",
  disagree: "M11 8.8l-2.4 4.8c-1 0-1.7-.8-1.5-1.8l.4-2.2H4.2c-.9 0-1.5-.8-1.3-1.6l.9-4c.2-.7.7-1.1 1.4-1.1H11M11 8.8h2.2V2.9H11Z",
  branch: "M5 3.5v9M5 6.5c0 3 6 1 6-2.5M5 3.5a1.3 1.3 0 1 0 0-.01M5 12.5a1.3 1.3 0 1 0 0-.01M11 4a1.3 1.3 0 1 0 0-.01",
  copy: "M5.5 5.5h7v8h-7ZM3.5 10.5v-8h7",
  list: "M6 4h7.5M6 8h7.5M6 12h7.5M2.8 4h.01M2.8 8h.01M2.8 12h.01",
  up: "M3.5 9.8 8 5.3l4.5 4.5",
  left: "M9.8 3.5 5.3 8l4.5 4.5",
  right: "M6.2 3.5 10.7 8l-4.5 4.5",
  down: "M3.5 6.2 8 10.7l4.5-4.5",
  edit: "M3 13l.6-2.6 7-7a1.4 1.4 0 0 1 2 2l-7 7ZM9.5 4.5l2 2",
  warning: "M8 2.6 14 13H2ZM8 6.6v3M8 11.4h.01",
  check: "M3 8.4 6.4 12 13 4.6",
  eye: "M1.8 8S4 3.8 8 3.8 14.2 8 14.2 8 12 12.2 8 12.2 1.8 8 1.8 8ZM8 9.8a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6Z",
  case: "M3 3.5h4v9H3ZM9 3.5h4v9H9Z",
  contrast: "M8 13.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11ZM8 2.5v11M8 5h4.6M8 8h5.5M8 11h4.6",
  hand: "M8 2v12M2 8h12M6 4l2-2 2 2M6 12l2 2 2-2M4 6 2 8l2 2M12 6l2 2-2 2",
  zoom: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9ZM10.4 10.4l3.1 3.1M5 7h4M7 5v4",
  stack: "M8 2.2 14 5 8 7.8 2 5ZM2.4 8 8 10.6 13.6 8M2.4 11 8 13.6l5.6-2.6",
  rotate: "M12.6 9.4A5 5 0 1 1 11.4 4.3L13 5.8M13 2.6v3.2H9.8",
  flipH: "M8 2v12M6 4.5v7L2 11.5ZM10 4.5v7l4 0Z",
  flipV: "M2 8h12M4.5 6h7L11.5 2ZM4.5 10h7l0 4Z",
  play: "M5 3.2 12.4 8 5 12.8Z",
  text: "M3 4V2.8h10V4M8 2.8v10.4M6 13.2h4",
  resetAll: "M2.8 6.6h6v6h-6ZM6 6.6V3.2h7.2v6.6H8.8",
  grid: "M3 3h3.6v3.6H3ZM9.4 3H13v3.6H9.4ZM3 9.4h3.6V13H3ZM9.4 9.4H13V13H9.4Z",
  one: "M2.5 3h11v10h-11Z",
  beside: "M2.5 3h11v10h-11ZM8 3v10",
  above: "M2.5 3h11v10h-11ZM2.5 8h11",
  four: "M2.5 3h11v10h-11ZM8 3v10M2.5 8h11",
  row: "M1.8 4h12.4v8H1.8ZM6 4v8M10 4v8",
  length: "M2.5 11.5l9-9M1.5 9.5l3 3M9.5 1.5l3 3",
  bidirectional: "M2.5 12.5l10-9M5.2 4.6l5 6.4",
  angle: "M12.5 12.5h-10l8-9M6.3 12.5a4.4 4.4 0 0 0-1.1-3",
  ctr: "M1.5 3v10M14.5 3v10M1.5 11h13M5 5.5v3M11.5 5.5v3M5 7h6.5",
  ellipse: "M14 8c0 2.5-2.7 4.5-6 4.5S2 10.5 2 8s2.7-4.5 6-4.5S14 5.5 14 8Z",
  rectangle: "M2.5 4h11v8h-11Z",
  point: "M8 1.5v4M8 10.5v4M1.5 8h4M10.5 8h4M8 8h.01",
  arrow: "M13 3 4 12M4 6.5V12h5.5",
  box: "M3 3h3M10 3h3v3M13 10v3h-3M6 13H3v-3M3 6V3",
  free: "M3.5 9.5c-2-3 .5-6.5 4-6.5s7 1.5 5.5 5-2.5 1.5-4 3.5-4 1-5.5-2Z",
  undo: "M3 6h6.5a3.5 3.5 0 0 1 0 7H6M5.5 3.5 3 6l2.5 2.5",
  redo: "M13 6H6.5a3.5 3.5 0 0 0 0 7H10M10.5 3.5 13 6l-2.5 2.5",
  star: "M8 2.2l1.8 3.7 4 .6-2.9 2.8.7 4L8 11.4l-3.6 1.9.7-4L2.2 6.5l4-.6Z",
  bin: "M3 4.5h10M6.5 4.5v-2h3v2M4.3 4.5l.6 9h6.2l.6-9M6.7 7v4M9.3 7v4",
  pair: "M6.5 5H5a3 3 0 0 0 0 6h1.5M9.5 5H11a3 3 0 0 1 0 6H9.5M5.5 8h5",
  link: "M6.8 9.2 9.2 6.8M7.5 4.5l1-1a2.8 2.8 0 0 1 4 4l-1 1M8.5 11.5l-1 1a2.8 2.8 0 0 1-4-4l1-1",
  unlink: "M7.5 4.5l1-1a2.8 2.8 0 0 1 4 4l-1 1M8.5 11.5l-1 1a2.8 2.8 0 0 1-4-4l1-1M2.5 2.5l11 11",
  cross: "M8 1.5v13M1.5 8h13",
  match: "M2 5h5M9 5h5M2 11h5M9 11h5M4.5 8h7M4.5 8l1.5-1.5M4.5 8l1.5 1.5M11.5 8 10 6.5M11.5 8 10 9.5",
  align: "M3 3h7v7H3ZM6.5 6.5h6.5v6.5H6.5Z",
  table: "M2.5 3.5h11v9h-11ZM2.5 6.5h11M6.5 3.5v9",
  save: "M8 2.5v8M4.8 7.6 8 10.7l3.2-3.1M2.5 11v2.5h11V11",
  swipe: "M2.5 3h11v10h-11ZM8 1.5v13M5.8 6.5 4.3 8l1.5 1.5M10.2 6.5 11.7 8l-1.5 1.5",
  fade: "M2 2.5h8v8H2ZM6 5.5h8v8H6Z",
  flicker: "M8.8 1.8 4 9h3.6L7 14.2 12 7H8.3Z",
  report: "M4 2h5.5L12 4.5V14H4ZM6 6.5h4M6 9h4M6 11.5h2.5",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  info: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 7.4v3.4M8 5.2h.01",
};

const SVG = "http://www.w3.org/2000/svg";

/** An icon by name; decorative, so hidden from screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** `h("button.main", {onclick, title}, "Ask")`: tag and classes, properties, children (strings become text nodes). */
export function h(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "dataset") Object.assign(element.dataset, value);
  else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
  else if (typeof value === "boolean" && !name.startsWith("aria-")) element.toggleAttribute(name, value);
  else element.setAttribute(name, value);
}

/** Replace an element's children. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let pressed = null; // what lies under a pointer that is down
const owed = new Map(); // element -> how it is drawn once the pointer is up

addEventListener("pointerdown", (event) => { pressed = event.target; }, true);
addEventListener("click", () => { pressed = null; }, true);
const released = () => setTimeout(() => { // behind the click
  pressed = null;
  const drawn = [...owed.values()];
  owed.clear();
  for (const draw of drawn) draw();
});
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, released, true);

/** Draw what stands in `element` anew, once no pointer is down in it: a button that is exchanged between press and release is never clicked. */
export function redraw(element, draw) {
  if (element.contains(pressed)) owed.set(element, draw);
  else {
    owed.delete(element);
    draw();
  }
}

/** `fill` by `redraw`; the keyboard's focus goes to what now has the `data-key`, or else the `data-testid`, of what had it. */
export function refill(element, ...children) {
  redraw(element, () => {
    const held = element.contains(document.activeElement) ? document.activeElement.dataset : {};
    const [name, value] = held.key ? ["key", held.key] : ["testid", held.testid];
    fill(element, ...children);
    if (value) element.querySelector(`[data-${name}="${CSS.escape(value)}"]`)?.focus({ preventScroll: true });
  });
}

/** A button with an icon and a name for everyone: tooltip and screen reader. */
export function iconButton(name, label, onclick, extra = {}) {
  const { classes = "plain", ...props } = extra;
  return h(`button.button.icon-only.${classes.replaceAll(" ", ".")}`, { type: "button", title: label, "aria-label": label, onclick, ...props }, icon(name));
}

/** Options of a menu: [[value, words]]; returns the `select`. */
export function menu(label, options, value, onchange, extra = {}) {
  const { classes = "", ...props } = extra;
  const select = h(`select${classes ? `.${classes}` : ""}`, { "aria-label": label, title: label, onchange: () => onchange(select.value), ...props });
  setOptions(select, options, value);
  return select;
}

export function setOptions(select, options, value) {
  fill(select, options.map(([key, words]) => h("option", { value: key, selected: key === value }, words)));
  select.value = value;
}

const DATE = new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", day: "2-digit" });
const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/** An acquisition date, as the study says it (no time zone). */
export const day = (text) => (text ? text.slice(0, 10) : "no date");

/** When something happened here, in the reader's own time. */
export function moment(text) {
  const when = new Date(text);
  if (Number.isNaN(when.getTime())) return "";
  const today = DATE.format(new Date()) === DATE.format(when);
  return today ? TIME.format(when) : DATE.format(when);
}

/** Seconds in words. */
export const seconds = (value) => (value >= 10 ? `${Math.round(value)} s` : `${value.toFixed(1)} s`);

/** First letter large, a full stop at the end. */
export const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.?!]$/.test(text) ? "" : ".") : "");

export const plural = (count, word, many = `${word}s`) => `${count} ${count === 1 ? word : many}`;
