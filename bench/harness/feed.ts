/**
 * The receiving end of one connection that is sent a sequence of messages over and over: each must be the next one,
 * character by character. A binary message between them tells when the server wrote what follows.
 */
import type { Mailbox } from './contender.js';
import { monotonic } from './monotonic.js';

export class Feed implements Mailbox {
  readonly #expected: readonly string[];
  #next = 0;
  #remaining = 0;
  #latencies: Float64Array | undefined;
  #measured = 0;
  #sentAt = 0;
  #complete: () => void = () => {};
  #reject: (error: Error) => void = () => {};
  #failure: Error | undefined;

  constructor(expected: readonly string[]) {
    this.#expected = expected;
  }

  /** Calls `complete` when `count` more texts have come; their times since they were written, in ms, go into `latencies`. */
  expect(
    count: number,
    latencies: Float64Array | undefined,
    complete: () => void,
    reject: (error: Error) => void,
  ): void {
    this.#remaining = count;
    this.#latencies = latencies;
    this.#measured = 0;
    this.#complete = complete;
    this.#reject = reject;
    if (this.#failure !== undefined) reject(this.#failure);
  }

  text(text: string): void {
    if (this.#latencies !== undefined) this.#latencies[this.#measured++] = monotonic() - this.#sentAt;
    if (text !== this.#expected[this.#next] || this.#remaining === 0) {
      this.fail(new Error(`wrong message in place of ${this.#next}: ${text.slice(0, 60)}`));
      return;
    }
    this.#next = this.#next + 1 === this.#expected.length ? 0 : this.#next + 1;
    this.#remaining -= 1;
    if (this.#remaining === 0) this.#complete();
  }

  binary(bytes: Uint8Array, offset: number, byteLength: number): void {
    if (byteLength !== 8) this.fail(new Error(`a stamp of ${byteLength} bytes`));
    this.#sentAt = new DataView(bytes.buffer, bytes.byteOffset + offset, 8).getFloat64(0);
  }

  fail(error: Error): void {
    this.#failure ??= error;
    this.#reject(this.#failure);
  }
}
