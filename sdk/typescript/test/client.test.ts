import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, UnsentError, type Replies, type ReplyRecord, type RequestRecord, type Requests } from "#dist/client/client.js";
import { connect } from "#dist/client/connect.js";
import { Ring, field, generateKey } from "#dist/client/envelope.js";
import { ClosedError, HandlerError, RejectedError, SendError, TimeoutError } from "#dist/client/errors.js";
import { type WireRequest, aboutRequest } from "#dist/client/wire.js";

const key = generateKey();

/** A broker and a host of the test's own: what was sent, and a way to answer it. */
class World {
  readonly sent: RequestRecord[] = [];
  readonly client: Client;
  onSend: (record: RequestRecord) => Promise<void> = async () => {};
  private each: (record: ReplyRecord) => void = () => {};

  constructor({ timeout = 5000, maxPayload = 1000 } = {}) {
    let end = () => {};
    const tail: Replies = {
      partition: 3,
      repositioned: 0,
      run: (each: (record: ReplyRecord) => void) => {
        this.each = each;
        return new Promise<void>((resolve) => (end = resolve));
      },
      close: async () => end(),
    };
    const writer: Requests = {
      send: (record: RequestRecord) => {
        this.sent.push(record);
        return this.onSend(record);
      },
      close: async () => {},
    };
    this.client = new Client(new Ring(key), tail, writer, { replyTopic: "rr.replies", controlTopic: "rr.control", timeout, maxPayload });
  }

  /** Opens a request as a host does. */
  opened({ topic, key: kafkaKey, value, headers }: RequestRecord): string {
    const h = Object.fromEntries(headers);
    const request: WireRequest = {
      topic,
      id: h.request_id!,
      key: kafkaKey,
      replyTo: h.reply_to!,
      replyPartition: Number(h.reply_partition),
      timeoutMs: Number(h.timeout_ms),
      sentMs: Number(h.sent_ms),
      traceparent: "",
      tracestate: "",
    };
    return new Ring(key).open(value, aboutRequest(request)).toString();
  }

  /** Answers a request, in any way. */
  answer(
    { topic, headers }: RequestRecord,
    body: unknown,
    how: { status?: string; as?: string; sealer?: Ring; sealed?: boolean; id?: string; of?: string } = {},
  ): void {
    const { status = "ok", as = status, sealer = new Ring(key), sealed = true, id = Object.fromEntries(headers).request_id!, of = topic } = how;
    const about = Buffer.concat(
      ["reply", of, id, undefined, as, "1", "2", undefined].map((text) => field(text)),
    );
    this.each({
      key: null,
      value: sealed ? sealer.seal(Buffer.from(JSON.stringify(body)), about) : null,
      headers: Object.entries({ request_id: id, topic: of, status, attempt: "1", duration_ms: "2" }).map(
        ([name, value]) => [Buffer.from(name), Buffer.from(value)] as const,
      ),
    });
  }
}

test("a call is sealed, sent and answered", async () => {
  const w = new World();
  const total = w.client.call<object, { result: number }>("calculate", { a: 1 }, { key: "k", headers: { tenant: "7" }, timeout: 1234.5 });
  const [record] = w.sent;
  assert.equal(w.opened(record!), '{"a":1}');
  assert.equal(record!.key!.toString(), "k");
  const headers = Object.fromEntries(record!.headers);
  assert.deepEqual([headers.reply_to, headers.reply_partition, headers.timeout_ms, headers.tenant], ["rr.replies", "3", "1234", "7"]);
  w.answer(record!, { result: 15 });
  assert.deepEqual(await total, { result: 15 });
  w.answer(record!, { result: 15 });
  w.answer(record!, { result: 15 }, { id: "11111111-1111-4111-8111-111111111111" });
  assert.deepEqual(w.client.stats(), { pending: 0, foreign: 1, duplicate: 1, late: 0, forged: 0, repositioned: 0 });
  await w.client.close();
});

test("replies that do not open are dropped, and the wait goes on", async () => {
  const w = new World();
  const total = w.client.call("calculate", {});
  const [record] = w.sent;
  w.answer(record!, { result: 1 }, { sealer: new Ring(generateKey()) });
  w.answer(record!, { result: 2 }, { status: "ok", as: "expired" }); // of another status
  w.answer(record!, { result: 3 }, { status: "handler_error", as: "ok" });
  w.answer(record!, { result: 4 }, { of: "other" });
  w.answer(record!, { result: 5 }, { sealed: false });
  w.answer(record!, { result: 6 }, { status: "nonsense" });
  assert.equal(w.client.stats().forged, 6);
  w.answer(record!, { result: 7 });
  assert.deepEqual(await total, { result: 7 });
  await w.client.close();
});

