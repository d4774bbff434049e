// Registration of the prior to the current image: a job on the server with progress, numbers and an end at any time. Its
// results are looked at in the prior's viewport, always under a badge that says so; one key shows the original.
import { call, get, post } from "./api.js";
import { fill, h, icon, menu, setOptions } from "./dom.js";
import { setSlots } from "./hang.js";
import { viewer, viewports } from "./stage.js";
import { on, state } from "./state.js";
import { attempt, say } from "./toast.js";
import { addCommand } from "./toolbar.js";

const KINDS = [["rigid", "Rigid"], ["similarity", "Similarity"], ["affine", "Affine"], ["bspline", "Deformable"]];
const VIEWS = [["", "original"], ["registered", "registered"], ["difference", "difference"], ["checkerboard", "checkerboard"]];

let job = null; // AlignOut of the last one, for the pair it was made of
let sent = 0;

/** [moving, fixed]: the earlier image is brought onto the later one. Null unless exactly two hang. */
function pair() {
  const here = state.slots.map((slot, index) => ({ slot, index })).filter(({ slot }) => slot);
  if (here.length !== 2) return null;
  const current = here.find(({ slot }) => slot.role === "current") ?? here[1];
  return [here.find((one) => one !== current), current];
}

const place = (slot) => ({ series_id: slot.series.id, frame: slot.frame });
const fits = () => {
  const both = pair();
  return Boolean(job && both && job.moving.series_id === both[0].slot.series.id && job.fixed.series_id === both[1].slot.series.id
    && (job.dimensions === 3 || (job.moving.frame === both[0].slot.frame && job.fixed.frame === both[1].slot.frame)));
};
const busy = () => Boolean(job && (job.state === "waiting" || job.state === "running"));

/** What the moving image's viewport shows: "" is the original. */
export function look(name) {
  const both = pair();
  if (!both) return;
  const [{ index }, { slot: fixed }] = both;
  const source = name && job?.sources && fits() ? job.sources[name] : null;
  const slots = [...state.slots];
  slots[index] = { ...slots[index], source, sourceKind: source ? name : "" };
  if (source) level(index, source, job.dimensions === 3 ? fixed.frame : 0);
  setSlots(slots);
}

/** An aligned stack lies on the slices of the image it was aligned to: show the one beside it. */
async function level(index, source, frame) {
  const bridge = await viewer();
  const off = bridge.on("shown", (told) => {
    if (told.slot !== index) return;
    off();
    if (told.source === source) bridge.toFrame(index, frame);
  });
}

const aligned = (slot) => Boolean(slot?.source?.startsWith("/api/align/"));
const shown = () => pair()?.[0].slot.sourceKind ?? "";

async function begin(kind) {
  const both = pair();
  if (!both || busy()) return;
  look("");
  const turn = (sent += 1);
  job = await attempt(() => post("/api/align", { moving: place(both[0].slot), fixed: place(both[1].slot), kind, volume: null }));
  tell();
  while (job && turn === sent && busy()) {
    await new Promise((resolve) => { setTimeout(resolve, 400); });
    const next = await attempt(() => get(`/api/align/${job.job}`));
    if (turn !== sent) return;
    if (!next) {
      job = null; // it is not known any more; it can be asked for again
      break;
    }
    job = next;
    tell();
  }
  if (turn !== sent || !job) return;
  if (job.state === "failed") say(job.error);
  if (job.state === "done" && fits()) look("registered");
}

async function cancel() {
  if (!busy()) return;
  job = (await attempt(async () => (await call("DELETE", `/api/align/${job.job}`)).json())) ?? job;
  tell();
}

let tell = () => undefined;

const number = (value) => (value ?? 0).toFixed(3);
const named = (kind) => (KINDS.find(([key]) => key === kind)?.[1] ?? "").toLowerCase();

