// What goes along with a question beside the images: the marks on them, clinical context, lettered options. Nothing of it goes
// unless the reader sees that it does.
import { LETTERS } from "./choices.js";
import { h, icon } from "./dom.js";
import { filled, on, state, update } from "./state.js";
import { isMark } from "./viewer/compare.js";

export const FIELDS = [
  ["indication", "Indication", "Why the study was made"],
  ["technique", "Technique", "Protocol, contrast, projection"],
  ["age", "Age", "61 years"],
  ["prior_report", "Prior report", "Its findings and impression"],
];
const LONGEST = { indication: 1000, technique: 1000, age: 40, prior_report: 6000 }; // characters, as the server takes them
const EMPTY = { on: false, indication: "", technique: "", age: "", prior_report: "" };
const POINTS = 96; // of a free shape; more would say nothing more to a model

Object.assign(state, { clinical: EMPTY, with_marks: true, choices: null, draft: null });

/** The lettered marks that lie on exactly what hangs, each with the place of its image in the question. */
export function marksOn(slots) {
  const places = slots.flatMap((slot, image) => state.drawn.marks.filter((mark) => isMark(mark.kind) && mark.label && mark.series_id === slot.series.id && mark.frame === slot.frame).map((mark) => [image, mark]));
  return places.map(([image, { label, kind, points }]) => ({ image, label, kind, points: thinned(points) }));
}

const thinned = (points) => (points.length <= POINTS ? points : points.filter((_, at) => at % Math.ceil(points.length / POINTS) === 0));

/** Letters of marks, each once: "A, B". */
export const letters = (marks) => [...new Set(marks.map((mark) => mark.label))].sort().join(", ");

/** What is told: the fields that say something, when the reader chose to tell them. */
export const told = () => (state.clinical.on ? Object.fromEntries(FIELDS.map(([name]) => [name, state.clinical[name].trim()]).filter(([, text]) => text)) : {});

/** What of it is too long to be told, in a sentence, or "". Nothing is cut. */
export function tooLong() {
  const [name, text] = Object.entries(told()).find(([field, words]) => words.length > LONGEST[field]) ?? [];
  return name ? `The field “${FIELDS.find(([field]) => field === name)[1]}” of the clinical context has ${text.length} characters; shorten it to ${LONGEST[name]}.` : "";
}

/** Marks and context as a question takes them along. */
export const going = (slots) => ({ marks: state.with_marks ? marksOn(slots) : [], clinical: told() });

/** The switches under the question box. `open(name)` unfolds what has fields of its own. */
export function switches(filled, open) {
  const button = (name, symbol, onclick) => h("button.along", { type: "button", onclick, dataset: { testid: `along-${name}` } }, icon(symbol), h("span", {}, ""));
  const choices = button("choices", "list", () => open("choices"));
  const clinical = button("clinical", "report", () => open("clinical"));
  const marks = button("marks", "edit", () => update({ with_marks: !state.with_marks }));
  const put = (element, words, pressed, title) => {
    element.lastChild.textContent = words;
    element.setAttribute("aria-pressed", String(pressed));
    element.title = title;
  };
  const draw = () => {
    const there = letters(marksOn(filled()));
    put(choices, state.choices ? `Options A to ${LETTERS[state.choices.length - 1]}` : "Options", Boolean(state.choices), "Ask with lettered options to choose from");
    const count = Object.keys(told()).length;
    put(clinical, count ? `Context: ${count}` : "Context", count > 0, count ? "Clinical context goes along with the question" : "Clinical context; nothing of it goes along unless you say so");
    marks.hidden = !there;
    put(marks, `${there.includes(",") ? "Marks" : "Mark"} ${there}`, state.with_marks, state.with_marks ? "Drawn into what the model sees, and told as coordinates; press to leave out" : "Not shown to the model; press to take along");
  };
  for (const name of ["choices", "clinical", "with_marks", "drawn", "slots"]) on(name, draw);
  draw();
  return [choices, clinical, marks];
}

/** The fields of clinical context. */
export function clinicalFields() {
  const inputs = Object.fromEntries(FIELDS.map(([name, label, help]) => {
    const props = { "aria-label": label, placeholder: help, oninput: () => update({ clinical: { ...state.clinical, [name]: inputs[name].value } }), dataset: { testid: `clinical-${name}` } };
    return [name, name === "prior_report" ? h("textarea", { rows: "3", ...props }) : h("input", { type: "text", ...props })];
  }));
  const box = h("input", { type: "checkbox", "aria-label": "Tell this to the model", onchange: () => update({ clinical: { ...state.clinical, on: box.checked } }), dataset: { testid: "clinical-on" } });
  const element = h("fieldset.clinical", { dataset: { testid: "clinical" } }, h("legend", {}, "Clinical context"),
    h("label.switch", {}, box, "Tell this to the model"),
    h("div.fields", {}, FIELDS.map(([name, label]) => h(`label.field.${name}`, {}, h("span", {}, label), inputs[name]))),
    h("p.quiet", {}, "Words can sway an answer more than the images do. What is told is kept with the question and stands in the prompt."));
  const draw = () => {
    box.checked = state.clinical.on;
    for (const [name] of FIELDS) {
      if (inputs[name].value !== state.clinical[name]) inputs[name].value = state.clinical[name];
      inputs[name].disabled = !state.clinical.on;
    }
  };
  on("clinical", draw);
  draw();
  return element;
}

let session = null;
/** A kept case goes on with the context its last question was told. */
on("session", () => {
  const id = state.session?.id ?? null;
  if (id === session) return;
  session = id;
  if (id === null || state.running || !state.turns.length) return; // begun here, by a question or a mark
  const { clinical } = state.turns.at(-1);
  const said = FIELDS.some(([name]) => clinical?.[name]);
  update({ clinical: said ? { ...EMPTY, ...clinical, on: true } : EMPTY });
});

let people = []; // on view when it was written
const onView = () => filled().map((slot) => slot.series.pseudonym);
on("clinical", () => { if (!state.guest) people = onView(); });
/** What is told of one patient never goes along with another's images, however they came to hang. */
on("slots", () => {
  if (state.guest) return; // another's case is looked at, and asked of by nobody here
  const now = onView();
  if (!people.length) people = now;
  else if (!now.every((one) => people.includes(one))) update({ clinical: EMPTY });
});
