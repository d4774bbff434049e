// Every study of the patient where its date puts it, at true distances; a click hangs it as the prior of what is current.
import { fill, h, refill } from "./dom.js";
import { place, related } from "./hang.js";
import { on, state, update } from "./state.js";
import { addCommand } from "./toolbar.js";
import { apart, layout } from "./viewer/compare.js";

const HIGH = 34;

/** The patient whose studies hang, when there is one alone and more than one study of them. */
function patient() {
  const shown = state.slots.filter(Boolean).map((slot) => slot.series.study_uid);
  const found = state.patients.filter((one) => one.studies.some((study) => shown.includes(study.uid)));
  return found.length === 1 && found[0].studies.length > 1 ? found[0] : null;
}

const days = (study) => (study.acquired ? Date.parse(`${study.acquired.slice(0, 10)}T00:00:00Z`) / 86_400_000 : null);
const hung = (study) => state.slots.findIndex((slot) => slot?.series.study_uid === study.uid);

/** The series of a study that is most like what hangs as current. */
function best(study, like) {
  const alike = (series) => ["body_part", "laterality", "view", "plane", "description"].filter((name) => series[name] === like[name]).length + 10 * (series.modality === like.modality);
  return [...study.series].sort((one, other) => alike(other) - alike(one) || other.frames - one.frames)[0];
}

/** Hang a study in the prior's place, or in the active one where there is none. */
async function hang(study) {
  await related(); // which is the prior is not known before
  const at = hung(study);
  if (at >= 0) return update({ active: at });
  const current = state.slots.findIndex((slot) => slot?.role === "current");
  const like = state.slots[current >= 0 ? current : state.active]?.series ?? state.slots.find(Boolean)?.series;
  const prior = state.slots.findIndex((slot) => slot?.role === "prior");
  const empty = state.slots.indexOf(null);
  const index = empty >= 0 ? empty : prior >= 0 ? prior : state.active === current ? (current + 1) % state.slots.length : state.active;
  const series = like && best(study, like);
  return series && place(series.id, index);
}

/** The study before or after the one in the prior's place. */
async function step(by) {
  await related();
  const one = patient();
  const prior = state.slots.find((slot) => slot?.role === "prior") ?? state.slots[state.active];
  if (!one || !prior) return;
  const order = one.studies.filter((study) => study.series.length).sort((a, b) => (days(a) ?? Infinity) - (days(b) ?? Infinity));
  const at = order.findIndex((study) => study.uid === prior.series.study_uid);
  for (let next = at + by; next >= 0 && next < order.length; next += by) {
    if (hung(order[next]) < 0) {
      hang(order[next]);
      return;
    }
  }
}

export function strip() {
  const line = h("div.line", { "aria-hidden": "true" });
  const dots = h("ol.dots");
  const box = h("div.timeline", { role: "group", "aria-label": "Studies of this patient in time", dataset: { testid: "timeline" } }, line, dots);
  let wide = 0;
  const draw = () => {
    const one = patient();
    box.hidden = !one;
    if (!one) return fill(dots);
    const studies = one.studies.filter((study) => study.series.length);
    const newest = Math.max(...studies.map((study) => days(study) ?? -Infinity));
    const placed = layout(studies.map((study) => ({ study: study.id, days: days(study) })), wide || 320, { margin: 30, label: 62, rows: 1, gap: 16 });
    const dot = ({ study: id, x, dated, row }) => {
      const study = studies.find((each) => each.id === id);
      const at = hung(study);
      const when = dated ? (days(study) === newest ? "newest" : apart(newest - days(study))) : "no date";
      const role = at >= 0 ? state.slots[at].role || `image ${at + 1}` : "";
      const what = [study.acquired?.slice(0, 10) ?? "no date", dated && days(study) !== newest ? `${when} before the newest` : "", [...new Set(study.series.map((series) => series.modality))].join(", "), study.description].filter(Boolean).join(" · ");
      return h("li", { style: { left: `${x}px` }, dataset: { days: String(days(study) ?? "") } },
        h("button.dot", { type: "button", title: `${what}${role ? ` · hung as ${role}` : " · click to hang"}`, "aria-label": `${what}${role ? `, hung as ${role}` : ""}`, "aria-pressed": String(at >= 0), onclick: () => hang(study), dataset: { role: at >= 0 ? state.slots[at].role || "other" : "", study: String(id), key: id, dated: String(dated), testid: "time-point" } }),
        row === null ? null : h("span.label.number", { "aria-hidden": "true" }, when === "newest" ? "newest" : `−${when}`));
    };
    refill(dots, placed.map(dot));
    return undefined;
  };
  new ResizeObserver(([entry]) => {
    const next = Math.round(entry.contentRect.width);
    if (next === wide) return;
    wide = next;
    draw();
  }).observe(box);
  box.style.setProperty("--high", `${HIGH}px`);
  addCommand({ id: "earlier", words: "An earlier study as the prior", group: "compare", keys: [","], run: () => step(-1) });
  addCommand({ id: "later", words: "A later study as the prior", group: "compare", keys: ["."], run: () => step(1) });
  for (const name of ["slots", "patients", "relation"]) on(name, draw);
  draw();
  return box;
}
