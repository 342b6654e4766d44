/** Bursts that nobody can keep up with: memory is bounded, what is given up is known, and the venue hears Pongs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type ConsumerOptions, type ConsumerStats, PersistentConnection } from '../../src/index.js';
import { speaking } from '../exchange/client.js';
import { exchangeNextDoor } from '../exchange/remote-exchange.js';
import { observe, until } from '../persistent/feed.js';
import { Ledger, numbered } from '../persistent/ledger.js';

const KEY = 'trades.A';
const MiB = 1024 * 1024;

function work(microseconds: number): void {
  const end = performance.now() + microseconds / 1_000;
  while (performance.now() < end);
}

const POLICIES: ConsumerOptions[] = [
  { whenFull: 'drop-oldest', maxMessages: 64 },
  {
    whenFull: 'conflate',
    maxMessages: 64,
    // Fifty instruments.
    conflateBy: (message) => (message.json() as { seq: number }).seq % 50,
  },
];

for (const policy of POLICIES) {
  test(`scenario 8, ${policy.whenFull}: 8 MB, then 20 000 msg/s for 5 s, 200 µs for each: bounded, counted, Pongs within 1 s`, {
    timeout: 120_000,
  }, async (t) => {
    const exchange = exchangeNextDoor(t);
    const { url } = await exchange.call('start', { rules: { pingInterval: 200, pongTimeout: 1_000 } });
    const ledger = new Ledger();
    const feed = new PersistentConnection(url, { ...speaking, continuity: { sequence: numbered } });
    t.after(() => feed.close());
    const { failures } = observe(feed);
    ledger.follow(feed);
    const loop = feed.messages(KEY, { ...policy, maxBytes: 16 * MiB });
    await feed.ready;

    let handled = 0;
    const handling = (async () => {
      for await (const message of loop) {
        work(200);
        handled++;
        ledger.took(message as string);
      }
    })();
    globalThis.gc?.();
    const heapBefore = process.memoryUsage().heapUsed;
    let heapMost = 0;
    let lagMost = 0;
    let waitingMost = 0;
    const watch = setInterval(() => {
      const { heapUsed } = process.memoryUsage();
      heapMost = Math.max(heapMost, heapUsed - heapBefore);
    }, 20);
    t.after(() => clearInterval(watch));
    const look = ({ longestLag, waiting }: ConsumerStats): void => {
      lagMost = Math.max(lagMost, longestLag);
      waitingMost = Math.max(waitingMost, waiting);
    };

    await exchange.call('publishGiant', { channel: KEY, bytes: 8_000_000 });
    await until('the giant', () => handled === 1);
    const [{ longestLag: lagBefore }] = feed.stats().consumers;
    await exchange.call('publishEvery', { ms: 10, channels: [KEY], count: 200 });
    for (const end = performance.now() + 5_000; performance.now() < end; await delay(20))
      look(feed.stats().consumers[0]);
    await exchange.call('stopPublishing', undefined);
    const sent = await exchange.call('sentTo', KEY);
    const counted = (): number => {
      const [{ conflated, dropped }] = feed.stats().consumers;
      return handled + dropped + conflated;
    };
    await until('all of it has come', () => counted() >= sent.length, 30_000);

    const [{ conflated, dropped, longestLag }] = feed.stats().consumers;
    const kept = `${handled} handled, ${dropped} dropped, ${conflated} conflated of ${sent.length}`;
    t.diagnostic(
      `${kept}; heap +${(heapMost / MiB).toFixed(1)} MiB; longest lag ${longestLag.toFixed(0)} ms`,
    );
    assert.equal(handled + dropped + conflated, sent.length, kept);
    assert.ok(
      policy.whenFull === 'conflate' ? conflated > 0 : dropped > 0,
      `the policy was applied: ${kept}`,
    );
    if (policy.whenFull === 'drop-oldest') ledger.check(KEY, sent);
    assert.ok(waitingMost <= 64, `${waitingMost} waited`);
    assert.ok(heapMost < 128 * MiB, `heap +${heapMost / MiB} MiB`);
    assert.ok(longestLag > lagBefore || lagMost > 1, `the lag rose from ${lagBefore} to ${longestLag} ms`);
    const { violations, connections } = await exchange.call('report', undefined);
    assert.deepEqual([violations, connections, failures], [[], 1, []]);
    await feed.close();
    await handling;
  });
}
