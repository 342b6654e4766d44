/** What a run found: rows for the terminal while it runs, and everything as JSON at its end. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { MicroRow } from '../micro/micro-process.js';
import type { Sample } from './contender-process.js';
import type { Machine } from './machine.js';
import { median, type Quantiles, quantiles, spread } from './statistics.js';
import type { Outcome } from './turns.js';
import type { Metric } from './workload.js';

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
  /** Speed relative to these contenders: median over the rounds of the ratio within a round. */
  ratio: Record<string, number>;
  /** CPU time relative to theirs, in the same way. */
  cpuRatio: Record<string, number>;
  /** Memory of the client's process after the rounds, in bytes, and what of it has been added since they were prepared. */
  residentBytes: { all: number; added: number };
  /** What was added, relative to theirs. */
  residentRatio: Record<string, number>;
  /** Share of the TLS connections made meanwhile that the server resumed. */
  resumed?: number;
  samples: Sample[];
}

/** The contenders that the table compares with. */
const REFERENCES = ['ws', 'floor'];

export function summarize(
  title: { workload: string; case: string; transport: string; metric: Metric },
  results: Map<string, Outcome>,
): Row[] {
  const rows: Row[] = [];
  for (const [contender, { samples, serverBusy, tls, failure }] of results) {
    const speeds = samples.map(speed);
    const ratio: Record<string, number> = {};
    const cpuRatio: Record<string, number> = {};
    const residentRatio: Record<string, number> = {};
    for (const reference of REFERENCES) {
      const others = results.get(reference);
      if (others === undefined || others.failure !== undefined || failure !== undefined) continue;
      ratio[reference] = median(speeds.map((value, round) => value / speed(others.samples[round])));
      residentRatio[reference] = residentAdded(samples) / residentAdded(others.samples);
      cpuRatio[reference] = median(samples.map((sample, round) => cpu(sample) / cpu(others.samples[round])));
    }
    rows.push({
      ...title,
      contender,
      failure,
      messagesPerSecond: median(samples.map(({ messages, seconds }) => messages / seconds)),
      latency: pooled(samples),
      spread: spread(speeds),
      cpuNanosecondsPerMessage: median(samples.map(cpu)),
      collectionsPerMillion: (sum(samples, 'collections') / sum(samples, 'messages')) * 1e6,
      busy: {
        client: median(samples.map((sample) => sample.cpuMicrosecondsAltogether / 1e6 / sample.seconds)),
        server: median(serverBusy),
      },
      ratio,
      cpuRatio,
      residentBytes: {
        all: Math.max(...samples.map((sample) => sample.residentBytes.after)),
        added: residentAdded(samples),
      },
      residentRatio,
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

function pooled(samples: Sample[]): Row['latency'] {
  const all = samples.flatMap(({ latencies }) => (latencies === undefined ? [] : [...latencies]));
  if (all.length === 0) return undefined;
  return quantiles(Float64Array.from(all).sort());
}

function sum(samples: Sample[], key: 'collections' | 'messages'): number {
  return samples.reduce((total, sample) => total + sample[key], 0);
}

const COLUMNS = [-27, -7, -9, 23, 5, 9, 8, 8, 7, 7, 9, 7];

export function heading(metric: Metric): string {
  const title = ['workload', '', 'contender'];
  if (metric === 'cost') {
    const cells = ['p50 / p90 µs', '±', 'CPU each', 'resumed', 'busy c/s', '× ws', '× floor'];
    return line([...title, ...cells, 'CPU × ws', '× floor']);
  }
  if (metric === 'fleet') {
    const cells = ['p50 / p99 / p99.9 µs', 'MiB', 'CPU/msg', 'added', 'busy c/s', '× ws', '× floor'];
    return line([...title, ...cells, 'added × ws']);
  }
  const result = metric === 'rate' ? 'messages/s' : 'p50 / p99 / p99.9 µs';
  return line([...title, result, '±', 'CPU/msg', 'GC/M', 'busy c/s', '× ws', '× floor']);
}

export function tableLine(row: Row): string {
  const title = [`${row.workload} ${row.case}`, row.transport, row.contender];
  if (row.failure !== undefined) return `${line(title)} FAILED: ${row.failure.split('\n')[0]}`;
  const fleet = row.metric === 'fleet';
  const cells = [
    ...title,
    result(row),
    fleet ? mebibytes(row.residentBytes.all) : share(row.spread),
    duration(row.cpuNanosecondsPerMessage),
    middle(row),
    `${Math.round(row.busy.client * 100)}/${Math.round(row.busy.server * 100)}`,
    ...relative(row.ratio),
  ];
  if (fleet) return line([...cells, ...relative(row.residentRatio)]);
  return line(row.metric === 'cost' ? [...cells, ...relative(row.cpuRatio)] : cells);
}

function middle({ metric, resumed, residentBytes, collectionsPerMillion }: Row): string {
  if (metric === 'cost') return share(resumed);
  return metric === 'fleet' ? mebibytes(residentBytes.added) : threeDigits(collectionsPerMillion);
}

function result({ metric, messagesPerSecond, latency }: Row): string {
  if (latency === undefined) return rate(messagesPerSecond);
  const { p50, p90, p99, p999 } = latency;
  return (metric === 'cost' ? [p50, p90] : [p50, p99, p999]).map(threeDigits).join(' / ');
}

function relative(ratio: Record<string, number>): string[] {
  return REFERENCES.map((name) => (ratio[name] === undefined ? '' : threeDigits(ratio[name])));
}

/** The first way is Heartwire's, and the others are given relative to it. */
export function microLine({ way, nanoseconds, margin }: MicroRow, first: MicroRow): string {
  const ratio = nanoseconds / first.nanoseconds;
  return `  ${way.padEnd(22)}${duration(nanoseconds).padStart(10)}  ±${margin.toFixed(1).padStart(4)} %${threeDigits(ratio).padStart(9)} ×`;
}

export const LEGEND = `±         median distance of a round from the median round
CPU/msg   client's user and system time, all threads
GC/M      the client's garbage collections per million messages
busy c/s  percent of a core that client and server used; a client below 100 waits for the server or the kernel
× ws, × floor   speed relative to theirs, above 1 is faster: messages/s, or the inverse of p50; paired by round
CPU × ws, × floor   CPU time relative to theirs, below 1 is less; paired by round
resumed   share of the TLS connections that the server says it resumed
MiB, added   resident memory of the client's process in MiB: all, and what the case has added to it
connect   time until it is open, CPU time until it is closed, one at a time
import    time and CPU time of loading it in a process that has loaded nothing else`;

export function save(report: {
  machine: Machine;
  subjects: Record<string, string>;
  quick: boolean;
  seconds: number;
  /** Cores that other processes kept busy while rounds were measured. */
  foreignCores: number;
  rows: Row[];
  micro: MicroRow[];
}): string {
  const date = new Date().toISOString();
  const directory = new URL('../results/', import.meta.url);
  mkdirSync(directory, { recursive: true });
  const file = new URL(`${date.slice(0, 19).replaceAll(':', '-')}.json`, directory);
  writeFileSync(file, `${JSON.stringify({ date, ...report }, null, 1)}\n`);
  return fileURLToPath(file);
}

function line(cells: string[]): string {
  return cells
    .map((cell, i) => (COLUMNS[i] < 0 ? cell.padEnd(-COLUMNS[i]) : cell.padStart(COLUMNS[i])))
    .join(' ');
}

function rate(perSecond: number): string {
  if (perSecond >= 1e6) return `${threeDigits(perSecond / 1e6)} M`;
  if (perSecond >= 1e4) return `${threeDigits(perSecond / 1e3)} k`;
  return threeDigits(perSecond);
}

function duration(nanoseconds: number): string {
  if (nanoseconds >= 1e7) return `${threeDigits(nanoseconds / 1e6)} ms`;
  if (nanoseconds >= 1e4) return `${threeDigits(nanoseconds / 1e3)} µs`;
  return `${threeDigits(nanoseconds)} ns`;
}

function share(value: number | undefined): string {
  return value === undefined ? '' : `${(value * 100).toFixed(0)} %`;
}

function mebibytes(bytes: number): string {
  return threeDigits(bytes / 2 ** 20);
}

function threeDigits(value: number): string {
  if (value === 0) return '0';
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
