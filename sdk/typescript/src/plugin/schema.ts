import { PayloadError } from "./errors.js";

/** A JSON Schema; without `$schema` of draft 2020-12. The host refuses what does not fit, before the plugin sees it. */
export type JSONSchema = { readonly [keyword: string]: unknown };

/**
 * A schema of a validation library that speaks Standard Schema, such as zod,
 * valibot or arktype. The SDK checks with it, and handlers get what it makes of
 * the value.
 */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
    /** Of libraries that can also say it as JSON Schema. */
    readonly jsonSchema?: { readonly input: (options: { target: "draft-2020-12" }) => Record<string, unknown> };
  };
}

/** What a Standard Schema says about a value. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: ReadonlyArray<StandardIssue> };

/** One part of a value that does not fit. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
}

/** What a Standard Schema makes of a value that fits. */
export type OutputOf<S> = S extends StandardSchema<infer Output> ? Output : never;

export function isStandard(schema: unknown): schema is StandardSchema {
  return (typeof schema === "object" || typeof schema === "function") && schema !== null && "~standard" in schema;
}

/** The bytes of schema for Describe; empty if it has no JSON form. */
export function describeSchema(schema: JSONSchema | StandardSchema | undefined): Uint8Array {
  if (schema === undefined) return new Uint8Array();
  if (!isStandard(schema)) return Buffer.from(JSON.stringify(schema));
  try {
    const json = schema["~standard"].jsonSchema?.input({ target: "draft-2020-12" });
    return json ? Buffer.from(JSON.stringify(json)) : new Uint8Array();
  } catch {
    return new Uint8Array(); // such as one with a transformation: the SDK still checks
  }
}

/**
 * Checks value with schema.
 *
 * @param what the value is, for the message: "payload"
 * @throws PayloadError naming each field that does not fit. The library's own
 * text is left out: it may quote the value.
 */
export async function checked<Output>(schema: StandardSchema<Output>, value: unknown, what: string): Promise<Output> {
  const result = await schema["~standard"].validate(value);
  if (!result.issues) return result.value;
  const places = result.issues.map((issue) => (issue.path ?? []).map((at) => String(typeof at === "object" ? at.key : at)).join("."));
  const said = [...new Set(places)].map((at) => (at === "" ? `the ${what} does not fit` : `field ${JSON.stringify(at)} does not fit`));
  throw new PayloadError(said.join("; "));
}
