// The parts that speak to Kafka, with a broker of the test's own behind them.
import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { test } from "node:test";
import { MultipleErrors, NetworkError, ProtocolError, UserError } from "@platformatic/kafka";
import { type ReplyRecord, type RequestRecord, UnsentError } from "#dist/client/client.js";
import { type PartitionReader, Tail } from "#dist/client/tail.js";
import { baseOptions, retries } from "#dist/client/kafka.js";
import { type Sender, type Topics, Writer, producerOptions } from "#dist/client/writer.js";
import { partitionOf } from "#dist/client/partition.js";

const partitions = [{ leader: 1 }, { leader: -1 }, { leader: 1 }, { leader: 2 }];
const metadata = async ({ topics: [name] }: { topics: string[] }) => ({
  topics: new Map([[name, { id: "topic-id", partitionsCount: partitions.length, partitions }]]),
});

const away = () => Promise.reject(new NetworkError("away"));

interface Message {
  partition: number;
  value: Buffer;
  key?: Buffer;
  headers: Map<Buffer, Buffer>;
}

/** Producers whose sends the test settles. */
class Broker {
  readonly sends: { producer: number; values: string[]; messages: Message[]; ok: () => void; fail: (err: unknown) => void }[] = [];
  readonly closed: number[] = [];
  private made = 0;

  readonly writer: Writer;

  constructor(answer: typeof metadata = metadata, delayMs?: () => number) {
    const newProducer = () => {
      const producer = ++this.made;
      return {
        send: ({ messages }: { messages: Message[] }) =>
          new Promise((resolve, reject) => {
            this.sends.push({ producer, messages, values: messages.map((m) => m.value.toString()), ok: () => resolve({}), fail: reject });
          }),
        close: async () => void this.closed.push(producer),
      } as unknown as Sender;
    };
    this.writer = new Writer({ metadata: answer, close: async () => {} } as unknown as Topics, newProducer, delayMs);
  }

  send(value: string, change: Partial<RequestRecord> = {}): Promise<void> {
    return this.writer.send({ topic: "t", key: Buffer.from("k"), value: Buffer.from(value), headers: [], wanted: () => true, ...change });
  }

  async sent(n: number): Promise<this["sends"][number]> {
    while (this.sends.length < n) await turn();
    await turn();
    assert.equal(this.sends.length, n);
    return this.sends[n - 1]!;
  }
}

test("what waits for a partition goes as one batch, in order", async () => {
  const b = new Broker();
  const first = [b.send("1"), b.send("2", { headers: [["h", "a"], ["h", "b"]] })];
  const batch = await b.sent(1);
  assert.deepEqual(batch.values, ["1", "2"]);
  assert.equal(batch.messages[0]!.partition, partitionOf(Buffer.from("k"), 4));
  assert.deepEqual([...batch.messages[1]!.headers].map(String), ["h,a", "h,b"]);
  const then = [b.send("3"), b.send("4", { wanted: () => false }), b.send("5"), b.send("6", { value: Buffer.alloc(900_000, "x") }), b.send("7")];
  await turn();
  assert.equal(b.sends.length, 1); // one of a partition at a time
  batch.ok();
  await Promise.all(first);
  assert.deepEqual((await b.sent(2)).values, ["3", "5"]); // nobody wants 4
  b.sends[1]!.ok();
  assert.equal((await b.sent(3)).values[0]!.length, 900_000);
  b.sends[2]!.ok();
  assert.deepEqual((await b.sent(4)).values, ["7"]);
  b.sends[3]!.ok();
  await Promise.all([then[0], then[2], then[3], then[4]]);
  await b.writer.close();
  assert.deepEqual(b.closed, [1]);
});

test("requests without a key take turns over the partitions with a leader", async () => {
  const b = new Broker();
  const sent = Array.from({ length: 6 }, (_, i) => b.send(String(i), { key: undefined }));
  await b.sent(3);
  for (const s of b.sends) s.ok();
  await Promise.all(sent);
  assert.deepEqual(b.sends.map((s) => [s.messages[0]!.partition, s.values.length]).sort(), [[0, 2], [2, 2], [3, 2]]);
  assert.ok(b.sends.every((s) => s.messages.every((m) => m.key === undefined)));
});

