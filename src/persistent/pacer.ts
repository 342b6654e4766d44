/**
 * Sends what several sources have, one message of each in turn, no faster than the venue allows, and no more than
 * the connection takes. A source is asked for its next message only when it can leave, so that what is sent is
 * what is wanted then.
 */

import type { Clock } from './clock.js';
import { type Rate, TokenBucket } from './token-bucket.js';

export interface Source {
  readonly hasNext: boolean;
  /** Sends one message. False: the connection is full. What it throws stops the pacer until `drained()`. */
  sendNext(): boolean;
}

export class Pacer {
  readonly #clock: Clock;
  readonly #bucket: TokenBucket | undefined;
  readonly #sources: readonly Source[];
  readonly #onThrow: (thrown: unknown) => void;
  #turn = 0;
  #awake = false;
  #full = false;
  #stopped = false;
  #cancelTimer: (() => void) | undefined;

  constructor(
    clock: Clock,
    rate: Rate | undefined,
    sources: readonly Source[],
    onThrow: (thrown: unknown) => void,
  ) {
    this.#clock = clock;
    this.#bucket = rate === undefined ? undefined : new TokenBucket(rate, clock.now());
    this.#sources = sources;
    this.#onThrow = onThrow;
  }

  /** A source has something. Sending begins when the current callback is over: more may come together. */
  wake(): void {
    if (this.#awake || this.#stopped || this.#full) return;
    this.#awake = true;
    queueMicrotask(() => {
      this.#awake = false;
      this.#run();
    });
  }

  /** The connection takes more. */
  drained(): void {
    this.#full = false;
    this.wake();
  }

  /** A message that is sent now or not at all: is it allowed? */
  take(): boolean {
    return this.#bucket === undefined || this.#bucket.take(this.#clock.now());
  }

  /** A frame has left that nobody asked about: a Pong, or a heartbeat's Ping. */
  spend(): void {
    this.#bucket?.spend(this.#clock.now());
  }

  /** ms until a message may leave; 0: now. */
  get wait(): number {
    return this.#bucket?.wait(this.#clock.now()) ?? 0;
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
  }

  #run(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    while (!this.#stopped && !this.#full) {
      const source = this.#next();
      if (source === undefined) return;
      if (!this.take()) {
        this.#cancelTimer = this.#clock.after(this.wait, () => this.#run());
        return;
      }
      try {
        this.#full = !source.sendNext();
      } catch (thrown) {
        this.#full = true;
        this.#onThrow(thrown);
      }
    }
  }

  #next(): Source | undefined {
    for (let i = 1; i <= this.#sources.length; i++) {
      const index = (this.#turn + i) % this.#sources.length;
      if (!this.#sources[index].hasNext) continue;
      this.#turn = index;
      return this.#sources[index];
    }
    return undefined;
  }
}
