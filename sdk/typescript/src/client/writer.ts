import { setTimeout as sleep } from "node:timers/promises";
import { Base, type ClusterTopicMetadata, Producer } from "@platformatic/kafka";
import { type RequestRecord, type Requests, UnsentError } from "./client.js";
import { type KafkaOptions, baseOptions, isKafkaError, isUnknownTopic, retries, retryDelayMs } from "./kafka.js";
import { partitionOf } from "./partition.js";
import { reasonOf } from "./reason.js";

interface Waiting {
  record: RequestRecord;
  bytes: number;
  tries: number; // to find the topic's partitions
  resolve: () => void;
  reject: (err: unknown) => void;
}

// Below what a broker with default settings takes in one batch.
const maxBatchBytes = 900_000;
const recordOverhead = 128;

/** What a writer needs of a client for metadata, and of a producer. */
export type Topics = Pick<Base, "metadata" | "clearMetadata" | "close">;
export type Sender = Pick<Producer, "send" | "close">;

/**
 * Sends requests: idempotent, acknowledged by all replicas, in order within a
 * partition. What comes for a topic while its partitions are asked for goes on
 * with the answer, in the order it came; what waits for a partition while a batch
 * of it is under way goes as the next batch.
 */
export class Writer implements Requests {
  private life: Life;
  private readonly lives = new Set<Life>(); // that have connections
  private readonly arrivals = new Map<string, Waiting[]>(); // by topic; there while its partitions are asked for
  private readonly lanes = new Map<string, Waiting[]>(); // by topic and partition; there while one is under way
  private turn = Math.floor(Math.random() * 1024);
  private readonly closing = new AbortController();

  /** @param topics tells how many partitions there are, and tries once: that a topic is missing is not worth more */
  constructor(
    private readonly topics: Topics,
    private readonly newProducer: () => Sender,
    private readonly delayMs = retryDelayMs,
  ) {
    this.life = this.begin();
  }

  /** A writer with connections of its own. */
  static over(options: KafkaOptions): Writer {
    const base = baseOptions(options);
    return new Writer(new Base({ ...base, retries: 0 }), () => new Producer(producerOptions(base)));
  }