test("after a failure, a producer of another id goes on", async () => {
  const b = new Broker();
  const failed = assert.rejects(b.send("1"), /away/);
  const elsewhere = ["a", "b", "c", "d"].map((k) => Buffer.from(k)).find((k) => partitionOf(k, 4) !== partitionOf(Buffer.from("k"), 4));
  const other = b.send("2", { key: elsewhere }); // to another partition, on the same producer
  await b.sent(2);
  b.sends[0]!.fail(new Error("away"));
  await failed;
  const next = b.send("3");
  assert.equal((await b.sent(3)).producer, 2);
  assert.deepEqual(b.closed, []); // while one of its batches is under way
  b.sends[1]!.ok();
  b.sends[2]!.ok();
  await Promise.all([other, next]);
  await turn();
  assert.deepEqual(b.closed, [1]);
});

test("a batch that is refused for one record is sent one by one", async () => {
  const b = new Broker();
  const [small, large] = [b.send("small"), assert.rejects(b.send("large"), ProtocolError)];
  (await b.sent(1)).fail(new ProtocolError("MESSAGE_TOO_LARGE"));
  assert.deepEqual((await b.sent(2)).values, ["small"]);
  b.sends[1]!.ok();
  assert.deepEqual((await b.sent(3)).values, ["large"]);
  b.sends[2]!.fail(new ProtocolError("MESSAGE_TOO_LARGE"));
  await Promise.all([small, large]);
});

test("requests with one key keep the order of their calls while the brokers are asked again", async () => {
  let [asked, ended] = [0, false];
  const b = new Broker(() => (asked++ === 0 ? away() : metadata({ topics: ["t"] })));
  const first = b.send("1");
  void b.send("2", { wanted: () => !ended });
  await turn();
  ended = true;
  const third = b.send("3");
  const batch = await b.sent(1);
  assert.deepEqual(batch.values, ["1", "3"]);
  batch.ok();
  await Promise.all([first, third]);
});

test("each request has its own tries to find the partitions", async () => {
  let asked = 0;
  const b = new Broker(() => (asked++ <= retries ? away() : metadata({ topics: ["t"] })), () => 1);
  const first = assert.rejects(b.send("1"), UnsentError);
  await turn(); // it has failed once
  const second = b.send("2");
  await first;
  const batch = await b.sent(1);
  assert.deepEqual(batch.values, ["2"]);
  batch.ok();
  await second;
});

/** A writer that sends nothing, with the answers to its questions for metadata. */
function asking(...answers: (() => Promise<unknown>)[]): { writer: Writer; asked: () => number } {
  let asked = 0;
  const topics = { metadata: () => answers[Math.min(asked++, answers.length - 1)]!(), close: async () => {} };
  const writer = new Writer(topics as unknown as Topics, () => ({ send: async () => ({}), close: async () => {} }) as unknown as Sender);
  return { writer, asked: () => asked };
}

const wanted: RequestRecord = { topic: "t", key: undefined, value: Buffer.from("v"), headers: [], wanted: () => true };

test("a topic that does not exist is told at once, and a broker that is away is asked again", async () => {
  const missing = asking(() => Promise.reject(new UserError("Unknown topic t.")));
  await assert.rejects(missing.writer.send(wanted), (err: unknown) => err instanceof UnsentError && /topic t does not exist/.test(err.message));
  assert.equal(missing.asked(), 1);

  const back = asking(away, away, () => metadata({ topics: ["t"] }));
  await back.writer.send(wanted);
  assert.equal(back.asked(), 3);

  const unwanted = asking(away);
  await assert.rejects(unwanted.writer.send({ ...wanted, wanted: () => false }), UnsentError);
  assert.equal(unwanted.asked(), 1);

  const closed = asking(away);
  const sending = assert.rejects(closed.writer.send(wanted), UnsentError);
  while (closed.asked() < 3) await turn();
  await closed.writer.close();
  await sending;
  assert.equal(closed.asked(), 3);
});

