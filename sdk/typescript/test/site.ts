// Where the host of a test is, as its environment says.
import { readFileSync } from "node:fs";
import type { ConnectOptions } from "rrhost/client";

const { BROKERS = "", SUFFIX, CA, SASL_MECHANISM, SASL_USERNAME = "", SASL_PASSWORD = "" } = process.env;

export const options = {
  brokers: BROKERS,
  replyTopic: `replies-${SUFFIX}`,
  tls: CA ? { ca: readFileSync(CA) } : false,
  sasl: { mechanism: SASL_MECHANISM as "SCRAM-SHA-256" | "SCRAM-SHA-512", username: SASL_USERNAME, password: SASL_PASSWORD },
} satisfies ConnectOptions;

export const topic = (name: string) => `${name}-${SUFFIX}`;
