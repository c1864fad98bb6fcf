/** What went wrong, as far down as the library tells: its own texts stop at "failed 6 times". */
export function reasonOf(err: unknown): string {
  if (!(err instanceof Error)) return String(err);
  const below = err instanceof AggregateError ? err.errors.at(-1) : err.cause;
  const text = err.message.replace(/\.$/, "");
  return below instanceof Error && below !== err ? `${text}: ${reasonOf(below)}` : text;
}
