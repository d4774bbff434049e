// Words that the parts of the Train tab share.
import { fill, h } from "./dom.js";

export const STATES = { ready: "ready", running: "at work", stopped: "stopped", killed: "ended by force", failed: "failed", finished: "finished" };

/** A run's gates as a word with its colour; nothing for one that was not measured. */
export const gateTag = (run) => run.gated && h(`span.tag.${run.gated === "passed" ? "good" : "bad"}`, {}, run.gated === "passed" ? "gates passed" : "gate failed");

/** Seconds as people say them: 40 s, 12 min, 3.5 h. */
export function lasting(value) {
  if (value < 90) return `${Math.max(1, Math.round(value))} s`;
  return value < 5400 ? `${Math.round(value / 60)} min` : `${(value / 3600).toFixed(1)} h`;
}

const keys = new WeakMap();

/** Fill an element only when what it is made of has changed, so that looking again takes nobody's focus or place away. */
export function renew(element, from, make) {
  const key = JSON.stringify(from);
  if (keys.get(element) === key) return;
  keys.set(element, key);
  fill(element, make());
}
