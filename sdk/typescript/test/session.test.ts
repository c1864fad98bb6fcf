import assert from "node:assert/strict";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { inspect } from "node:util";
import { z } from "zod";
import { type Context, type Handler, HandlerError, handle, handleRaw } from "#dist/plugin/index.js";
import { JSONLogger } from "#dist/plugin/log.js";
import type { Request, Result, ResultFrame } from "#dist/plugin/proto/handler.js";
import { Session, fitting } from "#dist/plugin/session.js";

/** A session whose host is the test. */
class World {
  readonly frames: ResultFrame[] = [];
  readonly log: string[] = [];
  readonly session: Session;
  ended = false;
  ready = true; // whether the sink takes more
  private number = 0n;
  private seen = 0;
  private arrived = () => {};

  constructor(handlers: Handler[], maxReply = 1000) {
    this.session = new Session(
      {
        write: (frame) => {
          this.frames.push(frame);
          this.arrived();
          return this.ready;
        },
        end: () => (this.ended = true),
      },
      new Map(handlers.map((h) => [h.name, h])),
      maxReply,
      new JSONLogger((line) => this.log.push(line)),
    );
  }

  request(handler: string, payload: unknown, change: Partial<Request> = {}): Request {
    return {
      number: ++this.number,
      handler,
      payload: Buffer.from(typeof payload === "string" ? payload : JSON.stringify(payload)),
      timeoutUs: 60_000_000n,
      requestId: "id",
      topic: "topic",
      attempt: 1,
      redelivered: false,
      traceparent: "",
      tracestate: "",
      ...change,
    };
  }

  /** The results of n more requests, in any number of frames. */
  async results(n: number): Promise<Result[]> {
    for (;;) {
      const all = this.frames.flatMap((f) => f.results);
      if (all.length >= this.seen + n) {
        this.seen += n;
        return all.slice(this.seen - n, this.seen);
      }
      await new Promise<void>((resolve) => (this.arrived = resolve));
    }
  }

  async ask(handler: string, payload: unknown, change: Partial<Request> = {}): Promise<Result> {
    const request = this.request(handler, payload, change);
    this.session.take({ requests: [request], cancels: [] });
    const [result] = await this.results(1);
    assert.equal(result!.number, request.number);
    return result!;
  }
}

const text = (r: Result) => Buffer.from(r.payload).toString();

test("a handler's value is answered", async () => {
  let seen: Context | undefined;
  const w = new World([
    handle("sum", async ({ a, b }: { a: number; b: number }, ctx) => {
      seen = ctx;
      return { result: a + b };
    }),
    handle("void", () => {}),
    handleRaw("raw", (payload) => payload),
  ]);
  const before = Date.now();
  const result = await w.ask("sum", { a: 10, b: 5 }, { attempt: 2, redelivered: true, traceparent: "p", tracestate: "s", timeoutUs: 5_000_000n });
  assert.equal(text(result), '{"result":15}');
  assert.equal(result.error, undefined);
  const { requestId, topic, handler, attempt, redelivered, traceparent, tracestate, deadline } = seen!;
  assert.deepEqual(
    { requestId, topic, handler, attempt, redelivered, traceparent, tracestate },
    { requestId: "id", topic: "topic", handler: "sum", attempt: 2, redelivered: true, traceparent: "p", tracestate: "s" },
  );
  assert.ok(deadline.getTime() >= before + 4999 && deadline.getTime() <= Date.now() + 5001);
  assert.equal(text(await w.ask("void", "null")), "null");
  assert.equal(text(await w.ask("raw", "no JSON")), "no JSON");
});

