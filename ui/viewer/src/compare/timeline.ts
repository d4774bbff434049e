// The strip of a patient's studies: every study where its date puts it, at true distances, however they crowd.

/** A study on the strip; `days` since any fixed day, null when it has no date. */
export interface Point {
  readonly study: number;
  readonly days: number | null;
}

/** Where a study is drawn: `x` px, and the row of its label (0 nearest; null = no room, the tip says it). */
export interface Placed {
  readonly study: number;
  readonly x: number;
  readonly dated: boolean;
  readonly row: number | null;
}

/**
 * Places in a strip `width` px wide with `margin` px free at both ends. Dots stand at exactly proportional distances; only
 * labels (`label` px wide, in `rows` rows) give way, the newest and the oldest first served. Undated studies follow at the
 * right end, one `gap` apart, outside the scale.
 */
export function layout(points: readonly Point[], width: number, { margin = 24, label = 56, rows = 1, gap = 20 } = {}): Placed[] {
  const dated = points.filter((one): one is Point & { days: number } => one.days !== null);
  const undated = points.filter((one) => one.days === null);
  const right = width - margin - undated.length * gap;
  const [first, last] = [Math.min(...dated.map((one) => one.days)), Math.max(...dated.map((one) => one.days))];
  const at = (days: number): number => (last > first ? margin + ((days - first) / (last - first)) * (right - margin) : (margin + right) / 2);
  const places = dated.map((one) => ({ study: one.study, x: at(one.days) }));
  const row = labels(places, label, rows);
  return [
    ...places.map((one, number) => ({ ...one, dated: true, row: row[number] ?? null })),
    ...undated.map((one, number) => ({ study: one.study, x: width - margin - (undated.length - 1 - number) * gap, dated: false, row: null })),
  ];
}

function labels(places: readonly { x: number }[], wide: number, rows: number): (number | null)[] {
  const order = places.map((_, at) => at).sort((a, b) => (places[b]?.x ?? 0) - (places[a]?.x ?? 0));
  const oldest = order.pop();
  const served = oldest === undefined ? order : [...order.slice(0, 1), oldest, ...order.slice(1)];
  const taken: number[][] = Array.from({ length: rows }, () => []);
  const found: (number | null)[] = places.map(() => null);
  for (const at of served) {
    const x = places[at]?.x ?? 0;
    const row = taken.findIndex((xs) => xs.every((other) => Math.abs(other - x) >= wide));
    if (row < 0) continue;
    taken[row]?.push(x);
    found[at] = row;
  }
  return found;
}

/** A distance in time as a radiologist says it: "6 days", "5 weeks", "14 months", "3.2 years". */
export function apart(days: number): string {
  const far = Math.abs(days);
  const one = (value: number, word: string): string => `${value} ${word}${value === 1 ? "" : "s"}`;
  if (far < 1) return "same day";
  if (far < 28) return one(Math.round(far), "day");
  if (far < 91) return one(Math.round(far / 7), "week");
  if (far < 730) return one(Math.round(far / 30.44), "month");
  return `${(far / 365.25).toFixed(1)} years`;
}
