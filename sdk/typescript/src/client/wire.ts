import { field } from "./envelope.js";

// What stands in Kafka, as docs/wire.md describes it: names, canonical forms and
// bounds. Nothing here has a key.

/** Bounds of a record's headers, strangers included. */
export const maxHeaders = 64;
export const maxHeaderBytes = 8 << 10;

/** The longest that a requester may wait, in milliseconds. */
export const maxTimeoutMs = 86_400_000;

/** The outcome of a request. */
export type Status =
  | "ok"
  | "handler_error"
  | "expired"
  | "deadline_exceeded"
  | "invalid_payload"
  | "plugin_unavailable"
  | "plugin_crashed"
  | "no_handler"
  | "undecryptable"
  | "malformed"
  | "reply_too_large";

/** Which replies have a sealed body, without which they are not to be believed. */
const sealedBody: Record<Status, boolean> = {
  ok: true,
  handler_error: true,
  expired: true,
  deadline_exceeded: true,
  invalid_payload: true,
  plugin_unavailable: true,
  plugin_crashed: true,
  no_handler: true,
  undecryptable: false,
  malformed: false,
  reply_too_large: true,
};

export const statuses = Object.keys(sealedBody) as Status[];

export const authenticated = (status: Status): boolean => sealedBody[status];

/** What decoding and encoding throw. The text names the header at fault and quotes no value. */
export class MalformedError extends Error {
  override readonly name = "MalformedError";

  constructor(text: string) {
    super(`malformed: ${text}`);
  }
}

/** A record's header as Kafka libraries have it. */
export type RawHeader = readonly [key: Uint8Array | null, value: Uint8Array | null];

/** What a requester asks of one topic. */
export interface WireRequest {
  topic: string;
  id: string;
  /** The Kafka key; undefined and empty differ. */
  key: Uint8Array | undefined;
  /** Where the requester listens. */
  replyTo: string;
  replyPartition: number;
  timeoutMs: number;
  /** Unix time in milliseconds. */
  sentMs: number;
  traceparent: string;
  tracestate: string;
}

/** The headers of a request, in the order in which they are written; then the caller's own. */
export function requestHeaders(r: WireRequest, extra: readonly (readonly [string, string])[] = []): [string, string][] {
  const headers: [string, string][] = [
    ["request_id", r.id],
    ["reply_to", r.replyTo],
    ["reply_partition", String(r.replyPartition)],
    ["timeout_ms", String(r.timeoutMs)],
    ["sent_ms", String(r.sentMs)],
  ];
  if (r.traceparent !== "") headers.push(["traceparent", r.traceparent]);
  if (r.tracestate !== "") headers.push(["tracestate", r.tracestate]);
  for (const [name, value] of extra) {
    if (isReserved(name)) throw new MalformedError(`header ${name} belongs to the protocol`);
    headers.push([name, value]);
  }
  if (!validID(r.id)) throw new MalformedError("request_id is not a UUID v4 in lower case");
  if (!validTopic(r.topic)) throw new MalformedError("the topic has another name than 1 to 249 of a-z, A-Z, 0-9, . _ and -");
  for (const [name, value] of [["traceparent", r.traceparent], ["tracestate", r.tracestate]] as const) {
    if (value !== "" && !validTrace(value)) throw new MalformedError(`${name} is not plain text, or too long`);
  }
  return headers;
}

/** How many bytes headers have, as their bound counts. */
export function headerBytes(headers: readonly (readonly [string, string])[]): number {
  return headers.reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0);
}

/** What the seal of a request's payload is bound to. */
export function aboutRequest(r: WireRequest): Buffer {
  return Buffer.concat([
    field("request"),
    field(r.topic),
    field(r.id),
    field(r.key),
    field(undefined), // op
    field(String(r.timeoutMs)),
    field(String(r.sentMs)),
    field(r.replyTo),
    field(String(r.replyPartition)),
  ]);
}

/** A reply as somebody wrote it: to be believed only once its payload has opened. */
export interface WireReply {
  id: string;
  topic: string;
  status: Status;
  attempt: number;
  durationMs: number;
  /** Name and version of what answered, or empty. */
  plugin: string;
  /** What the seal is bound to. */
  about: Buffer;
}

