/** What a run found, as rows for the terminal while it runs. */

import type { Metric } from '../harness/workload.js';
import type { MicroRow } from '../micro/micro-process.js';
import { REFERENCES, type Row } from './rows.js';

/** The contenders that speeds are given relative to. */
const SHOWN = REFERENCES.filter(
  (name) => (name === 'baseline') === (process.env.HEARTWIRE_BASELINE !== undefined),
);
const TIMES = SHOWN.map((name) => `× ${name}`);

const COLUMNS = [-30, -7, -9, 23, 5, 9, 8, 8, 7, 7, 11, 11];

export function heading(metric: Metric): string {
  const title = ['workload', '', 'contender'];
  if (metric === 'cost') {
    const cells = ['p50 / p90 µs', '±', 'CPU each', 'resumed', 'busy c/s', ...TIMES];
    return line([...title, ...cells, ...TIMES.map((times) => `CPU ${times}`)]);
  }
  if (metric === 'fleet') {
    const cells = ['p50 / p99 / p99.9 µs', 'MiB', 'CPU/msg', 'added', 'busy c/s', ...TIMES];
    return line([...title, ...cells, ...TIMES.map((times) => `added ${times}`)]);
  }
  const figures = metric === 'rate' ? 'messages/s' : 'p50 / p99 / p99.9 µs';
  const tails = metric === 'rate' ? [] : TIMES.map((times) => `p99 ${times}`);
  return line([...title, figures, '±', 'CPU/msg', 'GC/M', 'busy c/s', ...TIMES, ...tails]);
}

export function tableLine(row: Row): string {
  const title = [`${row.workload} ${row.case}`, row.transport, row.contender];
  if (row.failure !== undefined) return `${line(title)} FAILED: ${row.failure.split('\n')[0]}`;
  const cells = [
    ...title,
    result(row),
    row.metric === 'fleet' ? mebibytes(row.memory.resident) : share(row.spread),
    duration(row.cpuNanosecondsPerMessage),
    middle(row),
    `${Math.round(row.busy.client * 100)}/${Math.round(row.busy.server * 100)}`,
    ...relative(row.ratio),
  ];
  if (row.metric === 'rate') return line(cells);
  if (row.metric === 'fleet') return line([...cells, ...relative(row.addedRatio)]);
  return line([...cells, ...relative(row.metric === 'cost' ? row.cpuRatio : row.tailRatio)]);
}

function middle({ metric, resumed, memory, collectionsPerMillion }: Row): string {
  if (metric === 'cost') return share(resumed);
  return metric === 'fleet' ? mebibytes(memory.added) : threeDigits(collectionsPerMillion);
}

function result({ metric, messagesPerSecond, latency }: Row): string {
  if (latency === undefined) return rate(messagesPerSecond);
  const { p50, p90, p99, p999 } = latency;
  return (metric === 'cost' ? [p50, p90] : [p50, p99, p999]).map(threeDigits).join(' / ');
}

function relative(ratio: Record<string, number>): string[] {
  return SHOWN.map((name) => (ratio[name] === undefined ? '' : threeDigits(ratio[name])));
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
p99 × ws, × floor   the same with p99
CPU × ws, × floor   CPU time relative to theirs, below 1 is less; paired by round
resumed   share of the TLS connections that the server says it resumed
MiB, added   resident memory of the client's process in MiB: all, and what the case has added to it
connect   time until it is open, CPU time until it is closed, one at a time
import    time and CPU time of loading it in a process that has loaded nothing else`;

function line(cells: string[]): string {
  return cells
    .map((cell, i) => (COLUMNS[i] < 0 ? cell.padEnd(-COLUMNS[i]) : cell.padStart(COLUMNS[i])))
    .join(' ');
}

function mebibytes(bytes: number): string {
  return threeDigits(bytes / 2 ** 20);
}

export function bytes(count: number): string {
  return count >= 2 ** 30 ? `${threeDigits(count / 2 ** 30)} GiB` : `${threeDigits(count / 2 ** 20)} MiB`;
}

export function rate(perSecond: number): string {
  if (perSecond >= 1e6) return `${threeDigits(perSecond / 1e6)} M`;
  if (perSecond >= 1e4) return `${threeDigits(perSecond / 1e3)} k`;
  return threeDigits(perSecond);
}

export function duration(nanoseconds: number): string {
  if (nanoseconds >= 1e7) return `${threeDigits(nanoseconds / 1e6)} ms`;
  if (nanoseconds >= 1e4) return `${threeDigits(nanoseconds / 1e3)} µs`;
  return `${threeDigits(nanoseconds)} ns`;
}

function share(value: number | undefined): string {
  return value === undefined ? '' : `${(value * 100).toFixed(0)} %`;
}

export function threeDigits(value: number): string {
  if (value === 0) return '0';
  if (value < 0.01) return value.toPrecision(2);
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
