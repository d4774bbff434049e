// The question box: what kind of question, how the images relate, suggestions that fit, what goes along, what it costs, ask and stop.
import { clinicalFields, going, letters, marksOn, switches, tooLong } from "./along.js";
import { post } from "./api.js";
import { ask, stop } from "./ask.js";
import { budget } from "./budget.js";
import { choiceRows, faulty, parsed, worded } from "./choices.js";
import { fill, h, icon, iconButton, menu, plural, redraw, setOptions } from "./dom.js";
import { setRelationship, unrelated } from "./hang.js";
import { filled, on, state, update } from "./state.js";
import { editTemplates } from "./templates.js";
import { say } from "./toast.js";

const ABILITIES = [
  ["temporal", "Temporal", "How a disease runs over visits"],
  ["comparison", "Comparison", "Likenesses and differences between images"],
  ["reasoning", "Reasoning", "A conclusion from several images"],
  ["coreference", "Co-reference", "Which image or region is meant"],
];
const RELATIONSHIPS = [["temporal", "Over time"], ["views", "Views of one study"], ["sides", "Left and right"], ["unrelated", "Unrelated"]];

/** The question a demo case was made for, when exactly that case hangs and the ability is its own. */
function made() {
  const shown = filled().map((slot) => slot.series.id);
  const series = (one) => state.patients.flatMap((patient) => patient.studies).filter((study) => one.study_ids.includes(study.id)).flatMap((study) => study.series.map((each) => each.id));
  const found = shown.length > 1 && state.cases.find((one) => one.ability === state.ability && shown.every((id) => series(one).includes(id)));
  return found ? [found.question] : [];
}

/** A slot without its frame and window, on which no count hangs. */
const named = ({ series, role, when }) => ({ series_id: series.id, role, when });

