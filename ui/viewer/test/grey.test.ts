// Windows and values: the browser's greys must be the server's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { dragged, gain, presets, range, windowOf } from "../src/grey.ts";

test("LINEAR and LINEAR_EXACT end where the standard says", () => {
  assert.deepEqual(range({ name: "", center: 40, width: 400, function: "LINEAR" }), { lower: -160, upper: 239 });
  assert.deepEqual(range({ name: "", center: 40, width: 400, function: "LINEAR_EXACT" }), { lower: -160, upper: 240 });
  assert.deepEqual(range(windowOf({ lower: -3, upper: 9 })), { lower: -3, upper: 9 });
});

test("a drag keeps its pace and never turns the window over", () => {
  const from = { lower: 0, upper: 1000 };
  assert.equal(gain(from, [0, 1000]), 2);
  assert.deepEqual(dragged(from, 100, 50, 2), { lower: 0, upper: 1200 });
  const closed = dragged(from, -5000, 0, 2);
  assert.ok(closed.upper > closed.lower);
});

test("CT has its windows on the keys, none twice", () => {
  const own = { name: "Lung", center: -500, width: 1400, function: "LINEAR" as const };
  const names = presets("CT", [own]).map((one) => one.name);
  assert.equal(names.filter((name) => name === "Lung").length, 1);
  assert.ok(names.includes("Brain") && names.length <= 9);
  assert.deepEqual(presets("DX", [own]), [own]);
});
