/**
 * A client in a process of its own, so that what it holds can be measured: the server's memory does not count. It
 * does each `Task` that its parent sends, and sends back what it `Measured`.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { type Connection, connect, HandshakeError } from '../../src/index.js';
import type { Growth, Measured, Task } from './measure.js';

process.on('message', async (task: Task) => process.send!(await run(task)));
process.send!('ready');

/** An exchange with a server that means well. */
async function exchange(connection: Connection, text: string): Promise<boolean> {
  const answered = new Promise<string>((resolve) => {
    connection.onMessage = (message) => resolve(message.text());
  });
  connection.send(text);
  return (await answered) === text;
}

async function run({
  url,
  unrelated,
  options,
  act = 'listen',
  connections = 1,
  ms,
  pings,
}: Task): Promise<Measured> {
  const other = await connect(unrelated, options.tls ? { tls: options.tls } : {});
  await exchange(other, 'x'.repeat(60_000));
  const measured: Measured = {
    grew: { rss: 0, heap: 0, external: 0 },
    kept: { rss: 0, heap: 0, external: 0 },
    ended: [],
    refused: [],
    messages: 0,
    messageBytes: 0,
    pingsReceived: 0,
    pongsSkipped: 0,
    mostBuffered: 0,
    unrelatedWorks: false,
    took: 0,
  };
  const open: Connection[] = [];
  await collect();
  const before = memory();
  let enough: (() => void) | undefined;
  const sample = (): void => {
    if (pings !== undefined && open[0]?.stats().pingsReceived >= pings) enough?.();
    const now = growth(before);
    for (const key of ['rss', 'heap', 'external'] as const)
      measured.grew[key] = Math.max(measured.grew[key], now[key]);
    for (const { bufferedAmount } of open)
      measured.mostBuffered = Math.max(measured.mostBuffered, bufferedAmount);
  };
  const sampler = setInterval(sample, 5);
  const startedAt = performance.now();

  const one = async (): Promise<void> => {
    try {
      const connection = await connect(url, {
        ...options,
        onMessage:
          act === 'take nothing'
            ? undefined
            : ({ byteLength }) => {
                measured.messages++;
                measured.messageBytes += byteLength;
              },
      });
      open.push(connection);
      if (act === 'pause') connection.pause();
      if (act === 'send') void sendTooMuch(connection);
      const { code, wasClean, error } = await connection.closed;
      measured.ended.push({ code, wasClean, error: error?.code });
    } catch (error) {
      measured.refused.push(error instanceof HandshakeError ? error.code : String(error));
    }
  };
  const all = Promise.all(Array.from({ length: connections }, one));
  if (ms === undefined) await all;
  else await Promise.race([all, wait(ms), new Promise<void>((resolve) => (enough = resolve))]);

  sample();
  measured.took = performance.now() - startedAt;
  measured.unrelatedWorks = await exchange(other, 'still there?');
  for (const connection of open) {
    const { pingsReceived, pongsSkipped } = connection.stats();
    measured.pingsReceived += pingsReceived;
    measured.pongsSkipped += pongsSkipped;
  }
  const ended = [...measured.ended];
  for (const connection of open) connection.terminate();
  await all;
  clearInterval(sampler);
  open.length = 0;
  await collect();
  measured.kept = growth(before);
  measured.ended = ended;
  await other.close();
  return measured;
}

/** As an application that heeds nothing: 100 MB, whatever it is told. */
async function sendTooMuch(connection: Connection): Promise<void> {
  const chunk = Buffer.alloc(10_000);
  for (let left = 10_000; left > 0 && connection.readyState === 1; left--) {
    try {
      connection.send(chunk);
    } catch {
      await wait(1);
    }
  }
}

/** Twice: what natives hold is let go in a turn of its own. */
async function collect(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    globalThis.gc!();
    await wait(10);
  }
}

function memory(): Growth {
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, heap: heapUsed, external };
}

function growth(before: Growth): Growth {
  const { rss, heap, external } = memory();
  return { rss: rss - before.rss, heap: heap - before.heap, external: external - before.external };
}
