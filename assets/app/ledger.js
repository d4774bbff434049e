// The forecast ledger: what answers foretold, what readers saw come, and how often the two agreed. While a forecast waits for a reader,
// the panel does not say what the model foretold, so that the later study is read without it.
import { get, post } from "./api.js";
import { open } from "./ask.js";
import { diagram, forget } from "./calibration.js";
import { day, fill, h, icon, menu, plural } from "./dom.js";
import { forecastMark } from "./forecast.js";
import { hangStudies } from "./hang.js";
import { short } from "./matrix.js";
import { panel } from "./panels.js";
import { attempt, say } from "./toast.js";

const PARTS = [
  ["due", "Due", "Nothing waits for you."],
  ["open", "Open", "No forecast is open. Ask what will become of a finding, such as “in a year”, and it is kept here."],
  ["resolved", "Resolved", "Nothing is resolved yet."],
];

const begun = new Map(); // forecast -> what is being said of it; a list that is drawn anew keeps it

/** The panel of Read. */
export function ledger() {
  const body = h("div.ledgerbody", { dataset: { testid: "ledger" } });
  const draw = (found) => {
    forget(body);
    fill(body,
      forecastMark(true),
      h("p.quiet", {}, "Kept as the model gave them. Nothing of this list goes into a report, trains a model, or counts for the percentage of an answer."),
      PARTS.map(([state, title, none]) => part(title, none, found.forecasts.filter((one) => one.state === state), found, draw)),
      h("h3.caps", {}, "Foretold against what came"),
      found.standing.length ? found.standing.map((one) => standing(one, found.least)) : h("p.quiet", { dataset: { testid: "standing" } }, missing(0, found.least)));
  };
  panel("ledger", "Forecasts", body, async () => {
    const found = await attempt(() => get("/api/forecasts"));
    if (found) draw(found);
  });
}

const missing = (count, least) => `No figures yet: they take ${least} resolved forecasts of one model, and ${least - count} are missing.`;

function part(title, none, entries, found, draw) {
  return [h("h3.caps", {}, `${title} (${entries.length})`), entries.length ? h("ol", {}, entries.map((one) => entry(one, found, draw))) : h("p.quiet", {}, none)];
}

const leans = (shares) => Object.entries(shares).sort((a, b) => b[1] - a[1])[0];

function entry({ forecast, state }, found, draw) {
  const outcome = forecast.outcomes.at(-1);
  const [foretold, share] = leans(forecast.shares);
  const [kind, word] = outcome ? (outcome.came === found.untold ? ["quiet", "Cannot tell"] : outcome.came === foretold ? ["good", "It came"] : ["warn", "Otherwise"]) : { due: ["warn", "Due"], open: ["quiet", "Open"] }[state];
  const dates = forecast.acquired ? [forecast.due ? `for ${day(forecast.due)}` : "for the next study", `made of ${day(forecast.acquired)}`] : ["its study was erased"];
  const told = outcome ? `Foretold ${foretold}, its share ${short(share)}; ${outcome.came === found.untold ? "the later study does not tell" : `${outcome.came} came`}, ${plural(outcome.days, "day")} later.` : state === "due" ? "What was foretold is shown once you have said what came." : `Foretold: ${foretold}.`;
  const form = h("div", {});
  const ask = () => fill(form, resolving(forecast, found, draw));
  if (state === "due" || begun.has(forecast.id)) ask();
  return h("li", { dataset: { testid: "forecast-entry", state } },
    h("button.caseline", { type: "button", title: "Open its case", onclick: () => open(forecast.session) },
      h("span.first", {}, h("strong.clip", {}, forecast.question), h(`span.fatetag.${kind}`, {}, word)),
      h("span.quiet.clip.number", {}, [...dates, forecast.patient, forecast.model].filter(Boolean).join(" · "))),
    h("p.told", {}, told, outcome?.comment && [" ", h("q", {}, outcome.comment)], outcome && forecast.later.length > 0 && [" ", h("button.button.small", { type: "button", onclick: ask, dataset: { testid: "resolve-again" } }, "Say it anew")]),
    form);
}

/** What a reader says of a forecast that is due: on which study, what came, and a word of their own. */
function resolving(forecast, found, draw) {
  const label = (one) => `${day(one.acquired)}, ${plural(one.days, "day")} later`;
  const draft = { study: String(forecast.later.at(-1).study_id), came: "", comment: "", ...begun.get(forecast.id) };
  const note = (changes) => begun.set(forecast.id, Object.assign(draft, changes));
  const study = menu("Seen on", forecast.later.map((one) => [String(one.study_id), label(one)]), draft.study, (value) => note({ study: value }), { classes: "small", "data-testid": "seen-on" });
  const look = h("button.button.small", { type: "button", title: "Hang it beside the study the forecast was made of", onclick: () => hangStudies([forecast.study_id, Number(study.value)]), dataset: { testid: "look" } }, icon("beside"), "Show");
  const comment = h("input", { type: "text", value: draft.comment, oninput: () => note({ comment: comment.value }), maxlength: "400", "aria-label": "Comment", placeholder: "Comment (optional)", "data-testid": "outcome-comment" });
  const keep = h("button.button.small.main", { type: "submit", disabled: !draft.came, dataset: { testid: "resolve" } }, "Keep");
  const came = menu("What came", [["", "What came?"], ...Object.keys(forecast.shares).map((one) => [one, one]), [found.untold, found.untold]], draft.came, (value) => { keep.disabled = !value; note({ came: value }); }, { classes: "small", "data-testid": "came" });
  const send = async (event) => {
    event.preventDefault();
    if (keep.disabled) return;
    keep.disabled = true; // once
    const next = await attempt(() => post(`/api/forecasts/${forecast.id}/outcomes`, { came: came.value, study_id: Number(study.value), comment: comment.value }));
    keep.disabled = !came.value;
    if (!next) return;
    begun.delete(forecast.id);
    draw(next);
    say("Kept; it stands under Resolved.", "good");
  };
  return h("form.resolving", { onsubmit: send }, study, look, came, comment, keep);
}

/** How one model's forecasts turned out, or how many are missing. */
function standing(one, least) {
  const name = h("strong", {}, one.model, one.adapter && ` with adapter ${one.adapter}`);
  if (!one.diagram) return h("p.quiet", { dataset: { testid: "standing" } }, name, ": ", missing(one.resolved, least));
  return h("div", { dataset: { testid: "standing" } },
    h("p", {}, name, `: Brier score ${one.brier.toFixed(2)} over ${one.resolved} resolved forecasts; 0 is best, and equal shares for every class would have ${one.even.toFixed(2)}.`),
    diagram(one.diagram, [["likeliest class", one.diagram, "accent", "circle", "solid"]]),
    h("p.quiet", {}, "The model's own share for the class it held likeliest against how often that class came, by what readers here said."));
}
