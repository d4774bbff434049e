// Linking in mm: two exams that share nothing but the patient.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { FrameGeometry, Stack, Vec3 } from "../src/compare/geometry.ts";
import { follow, followPoint, match, nearest, quantiles, sameShare, shift, toggleAction, toggleView, linked, fit, unrelated, AT_FIRST, windowRule } from "../src/compare/link.ts";

const AXIAL = [1, 0, 0, 0, 1, 0];

/** Slices `step` mm apart from `first` mm on, upward or downward, in a frame of reference whose origin lies at `origin`. */
function stack(series: number, { first = 0, step = 1, count = 10, orientation = AXIAL, reference = `for-${series}`, origin = [0, 0, 0] as Vec3, modality = "CT", bodyPart = "CHEST", along = 2, size = 100, spacing = 1 } = {}): Stack {
  const frames: FrameGeometry[] = Array.from({ length: count }, (_, at) => {
    const position = [...origin] as [number, number, number];
    position[along as 0 | 1 | 2] += first + at * step;
    return { rows: size, columns: size, spacing: [spacing, spacing] as const, position, orientation };
  });
  return { series, modality, bodyPart, frameOfReference: reference, frames };
}

const z = (one: Stack, at: number): number => one.frames[at]?.position?.[2] ?? Number.NaN;

test("an anchor carries every slice across frame of reference, thickness and direction to within half a slice", () => {
  const thin = stack(1, { first: -300, step: 1.25, count: 200 });
  const thick = stack(2, { first: 812, step: -5, count: 60, origin: [40, -12, 0] });
  const anchors = [{ a_series: 1, a_frame: 80, b_series: 2, b_frame: 30 }];
  for (let at = 0; at < 200; at += 1) {
    const found = follow(thin, at, thick, [thin, thick], anchors);
    assert.ok(found);
    const wanted = z(thick, 30) + (z(thin, at) - z(thin, 80));
    if (!found.outside) assert.ok(Math.abs(z(thick, found.frame) - wanted) <= 2.5 + 1e-9, `slice ${at}`);
  }
  for (let at = 0; at < 60; at += 1) {
    const found = follow(thick, at, thin, [thin, thick], anchors);
    const wanted = z(thin, 80) + (z(thick, at) - z(thick, 30));
    if (found && !found.outside) assert.ok(Math.abs(z(thin, found.frame) - wanted) <= 0.625 + 1e-9);
  }
});

test("slices whose normal points the other way follow the patient, not the order of files", () => {
  const up = stack(1, { first: 0, step: 2 });
  const flipped = stack(2, { first: 118, step: -2, orientation: [-1, 0, 0, 0, 1, 0] });
  const found = follow(up, 7, flipped, [up, flipped], [{ a_series: 1, a_frame: 2, b_series: 2, b_frame: 6 }]);
  assert.equal(found?.frame, 1);
  assert.ok((found?.distance ?? 1) < 1e-9);
});

test("one frame of reference needs no anchor, another one is never linked without", () => {
  const [one, same, other] = [stack(1), stack(2, { reference: "for-1", first: 3, step: 3 }), stack(3)];
  assert.equal(follow(one, 6, same, [one, same], [])?.frame, 1);
  assert.equal(fit(one, same, []).how, "position");
  assert.equal(follow(one, 6, other, [one, other], []), null);
  assert.match(fit(one, other, []).reason, /another frame of reference/);
  const anchored = fit(one, other, [{ a_series: 1, a_frame: 0, b_series: 3, b_frame: 0 }]);
  assert.deepEqual([anchored.ok, anchored.how], [true, "anchor"]);
});

test("other planes, other body parts, single images and slices without a place stay apart whatever is anchored", () => {
  const axial = stack(1);
  const anchors = [2, 3, 4, 5].map((b_series) => ({ a_series: 1, a_frame: 0, b_series, b_frame: 0 }));
  const coronal = stack(2, { orientation: [1, 0, 0, 0, 0, -1], along: 1 });
  const head = stack(3, { bodyPart: "HEAD" });
  const single = stack(4, { count: 1 });
  const lost: Stack = { ...stack(5), frames: stack(5).frames.map((frame) => ({ ...frame, position: null })) };
  for (const [other, words] of [[coronal, /90° apart/], [head, /different body parts/], [single, /single image/], [lost, /no position/]] as const) {
    assert.match(unrelated(axial, other), words);
    assert.equal(follow(axial, 3, other, [axial, other], anchors), null);
  }
});

