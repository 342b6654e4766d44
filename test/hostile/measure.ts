/** What a server costs its client: done, and measured, in a process that is the client's alone. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { after, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ConnectOptions } from '../../src/index.js';
import { echoServer } from '../server/echo-server.js';

export interface Task {
  url: string;
  /** A server that means well: a connection to it must work before, during and after. */
  unrelated: string;
  options: Pick<
    ConnectOptions,
    'tls' | 'handshakeTimeout' | 'closeTimeout' | 'maxMessageSize' | 'maxRedirects' | 'maxBufferedAmount'
  >;
  /** What the application does with its messages. `listen`: it takes them and forgets them. */
  act?: 'listen' | 'take nothing' | 'pause' | 'send';
  /** How many connections at once. */
  connections?: number;
  /** Ends what does not end by itself, in ms, or as soon as so many Pings have been received. */
  ms?: number;
  pings?: number;
}

/** Bytes above what it was before. */
export interface Growth {
  rss: number;
  heap: number;
  external: number;
}

export interface Measured {
  /** The most, and what is left when all is over and the garbage collected. */
  grew: Growth;
  kept: Growth;
  ended: { code: number; wasClean: boolean; error?: string }[];
  /** Codes of the errors of `connect()`. */
  refused: string[];
  messages: number;
  messageBytes: number;
  pingsReceived: number;
  pongsSkipped: number;
  mostBuffered: number;
  unrelatedWorks: boolean;
  /** ms */
  took: number;
}

export const MIB = 1024 * 1024;

/**
 * What a process may grow by although nothing is kept: garbage yet to be collected, compiled code, the pages of
 * linear memory that are touched for the first time. Every flood here is several times as large.
 */
export const NOISE = 16 * MIB;

let running: ChildProcess | undefined;
after(() => running?.kill());

/** One for all tasks, as long as it lives: each counts what it adds. */
async function client(): Promise<ChildProcess> {
  if (running?.connected) return running;
  running = fork(fileURLToPath(new URL('client-process.ts', import.meta.url)), {
    // A small young generation: garbage is collected early, and does not look like memory in use.
    execArgv: ['--expose-gc', '--max-semi-space-size=1', '--import', 'tsx'],
  });
  await once(running, 'message');
  return running;
}

function answer(child: ChildProcess): Promise<Measured> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number): void => {
      child.off('message', onMessage);
      reject(new Error(`The client's process ended with ${code}`));
    };
    const onMessage = (measured: unknown): void => {
      child.off('exit', onExit);
      resolve(measured as Measured);
    };
    child.once('exit', onExit);
    child.once('message', onMessage);
  });
}

/** Runs the task; the process must live, work, and hold no more than `bound` bytes more than before. */
export async function measure(
  t: TestContext,
  task: Omit<Task, 'unrelated'>,
  bound: number,
): Promise<Measured> {
  const echo = await echoServer({ tls: task.options.tls !== undefined });
  t.after(() => echo.close());
  const child = await client();
  child.send({ ...task, unrelated: echo.url } satisfies Task);
  const measured = await answer(child);
  const { grew, kept, took } = measured;
  t.diagnostic(
    `grew ${inMiB(grew)} MiB (rss, heap, external), kept ${inMiB(kept)}, in ${Math.round(took)} ms; bound ${bound / MIB}`,
  );
  assert.ok(measured.unrelatedWorks, 'the unrelated connection does not work any more');
  for (const kind of ['rss', 'heap', 'external'] as const)
    assert.ok(grew[kind] <= bound, `${kind} grew by ${grew[kind]} bytes, more than ${bound}`);
  return measured;
}

function inMiB({ rss, heap, external }: Growth): string {
  return [rss, heap, external].map((bytes) => (bytes / MIB).toFixed(1)).join(' / ');
}
