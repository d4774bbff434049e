// What the reader drew and arranged on this case: one document, every step of which can be undone, saved with the session.
// A session begins by itself with the first mark. Until the server has the newest version it also lies in this tab's own
// storage, so that a reload, a lost route or a script that fails loses nothing.
import { get, post, put } from "./api.js";
import { relationship, relist, wire } from "./hang.js";
import { setLayout } from "./stage.js";
import { filled, on, remember, state, update } from "./state.js";
import { attempt, say } from "./toast.js";
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
let base = compare.NOTHING; // what was drawn in the version the server has
let laid = null; // the layout the server knows
let version = 0;
let session = null; // whose document this is
let timer = 0;
let saving = null;
let dirty = false;
let opened = 0; // the case that is drawn on, as `state.opened` counts them
let lent = null; // the reader's own drawing, while another's is on the stage in its place
let left = null; // what was drawn on a case that was left before its session was made

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
    layout: state.session?.id === session ? state.layout : laid,
    mode: state.mode,
    overrides: state.overrides,
  };
}

const drawnIn = ({ marks, pairs, key_images }) => ({ marks, pairs: pairs.map(({ prior, current }) => ({ prior, current })), key_images });

function readIn(found) {
  const { scroll, camera, window, crosshair, views, anchors } = found.links;
  version = found.version;
  const read = compare.begin(drawnIn(found));
  base = read.present;
  const arranged = { links: { actions: { scroll, camera, window, crosshair }, views, anchors }, mode: found.mode, overrides: found.overrides };
  if (lent) return void Object.assign(lent, { history: read, ...arranged });
  history = read;
  laid = found.layout ?? state.layout;
  if (laid !== state.layout) setLayout(laid);
  update({
    drawn: history.present,
    ...arranged,
    chosen_mark: null,
    saved: true,
  });
}

function forget() {
  base = compare.NOTHING;
  version = 0;
  dirty = false;
  const arranged = { links: { ...EMPTY.links, actions: state.links.actions }, mode: "side", overrides: [] };
  if (lent) return void Object.assign(lent, { history: EMPTY.history, ...arranged });
  history = EMPTY.history;
  update({ drawn: history.present, ...arranged, chosen_mark: null, saved: true });
}

/** Draw another's marks in the place of the reader's own, and keep nothing of it; what puts the own ones back. */
export function borrow(marks) {
  const own = { history, links: state.links, mode: state.mode, overrides: state.overrides };
  lent = own;
  history = compare.begin({ ...compare.NOTHING, marks });
  update({ drawn: history.present, links: { ...EMPTY.links, actions: own.links.actions }, mode: "side", overrides: [], chosen_mark: null });
  return () => {
    lent = null;
    const { history: before, ...rest } = own;
    history = before;
    update({ drawn: history.present, ...rest, chosen_mark: null });
  };
}

function save() {
  if (state.guest || (!session && !worth())) return;
  dirty = true;
  backUp();
  update({ saved: false });
  clearTimeout(timer);
  timer = setTimeout(flush, session ? 400 : 0);
}

function backUp() {
  if (!session || state.guest) return;
  try { sessionStorage.setItem(BACKUP + session, JSON.stringify({ ...written(), base })); } catch { /* no storage: the server alone keeps them */ }
}

/** Send the newest version now; one at a time. */
export async function flush() {
  clearTimeout(timer);
  if (!dirty || saving || state.guest) return saving;
  saving = send().finally(() => { saving = null; });
  await saving;
  if (dirty && state.saved) return flush();
  return undefined;
}

async function send() {
  try {
    if (!session && !(await begin())) {
      if (dirty && filled().length && (session || worth())) timer = setTimeout(flush, 0); // of the case that is open by now
      return;
    }
    if (state.guest) return; // sent when the reader's own drawing is back
    dirty = false;
    const own = session;
    const sent = state.drawn;
    const answer = await put(`/api/sessions/${own}/marks`, written());
    if (own !== session) return;
    version = answer.version;
    base = sent;
    if (dirty) backUp();
    else sessionStorage.removeItem(BACKUP + own);
    update({ saved: !dirty });
    tabs?.postMessage({ session: own, version });
    if (dirty) timer = setTimeout(flush, 400);
  } catch (error) {
    dirty = Boolean(session) || worth();
    if (error.status === 409) await join();
    else {
      say(error.message);
      if (error.status === undefined) timer = setTimeout(flush, 5000);
    }
  }
}

