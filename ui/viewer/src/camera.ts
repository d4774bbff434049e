// Where an image lies in its viewport: zoom, the image point in the middle, rotation and mirroring, as plain numbers.
// The renderers are told; they are never asked, because Cornerstone's two pipelines keep pan, flip and rotation differently.
// Image points are [column, row] in pixels; the centre of the first pixel is (0, 0). Canvas points are CSS pixels.

export type Pair = [number, number];
export type Triple = [number, number, number];

export interface Camera {
  /** 1 shows the whole image. */
  zoom: number;
  /** Image point in the middle of the viewport. */
  center: Pair;
  /** Degrees clockwise, after mirroring. */
  rotation: number;
  flipH: boolean;
  flipV: boolean;
}

/** An image as far as looking at it goes: size in pixels and the aspect of a pixel (mm, or 1 each without spacing). */
export interface Plane {
  rows: number;
  columns: number;
  /** [row, column]: distance between rows, between columns. */
  spacing: Pair;
}

export interface Box {
  width: number;
  height: number;
}

export const MIN_ZOOM = 0.2;
export const MAX_ZOOM = 40;

export const whole = (plane: Plane): Camera => ({ zoom: 1, center: [(plane.columns - 1) / 2, (plane.rows - 1) / 2], rotation: 0, flipH: false, flipV: false });

const turned = (rotation: number): Pair => {
  const angle = (rotation * Math.PI) / 180;
  return [Math.cos(angle), Math.sin(angle)];
};

/** CSS pixels per mm at zoom 1: the whole image fits, however it is turned. */
export function fit(plane: Plane, box: Box, rotation = 0): number {
  const [cos, sin] = turned(rotation).map(Math.abs) as Pair;
  const wide = plane.columns * plane.spacing[1];
  const tall = plane.rows * plane.spacing[0];
  return Math.min(box.width / (wide * cos + tall * sin), box.height / (wide * sin + tall * cos));
}

/** CSS pixels per mm now. */
export const scale = (plane: Plane, box: Box, camera: Camera): number => fit(plane, box, camera.rotation) * camera.zoom;

/** Image point -> canvas point. */
export function toCanvas(plane: Plane, box: Box, camera: Camera, [column, row]: Pair): Pair {
  const size = scale(plane, box, camera);
  const [cos, sin] = turned(camera.rotation);
  const x = (column - camera.center[0]) * plane.spacing[1] * (camera.flipH ? -1 : 1);
  const y = (row - camera.center[1]) * plane.spacing[0] * (camera.flipV ? -1 : 1);
  return [box.width / 2 + size * (cos * x - sin * y), box.height / 2 + size * (sin * x + cos * y)];
}

/** Canvas point -> image point. */
export function toImage(plane: Plane, box: Box, camera: Camera, [left, top]: Pair): Pair {
  const size = scale(plane, box, camera);
  const [cos, sin] = turned(camera.rotation);
  const dx = (left - box.width / 2) / size;
  const dy = (top - box.height / 2) / size;
  const x = (cos * dx + sin * dy) * (camera.flipH ? -1 : 1);
  const y = (-sin * dx + cos * dy) * (camera.flipV ? -1 : 1);
  return [camera.center[0] + x / plane.spacing[1], camera.center[1] + y / plane.spacing[0]];
}

/** Move what is seen by canvas pixels. */
export function panned(plane: Plane, box: Box, camera: Camera, dx: number, dy: number): Camera {
  return { ...camera, center: toImage(plane, box, camera, [box.width / 2 - dx, box.height / 2 - dy]) };
}

/** Zoom by a factor; the image point under `at` stays where it is. */
export function zoomed(plane: Plane, box: Box, camera: Camera, factor: number, at: Pair = [box.width / 2, box.height / 2]): Camera {
  const held = toImage(plane, box, camera, at);
  const zoom = Math.max(MIN_ZOOM, Math.min(MAX_ZOOM, camera.zoom * factor));
  const next = { ...camera, zoom };
  const now = toCanvas(plane, box, next, held);
  return panned(plane, box, next, at[0] - now[0], at[1] - now[1]);
}

/** Turn clockwise by quarter turns or any angle; what was in the middle stays there. */
export const rotated = (camera: Camera, degrees: number): Camera => ({ ...camera, rotation: (((camera.rotation + degrees) % 360) + 360) % 360 });

/** Mirror what is seen, left to right or top to bottom, as on the screen: a mirrored turn goes the other way. */
export function flipped(camera: Camera, axis: "h" | "v"): Camera {
  const rotation = (360 - camera.rotation) % 360;
  return axis === "h" ? { ...camera, rotation, flipH: !camera.flipH } : { ...camera, rotation, flipV: !camera.flipV };
}

const dot = (one: readonly number[], other: readonly number[]): number => one.reduce((sum, value, at) => sum + value * other[at], 0);
export const cross = (a: Triple, b: Triple): Triple => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

const LETTERS: [string, string][] = [["L", "R"], ["P", "A"], ["H", "F"]];

/** Letters of the directions a vector in patient coordinates (LPS) points to, the strongest first, at most two. */
export function letters(vector: readonly number[]): string {
  const parts = vector.map((value, axis) => ({ size: Math.abs(value), letter: LETTERS[axis][value > 0 ? 0 : 1] }));
  parts.sort((one, other) => other.size - one.size);
  const length = Math.hypot(...vector) || 1;
  return parts.filter((part, place) => place < 2 && part.size / length > (place ? 0.35 : 0.1)).map((part) => part.letter).join("");
}

export interface Edges {
  top: string;
  right: string;
  bottom: string;
  left: string;
}

/** Which side of the patient each edge of the viewport shows; null without an orientation. */
export function edges(orientation: readonly number[] | null, camera: Camera): Edges | null {
  if (!orientation || orientation.length !== 6) return null;
  const across = orientation.slice(0, 3).map((value) => value * (camera.flipH ? -1 : 1));
  const down = orientation.slice(3, 6).map((value) => value * (camera.flipV ? -1 : 1));
  const [cos, sin] = turned(camera.rotation);
  const right = across.map((value, axis) => cos * value - sin * down[axis]);
  const bottom = across.map((value, axis) => sin * value + cos * down[axis]);
  const back = (vector: number[]) => vector.map((value) => -value);
  return { right: letters(right), left: letters(back(right)), bottom: letters(bottom), top: letters(back(bottom)) };
}

/** Patient coordinates (LPS, mm) of an image point; null without geometry. */
export function toMm(position: readonly number[] | null, orientation: readonly number[] | null, spacing: Pair | null, [column, row]: Pair): Triple | null {
  if (!position || !orientation || !spacing) return null;
  const at = (axis: number) => position[axis] + orientation[axis] * spacing[1] * column + orientation[axis + 3] * spacing[0] * row;
  return [at(0), at(1), at(2)];
}

/** Distance of a frame along its own normal, mm. */
export function along(position: readonly number[] | null, orientation: readonly number[] | null): number | null {
  if (!position || !orientation) return null;
  return dot(cross(orientation.slice(0, 3) as Triple, orientation.slice(3, 6) as Triple), position);
}

/** A round length for the scale bar: [mm, CSS pixels], at most `most` pixels long. */
export function bar(pixelsPerMm: number, most: number): [number, number] {
  const lengths = [0.5, 1, 2, 5, 10, 20, 50, 100, 200];
  const length = lengths.filter((mm) => mm * pixelsPerMm <= most).at(-1) ?? lengths[0];
  return [length, length * pixelsPerMm];
}
