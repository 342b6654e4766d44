/**
 * The server in a process of its own: it answers while this event loop stands still, so that its Pong lies in the
 * kernel when the deadline has passed; and it can be stopped, so that its kernel answers alone.
 */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Connection, connect, HeartbeatTimeoutError } from '../../src/index.js';
import { GUARD } from '../connection/wire.js';
import { ended, TRANSPORTS, until } from '../leases/link.js';
import { type EchoProcess, echoProcess } from './echo-process.js';

function stall(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

async function connections(
  t: TestContext,
  { url, tls }: EchoProcess,
  count: number,
  onMessage: (text: string) => void = () => {},
): Promise<Connection[]> {
  const made = await Promise.all(
    Array.from({ length: count }, (_, i) =>
      connect(url, {
        tls,
        // The timeout is long for a server on a busy machine, and short for the stalls below.
        heartbeat:
          i % 2 === 0
            ? { mode: 'always', interval: 100, timeout: 400 + 5 * i }
            : { mode: 'idle', interval: 80 + 5 * i, timeout: 400 },
        onMessage: (message) => onMessage(message.text()),
      }),
    ),
  );
  for (const connection of made) t.after(() => connection.terminate());
  await until(() => made.every((connection) => connection.stats().rtt !== undefined));
  return made;
}

for (const { over, tls } of TRANSPORTS) {
  describe(`over ${over}`, { ...GUARD, timeout: 60_000 }, () => {
    test('no link that lives is declared dead for a stall of ours, wherever that happens', async (t) => {
      let stalls = 0;
      const all = await connections(t, await echoProcess(t, tls), 20, (text) => {
        stalls++;
        stall(Number(text));
      });
      const alive = (): number => all.filter(({ readyState }) => readyState === 1).length;
      for (const ms of [500, 650, 1_500]) {
        await delay(130);
        // In the callback of one message, of several in a row,
        all[0].send(`${ms}`);
        await delay(130);
        for (const connection of all.slice(1, 4)) connection.send(`${ms / 4}`);
        await delay(130);
        // in a check phase, in a timer, and in a tick.
        await new Promise<void>((resolve) => setImmediate(() => resolve(stall(ms))));
        await delay(130);
        stall(ms / 2);
        await delay(95);
        process.nextTick(() => stall(ms));
        assert.equal(alive(), 20, `after stalls of ${ms} ms`);
      }
      await delay(300);
      assert.equal(alive(), 20);
      assert.equal(stalls, 3 * 4);
      const { longest } = all[0].stats().eventLoopLag!;
      assert.ok(longest > 1_300, `${longest}`);
    });

    test('a server that is stopped: its kernel acknowledges, it says nothing', async (t) => {
      const server = await echoProcess(t, tls);
      const all = await connections(t, server, 10);
      server.child.kill('SIGSTOP');
      const stoppedAt = performance.now();
      for (const connection of all) {
        const { code, error } = await ended(connection);
        assert.ok(error instanceof HeartbeatTimeoutError, `${error}`);
        assert.deepEqual([code, error.code], [1006, 'ERR_HEARTBEAT_TIMEOUT']);
        assert.equal(error.silence, process.platform === 'linux' ? 'server-silent' : 'unknown');
        assert.ok(error.lastPongAt > 0 && error.lastPongAt <= stoppedAt + 1_000, 'its last Pong');
      }
    });
  });
}