const replyNames = new Set(["request_id", "topic", "status", "attempt", "duration_ms", "plugin", "traceparent", "tracestate"]);

/** The request id of a record, without reading the rest of it; undefined if it has no canonical one. */
export function requestIDOf(headers: readonly RawHeader[]): string | undefined {
  for (const [key, value] of headers.slice(0, maxHeaders)) {
    if (key !== null && text(key) === "request_id") {
      const id = value === null ? "" : text(value);
      return validID(id) ? id : undefined;
    }
  }
  return undefined;
}

/**
 * Reads a record of the reply topic.
 *
 * @throws MalformedError
 */
export function decodeReply(key: Uint8Array | null, value: Uint8Array | null, headers: readonly RawHeader[]): WireReply {
  const found = collect(headers);
  const must = (name: string): string => {
    const it = found.get(name);
    if (it === undefined) throw new MalformedError(`${name} is missing`);
    return text(it);
  };
  const id = must("request_id");
  if (!validID(id)) throw new MalformedError("request_id is not a UUID v4 in lower case");
  const topic = must("topic");
  if (!validTopic(topic)) throw new MalformedError("topic is not the name of a topic");
  const status = must("status") as Status;
  if (!statuses.includes(status)) throw new MalformedError("status is unknown");
  if (!authenticated(status) && value !== null && value.length > 0) {
    throw new MalformedError("status goes with an empty value only");
  }
  const attempt = must("attempt");
  const duration = must("duration_ms");
  const plugin = found.get("plugin");
  if (plugin !== undefined && !validPlugin(plugin)) throw new MalformedError("plugin is not text, or too long");
  for (const name of ["traceparent", "tracestate"]) {
    const it = found.get(name);
    if (it !== undefined && !validTrace(text(it))) throw new MalformedError(`${name} is not plain text, or too long`);
  }
  return {
    id,
    topic,
    status,
    attempt: number("attempt", attempt),
    durationMs: number("duration_ms", duration),
    plugin: plugin ? Buffer.from(plugin).toString() : "",
    about: Buffer.concat([
      field("reply"),
      field(topic),
      field(id),
      field(key ?? undefined),
      field(status),
      field(attempt),
      field(duration),
      field(plugin),
    ]),
  };
}

/** The protocol's headers of a reply, each there once and not empty; strangers pass. */
function collect(headers: readonly RawHeader[]): Map<string, Uint8Array> {
  if (headers.length > maxHeaders) throw new MalformedError("headers are too many");
  const size = headers.reduce((sum, [key, value]) => sum + (key?.length ?? 0) + (value?.length ?? 0), 0);
  if (size > maxHeaderBytes) throw new MalformedError("headers are too large");
  const found = new Map<string, Uint8Array>();
  for (const [key, value] of headers) {
    const name = key === null ? "" : text(key);
    if (!replyNames.has(name)) continue;
    if (found.has(name)) throw new MalformedError(`${name} comes twice`);
    if (value === null || value.length === 0) throw new MalformedError(`${name} is empty`);
    found.set(name, value);
  }
  return found;
}

/** Bytes as they stand there, one character each: two spellings stay two. */
function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

function number(name: string, digits: string): number {
  const n = Number(digits);
  if (!/^(0|[1-9][0-9]{0,9})$/.test(digits) || n > 2 ** 31 - 1) throw new MalformedError(`${name} is not a whole number`);
  return n;
}

export function validID(id: string): boolean {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id);
}

export function validTopic(name: string): boolean {
  return /^[a-zA-Z0-9._-]{1,249}$/.test(name) && name !== "." && name !== "..";
}

function validTrace(value: string): boolean {
  return /^[ -~]{1,2048}$/.test(value);
}

function validPlugin(bytes: Uint8Array): boolean {
  if (bytes.length > 256) return false;
  try {
    return /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u.test(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return false; // not UTF-8
  }
}

function isReserved(name: string): boolean {
  const requests = ["op", "reply_to", "reply_partition", "timeout_ms", "sent_ms"];
  return replyNames.has(name) || requests.includes(name) || name.startsWith("dlq_");
}
