export interface Quantiles {
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
}

/** Of values that are sorted. */
export function quantiles(sorted: ArrayLike<number>): Quantiles {
  return {
    p50: quantile(sorted, 0.5),
    p90: quantile(sorted, 0.9),
    p99: quantile(sorted, 0.99),
    p999: quantile(sorted, 0.999),
    max: sorted[sorted.length - 1],
  };
}

/** The one below which `q` of them lie. */
function quantile(sorted: ArrayLike<number>, q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** How far the rounds typically lie from their median, relative to it. */
export function spread(values: readonly number[]): number {
  const center = median(values);
  return median(values.map((value) => Math.abs(value - center))) / center;
}

/**
 * Between which bounds the median of such values lies with 95 % confidence: the percentile bootstrap, with a generator
 * of its own so that the same samples always give the same interval.
 */
export function interval(values: readonly number[]): [low: number, high: number] {
  const medians = Array.from({ length: RESAMPLES }, (_, seed) => {
    const next = generator(seed + 1);
    return median(values.map(() => values[Math.floor(next() * values.length)]));
  }).sort((a, b) => a - b);
  return [quantile(medians, 0.025), quantile(medians, 0.975)];
}

const RESAMPLES = 400;

/** Park and Miller's minimal standard generator: good enough to choose among a few rounds. */
function generator(seed: number): () => number {
  let state = (seed * 48_271) % 2_147_483_647;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** Points of a latency curve: the share of values that are greater, from 1 down to that of the greatest, and the value. */
export function curve(sorted: ArrayLike<number>): [share: number, value: number][] {
  const points: [number, number][] = [];
  for (let share = 1; share * sorted.length >= 1; share /= 10 ** 0.125) {
    points.push([share, quantile(sorted, 1 - share)]);
  }
  return points;
}
