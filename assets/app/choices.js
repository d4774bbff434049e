// Multiple choice: the options as rows of their own, or read out of a pasted question. A question is sent with its options as
// "A: worse", one a line, which the checks understand.
import { fill, h, icon, iconButton } from "./dom.js";
import { on, state, update } from "./state.js";

export const LETTERS = "ABCDEFGH";
const OPTION = /^[ \t]*\(?([A-H])[):.][ \t]*(\S.*?)[ \t]*$/gm;
const USUAL = ["worse", "stable", "improved"];

/** A question whose last lines list lettered options, as {stem, options}; else null. */
export function parsed(text) {
  const found = [...text.matchAll(OPTION)];
  if (found.length < 2 || found.some((match, at) => match[1] !== LETTERS[at])) return null;
  const last = found.at(-1);
  if (text.slice(last.index + last[0].length).trim()) return null;
  return { stem: text.slice(0, found[0].index).trim(), options: found.map((match) => match[2]) };
}

/** The question with its options, as it is sent. */
export function worded(text) {
  const options = (state.choices ?? []).map((one) => one.trim()).filter(Boolean);
  return state.choices ? [text.trim(), ...options.map((one, at) => `${LETTERS[at]}: ${one}`)].join("\n") : text.trim();
}

/** What is wrong with the options, in a sentence, or "". */
export function faulty() {
  const options = (state.choices ?? []).map((one) => one.trim()).filter(Boolean);
  if (!state.choices) return "";
  if (options.length < 2) return "A multiple-choice question needs two options at least; fill them in, or take the options away.";
  return new Set(options).size < options.length ? "Two options are the same; change one." : "";
}

/** The rows. `send()` asks; `leave()` goes back to the question. */
export function choiceRows(send, leave) {
  const rows = h("ol.rows");
  const add = h("button.button.plain.small", { type: "button", onclick: () => put([...state.choices, ""], state.choices.length), dataset: { testid: "choice-add" } }, icon("plus"), "Option");
  const usual = h("button.button.plain.small", { type: "button", onclick: () => put([...USUAL], 0), title: "Fill in worse, stable and improved" }, USUAL.join(", "));
  const close = h("button.button.plain.small", { type: "button", onclick: () => { update({ choices: null }); leave(); }, dataset: { testid: "choices-close" } }, "No options");
  const element = h("fieldset.choices", { dataset: { testid: "choices" } }, h("legend", {}, "Options to choose from"), rows, h("div.row", {}, add, usual, h("span.gap"), close));
  const put = (choices, at) => {
    update({ choices });
    rows.querySelectorAll("input")[at]?.focus();
  };
  const input = (text, at) => {
    const field = h("input", { type: "text", value: text, "aria-label": `Option ${LETTERS[at]}`, placeholder: at < 2 ? "An answer to choose" : "Another answer", dataset: { testid: "choice" } });
    field.addEventListener("input", () => { update({ choices: state.choices.with(at, field.value) }); });
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      const next = rows.querySelectorAll("input")[at + 1];
      if (next) next.focus();
      else if (!field.value.trim() || state.choices.length === LETTERS.length) send();
      else put([...state.choices, ""], at + 1);
    });
    return field;
  };
  const draw = () => {
    const options = state.choices ?? [];
    const shown = [...rows.querySelectorAll("input")];
    add.disabled = options.length >= LETTERS.length;
    if (shown.length === options.length && shown.every((field, at) => field.value === options[at])) return;
    fill(rows, options.map((text, at) => h("li", {}, h("span.option-letter", { "aria-hidden": "true" }, LETTERS[at]), input(text, at),
      iconButton("close", `Take option ${LETTERS[at]} away`, () => put(options.toSpliced(at, 1), Math.max(0, at - 1)), { classes: "plain small", disabled: options.length <= 2 }))));
  };
  on("choices", draw);
  draw();
  return element;
}
