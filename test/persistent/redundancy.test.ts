/** Two connections at once: one stream, and a death of one of them that nobody notices. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import {
  HeartwireError,
  type PersistentOptions,
  RedundantConnection,
  type RedundantEvents,
  type RedundantOptions,
} from '../../src/index.js';
import { speaking } from '../exchange/client.js';
import type { Exchange } from '../exchange/exchange.js';
import { leavesNothingOpen } from '../server/resources.js';
import { BY_KEY, BY_SEQUENCE, Ledger } from './continuity.js';
import { exchangeFor, impatient, until } from './feed.js';

function hasCode(code: string) {
  return (error: unknown): boolean => error instanceof HeartwireError && error.code === code;
}

function hotHot(t: TestContext, exchange: Exchange, options: Partial<RedundantOptions> = {}, lags = [0, 30]) {
  const ledger = new Ledger();
  const urls = lags.map((lag, leg) => `${exchange.url}?leg=${leg}&lag=${lag}`);
  const feed = new RedundantConnection(urls, {
    ...(speaking as Omit<PersistentOptions, 'onMessage'>),
    retry: impatient,
    deduplication: BY_KEY,
    onMessage: ledger.onMessage,
    ...options,
  });
  t.after(() => feed.close());
  const sessionsOf = (leg: number) => [...exchange.sessions].filter(({ url }) => url.includes(`leg=${leg}&`));
  const allReady = (): Promise<void> =>
    until('all ready', () => feed.legs.every(({ state }) => state === 'ready'));
  return { feed, ledger, sessionsOf, allReady };
}

describe('two connections', () => {
  test('are subscribed to the same, and every message is delivered once, from the first; leads and lags are told', async (t) => {
    const exchange = await exchangeFor(t);
    const { feed, ledger, allReady } = hotHot(t, exchange);
    const wish = feed.subscribe('trades.A');
    await wish.acknowledged;
    await allReady();
    assert.deepEqual(exchange.subscriptions, ['trades.A', 'trades.A']);
    for (let i = 0; i < 100; i++) exchange.publish('trades.A');
    await until('the slow one has brought all', () => feed.stats().legs[1].late === 100);
    assert.equal(ledger.count, 100);
    ledger.assertWhole();
    const [fast, slow] = feed.stats().legs;
    assert.deepEqual([fast.first, fast.late, slow.first, slow.late], [100, 0, 0, 100]);
    assert.equal(fast.lead.count, 100);
    assert.equal(slow.lag.count, 100);
    assert.ok(slow.lag.mean >= 15, `behind by ${slow.lag.mean} ms, of 30`);
    assert.equal(fast.lead.max, slow.lag.max);
    assert.deepEqual([fast.lag.count, slow.lead.count], [0, 0]);
    wish.unsubscribe();
    await until('given back', () => exchange.subscriptions.length === 0);
  });

  test('are ready with the first of them, down with the last; each tells of itself', async (t) => {
    const exchange = await exchangeFor(t);
    exchange.rules.refuse = (knock) => (knock === 1 ? { status: 500 } : undefined);
    const { feed, allReady, sessionsOf } = hotHot(t, exchange);
    const told: string[] = [];
    feed.on('ready', ({ leg }: RedundantEvents['ready']) => told.push(`ready ${leg}`));
    feed.on('down', ({ leg }) => told.push(`down ${leg}`));
    feed.on('failure', ({ leg, failure }) => told.push(`failure ${leg} ${failure.kind}`));
    await feed.ready;
    await allReady();
    for (const session of sessionsOf(0)) session.reset();
    await until('told', () => told.length >= 3);
    assert.ok(feed.isReady, 'one is ready still');
    await allReady();
    const [first] = told;
    assert.match(first, /^(?:ready \d|failure \d handshake)$/);
    assert.equal(told.filter((each) => each.startsWith('ready')).length, 1);
    assert.ok(told.includes('failure 0 lost'), told.join());
    exchange.rules.refuse = () => ({ status: 500 });
    exchange.resetAll();
    await until('down', () => told.some((each) => each.startsWith('down')));
    exchange.rules.refuse = undefined;
    await feed.ready;
    assert.equal(told.filter((each) => each.startsWith('ready')).length, 2);
  });

  test('send on one of them: the first that is ready; nothing is sent again on another', async (t) => {
    const exchange = await exchangeFor(t, { rules: { silentOrders: true } });
    const { feed, allReady, sessionsOf } = hotHot(t, exchange);
    assert.throws(() => feed.send('x'), hasCode('ERR_NOT_READY'));
    await allReady();
    const unknown: string[] = [];
    feed.on('unknown-outcome', ({ key, leg }) => unknown.push(`${key} ${leg}`));
    const order = (id: string): boolean => feed.send(JSON.stringify({ op: 'order', id }), { key: id });
    order('a');
    await until('arrived', () => sessionsOf(0)[0].orders.length === 1);
    exchange.rules.refuse = () => ({ status: 500 });
    sessionsOf(0)[0].reset();
    await until('told', () => unknown.length === 1);
    order('b');
    assert.throws(() => order('b'), hasCode('ERR_KEY_IN_USE'));
    await until('arrived', () => sessionsOf(1)[0].orders.length === 1);
    assert.deepEqual(unknown, ['a 0']);
    assert.deepEqual(
      exchange.history.flatMap(({ orders }) => orders),
      ['a', 'b'],
    );
    assert.deepEqual(feed.unacknowledged, ['b']);
    assert.ok(feed.acknowledge('b'), 'b waited');
  });

  test('loops get every message once; a slow one pauses both', async (t) => {
    const exchange = await exchangeFor(t);
    const { feed, allReady } = hotHot(t, exchange, { onMessage: undefined }, [0, 0]);
    const messages = feed.messages('trades.A');
    await allReady();
    await until('both subscribed', () => exchange.subscriptions.length === 2);
    for (let i = 0; i < 3_000; i++) exchange.publish('trades.A');
    await until('paused', () => feed.legs.every(({ connection }) => connection!.isPaused));
    const ids: number[] = [];
    for await (const message of messages) {
      ids.push((JSON.parse(String(message)) as { seq: number }).seq);
      if (ids.length === 3_000) break;
    }
    assert.deepEqual(
      ids,
      Array.from(ids, (_, i) => i + 1),
    );
    await until('given back', () => exchange.subscriptions.length === 0);
  });

  test('one that has given up leaves the other; with both the whole has ended, and nothing is left open', async (t) => {
    await leavesNothingOpen(async () => {
      const exchange = await exchangeFor(t);
      const { feed, sessionsOf, allReady } = hotHot(t, exchange, {
        leg: (leg) => (leg === 0 ? { maxAttempts: 1 } : {}),
      });
      await allReady();
      exchange.rules.refuse = () => ({ status: 500 });
      sessionsOf(0)[0].reset();
      await until('closed', () => feed.legs[0].state === 'closed');
      assert.ok(feed.isReady, 'the other serves');
      feed.subscribe('trades.A');
      exchange.publish('trades.A');
      const { legs } = await feed.close();
      assert.equal(legs[0].error?.code, 'ERR_GAVE_UP');
      assert.equal(legs[1].close?.code, 1000);
      await assert.rejects(feed.ready, hasCode('ERR_NOT_READY'));
      assert.throws(() => feed.subscribe('trades.B'), hasCode('ERR_NOT_READY'));
      assert.throws(() => feed.send('x', { whenDown: 'queue' }), hasCode('ERR_NOT_READY'));
      for await (const message of feed.messages('trades.A')) assert.fail(`after the end: ${String(message)}`);
      await exchange.stop();
    });
  });

  test('are two at least', () => {
    assert.throws(
      () => new RedundantConnection(['ws://a.test/'], { deduplication: BY_KEY }),
      hasCode('ERR_INVALID_OPTION'),
    );
  });
});

for (const [how, deduplication] of [
  ['keys', BY_KEY],
  ['sequence numbers', BY_SEQUENCE],
] as const) {
  test(`by ${how}, the faster of two links dies again and again: nothing is lost, and nothing waits longer than for the other`, async (t) => {
    const exchange = await exchangeFor(t, { log: false, rules: { replay: 2 } });
    const lag = 25;
    const later: string[] = [];
    const { feed, ledger, sessionsOf, allReady } = hotHot(
      t,
      exchange,
      {
        deduplication,
        leg: (leg) => ({
          rotation: {
            // What the other link brought before is delivered when it brings the next.
            notice: (message) => {
              const { channel, seq } = message.json() as { channel?: string; seq: number };
              if (leg === 1 && channel && ledger.last(channel) > 0 && ledger.last(channel) < seq - 1)
                later.push(`${channel}: ${ledger.last(channel)} when ${seq} comes`);
              return false;
            },
          },
        }),
      },
      [0, lag],
    );
    const channels = ['trades.A', 'trades.B', 'book.A'];
    for (const channel of channels) feed.subscribe(channel);
    await allReady();
    exchange.publishEvery(2, channels, 2);
    for (let i = 0; i < 12; i++) {
      const { first } = feed.stats().legs[0];
      await until('it brings messages first', () => feed.stats().legs[0].first > first + 50);
      const { epoch } = feed.legs[0];
      for (const session of sessionsOf(0)) session.reset();
      await until('it is back', () => feed.legs[0].epoch > epoch && feed.legs[0].state === 'ready');
    }
    const last = channels.map((channel) => exchange.market.sequence(channel));
    await until('all has come', () => channels.every((channel, i) => ledger.last(channel) >= last[i]));
    const { legs, leftOut } = feed.stats();
    t.diagnostic(
      `${ledger.count} messages; the fast one first with ${legs[0].first}, the slow one with ${legs[1].first}`,
    );
    ledger.assertWhole();
    assert.deepEqual(later.slice(0, 5), []);
    assert.equal(leftOut, 0);
    assert.ok(legs[1].first > 0, 'the slow one filled in');
    assert.ok(legs[0].first > legs[1].first / 10, 'the fast one came back');
  });
}
