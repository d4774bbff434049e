// What reviewers go by, with worked examples, beside the case.
import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { inWords } from "./statement.js";

let asked = null;

/** The guidelines; the part of `code` is open. */
export function guidelines(code = "") {
  const box = h("div.guidelines", { dataset: { testid: "guidelines" } }, h("p.quiet", {}, "Reading…"));
  asked ??= get("/api/review/guidelines").catch((error) => { asked = null; throw error; });
  asked.then((found) => fill(box, h("ol.rules", {}, found.rules.map((text) => h("li", {}, text))), found.codes.map((one) => part(one, one.code === code))), (error) => fill(box, h("p.note", {}, error.message)));
  return box;
}

function part(one, open) {
  return h("details", { open, dataset: { code: one.code } }, h("summary", {}, one.title),
    h("p", {}, h("strong", {}, "Give it: "), one.give), h("p", {}, h("strong", {}, "Not: "), one.leave),
    one.examples.map((example) => h("div.example", {},
      h("p.quiet", {}, example.truth),
      h("p", {}, h("strong", {}, "Asked: "), example.question),
      h("p", {}, h("strong", {}, "Answered: "), example.answer),
      h("p.corrected", {}, h("strong", {}, "Corrected: "), example.corrected, " ", h("span.quiet", {}, inWords(example).join(", "))),
      h("p.quiet", {}, example.why))));
}