test("a topic that was deleted while it was known is forgotten, and told", async () => {
  let forgotten = 0;
  const topics = { metadata, close: async () => {}, clearMetadata: () => void forgotten++ };
  const gone = new MultipleErrors("Producing messages failed.", [new UserError("Unknown topic t.")]);
  const writer = new Writer(topics as unknown as Topics, () => ({ send: () => Promise.reject(gone), close: async () => {} }) as unknown as Sender);
  // An earlier try may have reached it, and a host that reads it.
  await assert.rejects(writer.send(wanted), (err: unknown) => err instanceof Error && !(err instanceof UnsentError) && /^topic t does not exist/.test(err.message));
  assert.equal(forgotten, 1);

  const delay = (operation: string, err: Error) => producerOptions(baseOptions({ brokers: ["b:1"], clientId: "c", tls: undefined, sasl: undefined })).retryDelay({}, operation, 9, 20, err);
  const unknown = new ProtocolError("UNKNOWN_TOPIC_OR_PARTITION");
  assert.ok(20 * delay("metadata", unknown) < 1000);
  assert.equal(delay("metadata", new NetworkError("away")), 1000);
  assert.equal(delay("produce", unknown), 1000);
});

const batch = (first: number, values: (string | null)[], attributes = 0) => ({
  firstOffset: BigInt(first),
  lastOffsetDelta: values.length - 1,
  attributes,
  // null: compacted away
  records: values.flatMap((v, offsetDelta) => (v === null ? [] : [{ offsetDelta, key: null, value: Buffer.from(v), headers: [] }])),
});

test("a tail begins at the end, takes each record once, and outlives a log that is cut", async () => {
  const asked: bigint[] = [];
  const ends = new Map([[-1n, 10n], [-2n, 0n]]); // latest, earliest
  let refreshed = 0;
  const script: (() => ReturnType<typeof batch>[])[] = [
    () => [batch(8, ["8", "9", "10", null, "12"]), batch(13, ["marker"], 32)],
    () => [],
    () => {
      throw new ProtocolError("NOT_LEADER_OR_FOLLOWER");
    },
    () => [batch(14, ["14"])],
    () => {
      [ends.set(-2n, 20n), ends.set(-1n, 30n)]; // trimmed
      throw new ProtocolError("OFFSET_OUT_OF_RANGE");
    },
    () => {
      [ends.set(-2n, 0n), ends.set(-1n, 5n)]; // lost
      throw new ProtocolError("OFFSET_OUT_OF_RANGE");
    },
    () => [batch(0, ["again"])],
  ];
  let tail: Tail;
  let closed = 0;
  const reader = {
    metadata: async (options: { topics: string[]; forceUpdate?: boolean }) => {
      if (options.forceUpdate) refreshed++;
      return metadata(options);
    },
    listOffsetsWithTimestamps: async ({ partitions: p, timestamp }: { partitions: Record<string, number[]>; timestamp: bigint }) =>
      new Map([["t", new Map([[p.t![0]!, { offset: ends.get(timestamp)! }]])]]),
    fetch: async ({ topics: [topic] }: { topics: { topicId: string; partitions: { partition: number; fetchOffset: bigint }[] }[] }) => {
      assert.equal(topic!.topicId, "topic-id");
      assert.equal(topic!.partitions[0]!.partition, tail.partition);
      asked.push(topic!.partitions[0]!.fetchOffset);
      const next = script.shift();
      if (next) return { responses: [{ partitions: [{ records: next() }] }] };
      await tail.close();
      throw new Error("closed");
    },
    close: async () => void closed++,
  };
  tail = await Tail.open(reader as unknown as PartitionReader, "t");
  const values: string[] = [];
  await tail.run(({ value }: ReplyRecord) => values.push(Buffer.from(value!).toString()));
  assert.deepEqual(values, ["10", "12", "14", "again"]);
  assert.deepEqual(asked, [10n, 14n, 14n, 14n, 15n, 20n, 0n, 1n]);
  assert.deepEqual([refreshed, tail.repositioned, closed], [1, 2, 1]);
});

test("a tail that cannot be opened leaves no connection", async () => {
  let closed = 0;
  const reader = { metadata: () => Promise.reject(new Error("Unknown topic t.")), close: async () => void closed++ };
  await assert.rejects(Tail.open(reader as unknown as PartitionReader, "t"), /Unknown topic/);
  assert.equal(closed, 1);
});
