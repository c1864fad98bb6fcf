import { RequestContext } from "./context.js";
import { noHandler } from "./errors.js";
import { type Handler, type Outcome, run } from "./handler.js";
import type { Logger } from "./log.js";
import type { Goodbye, Request, RequestFrame, Result, ResultFrame } from "./proto/handler.js";

// Bounds of a frame. What is larger than all of it goes alone.
const maxFrameItems = 256;
const maxFrameBytes = 256 << 10;
const itemOverhead = 64; // what a result costs beside its texts

/** The stream's other end, as a session needs it. */
export interface Sink {
  /** Sends a frame; false if it should wait for {@link Session.resume} before the next. */
  write(frame: ResultFrame): boolean;
  /** Ends the stream, after the frames. */
  end(): void;
}

/**
 * One Handle call: it runs the host's requests, and sends what is done in one
 * turn of the event loop as one frame. So frames grow with load, and a result
 * without company waits for none.
 */
export class Session {
  /** Resolves when all results are sent, or when the host is gone. */
  readonly done: Promise<void>;

  private readonly running = new Map<bigint, RequestContext>();
  private results: Result[] = [];
  private goodbye: Goodbye | undefined;
  private last = 0n;
  private leaving = false; // takes no more requests
  private blocked = false;
  private scheduled = false;
  private over = false;
  private resolve!: () => void;

  constructor(
    private readonly sink: Sink,
    private readonly handlers: ReadonlyMap<string, Handler>,
    private readonly maxReply: number,
    private readonly logger: Logger,
  ) {
    this.done = new Promise((resolve) => (this.resolve = resolve));
  }

  /** Starts the requests of a frame, and ends those that it cancels. */
  take(frame: RequestFrame): void {
    for (const request of frame.requests) {
      if (this.leaving) break; // the host knows from the goodbye
      if (request.number > this.last) this.last = request.number;
      this.start(request);
    }
    for (const number of frame.cancels) this.running.get(number)?.cancel();
  }

  /** The host has no more requests. */
  close(): void {
    this.leaving = true;
    this.schedule();
  }

  /** Says goodbye: what runs is finished, nothing more is taken. */
  leave(): void {
    if (this.leaving) return;
    this.leaving = true;
    this.goodbye = { last: this.last };
    this.schedule();
  }

  /** The host is gone: nobody waits for the results. */
  abort(): void {
    if (this.over) return;
    this.leaving = this.over = true;
    this.results = [];
    for (const context of this.running.values()) context.cancel();
    this.resolve();
  }

  /** The sink takes frames again. */
  resume(): void {
    this.blocked = false;
    this.flush();
  }

  private start(request: Request): void {
    const begun = performance.now();
    const context = new RequestContext(request, Number(request.timeoutUs) / 1000, this.logger);
    this.running.set(request.number, context);
    const handler = this.handlers.get(request.handler);
    const outcome: Promise<Outcome> = handler
      ? run(handler, request.payload, context, this.maxReply)
      : Promise.resolve({ fault: noHandler(request.handler, [...this.handlers.keys()]) });
    void outcome.then((it) => this.finish(request.number, begun, it)); // run never rejects
  }

  private finish(number: bigint, begun: number, outcome: Outcome): void {
    this.running.delete(number);
    if (this.over) return;
    const { fault } = outcome;
    this.results.push({
      number,
      payload: outcome.payload ?? nothing,
      error: fault && { status: fault.status, code: fault.code, message: fault.message, details: fault.details ?? nothing },
      durationUs: BigInt(Math.max(0, Math.round((performance.now() - begun) * 1000))),
    });
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  private flush(): void {
    if (this.over) return;
    while (!this.blocked && (this.results.length > 0 || this.goodbye)) {
      const n = fitting(this.results);
      const frame: ResultFrame = { results: this.results, goodbye: this.goodbye };
      this.results = n < this.results.length ? frame.results.splice(n) : [];
      this.goodbye = undefined;
      this.blocked = !this.sink.write(frame);
    }
    if (this.leaving && this.running.size === 0 && this.results.length === 0 && !this.goodbye) {
      this.over = true;
      this.sink.end();
      this.resolve();
    }
  }
}

const nothing = new Uint8Array();

/** How many of results one frame takes: at least one, if there is one. */
export function fitting(results: readonly Result[]): number {
  let size = 0;
  for (const [n, result] of results.entries()) {
    size += result.payload.length + itemOverhead;
    if (result.error) size += result.error.message.length * 3 + result.error.details.length + result.error.code.length;
    if (n === maxFrameItems || (n > 0 && size > maxFrameBytes)) return n;
  }
  return results.length;
}
