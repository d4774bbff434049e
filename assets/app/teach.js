// The Teach work space: a case library with known truth at the left, the case on the stage, a blind read at the right. Nothing of the truth
// is on this page before a reading is committed; then the model says what it reads, and last comes the reference.
import { get, post } from "./api.js";
import { fill, h, icon, moment, plural, refill } from "./dom.js";
import { lend } from "./guest.js";
import { Matrix } from "./matrix.js";
import { on, state } from "./state.js";
import { attempt } from "./toast.js";

const WAIT = 1500; // milliseconds between looks while the demo cases are brought in for the first time
const HOW = ["Look at both images, then say of each finding how it changed: arrow keys move, Enter chooses.", "A finding that neither image shows is stable. Say uncertain where you cannot tell; it counts neither as right nor as wrong.", "Commit once. Then see what the model says, then the reference."];

/** The matrix without a model: rows of a case's findings, a word for each until it is committed; then the model's bars behind the words. */
class BlindMatrix extends Matrix {
  constructor(changed) {
    super();
    this.changed = changed;
    this.open = true;
    fill(this.element, this.plot, this.told);
  }

  /** `cells` has a word ('' for none) of every finding; `progression` is the model's once it is shown. */
  lay(cells, progression = {}) {
    this.cells = cells;
    this.show(null, { id: "blind", progression, checks: {}, feedback: [{ cells }] });
  }

  put(finding, name) {
    if (!this.open) return;
    this.lay({ ...this.cells, [finding]: name });
    this.changed(this.cells);
  }

  tell(cells) {
    const left = Object.values(cells).filter((name) => !name).length;
    const seen = Object.keys(this.version.progression).length > 0;
    const words = seen ? "Framed: your words. Bars: shares of the model's own likelihood; they do not say how often it is right." : !this.open ? "Committed. Nothing of it can be changed." : left ? `${plural(left, "finding")} without a word.` : "Every finding has a word.";
    fill(this.told, icon(seen ? "info" : left ? "edit" : "check"), h("span", {}, words));
  }
}

/** The two parts of the work space beside the stage. */
export async function teach() {
  const desk = new Desk();
  const enter = () => { if (state.place === "teach") desk.enter(); }; // whoever went on while this was loaded keeps their images
  on("place", enter);
  enter();
  return [desk.list, desk.pane];
}

class Desk {
  constructor() {
    this.lines = h("ol.caselines", { dataset: { testid: "teach-cases" } });
    this.list = h("nav.queue", { "aria-label": "Case library" }, h("div.queuehead", {}, h("h2", {}, "Case library")), this.lines);
    this.body = h("div.casebody");
    this.rest = h("div.caserest");
    this.pane = h("section.casepane.teaching", { "aria-label": "Blind read", dataset: { testid: "teach-pane" } }, this.body, this.rest);
    this.key = null;
    this.begun = new Map(); // case -> what was chosen of it, and what the model and the reference said, over looks at other cases
    this.of = {};
  }

  async enter() {
    if (this.key) await this.open(this.key);
    else {
      lend();
      fill(this.body, h("div.nothing", {}, h("h2", {}, "Read a case before the model does"), HOW.map((words) => h("p", {}, words))));
    }
    await this.draw();
  }

  /** The library and what was read of it. */
  async draw() {
    const found = await attempt(() => get("/api/teach"));
    if (!found) return;
    const line = (one) => h("li", {}, h("button.caseline.teachline", { type: "button", "aria-current": one.key === this.key ? "true" : null, onclick: () => this.open(one.key), dataset: { testid: "teach-case", key: one.key, read: String(one.read) } },
      h("img.thumb", { src: `/pixels/${one.series}/${one.frame}.jpg?size=96`, alt: "", draggable: "false", loading: "lazy", width: "44", height: "44" }),
      h("span.lines", {}, h("strong.clip", {}, one.title), h("span.quiet.clip", {}, [one.modality, plural(one.images, "time point"), one.apart && `${one.apart} apart`].filter(Boolean).join(" · ")),
        h("span.casestate", { dataset: { state: one.read ? "submitted" : "" } }, one.read ? "read" : "not read yet"))));
    refill(this.lines, found.cases.length ? found.cases.map(line) : h("li.quiet.none", {}, "The demo cases are being brought in, or were left out of this installation."));
    const told = found.reads.filter((one) => one.key !== this.key || this.of.truth);
    fill(this.rest, history(told, told.length < found.reads.length)); // a score would tell of the truth before its turn
    if (!found.cases.length && state.place === "teach") setTimeout(() => state.place === "teach" && this.draw(), WAIT);
  }

