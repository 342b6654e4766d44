/** By how much one of two copies of a message came after the other. */

export interface LatenessSummary {
  readonly count: number;
  /** ms. */
  readonly mean: number;
  readonly max: number;
  readonly last: number;
}

export class Lateness {
  #count = 0;
  #sum = 0;
  #max = 0;
  #last = 0;

  add(ms: number): void {
    this.#count++;
    this.#sum += ms;
    this.#last = ms;
    if (ms > this.#max) this.#max = ms;
  }

  summary(): LatenessSummary {
    const mean = this.#count === 0 ? 0 : this.#sum / this.#count;
    return { count: this.#count, mean, max: this.#max, last: this.#last };
  }
}
