// How far readers and reviewers agree, error by error, and the way to what they disagree on.
import { get } from "./api.js";
import { fill, h, menu, plural } from "./dom.js";
import { shortOf } from "./statement.js";

const figure = (value) => (value === null ? "–" : value.toFixed(2).replace("-", "−"));

/** The table of agreement, of everybody or of two; `disputes()` narrows the queue to contradictions. */
export function agreement(disputes) {
  const told = h("div.agreement", {}, h("p.quiet", {}, "Counting…"));
  const between = h("div.row", { hidden: true });
  let last = 0; // answers may overtake each other: only that to the last question is drawn
  const look = async (query = "") => {
    const mine = ++last;
    const found = await get(`/api/review/agreement${query}`).catch((error) => ({ error }));
    if (mine !== last) return;
    if (!query && found.readers?.length > 2) choose(between, found.readers, look);
    fill(told, found.error ? h("p.note", {}, found.error.message) : draw(found, disputes));
  };
  look();
  return h("div.agreement", { dataset: { testid: "agreement" } }, between, told);
}

/** Menus of two people, once; the table is theirs when both are named. */
function choose(box, readers, look) {
  if (!box.hidden) return;
  const options = [["0", "Everybody"], ...readers.map(([id, name]) => [String(id), name || `Reader ${id}`])];
  const both = ["First of two people", "Second of two people"].map((words, place) => menu(words, options, "0", () => {
    const [first, second] = both.map((one) => one.value);
    look(first !== "0" && second !== "0" && first !== second ? `?first=${first}&second=${second}` : "");
  }, { classes: "small", "data-testid": `agree-${place + 1}` }));
  box.hidden = false;
  fill(box, both[0], h("span.quiet", {}, "with"), both[1]);
}

function draw(found, disputes) {
  const disputed = h("button.button.small", { type: "button", onclick: disputes, dataset: { testid: "see-disputes" } }, "See the disagreements");
  if (!found.items) return [h("p.quiet", {}, "No case was judged by two people yet."), disputed];
  return [
    h("p", {}, `${plural(found.items, "case")} judged by at least two, ${plural(found.pairs, "pair")} of judgements; the same codes in ${Math.round(100 * found.same)} %. ${found.blind ? `${found.blind} made before looking at the other.` : "None was made before looking at the other, so these figures flatter."}`),
    h("table.kappas", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Error"), h("th", { scope: "col", title: "Cases to which somebody gave the code" }, "given"), h("th", { scope: "col", title: "Cases to which everybody gave it" }, "by all"), h("th", { scope: "col", title: "Cohen's kappa over pairs: 1 is perfect, 0 is chance" }, "κ"), h("th", { scope: "col", title: "Krippendorff's alpha over everybody: 1 is perfect, 0 is chance" }, "α"))),
      h("tbody", {}, found.codes.map((one) => h("tr", { dataset: { code: one.code } }, h("th", { scope: "row" }, shortOf(one.code)), h("td", {}, String(one.either)), h("td", {}, String(one.both)), h("td", {}, figure(one.kappa)), h("td", {}, figure(one.alpha)))))),
    h("p.quiet", {}, "κ: Cohen's, the earlier judgement as first rater. α: Krippendorff's, nominal. A dash: nobody, or everybody, gave the code."),
    disputed,
  ];
}
