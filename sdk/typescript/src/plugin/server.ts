import { createHash, timingSafeEqual } from "node:crypto";
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerInterceptor,
  ServerInterceptingCall,
  ServerListenerBuilder,
  type ServerWritableStream,
  type UntypedServiceImplementation,
  status,
} from "@grpc/grpc-js";
import type { Handler } from "./handler.js";
import type { Logger } from "./log.js";
import {
  type DescribeResponse,
  type HandlerServer,
  HandlerService,
  type RequestFrame,
  type ResultFrame,
} from "./proto/handler.js";
import { type GRPCControllerServer, GRPCControllerService, type GRPCStdioServer, GRPCStdioService } from "./proto/goplugin.js";
import { HealthCheckResponse_ServingStatus as Serving, type HealthServer, HealthService } from "./proto/health.js";
import { Session } from "./session.js";

/** What a plugin says of itself. */
export interface About {
  name: string;
  sdk: string;
  handlers: readonly Handler[];
  configSchema: Uint8Array;
}

export interface ServerOptions {
  about: About;
  /** Takes the plugin's settings as JSON. What it throws refuses them, and is shown to the operator. */
  configure: (settings: Uint8Array) => Promise<void>;
  logger: Logger;
  /** Largest message either way, in bytes. */
  maxMessage: number;
  /** What every call must bring along as rrhost-token; undefined: nothing is checked. */
  token: string | undefined;
  /** Called once when the host asks for the process's end, and has its answer. */
  onShutdown: () => void;
}

/** The plugin's end of the connection: all that the host calls. */
export class PluginServer {
  private readonly grpc: Server;
  private readonly handlers: Map<string, Handler>;
  private readonly stdio = new Set<ServerWritableStream<unknown, unknown>>();
  private maxReply = 0;
  private session: Session | undefined;
  private leaving = false;

  constructor(private readonly options: ServerOptions) {
    this.handlers = new Map(options.about.handlers.map((h) => [h.name, h]));
    this.grpc = new Server({
      "grpc.max_receive_message_length": options.maxMessage,
      "grpc.max_send_message_length": options.maxMessage,
      "grpc.enable_channelz": 0,
      interceptors: options.token === undefined ? [] : [tokenCheck(options.token)],
    });
    this.grpc.addService(HandlerService, this.handlerService() as unknown as UntypedServiceImplementation);
    this.grpc.addService(HealthService, healthService as unknown as UntypedServiceImplementation);
    this.grpc.addService(GRPCControllerService, this.controllerService() as unknown as UntypedServiceImplementation);
    this.grpc.addService(GRPCStdioService, this.stdioService() as unknown as UntypedServiceImplementation);
  }

  /** Listens on a unix socket at path, which must not exist. */
  listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.grpc.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (err) => (err ? reject(err) : resolve()));
    });
  }

  /** Takes no more requests, and resolves when those that run have been answered. */
  async leave(): Promise<void> {
    this.leaving = true;
    this.session?.leave();
    await this.session?.done;
  }

  /** Whether a stream is or was open. */
  get used(): boolean {
    return this.session !== undefined;
  }

  /** Ends every call, soon: within graceMs what is under way may finish. */
  close(graceMs: number): Promise<void> {
    for (const call of this.stdio) call.end();
    return new Promise((resolve) => {
      const force = setTimeout(() => {
        this.grpc.forceShutdown();
        resolve();
      }, graceMs);
      this.grpc.tryShutdown(() => {
        clearTimeout(force);
        resolve();
      });
    });
  }

  private handlerService(): HandlerServer {
    const { about, configure, logger } = this.options;
    const described: DescribeResponse = {
      name: about.name,
      version: "", // the manifest's, which the host has
      sdk: about.sdk,
      handlers: about.handlers.map(({ name, requestSchema, responseSchema, checksPayload }) => ({
        name,
        requestSchema,
        responseSchema,
        checksPayload,
      })),
      configSchema: about.configSchema,
    };
    return {
      describe: (_, answer) => answer(null, described),
      configure: ({ request }, answer) => {
        configure(request.settings).then(
          () => {
            this.maxReply = request.maxReply;
            answer(null, {});
          },
          (err: unknown) => {
            const details = err instanceof Error ? err.message : "the settings are refused";
            answer({ code: status.INVALID_ARGUMENT, details });
          },
        );
      },
      handle: (call) => this.open(call, logger),
    };
  }

  private open(call: ServerDuplexStream<RequestFrame, ResultFrame>, logger: Logger): void {
    if (this.session || this.leaving) {
      call.emit("error", { code: status.FAILED_PRECONDITION, details: "one stream for a process, and none after a goodbye" });
      return;
    }
    const session = new Session(
      { write: (frame) => call.write(frame), end: () => call.end() },
      this.handlers,
      this.maxReply,
      logger,
    );
    this.session = session;
    call.on("data", (frame: RequestFrame) => session.take(frame));
    call.on("end", () => session.close());
    call.on("drain", () => session.resume());
    call.on("cancelled", () => session.abort());
    call.on("error", () => session.abort()); // the connection's end, of which the host has its own account
  }

  private controllerService(): GRPCControllerServer {
    return {
      shutdown: (_, answer) => {
        answer(null, {});
        this.options.onShutdown();
      },
    };
  }

  private stdioService(): GRPCStdioServer {
    return {
      streamStdio: (call) => {
        this.stdio.add(call);
        call.on("error", () => {}); // as above
        call.on("cancelled", () => this.stdio.delete(call));
      },
    };
  }
}

const healthService: HealthServer = {
  check: ({ request }, answer) => {
    if (request.service === "" || request.service === "plugin") answer(null, { status: Serving.SERVING });
    else answer({ code: status.NOT_FOUND, details: "unknown service" });
  },
};

/** Refuses every call that does not bring the token, before its message is read. */
function tokenCheck(token: string): ServerInterceptor {
  const digest = (text: string) => createHash("sha256").update(text).digest(); // of one length, to be compared in constant time
  const want = digest(token);
  return (_, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next(
          new ServerListenerBuilder()
            .withOnReceiveMetadata((metadata, proceed) => {
              const [given, ...more] = metadata.get("rrhost-token");
              if (typeof given === "string" && more.length === 0 && timingSafeEqual(digest(given), want)) proceed(metadata);
              else call.sendStatus({ code: status.UNAUTHENTICATED, details: "rrhost-token is missing or wrong" });
            })
            .build(),
        ),
    });
}
