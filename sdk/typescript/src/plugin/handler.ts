import type { Context, RequestContext } from "./context.js";
import { type Fault, PayloadError, ResultError, cut, faultOf, jsonOf, tooLarge } from "./errors.js";
import { type JSONSchema, type OutputOf, type StandardSchema, checked, describeSchema, isStandard } from "./schema.js";

/** A named function of a plugin: what {@link handle} or {@link handleRaw} made. */
export interface Handler {
  /** What a topic's configuration refers to. */
  readonly name: string;
  /** JSON Schemas, as Describe tells them; empty if unknown. */
  readonly requestSchema: Uint8Array;
  readonly responseSchema: Uint8Array;
  /** The SDK refuses what does not fit the request's schema; else the host does. */
  readonly checksPayload: boolean;
  /** @internal */
  readonly call: (payload: Uint8Array, context: Context) => Uint8Array | Promise<Uint8Array>;
}

/** What a handler takes and returns, for the host and for people. */
export interface HandlerOptions {
  /** JSON Schema of the input, which the host checks. */
  request?: JSONSchema;
  /** JSON Schema of the output; not checked. */
  response?: JSONSchema;
}

/** {@link HandlerOptions} with a schema that the SDK checks. */
export interface CheckedHandlerOptions<S extends StandardSchema> {
  request: S;
  response?: JSONSchema | StandardSchema;
}

/** A result, or a promise of one. */
export type Awaitable<T> = T | Promise<T>;

/**
 * Makes a handler from a function over values: it gets the request's JSON parsed,
 * and its result is sent as JSON (undefined as null). Requests run beside each
 * other as promises do; what computes for long keeps all others waiting.
 *
 * TypeScript's types are gone when the program runs, so `Input` is a promise of
 * the requester's, unless `request` says in a schema what fits.
 *
 * @param name 1 to 128 bytes, without white space
 * @throws TypeError if name or fn cannot be served
 */
export function handle<S extends StandardSchema, Output>(
  name: string,
  fn: (input: OutputOf<S>, context: Context) => Awaitable<Output>,
  options: CheckedHandlerOptions<S>,
): Handler;
export function handle<Input, Output>(
  name: string,
  fn: (input: Input, context: Context) => Awaitable<Output>,
  options?: HandlerOptions,
): Handler;
export function handle(
  name: string,
  fn: (input: never, context: Context) => unknown,
  options: { request?: JSONSchema | StandardSchema; response?: JSONSchema | StandardSchema } = {},
): Handler {
  mustBeUsable(name, fn);
  const { request, response } = options;
  const schema = isStandard(request) ? request : undefined;
  return {
    name,
    requestSchema: describeSchema(request),
    responseSchema: describeSchema(response),
    checksPayload: schema !== undefined,
    async call(payload, context) {
      const value = parse(payload);
      return encode(await fn((schema ? await checked(schema, value, "payload") : value) as never, context));
    },
  };
}

/**
 * Makes a handler from a function over the payload's bytes. It must not change
 * them, but may return them. That the result is JSON is the author's promise.
 *
 * @throws TypeError as {@link handle}
 */
export function handleRaw(
  name: string,
  fn: (payload: Uint8Array, context: Context) => Awaitable<Uint8Array>,
  options: HandlerOptions = {},
): Handler {
  mustBeUsable(name, fn);
  return {
    name,
    requestSchema: describeSchema(options.request),
    responseSchema: describeSchema(options.response),
    checksPayload: false,
    async call(payload, context) {
      const result = await fn(payload, context);
      if (!(result instanceof Uint8Array)) throw new ResultError("the result is not bytes");
      return result;
    },
  };
}

/** The outcome of one request. */
export type Outcome = { payload: Uint8Array; fault?: undefined } | { payload?: undefined; fault: Fault };

/**
 * Takes one request through a handler. It never rejects: what goes wrong in the
 * handler is a fault.
 *
 * @param maxReply the largest response, in bytes; 0 for no limit
 */
export async function run(handler: Handler, payload: Uint8Array, context: RequestContext, maxReply: number): Promise<Outcome> {
  try {
    const reply = await handler.call(payload, context);
    if (maxReply > 0 && reply.length > maxReply) return { fault: tooLarge(reply.length, maxReply) };
    return { payload: reply };
  } catch (err) {
    return { fault: faultOf(err, context.askedSignal, maxReply, context.logger) };
  } finally {
    context.finish();
  }
}

function parse(payload: Uint8Array): unknown {
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString();
  if (text.trim() === "") throw new PayloadError("the payload is empty; JSON is wanted");
  try {
    return JSON.parse(text);
  } catch {
    throw new PayloadError("the payload is not JSON"); // the parser's own text quotes it
  }
}

function encode(result: unknown): Uint8Array {
  const text = result === undefined ? "null" : jsonOf(result);
  if (text === undefined) throw new ResultError("the result has no JSON form");
  return Buffer.from(text);
}

function mustBeUsable(name: string, fn: unknown): void {
  if (typeof fn !== "function") throw new TypeError(`handler ${JSON.stringify(name)} has no function`);
  const bytes = Buffer.byteLength(name);
  if (bytes < 1 || bytes > 128) throw new TypeError(`a handler's name has 1 to 128 bytes, not ${bytes}`);
  if (/[\s\p{C}\uFFFD]/u.test(name)) {
    throw new TypeError(`a handler's name has no white space or control characters: ${JSON.stringify(cut(name, 128))}`);
  }
}

