/** What an application holds of a subscription. */

import type { Entry } from './desired-set.js';

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
   * When the last message of its channel came, in ms of the clock (`performance.now()`), on whatever connection. Kept
   * only for subscriptions with `continuity`; otherwise, and before the first, undefined.
   */
  get lastDataAt(): number | undefined {
    return this.#entry.lastDataAt;
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
