/**
 * Sends requests to the handlers behind Kafka topics and waits for their replies.
 * Payloads are sealed before they leave the process and opened when they are back.
 *
 * @module
 */
export { type CallOptions, type Client, type ConnectOptions, type Reply, type Stats, connect } from "./client.js";
export { generateKey } from "./envelope.js";
export { CallError, ClosedError, HandlerError, RejectedError, SendError, TimeoutError } from "./errors.js";
export type { SASL } from "./kafka.js";
export type { Status } from "./wire.js";