/** "similarity 0.41 → 0.93; moved 12.3 mm, turned 2.1°". */
function numbers() {
  if (!job || job.state !== "done" || !job.after) return "";
  const { before, after, motion } = job;
  const parts = [`correlation ${number(before?.correlation)} → ${number(after.correlation)}`];
  if (motion) parts.push(`moved ${motion.shift.toFixed(1)} ${motion.unit}`, `turned ${motion.rotation_degrees.toFixed(1).replace("-", "−")}°`);
  if (motion && Math.abs(motion.scale - 1) > 0.001) parts.push(`scale ${motion.scale.toFixed(3)}`);
  return `${job.better === false ? "Not better: " : ""}${parts.join(", ")}`;
}

export function align() {
  const go = menu("Register: bring the prior onto the current image (Shift G: rigid)", [["", "Register…"], ...KINDS], "", (kind) => { go.value = ""; begin(kind); }, { classes: "small", dataset: { testid: "align" } });
  const bar = h("progress", { max: "1", value: "0", "aria-label": "Registration" });
  const stage = h("span.clip");
  const halt = h("button.button.small", { type: "button", onclick: cancel, dataset: { testid: "align-cancel" } }, icon("stop"), "Stop");
  const run = h("div.running", { hidden: true, role: "status", dataset: { testid: "align-running" } }, bar, stage, halt);
  const views = h("select.small", { "aria-label": "The prior's viewport shows", title: "The prior's viewport shows (Q: original and back)", onchange: () => look(views.value), dataset: { testid: "align-view" } });
  const badges = new Map();
  tell = () => {
    const both = pair();
    go.hidden = busy() || !both;
    run.hidden = !busy();
    bar.value = job?.progress ?? 0;
    stage.textContent = job?.stage ?? "";
    const done = job?.state === "done" && fits();
    views.hidden = !done;
    if (done) setOptions(views, VIEWS.map(([name, words]) => [name, `Prior: ${words}`]), shown());
    viewports.forEach((one, index) => badge(one, state.slots[index], badges));
  };
  /** A result that no longer belongs to what hangs is taken down. */
  const follow = () => {
    const away = state.slots.findIndex((slot) => aligned(slot) && !fits());
    if (away >= 0) return setSlots(state.slots.map((slot) => (aligned(slot) ? { ...slot, source: null, sourceKind: "" } : slot)));
    return tell();
  };
  addCommand({ id: "align", words: "Register the prior to the current image", group: "compare", keys: ["Shift+g"], run: () => begin("rigid") });
  addCommand({ id: "original", words: "Registered image or original", group: "compare", keys: ["q"], run: () => look(shown() ? "" : "registered"), enabled: () => job?.state === "done" && fits() });
  for (const name of ["slots", "relation"]) on(name, follow);
  on("shown", () => tell());
  viewer().then(tell);
  tell();
  return h("div.align", { role: "group", "aria-label": "Registration" }, go, run, views);
}

/** What a derived image is, over the image itself: never to be taken for the study. */
function badge(view, slot, badges) {
  if (!badges.has(view)) {
    const made = h("div.badge", { role: "note", dataset: { testid: "badge" } });
    view.area.append(made);
    badges.set(view, made);
  }
  const element = badges.get(view);
  element.hidden = !aligned(slot);
  if (!aligned(slot)) return;
  const legend = view.bridge?.meta(view.index)?.derived?.legend;
  const scale = legend && slot.sourceKind === "difference" ? h("span.legend", {}, h("span.number", {}, `${Math.round(legend.low)}`.replace("-", "−")), h("span.ramp"), h("span.number", {}, `+${Math.round(legend.high)} ${legend.unit}`)) : null;
  const words = { registered: `Registered (${named(job?.kind)})`, difference: "Difference, current minus registered prior", checkerboard: "Checkerboard of both" }[slot.sourceKind];
  fill(element, h("strong", {}, words), h("span.number", { dataset: { testid: "align-numbers" } }, numbers()), scale, h("span", {}, "Display aid. Questions use the original; Q shows it."));
}
