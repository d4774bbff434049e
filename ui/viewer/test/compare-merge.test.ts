// Two tabs drew on one session: nothing of either is lost.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Drawn, type Mark, NOTHING } from "../src/compare/marks.ts";
import { merge } from "../src/compare/merge.ts";

const mark = (id: string, label: string, at = 0): Mark => ({ id, kind: "length", label, series_id: 1, frame: 0, points: [[at, 0], [9, 9]], text: "", values: {} });
const drawn = (marks: Mark[], more: Partial<Drawn> = {}): Drawn => ({ ...NOTHING, marks, ...more });

test("what each added is there, and no two have one label", () => {
  const base = drawn([mark("a", "1")]);
  const found = merge(base, drawn([mark("a", "1"), mark("b", "2")]), drawn([mark("a", "1"), mark("c", "2")]));
  assert.deepEqual(found.marks.map(({ id, label }) => [id, label]), [["a", "1"], ["c", "2"], ["b", "3"]]);
});

test("one side's change or removal stands; of two changes mine; a changed one is not taken away", () => {
  const base = drawn([mark("a", "1"), mark("b", "2"), mark("c", "3"), mark("d", "4")]);
  const mine = drawn([mark("a", "1", 5), mark("b", "2", 6), mark("d", "4")]);
  const theirs = drawn([mark("a", "1"), mark("b", "2", 7), mark("c", "3", 8)]);
  assert.deepEqual(merge(base, mine, theirs).marks.map(({ id, points }) => [id, points[0]?.[0]]), [["a", 5], ["b", 6], ["c", 8]]);
  assert.deepEqual(merge(base, base, theirs), theirs);
  assert.deepEqual(merge(base, mine, base), { ...mine, marks: [mine.marks[0], mine.marks[1], mine.marks[2]] });
});

test("a mark is in one pair at most, and a pair has both its marks", () => {
  const three = [mark("a", "1"), mark("b", "2"), mark("c", "3")];
  const base = drawn(three);
  const found = merge(base, drawn(three, { pairs: [{ prior: "a", current: "b" }] }), drawn(three, { pairs: [{ prior: "a", current: "c" }] }));
  assert.deepEqual(found.pairs, [{ prior: "a", current: "c" }]);
  assert.deepEqual(merge(base, drawn(three, { pairs: [{ prior: "a", current: "b" }] }), drawn([three[0]!])).pairs, []);
});

test("key images of both, and what was taken out stays out", () => {
  const key = (frame: number) => ({ series_id: 1, frame, note: "" });
  const base = drawn([], { key_images: [key(1), key(2)] });
  const found = merge(base, drawn([], { key_images: [key(2), key(3)] }), drawn([], { key_images: [key(1), key(2), key(4)] }));
  assert.deepEqual(found.key_images.map((one) => one.frame), [2, 4, 3]);
});
