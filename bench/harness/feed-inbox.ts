/** Receives a feed of `server/feed.ts` and checks that it is complete and in order. */
import { BURST, isNumber, timeOf } from '../server/feed.js';
import type { Mailbox } from './contender.js';
import { monotonic } from './monotonic.js';

export class FeedInbox implements Mailbox {
  readonly #onMessage: ((number: number, madeAt: number) => void) | undefined;
  #latencies: Float64Array | undefined;
  #received = 0;
  #awaited = 0;
  #complete: () => void = ignore;
  #reject: (error: Error) => void = ignore;
  #failure: Error | undefined;

  /** `onMessage` hears each message's number in its burst, and when it was made, in ms of the clock that processes share. */
  constructor(onMessage?: (number: number, madeAt: number) => void) {
    this.#onMessage = onMessage;
  }

  /** Resolves when so many more have come; `latencies` (ms) from being made until being handed over. */
  expect(messages: number, latencies?: Float64Array): Promise<void> {
    this.#received = 0;
    this.#awaited = messages;
    this.#latencies = latencies;
    return new Promise((resolve, reject) => {
      this.#complete = resolve;
      this.#reject = reject;
      if (this.#failure !== undefined) reject(this.#failure);
    });
  }

  text(text: string): void {
    const number = this.#received % BURST;
    if (this.#received === this.#awaited || !isNumber(text, number)) {
      this.fail(new Error(`wrong message: expected number ${number} of a burst, got ${text.slice(0, 40)}`));
      return;
    }
    const madeAt = timeOf(text);
    if (this.#latencies !== undefined) this.#latencies[this.#received] = monotonic() - madeAt;
    this.#received += 1;
    this.#onMessage?.(number, madeAt);
    if (this.#received === this.#awaited) this.#complete();
  }

  binary(): void {
    this.fail(new Error('wrong message: binary'));
  }

  fail(error: Error): void {
    this.#failure ??= error;
    this.#reject(this.#failure);
  }
}

function ignore(): void {}
