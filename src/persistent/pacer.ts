/**
 * Sends what several sources have, one message of each in turn, no faster than the venue allows, and no more than
 * the connection takes. A source is asked for its next message only when it can leave, so that what is sent is
 * what is wanted then.
 */

import type { Clock } from './clock.js';
import type { MessageRate } from './persistent-options.js';
import { TokenBucket } from './token-bucket.js';

export interface Source {
  readonly hasNext: boolean;
  /** Sends one message. False: the connection is full. What it throws stops the pacer until `drained()`. */
  sendNext(): boolean;
}

/** What is spread over a second here may arrive closer together there: a period is taken for so much longer. */
const MARGIN = 1.1;

export class Pacer {
  readonly #clock: Clock;
  readonly #bucket: TokenBucket | undefined;
  readonly #sources: readonly Source[];
  readonly #onThrow: (thrown: unknown) => void;
  /** Tokens that are left for frames that cannot wait. */
  readonly #reserve: number;
  #turn = 0;
  #awake = false;
  #full = false;
  #stopped = false;
  #cancelTimer: (() => void) | undefined;

  constructor(
    clock: Clock,
    rate: MessageRate | undefined,
    sources: readonly Source[],
    onThrow: (thrown: unknown) => void,
  ) {
    this.#clock = clock;
    this.#bucket = rate && new TokenBucket({ ...rate, per: rate.per * MARGIN }, clock.now());
    const keepsOne = (rate?.countsPings || rate?.countsPongs) && this.#bucket!.rate.burst > 1;
    this.#reserve = keepsOne ? 1 : 0;
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
    if (this.#bucket === undefined) return true;
    const now = this.#clock.now();
    return this.#bucket.wait(now, 1 + this.#reserve) === 0 && this.#bucket.take(now);
  }

  /** A frame has left that nobody asked about: a Pong, or a heartbeat's Ping. */
  spend(): void {
    this.#bucket?.spend(this.#clock.now());
  }

  /** ms until a message may leave; 0: now. */
  get wait(): number {
    return this.#bucket?.wait(this.#clock.now(), 1 + this.#reserve) ?? 0;
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
