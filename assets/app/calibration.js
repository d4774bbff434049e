// How often answers like this one were right, by answers that readers of this site reviewed. A percentage stands beside its reliability
// diagram, and there is none below the number of reviewed answers that it takes.
import { get } from "./api.js";
import { clear, colour, draw } from "./charts.js";
import { h } from "./dom.js";
import { state, update } from "./state.js";

Object.assign(state, { calibrated: {} }); // version id -> CalibrationOut

const asked = new Set();

/** Ask once for a version whose checks are made, again when more of it is weighed; it comes into `state.calibrated`. */
export async function calibrate(turn, version) {
  const key = [version.id, "decided" in version.checks, Object.keys(version.progression).length].join();
  if (asked.has(key) || !state.session) return;
  asked.add(key);
  const found = await get(`/api/sessions/${state.session.id}/turns/${turn.id}/versions/${version.id}/calibration`).catch(() => asked.delete(key) && null);
  if (found) update({ calibrated: { ...state.calibrated, [version.id]: found } });
}

export const percent = (share) => `${Math.round(100 * share)} %`;

/** The percentages of one question type with the diagram they come from, or why there are none. */
export function calibration(found) {
  const shares = Object.entries(found.probabilities);
  if (!shares.length) return [h("p.quiet", { dataset: { testid: "no-percentage" } }, found.why)];
  const told = shares.map(([name, share]) => (name ? `${name} ${percent(share)}` : percent(share))).join(", ");
  const { before, after } = found;
  return [
    h("p", { dataset: { testid: "percentage" } }, `Right in such cases here: ${told}.`),
    diagram(before, after),
    h("p.quiet", {}, `Platt scaling on ${found.reviewed} reviewed ${found.words}, answered by this model. Expected calibration error ${after.error.toFixed(2)} on patients held out of the fit, ${before.error.toFixed(2)} of the model's own likelihood.`),
  ];
}

/** Said against right, in bins of equal mass; drawn once it is in the page. */
function diagram(before, after) {
  const element = h("div.reliability", { role: "img", "aria-label": `Reliability diagram: ${after.bins.map((one) => `of those said to be ${percent(one.said)} right, ${percent(one.right)} were`).join("; ")}`, dataset: { testid: "reliability" } });
  const trace = (name, { bins }, marker) => ({ name, x: bins.map((one) => one.said), y: bins.map((one) => one.right), mode: "lines+markers", line: { width: 1.5, color: marker.color, dash: marker.dash }, marker: { size: 6, color: marker.color, symbol: marker.symbol }, hovertemplate: "said %{x:.0%}, right %{y:.0%}<extra></extra>" });
  const axis = (title) => ({ title: { text: title, standoff: 4 }, range: [0, 1], tickformat: ".0%", tickvals: [0, 0.25, 0.5, 0.75, 1], gridcolor: colour("line"), zeroline: false, linecolor: colour("line-strong"), fixedrange: true });
  queueMicrotask(() => draw(element, () => ({
    data: [
      { x: [0, 1], y: [0, 1], mode: "lines", line: { width: 1, dash: "dot", color: colour("text-3") }, hoverinfo: "skip", showlegend: false },
      trace("model's own", before, { color: colour("text-3"), symbol: "circle-open", dash: "dash" }),
      trace("calibrated", after, { color: colour("accent"), symbol: "circle", dash: "solid" }),
    ],
    layout: { height: 220, margin: { l: 50, r: 22, t: 26, b: 38 }, xaxis: axis("said"), yaxis: axis("right"), legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" } },
  })).catch(() => element.remove()));
  return element;
}

/** Give back what diagrams inside an element hold. */
export const forget = (element) => element.querySelectorAll(".reliability").forEach(clear);
