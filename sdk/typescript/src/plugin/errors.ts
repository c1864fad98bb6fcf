import type { Logger } from "./log.js";

/**
 * What a handler throws to refuse a request. The requester gets code, message
 * and details; no log does.
 *
 * Anything else that a handler throws is a mistake in it: the requester hears
 * `handler_error` with the code `panic`, and none of the exception's text, which
 * may quote what is nobody's business. The log has the stack.
 */
export class HandlerError extends Error {
  override readonly name: string = "HandlerError";

  /**
   * @param code for programs, such as `no_such_account`; at most 128 bytes, `error` if empty
   * @param message for people; at most 8 KiB, the rest is cut
   * @param details anything with a JSON form
   */
  constructor(
    readonly code: string,
    message: string,
    readonly details?: unknown,
  ) {
    super(message);
  }
}

/** Why a request has no response, as it stands on the stream. */
export interface Fault {
  status: "handler_error" | "invalid_payload" | "deadline_exceeded" | "no_handler" | "reply_too_large";
  code: string;
  message: string;
  /** JSON. */
  details?: Uint8Array;
}

/** A payload that does not fit. The text names fields and quotes nothing. */
export class PayloadError extends Error {}

/** A result without a JSON form. */
export class ResultError extends Error {}

// What is longer is cut: most of a message serves its reader better than none.
const maxCode = 128;
const maxMessage = 8 << 10;

/**
 * Decides whose fault an exception is.
 *
 * @param ended that the request's signal has fired
 * @param maxReply in bytes; 0 for no limit
 */
export function faultOf(err: unknown, ended: AbortSignal | undefined, maxReply: number, logger: Logger): Fault {
  if (err instanceof PayloadError) return { status: "invalid_payload", code: "invalid_payload", message: cut(err.message, maxMessage) };
  if (endedBy(ended, err)) {
    return { status: "deadline_exceeded", code: "deadline_exceeded", message: "the deadline passed while the handler ran" };
  }
  if (err instanceof ResultError) return { status: "handler_error", code: "invalid_result", message: err.message };
  if (err instanceof HandlerError) return authorsFault(err, maxReply);
  logger.error("handler panicked", describeThrown(err));
  return { status: "handler_error", code: "panic", message: "the handler panicked" };
}

/** Whether err says that the request is over: then that is the reason, whatever the handler was doing. */
function endedBy(signal: AbortSignal | undefined, err: unknown): boolean {
  if (!signal?.aborted) return false;
  if (err === signal.reason) return true;
  return err instanceof Error && (err.cause === signal.reason || err.name === "AbortError" || err.name === "TimeoutError");
}

function authorsFault(err: HandlerError, maxReply: number): Fault {
  const fault: Fault = {
    status: "handler_error",
    code: cut(String(err.code ?? ""), maxCode) || "error",
    message: cut(String(err.message ?? ""), maxMessage),
  };
  if (err.details === undefined) return fault;
  const details = Buffer.from(jsonOf(err.details) ?? '"the details have no JSON form"');
  const size = details.length + Buffer.byteLength(fault.message) + Buffer.byteLength(fault.code);
  if (maxReply > 0 && size > maxReply) return tooLarge(size, maxReply);
  fault.details = details;
  return fault;
}

export function tooLarge(size: number, limit: number): Fault {
  return {
    status: "reply_too_large",
    code: "reply_too_large",
    message: `the reply has ${size} bytes, and ${limit} are allowed`,
  };
}

export function noHandler(name: string, have: string[]): Fault {
  return {
    status: "no_handler",
    code: "no_handler",
    message: `no handler ${JSON.stringify(cut(name, maxCode))}; there is: ${have.join(", ")}`,
  };
}

/** The JSON of a value, undefined if it has none. What its toJSON throws may quote anything: it is not passed on. */
export function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

/**
 * What a log may know of an exception: the name of its class and where it came
 * from. Not its text, which may quote a payload.
 */
export function describeThrown(err: unknown): { thrown: string; stack: string } {
  if (!(err instanceof Error)) return { thrown: typeof err, stack: "" };
  return { thrown: err.constructor?.name ?? "Error", stack: framesOf(err) };
}

const frame = /^\s+at .*(:\d+:\d+\)?|\((native|<anonymous>)\)|<anonymous>|native)$/;

/** The lines of the stack that are places in code: after the text, which may have lines that look like some. */
function framesOf(err: Error): string {
  let stack = String(err.stack ?? "");
  const message = String(err.message);
  const at = message === "" ? -1 : stack.lastIndexOf(message);
  if (at >= 0) stack = stack.slice(at + message.length);
  return stack
    .split("\n")
    .filter((line) => frame.test(line))
    .join("\n");
}

/** Shortens text to at most n bytes of UTF-8, between characters. */
export function cut(text: string, n: number): string {
  if (text.length * 3 <= n) return text;
  const bytes = Buffer.from(text);
  if (bytes.length <= n) return text;
  while (n > 0 && (bytes[n]! & 0xc0) === 0x80) n--;
  return bytes.toString("utf8", 0, n);
}
