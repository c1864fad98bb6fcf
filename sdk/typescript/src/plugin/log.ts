import { StringDecoder } from "node:string_decoder";
import { format, inspect } from "node:util";

/**
 * A logger whose lines join the host's log, with the plugin's name, version and
 * process beside them. The host drops levels that it does not want.
 *
 * Fields are shown as values. Keep payloads and secrets out of both.
 */
export interface Logger {
  trace(message: string, fields?: Fields): void;
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** A logger that adds fields to each of its lines. */
  with(fields: Fields): Logger;
}

export type Fields = Record<string, unknown>;

export type Level = "trace" | "debug" | "info" | "warn" | "error";

// The host takes lines of 64 KiB; what is longer would lose its form.
const maxLine = 60_000;

/** Writes records in hclog's JSON form, one a line. */
export class JSONLogger implements Logger {
  constructor(
    private readonly write: (line: string) => void,
    private readonly fields: Fields = {},
  ) {}

  trace(message: string, fields?: Fields): void {
    this.log("trace", message, fields);
  }

  debug(message: string, fields?: Fields): void {
    this.log("debug", message, fields);
  }

  info(message: string, fields?: Fields): void {
    this.log("info", message, fields);
  }

  warn(message: string, fields?: Fields): void {
    this.log("warn", message, fields);
  }

  error(message: string, fields?: Fields): void {
    this.log("error", message, fields);
  }

  with(fields: Fields): Logger {
    return new JSONLogger(this.write, { ...this.fields, ...fields });
  }

  private log(level: Level, message: string, fields?: Fields): void {
    const head = { "@level": level, "@message": String(message), "@timestamp": new Date().toISOString() };
    let line = encode({ ...this.fields, ...fields, ...head });
    if (line.length > maxLine) {
      line = encode({ ...head, "@message": head["@message"].slice(0, maxLine / 6), truncated: true });
    }
    this.write(line + "\n");
  }
}

function encode(record: Fields): string {
  try {
    return JSON.stringify(record, (_, value) => (value instanceof Error ? `${value.name}: ${value.message}` : value));
  } catch {
    // Some value has no JSON form: a BigInt, a circle.
    const plain = Object.fromEntries(Object.entries(record).map(([k, v]) => [k, typeof v === "string" ? v : inspect(v)]));
    return JSON.stringify(plain);
  }
}

/** A logger whose lines go nowhere. */
export const silent: Logger = new JSONLogger(() => {});

/**
 * Sends what the program prints to the log: stdout belongs to the handshake.
 * Whole lines become one record each.
 */
export function redirectPrinting(logger: Logger): void {
  const to = (level: Level) => (...args: unknown[]) => logger[level](format(...args));
  console.log = console.info = to("info");
  console.debug = to("debug");
  console.warn = to("warn");
  console.error = to("error");
  console.trace = to("trace");

  const logText = (text: string) => text !== "" && logger.info(text, { from: "stdout" });
  const decoder = new StringDecoder("utf8");
  let line = "";
  process.on("exit", () => logText(line));
  process.stdout.write = ((chunk: string | Uint8Array, encoding?: unknown, done?: unknown): boolean => {
    line += typeof chunk === "string" ? chunk : decoder.write(Buffer.from(chunk));
    const lines = line.split("\n");
    line = lines.pop()!;
    if (line.length > maxLine) {
      lines.push(line);
      line = "";
    }
    for (const text of lines) logText(text);
    const callback = typeof encoding === "function" ? encoding : done;
    if (typeof callback === "function") queueMicrotask(callback as () => void);
    return true;
  }) as typeof process.stdout.write;
}
