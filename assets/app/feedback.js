// What the reader says of an answer, under the answer: one key agrees, one opens the form. Every change is a row of its own, and
// the rows before it stay to be seen.
import { post } from "./api.js";
import { unseen } from "./calibration.js";
import { fill, h, icon, iconButton, moment, plural } from "./dom.js";
import { fateOf, lookAtFlags } from "./flags.js";
import { inWords, offer, statementForm } from "./statement.js";
import { state, update } from "./state.js";
import { attempt } from "./toast.js";
import { addCommand } from "./toolbar.js";

const VERDICTS = { agree: "You agree", disagree: "You disagree" };

/** Keep a statement and put its row where the page shows it; the row, or undefined when it was refused. */
export async function keepStatement(turn, version, said) {
  const kept = await attempt(() => post("/api/feedback", { version_id: version.id, ...said }));
  if (!kept) return undefined;
  const add = (one) => (one.id === version.id ? { ...one, feedback: [...one.feedback, kept.feedback] } : one);
  update({ turns: state.turns.map((each) => (each.id === turn.id ? { ...each, versions: each.versions.map(add) } : each)) });
  lookAtFlags();
  return kept.feedback;
}

/** Marks of this case that lie on an image of the question, as places a statement may point at. */
function places(turn) {
  const marks = state.drawn?.marks ?? [];
  return marks.flatMap((mark) => {
    const image = turn.slots.findIndex((slot) => slot.series_id === mark.series_id && slot.frame === mark.frame);
    if (image < 0) return [];
    const where = turn.slots[image].role || `image ${image + 1}`;
    return [[`${mark.label || mark.text || mark.kind} on ${where}`, { image, label: mark.label, kind: mark.kind, points: mark.points }]];
  });
}

/** The reader's statement on the version a turn shows. `redraw` draws the turn anew. */
export class Feedback {
  constructor(redraw) {
    this.redraw = redraw;
    this.past = false; // the rows before
    this.forms = new Map(); // version id -> its form while it is open, null before it is drawn; what was written outlives a drawing anew
  }

  /** Another version is shown: the rows before are folded. */
  close() {
    this.past = false;
  }

  buttons(turn, version) {
    const last = version.feedback.at(-1);
    const one = (kind, words) => iconButton(kind, words, () => this.judge(kind, turn, version), { classes: `plain small ${kind === "agree" ? "good" : "bad"}`, "aria-pressed": String(last?.verdict === kind), "data-testid": kind });
    return [one("agree", "Agree with this answer (Y)"), one("disagree", "Disagree with this answer (Shift Y)")];
  }

  async judge(verdict, turn, version) {
    const said = version.feedback.at(-1)?.verdict === verdict;
    if (this.busy) return;
    this.busy = true; // once, however often it is pressed
    const kept = said || (await keepStatement(turn, version, { verdict }));
    this.busy = false;
    if (!kept) return;
    const begun = this.forms.get(version.id)?.dataset.begun; // what is written is left to its writer
    if (!begun && verdict === "disagree") this.forms.set(version.id, null);
    if (!begun && verdict === "agree") this.forms.delete(version.id);
    this.redraw();
  }

  /** What stands, the form while it is open, the history on request. */
  element(turn, version) {
    const last = version.feedback.at(-1);
    const parts = [last && this.line(version, last), this.past && history(version.feedback)];
    if (this.forms.has(version.id)) parts.push(this.editor(turn, version, last));
    return h("div.feedback", {}, parts);
  }

  line(version, last) {
    const words = inWords(last);
    const many = version.feedback.length;
    return h(`div.verdict.${last.verdict || "none"}`, {},
      h("p", { dataset: { testid: "verdict" } }, h("strong", {}, VERDICTS[last.verdict] ?? (last.corrected_answer || words.length ? "You corrected it" : "You said")), words.length > 0 && h("span", {}, `: ${words.join(", ")}`), last.comment && h("span", {}, `: ${last.comment}`)),
      last.corrected_answer && h("p.corrected", { dataset: { testid: "corrected-answer" } }, last.corrected_answer),
      last.mark && h("p.quiet", {}, `Points at ${last.mark.label || "a place"} on image ${last.mark.image + 1}`),
      last.preferred_over && h("p.quiet", {}, "Better than another version"),
      fateOf(version.id),
      h("div.row", {},
        !this.forms.has(version.id) && h("button.button.plain.small", { type: "button", onclick: () => { this.forms.set(version.id, null); this.redraw(); }, dataset: { testid: "edit-feedback" } }, icon("edit"), "Say more"),
        many > 1 && h("button.button.plain.small", { type: "button", "aria-expanded": String(this.past), onclick: () => { this.past = !this.past; this.redraw(); }, dataset: { testid: "feedback-history" } }, this.past ? "Hide history" : plural(many, "statement"))));
  }

  editor(turn, version, last) {
    if (this.forms.get(version.id)) return this.forms.get(version.id);
    const box = h("div", { dataset: { testid: "feedback-form" } });
    this.forms.set(version.id, box);
    for (const act of ["input", "click", "keydown"]) box.addEventListener(act, () => { box.dataset.begun = "true"; });
    const leave = () => {
      this.forms.delete(version.id);
      this.redraw();
    };
    const keep = async (value) => {
      const { verdict: _, ...said } = value;
      said.cells = Object.fromEntries(Object.entries(value.cells).filter(([finding, name]) => name !== (last?.cells?.[finding] ?? ""))); // others may have been pressed in the matrix since
      const now = state.turns.flatMap((one) => one.versions).find((one) => one.id === version.id);
      const agreed = now?.feedback.at(-1)?.verdict === "agree" && !said.codes.length;
      if (this.busy) return;
      this.busy = true;
      const row = await keepStatement(turn, version, { ...said, verdict: agreed ? "agree" : "disagree" });
      this.busy = false;
      if (row) leave();
    };
    const rivals = turn.versions.filter((one) => one.id !== version.id && one.text).map((one) => [one.id, `Better than version ${one.number}`]);
    attempt(offer).then((form) => {
      if (!form) return;
      const made = statementForm({ form, said: last, findings: Object.keys(version.progression), overall: Boolean(version.checks.overall), answer: unseen(version) ? "" : version.text, places: places(turn), rivals, words: "Keep", comment: "Comment on this answer", keep, leave });
      fill(box, made.element, h("p.quiet", {}, "Reviewers will see this question with its images before anything is learned from it."));
      made.focus();
      box.scrollIntoView({ block: "nearest" });
    });
    return box;
  }
}

function history(rows) {
  return h("ol.history", { "aria-label": "What you said before", dataset: { testid: "history" } }, rows.map((row) => h("li", {},
    h("span.quiet.number", {}, moment(row.created)), " ",
    [VERDICTS[row.verdict]?.replace("You ", "") ?? "corrected", ...inWords(row), row.corrected_answer && `“${row.corrected_answer}”`, row.comment].filter(Boolean).join(" · "))));
}

/** Keys for the last answer. */
export function feedbackKeys() {
  const press = (name) => () => [...document.querySelectorAll(`.thread [data-testid="${name}"]`)].at(-1)?.click();
  const enabled = () => state.place === "read" && state.turns.some((turn) => turn.versions.length);
  addCommand({ id: "agree", words: "Agree with the last answer", group: "ask", keys: ["y"], run: press("agree"), enabled });
  addCommand({ id: "disagree", words: "Disagree with the last answer, and say how", group: "ask", keys: ["Shift+y"], run: press("disagree"), enabled });
}
