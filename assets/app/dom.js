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
  copy: "M5.5 5.5h7v8h-7ZM3.5 10.5v-8h7",
  left: "M9.8 3.5 5.3 8l4.5 4.5",
  right: "M6.2 3.5 10.7 8l-4.5 4.5",
  down: "M3.5 6.2 8 10.7l4.5-4.5",
  edit: "M3 13l.6-2.6 7-7a1.4 1.4 0 0 1 2 2l-7 7ZM9.5 4.5l2 2",
  warning: "M8 2.6 14 13H2ZM8 6.6v3M8 11.4h.01",
  check: "M3 8.4 6.4 12 13 4.6",
  eye: "M1.8 8S4 3.8 8 3.8 14.2 8 14.2 8 12 12.2 8 12.2 1.8 8 1.8 8ZM8 9.8a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6Z",
  case: "M3 3.5h4v9H3ZM9 3.5h4v9H9Z",
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
