// The progression of each finding: the model's likelihoods as bars, and on them what the reader sees. A cell that is pressed is the
// reader's own reading, kept as feedback; pressed again it is taken back.
import { calibration, folded, forget, withheld } from "./calibration.js";
import { clear, colour, draw } from "./charts.js";
import { fill, h, icon, plural, redraw } from "./dom.js";
import { keepStatement } from "./feedback.js";
import { state } from "./state.js";
import { say } from "./toast.js";

const CLASSES = ["new", "worse", "stable", "improved", "resolved", "uncertain"];
const COLOURS = { new: "bad", worse: "bad", stable: "text-3", improved: "good", resolved: "good", uncertain: "warn" };
const WHOLE = "overall"; // the disease as a whole, as feedback names it
const ROW = 26; // pixels, as in matrix.css
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
export const SHARES = "Shares of the model's own likelihood, averaged over two orders of the options. Not calibrated: they do not say how often such an answer is right.";

export const short = (share) => share.toFixed(2).replace(/^0/, "");
const words = (finding) => (finding === WHOLE ? "as a whole" : finding);
const top = (shares) => CLASSES.filter((name) => name in shares).reduce((best, name) => (shares[name] > shares[best] ? name : best));

/** What the reader says of each finding, by the last word on this version. */
const read = (version) => version.feedback.at(-1)?.cells ?? {};

