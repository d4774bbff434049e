// One question and its answers: words as they come, versions side by side in time, what the reader says of them, and where
// each came from. Text is only ever text here.
import { letters } from "./along.js";
import { again, branch } from "./ask.js";
import { fill, h, icon, iconButton, moment, plural, refill, seconds, sentence } from "./dom.js";
import { folded, unweighed, weighing, whyNot, withheld } from "./calibration.js";
import { chips, Evidence } from "./evidence.js";
import { Feedback } from "./feedback.js";
import { FORECAST, forecastMark } from "./forecast.js";
import { saw } from "./saw.js";
import { state, update } from "./state.js";
import { attempt, say } from "./toast.js";
import { check } from "./trust.js";

const STATES = { stopped: "Stopped by the reader", incomplete: "Incomplete: the engine ended early" };
const ABILITIES = { temporal: "temporal", comparison: "comparison", reasoning: "reasoning", coreference: "co-reference" };

export class TurnView {
  constructor(turn, follow) {
    this.follow = follow;
    this.chosen = null; // index of the version shown; null: the last
    this.opened = false; // what the model saw
    this.regenerate = null; // its button, which rests while any question is being answered
    this.feedback = new Feedback(() => this.redraw());
    this.answer = h("div.answer", { dataset: { testid: "answer" }, "aria-live": "polite" });
    this.evidence = new Evidence();
    this.foot = h("div.foot");
    this.question = h("p.question", { dataset: { testid: "question" } }, turn.question);
    const edit = iconButton("edit", "Change this question and ask again", () => update({ draft: { question: turn.question, ability: turn.ability } }), { classes: "plain small", "data-testid": "edit-question" });
    const told = Object.values(turn.clinical ?? {}).some(Boolean);
    const went = [turn.marks?.length > 0 && `with ${turn.marks.length > 1 ? "marks" : "mark"} ${letters(turn.marks)}`, told && "with clinical context"];
    const roles = turn.slots.map((slot, number) => [slot.role || `image ${number + 1}`, slot.when].filter(Boolean).join(", "));
    this.about = h("p.about.quiet", {}, [ABILITIES[turn.ability] ?? turn.ability, plural(turn.slots.length, "image"), roles.join(" → "), ...went].filter(Boolean).join(" · "));
    this.element = h("li.turn", { dataset: { turn: turn.id, testid: "turn" } }, h("div.asked", {}, this.question, edit), this.about, forecastMark(turn.forecast), this.answer, this.evidence.element, this.foot);
  }

  show(turn, running) {
    if (this.regenerate) this.regenerate.disabled = Boolean(state.running);
    const key = `${running ? "run" : ""}|${turn.versions.map((one) => `${one.id}:${one.feedback.length}`).join()}`;
    const grown = this.turn && turn.versions.length > this.turn.versions.length;
    this.turn = turn;
    this.running = running;
    if (grown) {
      this.chosen = null;
      this.opened = false;
      this.feedback.close();
    }
    if (key !== this.key) this.draw(key, running);
    else running?.onStage?.();
    this.evidence.show(turn, running ? null : this.version);
    this.speak();
    this.fold();
  }

  /** An answer that is less often right than the reader asks for, or may be, gives way to the sentence that says so. */
  fold() {
    const words = this.answer.querySelector(".words");
    const { running, version } = this;
    const pending = weighing(version, running);
    const failed = pending && !running ? whyNot(version) : "";
    const why = pending ? "Being weighed: it is shown once it is known how often such answers are right here." : running || !version ? "" : (withheld(version, "answer")[""] ?? "");
    const as = failed || why;
    if (!words || (words.dataset.folded ?? "") === as) return;
    words.dataset.folded = as;
    words.hidden = Boolean(as);
    this.answer.querySelector(".withheld")?.remove();
    if (as) words.before(failed ? unweighed(this.turn, version, () => check(state.session.id, this.turn.id, version.id)) : pending ? h("p.withheld", { dataset: { testid: "weighing" } }, icon("eye"), why) : folded(version, "answer", why));
  }

  draw(key, running) {
    this.key = key;
    this.element.dataset.state = running ? "running" : (this.version?.state ?? "unanswered");
    if (running) this.stream(running);
    else this.rest();
  }

  get at() {
    return this.chosen ?? this.turn.versions.length - 1;
  }

  get version() {
    return this.turn.versions[this.at] ?? null;
  }

  /** Words as they come: each token only adds to one text node, each stage only says another. */
  stream(running) {
    const words = document.createTextNode(running.text);
    running.onToken = (text) => {
      words.appendData(text);
      this.follow();
    };
    fill(this.answer, h("p.words", {}, words, h("span.caret", { "aria-hidden": "true" })));
    const stage = h("span", { role: "status" });
    const left = h("span", { "aria-hidden": "true", dataset: { testid: "left" } });
    if (this.foot.contains(document.activeElement)) this.held = document.activeElement.dataset.testid;
    fill(this.foot, h("p.stage-words", { dataset: { testid: "stage" } }, h("span.pulse", { "aria-hidden": "true" }), stage, left));
    running.onStage = () => {
      stage.textContent = running.stage;
      this.count(left, running.until);
    };
    running.onStage();
  }

