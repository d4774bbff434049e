// An answer's trust as the reader sees it: the state in words, its evidence one click away, the progression of each finding, and the
// words of the answer that point at an image. Shares are the model's own; a percentage of being right comes from reviewed answers alone.
import { calibrate, calibration, forget, percent, unseen, weighing, withheld } from "./calibration.js";
import { LETTERS, parsed } from "./choices.js";
import { fill, h, icon, redraw } from "./dom.js";
import { Matrix, SHARES } from "./matrix.js";
import { state } from "./state.js";
import { check, haltChecks } from "./trust.js";

const NAMES = {
  no_image: "Without the images", exchange: "Images exchanged", identical: "One image in every place", rotation: "Options turned round", decided: "First against second choice",
  said: "Words against the choice", paraphrase: "In other words", none_of_these: "Own choice taken away", undated: "Without the dates", samples: "Ten drawn answers", prior_guard: "Words against what was shown",
};
const MORE = { paraphrase: "Ask in other words", undated: "Leave the dates out", samples: "Draw ten answers" };
const MARKS = { coherent: "check", "image-based": "check", "order-blind": "swap", "image-blind": "eye", unstable: "warning", unchecked: "warning" };

/** The trust of one version, for one turn's view; what is open in it stays open. */
export class Evidence {
  constructor() {
    this.open = ""; // "", "checks", "calibration" or "matrix"
    this.samples = false; // the drawn answers
    this.stage = h("span", {}, "");
    this.box = h("div.trustbox");
    this.matrix = new Matrix();
    this.matrix.element.hidden = true;
    this.element = h("div.trust", { dataset: { testid: "trust" } }, this.box, this.matrix.element);
  }

  show(turn, version) {
    const mine = state.checking?.version === version?.id ? state.checking : null;
    const key = version && version.state === "complete" ? `${version.id}|${Object.keys(version.checks).join()}|${Boolean(mine)}|${this.open}|${JSON.stringify(state.spoken[version.id]?.measured ?? "")}|${version.feedback.at(-1)?.id}|${Object.keys(state.calibrated[version.id]?.findings.probabilities ?? { none: 0 }).length}|${state.at_least}|${["answer", "findings"].map((part) => Object.values(withheld(version, part)).join()).join("|")}|${unseen(version)}` : "";
    this.stage.textContent = mine?.stage ?? "";
    if (key === this.key) return;
    this.key = key;
    this.turn = turn;
    this.version = version;
    redraw(this.box, () => this.draw());
    if (key && version.checks.decided) calibrate(turn, version);
    const matrix = Boolean(key) && this.open === "matrix" && !weighing(version, null) && Object.keys(version.progression).length > 0;
    this.matrix.element.hidden = !matrix;
    if (matrix) this.matrix.show(turn, version);
    else this.matrix.hide();
  }

  draw() {
    const { key } = this;
    const mine = state.checking?.version === this.version?.id ? state.checking : null;
    const held = this.box.contains(document.activeElement) && document.activeElement.dataset.testid;
    forget(this.box);
    fill(this.box, key ? [this.options(), this.line(mine), this.flags(), this.open === "checks" && this.checks(mine), this.open === "calibration" && this.right !== undefined && this.calibration()] : []);
    if (held) (this.box.querySelector(`[data-testid="${held}"]`) ?? this.box.querySelector("button"))?.focus();
  }

  again() {
    this.key = null;
    this.show(this.turn, this.version);
  }

  toggle(name) {
    this.open = this.open === name ? "" : name;
    this.again();
    this.element.querySelector(`[data-opens="${name}"]`)?.focus();
  }

