import { randomUUID } from "node:crypto";
import { type Ring, UndecryptableError } from "./envelope.js";
import { type CallError, ClosedError, HandlerError, RejectedError, SendError, TimeoutError } from "./errors.js";
import { reasonOf } from "./reason.js";
import { Pending, type PendingCall } from "./pending.js";
import {
  MalformedError,
  type RawHeader,
  type Status,
  type WireRequest,
  aboutRequest,
  authenticated,
  decodeReply,
  headerBytes,
  maxHeaderBytes,
  maxHeaders,
  maxTimeoutMs,
  requestHeaders,
  requestIDOf,
} from "./wire.js";

/** A record of the reply topic. */
export interface ReplyRecord {
  key: Uint8Array | null;
  value: Uint8Array | null;
  headers: readonly RawHeader[];
}

/** Where replies come from: one partition of the reply topic. */
export interface Replies {
  readonly partition: number;
  /** How often the log was trimmed or cut under the reader, so that records may have been missed. */
  readonly repositioned: number;
  /** Calls each for every record, in order, until close is called. */
  run(each: (record: ReplyRecord) => void): Promise<void>;
  close(): Promise<void>;
}

/** A record on its way to a request topic. */
export interface RequestRecord {
  topic: string;
  key: Uint8Array | undefined;
  value: Buffer;
  headers: [string, string][];
  /** Whether somebody still waits for the reply: else it is not worth sending. */
  wanted: () => boolean;
}

/** Why a record was not sent: nothing of it has reached a topic. */
export class UnsentError extends Error {
  constructor(why: string, cause: unknown) {
    super(why, { cause });
  }
}

/** Where requests go. */
export interface Requests {
  /**
   * Resolves when Kafka has taken the record; never, if nobody wants it any more
   * before it is sent. It rejects with an {@link UnsentError} if Kafka cannot have it.
   */
  send(record: RequestRecord): Promise<void>;
  close(): Promise<void>;
}

/** What a call may say beside its input. */
export interface CallOptions {
  /** How long to wait for the reply, in milliseconds, at most a day. */
  timeout?: number;
  /** Orders requests: those with one key go to one partition, in the order of the calls. Readable in Kafka. */
  key?: string | Uint8Array;
  /** Go along, readable in Kafka, unsealed and unseen by handlers. */
  headers?: Readonly<Record<string, string>> | readonly (readonly [string, string])[];
  /** A UUID v4 in lower case. Default: a new one. */
  requestId?: string;
  /** W3C trace context. */
  traceparent?: string;
  tracestate?: string;
  /** Ends the wait; the call rejects with its reason. The handler may run all the same. */
  signal?: AbortSignal;
}

/** The outcome of a request, in bytes. */
export interface Reply {
  requestId: string;
  topic: string;
  status: Status;
  /** How many times the host tried the handler. */
  attempt: number;
  /** Time in the handler, in milliseconds. */
  durationMs: number;
  /** Name and version of what answered, or empty. */
  plugin: string;
  payload: Uint8Array;
}

/** Counts of what a client met since it was opened. */
export interface Stats {
  /** Calls that wait for their reply now. */
  pending: number;
  /** Replies to others that came by. */
  foreign: number;
  /** Further replies to requests already answered. */
  duplicate: number;
  /** Replies that came after their call had ended. */
  late: number;
  /** Replies to pending calls that were dropped, since they do not open or are malformed. */
  forged: number;
  /** How often the reply topic was trimmed or cut under the client. */
  repositioned: number;
}

/** What a client is told once. */
export interface Settings {
  replyTopic: string;
  /** Where hosts announce what they serve; empty if nowhere. */
  controlTopic: string;
  /** How long calls wait that do not say, in milliseconds. */
  timeout: number;
  /** Largest payload in bytes. */
  maxPayload: number;
}

/** Calls handlers. It is meant to live as long as its program: many calls share its connections. */
export class Client {
  private readonly pending = new Pending();
  private readonly reading: Promise<void>;
  private readonly counts = { foreign: 0, duplicate: 0, late: 0, forged: 0 };
  private closing: Promise<void> | undefined;

  /** @internal */
  constructor(
    private readonly ring: Ring,
    private readonly replies: Replies,
    private readonly requests: Requests,
    private readonly settings: Settings,
  ) {
    this.reading = replies.run((record) => this.receive(record));
  }

