#!/usr/bin/env node
// Bundles a plugin into one file that needs nothing beside it: main.ts becomes
// main.mjs, in the same folder.
import { basename, dirname, join } from "node:path";

const [source, ...more] = process.argv.slice(2);
if (!source || more.length > 0) {
  console.error("usage: rrhost-bundle FOLDER/main.ts\n\nIt writes FOLDER/main.mjs, which plugin.toml names: command = [\"node\", \"main.mjs\"]");
  process.exit(2);
}
const target = join(dirname(source), basename(source).replace(/\.[cm]?[jt]sx?$/, "") + ".mjs");
if (target === source) {
  console.error(`${source}: the bundle would overwrite it; name the source otherwise, such as main.ts`);
  process.exit(2);
}
const { build } = await import("esbuild").catch(() => {
  console.error("rrhost-bundle needs esbuild: npm install --save-dev esbuild");
  process.exit(1);
});
await build({
  entryPoints: [source],
  outfile: target,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  legalComments: "eof",
  // Libraries that are still CommonJS ask for Node's own modules by require.
  banner: { js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);' },
  logLevel: "warning",
}).catch(() => process.exit(1)); // esbuild has said why
