import type { Reply } from "./client.js";

/** One request on its way. */
export interface PendingCall {
  readonly id: string;
  readonly topic: string;
  /** Settles once. */
  readonly outcome: Promise<Reply>;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (err: unknown) => void;
  /** Whether Kafka has taken the request. */
  acknowledged: boolean;
  /** What a dropped reply gave away about why none is believed. */
  hint: string;
}

// Ended calls that are remembered, to tell a late or second reply from a stranger's.
const recentMost = 4096;

/** The table of calls under way, by request id. */
export class Pending {
  private readonly calls = new Map<string, PendingCall>();
  private readonly recent = new Map<string, boolean>(); // whether it was answered

  /** Registers a call; undefined if there is one of this id. */
  add(id: string, topic: string): PendingCall | undefined {
    if (this.calls.has(id)) return undefined;
    let resolve!: PendingCall["resolve"];
    let reject!: PendingCall["reject"];
    const outcome = new Promise<Reply>((yes, no) => ([resolve, reject] = [yes, no]));
    outcome.catch(() => {}); // its caller waits for it too, unless the request was refused before
    const call: PendingCall = { id, topic, outcome, resolve, reject, acknowledged: false, hint: "" };
    this.calls.set(id, call);
    return call;
  }

  find(id: string): PendingCall | undefined {
    return this.calls.get(id);
  }

  /** Takes a call out, if it is still there, and remembers how it ended. */
  remove(call: PendingCall, answered = false): void {
    if (this.calls.get(call.id) !== call) return;
    this.calls.delete(call.id);
    this.recent.set(call.id, answered);
    if (this.recent.size > recentMost) this.recent.delete(this.recent.keys().next().value!);
  }

  /** What a reply to a call is that is not under way. */
  fateOf(id: string): "duplicate" | "late" | "foreign" {
    const answered = this.recent.get(id);
    if (answered === undefined) return "foreign";
    return answered ? "duplicate" : "late";
  }

  all(): PendingCall[] {
    return [...this.calls.values()];
  }

  get size(): number {
    return this.calls.size;
  }
}