test("faults say whose they are, and quote nothing", async () => {
  const secret = "s3cr3t";
  const w = new World([
    handle("fail", () => {
      throw new HandlerError("no_such_account", "there is none", { id: 7 });
    }),
    handle("codeless", () => Promise.reject(new HandlerError("", "m"))),
    handle("untyped", () => Promise.reject(new HandlerError(undefined as never, undefined as never))),
    handle("throws", (input: string) => {
      throw new TypeError(`cannot use ${input}\n    at ${secret} (x.js:1:1)`);
    }),
    handle("rejects", async () => Promise.reject(secret)),
    handle("big", () => 10n),
    handle("toJSON", () => ({ toJSON: () => assert.fail(secret) })),
    handle("function", () => () => {}),
    handleRaw("text", () => secret as unknown as Uint8Array),
    handle("long", () => "x".repeat(999)),
    handle("details", () => {
      throw new HandlerError("c", "m", "x".repeat(2000));
    }),
    handle("noJSON", () => {
      throw new HandlerError("c", "m", 1n);
    }),
    handle("wordy", () => {
      throw new HandlerError("c".repeat(200), "ü".repeat(5000));
    }),
    handle("input", (input) => input),
  ]);
  const want: [handler: string, payload: string, status: string, code: string, message: RegExp][] = [
    ["fail", "1", "handler_error", "no_such_account", /^there is none$/],
    ["codeless", "1", "handler_error", "error", /^m$/],
    ["untyped", "1", "handler_error", "error", /^$/],
    ["throws", `"${secret}"`, "handler_error", "panic", /^the handler panicked$/],
    ["rejects", "1", "handler_error", "panic", /^the handler panicked$/],
    ["big", "1", "handler_error", "invalid_result", /no JSON form/],
    ["toJSON", "1", "handler_error", "invalid_result", /no JSON form/],
    ["function", "1", "handler_error", "invalid_result", /no JSON form/],
    ["text", "1", "handler_error", "invalid_result", /not bytes/],
    ["long", "1", "reply_too_large", "reply_too_large", /^the reply has 1001 bytes, and 1000 are allowed$/],
    ["details", "1", "reply_too_large", "reply_too_large", /2004 bytes/],
    ["noJSON", "1", "handler_error", "c", /^m$/],
    ["wordy", "1", "handler_error", "c".repeat(128), /^ü{4096}$/],
    ["input", "", "invalid_payload", "invalid_payload", /empty/],
    ["input", `{"${secret}`, "invalid_payload", "invalid_payload", /not JSON/],
    ["nowhere", "1", "no_handler", "no_handler", /no handler "nowhere"; there is: fail, codeless, /],
  ];
  for (const [handler, payload, status, code, message] of want) {
    const { error } = await w.ask(handler, payload);
    assert.deepEqual([error?.status, error?.code], [status, code], handler);
    assert.match(error!.message, message);
  }
  assert.equal(Buffer.from(w.frames[0]!.results[0]!.error!.details).toString(), '{"id":7}');
  const log = w.log.join("");
  assert.match(log, /"thrown":"TypeError".*session\.test\.js/);
  assert.match(log, /"thrown":"string"/);
  assert.ok(!inspect(w.frames, { depth: null }).includes(secret) && !log.includes(secret), log);
});

test("a schema is described, and one that can check does", async () => {
  const Sum = z.object({ a: z.number(), inner: z.object({ b: z.string() }).optional() });
  const checked = handle("checked", (input) => input.a + 1, { request: Sum });
  const told = handle("told", (input) => input, { request: { type: "object" }, response: { type: "object" } });
  assert.ok(checked.checksPayload && !told.checksPayload);
  assert.equal(JSON.parse(Buffer.from(checked.requestSchema).toString()).properties.a.type, "number");
  assert.equal(Buffer.from(told.requestSchema).toString(), '{"type":"object"}');
  assert.equal(Buffer.from(told.responseSchema).toString(), '{"type":"object"}');
  const w = new World([checked]);
  assert.equal(text(await w.ask("checked", { a: 1 })), "2");
  const { error } = await w.ask("checked", { a: "s3cr3t", inner: { b: 7 } });
  assert.deepEqual([error?.status, error?.message], ["invalid_payload", 'field "a" does not fit; field "inner.b" does not fit']);
  assert.equal((await w.ask("checked", "[]")).error?.message, "the payload does not fit");
});

