// What hangs where. Every change of the viewports goes through here: order, roles and relative times are asked of the
// server again, a role that the reader chose stays, and an open session keeps what it shows.
import { get, post, put } from "./api.js";
import { filled, remember, state, update } from "./state.js";
import { attempt, say } from "./toast.js";

let asked = 0;
let wishes = 0;
let keeping = 0;
let settling = 0;
let owed = false; // how what hangs relates was not told, because another's case was looked at
const placing = new Map(); // viewport -> the series wanted there last

const slotOf = (shown) => ({ series: shown.series, frame: shown.frame, role: shown.role, when: shown.when, window: shown.window || null, invert: false, manual: false });

/** Leave a running answer behind: the connection closes, the server stops and keeps what there was. */
export function leave() {
  state.running?.abort.abort();
  update({ running: null });
}

/** A case is wanted; what this returns says whether it still is when it comes: of two that were asked for the later one opens. */
export function wish() {
  const mine = (wishes += 1);
  return () => mine === wishes;
}

/** Show exactly these slots (SlotOut) with their relation; at least two viewports stay. Another case leaves a running answer. */
export function show(slots, relation, { chosen = null, keepSession = false, why = "" } = {}) {
  flushPending();
  asked += 1;
  wishes += 1;
  update({ opened: state.opened + 1 });
  if (state.place !== "read") update({ place: "read" }); // what is opened hangs in Read, whatever is looked at
  const shown = slots.map(slotOf);
  while (shown.length < 2) shown.push(null);
  if (!keepSession) {
    leave();
    update({ session: null, turns: [] });
  }
  update({ slots: shown, relation, chosen, why, anyway: false, active: Math.min(state.active, shown.length - 1) });
  remember();
}

/** Open a patient by the hanging rules: the newest study as current, beside the prior that is most like it, and why that one. */
export async function openPatient(id) {
  const wanted = wish();
  const hung = await attempt(() => get(`/api/patients/${id}/hanging`));
  if (!hung || !wanted()) return;
  show(hung.slots, hung.relation, { why: hung.reason });
  update({ layout: hung.slots.length > 2 ? hung.layout : "auto" }); // behind it: the session that was left keeps its own
}

/** Hang studies by the server's choice, as a new case. */
export async function hangStudies(ids, ability) {
  const wanted = wish();
  const hung = await attempt(() => post("/api/hang", { study_ids: ids }));
  if (!hung || !wanted()) return;
  show(hung.slots, hung.relation);
  if (ability) update({ ability });
}

/** Put one series into a viewport: the active one, or `index`. */
export async function place(seriesId, index = state.active) {
  const { opened, guest } = state;
  placing.set(index, seriesId);
  const series = await attempt(() => get(`/api/series/${seriesId}`));
  if (!series || opened !== state.opened || guest !== state.guest || placing.get(index) !== seriesId) return;
  const slots = [...state.slots];
  slots[index] = slotOf({ series, frame: Math.floor(series.frames / 2), role: "", when: "" });
  const empty = slots.indexOf(null);
  update({ slots, why: "", active: empty >= 0 ? empty : index, anyway: false });
  await relate();
}

let relating = Promise.resolve();

/** Until it is known how what is shown relates, or that it cannot be. */
export const related = () => relating;

/** Ask again how what is shown relates; roles the reader chose stay. */
export function relate() {
  relating = told();
  return relating;
}

/** Why what is shown cannot be asked about for want of that, `` when it can. */
export const unrelated = () => (filled().length > 1 && !state.relation ? "How these images belong together is not known yet; wait, or try again." : "");

async function told() {
  const turn = (asked += 1);
  const { guest } = state;
  const shown = filled();
  if (!shown.length) {
    update({ relation: null });
    keep();
    return;
  }
  const body = { series_ids: shown.map((slot) => slot.series.id), relationship: state.chosen };
  let relation = null;
  try {
    relation = await post("/api/relate", body);
  } catch (error) {
    if (turn === asked && guest === state.guest) {
      update({ relation: null }); // that of what hung before says nothing of these
      say(error.message, "bad", ["Try again", relate]);
    }
  }
  owed = !guest && state.guest;
  if (!relation || turn !== asked || owed) return;
  shown.forEach((slot, number) => {
    if (!slot.manual) Object.assign(slot, { role: relation.roles[number] ?? "", when: relation.whens[number] ?? "" });
  });
  update({ relation, slots: [...state.slots] });
  keep();
}

/** The reader's own images hang again: what could not be told of them meanwhile is asked for. */
export function resume() {
  if (owed) relate();
}

/** Exchange the two images, or turn the order of more around. */
export function swap() {
  update({ slots: [...state.slots].reverse(), active: 0 });
  return relate();
}

export function addSlot() {
  if (state.slots.length >= state.limits.max_images) return;
  update({ slots: [...state.slots, null], active: state.slots.length });
}

/** Empty a viewport; beyond two it goes away. */
export function clearSlot(index) {
  const slots = [...state.slots];
  if (slots.length > 2) slots.splice(index, 1);
  else slots[index] = null;
  update({ slots, why: "", active: Math.min(state.active, slots.length - 1) });
  return relate();
}

/** The reader says what an image is. Of two images in time the other becomes the counterpart. */
export function setRole(index, role) {
  const slots = [...state.slots];
  const pairs = { prior: "current", current: "prior", left: "right", right: "left" };
  const was = slots[index].role;
  slots[index] = { ...slots[index], role, when: "", manual: true };
  slots.forEach((slot, other) => {
    const twin = other !== index && slot && slot.role === role && pairs[role];
    if (twin) slots[other] = { ...slot, role: filled().length === 2 ? pairs[role] : was, when: "", manual: true };
  });
  update({ slots });
  keep();
}

export function setRelationship(relationship) {
  const slots = state.slots.map((slot) => slot && { ...slot, manual: false });
  update({ slots, chosen: relationship });
  return relate();
}

/** Show these slots, empty ones among them, without asking anything anew. */
export function setSlots(slots) {
  update({ slots, active: Math.min(state.active, slots.length - 1) });
  remember();
}

/** Frames and windows change in place while the reader scrolls and drags; when that rests, it is told and kept. */
export function settle() {
  clearTimeout(settling);
  settling = setTimeout(() => {
    settling = 0;
    update({ slots: [...state.slots] });
    keep();
  }, 250);
}

/** Read the list of sessions again, as it is searched. */
export async function relist() {
  const { search } = state;
  const sessions = await attempt(() => get(`/api/sessions?search=${encodeURIComponent(search)}`));
  if (sessions && search === state.search) update({ sessions });
}

export const wire = (slot) => ({ series_id: slot.series.id, frame: slot.frame, role: slot.role, when: slot.when, window: slot.window ?? "" });

export const relationship = () => state.relation?.relationship ?? "temporal";

function keep() {
  remember();
  if (!state.session || state.guest) return;
  clearTimeout(keeping);
  keeping = setTimeout(flush, 400);
}

/** Send what hangs to the open session now. */
export function flush() {
  clearTimeout(keeping);
  clearTimeout(settling);
  keeping = settling = 0;
  if (!state.session || state.guest) return Promise.resolve();
  const body = { slots: filled().map(wire), relationship: relationship() };
  return attempt(() => put(`/api/sessions/${state.session.id}/slots`, body, { keepalive: true }));
}

/** The same, where something is not sent yet: another case is about to hang. */
export function flushPending() {
  if (keeping || settling) flush();
}

addEventListener("pagehide", () => {
  if (settling) remember();
  flushPending();
});
