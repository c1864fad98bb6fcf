// The plugin that `rrhost plugin test` tries the cases of behaviour on: the same
// handlers in each SDK.
import { setTimeout as sleep } from "node:timers/promises";
import { HandlerError, handle, handleRaw, onConfigure, serve } from "rrhost/plugin";
import { z } from "zod";

let settings: object = {};

onConfigure((given) => {
  settings = given;
}, z.looseObject({ greeting: z.string().optional() }));

serve(
  handleRaw("echo", (payload) => payload),

  handle("info", (_: unknown, ctx) => ({
    request_id: ctx.requestId,
    topic: ctx.topic,
    handler: ctx.handler,
    attempt: ctx.attempt,
    redelivered: ctx.redelivered,
    remaining_ms: ctx.deadline.getTime() - Date.now(),
    traceparent: ctx.traceparent,
  })),

  handle("fail", ({ code, message, details }: { code: string; message: string; details?: unknown }) => {
    throw new HandlerError(code, message, details);
  }),

  handle("panic", ({ text }: { text: string }) => {
    throw new Error(`secret-${text}`);
  }),

  handle("slow", async ({ ms }: { ms: number }, ctx) => {
    const began = performance.now();
    try {
      await sleep(ms, undefined, { signal: ctx.signal });
    } catch (err) {
      if (ctx.signal.aborted) ctx.logger.info("slow was cancelled");
      throw err;
    }
    return { slept_ms: Math.round(performance.now() - began) };
  }),

  handle("chatty", ({ lines, size }: { lines: number; size: number }, ctx) => {
    const line = "x".repeat(size);
    for (let i = 0; i < lines; i++) {
      console.log(line);
      process.stderr.write(`${line}\n`);
      ctx.logger.info(line);
    }
    return { lines };
  }),

  handle("huge", ({ bytes }: { bytes: number }) => "x".repeat(bytes)),

  handle("typed", (input) => input, { request: z.object({ name: z.string().default(""), count: z.int().default(0) }) }),

  handle("settings", () => settings),

  handle("exit", ({ code }: { code: number }) => process.exit(code)),
);
