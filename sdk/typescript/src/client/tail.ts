import { Consumer } from "@platformatic/kafka";
import { setTimeout as sleep } from "node:timers/promises";
import type { Replies, ReplyRecord } from "./client.js";
import { type KafkaOptions, baseOptions, isKafkaError } from "./kafka.js";

/** What a tail needs of a consumer. */
export type PartitionReader = Pick<Consumer, "metadata" | "fetch" | "listOffsetsWithTimestamps" | "close">;

// A broker holds a fetch for so long where there is no record, in milliseconds.
const fetchWaitMs = 5000;
const fetchBytes = 4 << 20;
// How far to go back after the log lost its end.
const rereadAtMost = 10_000n;
const earliest = -2n;
const latest = -1n;
const readUncommitted = 0;
const isControl = 0b10_0000; // in a batch's attributes

/**
 * Reads one partition of a topic from its end on, without a consumer group. It
 * outlives leader changes and a log that was trimmed under it.
 */
export class Tail implements Replies {
  repositioned = 0;

  private next = 0n; // the offset to read next
  private readonly closing = new AbortController();

  private constructor(
    private readonly consumer: PartitionReader,
    private readonly topic: string,
    readonly partition: number,
  ) {}

  /** A tail with connections of its own. */
  static over(options: KafkaOptions, topic: string): Promise<Tail> {
    const groupId = `${options.clientId}.none`; // asked for, and never joined
    return Tail.open(new Consumer({ ...baseOptions(options), groupId, isolationLevel: readUncommitted }), topic);
  }

  /** Opens a random partition of topic. When it resolves, every record produced from now on will be read. */
  static async open(consumer: PartitionReader, topic: string): Promise<Tail> {
    try {
      const metadata = await consumer.metadata({ topics: [topic] });
      const partitions = metadata.topics.get(topic)!.partitionsCount;
      const tail = new Tail(consumer, topic, Math.floor(Math.random() * partitions));
      tail.next = await tail.offset(latest);
      return tail;
    } catch (err) {
      await consumer.close(true);
      throw err;
    }
  }

  async run(each: (record: ReplyRecord) => void): Promise<void> {
    for (let failures = 0; !this.closing.signal.aborted; ) {
      try {
        await this.fetch(each);
        failures = 0;
      } catch (err) {
        if (this.closing.signal.aborted) return;
        await this.recover(err, failures++);
      }
    }
  }

  /** Ends run, and the connections. */
  async close(): Promise<void> {
    this.closing.abort();
    await this.consumer.close(true);
  }

  private async fetch(each: (record: ReplyRecord) => void): Promise<void> {
    const metadata = await this.consumer.metadata({ topics: [this.topic] });
    const topic = metadata.topics.get(this.topic)!;
    const response = await this.consumer.fetch({
      node: topic.partitions[this.partition]!.leader,
      maxWaitTime: fetchWaitMs,
      minBytes: 1,
      maxBytes: fetchBytes,
      topics: [
        {
          topicId: topic.id,
          partitions: [
            {
              partition: this.partition,
              fetchOffset: this.next,
              partitionMaxBytes: fetchBytes,
              currentLeaderEpoch: -1,
              lastFetchedEpoch: -1,
            },
          ],
        },
      ],
    });
    for (const { partitions } of response.responses) {
      for (const batch of partitions.flatMap((p) => p.records ?? [])) {
        for (const record of batch.attributes & isControl ? [] : batch.records) {
          // A batch is sent whole: it may begin before what was asked for.
          if (batch.firstOffset + BigInt(record.offsetDelta) >= this.next) each(record);
        }
        const after = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n;
        if (after > this.next) this.next = after;
      }
    }
  }

  /** Waits a little, and finds the partition's leader and its place in the log again. It does not throw. */
  private async recover(err: unknown, failures: number): Promise<void> {
    try {
      if (isKafkaError(err, "OFFSET_OUT_OF_RANGE")) {
        const [oldest, newest] = [await this.offset(earliest), await this.offset(latest)];
        const at = this.next > newest ? newest - rereadAtMost : this.next;
        this.next = at > oldest ? at : oldest;
        this.repositioned++;
        return;
      }
      await sleep(Math.min(100 * 2 ** failures, 1000), undefined, { signal: this.closing.signal });
      await this.consumer.metadata({ topics: [this.topic], forceUpdate: true });
    } catch {
      // The next fetch fails in the same way, and comes here again.
    }
  }

  private async offset(at: bigint): Promise<bigint> {
    const offsets = await this.consumer.listOffsetsWithTimestamps({
      topics: [this.topic],
      partitions: { [this.topic]: [this.partition] },
      timestamp: at,
    });
    return offsets.get(this.topic)!.get(this.partition)!.offset;
  }
}
