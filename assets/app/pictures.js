// Pictures of frames as object URLs, the last hundred kept in this tab, neighbours of a stack fetched ahead.
import { call } from "./api.js";

const KEPT = 96;
const kept = new Map();
const STEPS = [256, 512, 768, 1024, 1536, 2048, 3072, 4096];

export function address(series, frame, size, window) {
  const step = STEPS.find((one) => one >= size) ?? 4096;
  return `/pixels/${series}/${frame}.jpg?size=${step}${window ? `&window=${encodeURIComponent(window)}` : ""}`;
}

async function fetched(url, signal) {
  if (kept.has(url)) {
    const value = kept.get(url);
    kept.delete(url);
    kept.set(url, value);
    return value;
  }
  const value = URL.createObjectURL(await (await call("GET", url, undefined, { signal })).blob());
  kept.set(url, value);
  for (const [old, object] of kept) {
    if (kept.size <= KEPT) break;
    kept.delete(old);
    URL.revokeObjectURL(object);
  }
  return value;
}

/** Object URL of a slot's picture; an Error with a sentence when the server has none. */
export async function picture(slot, size, signal) {
  const url = await fetched(address(slot.series.id, slot.frame, size, slot.window), signal);
  for (const next of [slot.frame + 1, slot.frame - 1, slot.frame + 2]) {
    if (next >= 0 && next < slot.series.frames) fetched(address(slot.series.id, next, size, slot.window), signal).catch(() => undefined);
  }
  return url;
}
