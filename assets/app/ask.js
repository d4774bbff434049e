// Asking: one question at a time in a tab, its words as they come, stopping, asking again.
import { get, post, stream } from "./api.js";
import { flush, leave, relationship, relist, show, wire, wish } from "./hang.js";
import { flush as keepDrawn } from "./kept.js";
import { filled, remember, state, update } from "./state.js";
import { attempt, say } from "./toast.js";
import { check } from "./trust.js";

/** Ask about what hangs; `along` are the marks and the context that go with it. `onKept` is called once the question is kept. */
export async function ask(question, ability, along, onKept) {
  const body = {
    question,
    ...along,
    ability,
    relationship: relationship(),
    slots: filled().map(wire),
    different_patients: state.anyway,
    model: state.model.name,
  };
  const { opened } = state;
  if (!state.session) await keepDrawn(); // a first mark may be beginning the session that this question belongs to
  if (opened !== state.opened) return undefined;
  return run("/api/ask", { ...body, session_id: state.session?.id ?? null }, null, onKept);
}

/** Another answer to the same question about the same images. */
export const again = (turn) => run(`/api/sessions/${state.session.id}/turns/${turn.id}/again`, { model: state.model.name }, turn.id);

async function run(url, body, turnId, onKept = () => undefined) {
  if (state.running) return;
  const abort = new AbortController();
  const running = { turn: turnId, session: state.session?.id ?? null, run: null, text: "", stage: "sending", abort, stopping: false, ended: false, onToken: null, onStage: null };
  const hearing = stream(url, body, (event) => heard(running, event, onKept), abort.signal); // on its way while the page is drawn
  update({ running });
  try {
    await hearing;
  } catch (error) {
    if (error.name !== "AbortError") say(error.message);
  }
  if (state.running === running) update({ running: null });
  if (running.turn !== null && !running.ended && state.session && state.session.id === running.session) await refresh();
  await relist();
}

function heard(running, event, onKept) {
  if (running !== state.running) return;
  if (event.type === "turn") begun(running, event, onKept);
  else if (event.type === "stage") staged(running, event);
  else if (event.type === "token") word(running, event.text);
  else if (event.type === "answer") kept(running, event);
  else if (event.type === "stopped") ended(running);
  else if (event.type === "error") {
    ended(running);
    say(event.error);
  }
}

function begun(running, event, onKept) {
  Object.assign(running, { run: event.run, turn: event.turn.id, session: event.session_id });
  const known = state.turns.some((turn) => turn.id === event.turn.id);
  update({
    ...(state.session?.id === event.session_id ? {} : { session: { id: event.session_id, title: event.title } }), // the same session is asked nothing anew
    turns: known ? state.turns : [...state.turns, event.turn],
    running,
  });
  remember();
  onKept();
  if (running.stopping) stop();
}

function staged(running, event) {
  Object.assign(running, { stage: event.text, until: event.left ? performance.now() + 1000 * event.left : null });
  if (running.onStage) running.onStage();
  else update({ running });
}

function word(running, text) {
  running.text += text;
  if (running.onToken) running.onToken(text);
  else update({ running });
}

function kept(running, event) {
  running.ended = true;
  const turns = state.turns.map((turn) => (turn.id === running.turn ? { ...turn, versions: [...turn.versions, event.version] } : turn));
  update({ turns, running: null });
  if (event.error) say(event.error);
  if (event.version.state === "complete") check(running.session, running.turn, event.version.id);
}

function ended(running) {
  running.ended = true;
  update({ running: null });
}

/** Stop the answer at whatever stage it is; the words so far are kept. */
export function stop() {
  const { running } = state;
  if (!running) return;
  update({ running: Object.assign(running, { stopping: true, stage: "stopping", until: null }) });
  if (running.run) attempt(() => post(`/api/runs/${running.run}/stop`));
}

/** Read the open session's questions again, as the store has them. */
async function refresh() {
  if (state.session.id === state.unjudged) return; // it would name the models
  const session = await attempt(() => get(`/api/sessions/${state.session.id}`));
  if (session && session.id === state.session?.id) update({ turns: session.turns });
}

/** Open a kept session: images, questions, answers, feedback. Whether it is open; null where nobody knows if it is there (`quiet`). */
export async function open(id, quiet = false) {
  if (id === state.unjudged) { // open already; what it would bring anew are the names
    say("Say which of the two answers is better first; who wrote them is told after that.");
    return false;
  }
  if (state.running?.session === id && state.session?.id === id) return true; // open already; what the store has of it lacks this answer
  const wanted = wish();
  let session;
  try {
    session = await get(`/api/sessions/${id}`);
  } catch (error) {
    if (!wanted()) return false;
    const gone = error.status === 404;
    say(error.message, "bad", gone ? null : ["Try again", () => open(id)]);
    if (quiet && gone) remember(); // nothing is open, in the address too
    return quiet && !gone ? null : false; // null: it may well be there, and the address keeps it
  }
  if (!wanted()) return false;
  leave();
  const { relation } = session;
  const chosen = relation.relationship === relation.guessed ? null : relation.relationship;
  show(session.slots, relation, { chosen, keepSession: true });
  const slots = state.slots.map((slot, number) => slot && { ...slot, manual: slot.role !== relation.roles[number] || slot.when !== relation.whens[number] });
  update({ slots, session: { id: session.id, title: session.title }, turns: session.turns });
  remember();
  session.lost.forEach((text) => say(text));
  return true;
}

/** Go on from a question in a session of its own; the one it is of stays as it is. */
export async function branch(turn) {
  if (state.running) return void say("An answer is on its way; stop it, or wait for its end.");
  const { opened, session } = state;
  const wanted = wish();
  await Promise.all([flush(), keepDrawn()]);
  const made = await attempt(() => post(`/api/sessions/${session.id}/turns/${turn.id}/branch`));
  await relist();
  if (!made || !wanted() || opened !== state.opened || !(await open(made.id))) return;
  say("This is a branch: its questions go their own way from here.", "good");
}

/** Begin another session with the same images. */
export function fresh() {
  leave();
  flush();
  update({ opened: state.opened + 1, session: null, turns: [] });
  remember();
}