  line(mine) {
    const { trust } = this.version.checks;
    const opener = (name, props, ...words) => h("button.opener", { type: "button", "aria-expanded": String(this.open === name), onclick: () => this.toggle(name), ...props, dataset: { opens: name, ...props.dataset } }, ...words, icon("down"));
    const made = trust && trust.state !== "unchecked";
    return h("div.row", {},
      made && opener("checks", { dataset: { testid: "trust-state", trust: trust.state } }, icon(MARKS[trust.state] ?? "warning"), trust.words[0].toUpperCase() + trust.words.slice(1)),
      this.right !== undefined && opener("calibration", { dataset: { testid: "calibrated" } }, `Such answers: ${percent(this.right)} right`),
      Object.keys(this.version.progression).length > 0 && !weighing(this.version, null) && opener("matrix", { dataset: { testid: "matrix-open" } }, "Progression"),
      mine
        ? [h("span.making", { dataset: { testid: "checking" } }, h("span.pulse", { "aria-hidden": "true" }), this.stage), h("button.button.plain.small", { type: "button", onclick: haltChecks, dataset: { testid: "checks-stop" } }, "Stop")]
        : !made && h("button.button.plain.small", { type: "button", onclick: () => this.ask([]), dataset: { testid: "check-answer" } }, icon("check"), "Check this answer"));
  }

  /** How often answers like this one were right here; undefined while too few were reviewed. */
  get right() {
    return state.calibrated[this.version.id]?.answer.probabilities[""];
  }

  calibration() {
    return h("section.evidence", { "aria-label": "How often such answers were right", dataset: { testid: "calibration" } }, calibration(state.calibrated[this.version.id].answer));
  }

  /** What a reader must not have to open anything for: a claim without a prior, and checks or measurements that say otherwise. */
  flags() {
    if (unseen(this.version)) return []; // they say what the answer says
    const { prior_guard: guard, said } = this.version.checks;
    const conflicts = (state.spoken[this.version.id]?.measured ?? []).filter((one) => one.conflicts);
    return [...[guard, said].filter((one) => one?.passed === false).map((one) => one.explanation), ...conflicts.map((one) => one.sentence)]
      .map((text) => h("p.flag", { dataset: { testid: "flag" } }, icon("warning"), text));
  }

  /** A multiple-choice question is answered by its options: how likely each is to the model, once that was weighed. */
  options() {
    const seen = this.version.checks.decided?.seen ?? {};
    const options = parsed(this.turn.question)?.options ?? [];
    if (unseen(this.version) || !options.length || !options.every((one) => one in seen)) return null;
    const most = Math.max(...options.map((one) => seen[one]));
    return h("ol.shares", { "aria-label": "Likelihood of each option", title: SHARES, dataset: { testid: "option-shares" } }, options.map((one, at) => h("li", { dataset: { top: String(seen[one] === most) } },
      h("span.option-letter", {}, LETTERS[at]), h("span.option", {}, one), h("span.bar", { style: { "--share": seen[one].toFixed(3) }, "aria-hidden": "true" }), h("span.number", {}, seen[one].toFixed(2).replace(/^0/, "")))));
  }

  ask(names) {
    check(state.session.id, this.turn.id, this.version.id, names);
  }

  checks(mine) {
    const { checks } = this.version;
    if (unseen(this.version)) return h("section.evidence", { "aria-label": "Evidence of the checks", dataset: { testid: "evidence" } }, h("p.quiet", {}, "The evidence says what the answer is: show the answer first."));
    const found = Object.keys(NAMES).filter((name) => checks[name]?.explanation);
    const made = found.filter((name) => checks[name].verdict !== "not made");
    const left = found.filter((name) => checks[name].verdict === "not made" && name !== "prior_guard");
    const measured = state.spoken[this.version.id]?.measured ?? [];
    const more = [["paraphrase", "none_of_these"], ["undated"], ["samples"]].filter((names) => !checks[names[0]]);
    const asked = checks.decided?.question ?? ""; // what stands for an open question
    return h("section.evidence", { "aria-label": "Evidence of the checks", dataset: { testid: "evidence" } },
      h("p", {}, checks.trust.explanation),
      asked && asked !== this.turn.question && h("p.quiet", { dataset: { testid: "stands-for" } }, `What is checked stands for your question: “${asked}”`),
      h("ul", {}, made.map((name) => one(name, checks[name], asked, { open: this.samples, ontoggle: (event) => { this.samples = event.target.open; } })), measured.map((each) => h("li.found", { dataset: { passed: each.conflicts ? "false" : "null" } }, h("h3", {}, "Measured against said"), h("p.quiet", {}, each.sentence)))),
      left.length > 0 && h("p.quiet", {}, "Not made: ", left.map((name) => `${NAMES[name].toLowerCase()} (${checks[name].explanation.replace(/\.$/, "")})`).join("; "), "."),
      more.length > 0 && !mine && h("div.row", {}, more.map((names) => h("button.button.small", { type: "button", onclick: () => this.ask(names), dataset: { testid: `more-${names[0]}` } }, MORE[names[0]]))),
      h("p.quiet", {}, SHARES), this.right === undefined && this.version.id in state.calibrated && calibration(state.calibrated[this.version.id].answer));
  }
}