  /** Seconds that are left, told every second until none is. */
  count(element, until) {
    clearTimeout(this.counting);
    const rest = until ? Math.round((until - performance.now()) / 1000) : 0;
    element.textContent = rest > 0 ? `about ${rest} s left` : "";
    if (element.textContent) this.counting = setTimeout(() => element.isConnected && this.count(element, until), 1000);
  }

  /** Words that mean an image become chips once it is known what they mean; what is written meanwhile stays. */
  speak() {
    const meant = this.running ? null : state.spoken[this.version?.id];
    if (!meant || meant === this.meant) return;
    this.meant = meant;
    const words = this.answer.querySelector(".words");
    if (words && this.version.text) fill(words, chips(this.turn, this.version));
  }

  rest() {
    const { version } = this;
    this.meant = null;
    if (!version) {
      fill(this.answer, h("p.quiet", {}, "Not answered yet."));
      fill(this.foot, h("div.row", {}, this.againButton("Ask again")));
      return;
    }
    const note = STATES[version.state];
    fill(this.answer,
      h("p.words", {}, version.text || "The answer is empty."),
      note && h("p.note", {}, icon("warning"), note),
      version.warnings.map((text) => h("p.note", {}, icon("warning"), sentence(text))));
    refill(this.foot, this.actions(version), this.feedback.element(this.turn, version), this.provenance(version), this.opened && this.panel(version));
    if (this.held && document.activeElement === document.body) this.foot.querySelector(`[data-testid="${this.held}"]`)?.focus({ preventScroll: true });
    this.held = "";
  }

  redraw() {
    this.key = "";
    this.show(this.turn, state.running?.turn === this.turn.id ? state.running : null);
  }

  actions(version) {
    return h("div.row", {},
      this.feedback.buttons(this.turn, version),
      iconButton("copy", "Copy the answer", () => this.copy(version), { classes: "plain small" }),
      iconButton("branch", "Go on from here in a session of its own", () => branch(this.turn), { classes: "plain small", "data-testid": "branch" }),
      this.againButton("Regenerate"), h("span.gap"), this.switcher());
  }

  againButton(words) {
    const drawn = this.turn.versions.some((one) => one.state === "complete"); // as the server has it: greedy until there is a whole answer
    this.regenerate = h("button.button.plain.small", { type: "button", title: drawn ? "Another answer, drawn at temperature 0.7 with a seed of its own; the first was the likeliest" : "Answer this question", onclick: () => again(this.turn), disabled: Boolean(state.running), dataset: { testid: "again" } }, icon("again"), words);
    return this.regenerate;
  }

  switcher() {
    const { length } = this.turn.versions;
    if (length < 2) return null;
    const go = (by) => {
      this.chosen = Math.max(0, Math.min(length - 1, this.at + by));
      this.opened = false;
      this.feedback.close();
      this.redraw();
    };
    return h("div.versions", { role: "group", "aria-label": "Versions of the answer", dataset: { testid: "versions" } },
      iconButton("left", "Earlier version", () => go(-1), { classes: "plain small", disabled: this.at === 0, "data-testid": "earlier" }),
      h("span.number", {}, `${this.at + 1} of ${length}`),
      iconButton("right", "Later version", () => go(1), { classes: "plain small", disabled: this.at === length - 1, "data-testid": "later" }));
  }

  provenance(version) {
    const { timings } = version;
    const parts = [version.model, version.engine, timings.total_s && seconds(timings.total_s), moment(version.created)];
    return h("button.provenance", { type: "button", "aria-expanded": String(this.opened), dataset: { testid: "provenance" }, onclick: () => { this.opened = !this.opened; this.redraw(); } },
      h("span.clip.number", {}, parts.filter(Boolean).join(" · ")), h("span.see", {}, icon("eye"), this.opened ? "Hide" : "What the model saw"));
  }

  panel(version) {
    const box = h("div.saw", { dataset: { testid: "saw" } }, h("p.quiet", {}, "Reading…"));
    saw(box, state.session.id, this.turn.id, version.id).then(() => box.previousElementSibling?.scrollIntoView({ block: "start" }), (error) => fill(box, h("p.note", {}, icon("warning"), error.message), h("button.button.small", { type: "button", onclick: () => this.redraw() }, icon("again"), "Try again")));
    return box;
  }

  async copy(version) {
    if (this.answer.querySelector(".words")?.hidden) return say("The answer is withheld; show it before you copy it.");
    try {
      await navigator.clipboard.writeText(this.turn.forecast ? `${FORECAST}: ${version.text}` : version.text);
      say("The answer is on the clipboard.", "good");
    } catch {
      say("This browser does not let the page copy; select the answer and copy it by hand.");
    }
  }
}
