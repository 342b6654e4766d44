/**
 * How long to wait before the next attempt: not at all for the first, then exponentially longer, with full jitter,
 * so that those who were thrown out together do not come back together.
 */

export interface BackoffOptions {
  /** ms: what the first wait is at most. It doubles with every attempt. Default 1_000. */
  base?: number;
  /** ms: what no wait exceeds. Default 30_000. */
  cap?: number;
}

export class Backoff {
  readonly #base: number;
  readonly #cap: number;
  readonly #random: () => number;
  #exponent = 0;

  constructor({ base = 1_000, cap = 30_000 }: BackoffOptions, random: () => number) {
    this.#base = base;
    this.#cap = cap;
    this.#random = random;
  }

  /** A random wait from 0 to the current bound, which doubles. */
  next(): number {
    const bound = this.bound;
    this.#exponent++;
    return this.#random() * bound;
  }

  /** What the next wait is at most. */
  get bound(): number {
    // 2 ** 64 times any base is beyond any cap; without the limit the power would become infinite.
    return Math.min(this.#cap, this.#base * 2 ** Math.min(this.#exponent, 64));
  }

  reset(): void {
    this.#exponent = 0;
  }
}