test("planes up to fifteen degrees apart are followed at the middle of the slice", () => {
  const tipped = (degrees: number): number[] => [1, 0, 0, 0, Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  assert.equal(unrelated(stack(1), stack(2, { orientation: tipped(14) })), "");
  assert.match(unrelated(stack(1), stack(2, { orientation: tipped(16) })), /16° apart/);
});

test("beyond the last slice is said, not hidden", () => {
  const [long, short] = [stack(1, { count: 50 }), stack(2, { reference: "for-1", first: 10, count: 5 })];
  assert.deepEqual([follow(long, 40, short, [long, short], [])?.frame, follow(long, 40, short, [long, short], [])?.outside], [4, true]);
  assert.equal(follow(long, 12, short, [long, short], [])?.outside, false);
  assert.equal(nearest(short, [0, 0, 9.6])?.outside, false);
});

test("a match of the reader outranks the header, and reaches a third series through a common frame of reference", () => {
  const [one, two, three] = [stack(1), stack(2, { reference: "for-1" }), stack(3, { reference: "b", first: 500 })];
  const moved = shift(one, two, [one, two], [{ a_series: 1, a_frame: 4, b_series: 2, b_frame: 6 }]);
  assert.deepEqual(moved, { by: [0, 0, 2], anchored: true });
  const far = follow(one, 3, three, [one, two, three], [{ a_series: 2, a_frame: 0, b_series: 3, b_frame: 1 }]);
  assert.equal(far?.frame, 4);
});

test("match takes the shown slices of all views, replaces what was said before, and says which it refuses", () => {
  const [one, two, cross] = [stack(1), stack(2), stack(3, { orientation: [1, 0, 0, 0, 0, -1], along: 1 })];
  const shown = [{ stack: one, frame: 2 }, { stack: two, frame: 7 }, { stack: cross, frame: 0 }, null];
  const first = match(AT_FIRST, shown, 0);
  assert.deepEqual(first.links.anchors, [{ a_series: 1, a_frame: 2, b_series: 2, b_frame: 7 }]);
  assert.match(first.refused.join(), /View 3 .*90°/);
  const again = match(first.links, [{ stack: one, frame: 3 }, { stack: two, frame: 3 }], 1);
  assert.deepEqual(again.links.anchors, [{ a_series: 2, a_frame: 3, b_series: 1, b_frame: 3 }]);
});

test("a point is found in the other exam, slice and place", () => {
  const one = stack(1, { spacing: 0.5 });
  const two = stack(2, { spacing: 2, origin: [100, 50, 0], first: 300, step: -2 });
  const anchors = [{ a_series: 1, a_frame: 4, b_series: 2, b_frame: 4 }];
  const middle = followPoint(one, 4, [49.5, 49.5], two, [one, two], anchors);
  assert.deepEqual(middle, { frame: 4, place: [49.5, 49.5], outside: false });
  const beside = followPoint(one, 6, [49.5 + 8, 49.5 - 4], two, [one, two], anchors);
  assert.deepEqual(beside, { frame: 3, place: [51.5, 48.5], outside: false });
});

test("actions and views are switched one by one and views beyond those known are linked", () => {
  const links = toggleView(toggleAction(AT_FIRST, "window"), 1, 2);
  assert.deepEqual([linked(links, "window", 0), linked(links, "window", 1), linked(links, "scroll", 0), linked(links, "scroll", 1), linked(links, "scroll", 5)], [true, false, true, false, true]);
});

test("windows go over as numbers for CT, as shares for radiographs and MR, and never between modalities", () => {
  const of = (modality: string, series: number): Stack => stack(series, { modality });
  assert.deepEqual([windowRule(of("CT", 1), of("CT", 2)), windowRule(of("MR", 1), of("MR", 2)), windowRule(of("CT", 1), of("MR", 2)), windowRule(of("DX", 1), of("DX", 1))], ["same", "relative", "none", "same"]);
  const dim = quantiles(Float32Array.from({ length: 1000 }, (_, at) => at));
  const bright = quantiles(Float32Array.from({ length: 1000 }, (_, at) => 500 + 4 * at));
  assert.ok(Math.abs(sameShare(250, dim, bright) - 1500) < 12);
  assert.ok(Math.abs(sameShare(1099, dim, bright) - (4496 + 400)) < 12);
  assert.ok(Math.abs(sameShare(sameShare(333, dim, bright), bright, dim) - 333) < 4);
});
