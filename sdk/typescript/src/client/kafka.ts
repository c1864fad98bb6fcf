import type { ConnectionOptions } from "node:tls";
import { type Base, type BaseOptions, GenericError, MultipleErrors, UserError } from "@platformatic/kafka";
import type { SASL } from "./connect.js";

/** How to reach Kafka. */
export interface KafkaOptions {
  /** host:port of some brokers. */
  brokers: readonly string[];
  clientId: string;
  tls: ConnectionOptions | undefined;
  sasl: SASL | undefined;
}

/** How often to try again: for about 3 s in all, what a leader election usually takes. */
export const retries = 5;

/** How long to wait before the attempt with this number, the second being 1. */
export const retryDelayMs = (attempt: number): number => Math.min(50 * 2 ** attempt, 1000);

/** What every connection to the brokers shares. */
export function baseOptions(options: KafkaOptions) {
  return {
    clientId: options.clientId,
    bootstrapBrokers: options.brokers.map(addressOf),
    connectTimeout: 5000,
    // What is under way when a client is closed must not go on waiting.
    retries,
    retryDelay: (client: object, _operation: string, attempt: number, _retries: number, _err: Error) => ((client as Base).closed ? 0 : retryDelayMs(attempt)),
    metadataMaxAge: 120_000,
    autocreateTopics: false,
    ...(options.tls && { tls: options.tls }),
    ...(options.sasl && { sasl: options.sasl }),
  } satisfies BaseOptions;
}

function addressOf(broker: string): { host: string; port: number } {
  const [, host, port] = /^(?:\[([^\]]+)\]|[^:[\]]+):(\d{1,5})$/.exec(broker) ?? [];
  if (port === undefined || Number(port) > 65535) throw new TypeError(`brokers: ${JSON.stringify(broker)} is not host:port`);
  return { host: host ?? broker.slice(0, broker.lastIndexOf(":")), port: Number(port) };
}

/** Whether err says that a topic does not exist. The library says so in words alone. */
export function isUnknownTopic(err: unknown): boolean {
  if (err instanceof MultipleErrors) return err.errors.some(isUnknownTopic);
  return err instanceof UserError && err.message.startsWith("Unknown topic ");
}

/** Whether a broker answered with the error of this name, such as `MESSAGE_TOO_LARGE`. */
export function isKafkaError(err: unknown, name: string): boolean {
  if (err instanceof GenericError || err instanceof MultipleErrors) return (err as GenericError).findBy("apiId", name) !== null;
  return false;
}