  /**
   * Sends input as JSON to topic and resolves with the response, parsed.
   *
   * It rejects with a {@link HandlerError} if the handler itself refused, a
   * {@link TimeoutError} if there was no answer in time, a {@link RejectedError}
   * if the host could not have it handled, a {@link SendError} if Kafka did not
   * take the request, a {@link ClosedError} after close, and the reason of a
   * signal that fired.
   */
  async call<Input, Output>(topic: string, input: Input, options: CallOptions = {}): Promise<Output> {
    const payload = JSON.stringify(input);
    if (payload === undefined) throw new TypeError(`call ${topic}: the input has no JSON form`);
    const started = performance.now();
    const reply = await this.request(topic, Buffer.from(payload), options);
    if (reply.status !== "ok") throw errorOf(reply, performance.now() - started);
    const text = Buffer.from(reply.payload).toString();
    try {
      return JSON.parse(text) as Output;
    } catch {
      throw new Error(`call ${topic}, request ${reply.requestId}: the response is not JSON`);
    }
  }

  /**
   * Sends bytes and resolves with the reply, whatever its status: of one that is
   * not `ok`, the payload is JSON with code, message and details. It rejects as
   * call does where there is no reply to believe.
   */
  async request(topic: string, payload: Uint8Array, options: CallOptions = {}): Promise<Reply> {
    const id = options.requestId ?? randomUUID();
    options.signal?.throwIfAborted();
    const timeout = options.timeout ?? this.settings.timeout;
    const call = this.pending.add(id, topic);
    if (!call) throw new SendError(topic, id, "a call with this request id is under way", true);
    try {
      if (this.closing) throw new ClosedError(topic, id);
      this.start(call, payload, timeout, options);
      return await this.wait(call, timeout, options.signal);
    } finally {
      this.pending.remove(call);
    }
  }

  /** Ends every call under way with a {@link ClosedError}, then the connections. It may be called twice. */
  close(): Promise<void> {
    this.closing ??= (async () => {
      for (const call of this.pending.all()) call.reject(new ClosedError(call.topic, call.id));
      await Promise.all([this.requests.close(), this.replies.close()]);
      await this.reading;
    })();
    return this.closing;
  }

  /** The counts so far. */
  stats(): Stats {
    return { pending: this.pending.size, ...this.counts, repositioned: this.replies.repositioned };
  }

  /** Seals the payload and hands it to the writer. */
  private start(call: PendingCall, payload: Uint8Array, timeout: number, options: CallOptions): void {
    const refuse = (why: string): never => {
      throw new SendError(call.topic, call.id, why, true);
    };
    if (!(timeout > 0 && timeout <= maxTimeoutMs)) refuse(`the timeout is ${timeout} ms; it is from 1 to ${maxTimeoutMs}`);
    const { maxPayload, replyTopic, controlTopic } = this.settings;
    if (payload.length > maxPayload) refuse(`request is too large: the payload has ${payload.length} bytes and may have ${maxPayload}`);
    if (call.topic.endsWith(".dlq")) refuse(`${call.topic} is for dead letters`);
    if (call.topic === replyTopic) refuse(`${call.topic} is for replies`);
    if (call.topic === controlTopic) refuse(`${call.topic} is for what hosts announce`);
    const { key } = options;
    const request: WireRequest = {
      topic: call.topic,
      id: call.id,
      key: typeof key === "string" ? Buffer.from(key) : key,
      replyTo: replyTopic,
      replyPartition: this.replies.partition,
      timeoutMs: Math.max(1, Math.trunc(timeout)),
      sentMs: Date.now(),
      traceparent: options.traceparent ?? "",
      tracestate: options.tracestate ?? "",
    };
    const headers = this.headers(request, options, refuse);
    const value = this.ring.seal(payload, aboutRequest(request));
    this.requests.send({ topic: call.topic, key: request.key, value, headers, wanted: () => this.pending.find(call.id) === call }).then(
      () => (call.acknowledged = true),
      (err: unknown) => {
        const unsent = err instanceof UnsentError;
        call.reject(new SendError(call.topic, call.id, unsent ? err.message : reasonOf(err), unsent, err));
      },
    );
  }

