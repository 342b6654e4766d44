/** A client process on this side of a cable, a server process on the other, and how what befalls them is judged. */
import { type ChildProcess, fork } from 'node:child_process';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { HeartbeatOptions } from '../../src/heartbeat/settings.js';
import type { Fate, NearEnd, Opening } from './heartbeat-client.js';
import { type Remote, remote } from './heartbeat-remote.js';
import type { Doors, FarEnd } from './heartbeat-server.js';
import { type Network, networkNamespace } from './network-namespace.js';

export interface Rig {
  network: Network;
  client: Remote<NearEnd>;
  server: Remote<FarEnd>;
  clientProcess: ChildProcess;
  serverProcess: ChildProcess;
  doors: Doors;
  /** How many connections share a fault. */
  count: number;
}

/** What the issue asks the bounds of: dead within 1.75 s of the last byte. */
export const BEAT = { interval: 1_000, timeout: 500 } as const satisfies HeartbeatOptions;
const MARGIN = 250;

/** ms that the relay takes, each way. */
const RELAY_DELAY = 60;

/** ms for which the machine may keep this test from running before a trial tells nothing. */
const TOO_BUSY = 1_000;

export async function heartbeatRig(t: TestContext, count: number): Promise<Rig | undefined> {
  const network = networkNamespace(t);
  if (network === undefined) return undefined;
  const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
  const serverProcess = network.spawn(path('heartbeat-server.ts'));
  const clientProcess = fork(path('heartbeat-client.ts'), { execArgv: ['--import=tsx'] });
  t.after(() => void clientProcess.kill('SIGKILL'));
  const server = remote<FarEnd>(serverProcess);
  const client = remote<NearEnd>(clientProcess);
  const doors = await server.start(network.server, RELAY_DELAY);
  return { network, client, server, clientProcess, serverProcess, doors, count };
}

/** Opens connections of all kinds: tcp and TLS, quiet and fed, both modes. */
export async function open({ client, doors, count }: Rig, opening: Partial<Opening> = {}): Promise<void> {
  await client.open({
    doors,
    count,
    paths: ['/quiet', '/feed'],
    modes: ['idle', 'always'],
    heartbeat: BEAT,
    ...opening,
  });
}

/** What came of the trials of one kind: a line of the table. */
export interface Row {
  what: string;
  trials: number;
  right: number;
  /** What was wrong, each once. */
  wrong: string[];
  /** Trials that tell nothing, since the machine stood still. */
  void: number;
  /** ms from the last byte to the verdict, at most, and how many kept the bound with no allowance at all. */
  longest: number;
  unaided: number;
  /** ms, at most, that the machine kept the client from running meanwhile. */
  allowance: number;
}

export function row(what: string): Row {
  return { what, trials: 0, right: 0, wrong: [], void: 0, longest: 0, unaided: 0, allowance: 0 };
}

export interface Verdict {
  code?: string;
  silence?: string;
  /** The heartbeat whose bound holds: `interval + timeout`, and 250 ms. Without it the end may come at any time. */
  beat?: { interval: number; timeout: number };
  /** ms since 1970: the bound counts from here at the earliest, and nothing may end before. */
  since?: number;
  /** ms for which the client was suspended meanwhile, which it cannot tell from being kept from running. */
  suspended?: number;
  /** The verdict must tell so much of a stall. */
  stalledFor?: number;
}