  async open(key) {
    this.wanted = key;
    const found = await attempt(() => get(`/api/teach/cases/${key}`));
    if (!found || state.place !== "teach" || this.wanted !== key) return;
    const again = this.key === key && this.case?.committed === found.committed;
    this.key = key;
    this.case = found;
    lend(found.slots, found.relation);
    for (const one of this.lines.querySelectorAll(".caseline")) one.removeAttribute("aria-current");
    this.draw();
    if (again) return; // what was chosen or revealed of it stands as it was
    this.matrix?.hide();
    if (!this.begun.has(key)) this.begun.set(key, {});
    this.of = this.begun.get(key); // {cells, said, alone, truth}: said is the model's, alone the same with its prior hidden
    this.start();
  }

  start() {
    const { title, findings, cells, committed } = this.case;
    this.matrix = new BlindMatrix((now) => {
      this.of.cells = now;
      this.commit.disabled = Object.values(now).some((name) => !name);
    });
    this.matrix.open = !committed;
    this.commit = h("button.button.main", { type: "button", disabled: true, onclick: () => this.keep(), dataset: { testid: "teach-commit" } }, "Commit my reading");
    this.steps = h("div.teachsteps");
    this.shown = h("div.teachshown", { role: "status" });
    fill(this.body, h("div.casehead", {}, h("h2.clip", {}, title), h("span.quiet", {}, committed ? `committed ${moment(committed)}` : "blind, not committed")),
      this.matrix.element, this.steps, this.shown);
    const words = cells ?? this.of.cells ?? Object.fromEntries(findings.map((finding) => [finding, ""]));
    this.matrix.lay(words, this.of.said?.progression);
    this.commit.disabled = Object.values(words).some((name) => !name);
    this.offer();
    this.tell();
  }

  /** The next step: commit, then the model, then the reference; one after the other. */
  offer() {
    const { said, alone, truth, busy } = this.of;
    const step = (words, run, name, main = true) => h(`button.button${main ? ".main" : ""}${busy === name ? ".busy" : ""}`, { type: "button", disabled: Boolean(busy), onclick: () => this.wait(name, run), dataset: { testid: name } }, words);
    if (!this.case.committed) return fill(this.steps, this.commit, h("span.quiet", {}, "Once, and for good."));
    const stacks = !said && this.case.slots.some(({ series }) => series.frames > 1);
    return fill(this.steps,
      !said && step("What does the model say?", () => this.ask(false), "teach-model"),
      said && !alone && step("Hide the prior from the model", () => this.ask(true), "teach-alone", false),
      !truth && step(said ? "Show the reference" : "Reference without the model", () => this.reveal(), "teach-reference", Boolean(said)),
      stacks && h("p.quiet", {}, "The model is asked of the two slices on the screen; scroll to the level that you judged."));
  }

  async wait(name, run) {
    const { of } = this;
    of.busy = name;
    this.offer();
    await attempt(run);
    of.busy = "";
    if (of !== this.of) return; // another case is looked at; what came waits with its own
    this.offer();
    this.tell();
    this.shown.firstElementChild?.scrollIntoView({ block: "nearest" });
    if (document.activeElement === document.body) this.steps.querySelector("button")?.focus({ preventScroll: true });
  }

  async keep() {
    const { commit, key, matrix: { cells } } = this;
    commit.disabled = true;
    const done = await attempt(() => post(`/api/teach/cases/${key}/commit`, { cells }));
    if (!done) {
      commit.disabled = false;
      return;
    }
    if (this.wanted !== key) return void this.draw(); // another case is wanted by now
    await this.open(key);
    this.steps.querySelector("button")?.focus();
  }

  async ask(alone) {
    const { key, of } = this;
    const frames = this.case.slots.map(({ series, frame }) => state.slots.find((slot) => slot?.series.id === series.id)?.frame ?? frame);
    const said = await post(`/api/teach/cases/${key}/model`, { frames, alone });
    of[alone ? "alone" : "said"] = said;
    if (alone) return;
    if (of === this.of) this.matrix.lay(this.matrix.cells, said.progression);
    if (of.truth) await this.reveal(key, of);
  }

