// Linking views, also of exams that share no frame of reference. A link across exams is an anchor: the reader says "these
// two slices show the same level", and from then on a step in one exam is a step of as many mm in the other, whatever
// their slice thickness, spacing and order of slices. Planes that do not fit, other body parts and slices without a
// position are never linked without the reader being told why.
import { axes, centre, dot, minus, plus, tilt, times, toImage, toPatient } from "./geometry.ts";
import type { FrameGeometry, Stack, Vec3 } from "./geometry.ts";

export const ACTIONS = ["scroll", "camera", "window", "crosshair"] as const;
export type Action = (typeof ACTIONS)[number];

/** "These two slices match." */
export interface Anchor {
  readonly a_series: number;
  readonly a_frame: number;
  readonly b_series: number;
  readonly b_frame: number;
}

/** Which actions are linked, and in which of the views; kept across reset, change of series and change of layout. */
export interface Links {
  readonly actions: Readonly<Record<Action, boolean>>;
  /** One for each view in declared order; a view beyond the end is linked. */
  readonly views: readonly boolean[];
  readonly anchors: readonly Anchor[];
}

/** Until the reader says otherwise only scrolling is linked, and only where it is known by what. */
export const AT_FIRST: Links = { actions: { scroll: true, camera: false, window: false, crosshair: false }, views: [], anchors: [] };

/** Degrees between planes up to which a slice of one shows about what a slice of the other does. */
export const MOST_TILT = 15;

export const linked = (links: Links, action: Action, view: number): boolean => links.actions[action] && (links.views[view] ?? true);

export const toggleAction = (links: Links, action: Action): Links => ({ ...links, actions: { ...links.actions, [action]: !links.actions[action] } });

export function toggleView(links: Links, view: number, count: number): Links {
  const views = Array.from({ length: Math.max(count, links.views.length) }, (_, at) => links.views[at] ?? true);
  views[view] = !views[view];
  return { ...links, views };
}

/** Whether two stacks may be scrolled together, and in words why not or how. */
export interface Fit {
  readonly ok: boolean;
  readonly how: "position" | "anchor" | "none";
  readonly reason: string;
}

const part = (stack: Stack): string => stack.bodyPart.trim().toUpperCase();

const middle = (stack: Stack): FrameGeometry | undefined => stack.frames[Math.floor(stack.frames.length / 2)];

/** Why two stacks must not be scrolled together whatever the reader anchors, or "". */
export function unrelated(one: Stack, other: Stack): string {
  if (one.frames.length < 2 || other.frames.length < 2) return "a single image has no slices to follow";
  const [a, b] = [middle(one), middle(other)];
  if (!a || !b || !centre(a) || !centre(b)) return "the slices say no position";
  const angle = tilt(a, b);
  if (angle === null || angle > MOST_TILT) return `the planes lie ${Math.round(angle ?? 90)}° apart`;
  if (part(one) && part(other) && part(one) !== part(other)) return `${part(one).toLowerCase()} and ${part(other).toLowerCase()} are different body parts`;
  return "";
}

export function fit(one: Stack, other: Stack, anchors: readonly Anchor[]): Fit {
  const against = unrelated(one, other);
  if (against) return { ok: false, how: "none", reason: against };
  const found = shift(one, other, [one, other], anchors);
  if (!found) return { ok: false, how: "none", reason: "another frame of reference; match a level first (A)" };
  return found.anchored ? { ok: true, how: "anchor", reason: "by the matched slices, in mm" } : { ok: true, how: "position", reason: "same frame of reference, in mm" };
}

/** What to add to a position in `from` (mm) to have the same place in `to`; null when nobody has said. */
export function shift(from: Stack, to: Stack, known: readonly Stack[], anchors: readonly Anchor[]): { by: Vec3; anchored: boolean } | null {
  const edges: [Stack, Stack, Vec3, boolean][] = [];
  const find = (series: number): Stack | undefined => known.find((stack) => stack.series === series);
  for (const one of anchors) {
    const [a, b] = [find(one.a_series), find(one.b_series)];
    const by = a && b && anchorShift(a, one.a_frame, b, one.b_frame);
    if (a && b && by) edges.push([a, b, by, true], [b, a, times(by, -1), true]);
  }
  for (const a of known) for (const b of known) if (a !== b && a.frameOfReference && a.frameOfReference === b.frameOfReference) edges.push([a, b, [0, 0, 0], false]);
  return walk(from, to, edges);
}

/** Breadth first, anchors before common frames of reference: what a reader said outranks what a header says. */
function walk(from: Stack, to: Stack, edges: readonly [Stack, Stack, Vec3, boolean][]): { by: Vec3; anchored: boolean } | null {
  const reached = new Map<number, { by: Vec3; anchored: boolean }>([[from.series, { by: [0, 0, 0], anchored: false }]]);
  const queue = [from.series];
  for (let at = queue.shift(); at !== undefined; at = queue.shift()) {
    const here = reached.get(at);
    if (!here) break;
    for (const [a, b, by, anchored] of edges) {
      if (a.series !== at || reached.has(b.series)) continue;
      reached.set(b.series, { by: plus(here.by, by), anchored: here.anchored || anchored });
      queue.push(b.series);
    }
  }
  return reached.get(to.series) ?? null;
}

/** Within one frame of reference an anchor moves along the slices only; across two of them the centres are laid together. */
function anchorShift(a: Stack, aFrame: number, b: Stack, bFrame: number): Vec3 | null {
  const [one, other] = [a.frames[aFrame], b.frames[bFrame]];
  const [from, to] = [one && centre(one), other && centre(other)];
  const lie = other && axes(other);
  if (!from || !to || !lie) return null;
  const whole = minus(to, from);
  return a.frameOfReference && a.frameOfReference === b.frameOfReference ? times(lie.normal, dot(whole, lie.normal)) : whole;
}

