// A requester that asks a running host everything, as a program of its own: on
// Node and on Bun. It prints ok, or fails.
import assert from "node:assert/strict";
import { Admin } from "@platformatic/kafka";
import { baseOptions } from "#dist/client/kafka.js";
import { HandlerError, RejectedError, SendError, TimeoutError, connect, generateKey } from "rrhost/client";
import { options, topic } from "./site.js";

const c = await connect(options);

interface Sum {
  a: number;
  b: number;
}
interface Total {
  result: number;
}

assert.deepEqual(await c.call<Sum, Total>(topic("calculate"), { a: 10, b: 5 }), { result: 15 });

// Many at once, with and without a key.
const totals = await Promise.all(
  Array.from({ length: 500 }, (_, i) => c.call<Sum, Total>(topic("calculate"), { a: i, b: 1 }, i % 2 ? { key: `key-${i % 7}` } : {})),
);
assert.deepEqual(
  totals.map((t) => t.result),
  totals.map((_, i) => i + 1),
);

const reply = await c.request(topic("echo"), Buffer.from('{ "as": "it is" }'), { headers: { tenant: "7" }, traceparent: "00-1-2-01" });
assert.deepEqual([reply.status, Buffer.from(reply.payload).toString(), reply.attempt], ["ok", '{ "as": "it is" }', 1]);
assert.match(reply.plugin, /^conformance 1\.0\.0$/);

const large = "x".repeat(900_000);
assert.equal(await c.call(topic("echo"), large), large);

await assert.rejects(c.call(topic("fail"), { code: "no_such_account", message: "there is none", details: { id: 7 } }), (err: unknown) => {
  assert.ok(err instanceof HandlerError);
  assert.deepEqual([err.code, err.reason, err.details], ["no_such_account", "there is none", { id: 7 }]);
  return true;
});
await assert.rejects(c.call(topic("calculate"), { a: "x", b: 1 }), (err: unknown) => err instanceof RejectedError && err.status === "invalid_payload" && err.authenticated);
await assert.rejects(c.call(topic("slow"), { ms: 60_000 }, { timeout: 300 }), TimeoutError);
// In less time than the brokers are given where they are away.
await assert.rejects(
  c.call(topic("nowhere"), {}, { timeout: 1000 }),
  (err: unknown) => err instanceof SendError && err.unsent && /topic nowhere\S* does not exist/.test(err.message),
);
// Deleted after it was used, so that what is known of it is old.
const admin = new Admin(baseOptions({ ...options, brokers: options.brokers.split(","), clientId: "test", tls: options.tls || undefined }));
const deleted = topic("deleted");
await admin.createTopics({ topics: [deleted], partitions: 1, replicas: 1 });
await assert.rejects(c.call(deleted, {}, { timeout: 500 }), (err: unknown) => err instanceof TimeoutError && err.acknowledged);
await admin.deleteTopics({ topics: [deleted] });
await admin.close();
for (const unsent of [false, true]) {
  await assert.rejects(c.call(deleted, {}, { timeout: 5000 }), (err: unknown) => err instanceof SendError && err.unsent === unsent && /topic deleted\S* does not exist/.test(err.message));
}
await assert.rejects(c.call(topic("exit"), { code: 7 }), (err: unknown) => err instanceof RejectedError && err.status === "plugin_crashed");
assert.equal(await c.call(topic("echo"), "after the crash"), "after the crash");

// With another key: the host cannot read the request, and says so unsealed.
const stranger = await connect({ ...options, key: generateKey() });
await assert.rejects(stranger.call(topic("echo"), 1), (err: unknown) => err instanceof RejectedError && err.status === "undecryptable" && !err.authenticated);
await stranger.close();

await assert.rejects(connect({ ...options, sasl: { ...options.sasl, password: "wrong" } }), /hangs up on a wrong username or password/);
await assert.rejects(connect({ ...options, replyTopic: "no-such-topic" }), /no-such-topic.*`rrhost run` creates it/);

const { pending, forged } = c.stats();
assert.deepEqual({ pending, forged }, { pending: 0, forged: 0 });
await c.close();
console.log("ok");
