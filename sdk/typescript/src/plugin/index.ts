/**
 * For authors of handlers: a plugin is a program that calls {@link serve} with
 * its handlers, and which the host starts.
 *
 * @module
 */
export type { Context } from "./context.js";
export { HandlerError } from "./errors.js";
export { type Awaitable, type CheckedHandlerOptions, type Handler, type HandlerOptions, handle, handleRaw } from "./handler.js";
export type { Fields, Logger } from "./log.js";
export type { JSONSchema, OutputOf, StandardIssue, StandardResult, StandardSchema } from "./schema.js";
export { onConfigure, serve } from "./serve.js";
export { sdkVersion } from "./version.js";
