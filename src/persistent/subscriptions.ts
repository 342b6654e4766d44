/**
 * What the application wants to be subscribed to: each key once, with a count of those who want it. This is the one
 * truth that every connection is brought in line with; it knows of none.
 */

import { HeartwireError } from '../errors.js';

/** Where a key stands. */
export type SubscriptionState =
  /** Not asked for yet, or asked for and not acknowledged. */
  | 'pending'
  /** The connection in use is subscribed, by the word of the other side. */
  | 'subscribed'
  /** The other side does not want it. It is asked again on the next connection. */
  | 'refused'
  /** Nobody wants it any more. */
  | 'released';

/** One key of the desired set, with what is known of it. */
export class Entry {
  readonly key: string;
  /** What the first who wanted it said about it, for the builder of the request. */
  readonly params: unknown;
  references = 0;
  state: SubscriptionState = 'pending';
  refusal: HeartwireError | undefined;
  #settled: PromiseWithResolvers<void> | undefined;

  constructor(key: string, params: unknown) {
    this.key = key;
    this.params = params;
  }

  /** See `Subscription.acknowledged`. */
  get acknowledged(): Promise<void> {
    if (this.#settled === undefined) {
      this.#settled = promiseWithResolvers();
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

/** A wish of the application's, that it can take back. */
export class Subscription {
  readonly #entry: Entry;
  readonly #release: (entry: Entry) => void;
  #released = false;

  /** @internal */
  constructor(entry: Entry, release: (entry: Entry) => void) {
    this.#entry = entry;
    this.#release = release;
  }

  get key(): string {
    return this.#entry.key;
  }

  get state(): SubscriptionState {
    return this.#released ? 'released' : this.#entry.state;
  }

  /**
   * Resolves when the other side has acknowledged it for the first time, on whatever connection. Rejects with a
   * `HeartwireError`, `ERR_SUBSCRIPTION_REFUSED` or `ERR_ABORTED` (nobody wants it any more). Need not be handled.
   */
  get acknowledged(): Promise<void> {
    return this.#entry.acknowledged;
  }

  /** When the last who wanted this key has called it, the venue is told. Only the first call counts. */
  unsubscribe(): void {
    if (this.#released) return;
    this.#released = true;
    this.#release(this.#entry);
  }

  [Symbol.dispose](): void {
    this.unsubscribe();
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

interface PromiseWithResolvers<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** `Promise.withResolvers`, which Node 20 lacks. */
export function promiseWithResolvers<T>(): PromiseWithResolvers<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

function released(key: string): HeartwireError {
  return new HeartwireError('ERR_ABORTED', `Nobody wants to be subscribed to ${key} any more`);
}
