// The work spaces: Read, Teach, Review, Train. Read is always there; another is loaded when it is first looked at, and nothing of Read goes
// away meanwhile: an answer goes on being written, what hangs and is drawn comes back as it was.
import { giveBack } from "./guest.js";
import { h } from "./dom.js";
import { on, state, update } from "./state.js";
import { say } from "./toast.js";
import { addCommand } from "./toolbar.js";

const PLACES = [["read", "Read"], ["teach", "Teach"], ["review", "Review"], ["train", "Train"]];
const LOADERS = {
  teach: async () => (await import("./teach.js")).teach(),
  review: async () => (await import("./review.js")).review(),
  train: async () => [(await import("./train.js")).train()],
};
export const WORKSPACE = "Work space";

Object.assign(state, { place: "read", guest: false });

/** The tabs of the top bar. */
export function tabs() {
  const tab = ([name, words]) => h("button.tab", { type: "button", role: "tab", id: `iv-tab-${name}`, onclick: () => go(name), dataset: { place: name, testid: `tab-${name}` } }, words);
  const list = h("div.tabs", { role: "tablist", "aria-label": "Work spaces" }, PLACES.map(tab));
  const draw = () => {
    for (const one of list.children) {
      const here = one.dataset.place === state.place;
      one.setAttribute("aria-selected", String(here));
      one.tabIndex = here ? 0 : -1;
    }
  };
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const at = PLACES.findIndex(([name]) => name === state.place);
    go(PLACES[(at + step + PLACES.length) % PLACES.length][0]);
    list.querySelector('[aria-selected="true"]').focus();
  });
  PLACES.forEach(([name, words], number) => addCommand({ id: `place-${name}`, words, group: WORKSPACE, keys: [`Alt+${number + 1}`], run: () => go(name) }));
  on("place", () => {
    draw();
    address(state.place);
  });
  draw();
  return list;
}

/** Go to a work space. */
export function go(name) {
  if (name !== state.place) update({ place: name });
}

/** The address keeps the work space over a reload. */
function address(name) {
  const url = new URL(location.href);
  if (name === "read") url.searchParams.delete("place");
  else url.searchParams.set("place", name);
  history.replaceState(null, "", url);
}

/** The work space of the address. */
export function placeInAddress() {
  const name = new URL(location.href).searchParams.get("place");
  return PLACES.some(([known]) => known === name) ? name : "read";
}

/** Show in `app` what belongs to the work space that is looked at; `own` are Read's parts besides the stage. */
export function places(app, stage, own) {
  const made = {};
  const load = async (name) => {
    try {
      const parts = await LOADERS[name]();
      app.append(...parts);
      return parts;
    } catch {
      delete made[name];
      say("This work space could not be loaded. Reload the page; nothing is lost.", "bad", ["Reload", () => location.reload()]);
      return [];
    }
  };
  const follow = () => {
    const { place } = state;
    if (place !== "review" && place !== "teach") giveBack();
    app.dataset.place = place;
    for (const part of own) part.inert = place !== "read";
    stage.inert = place === "train";
    if (LOADERS[place]) made[place] ??= load(place);
    for (const [name, parts] of Object.entries(made)) parts.then((all) => all.forEach((part) => { part.hidden = name !== state.place; }));
  };
  on("place", follow);
}
