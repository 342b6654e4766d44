/** A message that the venue loses, a venue that restarts its ids, a FIN without a word. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sequenceOf } from '../../src/index.js';
import { exchangeFor, feedTo, until } from '../persistent/feed.js';
import { Ledger } from '../persistent/ledger.js';

test('scenario 10: one of 10 000 dropped is one gap and one resync within 1 s; u = 1 is no gap; FIN is 1006 at once', {
  timeout: 60_000,
}, async (t) => {
  const exchange = await exchangeFor(t);
  const ledger = new Ledger();
  const told: { event: string; at: number }[] = [];
  const resyncs: (string | undefined)[] = [];
  const numbers = sequenceOf({ kind: 'contiguous', id: 'seq', per: 'channel', reset: 1 });
  const { feed, failures, readyAfter } = feedTo(t, exchange, {
    continuity: {
      sequence: numbers,
      resync({ channel, gap }) {
        if (gap?.reason === 'sequence') resyncs.push(gap.channel);
        return exchange.market.sequence(channel);
      },
    },
    onMessage: ledger.took,
  });
  ledger.follow(feed);
  feed.on('gap', () => told.push({ event: 'gap', at: performance.now() }));
  feed.on('resynced', () => told.push({ event: 'resynced', at: performance.now() }));
  feed.subscribe('trades.A');
  feed.subscribe('trades.B');
  await feed.ready;
  await until('both have begun', () => ledger.resyncs.length === 2);
  told.length = 0;

  const victim = 1 + Math.floor(Math.random() * 9_000);
  t.diagnostic(`message ${victim} is lost`);
  for (let i = 1; i <= 10_000; i++) {
    if (i === victim) exchange.skip('trades.A');
    else exchange.publish('trades.A');
    if (i % 100 === 0) exchange.publish('trades.B');
    if (i % 200 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await until('resynced', () => ledger.resyncs.length === 3);
  exchange.publish('trades.A');
  await until('live', () => ledger.delivered('trades.A').at(-1) === 10_001);
  assert.deepEqual(
    ledger.gaps.map(({ channel, before, after, missed }) => [channel, before?.id, after?.id, missed]),
    [['trades.A', victim - 1, victim + 1, 1]],
  );
  assert.deepEqual(resyncs, ['trades.A'], 'one resync, of one channel');
  assert.deepEqual(
    told.map(({ event }) => event),
    ['gap', 'resynced'],
  );
  const took = told[1].at - told[0].at;
  t.diagnostic(`resynced in ${took.toFixed(1)} ms`);
  assert.ok(took <= 1_000, `resynced only after ${took} ms`);
  ledger.check('trades.A', exchange.sentTo('trades.A'));
  ledger.check('trades.B', exchange.sentTo('trades.B'));
  assert.equal(ledger.delivered('trades.B').length, 100);

  const [session] = exchange.sessions;
  for (const seq of [1, 2, 3]) session.send({ channel: 'trades.A', type: 'trade', seq });
  await until('the venue has restarted', () => ledger.delivered('trades.A').at(-1) === 3);
  assert.equal(ledger.gaps.length, 1, 'a reset is no gap');
  assert.equal(ledger.resyncs.length, 3);

  const finAt = performance.now();
  session.end();
  await until('it is lost', () => failures.length === 1);
  const [{ failure, at }] = failures;
  assert.deepEqual([failure.kind, failure.close?.code], ['lost', 1006]);
  assert.ok(at - finAt < 1_000, `only after ${at - finAt} ms`);
  await readyAfter(1);
});
