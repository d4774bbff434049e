// What the reader drew and arranged on this case: one document, every step of which can be undone, saved with the session.
// A session begins by itself with the first mark. Until the server has the newest version it also lies in this tab's own
// storage, so that a reload, a lost route or a script that fails loses nothing.
import { get, post, put } from "./api.js";
import { relationship, wire } from "./hang.js";
import { filled, on, remember, state, update } from "./state.js";
import { say } from "./toast.js";
import * as compare from "./viewer/compare.js";

const BACKUP = "interval.marks.";
const LIKED = "interval.links"; // actions the reader likes linked, in every case
const EMPTY = { history: compare.begin(compare.NOTHING), links: compare.AT_FIRST, mode: "side", overrides: [] };

function liked() {
  try {
    const found = JSON.parse(localStorage.getItem(LIKED) ?? "{}");
    return Object.fromEntries(compare.ACTIONS.map((name) => [name, typeof found[name] === "boolean" ? found[name] : EMPTY.links.actions[name]]));
  } catch {
    return EMPTY.links.actions;
  }
}

let history = EMPTY.history;
let version = 0;
let session = null; // whose document this is
let timer = 0;
let saving = null;
let dirty = false;

Object.assign(state, { drawn: compare.NOTHING, links: { ...EMPTY.links, actions: liked() }, mode: "side", overrides: [], chosen_mark: null, saved: true });

/** Change what is drawn; one step of undo, steps of the same name together. */
export function record(next, name = "") {
  take(compare.record(history, next, name));
}

/** Change what is drawn without a step of undo: a number that became known. */
export function amend(next) {
  take(compare.amend(history, next));
}

export const undo = () => take(compare.undo(history));
export const redo = () => take(compare.redo(history));
export const canUndo = () => history.past.length > 0;
export const canRedo = () => history.future.length > 0;

function take(next) {
  if (next === history) return;
  const before = history.present;
  history = next;
  const there = history.present.marks.some((mark) => mark.id === state.chosen_mark);
  try {
    update({ drawn: history.present, ...(there ? {} : { chosen_mark: null }) });
  } finally {
    if (before !== history.present) save(); // whatever fails in drawing, what was drawn is kept
  }
}

/** Links, mode, overrides: kept with the marks, not stepped over by undo. They alone begin no session. */
export function arrange(changes) {
  update(changes);
  if (changes.links) try { localStorage.setItem(LIKED, JSON.stringify(changes.links.actions)); } catch { /* this tab alone knows */ }
  save();
}

const worth = () => state.drawn !== compare.NOTHING || state.links.anchors.length > 0 || state.overrides.length > 0;

function written() {
  const { actions, views, anchors } = state.links;
  return {
    version,
    ...state.drawn,
    pairs: state.drawn.pairs.map((pair) => ({ id: `${pair.prior}:${pair.current}`, ...pair })),
    links: { ...actions, views, anchors },
    layout: null,
    mode: state.mode,
    overrides: state.overrides,
  };
}

function readIn(found) {
  const { scroll, camera, window, crosshair, views, anchors } = found.links;
  version = found.version;
  history = compare.begin({ marks: found.marks, pairs: found.pairs.map(({ prior, current }) => ({ prior, current })), key_images: found.key_images });
  update({
    drawn: history.present,
    links: { actions: { scroll, camera, window, crosshair }, views, anchors },
    mode: found.mode,
    overrides: found.overrides,
    chosen_mark: null,
    saved: true,
  });
}

function forget() {
  history = EMPTY.history;
  version = 0;
  dirty = false;
  update({ drawn: history.present, links: { ...EMPTY.links, actions: state.links.actions }, mode: "side", overrides: [], chosen_mark: null, saved: true });
}

function save() {
  if (!session && !worth()) return;
  dirty = true;
  backUp();
  update({ saved: false });
  clearTimeout(timer);
  timer = setTimeout(flush, session ? 400 : 0);
}

function backUp() {
  if (!session) return;
  try { sessionStorage.setItem(BACKUP + session, JSON.stringify(written())); } catch { /* no storage: the server alone keeps them */ }
}

/** Send the newest version now; one at a time. */
export async function flush() {
  clearTimeout(timer);
  if (!dirty || saving) return saving;
  saving = send().finally(() => { saving = null; });
  await saving;
  if (dirty && state.saved) return flush();
  return undefined;
}

async function send() {
  try {
    if (!session && !(await begin())) return;
    dirty = false;
    const own = session;
    const answer = await put(`/api/sessions/${own}/marks`, written());
    if (own !== session) return;
    version = answer.version;
    if (dirty) backUp();
    else sessionStorage.removeItem(BACKUP + own);
    update({ saved: !dirty });
    if (dirty) timer = setTimeout(flush, 400);
  } catch (error) {
    dirty = true;
    if (error.status === 409) say(error.message, "bad", ["Keep mine", mine]);
    else {
      say(error.message);
      if (error.status === undefined) timer = setTimeout(flush, 5000);
    }
  }
}

/** The reader keeps what is here over what another tab saved. */
async function mine() {
  version = (await get(`/api/sessions/${session}/marks`)).version;
  dirty = true;
  await flush();
}

async function begin() {
  if (!filled().length) return false;
  const made = await post("/api/sessions", { slots: filled().map(wire), relationship: relationship() });
  session = made.id;
  update({ session: { id: made.id, title: made.title } });
  remember();
  update({ sessions: await get(`/api/sessions?search=${encodeURIComponent(state.search)}`) });
  return true;
}

/** Another session is open: its marks, with what this tab had not yet sent. */
async function follow() {
  const id = state.session?.id ?? null;
  if (id === null && session === null && !saving) return forget();
  if (id === session) return;
  const begun = id !== null && session === null && state.running?.session === id;
  if (session !== null && dirty) await flush();
  if (state.session?.id !== (id ?? undefined)) return;
  session = id;
  if (id === null) return forget();
  if (begun) return worth() ? save() : undefined;
  forget();
  try {
    const found = await get(`/api/sessions/${id}/marks`);
    if (session !== id) return;
    const unsent = JSON.parse(sessionStorage.getItem(BACKUP + id) ?? "null");
    if (found.version > 0 || unsent) readIn(unsent && unsent.version === found.version ? unsent : found);
    if (unsent && unsent.version === found.version) save();
    else sessionStorage.removeItem(BACKUP + id);
  } catch (error) {
    say(error.message, "bad", ["Try again", () => { session = null; follow(); }]);
  }
}

on("session", follow);
addEventListener("pagehide", () => {
  if (dirty && session) put(`/api/sessions/${session}/marks`, written(), { keepalive: true }).catch(() => undefined);
});
