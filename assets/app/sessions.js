// Sessions of this reader: found by title, question or answer, reopened, renamed.
import { open } from "./ask.js";
import { h, iconButton, moment, plural, refill } from "./dom.js";
import { relist } from "./hang.js";
import { on, state, update } from "./state.js";
import { rename } from "./talk.js";

export function sessions() {
  let timer = 0;
  let renaming = null;
  const search = h("input", { type: "search", placeholder: "Find a session", "aria-label": "Find a session", "data-testid": "session-search" });
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      update({ search: search.value.trim() });
      relist();
    }, 180);
  });
  const list = h("ul.list", { dataset: { testid: "sessions" } });
  const draw = () => {
    if (renaming !== null && Number(list.querySelector("input")?.dataset.session) === renaming) return; // the title that is being written stays
    const none = state.search ? "Nothing fits." : "Questions you ask are kept here.";
    refill(list, state.sessions.length ? state.sessions.map(item) : h("li.quiet.none", {}, none));
    search.hidden = !state.sessions.length && !state.search;
  };
  const item = (one) => {
    if (renaming === one.id) return h("li.session", {}, field(one));
    const begin = () => {
      renaming = one.id;
      draw();
      list.querySelector("input").select();
    };
    return h("li.session", { dataset: { session: one.id, testid: "session" }, "aria-current": state.session?.id === one.id ? "true" : null },
      h("button.open", { type: "button", onclick: () => open(one.id), dataset: { key: one.id } }, h("span.clip", {}, one.title), h("span.quiet.number", {}, `${plural(one.turns, "question")} · ${moment(one.updated)}`)),
      iconButton("edit", "Rename this session", begin, { classes: "plain small", "data-key": `rename-${one.id}` }));
  };
  const field = (one) => {
    const input = h("input", { type: "text", value: one.title, maxlength: "160", "aria-label": "Title of the session", dataset: { session: one.id } });
    const end = async (keep, stay) => {
      if (renaming === null) return;
      renaming = null;
      if (keep && input.value.trim()) await rename(one.id, input.value.trim());
      draw();
      if (stay && document.activeElement === document.body) list.querySelector(`[data-key="rename-${one.id}"]`)?.focus();
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") end(true, true);
      if (event.key === "Escape") end(false, true);
    });
    input.addEventListener("blur", () => end(true));
    return input;
  };
  for (const name of ["sessions", "session"]) on(name, draw);
  draw();
  return h("section.sessions", { "aria-label": "Sessions" }, h("div.head", {}, h("h2.caps", {}, "Sessions"), search), list);
}