/** Another tab saved this session first: what it drew and what is drawn here become one, and that is saved. */
async function join() {
  const own = session;
  if (state.guest) return; // joined when the reader's own images hang again
  try {
    const found = await get(`/api/sessions/${own}/marks`);
    if (own !== session) return;
    joined(found);
    say("Another tab drew on this case too; what you drew here and there is kept together.", "good");
    timer = setTimeout(flush, 0);
  } catch (error) {
    say(error.message, "bad", ["Try again", join]);
  }
}

/** The server's newest version under what is here and not yet there; a step back takes nothing of it away. */
function joined(found) {
  const [before, theirs] = [base, drawnIn(found)];
  history = compare.throughout(history, (one) => compare.merge(before, one, theirs));
  version = found.version;
  base = theirs;
  const codes = new Set(state.overrides.map((one) => one.code));
  const known = new Set(state.links.anchors.map(between));
  update({
    drawn: history.present,
    overrides: [...state.overrides, ...found.overrides.filter((one) => !codes.has(one.code))],
    links: { ...state.links, anchors: [...state.links.anchors, ...found.links.anchors.filter((one) => !known.has(between(one)))] },
  });
  if (dirty) backUp();
}

const between = (anchor) => [anchor.a_series, anchor.b_series].sort((a, b) => a - b).join();

/** Other tabs of this reader tell what they saved, so that tabs of one session do not drift apart. */
const tabs = "BroadcastChannel" in globalThis ? new BroadcastChannel("interval.marks") : null;
tabs?.addEventListener("message", async ({ data }) => {
  const own = session;
  if (data.session !== own || data.version <= version || dirty || saving || state.guest) return; // a tab with news of its own joins when it saves
  const found = await get(`/api/sessions/${own}/marks`).catch(() => null);
  if (found && own === session && found.version > version && !dirty && !saving) joined(found);
});

/** Make the session that a first mark begins; false where there is none to go on with: the reader has opened another case. */
async function begin() {
  if (!filled().length) return false;
  left = null;
  const made = await post("/api/sessions", { slots: filled().map(wire), relationship: relationship() });
  const drawn = left;
  left = null;
  if (drawn) {
    await attempt(() => put(`/api/sessions/${made.id}/marks`, drawn));
  } else if (!session) {
    [session, laid] = [made.id, state.layout];
    update({ session: { id: made.id, title: made.title } });
    remember();
  }
  await relist();
  return session === made.id;
}

/** Another session is open: its marks, with what this tab had not yet sent. */
async function follow() {
  const id = state.session?.id ?? null;
  const same = opened === state.opened;
  if (session === null && saving && !same) left ??= written();
  opened = state.opened;
  if (id === null && session === null) return same ? undefined : forget();
  if (id === session) return;
  const begun = id !== null && session === null && same; // by a question about what hangs
  for (let tries = 0; session !== null && dirty && tries < 2; tries += 1) await flush();
  if (state.session?.id !== (id ?? undefined)) return;
  [session, laid] = [id, state.layout];
  if (id === null) return forget();
  if (begun) return worth() ? save() : undefined;
  forget();
  try {
    const found = await get(`/api/sessions/${id}/marks`);
    if (session !== id) return;
    const unsent = JSON.parse(sessionStorage.getItem(BACKUP + id) ?? "null");
    if (found.version > 0 || unsent) readIn(unsent ?? found);
    if (!unsent) return;
    base = unsent.base ?? compare.NOTHING;
    if (lent) {
      dirty = true; // sent, and joined where it must be, when it is back on the stage
      return;
    }
    if (unsent.version !== found.version) joined(found);
    save();
  } catch (error) {
    say(error.message, "bad", ["Try again", () => { session = null; opened = -1; follow(); }]);
  }
}

on("session", follow);
on("layout", () => {
  if (!session || state.session?.id !== session || state.layout === laid) return;
  laid = state.layout;
  save();
});
addEventListener("pagehide", () => {
  if (dirty && session && !state.guest) put(`/api/sessions/${session}/marks`, written(), { keepalive: true }).catch(() => undefined);
});
