// How often answers like this one were right, by answers that readers of this site reviewed. A percentage stands beside its reliability
// diagram, and there is none below the number of reviewed answers that it takes. A reader may have answers withheld that are less often
// right than they ask for; what is withheld is one press away.
import { get } from "./api.js";
import { clear, colour, draw } from "./charts.js";
import { h, icon, menu } from "./dom.js";
import { state, update } from "./state.js";

const KEPT = "interval.at_least";
const chosen = () => { try { return Math.min(99, Math.max(0, Math.trunc(Number(localStorage.getItem(KEPT))) || 0)); } catch { return 0; } };

// version id -> CalibrationOut; version id -> why it could not be weighed; of 100, how often right an answer must be to be shown; what is
// shown all the same
Object.assign(state, { calibrated: {}, unweighed: {}, at_least: chosen(), anyhow: new Set() });

const asked = new Map(); // version id -> what was asked last

/** Ask once for a version whose checks are made, again when more of it is weighed; it comes into `state.calibrated`. */
export async function calibrate(turn, version) {
  const key = [version.id, "decided" in version.checks, Object.keys(version.progression).length, state.at_least].join();
  if (asked.get(version.id) === key || !state.session) return;
  asked.set(version.id, key);
  const told = (name, what) => asked.get(version.id) === key && update({ [name]: { ...state[name], [version.id]: what } });
  try {
    told("calibrated", await get(`/api/sessions/${state.session.id}/turns/${turn.id}/versions/${version.id}/calibration?at_least=${state.at_least}`));
  } catch (error) {
    told("unweighed", error.message);
    asked.delete(version.id); // asked again with the next drawing
  }
}

/** The sentence in the place of an answer that could not be weighed, with both ways on; `check` makes the checks it is weighed by. */
export function unweighed(turn, version, check) {
  const again = () => {
    if (!version.checks.decided) return void check();
    asked.delete(version.id);
    const { [version.id]: _, ...others } = state.unweighed;
    update({ unweighed: others });
    calibrate(turn, version);
  };
  const why = `How often such answers are right here is not known. ${whyNot(version)}`;
  return folded(version, "answer", why, h("button.button.small", { type: "button", onclick: again, dataset: { testid: "weigh-again" } }, "Try again"), " ");
}

/** Why a version that waits for its verdict gets none by itself; `` while it is being weighed. */
export const whyNot = (version) => state.unweighed[version.id] ?? (version.checks.decided || state.checking?.version === version.id ? "" : "Its checks were not made to the end.");

/** Why something of a version is withheld, by finding, of the answer itself under ``; empty for what the reader wants to see anyway. */
export function withheld(version, part) {
  return state.anyhow.has(`${part}:${version?.id}`) ? {} : (state.calibrated[version?.id]?.[part].withheld ?? {});
}

/** Whether it is not known yet if an answer is to be withheld: a reader who asked for that is not shown it first. What was stopped is not weighed. */
export function weighing(version, running) {
  if (!state.at_least) return false;
  return Boolean(running || (version?.state === "complete" && !state.calibrated[version.id] && !state.anyhow.has(`answer:${version.id}`)));
}

/** Whether a version's own answer is not to be seen now: withheld, or not weighed yet. */
export const unseen = (version) => weighing(version, null) || Boolean(withheld(version, "answer")[""]);

/** The sentence in the place of what is withheld, and the way to it. */
export const folded = (version, part, why, ...first) => h("p.withheld", { dataset: { testid: `withheld-${part}` } }, icon("eye"), h("span", {}, why, " ", ...first,
  h("button.button.small", { type: "button", onclick: () => update({ anyhow: new Set([...state.anyhow, `${part}:${version.id}`]) }), dataset: { testid: `anyway-${part}` } }, "Show it anyway")));

