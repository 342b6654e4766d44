/** What a run found: each contender in each case, relative to the others, and everything as JSON at its end. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Sample } from '../harness/contender-process.js';
import type { Machine } from '../harness/machine.js';
import { curve, interval, median, type Quantiles, quantiles, spread } from '../harness/statistics.js';
import type { Outcome } from '../harness/turns.js';
import type { Metric } from '../harness/workload.js';
import type { MicroRow } from '../micro/micro-process.js';

export interface Row {
  workload: string;
  case: string;
  transport: string;
  contender: string;
  metric: Metric;
  failure?: string;
  messagesPerSecond: number;
  /** Microseconds, all rounds together. */
  latency?: Quantiles;
  /** Median distance of a round from the median round, relative. */
  spread: number;
  cpuNanosecondsPerMessage: number;
  collectionsPerMillion: number;
  /** Share of one core that client and server used: a client well below 1 waits for somebody else. */
  busy: { client: number; server: number };
  /** Share of values that are greater, and the value in µs. */
  curve?: [share: number, value: number][];
  /** Time in collections, of all the time. */
  collecting: number;
  /** Bytes at the end of a round: resident, of the JavaScript heap, and how much the case has added to the former. */
  memory: { resident: number; heap: number; added: number };
  /** What was added, relative to theirs. */
  addedRatio: Record<string, number>;
  /** Speed relative to these contenders: median over the rounds of the ratio within a round. */
  ratio: Record<string, number>;
  /** Where that ratio lies with 95 % confidence. */
  ratioInterval: Record<string, [low: number, high: number]>;
  /** Their p99 relative to its own, in the same way; above 1 is faster. Where latency was measured. */
  tailRatio: Record<string, number>;
  /** CPU time relative to theirs, in the same way. */
  cpuRatio: Record<string, number>;
  /** Share of the TLS connections made meanwhile that the server resumed. */
  resumed?: number;
  samples: Sample[];
}

/** The contenders that the table compares with. */
export const REFERENCES = ['ws', 'floor', 'baseline'];

export function summarize(
  title: { workload: string; case: string; transport: string; metric: Metric },
  results: Map<string, Outcome>,
): Row[] {
  const rows: Row[] = [];
  for (const [contender, { samples, serverBusy, tls, failure }] of results) {
    const speeds = samples.map(speed);
    const ratio: Record<string, number> = {};
    const ratioInterval: Row['ratioInterval'] = {};
    const addedRatio: Record<string, number> = {};
    const tailRatio: Record<string, number> = {};
    const cpuRatio: Record<string, number> = {};
    for (const reference of REFERENCES) {
      const others = results.get(reference);
      if (others === undefined || others.failure !== undefined || failure !== undefined) continue;
      const ratios = speeds.map((value, round) => value / speed(others.samples[round]));
      ratio[reference] = median(ratios);
      ratioInterval[reference] = interval(ratios);
      if (samples[0].latency !== undefined) {
        const tails = samples.map(({ latency }, i) => others.samples[i].latency!.p99 / latency!.p99);
        tailRatio[reference] = median(tails);
      }
      addedRatio[reference] = residentAdded(samples) / residentAdded(others.samples);
      cpuRatio[reference] = median(samples.map((sample, round) => cpu(sample) / cpu(others.samples[round])));
    }
    rows.push({
      ...title,
      contender,
      failure,
      messagesPerSecond: median(samples.map(({ messages, seconds }) => messages / seconds)),
      ...latencies(samples),
      spread: spread(speeds),
      cpuNanosecondsPerMessage: median(samples.map(cpu)),
      collectionsPerMillion: (sum(samples, 'collections') / sum(samples, 'messages')) * 1e6,
      busy: {
        client: median(samples.map((sample) => sample.cpuMicrosecondsAltogether / 1e6 / sample.seconds)),
        server: median(serverBusy),
      },
      collecting: sum(samples, 'collectionMilliseconds') / 1000 / sum(samples, 'seconds'),
      memory: {
        resident: median(samples.map(({ residentBytes }) => residentBytes.after)),
        heap: median(samples.map(({ heapBytes }) => heapBytes)),
        added: residentAdded(samples),
      },
      addedRatio,
      ratio,
      ratioInterval,
      tailRatio,
      cpuRatio,
      resumed: tls.handshakes === 0 ? undefined : tls.resumed / tls.handshakes,
      samples: samples.map(({ latencies: _, ...sample }) => sample),
    });
  }
  return rows;
}

/** Higher is better, so that a ratio above 1 is a win whatever the metric. */
function speed({ messages, seconds, latency }: Sample): number {
  return latency === undefined ? messages / seconds : 1 / latency.p50;
}

/** Nanoseconds per message. */
function cpu({ cpuMicroseconds, messages }: Sample): number {
  return (cpuMicroseconds * 1000) / messages;
}

function residentAdded(samples: Sample[]): number {
  return Math.max(...samples.map(({ residentBytes: { before, after } }) => after - before));
}

/** Of all rounds together. */
function latencies(samples: Sample[]): Pick<Row, 'latency' | 'curve'> {
  const all = samples.flatMap(({ latencies: some }) => (some === undefined ? [] : [...some]));
  if (all.length === 0) return {};
  const sorted = Float64Array.from(all).sort();
  return { latency: quantiles(sorted), curve: curve(sorted) };
}

function sum(
  samples: Sample[],
  key: 'collections' | 'messages' | 'seconds' | 'collectionMilliseconds',
): number {
  return samples.reduce((total, sample) => total + sample[key], 0);
}

/** A whole run, as it is saved. */
export interface Run {
  date: string;
  machine: Machine;
  subjects: Record<string, string>;
  quick: boolean;
  seconds: number;
  /** Cores that other processes kept busy while rounds were measured. */
  foreignCores: number;
  rows: Row[];
  micro: MicroRow[];
}

/** Writes it to bench/results/, or where it is wanted, and returns the file's name. */
export function save(run: Run, wanted?: string): string {
  const directory = new URL('../results/', import.meta.url);
  mkdirSync(directory, { recursive: true });
  const usual = new URL(`${run.date.slice(0, 19).replaceAll(':', '-')}.json`, directory);
  const file = wanted ?? fileURLToPath(usual);
  writeFileSync(file, `${JSON.stringify(run, null, 1)}\n`);
  return file;
}
