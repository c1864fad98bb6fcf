// What a user of the package writes, for the compiler alone: it must find every
// type, with the strictest settings and none of the package's own.
import { type Client, HandlerError, RejectedError, connect } from "rrhost/client";
import { type Context, type Handler, HandlerError as Refusal, type StandardSchema, handle, handleRaw, onConfigure } from "rrhost/plugin";

interface Sum {
  a: number;
  b: number;
}

interface Total {
  result: number;
}

const schema: StandardSchema<Sum> = {
  "~standard": { version: 1, vendor: "own", validate: (value) => (value ? { value: value as Sum } : { issues: [{ message: "missing", path: ["a"] }] }) },
};

export const handlers: Handler[] = [
  handle("inferred", async ({ a, b }: Sum, ctx): Promise<Total> => {
    ctx.logger.info("adding", { a, b });
    ctx.signal.throwIfAborted();
    return { result: a + b };
  }),
  handle("explicit", (input: Sum, ctx: Context) => ({ result: input.a, until: ctx.deadline.toISOString() })),
  handle("described", (input: Sum) => input.b, { request: { type: "object" }, response: { type: "number" } }),
  handle("checked", (input) => input.a + input.b, { request: schema }),
  // @ts-expect-error: the schema's value has no c
  handle("wrong", (input) => input.c, { request: schema }),
  handle("refuses", () => {
    throw new Refusal("no", "never", { why: 1 });
  }),
  handleRaw("raw", (payload) => payload),
  // @ts-expect-error: bytes are wanted
  handleRaw("text", () => "text"),
];

onConfigure((settings: { greeting?: string }) => void settings.greeting);
onConfigure((settings) => void settings.a, schema);

export async function ask(password: string): Promise<number> {
  const c: Client = await connect({ brokers: ["broker:9092"], tls: true, sasl: { mechanism: "SCRAM-SHA-512", username: "u", password } });
  try {
    const total = await c.call<Sum, Total>("calculate", { a: 10, b: 5 }, { timeout: 5000, key: "account-17", headers: { tenant: "7" } });
    return total.result;
  } catch (err) {
    if (err instanceof HandlerError) return err.code.length;
    if (err instanceof RejectedError) return err.status === "no_handler" ? 1 : 2;
    throw err;
  } finally {
    await c.close();
  }
}
