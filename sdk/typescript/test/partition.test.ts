import assert from "node:assert/strict";
import { test } from "node:test";
import { murmur2, partitionOf } from "#dist/client/partition.js";
import { readVectors } from "./vectors.js";

interface Vectors {
  cases: { key: string; murmur2: number; of_16: number; of_12: number }[];
}

test("a key goes where all requesters send it", () => {
  const vectors = readVectors<Vectors>("internal/wire/testdata/partitions.json");
  assert.ok(vectors.cases.length >= 14);
  for (const c of vectors.cases) {
    assert.equal(murmur2(Buffer.from(c.key)), c.murmur2, c.key);
    assert.equal(partitionOf(Buffer.from(c.key), 16), c.of_16, c.key);
    assert.equal(partitionOf(Buffer.from(c.key), 12), c.of_12, c.key); // takes all of the hash's bits
  }
});

test("bytes are not signed, and a key may lie anywhere in its buffer", () => {
  const key = Buffer.from([0x80, 0xff, 0x7f, 0xfe, 0x81, 0xff, 0x80]);
  const inside = Buffer.concat([Buffer.from("abc"), key, Buffer.from("x")]).subarray(3, 10);
  assert.equal(murmur2(inside), murmur2(key));
  for (const n of [1, 3, 7, 2 ** 31 - 1]) {
    const p = partitionOf(key, n);
    assert.ok(p >= 0 && p < n, `${p} of ${n}`);
  }
});
