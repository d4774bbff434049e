// Two models or adapters on one question, side by side, blind if wished. Both answers are kept under the question; which one is better
// is kept as feedback, and names are shown once that is said.
import { get, post, stream } from "./api.js";
import { going } from "./along.js";
import { fill, h, icon, menu, seconds, setOptions } from "./dom.js";
import { forecastMark } from "./forecast.js";
import { flush, relationship, relist, unrelated, wire } from "./hang.js";
import { flush as keepDrawn } from "./kept.js";
import { isShown, panel } from "./panels.js";
import { filled, on, remember, state, update } from "./state.js";
import { attempt, say } from "./toast.js";

const JUDGEMENTS = [["0", "Left is better", "left"], ["1", "Right is better", "right"], ["none", "No difference", "minus"], ["both", "Both are wrong", "close"]];

export function duel() {
  let models = [];
  let run = null; // {id, turn, session, sides: [{text, state, version}], stage, abort, judged, kept}
  const field = h("textarea", { rows: "2", "aria-label": "Question for both", placeholder: "What changed since the prior?", dataset: { testid: "duel-question" } });
  const first = menu("First model", [], "", () => draw(), { classes: "small", "data-testid": "duel-first" });
  const second = menu("Second model", [], "", () => draw(), { classes: "small", "data-testid": "duel-second" });
  const blind = h("button.button.small", { type: "button", "aria-pressed": "true", title: "In an order that is drawn, names after the judgement", onclick: () => { blind.setAttribute("aria-pressed", String(!unseen())); }, dataset: { testid: "duel-blind" } }, icon("eye"), "Blind");
  const unseen = () => blind.getAttribute("aria-pressed") === "true";
  const go = h("button.button.main.small", { type: "button", onclick: () => begin(), dataset: { testid: "duel-ask" } }, icon("send"), "Ask both");
  const halt = h("button.button.small", { type: "button", hidden: true, onclick: () => stop(), dataset: { testid: "duel-stop" } }, icon("stop"), "Stop");
  const why = h("p.quiet.why", { role: "status", dataset: { testid: "duel-why" } });
  const sides = h("div.sides2", { dataset: { testid: "duel-sides" } });
  const judge = h("div.judge", { role: "group", "aria-label": "Which answer is better" });
  const inside = h("div.duelbody", {},
    h("div.duelask", {}, field, h("div.models", {}, first, h("span.quiet", {}, "and"), second), h("div.row2", {}, blind, h("span.gap"), go, halt), why),
    sides, judge);

  const obstacle = () => {
    if (!filled().length) return "Open images first, then ask about them.";
    if (models.length < 2) return "Only one model is on this machine. Add another (python app.py models add NAME), or train an adapter.";
    if (first.value === second.value) return "Choose two different models.";
    if (state.running) return "An answer is on its way; wait for its end.";
    if (field.value.trim().length > state.limits.max_question) return `The question has ${field.value.trim().length} characters and at most ${state.limits.max_question} are read; shorten it.`;
    if (unrelated()) return unrelated();
    return state.relation?.blocking && !state.anyway ? "The images are of different patients; give the reason in the warning first." : "";
  };
  const running = () => Boolean(run && !run.ended);
  const draw = () => {
    const told = obstacle();
    why.textContent = running() ? run.stage : told;
    go.disabled = Boolean(told) || running() || !field.value.trim();
    halt.hidden = !running();
    go.hidden = running();
    for (const one of [first, second, blind, field]) one.disabled = running();
    sides.hidden = !run;
    if (!run) { fill(judge); return; }
    fill(sides, run.sides.map((side, at) => h("section.side2", { "aria-label": `Answer ${at + 1}`, dataset: { testid: `duel-side-${at + 1}`, best: String(run.judged === String(at)) } },
      h("h3", {}, side.name ?? `Answer ${at + 1}`),
      side.about ? h("p.quiet", {}, side.about) : null,
      forecastMark(run.forecast),
      h("p.words", {}, side.text || (running() ? "" : side.state ? "No words." : "Not answered."), running() && run.at === at && !side.version ? h("span.caret", { "aria-hidden": "true" }) : null),
      side.state && side.state !== "complete" ? h("p.note", {}, icon("warning"), side.state === "stopped" ? "Stopped" : side.error || "Incomplete") : null)));
    const whole = run.ended && run.sides.every((side) => side.state === "complete");
    fill(judge, run.kept ? h("p.verdict.agree", { dataset: { testid: "duel-kept" } }, run.kept)
      : whole && JUDGEMENTS.map(([value, words, picture]) => h("button.button.small", { type: "button", onclick: () => say2(value), dataset: { testid: `duel-${value}` } }, icon(picture), words)));
  };
  const begin = async () => {
    const question = field.value.trim();
    if (!question || obstacle()) return;
    const before = run;
    const mine = { sides: [{ text: "" }, { text: "" }], stage: "sending", at: 0, ended: false, blind: unseen(), abort: new AbortController() };
    run = mine;
    draw();
    const asked = { question, ...going(filled()), ability: state.ability, relationship: relationship(), slots: filled().map(wire), different_patients: state.anyway, models: [first.value, second.value], blind: unseen() };
    await Promise.all([flush(), keepDrawn()]);
    if (run !== mine) return;
    try {
      await stream("/api/duel", { ...asked, session_id: state.session?.id ?? null }, (event) => heard(mine, event), mine.abort.signal);
    } catch (error) {
      if (error.name !== "AbortError") say(error.message);
    }
    mine.ended = true;
    if (run !== mine) return void relist();
    if (!mine.turn) run = before; // refused: what was asked before stands, and waits for its judgement
    if (!mine.blind || mine.sides.some((side) => side.state !== "complete")) await reveal(mine);
    draw();
    if (run === mine) judge.querySelector("button")?.focus();
  };
  const heard = (mine, event) => {
    if (run !== mine) return;
    if (event.type === "turn") {
      Object.assign(mine, { id: event.run, turn: event.turn, session: event.session_id, forecast: event.forecast });
      update({ unjudged: mine.blind ? event.session_id : null, ...(state.session?.id === event.session_id ? {} : { session: { id: event.session_id, title: event.title } }) });
      remember();
    } else if (event.type === "side") Object.assign(mine, { at: event.side, stage: `answer ${event.side + 1} of 2` });
    else if (event.type === "stage") mine.stage = `answer ${mine.at + 1} of 2: ${event.text}`;
    else if (event.type === "token") mine.sides[event.side].text += event.text;
    else if (event.type === "answer") Object.assign(mine.sides[event.side], { text: event.text, state: event.state, version: event.version_id, error: event.error });
    else if (event.type === "error") say(event.error);
    draw();
  };
  const stop = () => {
    if (run?.id) attempt(() => post(`/api/runs/${run.id}/stop`));
    else run?.abort.abort();
  };
  /** Names and times, once the reader has judged or nothing is blind; the conversation then has both answers too. */
  const reveal = async (mine) => {
    if (!mine.turn) return;
    if (run === mine) update({ unjudged: null });
    const session = await attempt(() => get(`/api/sessions/${mine.session}`));
    const versions = session?.turns.find((turn) => turn.id === mine.turn)?.versions ?? [];
    for (const side of mine.sides) {
      const found = versions.find((version) => version.id === side.version);
      if (found) Object.assign(side, { name: found.model, about: [found.engine, found.timings.total_s && seconds(found.timings.total_s)].filter(Boolean).join(" · ") });
    }
    if (session && session.id === state.session?.id) update({ turns: session.turns });
    await relist();
  };
  const say2 = async (value) => {
    const mine = run;
    if (mine.judging) return;
    mine.judging = true;
    const [left, right] = mine.sides.map((side) => side.version);
    const kept = await attempt(async () => {
      if (value === "0") await post("/api/feedback", { version_id: left, preferred_over: right });
      if (value === "1") await post("/api/feedback", { version_id: right, preferred_over: left });
      if (value === "none") await post("/api/feedback", { version_id: left, comment: `Side by side${mine.blind ? ", blind" : ""}: no difference from the other answer.` });
      if (value === "both") for (const id of [left, right]) await post("/api/feedback", { version_id: id, verdict: "disagree" });
      return true;
    });
    mine.judging = false;
    if (!kept) return;
    mine.judged = value;
    mine.kept = { 0: "Your preference is kept as feedback.", 1: "Your preference is kept as feedback.", none: "Kept as feedback: no difference.", both: "Kept: you disagree with both." }[value];
    await reveal(mine);
    draw();
  };
  const opened = async () => {
    if (!field.value) field.value = document.getElementById("iv-question")?.value || state.turns.at(-1)?.question || "What changed since the prior?";
    const found = await attempt(() => get("/api/models"));
    if (!found) return;
    models = found;
    const options = models.map((one) => [one.name, one.words]);
    setOptions(first, options, models.some((one) => one.name === first.value) ? first.value : options[0]?.[0]);
    setOptions(second, options, models.some((one) => one.name === second.value && one.name !== first.value) ? second.value : options.at(1)?.[0] ?? options[0]?.[0]);
    draw();
  };
  field.addEventListener("input", draw);
  /** Another case: what is asked of this one stops, and its answers are not seen beside other images. */
  on("opened", () => {
    if (!run) return;
    run.abort.abort();
    run = null;
    update({ unjudged: null });
    draw();
  });
  for (const name of ["slots", "relation", "running"]) on(name, () => isShown("duel") && draw());
  draw();
  return panel("duel", "Two models", inside, opened);
}
