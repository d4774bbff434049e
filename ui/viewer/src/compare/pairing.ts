// A finding measured at two dates: what changed, in mm, in per cent, per day, and by RECIST 1.1 for the sum of all pairs.

/** One measured value. `days` since any fixed day; null when the study has no date. */
export interface Measured {
  readonly kind: string;
  readonly value: number;
  readonly unit: string;
  readonly days: number | null;
}

/** Change from prior to current; null where it cannot be said. */
export interface Change {
  readonly delta: number;
  readonly unit: string;
  readonly percent: number | null;
  /** Days from prior to current. */
  readonly days: number | null;
  readonly perDay: number | null;
}

/** Why two measurements cannot be a pair, or "". */
export function unpairable(prior: Measured, current: Measured): string {
  if (prior.kind !== current.kind) return `a ${prior.kind} cannot be compared with a ${current.kind}`;
  if (prior.unit !== current.unit) return `one is in ${prior.unit}, the other in ${current.unit}: the spacing of one image is not known`;
  return "";
}

/** What changed. Raises `RangeError` for measurements that cannot be a pair. */
export function change(prior: Measured, current: Measured): Change {
  const against = unpairable(prior, current);
  if (against) throw new RangeError(against);
  const delta = current.value - prior.value;
  const days = prior.days === null || current.days === null ? null : current.days - prior.days;
  return { delta, unit: prior.unit, percent: prior.value > 0 ? (100 * delta) / prior.value : null, days, perDay: days ? delta / days : null };
}

export type Response = "CR" | "PR" | "SD" | "PD";

export const RESPONSES: Readonly<Record<Response, string>> = {
  CR: "complete response", PR: "partial response", SD: "stable disease", PD: "progressive disease",
};

/** Category of the sum of target lesions, with the numbers it rests on. */
export interface Recist {
  readonly category: Response;
  readonly baseline: number;
  readonly nadir: number;
  readonly current: number;
  readonly percentOfBaseline: number | null;
  readonly percentOfNadir: number | null;
  readonly notes: readonly string[];
}

/**
 * RECIST 1.1 category of the last of `sums` (mm; sums of diameters in time order, the first being the baseline).
 * PD: at least 20 % and at least 5 mm above the smallest sum so far, or a new lesion. CR: nothing left. PR: at least 30 %
 * below the baseline. Eisenhauer 2009 (Eur J Cancer 45:228), section 4.3.1. Raises `RangeError` for fewer than two sums.
 */
export function recist(sums: readonly number[], { lesions = 1, newLesion = false } = {}): Recist {
  const [baseline, current] = [sums[0], sums.at(-1)];
  if (sums.length < 2 || baseline === undefined || current === undefined) throw new RangeError("RECIST needs a baseline and a later sum");
  const nadir = Math.min(...sums.slice(0, -1));
  const percentOfBaseline = baseline > 0 ? (100 * (current - baseline)) / baseline : null;
  const percentOfNadir = nadir > 0 ? (100 * (current - nadir)) / nadir : null;
  const grown = current - nadir >= 5 - 1e-9 && (percentOfNadir === null || percentOfNadir >= 20 - 1e-9);
  const notes = [
    ...(lesions > 5 ? [`${lesions} lesions; RECIST 1.1 takes at most five, two of an organ`] : []),
    ...(baseline / Math.max(1, lesions) < 10 ? ["lesions under 10 mm at baseline are not measurable by RECIST 1.1"] : []),
  ];
  const category: Response = newLesion || grown ? "PD" : current === 0 ? "CR" : percentOfBaseline !== null && percentOfBaseline <= -30 + 1e-9 ? "PR" : "SD";
  return { category, baseline, nadir, current, percentOfBaseline, percentOfNadir, notes };
}

/** A number for the eye: sign, at most one decimal below a hundred. */
export const signed = (value: number, digits = 1): string => `${value > 0 ? "+" : value < 0 ? "−" : "±"}${Math.abs(value).toFixed(digits)}`;

/** "+3.2 mm, +25.0 %, +0.23 mm/day". */
export function inWords(one: Change): string {
  const parts = [`${signed(one.delta)} ${one.unit}`];
  if (one.percent !== null) parts.push(`${signed(one.percent)} %`);
  if (one.perDay !== null) parts.push(`${signed(one.perDay, 2)} ${one.unit}/day`);
  return parts.join(", ");
}
