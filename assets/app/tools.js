// Measuring and marking: the tools, what becomes of what they draw, pairs, key images, undo. The table is measures.js.
import { state, on, update } from "./state.js";
import { amend, canRedo, canUndo, record, redo, undo } from "./kept.js";
import { viewer } from "./stage.js";
import { say } from "./toast.js";
import { addAction, addCommand, addTool, refresh } from "./toolbar.js";
import * as compare from "./viewer/compare.js";

const TOOLS = [
  ["length", "Length", "l", "measure"],
  ["bidirectional", "Longest diameter and the one across", "b", "measure"],
  ["angle", "Angle", "g", "measure"],
  ["ctr", "Cardiothoracic ratio: heart, then thorax", "t", "measure"],
  ["ellipse", "Ellipse with statistics", "e", "measure"],
  ["rectangle", "Rectangle with statistics", "Shift+e", "measure"],
  ["point", "Mark a point for a question", "Shift+p", "mark"],
  ["arrow", "Mark with an arrow", "Shift+a", "mark"],
  ["box", "Mark a box", "Shift+b", "mark"],
  ["free", "Mark a free shape", "Shift+f", "mark"],
];

let drawing = null; // Annotations of the viewer
let seen = null; // the viewer
let gesture = 0;
const scales = new Map(); // of images measured: known also while something made from them is shown in their place

/** Frontal chest radiographs, where a cardiothoracic ratio means something. */
const frontal = (series) => ["DX", "CR", "XR", "DR"].includes(series?.modality) && ["", "PA", "AP"].includes(series.view) && ["", "CHEST", "THORAX"].includes((series.body_part || "").toUpperCase());

export const slotOf = (seriesId) => state.slots.findIndex((slot) => slot?.series.id === seriesId);
export const side = (seriesId) => {
  const role = state.slots[slotOf(seriesId)]?.role ?? "";
  return role === "prior" || role === "current" ? role : "";
};

/** Days since 1970 of a series' acquisition, or null. */
export const days = (seriesId) => {
  const acquired = state.slots[slotOf(seriesId)]?.series.acquired;
  return acquired ? Date.parse(`${acquired.slice(0, 10)}T00:00:00Z`) / 86_400_000 : null;
};

/** What a measurement reads now; null for marks, and while its image is not open. */
export function reading(mark) {
  const key = `${mark.series_id}/${mark.frame}`;
  const now = drawing?.scale(mark);
  if (now) scales.set(key, now);
  const scale = scales.get(key);
  return scale && slotOf(mark.series_id) >= 0 ? compare.read(mark, scale, seen?.meta(slotOf(mark.series_id))?.units ?? "") : null;
}

function heard(told) {
  if (told.what === "refused") return say(told.sentence);
  if (told.what === "selected") return told.id !== state.chosen_mark && update({ chosen_mark: told.id });
  const { mark } = told;
  if (told.what === "changed") {
    const before = state.drawn.marks.find((one) => one.id === mark.id);
    if (!before) return undefined;
    const next = compare.withMark(state.drawn, mark);
    return before.points === mark.points ? amend(next) : record(next, `move:${mark.id}:${gesture}`);
  }
  const slot = state.slots[slotOf(mark.series_id)];
  if (mark.kind === "ctr" && !frontal(slot?.series)) {
    drawing.cancel();
    return say("The cardiothoracic ratio is defined on frontal chest radiographs only; measure a length here.");
  }
  const label = mark.label || compare.nextLabel(state.drawn.marks, mark.kind);
  record(compare.withMark(state.drawn, { ...mark, label }));
  return update({ chosen_mark: mark.id });
}

/** Take marks off the image, the chosen one unless told otherwise; one step to undo. */
export function remove(...ids) {
  const gone = ids.length ? ids : [state.chosen_mark];
  record(gone.filter(Boolean).reduce((drawn, id) => compare.without(drawn, id), state.drawn));
}

/** Pair the chosen measurement with its counterpart at the other date, or part them. */
export function pair(id = state.chosen_mark) {
  const found = compare.togglePair(state.drawn, id ?? "", side, reading);
  if (found.refused) say(found.refused);
  else record(found.drawn);
}

function toggleKeyImage(index = state.active) {
  const slot = state.slots[index];
  if (slot) record(compare.toggleKeyImage(state.drawn, slot.series.id, slot.frame));
}

const isKey = () => {
  const slot = state.slots[state.active];
  return Boolean(slot && state.drawn.key_images.some((one) => one.series_id === slot.series.id && one.frame === slot.frame));
};

/** Go to where a mark or key image lies. */
export async function jump(seriesId, frame, id = null) {
  const index = slotOf(seriesId);
  if (index < 0) return say("The image of this row is not open now; choose its study in the list.");
  const bridge = await viewer();
  update({ active: index });
  await bridge.toFrame(index, frame, true);
  if (id) update({ chosen_mark: id });
  return undefined;
}

export function tools() {
  for (const [name, label, key, group] of TOOLS) addTool({ name, label, icon: name, key, group });
  addAction({ name: "undo", label: "Undo", icon: "undo", key: "Ctrl+z", group: "history", run: undo, enabled: canUndo });
  addAction({ name: "redo", label: "Redo", icon: "redo", key: ["Ctrl+Shift+z", "Ctrl+y"], group: "history", run: redo, enabled: canRedo });
  addAction({ name: "key-image", label: "Key image", icon: "star", key: "k", group: "history", run: () => toggleKeyImage(), pressed: isKey, enabled: () => Boolean(state.slots[state.active]) });
  addAction({ name: "pair", label: "Pair with the other date", icon: "pair", key: "j", group: "history", run: () => pair(), enabled: () => Boolean(state.chosen_mark) });
  addAction({ name: "delete", label: "Take the chosen mark off", icon: "bin", key: ["Delete", "Backspace"], group: "history", run: () => remove(), enabled: () => Boolean(state.chosen_mark) });
  addCommand({ id: "cancel-drawing", words: "Leave a drawing unfinished, choose nothing", group: "mark", keys: ["Escape"], run: () => { drawing?.cancel(); update({ chosen_mark: null }); } });
  addEventListener("pointerdown", () => { gesture += 1; }, true);
  viewer().then((bridge) => import("/app/viewer/viewer.js").then(({ Annotations }) => {
    seen = bridge;
    drawing = new Annotations(bridge, heard);
    drawing.show(state.drawn.marks);
    update({ drawn: state.drawn });
  }));
  on("drawn", () => drawing?.show(state.drawn.marks));
  on("chosen_mark", () => drawing?.select(state.chosen_mark));
  for (const name of ["drawn", "chosen_mark", "active", "slots"]) on(name, refresh);
}
