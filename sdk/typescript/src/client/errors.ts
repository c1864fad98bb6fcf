import type { Status } from "./wire.js";

/** What every error of a call is, but for the reason of the caller's own signal. */
export abstract class CallError extends Error {
  /** Under which the host's log and the audit trail know the request. */
  readonly requestId: string;
  /** The request topic. */
  readonly topic: string;

  constructor(topic: string, requestId: string, text: string, options?: ErrorOptions) {
    super(`call ${topic}, request ${requestId}: ${text}`, options);
    this.requestId = requestId;
    this.topic = topic;
  }
}

/** What the handler answered instead of a result. Asking again gives the same answer unless its author says otherwise. */
export class HandlerError extends CallError {
  override readonly name = "HandlerError";

  constructor(
    topic: string,
    requestId: string,
    /** The author's own, such as `no_such_account`. */
    readonly code: string,
    /** The author's text for people, without what {@link message} says before it. */
    readonly reason: string,
    /** Any JSON, if the author gave some. */
    readonly details: unknown,
  ) {
    super(topic, requestId, `${code}: ${reason}`);
  }
}

/** No result came in time. The handler may have run, or may run still. */
export class TimeoutError extends CallError {
  override readonly name = "TimeoutError";

  constructor(
    topic: string,
    requestId: string,
    /** How long the call waited, in milliseconds. */
    readonly afterMs: number,
    /** `expired` or `deadline_exceeded` if the host answered so; undefined if nobody answered. */
    readonly status: Status | undefined,
    /** Whether Kafka had taken the request when the time was over. */
    readonly acknowledged: boolean,
    /** What to look at, if the client noticed something. */
    readonly hint: string = "",
  ) {
    let what = "no reply";
    if (status === "expired") what = "expired before it started";
    else if (status === "deadline_exceeded") what = "its time was over while it ran";
    else if (!acknowledged) what = "Kafka did not take the request in time, no reply";
    super(topic, requestId, withHint(`${what} after ${Math.round(afterMs)} ms`, hint));
  }
}

/** The host did not get a result from the handler. */
export class RejectedError extends CallError {
  override readonly name = "RejectedError";

  constructor(
    topic: string,
    requestId: string,
    readonly status: Status,
    /** The host's text for people. */
    readonly reason: string,
    readonly details: unknown,
    /**
     * Whether the host proved that it said so. Where it could not open or read
     * the request it cannot prove anything, and whoever may write to the reply
     * topic can say the same.
     */
    readonly authenticated: boolean,
    readonly hint: string = "",
  ) {
    const text = reason === "" ? status : `${status}: ${reason}`;
    super(topic, requestId, withHint(authenticated ? text : `${text} (not authenticated)`, hint));
  }
}

/**
 * Kafka did not acknowledge the request. It may have been written all the same,
 * unless {@link unsent} is set: then it was not sent, as where its topic does not
 * exist or it is too large.
 */
export class SendError extends CallError {
  override readonly name = "SendError";

  constructor(
    topic: string,
    requestId: string,
    why: string,
    readonly unsent: boolean,
    cause?: unknown,
  ) {
    super(topic, requestId, `send: ${why}`, { cause });
  }
}

/** The client was closed before the call had its result. */
export class ClosedError extends CallError {
  override readonly name = "ClosedError";

  constructor(topic: string, requestId: string) {
    super(topic, requestId, "client is closed");
  }
}

function withHint(text: string, hint: string): string {
  return hint === "" ? text : `${text} (hint: ${hint})`;
}
