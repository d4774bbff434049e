// One key for what readers do most. Never while they write. What can be done is in toolbar.js; how a key is spelled and
// found is in ui/viewer/src/compare/keymap.ts.
import { commandOf, keyOf, keysOf, spoken } from "/app/viewer/compare.js";
import { stop } from "./ask.js";
import { fill, h, iconButton } from "./dom.js";
import { state } from "./state.js";
import { addCommand, commands } from "./toolbar.js";

/** Keys the reader chose instead of ours, by command. */
export const chosen = {};

/** Keys that are not commands: what the browser and the question box do with them. */
const FIXED = [["Enter", "Ask; Shift Enter for a new line"], ["Esc", "Stop the answer"], ["Tab", "Next viewport or control"], ["Wheel", "Scroll; with Ctrl, or on one image, zoom"]];

export function keysDialog() {
  const list = h("div.keylist");
  const dialog = h("dialog.keys", { "aria-label": "Keyboard shortcuts" },
    h("header", {}, h("h2", {}, "Keyboard"), iconButton("close", "Close", () => dialog.close())), list);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.draw = () => {
    const names = [...new Set(commands.map((one) => one.group))];
    const row = (keys, words) => [h("dt", {}, keys.map((key) => h("kbd", {}, key))), h("dd", {}, words)];
    fill(list, names.map((name) => {
      const own = commands.filter((one) => one.group === name && keysOf(one, chosen).length);
      return own.length ? h("section", {}, h("h3.caps", {}, name), h("dl", {}, own.map((one) => row(keysOf(one, chosen).slice(0, 2).map(spoken), one.words)))) : null;
    }), h("section", {}, h("h3.caps", {}, "Always"), h("dl", {}, FIXED.map(([key, words]) => row([key], words)))));
  };
  return dialog;
}

export function listen(showKeys, toggleRail) {
  addCommand({ id: "question", words: "Go to the question", group: "ask", keys: ["/"], run: () => document.getElementById("iv-question").focus() });
  addCommand({ id: "rail", words: "Show or hide the list", group: "go", keys: ["["], run: toggleRail });
  addCommand({ id: "keys", words: "This list", group: "go", keys: ["?"], run: showKeys });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.running && !document.querySelector("dialog[open], :popover-open")) return stop();
    if (event.target.closest("input:not([type=range]), textarea, select, dialog")) return undefined;
    if (event.target.closest("[role=radio], input[type=range], .thread, .rail") && /^(Arrow|Page|Home|End)/.test(event.key)) return undefined;
    const command = commandOf(commands, chosen, keyOf(event));
    if (!command || !command.enabled()) return undefined;
    event.preventDefault();
    return command.run();
  });
}
