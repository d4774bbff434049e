// Measurements, pairs, RECIST, undo, the table: what a reader reads off an image.
import assert from "node:assert/strict";
import { test } from "node:test";
import { changeOf, csv, distance, NOTHING, nextLabel, read, response, toggleKeyImage, togglePair, withMark, without } from "../src/compare/marks.ts";
import type { Kind, Mark, Place } from "../src/compare/marks.ts";
import { change, inWords, recist } from "../src/compare/pairing.ts";
import { amend, begin, record, redo, undo } from "../src/compare/undo.ts";

const mm = { spacing: [0.5, 0.25] as const };
const px = { spacing: null };
const mark = (id: string, kind: Kind, series_id: number, points: Place[], label = "1"): Mark => ({ id, kind, label, series_id, frame: 0, points, text: "", values: {} });

test("length takes the spacing of rows and of columns, and says px where there is none", () => {
  assert.equal(distance([0, 0], [12, 8], mm), 5);
  assert.deepEqual(read(mark("a", "length", 1, [[0, 0], [12, 8]]), mm)?.words, ["5.0 mm"]);
  assert.deepEqual(read(mark("a", "length", 1, [[0, 0], [3, 4]]), px)?.words, ["5.0 px"]);
});

test("the long axis leads a bidirectional measurement, whichever was drawn first", () => {
  const found = read(mark("a", "bidirectional", 1, [[0, 0], [40, 0], [10, -30], [10, 30]]), mm);
  assert.deepEqual([found?.value, found?.words], [30, ["30.0 × 10.0 mm"]]);
});

test("an angle is measured in the patient, not in pixels that are not square", () => {
  assert.ok(Math.abs((read(mark("a", "angle", 1, [[40, 0], [0, 0], [40, 20]]), mm)?.value ?? 0) - 45) < 1e-9);
});

test("the cardiothoracic ratio takes transverse extents, and waits for the thorax", () => {
  assert.match(read(mark("a", "ctr", 1, [[100, 50], [340, 90]]), mm)?.words[0] ?? "", /now draw the thorax/);
  const found = read(mark("a", "ctr", 1, [[100, 50], [340, 90], [520, 200], [40, 210]]), mm);
  assert.equal(found?.value, 0.5);
  assert.deepEqual(found?.words, ["CTR 0.50", "heart 60.0, thorax 120 mm"]);
});

test("areas of an ellipse and a rectangle with their statistics", () => {
  const round = { ...mark("a", "ellipse", 1, [[10, 0], [10, 20], [0, 10], [40, 10]]), values: { mean: 41.26, sd: 3, min: 30, max: 55 } };
  const found = read(round, mm, "HU");
  assert.ok(Math.abs((found?.value ?? 0) - Math.PI * 25) < 1e-9);
  assert.deepEqual(found?.words, ["78.5 mm²", "mean 41.3, SD 3.0 HU", "30.0 to 55.0 HU"]);
  assert.equal(read(mark("b", "rectangle", 1, [[0, 0], [8, 0], [0, 6], [8, 6]]), px)?.words[0], "48.0 px²");
});

test("labels: numbers for measurements, letters for marks, the first that is free", () => {
  const marks = [mark("a", "point", 1, [[0, 0]], "A"), mark("b", "arrow", 1, [[0, 0]], "C"), mark("c", "length", 1, [], "1")];
  assert.deepEqual([nextLabel(marks, "box"), nextLabel(marks, "angle")], ["B", "2"]);
  const many = Array.from({ length: 26 }, (_, at) => mark(String(at), "point", 1, [], String.fromCharCode(65 + at)));
  assert.equal(nextLabel(many, "free"), "AA");
});

test("change of a pair: mm, per cent, per day", () => {
  const found = change({ kind: "length", value: 20, unit: "mm", days: 100 }, { kind: "length", value: 25, unit: "mm", days: 114 });
  assert.deepEqual([found.delta, found.percent, found.days], [5, 25, 14]);
  assert.equal(inWords(found), "+5.0 mm, +25.0 %, +0.36 mm/day");
  const same = change({ kind: "length", value: 0, unit: "px", days: 3 }, { kind: "length", value: 2, unit: "px", days: 3 });
  assert.deepEqual([same.percent, same.perDay], [null, null]);
  assert.throws(() => change({ kind: "length", value: 1, unit: "mm", days: 0 }, { kind: "length", value: 1, unit: "px", days: 0 }), /spacing/);
});

