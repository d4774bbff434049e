// What a reader draws on an image, as plain values: kind, image, places in pixels. Nothing here knows how it is drawn.
import { change, recist, unpairable } from "./pairing.ts";
import type { Change, Measured, Recist } from "./pairing.ts";

export const MEASURES = ["length", "bidirectional", "angle", "ctr", "ellipse", "rectangle"] as const;
export const MARKS = ["point", "arrow", "box", "free"] as const;
export type Kind = (typeof MEASURES)[number] | (typeof MARKS)[number];

export type Place = readonly [number, number];

/** One measurement or mark. `points` are [column, row] in pixels, (0, 0) the centre of the first pixel. */
export interface Mark {
  readonly id: string;
  readonly kind: Kind;
  /** Number of a measurement ("1"), letter of a mark for questions ("A"). */
  readonly label: string;
  readonly series_id: number;
  readonly frame: number;
  readonly points: readonly Place[];
  readonly text: string;
  /** Statistics of the pixels inside (mean, sd, min, max), in the modality's units. */
  readonly values: Readonly<Record<string, number>>;
}

export interface Pair {
  readonly prior: string;
  readonly current: string;
}

export interface KeyImage {
  readonly series_id: number;
  readonly frame: number;
  readonly note: string;
}

/** Everything that undo steps over. */
export interface Drawn {
  readonly marks: readonly Mark[];
  readonly pairs: readonly Pair[];
  readonly key_images: readonly KeyImage[];
}

export const NOTHING: Drawn = { marks: [], pairs: [], key_images: [] };

/** How far apart the pixels of an image are: mm between rows and columns, or null where the file does not say. */
export interface Scale {
  readonly spacing: readonly [number, number] | null;
}

export const isMark = (kind: Kind): boolean => (MARKS as readonly string[]).includes(kind);

/** The next free number, or the next free letter: A to Z, then AA, AB. */
export function nextLabel(marks: readonly Mark[], kind: Kind): string {
  const taken = new Set(marks.filter((one) => isMark(one.kind) === isMark(kind)).map((one) => one.label));
  for (let at = 0; ; at += 1) {
    const label = isMark(kind) ? letters(at) : String(at + 1);
    if (!taken.has(label)) return label;
  }
}

const letters = (at: number): string => (at < 26 ? "" : letters(Math.floor(at / 26) - 1)) + String.fromCharCode(65 + (at % 26));

/** What a measurement says: its leading value and, in words, everything. */
export interface Reading {
  readonly value: number;
  readonly unit: string;
  readonly words: readonly string[];
}

/** Distance between two places, in mm where the spacing is known, else in pixels. */
export function distance(a: Place, b: Place, scale: Scale): number {
  const [tall, wide] = scale.spacing ?? [1, 1];
  return Math.hypot((b[0] - a[0]) * wide, (b[1] - a[1]) * tall);
}

const fixed = (value: number): string => value.toFixed(Math.abs(value) < 100 ? 1 : 0);

/** Read a measurement; null while too few places are set, and for marks, which measure nothing. */
export function read(mark: Pick<Mark, "kind" | "points" | "values">, scale: Scale, grey = ""): Reading | null {
  const unit = scale.spacing ? "mm" : "px";
  const [a, b, c, d] = mark.points;
  if (!a || !b) return null;
  if (mark.kind === "length") return one(distance(a, b, scale), unit);
  if (mark.kind === "bidirectional" && c && d) {
    const [long, short] = [distance(a, b, scale), distance(c, d, scale)].sort((x, y) => y - x) as [number, number];
    return { value: long, unit, words: [`${fixed(long)} × ${fixed(short)} ${unit}`] };
  }
  if (mark.kind === "angle" && c) {
    const turned = angle(a, b, c, scale);
    return { value: turned, unit: "°", words: [`${turned.toFixed(1)}°`] };
  }
  if (mark.kind === "ctr") return ratio(mark.points, scale, unit);
  if ((mark.kind === "ellipse" || mark.kind === "rectangle") && c && d) return area(mark.kind, mark.points, scale, unit, mark.values, grey);
  return null;
}

const one = (value: number, unit: string): Reading => ({ value, unit, words: [`${fixed(value)} ${unit}`] });

/** Angle at `b` between `a` and `c`, degrees, by physical distances. */
function angle(a: Place, b: Place, c: Place, scale: Scale): number {
  const [tall, wide] = scale.spacing ?? [1, 1];
  const [u, v] = [[(a[0] - b[0]) * wide, (a[1] - b[1]) * tall], [(c[0] - b[0]) * wide, (c[1] - b[1]) * tall]] as const;
  const turn = Math.atan2(u[0] * v[1] - u[1] * v[0], u[0] * v[0] + u[1] * v[1]);
  return Math.abs((turn * 180) / Math.PI);
}

/** Heart and thorax by their transverse extent, as the ratio is defined (Danzer 1919): first two places the heart, next two the thorax. */
function ratio(points: readonly Place[], scale: Scale, unit: string): Reading | null {
  const [a, b, c, d] = points;
  if (!a || !b) return null;
  const wide = scale.spacing?.[1] ?? 1;
  const heart = Math.abs(b[0] - a[0]) * wide;
  if (!c || !d) return { value: Number.NaN, unit: "", words: [`heart ${fixed(heart)} ${unit}; now draw the thorax`] };
  const thorax = Math.abs(d[0] - c[0]) * wide;
  const found = thorax > 0 ? heart / thorax : Number.NaN;
  return { value: found, unit: "", words: [`CTR ${found.toFixed(2)}`, `heart ${fixed(heart)}, thorax ${fixed(thorax)} ${unit}`] };
}

