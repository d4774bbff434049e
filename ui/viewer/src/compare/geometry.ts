// Three numbers and what is done with them. Positions are in mm in the patient's own axes (DICOM PS3.3 C.7.6.2), whose
// directions are the same in every study of a patient even where the origin (the frame of reference) is not.

export type Vec3 = readonly [number, number, number];

/** One frame as `frames.json` gives it; null where the file does not say. */
export interface FrameGeometry {
  readonly rows: number;
  readonly columns: number;
  /** mm between rows, mm between columns. */
  readonly spacing: readonly [number, number] | null;
  /** Centre of the first pixel, mm. */
  readonly position: Vec3 | null;
  /** Direction of a row (to the next column), then of a column (to the next row). */
  readonly orientation: readonly number[] | null;
}

/** A series as far as linking needs it. */
export interface Stack {
  readonly series: number;
  readonly modality: string;
  readonly bodyPart: string;
  /** Identifier of the origin that positions refer to; "" when the file has none. */
  readonly frameOfReference: string;
  readonly frames: readonly FrameGeometry[];
}

export const dot = (a: Vec3, b: Vec3): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const plus = (a: Vec3, b: Vec3): Vec3 => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
export const minus = (a: Vec3, b: Vec3): Vec3 => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
export const times = (a: Vec3, by: number): Vec3 => [a[0] * by, a[1] * by, a[2] * by];

const axis = (of: readonly number[], first: number): Vec3 => [of[first] ?? 0, of[first + 1] ?? 0, of[first + 2] ?? 0];

/** Directions of a frame: along a row, along a column, and out of the plane (unit vectors). */
export function axes(frame: FrameGeometry): { row: Vec3; column: Vec3; normal: Vec3 } | null {
  if (!frame.orientation || frame.orientation.length !== 6) return null;
  const [row, column] = [axis(frame.orientation, 0), axis(frame.orientation, 3)];
  const out: Vec3 = [row[1] * column[2] - row[2] * column[1], row[2] * column[0] - row[0] * column[2], row[0] * column[1] - row[1] * column[0]];
  const long = Math.sqrt(dot(out, out));
  return long > 1e-6 ? { row, column, normal: times(out, 1 / long) } : null;
}

/** mm of a place in a frame, `[column, row]` in pixels, (0, 0) being the centre of the first pixel. */
export function toPatient(frame: FrameGeometry, place: readonly [number, number]): Vec3 | null {
  const found = axes(frame);
  if (!found || !frame.position || !frame.spacing) return null;
  const along = plus(times(found.row, place[0] * frame.spacing[1]), times(found.column, place[1] * frame.spacing[0]));
  return plus(frame.position, along);
}

/** `[column, row]` in pixels of the point of a frame's plane that is nearest to a position in mm. */
export function toImage(frame: FrameGeometry, point: Vec3): [number, number] | null {
  const found = axes(frame);
  if (!found || !frame.position || !frame.spacing) return null;
  const from = minus(point, frame.position);
  return [dot(from, found.row) / frame.spacing[1], dot(from, found.column) / frame.spacing[0]];
}

/** mm of a frame's centre. */
export const centre = (frame: FrameGeometry): Vec3 | null => toPatient(frame, [(frame.columns - 1) / 2, (frame.rows - 1) / 2]);

/** Angle between the planes of two frames, 0..90 degrees; null when one does not say how it lies. */
export function tilt(one: FrameGeometry, other: FrameGeometry): number | null {
  const [a, b] = [axes(one), axes(other)];
  return a && b ? (Math.acos(Math.min(1, Math.abs(dot(a.normal, b.normal)))) * 180) / Math.PI : null;
}
