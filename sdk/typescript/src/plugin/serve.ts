import { randomBytes } from "node:crypto";
import { writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { PayloadError, describeThrown } from "./errors.js";
import type { Handler } from "./handler.js";
import { JSONLogger, type Logger, redirectPrinting } from "./log.js";
import { type JSONSchema, type OutputOf, type StandardSchema, checked, describeSchema, isStandard } from "./schema.js";
import { PluginServer } from "./server.js";
import { sdkVersion } from "./version.js";

const protocolVersion = 1;
const cookie = ["RRHOST_PLUGIN", "handler/1"] as const;
const tokenVariable = "RRHOST_TOKEN";

// What the host allows where it does not say: a payload of its default size, and headroom.
const defaultMaxMessage = 1_000_000 + (1 << 20);

// The longest path that a unix socket can have, on Linux; macOS has 103.
const maxSocketPath = process.platform === "linux" ? 107 : 103;

// How long a plugin that has finished after SIGTERM waits for its host to hang up.
const leaveGraceMs = 5000;
// How long calls under way may take once the host has asked for the end.
const shutdownGraceMs = 500;

/** How the program wants its settings. */
interface Settings {
  take: (settings: unknown) => unknown;
  schema: JSONSchema | StandardSchema | undefined;
}

let wanted: Settings | undefined;

/**
 * Sets the function that gets the plugin's own section of the host's
 * configuration, `[plugin.NAME.config]`, before the first request. Call it before
 * {@link serve}. What it throws, or rejects with, refuses the settings: the host
 * shows the message and does not use the plugin.
 *
 * With a schema, settings that do not fit are refused before: by the host, which
 * names their line in the file, and with a Standard Schema by the SDK too.
 *
 * Without onConfigure a plugin takes no settings, and any are an error.
 */
export function onConfigure<S extends StandardSchema>(take: (settings: OutputOf<S>) => void | Promise<void>, schema: S): void;
export function onConfigure<T>(take: (settings: T) => void | Promise<void>, schema?: JSONSchema): void;
export function onConfigure(take: (settings: never) => unknown, schema?: JSONSchema | StandardSchema): void {
  wanted = { take: take as Settings["take"], schema };
}

/**
 * Serves the handlers until the host ends the process. Started by hand, it
 * explains itself and exits with 1.
 *
 * SIGINT is ignored: a terminal sends it to everyone, and the host decides. On
 * SIGTERM what runs is finished, then the process ends. It also ends when its
 * host does, however that went. What the program prints goes to the host's log.
 *
 * An exception outside of a handler's promise ends the process with 1, as it
 * would without rrhost, with its text kept out of the log.
 */
export function serve(...handlers: Handler[]): void {
  if (process.env[cookie[0]] !== cookie[1]) {
    byHand(handlers);
    process.exit(1);
  }
  const logger = new JSONLogger((line) => process.stderr.write(line));
  start(handlers, logger).catch((err: unknown) => {
    logger.error("plugin cannot serve", { error: err instanceof Error ? err.message : String(err) });
    process.exit(1);
  });
}

async function start(handlers: Handler[], logger: Logger): Promise<void> {
  checkHandlers(handlers);
  const versions = (process.env.PLUGIN_PROTOCOL_VERSIONS ?? "").split(",").map(Number);
  if (!versions.includes(protocolVersion)) {
    logger.warn("the host speaks another protocol", { host: versions.join(","), plugin: protocolVersion });
  }
  const token = process.env[tokenVariable];
  delete process.env[tokenVariable]; // not for the programs that a handler starts
  if (process.env.PLUGIN_CLIENT_CERT) {
    throw new Error("the host wants TLS, which this SDK does not speak: write tls = false into plugin.toml");
  }
  process.on("SIGINT", () => {});
  exitOnBreakage(logger);

  const server = new PluginServer({
    about: {
      name: programName(),
      sdk: `typescript ${sdkVersion} (${runtime()})`,
      handlers,
      configSchema: describeSchema(wanted ? wanted.schema : { type: "object", additionalProperties: false }),
    },
    configure,
    logger,
    maxMessage: Number(process.env.RRHOST_MAX_MESSAGE) || defaultMaxMessage,
    token,
    onShutdown: () => void server.close(shutdownGraceMs).then(() => process.exit(0)),
  });
  process.on("SIGTERM", () => void leave(server));

  const socket = socketPath();
  await server.listen(socket);
  writeSync(1, `1|${protocolVersion}|unix|${socket}|grpc|\n`);
  redirectPrinting(logger);
  exitWithHost();
}

function checkHandlers(handlers: Handler[]): void {
  if (handlers.length === 0) throw new Error("a plugin has at least one handler");
  const names = handlers.map((h) => h.name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new Error(`two handlers are named ${twice}`);
}

/** Hands the settings to the author's function. */
async function configure(text: Uint8Array): Promise<void> {
  let settings: unknown;
  try {
    settings = JSON.parse(Buffer.from(text).toString());
  } catch {
    throw new PayloadError("the settings are not JSON");
  }
  if (!wanted) {
    if (Object.keys(settings as object).length > 0) throw new PayloadError("this plugin takes no configuration");
    return;
  }
  const { take, schema } = wanted;
  await take(isStandard(schema) ? await checked(schema, settings, "settings") : settings);
}

/** A new name in the host's folder, or in the user's own for temporary files. */
function socketPath(): string {
  const path = join(process.env.PLUGIN_UNIX_SOCKET_DIR || process.env.TMPDIR || "/tmp", `p${randomBytes(6).toString("hex")}`);
  if (Buffer.byteLength(path) > maxSocketPath) {
    throw new Error(`the socket's path ${path} is longer than the ${maxSocketPath} bytes that the system takes`);
  }
  return path;
}

/** Finishes on SIGTERM. The host hangs up once it has all results. */
async function leave(server: PluginServer): Promise<void> {
  if (server.used) {
    await server.leave();
    await server.close(leaveGraceMs);
  }
  process.exit(0);
}

/** Ends the process when the host is gone: the other end of stdin is the host's alone. */
function exitWithHost(): void {
  const gone = () => process.exit(1);
  process.stdin.on("end", gone).on("close", gone).on("error", gone).resume();
}

/** An exception that nobody caught ends the process, with its place and without its text. */
function exitOnBreakage(logger: Logger): void {
  const end = (what: string) => (err: unknown) => {
    logger.error(what, describeThrown(err));
    process.exit(1);
  };
  process.on("uncaughtException", end("uncaught exception: the plugin ends"));
  process.on("unhandledRejection", end("a rejected promise that nobody waited for: the plugin ends"));
}

/** Tells who starts a plugin like a program what it is. */
function byHand(handlers: Handler[]): void {
  const name = JSON.stringify(programName());
  const list = handlers.map((h) => `  ${h.name}\n`).join("");
  process.stderr.write(
    `${programName()} is a plugin for rrhost, which starts it by itself. Its handlers:\n${list}` +
      `To use it, put its folder into the plugin directory and name it in the configuration:\n\n` +
      `  [[topic]]\n  name   = ${name}\n  plugin = ${name}\n\nThen: rrhost run\n`,
  );
}

/** The program's name, or its folder's where that says more. */
function programName(): string {
  const path = process.argv[1] ?? process.execPath;
  const file = basename(path).replace(/\.[cm]?[jt]s$/, "");
  return ["main", "index", "plugin"].includes(file) ? basename(dirname(path)) : file;
}

function runtime(): string {
  return process.versions.bun ? `bun ${process.versions.bun}` : `node ${process.versions.node}`;
}
