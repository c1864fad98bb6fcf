// The conformance plugin as a process, with the test for its host.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type ClientDuplexStream, Metadata, credentials, status } from "@grpc/grpc-js";
import { GRPCControllerClient, GRPCStdioClient } from "#dist/plugin/proto/goplugin.js";
import { HandlerClient, type RequestFrame, type Result, type ResultFrame } from "#dist/plugin/proto/handler.js";
import { HealthCheckResponse_ServingStatus as Serving, HealthClient } from "#dist/plugin/proto/health.js";

const conformance = fileURLToPath(new URL("../../conformance/main.mjs", import.meta.url));
const breaks = fileURLToPath(new URL("breaks.js", import.meta.url));
const handshake = { RRHOST_PLUGIN: "handler/1", PLUGIN_PROTOCOL_VERSIONS: "1" };

/** A plugin's process, and the host's side of it. */
class Plugin {
  readonly child: ChildProcess;
  readonly stderr: string[] = [];
  readonly exited: Promise<unknown[]>;
  handler!: HandlerClient;
  address = "";
  line = "";

  constructor(t: TestContext, env: Record<string, string> = {}, plugin = conformance) {
    const sockets = mkdtempSync(join(tmpdir(), "rr-"));
    this.child = spawn(process.execPath, [plugin], {
      cwd: dirname(plugin),
      env: { PATH: process.env.PATH, ...handshake, PLUGIN_UNIX_SOCKET_DIR: sockets, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.exited = once(this.child, "exit");
    createInterface(this.child.stderr!).on("line", (line) => this.stderr.push(line));
    t.after(async () => {
      this.handler?.close();
      this.child.kill("SIGKILL");
      await this.exited;
      rmSync(sockets, { recursive: true });
    });
  }

  async start(): Promise<this> {
    const lines = createInterface(this.child.stdout!);
    [this.line] = (await Promise.race([once(lines, "line"), this.exited.then(() => assert.fail(this.stderr.join("\n")))])) as [string];
    lines.on("line", (line) => assert.fail(`on stdout after the handshake: ${line}`));
    this.address = `unix:${this.line.split("|")[3]}`;
    this.handler = new HandlerClient(this.address, credentials.createInsecure());
    return this;
  }

  client<T>(Kind: new (address: string, creds: ReturnType<typeof credentials.createInsecure>) => T & { close(): void }, t: TestContext): T {
    const client = new Kind(this.address, credentials.createInsecure());
    t.after(() => client.close());
    return client;
  }

  records(): Record<string, unknown>[] {
    return this.stderr.filter((l) => l.startsWith("{")).map((l) => JSON.parse(l));
  }
}

/** The host's end of the stream. */
class Stream {
  readonly ended: Promise<unknown>;
  goodbye: ResultFrame["goodbye"];
  private readonly call: ClientDuplexStream<RequestFrame, ResultFrame>;
  private readonly waiting = new Map<bigint, (r: Result) => void>();
  private number = 0n;

  constructor(handler: HandlerClient, metadata = new Metadata()) {
    this.call = handler.handle(metadata);
    this.ended = new Promise((resolve) => this.call.on("end", () => resolve(undefined)).on("error", resolve));
    this.call.on("data", ({ results, goodbye }: ResultFrame) => {
      this.goodbye ??= goodbye;
      for (const r of results) {
        const done = this.waiting.get(r.number);
        assert.ok(done, `a result of the unknown number ${r.number}`);
        this.waiting.delete(r.number);
        done(r);
      }
    });
  }

  ask(handler: string, payload: unknown, timeoutMs = 60_000): { number: bigint; result: Promise<Result> } {
    const number = ++this.number;
    const result = new Promise<Result>((resolve) => this.waiting.set(number, resolve));
    this.call.write({
      requests: [
        {
          number,
          handler,
          payload: Buffer.from(JSON.stringify(payload)),
          timeoutUs: BigInt(timeoutMs) * 1000n,
          requestId: `id-${number}`,
          topic: "topic",
          attempt: 1,
          redelivered: false,
          traceparent: "",
          tracestate: "",
        },
      ],
      cancels: [],
    });
    return { number, result };
  }

  cancel(number: bigint): void {
    this.call.write({ requests: [], cancels: [number, 2n ** 64n - 1n] }); // the second one is nobody's
  }

  close(): void {
    this.call.end();
  }
}

const json = (r: Result) => JSON.parse(Buffer.from(r.payload).toString());

const unary = <Request, Response>(
  call: (request: Request, metadata: Metadata, done: (err: { code: number; details: string } | null, response: Response) => void) => unknown,
  request: Request,
  metadata = new Metadata(),
): Promise<Response> => new Promise((resolve, reject) => call(request, metadata, (err, response) => (err ? reject(err) : resolve(response))));

const configure = (p: Plugin, settings: unknown) =>
  unary(p.handler.configure.bind(p.handler) as never, { settings: Buffer.from(JSON.stringify(settings)), maxReply: 100_000 });

async function until(met: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !met(); ) {
    assert.ok(Date.now() < end, `not met: ${met}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("a life: handshake, health, Describe, Configure, requests, Shutdown", async (t) => {
  const p = await new Plugin(t).start();
  assert.match(p.line, /^1\|1\|unix\|\/[^|]+\|grpc\|$/);
  const health = p.client(HealthClient, t);
  assert.deepEqual(await unary(health.check.bind(health) as never, { service: "plugin" }), { status: Serving.SERVING });
  await assert.rejects(unary(health.check.bind(health) as never, { service: "other" }), { code: status.NOT_FOUND });

  const about = (await unary(p.handler.describe.bind(p.handler) as never, {})) as { sdk: string; name: string; handlers: { name: string }[]; configSchema: Uint8Array };
  assert.match(about.sdk, process.versions.bun ? /^typescript 1\.0\.0 \(bun / : /^typescript 1\.0\.0 \(node /);
  assert.equal(about.name, "conformance");
  assert.ok(about.handlers.some((h) => h.name === "echo"));
  assert.equal(JSON.parse(Buffer.from(about.configSchema).toString()).properties.greeting.type, "string");
  await assert.rejects(configure(p, { greeting: 7 }), { code: status.INVALID_ARGUMENT, details: 'field "greeting" does not fit' });
  await configure(p, { greeting: "hello" });

  const stdio = p.client(GRPCStdioClient, t);
  const held = stdio.streamStdio({});
  let over = false;
  held.on("end", () => (over = true)).on("data", () => {}).on("error", () => {});

  const s = new Stream(p.handler);
  const second = new Stream(p.handler);
  assert.equal(((await second.ended) as { code: number }).code, status.FAILED_PRECONDITION);
  const all = await Promise.all(Array.from({ length: 500 }, (_, i) => s.ask("echo", { i }).result));
  assert.deepEqual(all.map(json), Array.from({ length: 500 }, (_, i) => ({ i })));
  assert.deepEqual(json(await s.ask("settings", null).result), { greeting: "hello" });
  assert.deepEqual(json(await s.ask("typed", { name: "n", count: 3 }).result), { name: "n", count: 3 });
  const misfit = (await s.ask("typed", { count: "x" }).result).error!;
  assert.deepEqual([misfit.status, misfit.message], ["invalid_payload", 'field "count" does not fit']);
  assert.equal((await s.ask("huge", { bytes: 99_998 }).result).payload.length, 100_000);
  assert.equal((await s.ask("huge", { bytes: 99_999 }).result).error?.status, "reply_too_large");

  const thrown = (await s.ask("panic", { text: "s3cr3t" }).result).error!;
  assert.deepEqual([thrown.status, thrown.code], ["handler_error", "panic"]);
  const { number, result } = s.ask("slow", { ms: 60_000 });
  s.cancel(number);
  assert.equal((await result).error?.status, "deadline_exceeded");
  assert.deepEqual(json(await s.ask("chatty", { lines: 50, size: 200 }).result), { lines: 50 });
  p.child.kill("SIGINT"); // of the terminal's group: not for the plugin
  assert.deepEqual(json(await s.ask("echo", 1).result), 1);
  assert.ok(!over);

  const controller = p.client(GRPCControllerClient, t);
  await unary(controller.shutdown.bind(controller) as never, {});
  assert.deepEqual(await p.exited, [0, null]);
  const records = p.records();
  assert.ok(records.some((r) => r["@message"] === "slow was cancelled" && r["@level"] === "info" && r.request_id === `id-${number}`));
  assert.equal(records.filter((r) => r["@message"] === "x".repeat(200)).length, 100);
  assert.equal(p.stderr.filter((l) => l === "x".repeat(200)).length, 50);
  assert.ok(!p.stderr.some((l) => l.includes("s3cr3t")));
});

test("SIGTERM: a goodbye, what runs is finished, exit 0", async (t) => {
  const p = await new Plugin(t).start();
  await configure(p, {});
  const s = new Stream(p.handler);
  const running = s.ask("slow", { ms: 300 });
  await s.ask("echo", 1).result; // so the one before has begun
  p.child.kill("SIGTERM");
  await until(() => s.goodbye !== undefined);
  assert.deepEqual(s.goodbye, { last: 2n });
  assert.ok(json(await running.result).slept_ms >= 295);
  assert.equal(await s.ended, undefined);
  assert.deepEqual(await p.exited, [0, null]);
});

test("SIGTERM without a stream: exit 0 at once", async (t) => {
  const p = await new Plugin(t).start();
  p.child.kill("SIGTERM");
  assert.deepEqual(await p.exited, [0, null]);
});

test("the host closing its side: results, then the stream's end", async (t) => {
  const p = await new Plugin(t).start();
  await configure(p, {});
  const s = new Stream(p.handler);
  const running = s.ask("slow", { ms: 100 });
  s.close();
  assert.ok(json(await running.result).slept_ms >= 95);
  assert.equal(await s.ended, undefined);
});

test("the host's end ends the process", async (t) => {
  const p = await new Plugin(t).start();
  p.child.stdin!.end();
  assert.deepEqual(await p.exited, [1, null]);
});

test("a token, where there is one, is asked for at every call", async (t) => {
  const token = "0123456789abcdef";
  const p = await new Plugin(t, { RRHOST_TOKEN: token }, breaks).start();
  const health = p.client(HealthClient, t);
  const stdio = p.client(GRPCStdioClient, t);
  const check = health.check.bind(health) as never;
  for (const wrong of [[], ["x"], [`${token}0`], [token, token]]) {
    const metadata = new Metadata();
    for (const value of wrong) metadata.add("rrhost-token", value);
    await assert.rejects(unary(check, { service: "plugin" }, metadata), { code: status.UNAUTHENTICATED });
    await assert.rejects(unary(p.handler.describe.bind(p.handler) as never, {}, metadata), { code: status.UNAUTHENTICATED });
    assert.equal(((await new Stream(p.handler, metadata).ended) as { code: number }).code, status.UNAUTHENTICATED);
    const [err] = (await once(stdio.streamStdio({}, metadata).on("data", () => {}), "error")) as [{ code: number }];
    assert.equal(err.code, status.UNAUTHENTICATED);
  }
  const metadata = new Metadata();
  metadata.set("rrhost-token", token);
  assert.deepEqual(await unary(check, { service: "plugin" }, metadata), { status: Serving.SERVING });
  const s = new Stream(p.handler, metadata);
  assert.equal(json(await s.ask("token", null).result), "none"); // it is not handed on
  assert.ok(statSync(p.address.slice("unix:".length)).isSocket());
});

test("a handler that ends the process ends it", async (t) => {
  const p = await new Plugin(t).start();
  const s = new Stream(p.handler);
  void s.ask("exit", { code: 7 });
  assert.deepEqual(await p.exited, [7, null]);
});

test("an exception that nobody catches ends the process, and its text is not logged", async (t) => {
  for (const handler of ["throws", "rejects"]) {
    const p = await new Plugin(t, {}, breaks).start();
    await configure(p, {});
    await assert.rejects(configure(p, { a: 1 }), { details: "this plugin takes no configuration" });
    void new Stream(p.handler).ask(handler, 1);
    assert.deepEqual(await p.exited, [1, null]);
    await until(() => p.records().some((r) => r["@level"] === "error" && r.thrown === "RangeError" && /breaks\.js:\d+/.test(String(r.stack))));
    assert.ok(!p.stderr.join().includes("s3cr3t"));
  }
});

test("started by hand it explains itself", async (t) => {
  const p = new Plugin(t, { RRHOST_PLUGIN: "" });
  assert.deepEqual(await p.exited, [1, null]);
  await until(() => p.stderr.at(-1) === "Then: rrhost run");
  assert.match(p.stderr[0]!, /^conformance is a plugin for rrhost/);
  assert.ok(p.stderr.includes("  chatty"));
});

test("a host that wants TLS is told what to write", async (t) => {
  const p = new Plugin(t, { PLUGIN_CLIENT_CERT: "x" });
  assert.deepEqual(await p.exited, [1, null]);
  await until(() => p.stderr.some((l) => l.includes("tls = false")));
});
