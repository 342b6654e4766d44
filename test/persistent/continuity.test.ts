/** Gaps and their bounds, snapshots, stale data: against the exchange, whose log says what was sent. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Gap, PersistentEvents } from '../../src/index.js';
import { exchangeNextDoor } from '../exchange/remote-exchange.js';
import { exchangeFor, feedTo, until } from './feed.js';
import { Ledger, numbered } from './ledger.js';

const outline = ({ reason, before, after, missed }: Gap): unknown[] => [
  reason,
  before?.id,
  after?.id,
  missed,
];

describe('gaps: what was delivered and what was reported is what was sent', () => {
  test('messages that the venue loses, on a connection that stands', async (t) => {
    const exchange = await exchangeFor(t);
    const ledger = new Ledger();
    const { feed } = feedTo(t, exchange, { continuity: { sequence: numbered }, onMessage: ledger.took });
    ledger.follow(feed);
    feed.subscribe('trades.A');
    await feed.ready;
    exchange.publish('trades.A', 'trades.A');
    exchange.skip('trades.A', 3);
    exchange.publish('trades.A');
    exchange.skip('trades.A');
    exchange.publish('trades.A');
    await until('the last', () => ledger.delivered('trades.A').at(-1) === 8);
    assert.deepEqual(ledger.gaps.map(outline), [
      ['sequence', 2, 6, 3],
      ['sequence', 6, 8, 1],
    ]);
    const [{ channel, before, after, epoch }] = ledger.gaps;
    assert.deepEqual({ channel, epoch }, { channel: 'trades.A', epoch: 1 });
    assert.ok(before!.at <= after!.at && after!.at <= performance.now(), 'times of both ends');
    ledger.check('trades.A', [1, 2, 3, 4, 5, 6, 7, 8]);
    assert.equal(feed.stats().gaps, 2);
  });

  test('every outage is one gap, with its bounds and its cause, however many attempts it takes', async (t) => {
    const exchange = await exchangeFor(t);
    const ledger = new Ledger();
    const { feed, readyAfter } = feedTo(t, exchange, {
      continuity: { sequence: numbered },
      onMessage: ledger.took,
    });
    ledger.follow(feed);
    feed.subscribe('trades.A');
    await feed.ready;
    exchange.publish('trades.A');
    await until('the first', () => ledger.delivered('trades.A').length === 1);
    exchange.rules.refuse = (knock) => (knock < 3 ? { status: 500 } : undefined);
    // On its way when the connection is reset: nobody can tell whether it arrived.
    exchange.publish('trades.A', 'trades.A');
    exchange.resetAll();
    await until('it is lost', () => exchange.sessions.size === 0);
    exchange.publish('trades.A', 'trades.A');
    await readyAfter(1);
    assert.equal(ledger.gaps.length, 0, 'its end is not known yet');
    exchange.publish('trades.A');
    await until('data again', () => ledger.delivered('trades.A').at(-1) === 6);
    const last = ledger.delivered('trades.A').at(-2);
    assert.deepEqual(ledger.gaps.map(outline), [['outage', last, 6, 6 - last! - 1]]);
    const [gap] = ledger.gaps;
    assert.equal(gap.failure?.kind, 'lost');
    assert.equal(gap.epoch, feed.epoch);
    assert.ok(feed.epoch > 2, 'several attempts');
    ledger.check('trades.A', [1, 2, 3, 4, 5, 6]);
  });

  test('an outage without loss is a gap of none; one without ids has its times; one without an end is told at the end', async (t) => {
    const exchange = await exchangeFor(t);
    const ledger = new Ledger();
    const continuity = (key: string) => (key === 'trades.A' ? { sequence: numbered } : undefined);
    const { feed, readyAfter } = feedTo(t, exchange, { continuity, onMessage: ledger.took, maxAttempts: 2 });
    ledger.follow(feed);
    feed.subscribe('trades.A');
    feed.subscribe('trades.plain');
    await feed.ready;
    exchange.publish('trades.A', 'trades.plain');
    await until('both', () => ledger.delivered('trades.plain').length === 1);
    const lostAfter = performance.now();
    exchange.closeAll(1001);
    await readyAfter(1);
    exchange.publish('trades.A');
    await until('data again', () => ledger.delivered('trades.A').length === 2);
    const of = (key: string): Gap[] => ledger.gaps.filter(({ channel }) => channel === key);
    assert.deepEqual(of('trades.A').map(outline), [['outage', 1, 2, 0]]);
    const [plain, ...more] = of('trades.plain');
    assert.deepEqual([more.length, ...outline(plain)], [0, 'outage', undefined, undefined, undefined]);
    assert.ok(plain.before!.at <= performance.now() && plain.after!.at >= lostAfter, 'times of both ends');

    exchange.rules.refuse = () => ({ status: 500 });
    exchange.resetAll();
    await feed.closed;
    assert.deepEqual(of('trades.A').slice(1).map(outline), [['outage', 2, undefined, undefined]]);
    assert.equal(of('trades.plain').at(-1)?.after, undefined);
  });

  test('a snapshot of the venue is a reset, not a gap; what had been here before is left out and counted', async (t) => {
    const exchange = await exchangeFor(t);
    const ledger = new Ledger();
    const { feed } = feedTo(t, exchange, { continuity: { sequence: numbered }, onMessage: ledger.took });
    ledger.follow(feed);
    exchange.publish('book.A', 'book.A');
    feed.subscribe('book.A');
    await feed.ready;
    exchange.publish('book.A');
    await until('three', () => ledger.delivered('book.A').at(-1) === 3);
    const [session] = exchange.sessions;
    session.send({ channel: 'book.A', type: 'update', seq: 3 });
    session.send({ channel: 'book.A', type: 'update', seq: 2 });
    session.send({ channel: 'book.A', type: 'snapshot', seq: 1 });
    session.send({ channel: 'book.A', type: 'update', seq: 2 });
    await until('the reset', () => ledger.delivered('book.A').length === 4);
    assert.deepEqual(ledger.delivered('book.A'), [2, 3, 1, 2]);
    assert.deepEqual(ledger.gaps, []);
    assert.equal(feed.stats().late, 2);
  });

  test('a connection that numbers all of its messages: holes are of all channels, a new connection begins anew', async (t) => {
    const exchange = await exchangeFor(t);
    const ledger = new Ledger();
    const read = numbered.read;
    const { feed, readyAfter } = feedTo(t, exchange, { connectionSequence: { kind: 'contiguous', read } });
    const gaps: Gap[] = [];
    feed.on('gap', (gap) => gaps.push(gap));
    feed.subscribe('trades.A');
    await feed.ready;
    const say = (seq: number): void =>
      [...exchange.sessions][0].send({ channel: 'trades.A', type: 'trade', seq });
    say(1);
    say(4);
    await until('the hole', () => gaps.length === 1);
    assert.deepEqual([gaps[0].channel, ...outline(gaps[0])], [undefined, 'sequence', 1, 4, 2]);
    exchange.resetAll();
    await readyAfter(1);
    say(1);
    say(2);
    say(5);
    await until('the next hole', () => gaps.length === 3);
    assert.deepEqual(gaps.slice(1).map(outline), [
      ['outage', undefined, undefined, undefined],
      ['sequence', 2, 5, 2],
    ]);
    assert.equal(ledger.gaps.length, 0);
  });

  test('continuity without channelOf is a usage error', async (t) => {
    const exchange = await exchangeFor(t);
    const options = { continuity: { deadline: 1 }, channelOf: undefined };
    assert.throws(() => feedTo(t, exchange, options), { code: 'ERR_INVALID_OPTION' });
  });
});

describe('liveness of data', () => {
  interface Told {
    stale: PersistentEvents['stale'][];
    live: PersistentEvents['live'][];
  }
  const watch = (feed: ReturnType<typeof feedTo>['feed']): Told => {
    const told: Told = { stale: [], live: [] };
    feed.on('stale', (event) => told.stale.push(event));
    feed.on('live', (event) => told.live.push(event));
    return told;
  };

  test('a channel without data is subscribed to anew, and is live when data comes; a busy one is not touched', async (t) => {
    const exchange = await exchangeFor(t, { rules: { pingInterval: 50, heartbeatInterval: 50 } });
    const continuity = { deadline: 400, sequence: numbered };
    const { feed } = feedTo(t, exchange, { continuity });
    const { stale, live } = watch(feed);
    const silent = feed.subscribe('trades.silent');
    feed.subscribe('trades.busy');
    exchange.publishEvery(20, ['trades.busy', 'trades.silent']);
    await feed.ready;
    await until('data', () => silent.lastDataAt !== undefined);
    assert.ok(performance.now() - silent.lastDataAt! < 10_000, 'lastDataAt');
    exchange.halt('trades.silent');
    await until('stale', () => stale.length === 1);
    assert.equal(feed.stats().stale, 1);
    const { key, deadline, silence, action, lastDataAt, epoch } = stale[0];
    assert.deepEqual(
      { key, deadline, action, lastDataAt, epoch },
      {
        key: 'trades.silent',
        deadline: 400,
        action: 'resubscribe',
        lastDataAt: silent.lastDataAt,
        epoch: 1,
      },
    );
    assert.ok(silence >= 400, `${silence} ms`);
    const [session] = exchange.sessions;
    await until('asked anew', () => session.requests.length === 3);
    assert.deepEqual(
      session.requests.slice(1).map(({ op, channels }) => [op, channels]),
      [
        ['unsubscribe', ['trades.silent']],
        ['subscribe', ['trades.silent']],
      ],
    );
    exchange.continue();
    await until('live', () => live.length === 1);
    assert.equal(live[0].key, 'trades.silent');
    assert.ok(live[0].silence >= 400, `${live[0].silence} ms`);
    assert.equal(feed.stats().stale, 0);
    assert.deepEqual([feed.epoch, exchange.violations], [1, []]);
  });

  test('when that does not help, the connection is given up, and then it is given more time each time', async (t) => {
    const exchange = await exchangeFor(t, { rules: { pingInterval: 30, heartbeatInterval: 30 } });
    const { feed, failures } = feedTo(t, exchange, { continuity: { deadline: 60 } });
    const { stale, live } = watch(feed);
    feed.subscribe('trades.A');
    await feed.ready;
    await until('three connections', () => feed.epoch >= 3 && feed.state === 'ready');
    assert.deepEqual(
      stale.slice(0, 4).map(({ action }) => action),
      ['resubscribe', 'reconnect', 'resubscribe', 'reconnect'],
    );
    const [{ failure }] = failures;
    assert.deepEqual([failure.kind, (failure.error as { code?: string }).code], ['stale', 'ERR_STALE_DATA']);
    assert.ok(stale[2].silence >= 2 * 60, `twice the time, after ${stale[2].silence} ms`);
    exchange.publishEvery(5, ['trades.A']);
    await until('live', () => live.length === 1);
  });

  test('an event loop that stood still is no silence: what has arrived meanwhile is read first', async (t) => {
    const exchange = exchangeNextDoor(t);
    const { url } = await exchange.call('start', {});
    await exchange.call('publishEvery', { ms: 10, channels: ['trades.A'] });
    const { feed } = feedTo(t, { url, tls: undefined }, { continuity: { deadline: 400 } });
    const { stale } = watch(feed);
    const subscription = feed.subscribe('trades.A');
    await until('data', () => subscription.lastDataAt !== undefined);
    for (let i = 0; i < 3; i++) {
      await new Promise<void>((resolve) =>
        setImmediate(() => {
          const end = performance.now() + 700;
          while (performance.now() < end);
          resolve();
        }),
      );
      await delay(50);
    }
    assert.deepEqual(stale, []);
  });

  test('nothing is watched without a subscription, before its acknowledgement, or while reading is paused', async (t) => {
    const exchange = await exchangeFor(t, { rules: { ackDelay: 300, heartbeatInterval: 20 } });
    const { feed } = feedTo(t, exchange, { continuity: { deadline: 150 } });
    const { stale } = watch(feed);
    await feed.ready;
    await delay(300);
    const subscription = feed.subscribe('trades.A');
    await subscription.acknowledged;
    exchange.publishEvery(10, ['trades.A']);
    await until('data', () => subscription.lastDataAt !== undefined);
    feed.pause();
    await delay(400);
    assert.deepEqual(stale, []);
    feed.resume();
    await delay(100);
    assert.deepEqual(stale, []);
    subscription.unsubscribe();
    await delay(400);
    assert.deepEqual([stale, feed.epoch], [[], 1]);
  });
});
