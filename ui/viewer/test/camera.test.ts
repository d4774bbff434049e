// Where an image lies: every movement must keep image points and canvas points each other's inverse.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Camera, type Pair, bar, edges, fit, flipped, panned, rotated, toCanvas, toImage, toMm, whole, zoomed } from "../src/camera.ts";

const plane = { rows: 120, columns: 160, spacing: [0.5, 0.25] as Pair };
const box = { width: 400, height: 300 };
const near = (one: readonly number[], other: readonly number[], within = 1e-9) => one.forEach((value, at) => assert.ok(Math.abs(value - other[at]) <= within, `${one} is not ${other}`));
const odd: Camera = { zoom: 2.3, center: [31, 77], rotation: 33, flipH: true, flipV: false };

test("the whole image fits with the aspect of its spacing", () => {
  assert.equal(fit(plane, box), Math.min(400 / 40, 300 / 60));
  near(toCanvas(plane, box, whole(plane), [79.5, 59.5]), [200, 150]);
  near(toCanvas(plane, box, whole(plane), [-0.5, -0.5]), [200 - 100, 0]);
});

test("canvas and image points are each other's inverse, turned and mirrored", () => {
  for (const camera of [whole(plane), odd, flipped(odd, "v"), rotated(odd, 90)]) near(toCanvas(plane, box, camera, toImage(plane, box, camera, [123, 45])), [123, 45]);
});

test("zooming holds the point under the pointer, panning moves by pixels", () => {
  const held = toImage(plane, box, odd, [300, 20]);
  near(toCanvas(plane, box, zoomed(plane, box, odd, 1.7, [300, 20]), held), [300, 20]);
  const before = toCanvas(plane, box, odd, [10, 10]);
  near(toCanvas(plane, box, panned(plane, box, odd, 12, -7), [10, 10]), [before[0] + 12, before[1] - 7]);
});

test("a mirror mirrors the screen, however the image is turned", () => {
  for (const rotation of [0, 90, 33, 180, 270]) {
    const camera = { ...whole({ ...plane, spacing: [1, 1] }), rotation };
    const [x, y] = toCanvas(plane, box, { ...camera, zoom: 1 }, [100, 30]);
    near(toCanvas(plane, box, flipped(camera, "h"), [100, 30]), [400 - x, y]);
    near(toCanvas(plane, box, flipped(camera, "v"), [100, 30]), [x, 300 - y]);
  }
});

test("letters say the patient's sides at the edges", () => {
  const axial = [1, 0, 0, 0, 1, 0];
  assert.deepEqual(edges(axial, whole(plane)), { right: "L", left: "R", bottom: "P", top: "A" });
  assert.deepEqual(edges(axial, flipped(whole(plane), "h")), { right: "R", left: "L", bottom: "P", top: "A" });
  assert.deepEqual(edges(axial, rotated(whole(plane), 90)), { right: "A", left: "P", bottom: "L", top: "R" });
  assert.deepEqual(edges([0, 1, 0, 0, 0, -1], whole(plane))?.top, "H");
  assert.equal(edges(null, whole(plane)), null);
  assert.equal(edges([0.8, 0.6, 0, 0, 0, -1], whole(plane))?.right, "LP");
});

test("patient coordinates follow position, orientation and spacing", () => {
  assert.deepEqual(toMm([-10, 5, 100], [1, 0, 0, 0, 1, 0], [0.5, 0.25], [4, 8]), [-9, 9, 100]);
  assert.equal(toMm([0, 0, 0], [1, 0, 0, 0, 1, 0], null, [0, 0]), null);
});

test("the scale bar is a round length that fits", () => {
  assert.deepEqual(bar(2, 120), [50, 100]);
  assert.deepEqual(bar(0.3, 120), [200, 60]);
});
