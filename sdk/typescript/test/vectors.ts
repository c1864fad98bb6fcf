import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Reads a file of the repository that Go's tests check too. */
export function readVectors<T>(path: string): T {
  const root = new URL("../../../../", import.meta.url); // from build/test
  return JSON.parse(readFileSync(fileURLToPath(new URL(path, root)), "utf8")) as T;
}
