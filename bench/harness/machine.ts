/** Where the figures come from, and the pinning of processes to cores. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  platform: string;
  node: string;
  v8: string;
  openssl: string;
  commit: string;
  loadAverage: number;
  /** The cores of the server and of the contender under measurement, where pinning is possible. */
  pinned: { server: number; contender: number } | null;
}

export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${release()} ${process.arch}`,
    node: process.versions.node,
    v8: process.versions.v8,
    openssl: process.versions.openssl,
    commit: output('git', 'rev-parse', '--short', 'HEAD') ?? 'unknown',
    loadAverage: loadavg()[0],
    pinned: cores ?? null,
  };
}

/** CPU time that everybody together has used since the machine started, in seconds. */
export function cpuSecondsOfAll(): number {
  let milliseconds = 0;
  for (const { times } of cpus()) milliseconds += times.user + times.nice + times.sys + times.irq;
  return milliseconds / 1000;
}

/** Two different physical cores, or nothing where `taskset` is missing or there is only one. */
export const cores = chooseCores();

export function pinned(core: number | undefined, command: string[]): string[] {
  return core === undefined ? command : ['taskset', '-c', String(core), ...command];
}

function chooseCores(): { server: number; contender: number } | undefined {
  if (output('taskset', '-V') === undefined) return undefined;
  const allowed = /^Cpus_allowed_list:\s*(\S+)/m.exec(text('/proc/self/status') ?? '')?.[1];
  const [server, ...others] = numbers(allowed ?? '');
  const siblings = numbers(text(`/sys/devices/system/cpu/cpu${server}/topology/thread_siblings_list`) ?? '');
  const contender = others.find((core) => !siblings.includes(core));
  return contender === undefined ? undefined : { server, contender };
}

/** `0-2,5` as the kernel writes it. */
function numbers(list: string): number[] {
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return range.trim() === '' ? [] : Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

function text(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return undefined;
  }
}

function output(command: string, ...argumentsOf: string[]): string | undefined {
  try {
    return execFileSync(command, argumentsOf, {
      stdio: ['ignore', 'pipe', 'ignore'],
      encoding: 'utf8',
    }).trim();
  } catch {
    return undefined;
  }
}
