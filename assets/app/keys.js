// One key for what readers do most. Never while they write. What can be done is in toolbar.js; how a key is spelled and
// found is in ui/viewer/src/compare/keymap.ts.
import { commandOf, keyOf, keysOf, remap, restored, spoken } from "/app/viewer/compare.js";
import { stop } from "./ask.js";
import { fill, h, iconButton } from "./dom.js";
import { close } from "./panels.js";
import { state } from "./state.js";
import { WORKSPACE } from "./tabs.js";
import { addCommand, commands } from "./toolbar.js";

const OWN = "interval.keys";

/** Keys the reader chose instead of ours, by command. */
let chosen = {};

function choose(keys) {
  chosen = keys;
  try { localStorage.setItem(OWN, JSON.stringify(keys)); } catch { /* this tab alone knows */ }
}

/** Keys that are not commands: what the browser and the question box do with them. */
const FIXED = [["Enter", "Ask; Shift Enter for a new line"], ["Esc", "Stop the answer"], ["Tab", "Next viewport or control"], ["Wheel", "Scroll; with Ctrl, or on one image, zoom"], ["1 – 9", "Windows of the modality, in the order of the menu"]];

/** The list of keys; a click on one takes the next key pressed in its place. */
export function keysDialog() {
  const list = h("div.keylist");
  const told = h("p.told.quiet", { role: "status", dataset: { testid: "keys-told" } });
  const back = h("button.button.small", { type: "button", onclick: () => { choose({}); dialog.draw("All keys are as they were at first."); }, dataset: { testid: "keys-reset" } }, "As at first");
  const dialog = h("dialog.keys", { "aria-label": "Keyboard shortcuts" },
    h("header", {}, h("h2", {}, "Keyboard"), told, back, iconButton("close", "Close", () => dialog.close())), list);
  let waiting = null;
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("keydown", (event) => {
    const key = keyOf(event);
    if (!waiting || !key || key === "Tab") return;
    event.preventDefault();
    event.stopPropagation();
    const { id } = waiting;
    waiting = null;
    if (key === "Escape") return dialog.draw("");
    const { chosen: next, lost, refused } = remap(commands, chosen, id, key);
    if (!refused) choose(next);
    dialog.draw(refused || (lost ? `${spoken(key)} was taken from “${lost}”.` : ""));
    list.querySelector(`[data-command="${id}"]`)?.focus();
    return undefined;
  });
  dialog.addEventListener("close", () => { waiting = null; });
  const key = (one) => {
    const keys = keysOf(one, chosen);
    const words = keys.length ? keys.slice(0, 2).map((each) => h("kbd", {}, spoken(each))) : h("kbd", {}, "none");
    return h("button.key", { type: "button", title: "Click, then press another key", "aria-label": `${one.words}: ${keys.map(spoken).join(" or ") || "no key"}; change`, dataset: { command: one.id }, onclick: (event) => { waiting = one; event.currentTarget.replaceChildren(h("kbd", {}, "press a key")); } }, words);
  };
  dialog.draw = (text = "") => {
    told.textContent = text || "Click a key to change it.";
    back.hidden = !Object.keys(chosen).length;
    const names = [...new Set(commands.map((one) => one.group))];
    fill(list, names.map((name) => {
      const own = commands.filter((one) => one.group === name && !one.quiet && (one.keys.length || keysOf(one, chosen).length));
      return own.length ? h("section", {}, h("h3.caps", {}, name), h("dl", {}, own.map((one) => [h("dt", {}, key(one)), h("dd", {}, one.words)]))) : null;
    }), h("section", {}, h("h3.caps", {}, "Always"), h("dl", {}, FIXED.map(([name, words]) => [h("dt", {}, h("kbd", {}, name)), h("dd", {}, words)]))));
  };
  return dialog;
}

/** Whether a command has anything to do with the work space that is looked at: none but Read asks, Train has no images. */
const here = ({ group, id }) => group === WORKSPACE || id === "keys" || state.place === "read" || (["review", "teach"].includes(state.place) && group !== "Ask");

export function listen(showKeys, toggleRail) {
  addCommand({ id: "question", words: "Go to the question", group: "ask", keys: ["/"], run: () => { close(); document.getElementById("iv-question").focus(); } });
  addCommand({ id: "rail", words: "Show or hide the list", group: "go", keys: ["["], run: toggleRail });
  addCommand({ id: "keys", words: "This list", group: "go", keys: ["?"], run: showKeys });
  try { chosen = restored(commands, localStorage.getItem(OWN)); } catch { /* as at first */ }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.querySelector("dialog[open], :popover-open")) return undefined;
    if (event.key === "Escape" && state.running && state.place === "read" && !event.defaultPrevented) return stop();
    if (event.target.closest("input:not([type=range]), textarea, select, dialog")) return undefined;
    if (event.target.closest("[role=radio], input[type=range], .thread, .rail") && /^(Arrow|Page|Home|End)/.test(event.key)) return undefined;
    const command = commandOf(commands, chosen, keyOf(event));
    if (!command || !command.enabled() || !here(command)) return undefined;
    event.preventDefault();
    return command.run();
  });
}