export function composer() {
  let suggested = "";
  const field = h("textarea", { rows: "2", id: "iv-question", "aria-label": "Question", placeholder: "Ask what changed  ( / )", "data-testid": "question-box" });
  const go = h("button.button.main.ask", { type: "button", onclick: () => send(), "data-testid": "ask" }, icon("send"), "Ask");
  const halt = h("button.button.stop", { type: "button", onclick: () => stop(), hidden: true, "data-testid": "stop" }, icon("stop"), "Stop");
  const chips = h("div.chips", { role: "group", "aria-label": "Suggested questions", dataset: { testid: "suggestions" } });
  const kinds = h("div.kinds", { role: "radiogroup", "aria-label": "Ability" });
  const related = menu("How the images relate", RELATIONSHIPS, "temporal", setRelationship, { classes: "small", "data-testid": "relationship" });
  const guessed = h("span.quiet.guessed");
  const caution = h("p.caution", { dataset: { testid: "caution" } });
  const refusal = h("div.refusal", { role: "alert", dataset: { testid: "refusal" } });
  const meter = budget(() => draw());
  const choices = choiceRows(() => send(), () => field.focus());
  const clinical = clinicalFields();
  let unfolded = false; // the fields of clinical context

  const send = (text = field.value) => {
    if (!text.trim()) return;
    if (why()) {
      say(why());
      return;
    }
    if (text !== field.value) field.value = text;
    ask(worded(text), state.ability, going(filled()), () => {
      if (field.value === text) field.value = "";
      unfolded = false;
      update({ choices: null });
      grow();
    });
  };
  const open = (name) => {
    if (name === "choices") {
      const behind = unfolded && state.choices; // one at a time: both would leave no room for the answers
      unfolded = false;
      update({ choices: behind ? [...state.choices] : state.choices ? null : ["", ""] });
      (state.choices ? choices.querySelector("input") : field).focus();
    } else {
      unfolded = !unfolded;
      draw();
      if (unfolded) clinical.querySelector("input").focus();
    }
  };
  /** A question that lists options comes apart into its stem and its options. */
  const takeApart = (text) => {
    const found = parsed(text);
    field.value = found ? found.stem : text;
    if (found) update({ choices: found.options });
    grow();
  };
  /** Why the question is too long for the model or its context, said before it is sent; "" when it is not. */
  const over = () => {
    const { length } = worded(field.value);
    const most = state.limits.max_question;
    return length > most ? `The question has ${length} characters and at most ${most} are read; shorten it.` : tooLong() || meter.why();
  };
  const why = () => {
    if (state.running) return "An answer is on its way; stop it, or wait for its end.";
    if (!filled().length) return "Open an image first, then ask about it.";
    const most = Math.min(state.limits.max_images, (!state.model.name && state.engine.max_images) || Infinity);
    if (filled().length > most) return `A question may carry ${plural(most, "image")}; close some.`;
    if (unrelated()) return unrelated();
    if (state.relation?.blocking && !state.anyway) return "The images are of different patients; say that you want to compare them anyway, or exchange one.";
    return faulty() || over();
  };
  const grow = () => {
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight + 2, 132)}px`;
    draw();
  };
  const choose = (name) => {
    update({ ability: name });
    kinds.querySelector('[aria-checked="true"]').focus();
  };
  const suggest = async () => {
    const hung = filled();
    const marks = letters(marksOn(hung));
    const wanted = { series_ids: hung.map((slot) => slot.series.id), ability: state.ability, relationship: state.relation?.relationship ?? "temporal", marks: marks ? marks.split(", ") : [] };
    const shown = hung.length ? JSON.stringify([wanted, made(), state.templates]) : "";
    if (shown === suggested) return;
    suggested = shown;
    if (!shown) return void fill(chips);
    const found = await post("/api/suggestions", wanted).catch(() => []);
    if (shown !== suggested) return;
    const { ability } = wanted;
    chips.dataset.ability = ability;
    const words = ABILITIES.find(([name]) => name === ability)[1];
    redraw(chips, () => fill(chips, [...new Set([...made(), ...found])].slice(0, 3).map((text) => h("button.chip", { type: "button", title: text, disabled: Boolean(why()), onclick: () => send(text) }, text)),
      iconButton("edit", "Write your own suggestions", () => editTemplates(ability, words), { classes: "plain small", "data-testid": "templates-open" })));
  };
  const draw = () => {
    redraw(kinds, () => {
      const held = kinds.contains(document.activeElement);
      fill(kinds, ABILITIES.map(([name, words, help]) => h("button.kind", { type: "button", role: "radio", title: help, "aria-checked": String(name === state.ability), tabindex: name === state.ability ? "0" : "-1", onclick: () => choose(name), dataset: { ability: name } }, words)));
      if (held) kinds.querySelector('[aria-checked="true"]').focus();
    });
    const { relation } = state;
    setOptions(related, RELATIONSHIPS, relation?.relationship ?? "temporal");
    related.disabled = filled().length < 2;
    guessed.textContent = filled().length < 2 ? ["no image yet", "one image"][filled().length] : !relation ? "unknown" : relation.relationship === relation.guessed ? "guessed" : "your choice";
    guessed.title = related.title = relation?.reason ?? "";
    const asked = filled();
    meter.reckon(asked.length && !state.running && !state.model.name && field.value.trim().length <= state.limits.max_question ? { question: worded(field.value), slots: asked.map(named), ability: state.ability, relationship: state.relation?.relationship ?? "temporal", session_id: state.session?.id ?? null, ...going(asked) } : null);
    const held = [go, halt].find((one) => one.matches(":focus-visible")); // whoever pressed it by mouse has shortcuts next
    go.hidden = Boolean(state.running);
    halt.hidden = !state.running;
    halt.disabled = Boolean(state.running?.stopping);
    go.disabled = Boolean(why()) || !field.value.trim();
    go.title = why() || "Ask (Enter)";
    if (held) (state.running ? halt : go.disabled ? field : go).focus();
    for (const chip of chips.querySelectorAll(".chip")) chip.disabled = Boolean(why());
    choices.hidden = !state.choices || unfolded;
    clinical.hidden = !unfolded;
    const said = over() || (state.model.name ? `${state.model.words} answers here; what a question takes of its context is not counted before.` : state.engine.caution ?? "");
    caution.hidden = !said;
    caution.textContent = caution.title = said;
    const blocked = relation?.blocking && !state.anyway;
    refusal.hidden = !blocked;
    fill(refusal, blocked ? [icon("warning"), h("p", {}, "These are different patients. An answer about change would mean nothing."), h("button.button.small", { type: "button", onclick: () => document.querySelector(".mixing input")?.focus(), dataset: { testid: "compare-anyway" } }, "Say why")] : []);
    suggest();
  };
  kinds.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = ABILITIES.findIndex(([name]) => name === state.ability);
    choose(ABILITIES[(at + step + ABILITIES.length) % ABILITIES.length][0]);
  });
  field.addEventListener("input", grow);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
    if (event.key === "Escape") field.blur();
  });
  field.addEventListener("paste", () => setTimeout(() => parsed(field.value) && takeApart(field.value)));
  on("draft", () => {
    if (!state.draft) return;
    update({ ability: state.draft.ability, choices: null });
    takeApart(state.draft.question);
    field.focus();
    update({ draft: null });
  });
  for (const name of ["slots", "relation", "running", "anyway", "limits", "engine", "model", "ability", "cases", "choices", "clinical", "with_marks", "drawn", "session", "turns", "templates"]) on(name, draw);
  draw();
  return h("form.composer", { "aria-label": "Ask", onsubmit: (event) => event.preventDefault() },
    refusal, kinds, chips,
    h("div.box", {}, field, choices, clinical, h("div.boxfoot.going", {}, switches(filled, open)), h("div.boxfoot", {}, related, guessed, h("span.gap"), meter.element, go, halt)), caution);
}