export class Matrix {
  constructor() {
    this.at = [0, 0]; // the cell that the arrow keys are at
    this.added = []; // findings the reader named and has not said anything of yet
    this.sent = new Set(); // what is on its way to the server
    this.plot = h("div.plot"); // holds bars and table once there is something in them
    this.bars = h("div.bars", { "aria-hidden": "true" });
    this.table = h("table.progression", { "aria-label": "Progression of each finding; arrow keys move, Enter says what you see" });
    this.held = h("div"); // that some of it is withheld
    this.right = h("div.calibration"); // how often such cells were right, once enough were reviewed
    this.told = h("p.quiet", { role: "status", dataset: { testid: "matrix-told" } });
    this.other = h("input", { type: "text", maxlength: "60", "aria-label": "Another finding", placeholder: "Another finding", dataset: { testid: "matrix-other" } });
    this.other.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      this.add(this.other.value.trim().toLowerCase());
    });
    this.element = h("section.evidence.matrix", { "aria-label": "Progression of each finding", dataset: { testid: "matrix" } },
      this.plot, this.held, this.other, this.told, h("p.quiet", {}, SHARES), this.right);
    this.table.addEventListener("keydown", (event) => this.step(event));
  }

  show(turn, version) {
    this.turn = turn;
    if (this.version?.id !== version.id) this.added = [];
    this.version = version;
    const whole = version.checks.overall ?? {};
    const mine = read(version);
    const others = new Set([...Object.keys(mine), ...this.added].filter((finding) => finding !== WHOLE && !(finding in version.progression)));
    const why = { [WHOLE]: withheld(version, "answer")[""], ...withheld(version, "findings") }; // the answer is of the whole
    const weighed = [...Object.entries(version.progression), ...(Object.keys(whole).length ? [[WHOLE, whole]] : [])].map(([finding, shares]) => [finding, why[finding] ? null : shares, why[finding]]);
    this.rows = [...weighed.filter(([finding]) => finding !== WHOLE), ...[...others].map((finding) => [finding, null]), ...weighed.filter(([finding]) => finding === WHOLE)];
    const some = Object.values(withheld(version, "findings"));
    fill(this.held, some.length ? folded(version, "findings", `${plural(some.length, "finding")} withheld: right less often than you asked for.`) : []);
    redraw(this.table, () => {
      const held = this.table.contains(document.activeElement);
      fill(this.table,
        h("thead", {}, h("tr", {}, h("td"), CLASSES.map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, this.rows.map(([finding, shares, why], row) => this.row(finding, shares, mine[finding], row, why))));
      if (held) this.focus();
    });
    if (!this.table.parentElement) this.plot.append(this.bars, this.table);
    this.tell(mine);
    forget(this.right);
    const calibrated = state.calibrated[version.id]?.findings;
    fill(this.right, calibrated ? calibration(calibrated) : []);
    this.bars.style.height = `${ROW * this.rows.length}px`;
    draw(this.bars, () => this.chart()).catch((error) => say(error.message));
  }

  /** The charts' memory is given back when the matrix is closed. */
  hide() {
    clear(this.bars);
    forget(this.right);
  }

  /** A finding the model was not asked of: its row has cells to press and no bars. */
  add(finding) {
    if (!finding || this.rows.some(([known]) => known === finding)) return;
    this.other.value = "";
    this.added.push(finding);
    this.show(this.turn, this.version);
    this.at = [this.rows.findIndex(([known]) => known === finding), 0];
    this.focus();
  }

  row(finding, shares, mine, row, why = "") {
    const best = shares && top(shares);
    return h("tr", { dataset: { finding: words(finding), edited: String(Boolean(mine)), withheld: String(Boolean(why)) } }, h("th", { scope: "row" }, words(finding)), CLASSES.map((name, column) => {
      const share = shares?.[name];
      if (shares && share === undefined) return h("td");
      const own = mine === name;
      const label = `${words(finding)}: ${name}, ${shares ? `likelihood ${short(share)}` : why || "not weighed by the model"}${name === best ? ", the model's first" : ""}${own ? ", your reading" : ""}`;
      const props = { type: "button", "aria-pressed": String(own), "aria-label": label, tabindex: String(row === this.at[0] && column === this.at[1] ? 0 : -1), title: own ? "Your reading; press to take it back" : why ? `${why} Press to say what you see.` : `Say that ${finding === WHOLE ? "the disease as a whole" : finding} is ${name}` };
      return h("td", { dataset: { top: String(name === best), share: share?.toFixed(3) ?? "" } },
        h("button.cell", { ...props, onclick: () => { this.at = [row, column]; this.put(finding, own ? "" : name); }, dataset: { cell: `${finding}:${name}` } }, h("span.number", {}, shares ? short(share) : own ? "" : why ? "–" : "·"), own && icon("check")));
    }));
  }

  tell(mine) {
    const said = this.rows.filter(([finding]) => mine[finding]);
    const against = said.filter(([finding, shares]) => shares && mine[finding] !== top(shares)).map(([finding]) => words(finding));
    const others = against.length ? `, other than the model's: ${against.join(", ")}` : "";
    fill(this.told, icon(said.length ? "check" : "edit"), h("span", {}, said.length ? `${plural(said.length, "cell")} of yours${others}. Kept as feedback.` : "Press a cell to say what you see; it is kept as feedback."));
  }

  /** One bar from the left edge of each cell, as long as the likelihood. */
  chart() {
    const places = this.rows.map((_, row) => row);
    const data = CLASSES.map((name, column) => ({
      type: "bar", orientation: "h", base: column + 0.04, y: places, x: this.rows.map(([, shares]) => 0.92 * (shares?.[name] ?? 0)), width: 0.78,
      marker: { color: colour(COLOURS[name]), opacity: this.rows.map(([, shares]) => (shares && top(shares) === name ? 0.55 : 0.24)), line: { width: 0 } },
    }));
    const axis = { visible: false, fixedrange: true };
    const layout = { barmode: "overlay", showlegend: false, margin: { l: 0, r: 0, t: 0, b: 0 }, height: ROW * this.rows.length, xaxis: { ...axis, range: [0, CLASSES.length] }, yaxis: { ...axis, range: [this.rows.length - 0.5, -0.5] } };
    return { data, layout, config: { staticPlot: true } };
  }

  async put(finding, name) {
    const key = `${this.version.id}:${finding}:${name}`;
    if (this.sent.has(key)) return; // once, however often it is pressed
    this.sent.add(key);
    await keepStatement(this.turn, this.version, { cells: { [finding]: name } });
    this.sent.delete(key);
  }

  step(event) {
    const by = STEPS[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const [row, column] = [this.at[0] + by[0], this.at[1] + by[1]];
    if (!this.cell(row, column)) return;
    this.at = [row, column];
    for (const button of this.table.querySelectorAll(".cell")) button.tabIndex = -1;
    this.focus();
  }

  cell(row, column) {
    return this.table.querySelectorAll("tbody tr")[row]?.querySelectorAll("td")[column]?.querySelector(".cell");
  }

  focus() {
    const button = this.cell(...this.at);
    if (!button) return;
    button.tabIndex = 0;
    button.focus();
  }
}