  send(record: RequestRecord): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const bytes = record.value.length + (record.key?.length ?? 0) + recordOverhead * (record.headers.length + 1);
      const waiting: Waiting = { record, bytes, tries: 0, resolve, reject };
      const queue = this.arrivals.get(record.topic);
      if (queue) {
        queue.push(waiting);
        return;
      }
      this.arrivals.set(record.topic, [waiting]);
      void this.place(record.topic);
    });
  }

  /** Ends the connections. What is under way fails. */
  async close(): Promise<void> {
    this.closing.abort();
    await Promise.all([this.topics.close(), ...[...this.lives].map((life) => life.producer.close())]);
  }

  /**
   * Puts what came for a topic into lanes, all at once: if each request asked for
   * itself, one that has to ask again would be overtaken. Of a topic that does not
   * exist, the first answer counts. It never rejects.
   */
  private async place(topic: string): Promise<void> {
    const { signal } = this.closing;
    for (const queue = this.arrivals.get(topic)!; queue.length > 0; ) {
      try {
        const { tries } = queue[0]!; // of those that wait, the most
        if (tries > 0) await sleep(this.delayMs(tries), undefined, { signal });
        const found = (await this.topics.metadata({ topics: [topic] })).topics.get(topic)!;
        const chosen = queue.map(({ record }) => this.choose(record, found));
        for (const [i, waiting] of queue.splice(0).entries()) this.enter(waiting, chosen[i]!);
      } catch (err) {
        const unknown = isUnknownTopic(err);
        const why = new UnsentError(unknown ? missing(topic) : reasonOf(err), err);
        for (const waiting of queue.splice(0)) {
          if (unknown || signal.aborted || ++waiting.tries > retries || !waiting.record.wanted()) waiting.reject(why);
          else queue.push(waiting);
        }
      }
    }
    this.arrivals.delete(topic);
  }

  /** A keyed record goes where all requesters send it; others take turns over the partitions with a leader. */
  private choose({ key }: RequestRecord, { partitions, partitionsCount }: ClusterTopicMetadata): number {
    if (key) return partitionOf(key, partitionsCount);
    for (let tries = 0; tries < partitionsCount; tries++) {
      const partition = this.turn++ % partitionsCount;
      if (partitions[partition]!.leader >= 0) return partition;
    }
    return this.turn++ % partitionsCount;
  }

  /** Puts a record in its lane, and sets the lane going if it is not. */
  private enter(waiting: Waiting, partition: number): void {
    const lane = `${waiting.record.topic}/${partition}`;
    const queue = this.lanes.get(lane);
    if (queue) {
      queue.push(waiting);
      return;
    }
    this.lanes.set(lane, [waiting]);
    // In the next turn, so that calls of this one go along.
    setImmediate(() => void this.drain(lane, partition));
  }

  /** Sends what waits in a lane until nothing does. It never rejects. */
  private async drain(lane: string, partition: number): Promise<void> {
    const queue = this.lanes.get(lane)!;
    while (queue.length > 0) {
      let n = 0;
      for (let bytes = 0; n < queue.length && (n === 0 || bytes + queue[n]!.bytes <= maxBatchBytes); n++) bytes += queue[n]!.bytes;
      const batch = queue.splice(0, n).filter(({ record }) => record.wanted());
      if (batch.length > 0) await this.sendBatch(batch, partition);
    }
    this.lanes.delete(lane);
  }

  private async sendBatch(batch: Waiting[], partition: number): Promise<void> {
    const life = this.life;
    life.users++;
    try {
      await life.producer.send({ messages: batch.map(({ record }) => message(record, partition)) });
      for (const { resolve } of batch) resolve();
    } catch (err) {
      // Whether the batch was written is unknown. Its numbers must not be used
      // for another: the broker would take that one for the same, and drop it.
      if (life === this.life && !this.closing.signal.aborted) this.life = this.begin();
      if (batch.length > 1 && isKafkaError(err, "MESSAGE_TOO_LARGE")) {
        // Refused as a whole, for one of them.
        for (const one of batch) await this.sendBatch([one], partition);
        return;
      }
      if (isUnknownTopic(err)) {
        // Deleted since it was used: the next call is to hear so from the brokers.
        this.topics.clearMetadata();
        for (const { record, reject } of batch) reject(new Error(missing(record.topic)));
        return;
      }
      for (const { reject } of batch) reject(err);
    } finally {
      life.users--;
      await this.endIfUnused(life);
    }
  }

  private begin(): Life {
    const life = { producer: this.newProducer(), users: 0 };
    this.lives.add(life);
    return life;
  }

  /** Ends a producer whose time is over, once its last batch is. */
  private async endIfUnused(life: Life): Promise<void> {
    if (life === this.life || life.users > 0 || !this.lives.delete(life)) return;
    try {
      await life.producer.close();
    } catch {
      // Its connections are gone already.
    }
  }
}

/** The time of one producer id. */
interface Life {
  producer: Sender;
  users: number; // batches under way
}

/** What a producer tries: long enough for a broker's restart. */
export function producerOptions(base: ReturnType<typeof baseOptions>) {
  return {
    ...base,
    idempotent: true,
    retries: 20,
    // A topic that the brokers do not know is missing. The one that is asked may
    // not have heard of a new one yet, so all tries together take half a second.
    retryDelay: (...args: Parameters<typeof base.retryDelay>) => {
      const [, operation, , , err] = args;
      const missing = operation === "metadata" && isKafkaError(err, "UNKNOWN_TOPIC_OR_PARTITION");
      return Math.min(base.retryDelay(...args), missing ? 25 : Infinity);
    },
  };
}

function missing(topic: string): string {
  return `topic ${topic} does not exist (hint: check the name; \`rrhost run\` creates those of its config.toml when it starts)`;
}

function message({ topic, key, value, headers }: RequestRecord, partition: number) {
  return {
    topic,
    partition,
    value,
    ...(key && { key: Buffer.from(key) }),
    // By identity, so that one name may come twice.
    headers: new Map(headers.map(([name, text]) => [Buffer.from(name), Buffer.from(text)])),
  };
}