test("the signal fires at the deadline, and on a cancel", async () => {
  const reasons: string[] = [];
  const w = new World([
    handle("wait", async (_: unknown, ctx) => {
      ctx.signal.addEventListener("abort", () => reasons.push(ctx.signal.reason.name));
      await sleep(60_000, undefined, { signal: ctx.signal });
    }),
    handle("late", async (ms: number, ctx) => {
      await sleep(ms);
      ctx.signal.throwIfAborted();
    }),
    handle("own", async (_: unknown, ctx) => {
      ctx.signal.addEventListener("abort", () => {});
      await sleep(10);
      throw new HandlerError("own", "after the deadline too");
    }),
  ]);
  const began = performance.now();
  assert.equal((await w.ask("wait", "1", { timeoutUs: 5900n })).error?.status, "deadline_exceeded");
  assert.ok(performance.now() - began >= 5.9);
  const request = w.request("wait", "1");
  w.session.take({ requests: [request], cancels: [] });
  w.session.take({ requests: [], cancels: [2n ** 64n - 1n, request.number] });
  assert.equal((await w.results(1))[0]!.error?.status, "deadline_exceeded");
  assert.deepEqual(reasons, ["TimeoutError", "AbortError"]);
  // Asked for only when it has long passed.
  const late = w.request("late", "20");
  w.session.take({ requests: [late], cancels: [late.number] });
  assert.equal((await w.results(1))[0]!.error?.status, "deadline_exceeded");
  assert.equal((await w.ask("own", "1", { timeoutUs: 1n })).error?.code, "own");
  assert.equal(w.log.length, 0);
});

test("what is done in one turn goes as one frame, and frames are bounded", async () => {
  const w = new World([handleRaw("echo", (p) => p)], 1 << 20);
  w.session.take({ requests: Array.from({ length: 100 }, () => w.request("echo", "1")), cancels: [] });
  assert.equal((await w.results(100)).length, 100);
  assert.equal(w.frames.length, 1);
  w.session.take({ requests: Array.from({ length: 300 }, () => w.request("echo", "1")), cancels: [] });
  await w.results(300);
  assert.deepEqual(w.frames.slice(1).map((f) => f.results.length), [256, 44]);

  const results = (...sizes: number[]) => sizes.map((n) => ({ payload: new Uint8Array(n) }) as Result);
  assert.equal(fitting(results(10)), 1);
  assert.equal(fitting(results(10, 20, 30)), 3);
  assert.equal(fitting(results(1_000_000, 10)), 1);
  assert.equal(fitting(results(10, 1_000_000)), 1);
  assert.equal(fitting(results(200_000, 50_000, 50_000)), 2);
});

test("a sink that is full gets no more until it drains", async () => {
  const w = new World([handleRaw("echo", (p) => p)]);
  w.ready = false;
  await w.ask("echo", "1");
  w.session.take({ requests: [w.request("echo", "2")], cancels: [] });
  w.session.close();
  await turn();
  await turn();
  assert.equal(w.frames.length, 1);
  assert.ok(!w.ended);
  w.ready = true;
  w.session.resume();
  assert.equal(text((await w.results(1))[0]!), "2");
  await w.session.done;
  assert.ok(w.ended);
});

test("a goodbye finishes what runs and takes nothing more", async () => {
  let open = () => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  const w = new World([handle("wait", () => gate), handleRaw("echo", (p) => p)]);
  const running = w.request("wait", "1");
  w.session.take({ requests: [running], cancels: [] });
  w.session.leave();
  w.session.leave();
  w.session.take({ requests: [w.request("echo", "late")], cancels: [] });
  await turn();
  await turn();
  assert.deepEqual(w.frames, [{ results: [], goodbye: { last: running.number } }]);
  assert.ok(!w.ended);
  open();
  assert.equal((await w.results(1))[0]!.number, running.number);
  await w.session.done;
  assert.ok(w.ended);
});

test("a host that is gone ends what runs", async () => {
  let ended: unknown;
  const w = new World([
    handle("wait", async (_: unknown, ctx) => {
      await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
      ended = ctx.signal.reason;
    }),
  ]);
  w.session.take({ requests: [w.request("wait", "1")], cancels: [] });
  w.session.abort();
  await w.session.done;
  await turn();
  assert.ok(ended instanceof DOMException);
  assert.deepEqual(w.frames, []);
  assert.ok(!w.ended);
});

test("what cannot be served is refused at the start", () => {
  assert.throws(() => handle("", () => 1), /1 to 128 bytes/);
  assert.throws(() => handle("a b", () => 1), /white space/);
  assert.throws(() => handle("a\u0000", () => 1), /control/);
  assert.throws(() => handle("ü".repeat(65), () => 1), /130/);
  assert.throws(() => handle("a", undefined as never), /no function/);
  assert.throws(() => handleRaw("a", undefined as never), /no function/);
  assert.equal(handle("grün.✓", () => 1).name, "grün.✓");
});