  async reveal(key = this.key, of = this.of) {
    of.truth = await post(`/api/teach/cases/${key}/reference`, { model: of.said?.cells ?? {} });
    if (of === this.of) this.draw();
  }

  /** What is known so far, side by side. */
  tell() {
    const { said, alone, truth } = this.of;
    const mine = this.matrix.cells;
    const word = (name, finding) => {
      if (!truth) return name;
      const mark = name === truth.reference[finding] ? ["check", "agrees"] : name === "uncertain" ? ["more", "left open"] : ["close", "differs"];
      return h("span.verdict", { dataset: { verdict: mark[1] } }, icon(mark[0]), name, h("small.quiet", {}, mark[1]));
    };
    const columns = [["You", mine], said && ["Model", said.cells], alone && ["Model, no prior", alone.cells]].filter(Boolean);
    fill(this.shown,
      truth && score(truth),
      (said || truth) && h("table.kappas.sides", { dataset: { testid: "teach-table" } },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Finding"), columns.map(([name]) => h("th", { scope: "col" }, name)), truth && h("th", { scope: "col" }, "Reference"))),
        h("tbody", {}, this.case.findings.map((finding) => h("tr", {}, h("th", { scope: "row" }, finding), columns.map(([, cells]) => h("td", {}, word(cells[finding], finding))),
          truth && h("td", {}, h("strong", {}, truth.reference[finding]), truth.absent.includes(finding) && h("small.quiet", {}, "absent")))))),
      said && h("p.quiet", { dataset: { testid: "teach-trust" } }, icon("info"), h("span", {}, h("strong", {}, `${said.model}, of the disease as a whole: ${said.words}. `), said.explanation)),
      alone && hidden(said, alone, this.case.findings),
      truth && h("p", { dataset: { testid: "teach-lesson" } }, h("strong", {}, `${truth.title}. `), truth.lesson));
  }
}

/** Both scores, and what was missed, the gravest first. */
function score({ yours, model }) {
  const told = ({ missed }) => missed.map((one) => h("li", {}, icon("warning"), h("span", {}, h("strong", {}, `${one.kind[0].toUpperCase()}${one.kind.slice(1)}: `), `${one.finding} is ${one.true}, you said ${one.said}.`)));
  const words = `${yours.right} of ${yours.total} findings as the reference${yours.open ? `, ${yours.open} left open` : ""}${model ? `; the model ${model.right} of ${model.total}` : ""}.`;
  return h("div.teachscore", { dataset: { testid: "teach-score" } }, h("p", {}, h("strong", {}, words)), yours.missed.length ? h("ul", {}, told(yours)) : h("p.quiet", {}, yours.open ? "Nothing said is wrong." : "Nothing was missed."));
}

/** What an answer without a prior shows of one with it. */
function hidden(said, alone, findings) {
  const same = findings.filter((finding) => said.cells[finding] === alone.cells[finding]).length;
  const claims = alone.claims
    ? `With the current image alone the model still claims change in ${plural(alone.claims, "finding")}: what claims change without a prior is not read from the images.`
    : "With the current image alone the model claims no change.";
  return h("p.note", { dataset: { testid: "teach-hidden" } }, icon(alone.claims ? "warning" : "info"), h("span", {}, `${claims} ${same} of ${findings.length} answers are the same with and without the prior.`));
}

function history(reads, waits) {
  return [
    h("div.casehead", {}, h("h2", {}, "Your readings")),
    reads.length
      ? h("table.kappas", { dataset: { testid: "teach-history" } },
        h("thead", {}, h("tr", {}, ["Case", "As reference", "Open", "Read"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, reads.map((one) => h("tr", {}, h("th", { scope: "row" }, one.title), h("td", {}, `${one.right} of ${one.total}`), h("td", {}, String(one.open)), h("td", {}, moment(one.created))))))
      : !waits && h("p.quiet", {}, "None yet. A reading is kept with its time and can be changed by nobody."),
    waits && h("p.quiet", {}, "The score of this case comes with its reference."),
  ];
}
