// What is done with a whole case beside asking: a menu in the head of the conversation, and panels that lie over the conversation and
// never over the images. One panel at a time; Escape closes it and gives the focus back.
import { h, icon, iconButton } from "./dom.js";
import { addCommand } from "./toolbar.js";

const known = new Map(); // name -> {element, opened}
let shown = null;
let host = null;
let opener = null;

/** A panel by name: `body` is its inside, `opened` is called each time it is shown. Returns the element. */
export function panel(name, title, body, opened, told = null) {
  const heading = h("h2", { tabindex: "-1" }, title);
  const element = h("section.casepanel", { "aria-label": title, hidden: true, dataset: { testid: `panel-${name}` } },
    h("header", {}, heading, told, h("span.gap"), iconButton("close", `Close: ${title.toLowerCase()}`, () => close(), { classes: "plain small", "data-testid": `close-${name}` })), body);
  known.set(name, { element, opened, heading });
  return element;
}

/** Show a panel; the conversation stays beneath it as it is. */
export function show(name) {
  if (shown === name) return;
  if (shown) known.get(shown).element.hidden = true;
  const one = known.get(name);
  shown = name;
  if (!one.element.isConnected) host.append(one.element);
  one.element.hidden = false;
  host.classList.add("covered");
  for (const under of host.children) under.inert = under !== one.element;
  one.heading.focus();
  one.opened();
}

export function close() {
  if (!shown) return;
  const { element } = known.get(shown);
  if (element.contains(document.activeElement)) document.activeElement.blur(); // what is being written is kept
  element.hidden = true;
  shown = null;
  host.classList.remove("covered");
  for (const under of host.children) under.inert = false;
  opener?.focus();
}

export const isShown = (name) => shown === name;

/** Put the menu into the head of the conversation; `items` are `{name, words, help, picture, key}`, and `run` for one that opens no panel. */
export function panels(talk, items) {
  host = talk;
  const menu = h("div.casemenu", { popover: "auto", role: "menu", "aria-label": "More for this case", dataset: { testid: "case-menu" } },
    items.map((one) => h("button.item", { type: "button", role: "menuitem", dataset: { testid: `open-${one.name}` }, onclick: () => { menu.hidePopover(); (one.run ?? (() => show(one.name)))(); } }, icon(one.picture), h("span.lines", {}, h("strong", {}, one.words), h("span.quiet", {}, one.help)))));
  opener = iconButton("more", "More for this case: report, two models, many pairs", () => menu.togglePopover(), { classes: "plain small more", "aria-haspopup": "menu", "data-testid": "case-more" });
  menu.addEventListener("beforetoggle", (event) => {
    opener.setAttribute("aria-expanded", String(event.newState === "open"));
    if (event.newState !== "open") return;
    const box = opener.getBoundingClientRect();
    menu.style.setProperty("top", `${box.bottom + 4}px`);
    menu.style.setProperty("right", `${Math.max(8, innerWidth - box.right)}px`);
    menu.style.setProperty("max-height", `${innerHeight - box.bottom - 12}px`);
  });
  menu.addEventListener("toggle", (event) => event.newState === "open" && menu.querySelector("button").focus());
  menu.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...menu.querySelectorAll("button")];
    all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
  });
  talk.querySelector(".talkhead").append(opener, menu);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && shown && !event.defaultPrevented && !document.querySelector("dialog[open], :popover-open")) {
      event.preventDefault(); // and stops no answer
      close();
    }
  });
  for (const one of items) addCommand({ id: `panel-${one.name}`, words: one.words, group: "ask", keys: [one.key], run: one.run ?? (() => (isShown(one.name) ? close() : show(one.name))) });
}
