/**
 * Sends requests to the handlers behind Kafka topics and waits for their replies.
 * Payloads are sealed before they leave the process and opened when they are back.
 *
 * @module
 */
export type { CallOptions, Client, Reply, Stats } from "./client.js";
export { type ConnectOptions, type SASL, connect } from "./connect.js";
export { generateKey } from "./envelope.js";
export { CallError, ClosedError, HandlerError, RejectedError, SendError, TimeoutError } from "./errors.js";
export type { Status } from "./wire.js";
