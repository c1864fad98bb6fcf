import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { describeThrown } from "#dist/plugin/errors.js";
import { JSONLogger } from "#dist/plugin/log.js";
import { sdkVersion } from "#dist/plugin/index.js";

function logged(log: (logger: JSONLogger) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  log(new JSONLogger((line) => lines.push(line)));
  return lines.map((line) => {
    assert.ok(line.endsWith("\n") && line.indexOf("\n") === line.length - 1);
    return JSON.parse(line);
  });
}

test("a record is hclog's", () => {
  const [record] = logged((l) => l.with({ request_id: "id" }).warn("line\nbreak", { n: 7, "@level": "forged", err: new Error("why") }));
  const { "@timestamp": time, ...rest } = record!;
  assert.deepEqual(rest, { "@level": "warn", "@message": "line\nbreak", request_id: "id", n: 7, err: "Error: why" });
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
});

test("no value and no length spoils a record", () => {
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  const records = logged((l) => {
    l.info("circle", { circle });
    l.info("big", { big: 1n });
    l.error("long", { text: "x".repeat(100_000) });
    l.error("ü".repeat(100_000));
  });
  assert.deepEqual(records.map((r) => r["@level"]), ["info", "info", "error", "error"]);
  assert.equal(records[1]!.big, "1n");
  assert.equal(records[2]!["@message"], "long");
  for (const r of records) assert.ok(Buffer.byteLength(JSON.stringify(r)) < 64 << 10);
});

test("of an exception the log gets its place and not its text", () => {
  class Own extends Error {}
  const secret = "s3cr3t";
  for (const err of [new Own(secret), new Error(`${secret}\n    at ${secret} (a.js:1:1)`), new Error(""), Object.assign(new Error("x"), { message: secret })]) {
    const { thrown, stack } = describeThrown(err);
    assert.match(stack, /log\.test\.js:\d+:\d+/);
    assert.ok(!stack.includes(secret), stack);
    assert.equal(thrown, err.constructor.name);
  }
  assert.deepEqual(describeThrown(secret), { thrown: "string", stack: "" });
  assert.deepEqual(describeThrown(Object.assign(new Error("x"), { stack: undefined })), { thrown: "Error", stack: "" });
});

test("the version is the package's", () => {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  assert.equal(sdkVersion, JSON.parse(manifest).version);
});
