// How far an answer can be trusted: its checks are made in the background once it is whole, what its words mean is asked once for
// the session. A new question, another case or Stop ends the checks; what was made is kept with the answer.
import { get, post, stream } from "./api.js";
import { on, state, update } from "./state.js";
import { attempt, say } from "./toast.js";

Object.assign(state, { checking: null, spoken: {} }); // {version, run, stage, abort}; version id -> {mentions, measured}

let asked = "";

/** Make the checks of a whole answer; `names` are those on request, none the usual ones. One at a time. */
export async function check(session, turn, version, names = []) {
  stopChecks();
  const checking = { version, run: null, stage: "waiting for the engine", abort: new AbortController() };
  update({ checking });
  try {
    await stream(`/api/sessions/${session}/turns/${turn}/versions/${version}/checks`, { names, model: state.model.name }, (event) => heard(checking, turn, event), checking.abort.signal);
  } catch (error) {
    if (error.name !== "AbortError") say(error.message);
  }
  if (state.checking === checking) update({ checking: null });
}

function heard(checking, turn, event) {
  if (state.checking !== checking) return;
  if (event.type === "checking") checking.run = event.run;
  else if (event.type === "stage") update({ checking: Object.assign(checking, { stage: event.text }) });
  else if (event.type === "error") say(event.error);
  else if (event.type === "checked") {
    const put = (version) => (version.id === event.version.id ? { ...event.version, feedback: version.feedback } : version);
    update({ checking: null, turns: state.turns.map((one) => (one.id === turn ? { ...one, versions: one.versions.map(put) } : one)) });
  }
}

/** The reader's Stop: the server keeps what was made and says so. */
export function haltChecks() {
  if (state.checking?.run) attempt(() => post(`/api/runs/${state.checking.run}/stop`));
  else stopChecks();
}

/** Leave the checks: the reader has gone on to something else. */
function stopChecks() {
  const { checking } = state;
  if (!checking) return;
  update({ checking: null });
  checking.abort.abort();
}

/** What the words of this session's answers mean, asked again when there is another answer or another mark. */
async function listen() {
  const { session } = state;
  const whole = state.turns.flatMap((turn) => turn.versions.filter((one) => one.state === "complete").map((one) => one.id));
  if (!session || !whole.length || !state.saved) return;
  const marks = state.drawn ? state.drawn.marks.map((mark) => `${mark.id}${mark.label}${mark.points.join()}`).join() + state.drawn.pairs.map((pair) => `${pair.prior}:${pair.current}`).join() : "";
  const key = `${session.id}|${whole.join()}|${marks}`;
  if (key === asked) return;
  asked = key;
  const found = await get(`/api/sessions/${session.id}/trust`).catch(() => null);
  if (asked !== key) return;
  if (found) update({ spoken: found.answers });
  else asked = ""; // with the next change
}

let open = null;
on("session", () => {
  if (state.session?.id === open) return;
  open = state.session?.id ?? null;
  stopChecks();
});
on("running", () => { if (state.running) stopChecks(); });
for (const name of ["turns", "saved", "session"]) on(name, listen);