/** The slice of `to` that shows what slice `frame` of `from` does. */
export interface Followed {
  readonly frame: number;
  /** mm from the plane looked for to the slice found. */
  readonly distance: number;
  /** The plane lies beyond the first or last slice by more than half a step. */
  readonly outside: boolean;
}

export function follow(from: Stack, frame: number, to: Stack, known: readonly Stack[], anchors: readonly Anchor[]): Followed | null {
  const source = from.frames[frame];
  const point = source && centre(source);
  if (!point || unrelated(from, to)) return null;
  const move = shift(from, to, known, anchors);
  return move && nearest(to, plus(point, move.by));
}

/** The slice nearest to a position in mm, measured along the slices' normal. */
export function nearest(stack: Stack, point: Vec3): Followed | null {
  let best = -1;
  let least = Infinity;
  for (const [at, frame] of stack.frames.entries()) {
    const lie = axes(frame);
    if (!lie || !frame.position) continue;
    const away = Math.abs(dot(minus(point, frame.position), lie.normal));
    if (away < least - 1e-9) [best, least] = [at, away];
  }
  if (best < 0) return null;
  return { frame: best, distance: least, outside: least > step(stack, best) / 2 + 1e-3 && (best === 0 || best === stack.frames.length - 1) };
}

/** mm from a slice to its neighbour. */
export function step(stack: Stack, at: number): number {
  const [here, next] = [stack.frames[at], stack.frames[at + 1] ?? stack.frames[at - 1]];
  const lie = here && axes(here);
  return lie && here.position && next?.position ? Math.abs(dot(minus(next.position, here.position), lie.normal)) : 0;
}

/** Where a point of one view lies in another: slice and `[column, row]`. */
export function followPoint(
  from: Stack, frame: number, place: readonly [number, number], to: Stack, known: readonly Stack[], anchors: readonly Anchor[],
): { frame: number; place: [number, number]; outside: boolean } | null {
  const source = from.frames[frame];
  const point = source && toPatient(source, place);
  const move = point && shift(from, to, known, anchors);
  const found = point && move && nearest(to, plus(point, move.by));
  const target = found && to.frames[found.frame];
  const at = target && toImage(target, plus(point, move.by));
  return found && at ? { frame: found.frame, place: at, outside: found.outside } : null;
}

/** The reader's "these slices match": the slice of view `at` against that of each other view. Replaces what was said before of a pair. */
export function match(links: Links, shown: readonly ({ stack: Stack; frame: number } | null)[], at: number): { links: Links; refused: string[] } {
  const here = shown[at];
  const refused: string[] = [];
  let anchors = links.anchors;
  for (const [view, other] of shown.entries()) {
    if (!here || !other || view === at || other.stack.series === here.stack.series) continue;
    const against = unrelated(here.stack, other.stack);
    if (against) {
      refused.push(`View ${view + 1} is not linked: ${against}.`);
      continue;
    }
    const same = (one: Anchor): boolean => [one.a_series, one.b_series].includes(here.stack.series) && [one.a_series, one.b_series].includes(other.stack.series);
    anchors = [...anchors.filter((one) => !same(one)), { a_series: here.stack.series, a_frame: here.frame, b_series: other.stack.series, b_frame: other.frame }];
  }
  return { links: { ...links, anchors }, refused };
}

/** Modalities whose grey values mean the same in every exam. */
const ABSOLUTE = new Set(["CT"]);

/** How a window goes from one series to another: the same numbers, the same share of the grey values, or not at all. */
export function windowRule(one: Stack, other: Stack): "same" | "relative" | "none" {
  if (one.series === other.series) return "same";
  if (one.modality !== other.modality) return "none";
  return ABSOLUTE.has(one.modality) ? "same" : "relative";
}

/** Grey values below which 0, 1/n, ... 1 of the pixels lie (length n + 1); of at most `most` pixels, evenly taken. */
export function quantiles(pixels: ArrayLike<number>, n = 256, most = 65536): number[] {
  const stride = Math.max(1, Math.ceil(pixels.length / most));
  const taken = new Float64Array(Math.ceil(pixels.length / stride));
  for (let at = 0; at < taken.length; at += 1) taken[at] = pixels[at * stride] ?? 0;
  taken.sort();
  return Array.from({ length: n + 1 }, (_, at) => taken[Math.min(taken.length - 1, Math.round((at / n) * (taken.length - 1)))] ?? 0);
}

/** The grey value of `to` that as many pixels lie below as below `value` in `from`; beyond the ends the last step goes on. */
export function sameShare(value: number, from: readonly number[], to: readonly number[]): number {
  const end = from.length - 1;
  const [low, high] = [from[0] ?? 0, from[end] ?? 0];
  const [toLow, toHigh] = [to[0] ?? 0, to[to.length - 1] ?? 0];
  const scale = high > low ? (toHigh - toLow) / (high - low) : 1;
  if (value <= low) return toLow + (value - low) * scale;
  if (value >= high) return toHigh + (value - high) * scale;
  let at = 0;
  while (at < end && (from[at + 1] ?? high) <= value) at += 1;
  const [left, right] = [from[at] ?? low, from[at + 1] ?? high];
  const share = (at + (right > left ? (value - left) / (right - left) : 0)) / end;
  const place = share * (to.length - 1);
  const under = Math.min(to.length - 2, Math.floor(place));
  const [a, b] = [to[under] ?? toLow, to[under + 1] ?? toHigh];
  return a + (b - a) * (place - under);
}
