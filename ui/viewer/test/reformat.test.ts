// A reformat must put every value at the place in the patient where the slices have it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Triple, toMm } from "../src/camera.ts";
import type { FrameSpec } from "../src/frames.ts";
import { axes, frames, lie, slice } from "../src/reformat.ts";

const [ROWS, COLUMNS, COUNT] = [3, 5, 4];

/** Slices whose values are their own index, in any orientation. */
function volume(orientation: number[], step: Triple): { frames: FrameSpec[] } {
  return { frames: Array.from({ length: COUNT }, (_, n) => ({ n, key: "k", rows: ROWS, columns: COLUMNS, spacing: [2, 0.5], position: step.map((value) => 10 + n * value), orientation, location: n, frame_of_reference: "", dtype: "int16", channels: 1, slope: 1, intercept: 0, inverse: false, lut: "", range: null, error: "" })) as unknown as FrameSpec[] };
}

const stored = Array.from({ length: COUNT }, (_, k) => Int16Array.from({ length: ROWS * COLUMNS }, (_, at) => 100 * k + at));

const ACQUIRED: [string, number[], Triple][] = [
  ["axial, feet to head", [1, 0, 0, 0, 1, 0], [0, 0, 3]],
  ["axial, head to feet", [1, 0, 0, 0, 1, 0], [0, 0, -3]],
  ["axial, lying on the face", [-1, 0, 0, 0, -1, 0], [0, 0, 3]],
  ["sagittal", [0, 1, 0, 0, 0, -1], [3, 0, 0]],
  ["coronal", [1, 0, 0, 0, 0, -1], [0, 3, 0]],
];

for (const [name, orientation, step] of ACQUIRED) {
  for (const plane of ["axial", "coronal", "sagittal"] as const) {
    test(`${plane} of ${name}`, () => {
      const series = volume(orientation, step);
      const all = axes(series);
      const made = frames(series, plane);
      const truth = new Map<string, number>();
      series.frames.forEach((frame, k) => {
        for (let row = 0; row < ROWS; row += 1) for (let column = 0; column < COLUMNS; column += 1) truth.set(String(toMm(frame.position, frame.orientation, frame.spacing, [column, row])), stored[k][row * COLUMNS + column]);
      });
      for (const frame of made) {
        const values = slice(stored, new Int16Array(frame.rows * frame.columns), all, lie(all, plane), frame.n);
        for (let row = 0; row < frame.rows; row += 1) for (let column = 0; column < frame.columns; column += 1) assert.equal(values[row * frame.columns + column], truth.get(String(toMm(frame.position, frame.orientation, frame.spacing, [column, row]))));
      }
      assert.equal(made.length * made[0].rows * made[0].columns, ROWS * COLUMNS * COUNT);
    });
  }
}

test("a stack with a missing slice, or of one image, is no volume", () => {
  const series = volume([1, 0, 0, 0, 1, 0], [0, 0, 3]);
  series.frames[2].position = [10, 10, 17];
  assert.throws(() => axes(series), /not evenly spaced/);
  assert.throws(() => axes({ frames: series.frames.slice(0, 1) }), /no volume/);
});
