/**
 * What the application wants to be subscribed to: each key once, with a count of those who want it. This is the one
 * truth that every connection is brought in line with; it knows of none.
 */

import { HeartwireError } from '../errors.js';
import { type Deferred, deferred } from './deferred.js';
import type { SubscriptionState } from './subscription.js';

/** One key of the desired set, with what is known of it. */
export class Entry {
  readonly key: string;
  /** What the first who wanted it said about it, for the builder of the request. */
  readonly params: unknown;
  references = 0;
  state: SubscriptionState = 'pending';
  refusal: HeartwireError | undefined;
  lastDataAt: number | undefined;
  #settled: Deferred<void> | undefined;

  constructor(key: string, params: unknown) {
    this.key = key;
    this.params = params;
  }

  /** See `Subscription.acknowledged`. */
  get acknowledged(): Promise<void> {
    if (this.#settled === undefined) {
      this.#settled = deferred();
      this.#settled.promise.catch(() => {});
      this.settle();
    }
    return this.#settled.promise;
  }

  /** Tells those who wait, if there is something to tell. */
  settle(): void {
    if (this.state === 'subscribed') this.#settled?.resolve();
    else if (this.state === 'refused') this.#settled?.reject(this.refusal!);
    else if (this.state === 'released') this.#settled?.reject(released(this.key));
  }

  pending(): void {
    // Who was told of a refusal may ask again.
    if (this.state === 'refused') this.#settled = undefined;
    this.state = 'pending';
  }
}

export class DesiredSet {
  readonly #entries = new Map<string, Entry>();

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  entries(): IterableIterator<Entry> {
    return this.#entries.values();
  }

  /** One more who wants it. */
  add(key: string, params: unknown): Entry {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = new Entry(key, params);
      this.#entries.set(key, entry);
    }
    entry.references++;
    return entry;
  }

  /** One less. */
  release(entry: Entry): void {
    entry.references--;
    if (entry.references > 0) return;
    this.#entries.delete(entry.key);
    entry.state = 'released';
    entry.settle();
  }

  /** The connection that they were subscribed on is gone. */
  lost(): void {
    for (const entry of this.#entries.values()) entry.pending();
  }
}

function released(key: string): HeartwireError {
  return new HeartwireError('ERR_ABORTED', `Nobody wants to be subscribed to ${key} any more`);
}
