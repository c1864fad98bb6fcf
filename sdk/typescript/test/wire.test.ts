import assert from "node:assert/strict";
import { test } from "node:test";
import { Ring } from "#dist/client/envelope.js";
import {
  MalformedError,
  type RawHeader,
  type WireRequest,
  aboutRequest,
  authenticated,
  decodeReply,
  requestHeaders,
  requestIDOf,
  statuses,
} from "#dist/client/wire.js";
import { readVectors } from "./vectors.js";

const id = "6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c11";

const request: WireRequest = {
  topic: "calculate",
  id,
  key: undefined,
  replyTo: "rr.replies",
  replyPartition: 3,
  timeoutMs: 30000,
  sentMs: 1790000000123,
  traceparent: "",
  tracestate: "",
};

const reply = (change: Record<string, string | null> = {}): RawHeader[] => {
  const all: Record<string, string | null> = {
    request_id: id,
    topic: "calculate",
    status: "ok",
    attempt: "1",
    duration_ms: "12",
    plugin: "calculate 1.2.0",
    ...change,
  };
  return Object.entries(all)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => [Buffer.from(name), Buffer.from(value!)]);
};

test("a request is what the document's example is", () => {
  assert.deepEqual(requestHeaders(request), [
    ["request_id", id],
    ["reply_to", "rr.replies"],
    ["reply_partition", "3"],
    ["timeout_ms", "30000"],
    ["sent_ms", "1790000000123"],
  ]);
  const vectors = readVectors<{ cases: { name: string; about: string }[] }>("internal/envelope/testdata/vectors.json");
  assert.equal(aboutRequest(request).toString("hex"), vectors.cases.find((c) => c.name === "request")!.about);
});

test("a reply of the vectors is read and opens", () => {
  const vectors = readVectors<{ cases: { name: string; key: string; sealed: string; plain: string }[] }>(
    "internal/envelope/testdata/vectors.json",
  );
  const vector = vectors.cases.find((c) => c.name === "reply")!;
  const value = Buffer.from(vector.sealed, "hex");
  const read = decodeReply(null, value, reply());
  assert.deepEqual(
    [read.id, read.topic, read.status, read.attempt, read.durationMs, read.plugin],
    [id, "calculate", "ok", 1, 12, "calculate 1.2.0"],
  );
  assert.equal(new Ring(vector.key).open(value, read.about).toString(), '{"result":15}');
  const changes: Record<string, string | null>[] = [{ status: "expired" }, { attempt: "2" }, { duration_ms: "13" }, { plugin: null }, { topic: "other" }];
  for (const change of changes) {
    const { about } = decodeReply(null, value, reply(change));
    assert.throws(() => new Ring(vector.key).open(value, about), JSON.stringify(change));
  }
  assert.throws(() => new Ring(vector.key).open(value, decodeReply(Buffer.alloc(0), value, reply()).about), "an empty key is another");
});

test("a reply in another form is malformed, and the header at fault named", () => {
  const wrong: [string, Record<string, string | null>][] = [
    ["request_id", { request_id: id.toUpperCase() }],
    ["request_id", { request_id: null }],
    ["request_id", { request_id: "6f1c1f0a-3b52-1a1e-9c3d-0d8a5f3b2c11" }],
    ["topic", { topic: ".." }],
    ["topic", { topic: "a b" }],
    ["status", { status: "reply_not_allowed" }],
    ["status", { status: "constructor" }],
    ["status", { status: "undecryptable" }], // has a body here
    ["attempt", { attempt: "01" }],
    ["attempt", { attempt: "2147483648" }],
    ["attempt", { attempt: "" }],
    ["duration_ms", { duration_ms: "1.5" }],
    ["duration_ms", { duration_ms: "-1" }],
    ["plugin", { plugin: "a\nb" }],
    ["plugin", { plugin: "p".repeat(257) }],
    ["traceparent", { traceparent: "ü" }],
    ["tracestate", { tracestate: "t".repeat(2049) }],
  ];
  for (const [name, change] of wrong) {
    assert.throws(
      () => decodeReply(null, Buffer.from("x"), reply(change)),
      (err: Error) => err instanceof MalformedError && err.message.includes(name),
      JSON.stringify(change),
    );
  }
  const twice = [...reply(), [Buffer.from("attempt"), Buffer.from("1")] as const];
  assert.throws(() => decodeReply(null, null, twice), /attempt comes twice/);
  const many = [...reply(), ...Array.from({ length: 59 }, () => [Buffer.from("x"), null] as const)];
  assert.throws(() => decodeReply(null, null, many), /too many/);
  assert.throws(() => decodeReply(null, null, [...reply(), [Buffer.from("x"), Buffer.alloc(8192)]]), /too large/);
  const strangers = [...reply(), [Buffer.from("x"), null], [Buffer.from("x"), Buffer.from("y")]] as RawHeader[];
  assert.equal(decodeReply(null, null, strangers).id, id);
  assert.equal(decodeReply(null, null, reply({ status: "malformed" })).status, "malformed");
});

test("the id is found without reading the rest", () => {
  assert.equal(requestIDOf(reply({ attempt: "nonsense" })), id);
  assert.equal(requestIDOf(reply({ request_id: "nonsense" })), undefined);
  assert.equal(requestIDOf([]), undefined);
  assert.equal(requestIDOf([[null, null]]), undefined);
});

test("a request that a host would refuse is refused here", () => {
  for (const [change, extra] of [
    [{ id: "x" }, []],
    [{ topic: "a/b" }, []],
    [{ traceparent: "ü" }, []],
    [{}, [["op", "ping"]]],
    [{}, [["status", "ok"]]],
    [{}, [["dlq_anything", "x"]]],
  ] as [Partial<WireRequest>, [string, string][]][]) {
    assert.throws(() => requestHeaders({ ...request, ...change }, extra), MalformedError);
  }
  assert.deepEqual(requestHeaders({ ...request, tracestate: "a=b" }, [["tenant", "7"]]).slice(-2), [
    ["tracestate", "a=b"],
    ["tenant", "7"],
  ]);
});

test("two statuses cannot prove who sent them", () => {
  assert.equal(statuses.length, 11);
  assert.deepEqual(statuses.filter((s) => !authenticated(s)), ["undecryptable", "malformed"]);
});

test("no bytes make decoding fail in another way", () => {
  let seed = 1;
  const random = (n: number) => Math.floor(((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32) * n);
  let right = 0;
  for (let i = 0; i < 20_000; i++) {
    const headers = reply({ plugin: random(2) ? "p 1" : null }).map(([k, v]) => [Buffer.from(k!), Buffer.from(v!)] as [Buffer, Buffer | null]);
    for (let n = random(4); n > 0; n--) {
      const at = random(headers.length);
      const [name, value] = headers[at]!;
      if (random(3) === 0 && name.length > 0) name[random(name.length)] = random(256);
      else if (random(4) === 0) headers[at]![1] = null;
      else if (value && value.length > 0) value[random(value.length)] = random(256);
      if (random(8) === 0) headers.push(headers[random(headers.length)]!);
    }
    try {
      const read = decodeReply(random(2) ? null : Buffer.from([random(256)]), null, headers);
      assert.equal(requestIDOf(headers), read.id);
      right++;
    } catch (err) {
      assert.ok(err instanceof MalformedError, String(err));
    }
  }
  assert.ok(right > 1000 && right < 19_000, `${right} were right`);
});
