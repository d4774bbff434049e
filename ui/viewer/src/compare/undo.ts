// Undo and redo over whole documents that are never changed in place: a step back is the document as it was.

/** A document with what came before and what was taken back. */
export interface History<T> {
  readonly past: readonly T[];
  readonly present: T;
  readonly future: readonly T[];
  /** Steps with the same name, one after the other, are one step (a drag is one change). */
  readonly name: string;
}

export const MOST_STEPS = 200;

export const begin = <T>(present: T): History<T> => ({ past: [], present, future: [], name: "" });

/** The next document. A `name` equal to the last one's replaces that step instead of adding one; "" never does. */
export function record<T>(history: History<T>, present: T, name = ""): History<T> {
  if (present === history.present) return history;
  if (name && name === history.name) return { ...history, present, future: [] };
  return { past: [...history.past, history.present].slice(-MOST_STEPS), present, future: [], name };
}

export function undo<T>(history: History<T>): History<T> {
  const before = history.past.at(-1);
  if (before === undefined) return history;
  return { past: history.past.slice(0, -1), present: before, future: [history.present, ...history.future], name: "" };
}

export function redo<T>(history: History<T>): History<T> {
  const next = history.future[0];
  if (next === undefined) return history;
  return { past: [...history.past, history.present], present: next, future: history.future.slice(1), name: "" };
}

/** Changes of the present that are no step of their own (a value computed later): nothing to undo, nothing lost. */
export const amend = <T>(history: History<T>, present: T): History<T> => ({ ...history, present });

/** The same change made to every document there was and will be, so that no step back or forth undoes it. */
export const throughout = <T>(history: History<T>, work: (one: T) => T): History<T> => ({
  ...history, past: history.past.map(work), present: work(history.present), future: history.future.map(work),
});
