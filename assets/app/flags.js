// What became of what a reader said: how far reviewers came with it, and what each candidate answers when it is asked again.
import { get } from "./api.js";
import { open } from "./ask.js";
import { fill, h, icon, moment } from "./dom.js";
import { panel } from "./panels.js";
import { inWords } from "./statement.js";
import { on, state, update } from "./state.js";

const STANDS = {
  pending: "Waits for a reviewer",
  skipped: "Waits for another reviewer",
  disputed: "A reviewer contradicts it; an adjudicator decides",
};
const DECIDED = { true: "Confirmed; the next dataset version may hold it", false: "Decided: nothing is learned from it" };
const FATES = {
  "fixed": ["good", "Fixed"],
  "still right": ["good", "Still right"],
  "still wrong": ["warn", "Still wrong"],
  "newly broken": ["bad", "Broken"],
};

Object.assign(state, { flags: new Map() }); // version id -> {flag, fate}

/** Ask what became of everything this reader said. */
export async function lookAtFlags() {
  const found = await get("/api/flags").catch(() => null); // what stands is shown until it can be asked again
  if (found) update({ flags: new Map(found.map((one) => [one.flag.version, one])) });
  return found !== null;
}

const stands = (flag) => STANDS[flag.state] ?? DECIDED[flag.accepted];

/** What a candidate said when it was asked again, in one line. */
export function fateLine(fate) {
  const [kind, word] = FATES[fate.state];
  const who = fate.live ? "which answers now" : "which does not answer now";
  const same = fate.before === fate.after;
  return [
    h(`span.fatetag.${kind}`, {}, icon(kind === "good" ? "check" : "warning"), word),
    h("span", { title: `Asked again: ${fate.question}` }, "Asked again ", h("strong", {}, fate.run), `, ${who}, says `, h("q", {}, fate.after || "nothing"), !same && [" where ", h("q", {}, fate.before || "nothing"), " was said"], fate.state.includes("wrong") || fate.state.includes("broken") ? [" and ", h("q", {}, fate.right), " is right"] : "", "."),
    fate.kept && h("span.quiet", {}, "Every later candidate must have it right."),
  ];
}

/** Under a statement: what became of it, as far as it is known; it follows what is asked again. */
export function fateOf(version) {
  const element = h("p.fate", { dataset: { of: version, testid: "fate" } });
  follow(element);
  return element;
}

function follow(element) {
  const found = state.flags.get(Number(element.dataset.of));
  element.hidden = !found;
  if (found) fill(element, found.fate ? fateLine(found.fate) : h("span.quiet", {}, `${stands(found.flag)}.`));
}

on("flags", () => document.querySelectorAll(".fate[data-of]").forEach(follow));
let looked = null;
on("session", () => {
  if (state.session?.id === looked) return;
  looked = state.session?.id ?? null;
  if (looked) lookAtFlags();
});

/** Everything this reader said, newest first; `choose(flag)` goes there. */
export function flagList(choose) {
  const list = h("ol.caselines.flaglist", { dataset: { testid: "flags" } }, h("li.quiet.none", {}, "Reading…"));
  const draw = (read) => {
    const found = [...state.flags.values()];
    if (!read && !found.length) return void fill(list, h("li.quiet.none", {}, "What you said could not be read now; open this list again."));
    fill(list, found.length ? found.map((one) => h("li", {}, line(one, choose))) : h("li.quiet.none", {}, "You have said nothing of an answer yet. What you flag stands here, and what became of it."));
  };
  lookAtFlags().then(draw);
  return list;
}

function line({ flag, fate }, choose) {
  const [kind, word] = fate ? FATES[fate.state] : [flag.accepted ? "good" : "", flag.accepted ? "Confirmed" : flag.state];
  const said = inWords(flag.said);
  const title = said.length ? said.join(", ") : { agree: "Agreed", disagree: "Wrong, not said how" }[flag.said.verdict] ?? "Corrected";
  return h("button.caseline", { type: "button", onclick: () => choose(flag), title: fate ? `Asked again: ${fate.question}` : stands(flag), dataset: { testid: "flag", version: flag.version } },
    h("span.first", {}, h("strong.clip", {}, title), h(`span.fatetag.${kind || "quiet"}`, {}, word)),
    h("span.question-line.clip", {}, flag.question),
    h("span.quiet.clip.number", {}, fate ? [`${fate.run}: ${fate.after || "nothing"}`, fate.live ? "answers now" : "not live", moment(fate.made)].join(" · ") : [stands(flag), moment(flag.updated)].join(" · ")));
}

/** The panel of Read. */
export function flagPanel() {
  const body = h("div.flagbody", {});
  panel("flags", "What you flagged", body, () => fill(body, flagList((flag) => open(flag.session))));
}
