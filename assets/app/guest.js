// Another's case on the reader's own stage: what hung there, and what was drawn, is laid aside and comes back as it was. While a
// guest hangs nothing of it is saved with the reader's session, which goes on answering behind it.
import { flushPending, resume } from "./hang.js";
import { borrow, flush } from "./kept.js";
import { state, update } from "./state.js";

const HUNG = ["slots", "relation", "chosen", "why", "anyway", "layout", "layoutBefore", "active"];

let aside = null;

/** Lay the reader's own images aside and show these slots (SlotOut) instead; without any the viewports are empty. */
export function lend(slots = [], relation = null, marks = []) {
  if (!aside) {
    flushPending();
    aside = { hung: Object.fromEntries(HUNG.map((name) => [name, state[name]])), undo: null };
    update({ guest: true });
  } else {
    aside.undo();
  }
  aside.undo = borrow(marks);
  const shown = slots.map((slot) => ({ series: slot.series, frame: slot.frame, role: slot.role, when: slot.when, window: slot.window || null, invert: false, manual: true }));
  while (shown.length < 2) shown.push(null);
  update({ slots: shown, relation, chosen: relation?.relationship ?? null, why: "", anyway: false, layout: "auto", active: 0 });
}

/** The reader's own images again. */
export function giveBack() {
  if (!aside) return;
  const { hung, undo } = aside;
  aside = null;
  undo();
  update(hung);
  update({ guest: false });
  resume();
  flush();
}
