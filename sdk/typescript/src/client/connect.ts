import type { ConnectionOptions } from "node:tls";
import { Client } from "./client.js";
import { Ring } from "./envelope.js";
import { reasonOf } from "./reason.js";
import { Tail } from "./tail.js";
import { Writer } from "./writer.js";

/** A login at the brokers. */
export interface SASL {
  mechanism: "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512";
  username: string;
  password: string;
}

/** How to reach the hosts. */
export interface ConnectOptions {
  /** host:port of some of Kafka's brokers. */
  brokers: string | readonly string[];
  /** 64 hex characters, the hosts' own. Default: the variable `ENCRYPTION_KEY`. */
  key?: string;
  /** Further keys that only open, while keys are changed. */
  openKeys?: readonly string[];
  /** The hosts' reply topic. Default: `rr.replies`. */
  replyTopic?: string;
  /** The hosts' `discovery.topic`, to which no request must go. Default: `rr.control`; `off` if they have none. */
  controlTopic?: string;
  /** How long calls wait that do not say, in milliseconds. Default: 30,000. */
  timeout?: number;
  /** Largest payload in bytes, as at the hosts. Default: 1,000,000. */
  maxPayload?: number;
  /** What brokers see in logs, metrics and quotas. Default: `rrhost`. */
  clientId?: string;
  /** True, or what node:tls takes: `ca`, `cert`, `key`, `servername`. Default: no TLS. */
  tls?: boolean | ConnectionOptions;
  /** Default: no login. */
  sasl?: SASL;
}

/**
 * Connects to Kafka, and to the hosts' reply topic. When it resolves, the
 * position there is fixed, so that no reply can come too early.
 *
 * @throws TypeError for options that cannot be right; else Kafka's error
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const key = options.key ?? process.env.ENCRYPTION_KEY;
  if (!key) throw new TypeError("no encryption key: set the option key, or ENCRYPTION_KEY, to the hosts' own");
  const brokers = (typeof options.brokers === "string" ? options.brokers.split(",") : options.brokers).map((b) => b.trim());
  if (brokers.length === 0) throw new TypeError("brokers: none is given");
  const ring = new Ring(key, options.openKeys);
  const kafka = {
    brokers,
    clientId: options.clientId ?? "rrhost",
    tls: options.tls === true ? {} : options.tls || undefined,
    sasl: options.sasl,
  };
  const replyTopic = options.replyTopic ?? "rr.replies";
  const controlTopic = options.controlTopic ?? "rr.control";
  if (controlTopic === replyTopic) throw new TypeError(`controlTopic: ${JSON.stringify(controlTopic)} is the replyTopic too; give the hosts' own`);
  let tail: Tail;
  try {
    tail = await Tail.over(kafka, replyTopic);
  } catch (err) {
    if (err instanceof TypeError) throw err;
    const reason = reasonOf(err);
    const hint = /unknown topic/i.test(reason)
      ? "`rrhost run` creates it, `rrhost topics --print` shows how else"
      : "a broker hangs up on a wrong username or password, and on TLS where it has none or the other way round";
    throw new Error(`connect to ${brokers.join(", ")}, reply topic ${replyTopic}: ${reason} (hint: ${hint})`, { cause: err });
  }
  const { timeout = 30_000, maxPayload = 1_000_000 } = options;
  return new Client(ring, tail, Writer.over(kafka), { replyTopic, controlTopic: controlTopic === "off" ? "" : controlTopic, timeout, maxPayload });
}
