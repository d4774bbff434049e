// The other two planes of a stack of parallel, evenly spaced slices: each a series of its own, made of the slices' values as
// they are. Nothing is resampled: a reformat is only as fine as the slices lie, and its pixels keep their true aspect.
import { type Types, cache } from "@cornerstonejs/core";
import { Failure, type FrameSpec, type SeriesSpec, described, maker } from "./frames.ts";
import type { Triple } from "./camera.ts";

export type PlaneName = "axial" | "coronal" | "sagittal";

const SCHEME = "reformat:";
/** What lies to the right and below on the screen, in patient coordinates (LPS): seen from the feet, from the front, from the left. */
const SCREEN: Record<PlaneName, [Triple, Triple]> = { axial: [[1, 0, 0], [0, 1, 0]], coronal: [[1, 0, 0], [0, 0, -1]], sagittal: [[0, 1, 0], [0, 0, -1]] };
const UNEVEN = 0.1;
const LARGEST = 0.6;

/** One axis of the volume as it is stored: 0 along a row, 1 down a column, 2 from slice to slice. */
interface Axis {
  direction: Triple;
  size: number;
  spacing: number;
}

/** Which stored axis lies where, and which way. */
interface Lie {
  right: number;
  down: number;
  through: number;
  backR: boolean;
  backD: boolean;
}

const dot = (a: readonly number[], b: readonly number[]): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const less = (a: readonly number[], b: readonly number[]): Triple => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];

/** Address of a reformat of a series. */
export const address = (plane: PlaneName, source: string): string => `${SCHEME}${plane}:${source}`;

/** Plane and series of a reformat's address, or null. */
export function parts(source: string): { plane: PlaneName; base: string } | null {
  if (!source.startsWith(SCHEME)) return null;
  const [, plane, ...rest] = source.split(":");
  return { plane: plane as PlaneName, base: rest.join(":") };
}

/** The axes of a series that is a volume; a Failure in one sentence where it is none. */
export function axes(series: Pick<SeriesSpec, "frames">): [Axis, Axis, Axis] {
  const { frames } = series;
  const [first, last] = [frames[0], frames.at(-1)];
  const none = new Failure("This series is no volume of parallel slices; only its own plane can be shown.");
  if (frames.length < 4 || !first.position || !last?.position || !first.orientation || !first.spacing) throw none;
  const alike = (one: FrameSpec) => one.position && one.rows === first.rows && one.columns === first.columns && one.orientation?.every((value, at) => Math.abs(value - first.orientation![at]) < 1e-3);
  if (!frames.every(alike) || frames.some((one) => one.channels !== 1 || one.error)) throw none;
  const whole = less(last.position, first.position);
  const length = Math.hypot(...whole);
  const step = length / (frames.length - 1);
  const direction = whole.map((value) => value / length) as Triple;
  const even = frames.every((one, at) => Math.abs(dot(less(one.position!, first.position!), direction) - at * step) <= UNEVEN * step + 0.01);
  const [across, down] = [first.orientation.slice(0, 3), first.orientation.slice(3, 6)] as Triple[];
  const square = Math.abs(dot(direction, across)) < 0.02 && Math.abs(dot(direction, down)) < 0.02;
  if (!(step > 0) || !even || !square) throw new Failure("The slices of this series are not evenly spaced or lie aslant; a reformat would be out of true.");
  return [
    { direction: across, size: first.columns, spacing: first.spacing[1] },
    { direction: down, size: first.rows, spacing: first.spacing[0] },
    { direction, size: frames.length, spacing: step },
  ];
}

/** How the stored axes lie on the screen for a plane: each to the patient's axis nearest to it. */
export function lie(all: readonly Axis[], plane: PlaneName): Lie {
  const [right, down] = SCREEN[plane];
  const nearest = (wanted: Triple, taken: number[]) => [0, 1, 2].filter((axis) => !taken.includes(axis)).reduce((best, axis) => (Math.abs(dot(all[axis].direction, wanted)) > Math.abs(dot(all[best].direction, wanted)) ? axis : best));
  const r = nearest(right, []);
  const d = nearest(down, [r]);
  return { right: r, down: d, through: 3 - r - d, backR: dot(all[r].direction, right) < 0, backD: dot(all[d].direction, down) < 0 };
}

/** The frames of a reformat: geometry as exact as the slices' own. */
export function frames(series: Pick<SeriesSpec, "frames">, plane: PlaneName): FrameSpec[] {
  const all = axes(series);
  const placed = lie(all, plane);
  const [r, d, t] = [all[placed.right], all[placed.down], all[placed.through]];
  const first = series.frames[0];
  const turn = (axis: Axis, back: boolean) => axis.direction.map((value) => (back ? -value : value)) as Triple;
  const start = [0, 1, 2].map((at) => first.position![at] + (placed.backR ? (r.size - 1) * r.spacing * r.direction[at] : 0) + (placed.backD ? (d.size - 1) * d.spacing * d.direction[at] : 0)) as Triple;
  const orientation = [...turn(r, placed.backR), ...turn(d, placed.backD)] as FrameSpec["orientation"];
  return Array.from({ length: t.size }, (_, n) => {
    const position = start.map((value, at) => value + n * t.spacing * t.direction[at]) as Triple;
    return { ...first, n, key: `${first.key}:${plane}:${n}`, rows: d.size, columns: r.size, spacing: [d.spacing, r.spacing], position, orientation, location: dot(position, t.direction), slope: 1, intercept: 0, range: null };
  });
}

/** Values of one slice of a reformat out of the stored slices. */
export function slice<Values extends { [at: number]: number }>(stored: readonly Values[], made: Values, all: readonly Axis[], placed: Lie, n: number): Values {
  const [wide, tall] = [all[placed.right].size, all[placed.down].size];
  const at = [0, 0, 0];
  at[placed.through] = n;
  for (let row = 0; row < tall; row += 1) {
    at[placed.down] = placed.backD ? tall - 1 - row : row;
    for (let column = 0; column < wide; column += 1) {
      at[placed.right] = placed.backR ? wide - 1 - column : column;
      made[row * wide + column] = stored[at[2]][at[1] * all[0].size + at[0]];
    }
  }
  return made;
}

maker(SCHEME, async (source) => {
  const { plane, base } = parts(source)!;
  const series = await described(base);
  const made = frames(series, plane);
  const bytes = series.frames.reduce((sum, one) => sum + one.rows * one.columns * (one.dtype === "float32" ? 4 : 2), 0);
  if (bytes > cache.getMaxCacheSize() * LARGEST) throw new Failure("This volume is too large for the memory of this tab; only its own plane can be shown.");
  return { ...series, plane, frames: made, urls: { pixels: "" }, derived: { kind: "reformat", words: `${plane} reformat, on the screen only` } };
});

/** Values of a reformat's frame out of the slices of its series, all of them. */
export function values(series: SeriesSpec, plane: PlaneName, images: readonly Types.IImage[], n: number): ArrayLike<number> {
  const stored = images.map((image) => image.voxelManager?.getScalarData() as unknown as Float32Array);
  const all = axes(series);
  const placed = lie(all, plane);
  const size = all[placed.right].size * all[placed.down].size;
  const kinds = new Set(stored.map((one) => one.constructor));
  const Kind = (kinds.size === 1 ? stored[0].constructor : Float32Array) as Float32ArrayConstructor;
  return slice(stored, new Kind(size), all, placed, n);
}
