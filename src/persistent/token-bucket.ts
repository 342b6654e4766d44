/**
 * A token bucket that keeps a venue's limit exactly: never more than `limit` within any period of `per` ms. It
 * holds `burst` tokens and gains `limit - burst` of them in a period, so that a full bucket and what flows into it
 * during the period are together no more than the limit.
 */

import { UsageError } from '../errors.js';

export interface Rate {
  /** At most so many … */
  readonly limit: number;
  /** … within any so many ms. */
  readonly per: number;
  /** How many of them at once; the rest is spread evenly. Default: half of `limit`, rounded up. */
  readonly burst?: number;
}

export class TokenBucket {
  readonly rate: Required<Rate>;
  readonly #perMs: number;
  #tokens: number;
  #at: number;

  /** @throws UsageError `ERR_INVALID_OPTION` */
  constructor(rate: Rate, now: number) {
    this.rate = complete(rate);
    this.#perMs = (this.rate.limit - this.rate.burst) / this.rate.per;
    this.#tokens = this.rate.burst;
    this.#at = now;
  }

  /** Takes a token, if there is one. */
  take(now: number): boolean {
    this.#refill(now);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Takes one that cannot wait, such as a Pong's: others wait the longer for it. */
  spend(now: number): void {
    this.#refill(now);
    this.#tokens = Math.max(this.#tokens - 1, -this.rate.limit);
  }

  /** ms until the `count`th token from now is there. */
  wait(now: number, count = 1): number {
    this.#refill(now);
    if (this.#tokens >= count) return 0;
    return this.#at - now + Math.ceil((count - this.#tokens) / this.#perMs);
  }

  /** The other side wants to be left alone until `time`: the bucket is empty, and nothing flows in before. */
  freezeUntil(time: number): void {
    this.#tokens = Math.min(this.#tokens, 0);
    this.#at = Math.max(this.#at, time);
  }

  #refill(now: number): void {
    if (now <= this.#at) return;
    this.#tokens = Math.min(this.rate.burst, this.#tokens + (now - this.#at) * this.#perMs);
    this.#at = now;
  }
}

function complete({ limit, per, burst = Math.ceil(limit / 2) }: Rate): Required<Rate> {
  // A limit of 1 leaves nothing to flow in once the burst is taken off: it is spread over its period.
  if (limit === 1) return complete({ limit: 2, per: per * 2, burst: 1 });
  if (limit > 1 && per > 0 && burst >= 1 && burst < limit && Number.isFinite(limit / per))
    return { limit, per, burst };
  throw new UsageError(
    'ERR_INVALID_OPTION',
    `A rate has a limit of at least 1, a period in ms above 0, and a burst from 1 to below its limit, ` +
      `not ${limit} per ${per} ms, burst ${burst}`,
  );
}
