// Keys, presets, and the strip of studies.
import assert from "node:assert/strict";
import { test } from "node:test";
import { commandOf, conflicts, keyOf, keysOf, remap, restored, spoken } from "../src/compare/keymap.ts";
import { presets, range } from "../src/compare/presets.ts";
import { apart, layout } from "../src/compare/timeline.ts";

const press = (key: string, more = {}) => keyOf({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });
const commands = [
  { id: "swap", words: "Swap", group: "Compare", keys: ["x"] },
  { id: "undo", words: "Undo", group: "Marks", keys: ["Ctrl+z"] },
  { id: "help", words: "This list", group: "Page", keys: ["?"], fixed: true },
];

test("one spelling for a key, whatever the layout needs to press for it", () => {
  assert.deepEqual([press("X", { shiftKey: true }), press("x"), press("?", { shiftKey: true }), press("z", { metaKey: true })], ["Shift+x", "x", "?", "Ctrl+z"]);
  assert.deepEqual([press("ArrowUp", { shiftKey: true }), press("Shift", { shiftKey: true }), press(" "), press("+", { shiftKey: true })], ["Shift+ArrowUp", "", "Space", "+"]);
  assert.deepEqual([spoken("Ctrl+Shift+z"), spoken("ArrowUp"), spoken("Shift++")], ["Ctrl Shift Z", "↑", "Shift +"]);
});

test("a key given to another command is taken from the first, a fixed one is not given", () => {
  const first = remap(commands, {}, "undo", "x");
  assert.equal(first.lost, "Swap");
  assert.deepEqual([commandOf(commands, first.chosen, "x")?.id, keysOf(commands[0]!, first.chosen)], ["undo", []]);
  assert.match(remap(commands, {}, "swap", "?").refused, /This list/);
  assert.deepEqual(conflicts(commands, first.chosen), []);
  assert.deepEqual(conflicts([...commands, { id: "other", words: "", group: "", keys: ["x"] }], {}), [["x", "swap", "other"]]);
});

test("what was kept is read with care", () => {
  assert.deepEqual(restored(commands, '{"swap":["q"],"help":["h"],"gone":["g"],"undo":[7]}'), { swap: ["q"] });
  assert.deepEqual([restored(commands, "not json"), restored(commands, null), restored(commands, "3")], [{}, {}, {}]);
});

test("presets: Hounsfield units for CT, shares elsewhere", () => {
  assert.deepEqual(range(presets("CT")[0]!, []), { lower: -1350, upper: 150 });
  const values = Array.from({ length: 257 }, (_, at) => at * 10);
  assert.deepEqual(range(presets("DX")[1]!, values), { lower: 30, upper: 2530 });
  assert.deepEqual(range(presets("MR")[1]!, [5, 5]), { lower: 5, upper: 6 });
});

test("studies stand at true distances, labels give way, undated ones stand apart", () => {
  const points = [0, 30, 31, 365].map((days, study) => ({ study, days })).concat([{ study: 9, days: null as unknown as number }]);
  const placed = layout(points, 1000, { margin: 20, label: 60, rows: 1, gap: 20 });
  const x = placed.map((one) => one.x);
  assert.ok(Math.abs((x[1]! - x[0]!) / (x[3]! - x[0]!) - 30 / 365) < 1e-9);
  assert.deepEqual(placed.map((one) => one.row), [0, null, 0, 0, null]);
  assert.equal(placed[4]?.dated, false);
  assert.ok(x[4]! > x[3]!);
  assert.equal(layout([{ study: 1, days: 5 }], 100)[0]?.x, 50);
});

test("time in words", () => {
  assert.deepEqual([0, 1, 6, 35, 430, -1200].map(apart), ["same day", "1 day", "6 days", "5 weeks", "14 months", "3.3 years"]);
});