function cell(name, shares) {
  const share = shares[name];
  if (share === undefined) return h("td");
  const top = share === Math.max(...Object.values(shares));
  return h("td", { dataset: { top: String(top), share: share.toFixed(3) } }, h("span.amount", { style: { "--share": share.toFixed(3) }, "aria-hidden": "true" }), h("span.number", {}, share.toFixed(2).replace(/^0/, "")));
}

function one(name, made, asked, unfold) {
  const classes = Object.keys(made.seen).filter((each) => each in made.found);
  const bars = name !== "decided" && classes.length > 0 && h("table.sides", {},
    h("thead", {}, h("tr", {}, h("td"), classes.map((each) => h("th", { scope: "col" }, each)))),
    h("tbody", {}, [["as asked", made.seen], ["checked", made.found]].map(([words, shares]) => h("tr", {}, h("th", { scope: "row" }, words), classes.map((each) => cell(each, shares))))));
  const told = made.details.length > 0 && name === "samples" && h("details", unfold, h("summary", { dataset: { testid: "drawn-answers" } }, "The drawn answers"), h("ol", {}, made.details.map((text) => h("li", {}, text || "no words"))));
  const other = made.question && asked && made.question !== asked && name !== "prior_guard" && h("p.quiet", {}, `Asked: “${made.question}”`);
  return h("li.found", { dataset: { check: name, passed: String(made.passed) } },
    h("h3", {}, icon(made.passed === false ? "warning" : made.passed ? "check" : "eye"), NAMES[name], h("span.verdict-words", {}, made.verdict)), h("p.quiet", {}, made.explanation), other, bars, told);
}

/** An answer's words; those that mean an image, a time, a side or a mark light up the viewports they mean. */
export function chips(turn, version) {
  const { text } = version;
  const parts = [];
  let at = 0;
  for (const one of state.spoken[version.id]?.mentions ?? []) {
    // Positions count characters as Python does; text with characters beyond the basic plane is left as it is.
    if (text.slice(one.start, one.end) !== one.text) continue;
    parts.push(text.slice(at, one.start), mention(turn, one));
    at = one.end;
  }
  return [...parts, text.slice(at)].filter(Boolean);
}

function mention(turn, one) {
  if (!one.images.length) return h("span.mention.lost", { role: "note", title: `This points at nothing: ${one.reason}.`, "aria-label": `${one.text} (points at nothing: ${one.reason})`, dataset: { testid: "mention", lost: "true" } }, one.text);
  const places = one.images.map((image) => turn.slots[image]?.role || `image ${image + 1}`).join(", ");
  const light = (lit) => one.images.forEach((image) => viewportsOf(turn.slots[image], image).forEach((element) => element.classList.toggle("meant", lit)));
  const props = { tabindex: "0", role: "note", title: `Means ${places}${one.side ? `, the patient's ${one.side === "both" ? "both sides" : one.side}` : ""}${one.mark ? `, mark ${one.mark}` : ""}`, dataset: { testid: "mention", images: one.images.join() } };
  for (const name of ["mouseenter", "focus"]) props[`on${name}`] = () => light(true);
  for (const name of ["mouseleave", "blur"]) props[`on${name}`] = () => light(false);
  return h("span.mention", props, one.text); // a span, because words must break where they broke before: nothing may move
}

/** Viewports that show the image of a question: the one at its place, else wherever its series hangs. */
function viewportsOf(slot, image) {
  if (!slot) return [];
  const all = [...document.querySelectorAll(`.stage .viewport[data-series="${slot.series_id}"]`)];
  const there = all.filter((element) => element.dataset.testid === `viewport-${image + 1}`);
  return there.length ? there : all;
}
