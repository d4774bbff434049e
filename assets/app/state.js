// What this tab knows. One object, changed by `update`, listened to by name; nothing else is shared between the parts.

const listeners = new Map();

export const state = {
  engine: { state: "loading", text: "loading the model", detail: "", model: "", engine: "" },
  limits: { max_images: 8, max_upload_mb: 2048, max_question: 8000 },
  patients: [],
  cases: [], // demo cases: {name, title, study_ids, question, ability}
  sessions: [],
  search: "",
  slots: [], // {series, frame, role, when, window, invert, camera, manual} or null, in declared order
  active: 0,
  layout: "auto", // auto, 1x1, 1x2, 2x1, 2x2, 1xN
  names: false, // patients' names over the images, where this site keeps them
  shown: 0, // images painted so far
  ability: "temporal",
  relation: null, // RelationOut of what is shown
  why: "", // why this prior hangs, when the hanging rules chose it
  chosen: null, // relationship the reader chose, or null: guessed
  anyway: false, // the reader said that the patients are different
  opened: 0, // cases opened in this tab; what was begun for an earlier one is not put under this one
  session: null, // {id, title}
  turns: [],
  running: null, // {turn, run, text, stage, abort}
  unjudged: null, // the session with two blind answers, whose models are named nowhere yet
};

/** Listen to changes of one name. */
export function on(name, listener) {
  if (!listeners.has(name)) listeners.set(name, new Set());
  listeners.get(name).add(listener);
}

/** Change some of the state and tell whoever listens. */
export function update(changes) {
  Object.assign(state, changes);
  const told = new Set();
  for (const name of Object.keys(changes)) for (const listener of listeners.get(name) ?? []) told.add(listener);
  for (const listener of told) listener(state);
}

/** Slots that hold an image, in declared order. */
export const filled = () => state.slots.filter((slot) => slot !== null);

const KEY = "interval.tab";

/** Keep what hangs in this tab, so that a reload before the first question finds it again. */
export function remember() {
  if (state.guest) return;
  const url = new URL(location.href);
  if (state.session) url.searchParams.set("session", state.session.id);
  else url.searchParams.delete("session");
  if (url.href !== location.href) history.replaceState(null, "", url);
  const slots = state.slots.map((slot) => slot && { series_id: slot.series.id, frame: slot.frame, window: slot.window });
  try { sessionStorage.setItem(KEY, JSON.stringify({ slots, chosen: state.chosen, layout: state.layout })); } catch { /* private mode keeps nothing */ }
}

export function remembered() {
  try { return JSON.parse(sessionStorage.getItem(KEY)) ?? null; } catch { return null; }
}

export function sessionInAddress() {
  const id = Number(new URL(location.href).searchParams.get("session"));
  return Number.isInteger(id) && id > 0 ? id : null;
}
