// The conversation: the session's title, its questions and answers, and below them the question box.
import { patch } from "./api.js";
import { fresh } from "./ask.js";
import { composer } from "./composer.js";
import { h, icon, iconButton, refill } from "./dom.js";
import { engineCard } from "./engine.js";
import { filled, on, state, update } from "./state.js";
import { attempt } from "./toast.js";
import { TurnView } from "./turn.js";

export function talk() {
  const views = new Map();
  const list = h("ol.turns", { dataset: { testid: "turns" } });
  const empty = h("div.nothing");
  const thread = h("div.thread", { role: "log", "aria-label": "Questions and answers", "aria-live": "off", tabindex: "-1" }, empty, list);
  let stick = true;
  let known = ""; // answers and what was said of them, to follow only what grows
  thread.addEventListener("scroll", () => { stick = thread.scrollHeight - thread.scrollTop - thread.clientHeight < 48; });
  let due = false;
  const follow = () => { // with the next frame, which lays the page out anyway
    if (due || !stick) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      if (stick) thread.scrollTop = thread.scrollHeight;
    });
  };
  const draw = () => {
    for (const [id, view] of views) {
      if (!state.turns.some((turn) => turn.id === id)) {
        view.evidence.show(view.turn, null); // its charts are given back
        view.element.remove();
        views.delete(id);
      }
    }
    const added = state.turns.some((turn) => !views.has(turn.id));
    for (const turn of state.turns) {
      if (!views.has(turn.id)) views.set(turn.id, new TurnView(turn, follow));
      views.get(turn.id).show(turn, state.running?.turn === turn.id ? state.running : null);
    }
    list.append(...state.turns.map((turn) => views.get(turn.id).element).filter((element, at) => list.children[at] !== element));
    refill(empty, state.turns.length ? [] : nothing());
    empty.hidden = state.turns.length > 0;
    if (added) stick = true;
    const said = state.turns.flatMap((turn) => turn.versions.map((one) => `${one.id}:${one.feedback.length}`)).join();
    if (added || state.running || said !== known) follow();
    known = said;
  };
  // Checks change what stands under an answer and move nothing: the reader may be about to press a button there.
  const check = () => state.turns.forEach((turn) => views.get(turn.id)?.show(turn, state.running?.turn === turn.id ? state.running : null));
  for (const name of ["turns", "running", "engine", "slots"]) on(name, draw);
  for (const name of ["checking", "spoken", "calibrated", "unweighed", "at_least", "anyhow"]) on(name, check);
  const element = h("section.talk", { "aria-label": "Conversation" }, heading(), thread, composer());
  draw();
  return element;
}

function nothing() {
  if (["missing", "failed"].includes(state.engine.state)) return engineCard();
  const ready = filled().length > 0;
  return [
    h("h2", {}, ready ? "What changed since the prior?" : "Nothing is open yet"),
    h("p", {}, ready
      ? "Ask about the images in the order they hang. The model is shown these pixels in the window you chose, whole and not inverted, and every answer says what it rests on."
      : "Open a demo case, or drop your own studies. Prior and current hang side by side, and the question is one key away."),
  ];
}

function heading() {
  const title = h("h2.clip", { dataset: { testid: "session-title" } });
  const field = h("input", { type: "text", maxlength: "160", "aria-label": "Title of this session", hidden: true });
  const edit = iconButton("edit", "Rename this session", () => begin(), { classes: "plain small" });
  const another = h("button.button.plain.small", { type: "button", onclick: ({ detail }) => { fresh(); if (!detail) document.getElementById("iv-question").focus(); /* pressed by key, and gone */ }, title: "Another session with the same images", "data-testid": "new-session" }, icon("plus"), "New");
  const draw = () => {
    title.textContent = state.session?.title ?? "New session";
    title.title = title.textContent;
    edit.hidden = another.hidden = !state.session;
  };
  let of = null; // the session that is renamed, whichever is open by then
  const begin = () => {
    of = state.session.id;
    field.value = state.session.title;
    field.hidden = false;
    title.hidden = edit.hidden = true;
    field.select();
  };
  const end = (keep, stay) => {
    if (field.hidden) return;
    field.hidden = true;
    title.hidden = false;
    draw();
    if (stay) edit.focus(); // whoever left by the mouse or by Tab is elsewhere already
    if (keep && field.value.trim()) rename(of, field.value.trim());
  };
  field.addEventListener("blur", () => end(true));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault(); // it would press the button that has the focus by then
      end(true, true);
    }
    if (event.key === "Escape") end(false, true);
    event.stopPropagation();
  });
  on("session", draw);
  draw();
  return h("header.talkhead", {}, title, field, edit, another);
}

/** Give a session another title, here and in the list. */
export async function rename(id, title) {
  const done = await attempt(() => patch(`/api/sessions/${id}`, { title }));
  if (!done) return;
  update({
    sessions: state.sessions.map((one) => (one.id === id ? { ...one, title: done.title } : one)),
    session: state.session?.id === id ? { ...state.session, title: done.title } : state.session,
  });
}
