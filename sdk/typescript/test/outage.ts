// A requester whose broker dies under it and comes back. It says where it is; the
// test that runs it kills the broker after the first line.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as open } from "rrhost/client";
import { options, topic } from "./site.js";

/** Whether the broker takes connections. */
const up = () =>
  new Promise<boolean>((resolve) => {
    const [host, port] = options.brokers.split(":");
    const socket = connect(Number(port), host, () => resolve(true)).on("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });

const c = await open(options);
assert.equal(await c.call(topic("echo"), 1), 1);
console.log("answered");

while (await up()) await sleep(10);
const during = c.call(topic("echo"), 2);
console.log("waiting");
assert.equal(await during, 2);
console.log("answered after the outage");
assert.equal(await c.call(topic("echo"), 3), 3);
console.log("answered again");

await c.close();
