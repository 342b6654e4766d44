/** Our event loop stands still while the link is fine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { PersistentConnection } from '../../src/index.js';
import { speaking } from '../exchange/client.js';
import { exchangeNextDoor } from '../exchange/remote-exchange.js';
import { observe, until } from '../persistent/feed.js';

const BEAT = { mode: 'always', interval: 400, timeout: 1_000 } as const;

function stall(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

test('scenario 3: 1.5 s and 8 s in onMessage and in setImmediate, 200 ms round trip, 1 s for a Pong: no false alarm', {
  timeout: 120_000,
}, async (t) => {
  const exchange = exchangeNextDoor(t);
  // Its own limit is dYdX's: 10 s for our Pong.
  const { url } = await exchange.call('start', {
    delay: 100,
    rules: { pingInterval: 1_000, pongTimeout: 10_000 },
  });
  await exchange.call('publishEvery', { ms: 20, channels: ['trades.A'] });
  let inMessage = 0;
  let count = 0;
  const feed = new PersistentConnection(url, {
    ...speaking,
    connect: { heartbeat: BEAT },
    onMessage() {
      count++;
      const ms = inMessage;
      inMessage = 0;
      if (ms > 0) stall(ms);
    },
  });
  t.after(() => feed.close());
  const { failures } = observe(feed);
  feed.subscribe('trades.A');
  await feed.ready;
  const rtt = await feed.connection!.ping();
  assert.ok(rtt >= 200, `a round trip takes ${rtt} ms`);

  for (const ms of [1_500, 8_000]) {
    inMessage = ms;
    await until('stalled in onMessage', () => inMessage === 0, 60_000);
    await delay(1_200);
    await new Promise<void>((resolve) => setImmediate(() => resolve(stall(ms))));
    await delay(1_200);
  }
  assert.deepEqual(failures, []);
  assert.equal(feed.epoch, 1);
  const { eventLoopLag } = feed.connection!.stats();
  assert.ok((eventLoopLag?.longest ?? 0) >= 7_000, `lag reported: ${JSON.stringify(eventLoopLag)}`);
  assert.ok(count > 100, `${count} messages`);
  const { connections, violations } = await exchange.call('report', undefined);
  assert.deepEqual({ connections, violations }, { connections: 1, violations: [] });
});