  /** The headers; it refuses what a host would, which would leave the caller waiting. */
  private headers(request: WireRequest, options: CallOptions, refuse: (why: string) => never): [string, string][] {
    const extra = Array.isArray(options.headers) ? options.headers : Object.entries(options.headers ?? {});
    let headers: [string, string][] = [];
    try {
      headers = requestHeaders(request, extra as [string, string][]);
    } catch (err) {
      if (!(err instanceof MalformedError)) throw err;
      refuse(err.message);
    }
    if (headers.length > maxHeaders || headerBytes(headers) > maxHeaderBytes) {
      refuse(`request is too large: at most ${maxHeaders} headers with ${maxHeaderBytes} bytes, the protocol's own included`);
    }
    return headers;
  }

  private async wait(call: PendingCall, timeout: number, signal: AbortSignal | undefined): Promise<Reply> {
    const started = performance.now();
    const timer = setTimeout(() => {
      let hint = call.hint;
      if (hint === "" && call.acknowledged) hint = "is a host running that serves this topic? `rrclient topics` tells";
      call.reject(new TimeoutError(call.topic, call.id, performance.now() - started, undefined, call.acknowledged, hint));
    }, timeout);
    const abort = () => call.reject(signal!.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await call.outcome;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Looks at one record of the reply partition. What is not for a pending call costs a look at its headers. */
  private receive(record: ReplyRecord): void {
    const id = requestIDOf(record.headers);
    const call = id === undefined ? undefined : this.pending.find(id);
    if (!call) {
      this.counts[id === undefined ? "foreign" : this.pending.fateOf(id)]++;
      return;
    }
    let reply: Reply;
    try {
      reply = this.open(call, record);
    } catch (err) {
      // Anyone who may write to the topic could have sent it. Whatever it says,
      // the call goes on.
      this.counts.forged++;
      if (err instanceof UndecryptableError && err.unknownKey) {
        call.hint = `a reply came that is sealed with key ${err.unknownKey}, which this client does not have: compare ENCRYPTION_KEY with the hosts'`;
      }
      return;
    }
    this.pending.remove(call, true);
    if (authenticated(reply.status)) call.resolve(reply);
    else call.reject(this.unauthenticated(reply));
  }

  private open(call: PendingCall, { key, value, headers }: ReplyRecord): Reply {
    const r = decodeReply(key, value, headers);
    if (r.topic !== call.topic) throw new MalformedError("the reply is of another topic");
    const payload = authenticated(r.status) ? this.ring.open(value ?? new Uint8Array(), r.about) : new Uint8Array();
    return { requestId: r.id, topic: r.topic, status: r.status, attempt: r.attempt, durationMs: r.durationMs, plugin: r.plugin, payload };
  }

  /** The error of a reply that cannot prove who sent it, since its sender could not read the request. */
  private unauthenticated({ topic, requestId, status }: Reply): RejectedError {
    if (status === "malformed") {
      return new RejectedError(topic, requestId, status, "the host could not read the request's headers", undefined, false, hintOf(status));
    }
    const hint = `this client seals with key ${this.ring.activeID}: compare ENCRYPTION_KEY here and at the host`;
    return new RejectedError(topic, requestId, status, "the host could not open the request", undefined, false, hint);
  }
}

/** The error that a reply other than ok stands for. */
function errorOf(reply: Reply, waitedMs: number): CallError | Error {
  const { topic, requestId, status } = reply;
  let body: { code?: unknown; message?: unknown; details?: unknown };
  try {
    body = JSON.parse(Buffer.from(reply.payload).toString());
  } catch {
    return new Error(`call ${topic}, request ${requestId}: ${status} with a body that cannot be read`);
  }
  const message = String(body.message ?? "");
  switch (status) {
    case "handler_error":
      return new HandlerError(topic, requestId, String(body.code ?? ""), message, body.details);
    case "expired":
    case "deadline_exceeded":
      return new TimeoutError(topic, requestId, waitedMs, status, true);
    default:
      return new RejectedError(topic, requestId, status, message, body.details, true, hintOf(status));
  }
}

function hintOf(status: Status): string {
  switch (status) {
    case "no_handler":
    case "plugin_unavailable":
      return "`rrhost check` at the host lists its plugins and handlers";
    case "malformed":
      return "client and host differ in version, or something on the way changed the record";
    default:
      return "";
  }
}