/** How often right an answer must be to be shown, and what that would have left of the reviewed answers. */
function control({ thresholds, words, why, reviewed, least }) {
  const now = thresholds.find((one) => one.least === state.at_least);
  const options = [["0", "Off"], ...(thresholds.length ? thresholds.map((one) => one.least) : state.at_least ? [state.at_least] : []).map((one) => [String(one), `${one} of 100`])];
  const choose = menu("Withhold answers that are right less often than", options, String(state.at_least), (value) => {
    try { localStorage.setItem(KEPT, value); } catch { /* this tab alone knows */ }
    update({ at_least: Number(value), anyhow: new Set() });
  }, { classes: "small", disabled: !thresholds.length, "data-testid": "at-least" });
  const left = now && `Of ${reviewed} reviewed ${words}, ${now.shown} would be shown and ${now.right} of these were right; held out of the fit.`;
  const none = reviewed < least ? `Nothing is withheld: ${least - reviewed} more reviewed ${words} are needed first.` : `Nothing is withheld: there is no percentage to go by.`;
  return [h("label.atleast", {}, h("span", {}, "Withhold what is right less often than"), choose), h("p.quiet", { dataset: { testid: "at-least-told" } }, thresholds.length ? left || "Every answer is shown." : none)];
}

export const percent = (share) => `${Math.round(100 * share)} %`;

/** The percentages of one question type with the diagram they come from, or why there are none. */
export function calibration(found) {
  const shares = Object.entries(found.probabilities);
  if (!shares.length) return [h("p.quiet", { dataset: { testid: "no-percentage" } }, found.why), ...control(found)];
  const told = shares.map(([name, share]) => (name ? `${name} ${percent(share)}` : percent(share))).join(", ");
  const { before, after } = found;
  return [
    h("p", { dataset: { testid: "percentage" } }, `Right in such cases here: ${told}.`),
    ...control(found),
    diagram(after, [["model's own", before, "text-3", "circle-open", "dash"], ["calibrated", after, "accent", "circle", "solid"]]),
    h("p.quiet", {}, `Platt scaling on ${found.reviewed} reviewed ${found.words}, answered by this model. Expected calibration error ${after.error.toFixed(2)} on patients held out of the fit, ${before.error.toFixed(2)} of the model's own likelihood.`),
  ];
}

/** Said against right, in bins of equal mass, a line for each of `traces` [name, diagram, colour, symbol, dash], `told` in words; drawn once it is in the page. */
export function diagram(told, traces) {
  const element = h("div.reliability", { role: "img", "aria-label": `Reliability diagram: ${told.bins.map((one) => `of those said to be ${percent(one.said)} right, ${percent(one.right)} were`).join("; ")}`, dataset: { testid: "reliability" } });
  const trace = ([name, { bins }, shade, symbol, dash]) => ({ name, x: bins.map((one) => one.said), y: bins.map((one) => one.right), mode: "lines+markers", line: { width: 1.5, color: colour(shade), dash }, marker: { size: 6, color: colour(shade), symbol }, hovertemplate: "said %{x:.0%}, right %{y:.0%}<extra></extra>" });
  const axis = (title) => ({ title: { text: title, standoff: 4 }, range: [0, 1], tickformat: ".0%", tickvals: [0, 0.25, 0.5, 0.75, 1], gridcolor: colour("line"), zeroline: false, linecolor: colour("line-strong"), fixedrange: true });
  queueMicrotask(() => draw(element, () => ({
    data: [
      { x: [0, 1], y: [0, 1], mode: "lines", line: { width: 1, dash: "dot", color: colour("text-3") }, hoverinfo: "skip", showlegend: false },
      ...traces.map(trace),
    ],
    layout: { height: 220, margin: { l: 50, r: 22, t: 26, b: 38 }, xaxis: axis("said"), yaxis: axis("right"), legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" } },
  })).catch(() => element.remove()));
  return element;
}

/** Give back what diagrams inside an element hold. */
export const forget = (element) => element.querySelectorAll(".reliability").forEach(clear);
