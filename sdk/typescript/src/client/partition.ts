/**
 * Where a keyed request goes in a topic of n partitions: the choice of the Java
 * client, so that all requesters agree on one key's order.
 */
export function partitionOf(key: Uint8Array, n: number): number {
  return (murmur2(key) & 0x7fffffff) % n;
}

/** The 32-bit hash of Kafka's Java client, as a signed number. */
export function murmur2(key: Uint8Array): number {
  const m = 0x5bd1e995;
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  let h = 0x9747b28c ^ key.length;
  let at = 0;
  for (; key.length - at >= 4; at += 4) {
    let k = Math.imul(view.getInt32(at, true), m);
    k ^= k >>> 24;
    h = Math.imul(h, m) ^ Math.imul(k, m);
  }
  const rest = key.length - at;
  if (rest > 2) h ^= key[at + 2]! << 16;
  if (rest > 1) h ^= key[at + 1]! << 8;
  if (rest > 0) h = Math.imul(h ^ key[at]!, m);
  h = Math.imul(h ^ (h >>> 13), m);
  return h ^ (h >>> 15);
}
