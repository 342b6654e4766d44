/** What a feed has delivered, held against what the exchange has published: nothing lost, twice, or out of order. */
import assert from 'node:assert/strict';
import type { DeduplicationOptions, Message } from '../../src/index.js';

interface Data {
  channel?: string;
  seq?: number;
}

const seqOf = (message: Message): number | undefined => (message.json() as Data).seq;

export const BY_KEY: DeduplicationOptions = { key: seqOf };
export const BY_SEQUENCE: DeduplicationOptions = { sequence: seqOf };

export class Ledger {
  /** The ids of each channel, as they were delivered. */
  readonly delivered = new Map<string, number[]>();
  /** Ids that did not follow the one before. */
  readonly faults: string[] = [];
  count = 0;
  readonly onMessage = (message: Message): void => {
    const { channel, seq } = message.json() as Data;
    if (channel === undefined || seq === undefined) return;
    const ids = this.delivered.get(channel) ?? [];
    this.delivered.set(channel, ids);
    this.count++;
    const last = ids.at(-1);
    if (last !== undefined && seq !== last + 1) this.faults.push(`${channel}: ${seq} after ${last}`);
    ids.push(seq);
    // All that is behind the last fault is known to be good.
    if (ids.length > 10_000) ids.splice(0, 9_000);
  };

  last(channel: string): number {
    return this.delivered.get(channel)?.at(-1) ?? 0;
  }

  assertWhole(what = 'lost, twice, or out of order'): void {
    assert.deepEqual(this.faults.slice(0, 10), [], what);
  }
}
