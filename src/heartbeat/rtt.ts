/** Round trips of one connection: smoothed as TCP does it (RFC 6298 §2), and their distribution. */

import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

/** Round trips in ms: from the write of a Ping, or request, to the read that brought its answer. */
export interface RttSummary {
  readonly count: number;
  readonly last: number;
  readonly min: number;
  readonly max: number;
  /** SRTT and RTTVAR of RFC 6298. */
  readonly smoothed: number;
  readonly deviation: number;
  /** The latest ones, oldest first: eight at most. */
  readonly recent: readonly number[];
  /** Of all round trips since percentiles were first asked for (`stats()`) or, in mode `always`, of all: to 10 %. */
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

const RECENT = 8;
/** RFC 6298 §2.3: 1/8 and 1/4. */
const ALPHA = 0.125;
const BETA = 0.25;

/** µs; one significant figure takes 3.7 kB a connection where two would take 13. */
const HISTOGRAM = { lowest: 1, highest: 100_000_000, figures: 1 };

export class Rtt {
  #count = 0;
  #smoothed = 0;
  #deviation = 0;
  #min = Infinity;
  #max = 0;
  readonly #recent: number[] = [];
  /** Made when somebody asks: ten thousand idle connections can do without. */
  #histogram: RecordableHistogram | undefined;

  add(roundTrip: number): void {
    if (this.#count === 0) {
      this.#smoothed = roundTrip;
      this.#deviation = roundTrip / 2;
    } else {
      this.#deviation += BETA * (Math.abs(this.#smoothed - roundTrip) - this.#deviation);
      this.#smoothed += ALPHA * (roundTrip - this.#smoothed);
    }
    this.#count++;
    if (roundTrip < this.#min) this.#min = roundTrip;
    if (roundTrip > this.#max) this.#max = roundTrip;
    if (this.#recent.length === RECENT) this.#recent.shift();
    this.#recent.push(roundTrip);
    this.#record(roundTrip);
  }

  /** From now on every round trip is recorded; the latest ones are already. */
  keepHistogram(): RecordableHistogram {
    if (this.#histogram === undefined) {
      this.#histogram = createHistogram(HISTOGRAM);
      for (const roundTrip of this.#recent) this.#record(roundTrip);
    }
    return this.#histogram;
  }

  /** RFC 6298 §2.3: what a round trip hardly ever exceeds. */
  get bound(): number {
    return this.#smoothed + 4 * this.#deviation;
  }

  summary(): RttSummary {
    const histogram = this.keepHistogram();
    const percentile = (p: number): number => histogram.percentile(p) / 1000;
    return {
      count: this.#count,
      last: this.#recent[this.#recent.length - 1],
      min: this.#min,
      max: this.#max,
      smoothed: this.#smoothed,
      deviation: this.#deviation,
      recent: [...this.#recent],
      p50: percentile(50),
      p90: percentile(90),
      p99: percentile(99),
    };
  }

  #record(roundTrip: number): void {
    const microseconds = Math.round(roundTrip * 1000);
    this.#histogram?.record(Math.min(HISTOGRAM.highest, Math.max(HISTOGRAM.lowest, microseconds)));
  }
}
