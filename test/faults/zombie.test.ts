/** A publisher that has stopped behind a server that goes on answering. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { PersistentEvents } from '../../src/index.js';
import { fastClock } from '../persistent/fake-clock.js';
import { exchangeFor, feedTo, until } from '../persistent/feed.js';

test('scenario 2: the busy channel is stale within its 10 s, the quiet one (300 s) is not; no alarm in 10 min without subscriptions', {
  timeout: 60_000,
}, async (t) => {
  const exchange = await exchangeFor(t, { rules: { pingInterval: 50, heartbeatInterval: 50 } });
  const stale: PersistentEvents['stale'][] = [];
  const connect = { heartbeat: { mode: 'always', interval: 200, timeout: 10_000 } } as const;
  // Ten times as fast: its 10 s are one.
  const { feed } = feedTo(t, exchange, {
    connect,
    clock: fastClock(10),
    continuity: (key) => ({ deadline: key === 'trades.busy' ? 10_000 : 300_000 }),
  });
  feed.on('stale', (event) => stale.push(event));
  // 120 times: ten minutes are five seconds.
  const idle = feedTo(t, exchange, { connect, clock: fastClock(120), continuity: { deadline: 10_000 } });
  const alarms: unknown[] = [];
  idle.feed.on('stale', (event) => alarms.push(event));
  await idle.feed.ready;
  const idleSince = performance.now();

  const busy = feed.subscribe('trades.busy');
  const quiet = feed.subscribe('trades.quiet');
  exchange.publishEvery(10, ['trades.busy']);
  await Promise.all([busy.acknowledged, quiet.acknowledged]);
  exchange.publish('trades.quiet');
  await until('data of both', () => busy.lastDataAt !== undefined && quiet.lastDataAt !== undefined);
  await delay(500);
  assert.equal(stale.length, 0);
  exchange.halt();
  await until('stale', () => stale.length === 1);
  const [{ key, silence, action }] = stale;
  t.diagnostic(`stale after ${(silence / 1000).toFixed(1)} s of silence`);
  assert.deepEqual([key, action], ['trades.busy', 'resubscribe']);
  assert.ok(silence >= 10_000 && silence < 15_000, `${silence} ms`);
  assert.equal(feed.state, 'ready');
  await until('reconnected', () => feed.epoch === 2 && feed.state === 'ready');
  assert.deepEqual(
    stale.map((event) => [event.key, event.action]),
    [
      ['trades.busy', 'resubscribe'],
      ['trades.busy', 'reconnect'],
    ],
  );
  exchange.continue();
  await until('live', () => feed.stats().stale === 0);

  await delay(Math.max(0, 5_000 - (performance.now() - idleSince)));
  assert.deepEqual([alarms, idle.failures, idle.feed.epoch], [[], [], 1]);
  assert.deepEqual(exchange.violations, []);
});
