/**
 * How often this process may connect to a host. Venues count attempts by address, whoever of us makes them, and ban
 * who exceeds: so all connections of the process to one host share one bucket, and wait for their turn in order.
 */

import { type Clock, systemClock } from './clock.js';
import { type Rate, TokenBucket } from './token-bucket.js';

/** For hosts of which nothing is known: 300 attempts a minute, 100 of them at once. */
export const DEFAULT_CONNECTION_RATE: Rate = { limit: 300, per: 60_000, burst: 100 };

/** A place in the queue. */
export interface Turn {
  /** It has come already. */
  readonly granted: boolean;
  /** ms until it comes, by what is known when it is asked for. */
  readonly wait: number;
  cancel(): void;
}

export class ConnectionBudget {
  readonly #clock: Clock;
  #bucket: TokenBucket;
  #waiting: (() => void)[] = [];
  #cancelTimer: (() => void) | undefined;
  #heldUntil = 0;

  constructor(rate: Rate = DEFAULT_CONNECTION_RATE, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#bucket = new TokenBucket(rate, clock.now());
  }

  /** Calls `begin` when it is its turn, at once if that is now; those who asked before come first. */
  request(begin: () => void): Turn {
    if (this.#waiting.length === 0 && this.#bucket.take(this.#clock.now())) {
      begin();
      return { granted: true, wait: 0, cancel() {} };
    }
    this.#waiting.push(begin);
    this.#schedule();
    return {
      granted: false,
      wait: this.#bucket.wait(this.#clock.now(), this.#waiting.length),
      cancel: () => {
        this.#waiting = this.#waiting.filter((each) => each !== begin);
        this.#schedule();
      },
    };
  }

  /** The host asks to be left alone for `ms`. Then its bucket is empty, and attempts are spread. */
  holdOff(ms: number): void {
    const until = this.#clock.now() + ms;
    if (ms <= 0 || until <= this.#heldUntil) return;
    this.#heldUntil = until;
    this.#bucket.freezeUntil(until);
    this.#schedule();
  }

  /** ms for which the host is left alone still. */
  get heldFor(): number {
    return Math.max(0, this.#heldUntil - this.#clock.now());
  }

  /** @internal True when forgetting this budget changes nothing. */
  get isIdle(): boolean {
    const { burst } = this.#bucket.rate;
    return this.#waiting.length === 0 && this.#bucket.wait(this.#clock.now(), burst) === 0;
  }

  /** @internal Of those who share a host and name different limits, the strictest is right. */
  tighten(rate: Rate): void {
    const proposed = new TokenBucket(rate, this.#clock.now());
    const { limit, per } = this.#bucket.rate;
    if (proposed.rate.limit / proposed.rate.per >= limit / per) return;
    if (!this.isIdle) proposed.freezeUntil(Math.max(this.#heldUntil, this.#clock.now()));
    this.#bucket = proposed;
    this.#schedule();
  }

  #schedule(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (this.#waiting.length === 0) return;
    this.#cancelTimer = this.#clock.after(this.#bucket.wait(this.#clock.now()), () => {
      this.#cancelTimer = undefined;
      while (this.#waiting.length > 0 && this.#bucket.take(this.#clock.now())) this.#waiting.shift()!();
      this.#schedule();
    });
  }
}

/** Budgets by host, or by the name under which several hosts count as one. */
const shared = new Map<string, ConnectionBudget>();

/** Beyond so many, those that are full again are forgotten: they would be made anew just the same. */
const MANY = 1_000;

/** The budget that everybody in this process shares who names `key`. */
export function sharedBudget(key: string, rate: Rate | undefined): ConnectionBudget {
  let budget = shared.get(key);
  if (budget === undefined) {
    if (shared.size >= MANY) for (const [each, { isIdle }] of shared) if (isIdle) shared.delete(each);
    budget = new ConnectionBudget(rate);
    shared.set(key, budget);
  } else if (rate !== undefined) {
    budget.tighten(rate);
  }
  return budget;
}
