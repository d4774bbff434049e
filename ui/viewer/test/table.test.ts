import assert from "node:assert/strict";
import { test } from "node:test";
import { lookUp, nodes } from "../src/table.ts";

const bent = { first: 100, top: 4095, entries: Array.from({ length: 512 }, (_, at) => Math.floor(4095 * (at / 511) ** 2)) };

test("a table is looked up by value, and its ends hold", () => {
  const bright = lookUp(bent);
  assert.equal(bright(-5000), 0);
  assert.equal(bright(100), 0);
  assert.equal(bright(9999), 1);
  assert.equal(bright(355.9), bent.entries[255] / 4095);
});

test("the renderer gets every entry, brightness turned where the image is", () => {
  const [plain, turned] = [false, true].map((inverse) => nodes(bent, inverse));
  assert.equal(plain.length, 512);
  assert.deepEqual([plain[0].x, plain[511].x], [100, 611]);
  assert.ok(plain.every((node, at) => Math.abs(node.r + turned[at].r - 1) < 1e-12 && node.r === node.b));
});

test("long tables are thinned evenly and keep both ends; a table of one entry is flat", () => {
  const long = nodes({ first: -1024, top: 65535, entries: Array.from({ length: 65536 }, (_, at) => at) }, false);
  assert.equal(long.length, 4096);
  assert.deepEqual([long[0].x, long[4095].x, long[4095].r], [-1024, 64511, 1]);
  assert.deepEqual(nodes({ first: 7, top: 10, entries: [5] }, false).map((node) => node.r), [0.5, 0.5]);
});