test("RECIST 1.1: every category at its border", () => {
  assert.equal(recist([100, 70]).category, "PR");
  assert.equal(recist([100, 70.1]).category, "SD");
  assert.equal(recist([100, 120]).category, "PD");
  assert.equal(recist([100, 119.9]).category, "SD");
  assert.equal(recist([20, 24]).category, "SD", "20 % but only 4 mm");
  assert.equal(recist([100, 50, 61]).category, "PD", "against the nadir, not the baseline");
  assert.equal(recist([100, 50, 59]).category, "PR");
  assert.equal(recist([100, 0]).category, "CR");
  assert.equal(recist([100, 60], { newLesion: true }).category, "PD");
  assert.equal(recist([100, 0, 6]).category, "PD");
  assert.match(recist([48, 40], { lesions: 6 }).notes.join(), /at most five/);
  assert.throws(() => recist([10]), RangeError);
});

const readings = (one: Mark) => read(one, mm);
const side = (series: number) => (series === 1 ? "prior" : series === 2 ? "current" : "") as "prior" | "current" | "";

test("one key pairs a measurement with the last of its kind at the other date, and parts them again", () => {
  let drawn = withMark(NOTHING, mark("a", "length", 1, [[0, 0], [80, 0]]));
  assert.match(togglePair(drawn, "a", side, readings).refused, /Draw a length on the current/);
  drawn = withMark(drawn, mark("b", "angle", 2, [[1, 0], [0, 0], [0, 1]]));
  drawn = withMark(drawn, mark("c", "length", 2, [[0, 0], [120, 0]]));
  const paired = togglePair(drawn, "c", side, readings).drawn;
  assert.deepEqual(paired.pairs, [{ prior: "a", current: "c" }]);
  const found = changeOf({ prior: "a", current: "c" }, paired, readings, (series) => (series === 1 ? 0 : 20));
  assert.deepEqual([found?.delta, found?.percent, found?.perDay], [10, 50, 0.5]);
  assert.equal(response(paired, readings)?.category, "PD");
  assert.deepEqual(togglePair(paired, "a", side, readings).drawn.pairs, []);
  assert.deepEqual(without(paired, "c").pairs, []);
});

test("a pair in mm and px is refused in words", () => {
  let drawn = withMark(NOTHING, mark("a", "length", 1, [[0, 0], [80, 0]]));
  drawn = withMark(drawn, mark("b", "length", 2, [[0, 0], [80, 0]]));
  const refused = togglePair(drawn, "b", side, (one) => read(one, one.series_id === 1 ? mm : px)).refused;
  assert.match(refused, /one is in mm, the other in px/);
});

test("key images go on and off", () => {
  const on = toggleKeyImage(NOTHING, 4, 7);
  assert.deepEqual(on.key_images, [{ series_id: 4, frame: 7, note: "" }]);
  assert.deepEqual(toggleKeyImage(on, 4, 7).key_images, []);
});

test("undo and redo step over documents; a drag is one step; a new change ends what could be redone", () => {
  let history = record(record(begin("0"), "1"), "2a", "drag");
  history = record(history, "2b", "drag");
  history = undo(history);
  assert.equal(history.present, "1");
  history = redo(history);
  assert.equal(history.present, "2b");
  history = record(undo(undo(history)), "3");
  assert.deepEqual([history.present, redo(history).present, undo(history).present], ["3", "3", "0"]);
  assert.equal(undo(begin("x")).present, "x");
  assert.deepEqual(amend(record(begin("a"), "b"), "c").past, ["a"]);
});

test("the table as a file: quotes, separators and formulas are made harmless", () => {
  assert.equal(csv([["a,b", 'say "x"', -1.5, null], ["=HYPERLINK(1)", "+3 mm"]]), '"a,b","say ""x""",-1.5,\r\n\'=HYPERLINK(1),\'+3 mm\r\n');
});