test("errors have their type", async () => {
  const w = new World();
  const outcome = async (body: unknown, how: { status: string; sealed?: boolean }) => {
    const failed = w.client.call("calculate", {}).then(
      () => assert.fail("it succeeded"),
      (err: unknown) => err,
    );
    w.answer(w.sent.at(-1)!, body, how);
    return failed;
  };
  const handler = await outcome({ code: "division_by_zero", message: "b is 0", details: { b: 0 } }, { status: "handler_error" });
  assert.ok(handler instanceof HandlerError);
  assert.deepEqual([handler.code, handler.reason, handler.details], ["division_by_zero", "b is 0", { b: 0 }]);
  assert.match(handler.message, /^call calculate, request [0-9a-f-]{36}: division_by_zero: b is 0$/);

  const timeout = await outcome({ code: "expired", message: "m" }, { status: "expired" });
  assert.ok(timeout instanceof TimeoutError && timeout.status === "expired" && timeout.acknowledged);

  const rejected = await outcome({ code: "no_handler", message: "no handler" }, { status: "no_handler" });
  assert.ok(rejected instanceof RejectedError && rejected.authenticated && rejected.status === "no_handler");
  assert.match(rejected.message, /hint: `rrhost check`/);

  const unread = await outcome(undefined, { status: "undecryptable", sealed: false });
  assert.ok(unread instanceof RejectedError && !unread.authenticated);
  assert.match(unread.message, /not authenticated.*seals with key [0-9a-f]{32}/);
  await w.client.close();
});

test("time passes", async () => {
  const w = new World({ timeout: 20 });
  await assert.rejects(w.client.call("calculate", {}), (err: unknown) => {
    assert.ok(err instanceof TimeoutError && err.status === undefined && err.acknowledged && err.afterMs >= 15);
    assert.match(err.message, /is a host running/);
    return true;
  });
  w.answer(w.sent[0]!, {});
  assert.equal(w.client.stats().late, 1);

  w.onSend = () => new Promise(() => {});
  const waiting = w.client.call("calculate", {});
  w.answer(w.sent[1]!, {}, { sealer: new Ring(generateKey()) });
  await assert.rejects(waiting, /Kafka did not take the request in time.*sealed with key [0-9a-f]{32}/);
  await w.client.close();
});

test("a signal ends the wait with its reason", async () => {
  const w = new World();
  const controller = new AbortController();
  const call = w.client.call("calculate", {}, { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(call, /^Error: enough$/);
  await assert.rejects(w.client.call("calculate", {}, { signal: controller.signal }), /enough/);
  assert.equal(w.sent.length, 1);
  assert.equal(w.client.stats().pending, 0);
  await w.client.close();
});

test("what cannot be sent is not", async () => {
  const w = new World();
  const refused = async (call: Promise<unknown>, why: RegExp) =>
    assert.rejects(call, (err: unknown) => err instanceof SendError && err.unsent && why.test(err.message));
  await refused(w.client.call("calculate", "x".repeat(1000)), /1002 bytes and may have 1000/);
  await refused(w.client.call("a b", {}), /topic/);
  await refused(w.client.call("calculate.dlq", {}), /dead letters/);
  await refused(w.client.call("rr.replies", {}), /replies/);
  await refused(w.client.call("rr.control", {}), /what hosts announce/);
  await refused(w.client.call("calculate", {}, { timeout: 86_400_001 }), /timeout/);
  await refused(w.client.call("calculate", {}, { timeout: Number.NaN }), /timeout/);
  await refused(w.client.call("calculate", {}, { headers: { request_id: "x" } }), /belongs to the protocol/);
  await refused(w.client.call("calculate", {}, { headers: { x: "y".repeat(8192) } }), /too large/);
  await refused(w.client.call("calculate", {}, { requestId: "x" }), /request_id/);
  await assert.rejects(w.client.call("calculate", undefined), /no JSON form/);
  assert.equal(w.sent.length, 0);

  w.onSend = () => Promise.reject(new Error("broker is away"));
  await assert.rejects(w.client.call("calculate", {}), (err: unknown) => err instanceof SendError && !err.unsent && /broker is away/.test(err.message));
  w.onSend = () => Promise.reject(new UnsentError("topic calculate does not exist", new Error("unknown")));
  await assert.rejects(w.client.call("calculate", {}), (err: unknown) => err instanceof SendError && err.unsent && /send: topic calculate does not exist$/.test(err.message));
  await w.client.close();
});

test("close ends what is under way, and what comes after it", async () => {
  const w = new World();
  const call = assert.rejects(w.client.call("calculate", {}), ClosedError);
  await Promise.all([w.client.close(), w.client.close()]);
  await call;
  await assert.rejects(w.client.call("calculate", {}), ClosedError);
});

test("connect says what is wrong with its options", async () => {
  const brokers = "127.0.0.1:1";
  const { ENCRYPTION_KEY } = process.env;
  delete process.env.ENCRYPTION_KEY;
  await assert.rejects(connect({ brokers }), /no encryption key/);
  if (ENCRYPTION_KEY !== undefined) process.env.ENCRYPTION_KEY = ENCRYPTION_KEY;
  await assert.rejects(connect({ brokers, key: "abc" }), /64 hex/);
  await assert.rejects(connect({ brokers: "nonsense", key }), /"nonsense" is not host:port/);
  await assert.rejects(connect({ brokers, key, replyTopic: "rr.control" }), /controlTopic.*replyTopic/);
});