/** Area of an ellipse (places: bottom, top, left, right) or a rectangle (corners), with the statistics of its pixels. */
function area(kind: Kind, points: readonly Place[], scale: Scale, unit: string, values: Mark["values"], grey: string): Reading {
  const [a, b, c, d] = points as [Place, Place, Place, Place];
  const size = kind === "ellipse" ? (Math.PI * distance(a, b, scale) * distance(c, d, scale)) / 4 : distance(a, b, scale) * distance(a, c, scale);
  const words = [`${fixed(size)} ${unit}²`];
  const { mean, sd, min, max } = values;
  const of = grey ? ` ${grey}` : "";
  if (mean !== undefined && sd !== undefined) words.push(`mean ${fixed(mean)}, SD ${fixed(sd)}${of}`);
  if (min !== undefined && max !== undefined) words.push(`${fixed(min)} to ${fixed(max)}${of}`);
  return { value: size, unit: `${unit}²`, words };
}

/** Without a mark, and without the pairs it was in. */
export function without(drawn: Drawn, id: string): Drawn {
  if (!drawn.marks.some((mark) => mark.id === id)) return drawn;
  return { ...drawn, marks: drawn.marks.filter((mark) => mark.id !== id), pairs: drawn.pairs.filter((pair) => pair.prior !== id && pair.current !== id) };
}

/** With a mark added, or in the place of the one with its id. */
export function withMark(drawn: Drawn, mark: Mark): Drawn {
  const at = drawn.marks.findIndex((other) => other.id === mark.id);
  return { ...drawn, marks: at < 0 ? [...drawn.marks, mark] : drawn.marks.with(at, mark) };
}

/** Key image on, or off where it is one already. */
export function toggleKeyImage(drawn: Drawn, series_id: number, frame: number): Drawn {
  const same = (one: KeyImage): boolean => one.series_id === series_id && one.frame === frame;
  const kept = drawn.key_images.filter((one) => !same(one));
  return { ...drawn, key_images: kept.length < drawn.key_images.length ? kept : [...kept, { series_id, frame, note: "" }] };
}

/** Which side of the comparison a series stands on. */
export type Side = (series_id: number) => "prior" | "current" | "";

/**
 * Pair a measurement with one at the other date: the last drawn of the same kind there that is still alone. Paired already:
 * the pair is undone. Returns the words of a refusal where nothing fits.
 */
export function togglePair(drawn: Drawn, id: string, side: Side, readings: (mark: Mark) => Reading | null): { drawn: Drawn; refused: string } {
  const mark = drawn.marks.find((other) => other.id === id);
  const here = mark && side(mark.series_id);
  if (!mark || isMark(mark.kind)) return { drawn, refused: "Choose a measurement first; marks are for questions." };
  if (drawn.pairs.some((pair) => pair.prior === id || pair.current === id)) {
    return { drawn: { ...drawn, pairs: drawn.pairs.filter((pair) => pair.prior !== id && pair.current !== id) }, refused: "" };
  }
  if (!here) return { drawn, refused: "Say which image is the prior and which the current first." };
  const alone = (other: Mark): boolean => !drawn.pairs.some((pair) => pair.prior === other.id || pair.current === other.id);
  const there = here === "prior" ? "current" : "prior";
  const twin = drawn.marks.filter((other) => other.kind === mark.kind && side(other.series_id) === there && alone(other)).at(-1);
  if (!twin) return { drawn, refused: `Draw a ${mark.kind} on the ${there} too, then pair them.` };
  const [prior, current] = here === "prior" ? [mark, twin] : [twin, mark];
  const against = unpairable(measured(prior, readings), measured(current, readings));
  if (against) return { drawn, refused: `These cannot be a pair: ${against}.` };
  return { drawn: { ...drawn, pairs: [...drawn.pairs, { prior: prior.id, current: current.id }] }, refused: "" };
}

const measured = (mark: Mark, readings: (mark: Mark) => Reading | null, days: number | null = null): Measured => {
  const found = readings(mark);
  return { kind: mark.kind, value: found?.value ?? Number.NaN, unit: found?.unit ?? "", days };
};

/** Change of a pair; null when a side is missing or unread. */
export function changeOf(pair: Pair, drawn: Drawn, readings: (mark: Mark) => Reading | null, days: (series_id: number) => number | null): Change | null {
  const find = (id: string): Mark | undefined => drawn.marks.find((mark) => mark.id === id);
  const [prior, current] = [find(pair.prior), find(pair.current)];
  if (!prior || !current) return null;
  const [before, after] = [measured(prior, readings, days(prior.series_id)), measured(current, readings, days(current.series_id))];
  return unpairable(before, after) || Number.isNaN(before.value + after.value) ? null : change(before, after);
}

/** RECIST 1.1 category of the sum of all pairs of diameters in mm; null without such a pair. */
export function response(drawn: Drawn, readings: (mark: Mark) => Reading | null): Recist | null {
  const changes = drawn.pairs.flatMap((pair) => {
    const prior = drawn.marks.find((mark) => mark.id === pair.prior);
    const current = drawn.marks.find((mark) => mark.id === pair.current);
    const [before, after] = [prior && readings(prior), current && readings(current)];
    return prior && ["length", "bidirectional"].includes(prior.kind) && before?.unit === "mm" && after?.unit === "mm" ? [[before.value, after.value] as const] : [];
  });
  if (!changes.length) return null;
  const sum = (side: 0 | 1): number => changes.reduce((total, pair) => total + pair[side], 0);
  return recist([sum(0), sum(1)], { lesions: changes.length });
}

/** Rows as RFC 4180 text. A cell that a spreadsheet would run as a formula is defused. */
export function csv(rows: readonly (readonly (string | number | null)[])[]): string {
  const cell = (value: string | number | null): string => {
    if (value === null) return "";
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return `${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}
