import type { Logger } from "./log.js";

/** What a handler knows about a request beside its payload. */
export interface Context {
  /** The same for all attempts of one request. */
  readonly requestId: string;
  /** The request topic. */
  readonly topic: string;
  /** The handler's name. */
  readonly handler: string;
  /** Counts the host's tries of this request, from 1. */
  readonly attempt: number;
  /** An earlier host or process may have run the request already, wholly or in part. */
  readonly redelivered: boolean;
  /** When the requester stops waiting. */
  readonly deadline: Date;
  /** Fires at the deadline, and when nobody wants the result any more. Hand it on to what takes time. */
  readonly signal: AbortSignal;
  /** W3C trace context; empty if the requester sent none. */
  readonly traceparent: string;
  readonly tracestate: string;
  /** Its lines carry the request's id, topic and handler. */
  readonly logger: Logger;
}

/** What is told about a request. */
export type RequestInfo = Pick<
  Context,
  "requestId" | "topic" | "handler" | "attempt" | "redelivered" | "traceparent" | "tracestate"
>;

// The longest that a timer can wait, in milliseconds.
const longest = 2 ** 31 - 1;

/**
 * The context of one request. Signal, timer and logger are made when they are
 * first asked for: most handlers use none of them.
 */
export class RequestContext implements Context {
  readonly requestId: string;
  readonly topic: string;
  readonly handler: string;
  readonly attempt: number;
  readonly redelivered: boolean;
  readonly traceparent: string;
  readonly tracestate: string;

  private readonly ends: number; // on performance.now's clock, which no one sets
  private date: Date | undefined;
  private readonly root: Logger;
  private own: Logger | undefined;
  private controller: AbortController | undefined;
  private timer: NodeJS.Timeout | undefined;
  private cancelled = false;
  private over = false;

  constructor(info: RequestInfo, timeoutMs: number, logger: Logger) {
    this.requestId = info.requestId;
    this.topic = info.topic;
    this.handler = info.handler;
    this.attempt = info.attempt;
    this.redelivered = info.redelivered;
    this.traceparent = info.traceparent;
    this.tracestate = info.tracestate;
    this.ends = performance.now() + Math.min(timeoutMs, longest);
    this.root = logger;
  }

  get deadline(): Date {
    return (this.date ??= new Date(Date.now() + this.left));
  }

  get logger(): Logger {
    return (this.own ??= this.root.with({ request_id: this.requestId, topic: this.topic, handler: this.handler }));
  }

  get signal(): AbortSignal {
    if (!this.controller) {
      this.controller = new AbortController();
      if (this.cancelled) this.abort("AbortError", "the request was cancelled");
      else if (!this.over) this.expire();
    }
    return this.controller.signal;
  }

  /** The signal, if the handler has asked for it. */
  get askedSignal(): AbortSignal | undefined {
    return this.controller?.signal;
  }

  /** Ends the request: nobody wants its result. */
  cancel(): void {
    this.cancelled = true;
    this.abort("AbortError", "the request was cancelled");
  }

  /** Lets go of the timer once the handler has returned. */
  finish(): void {
    this.over = true;
    clearTimeout(this.timer);
  }

  private get left(): number {
    return this.ends - performance.now();
  }

  /** Fires at the deadline, and never before: timers come up to a millisecond early. */
  private expire(): void {
    const left = this.left;
    if (left > 0) this.timer = setTimeout(() => this.expire(), Math.ceil(left));
    else this.abort("TimeoutError", "the request's deadline has passed");
  }

  private abort(name: string, message: string): void {
    clearTimeout(this.timer);
    if (this.controller && !this.controller.signal.aborted) this.controller.abort(new DOMException(message, name));
  }
}