/** Every connection must have ended so. */
export async function judgeEnds(rig: Rig, row: Row, fates: Fate[], expected: Verdict): Promise<void> {
  const {
    code = 'ERR_HEARTBEAT_TIMEOUT',
    silence,
    beat,
    since = 0,
    stalledFor = 0,
    suspended = 0,
  } = expected;
  const from = fates.map(({ lastByteAt }) => Math.max(since, lastByteAt));
  const kept = await rig.client.kept(
    from,
    fates.map(({ closedAt }) => closedAt),
  );
  for (const [i, fate] of fates.entries()) {
    const { error, closedAt, closeCode, isOpen } = fate;
    const stalled = kept[i].stalled + suspended;
    const waited = Math.max(0, kept[i].waited - suspended);
    const took = closedAt - from[i];
    const bound = beat === undefined ? Infinity : beat.interval + beat.timeout + MARGIN + stalled;
    const wrong: string[] = [];
    if (isOpen || closedAt === 0) wrong.push('no verdict');
    else {
      if (closeCode !== 1006) wrong.push(`close code ${closeCode}`);
      if (error?.code !== code) wrong.push(`${error?.code}: ${error?.message}`);
      else if (error.silence !== silence) wrong.push(`cause ${error.silence}: ${error.message}`);
      if (closedAt < since) wrong.push(`${Math.round(since - closedAt)} ms too early`);
      if (took > bound + waited) {
        wrong.push(`after ${Math.round(took)} ms, bound ${Math.round(bound)} and ${Math.round(waited)}`);
      }
      if ((error?.stalledFor ?? 0) < stalledFor) wrong.push(`tells of ${error?.stalledFor} ms of stall`);
    }
    const isVoid = wrong.length === 0 && took > bound && waited > TOO_BUSY;
    count(row, fate, wrong, isVoid);
    if (isOpen) continue;
    row.longest = Math.max(row.longest, took);
    row.allowance = Math.max(row.allowance, waited);
    if (took <= bound) row.unaided++;
  }
}

/** Every connection must be open, and hear of its server. `since`: when they were opened, or last judged. */
export async function judgeLives(
  rig: Rig,
  row: Row,
  since: number,
  before?: Fate[],
  timeout: number = BEAT.timeout,
): Promise<Fate[]> {
  const fates = await rig.client.fates();
  const theirs = await rig.server.longestStall(since);
  for (const [i, fate] of fates.entries()) {
    const { isOpen, error, closedAt, roundTrips, messages } = fate;
    const wrong: string[] = [];
    if (!isOpen) wrong.push(`ended: ${error?.code} ${error?.message}`);
    else if (before !== undefined && roundTrips + messages <= before[i].roundTrips + before[i].messages) {
      wrong.push('open, and nothing comes');
    }
    // A server that the machine keeps from answering is silent: then the verdict was right.
    const isVoid = !isOpen && closedAt > since && theirs > timeout * 0.8;
    count(row, fate, isVoid ? [] : wrong, isVoid);
  }
  return fates;
}

function count(row: Row, { kind }: Fate, wrong: string[], isVoid: boolean): void {
  row.trials++;
  if (isVoid) row.void++;
  else if (wrong.length === 0) row.right++;
  for (const what of wrong) if (row.wrong.length < 20) row.wrong.push(`${kind}: ${what}`);
}

/** Nothing wrong, and no more than one in twenty that tells nothing. */
export function isGood(row: Row): boolean {
  return row.trials > 0 && row.wrong.length === 0 && row.right + row.void === row.trials && !isMoot(row);
}

function isMoot({ trials, void: nothing }: Row): boolean {
  return nothing > trials / 20;
}

/** Again where the machine was too busy to tell; what went wrong is never tried again. */
export async function judged(scenario: () => Promise<Row>): Promise<Row> {
  let line = await scenario();
  for (let more = 2; more > 0 && isMoot(line) && line.wrong.length === 0; more--) line = await scenario();
  return line;
}

export function table(rows: Row[]): string {
  const head = ['', 'trials', 'right', 'wrong', 'void', 'longest', 'in bound unaided', 'kept from running'];
  const lines = rows.map((row) => [
    row.what,
    `${row.trials}`,
    `${row.right}`,
    `${row.trials - row.right - row.void}`,
    `${row.void}`,
    row.longest > 0 ? `${Math.round(row.longest)} ms` : '',
    row.longest > 0 ? `${row.unaided}` : '',
    row.longest > 0 ? `${Math.round(row.allowance)} ms` : '',
  ]);
  const widths = head.map((_, i) => Math.max(...[head, ...lines].map((line) => line[i].length)));
  return [head, ...lines]
    .map((line) =>
      line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '),
    )
    .join('\n');
}
