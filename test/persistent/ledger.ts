/** What was delivered, and what was reported missing: together they must be what was sent, each once and in order. */
import assert from 'node:assert/strict';
import type { Gap, Message, PersistentConnection, Resynced } from '../../src/index.js';
import { sequenceOf } from '../../src/index.js';

/** How the exchange numbers its messages. */
export const numbered = sequenceOf(
  { kind: 'contiguous', id: 'seq', per: 'channel' },
  ({ type }) => type === 'snapshot',
);

/** Ids from and to, both inclusive. */
type Range = readonly [number, number];

export class Ledger {
  readonly gaps: Gap[] = [];
  readonly resyncs: Resynced[] = [];
  readonly #delivered = new Map<string, number[]>();
  readonly #reported = new Map<string, Range[]>();

  /** For `onMessage`, or for a loop over strings. */
  readonly took = (message: Message | string): void => {
    const { channel, seq } = (typeof message === 'string' ? JSON.parse(message) : message.json()) as {
      channel?: string;
      seq?: number;
    };
    if (channel !== undefined) this.delivered(channel).push(seq!);
  };

  follow(feed: PersistentConnection): this {
    feed.on('gap', (gap) => {
      this.gaps.push(gap);
      this.#report(gap.channel!, [
        (gap.before?.id ?? Number.NEGATIVE_INFINITY) + 1,
        (gap.after?.id ?? Number.POSITIVE_INFINITY) - 1,
      ]);
    });
    feed.on('resynced', (resynced) => {
      this.resyncs.push(resynced);
      const { channel, snapshot } = resynced;
      const last = this.delivered(channel).at(-1) ?? Number.NEGATIVE_INFINITY;
      this.#report(channel, [last + 1, snapshot!]);
    });
    return this;
  }

  delivered(channel: string): number[] {
    return listOf(this.#delivered, channel);
  }

  /** Forgets what has been looked at: for long runs. The last id stays, for the order. */
  settle(channel: string): void {
    const ids = this.delivered(channel);
    ids.splice(0, ids.length - 1);
    this.#reported.set(channel, []);
    this.gaps.length = 0;
    this.resyncs.length = 0;
  }

  /** Every id that was sent has been delivered or reported, none was delivered twice, late, or though it was reported. */
  check(channel: string, sent: readonly number[], about = ''): void {
    const delivered = this.delivered(channel);
    for (let i = 1; i < delivered.length; i++)
      assert.ok(
        delivered[i] > delivered[i - 1],
        `${channel}: ${delivered[i]} after ${delivered[i - 1]} ${about}`,
      );
    const taken = new Set(delivered);
    const ranges = listOf(this.#reported, channel);
    const isReported = (id: number): boolean => ranges.some(([from, to]) => id >= from && id <= to);
    const silent = sent.filter((id) => !taken.has(id) && !isReported(id));
    if (silent.length > 0) about += `: ${this.#told(channel)}`;
    assert.deepEqual(silent, [], `${channel}: neither delivered nor reported ${about}`);
    // A snapshot is delivered under the id of the update that it ends with.
    const both = delivered.filter((id) => ranges.some(([from, to]) => id >= from && id < to));
    assert.deepEqual(both, [], `${channel}: delivered and reported missing ${about}`);
    const known = new Set(sent);
    const unknown = delivered.filter((id) => id >= sent[0] && !known.has(id));
    assert.deepEqual(unknown, [], `${channel}: delivered and never sent ${about}`);
  }

  /** What was said of a channel, for people. */
  #told(channel: string): string {
    const gaps = this.gaps.map((gap) => ({ ...gap, failure: gap.failure?.kind }));
    const resyncs = this.resyncs.map(({ gap: _, ...resync }) => resync);
    const told = [...gaps, ...resyncs].filter((each) => each.channel === channel);
    return told.map((each) => JSON.stringify(each)).join('\n');
  }

  #report(channel: string, range: Range): void {
    listOf(this.#reported, channel).push(range);
  }
}

function listOf<T>(lists: Map<string, T[]>, name: string): T[] {
  let list = lists.get(name);
  if (list === undefined) {
    list = [];
    lists.set(name, list);
  }
  return list;
}
