/** A link that carries data falls silent without a word, and comes back half a minute later. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { PersistentConnection } from '../../src/index.js';
import { speaking } from '../exchange/client.js';
import { EXCHANGE_PROCESS, RemoteExchange } from '../exchange/remote-exchange.js';
import { observe, until } from '../persistent/feed.js';
import { networkNamespace } from './network-namespace.js';

const BEAT = { mode: 'always', interval: 5_000, timeout: 2_000 } as const;

test('scenario 1: 500 msg/s into a black hole: dead within 7.5 s, ready within 5 s of healing, one chain of attempts', {
  timeout: 120_000,
}, async (t) => {
  const network = networkNamespace(t);
  if (network === undefined) return;
  const exchange = new RemoteExchange(network.spawn(EXCHANGE_PROCESS));
  const { url } = await exchange.call('start', { host: network.server });
  await exchange.call('publishEvery', { ms: 10, channels: ['trades.A'], count: 5 });

  let lastAt = 0;
  const seen: number[] = [];
  const feed = new PersistentConnection(url, {
    ...speaking,
    connect: { heartbeat: BEAT, handshakeTimeout: 3_000 },
    backoff: { cap: 2_000 },
    onMessage(message) {
      const { seq } = message.json() as { seq?: number };
      if (seq === undefined) return;
      seen.push(seq);
      lastAt = performance.now();
    },
  });
  t.after(() => feed.close());
  const { transitions, failures } = observe(feed);
  feed.subscribe('trades.A');
  await feed.ready;
  await until('a second of data', () => seen.length > 500);
  const first = feed.connection!;

  network.blackHole();
  const info = await first.closed;
  const silence = performance.now() - lastAt;
  t.diagnostic(`dead after ${silence.toFixed(0)} ms of silence`);
  assert.ok(silence <= 7_500, `dead only after ${silence} ms`);
  assert.equal(info.code, 1006);
  assert.equal(first.readyState, 3);
  const seenBefore = seen.length;

  await delay(30_000 - silence);
  assert.equal(seen.length, seenBefore, 'data through a black hole');
  network.heal();
  const healedAt = performance.now();
  await feed.ready;
  const recovery = performance.now() - healedAt;
  t.diagnostic(`ready ${recovery.toFixed(0)} ms after healing, ${failures.length} failures meanwhile`);
  assert.ok(recovery <= 5_000, `ready only after ${recovery} ms`);
  assert.equal(failures[0].failure.kind, 'heartbeat');

  // One chain: each attempt begins when the one before has ended, and none was left over.
  const attempts = transitions.filter(({ to }) => to === 'connecting').map(({ epoch }) => epoch);
  assert.deepEqual(
    attempts,
    attempts.map((_, i) => i + 1),
  );
  assert.equal(failures.length, attempts.length - 1);
  await until('data again', () => seen.length > seenBefore + 100);
  for (let i = 1; i < seen.length; i++) assert.ok(seen[i] > seen[i - 1], `${seen[i]} after ${seen[i - 1]}`);
  // Their side learns of it too, as soon as its own data is answered with a reset.
  let report = await exchange.call('report', undefined);
  for (let i = 0; i < 600 && report.sessions > 1; i++) {
    await delay(50);
    report = await exchange.call('report', undefined);
  }
  const { subscriptions, violations } = report;
  assert.deepEqual({ subscriptions, violations }, { subscriptions: ['trades.A'], violations: [] });
});
