// What the question takes of the model's context, counted before it is sent. Nothing is ever cut in silence: what does not fit is
// not sent, and what is left out is said.
import { call } from "./api.js";
import { h } from "./dom.js";
import { on, state } from "./state.js";

const PATIENCE = 350; // ms of rest before the count is asked for
const number = new Intl.NumberFormat("en");

/** The meter: {element, reckon(draft), why()}; `reckon(null)` empties it. `told()` is called when the count is there. */
export function budget(told) {
  const amount = h("span.amount-of", { "aria-hidden": "true" });
  const words = h("span.number");
  const element = h("div.meter", { role: "meter", "aria-label": "Context", "aria-valuemin": "0", hidden: true, dataset: { testid: "budget" } }, h("span.track", {}, amount), words);
  let found = null;
  let known = "";
  let last = null; // the draft
  let timer = 0;
  let abort = null;

  const show = () => {
    element.hidden = !found;
    if (!found) return;
    const { taken, whole, fits, exact } = found;
    words.textContent = `${exact ? "" : "≈ "}${number.format(taken)} / ${number.format(whole)}`;
    amount.style.setProperty("--share", Math.min(1, taken / whole).toFixed(3));
    element.dataset.fits = String(fits);
    element.setAttribute("aria-valuenow", String(taken));
    element.setAttribute("aria-valuemax", String(whole));
    element.setAttribute("aria-valuetext", sentence(found));
    element.title = sentence(found);
  };
  const count = async (draft) => {
    abort?.abort();
    abort = new AbortController();
    try {
      found = await (await call("POST", "/api/budget", draft, { signal: abort.signal })).json();
    } catch (error) {
      if (error.name === "AbortError") return;
      found = null; // no engine yet, or a case that is gone: the question itself will say it
    }
    show();
    told();
  };
  const reckon = (draft) => {
    const key = draft && state.engine.state === "ready" ? JSON.stringify([state.engine.model, state.turns.map((turn) => turn.versions.length), draft]) : "";
    last = draft;
    if (key === known) return;
    known = key;
    clearTimeout(timer);
    if (key) timer = setTimeout(() => count(draft), PATIENCE);
    else {
      abort?.abort();
      found = null;
      show();
    }
  };
  on("checking", () => { // the engine is free again: it can count itself what was reckoned meanwhile
    if (state.checking || !found || found.exact) return;
    const draft = last;
    known = "";
    reckon(draft);
  });
  const why = () => (found && !found.fits ? `The question takes ${number.format(found.taken)} tokens with its images and the model holds ${number.format(found.whole)}; use fewer images, fewer words or a new session.` : "");
  return { element, reckon, why };
}

function sentence(found) {
  const parts = [`images ${number.format(found.images)}`, `words ${number.format(found.words)}`];
  if (found.earlier_questions) parts.push(`${found.earlier_questions} earlier ${found.earlier_questions === 1 ? "question" : "questions"} ${number.format(found.earlier)}`);
  parts.push(`room for the answer ${number.format(found.answer)}`);
  const how = found.exact ? "Counted by the model" : "Reckoned, because the model cannot be asked now";
  return [`${number.format(found.taken)} of ${number.format(found.whole)} tokens: ${parts.join(", ")}. ${how}.`, found.left_out].filter(Boolean).join(" ");
}
