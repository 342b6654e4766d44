/** Loops that do not keep up: what each policy keeps, counts and reports. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { ConsumerOptions, Gap, MessageIterator, PersistentConnection } from '../../src/index.js';
import type { Exchange } from '../exchange/exchange.js';
import { exchangeFor, feedTo, until } from './feed.js';
import { Ledger, numbered } from './ledger.js';

const KEY = 'trades.A';

interface Case {
  exchange: Exchange;
  feed: PersistentConnection;
  loop: MessageIterator;
  ledger: Ledger;
  failures: { failure: { kind: string } }[];
}

async function slowLoop(t: TestContext, options: ConsumerOptions): Promise<Case> {
  const exchange = await exchangeFor(t);
  const ledger = new Ledger();
  const { feed, failures } = feedTo(t, exchange, { continuity: { sequence: numbered } });
  ledger.follow(feed);
  const loop = feed.messages(KEY, options);
  await feed.ready;
  return { exchange, feed, loop, ledger, failures };
}

async function take(loop: MessageIterator, count: number, ledger: Ledger): Promise<void> {
  for (let i = 0; i < count; i++) ledger.took((await loop.next()).value as string);
}

const publish = (exchange: Exchange, count: number): void => {
  for (let i = 0; i < count; i++) exchange.publish(KEY);
};

const outline = ({ reason, before, after, missed }: Gap): unknown[] => [
  reason,
  before?.id,
  after?.id,
  missed,
];

describe('a loop that does not keep up', () => {
  test('drop-oldest: the newest are kept, and each hole is one gap, told before the message after it', async (t) => {
    const { exchange, feed, loop, ledger } = await slowLoop(t, { whenFull: 'drop-oldest', maxMessages: 10 });
    publish(exchange, 5);
    await take(loop, 2, ledger);
    publish(exchange, 20);
    await until('it has come', () => feed.stats().consumers[0].dropped === 13);
    assert.deepEqual(ledger.gaps, [], 'the loop has not come to it yet');
    const [{ channel, whenFull, waiting, conflated, bytes }] = feed.stats().consumers;
    assert.deepEqual([channel, whenFull, waiting, conflated], [KEY, 'drop-oldest', 10, 0]);
    assert.ok(bytes > 10 && bytes < 2_000, `${bytes} bytes`);
    await take(loop, 1, ledger);
    assert.deepEqual(ledger.gaps.map(outline), [['slow-consumer', 2, 16, 13]]);
    await take(loop, 9, ledger);
    publish(exchange, 11);
    await until('once more', () => feed.stats().consumers[0].dropped === 14);
    await loop.return?.();
    assert.deepEqual(
      ledger.gaps.slice(1).map(outline),
      [['slow-consumer', 25, 27, 1]],
      'told when the loop is left',
    );
    ledger.check(KEY, exchange.sentTo(KEY).slice(0, 26));
    assert.deepEqual(feed.stats().consumers, []);
    assert.equal(feed.connection?.isPaused, false);
  });

  test('bytes are bounded too, but for the one message that must fit', async (t) => {
    const { exchange, feed, loop, ledger } = await slowLoop(t, { whenFull: 'drop-oldest', maxBytes: 1_000 });
    publish(exchange, 100);
    const big = { channel: KEY, type: 'trade', seq: 101, filler: 'x'.repeat(5_000) };
    [...exchange.sessions][0].send(big);
    await until('it has come', () => feed.stats().consumers[0].dropped === 100);
    assert.equal(feed.stats().consumers[0].waiting, 1);
    await take(loop, 1, ledger);
    assert.deepEqual(ledger.gaps.map(outline), [['slow-consumer', undefined, 101, 100]]);
  });

  test('conflate: the latest of each key, in the place of the first; with more keys than room, the oldest is a gap', async (t) => {
    const conflateBy = (message: { json(): unknown }): number | undefined => {
      const { seq } = message.json() as { seq: number };
      return seq > 1_000 ? seq : seq % 4;
    };
    const { exchange, feed, loop, ledger } = await slowLoop(t, {
      whenFull: 'conflate',
      conflateBy,
      maxMessages: 6,
    });
    publish(exchange, 100);
    await until('it has come', () => feed.stats().consumers[0].conflated === 96);
    assert.equal(feed.stats().consumers[0].waiting, 4);
    const taken = [];
    for (let i = 0; i < 4; i++) taken.push(JSON.parse((await loop.next()).value as string).seq);
    assert.deepEqual(taken, [97, 98, 99, 100]);
    assert.deepEqual(ledger.gaps, []);

    const [session] = exchange.sessions;
    for (let seq = 1_001; seq <= 1_008; seq++) session.send({ channel: KEY, type: 'snapshot', seq });
    await until('too many keys', () => feed.stats().consumers[0].dropped === 2);
    assert.equal(JSON.parse((await loop.next()).value as string).seq, 1_003);
    assert.deepEqual(ledger.gaps.map(outline), [['slow-consumer', 100, 1_003, 2]]);
    assert.equal(feed.stats().consumers[0].waiting, 5);
  });

  test('pause: nothing is lost, whatever waits', async (t) => {
    const { exchange, feed, loop, ledger } = await slowLoop(t, { maxMessages: 20 });
    publish(exchange, 500);
    await until('full', () => feed.connection?.isPaused === true);
    const [{ waiting, lag }] = feed.stats().consumers;
    assert.ok(waiting >= 20 && waiting <= 21, `${waiting} wait`);
    assert.ok(lag >= 0, `lag ${lag}`);
    await take(loop, 500, ledger);
    ledger.check(KEY, exchange.sentTo(KEY));
    assert.deepEqual([ledger.gaps, ledger.delivered(KEY).length], [[], 500]);
    assert.ok(feed.stats().consumers[0].longestLag > 0, 'the longest lag');
  });

  test('disconnect: the connection is given up, what waits is kept, and the rest is an outage', async (t) => {
    const { exchange, feed, loop, ledger, failures } = await slowLoop(t, {
      whenFull: 'disconnect',
      maxMessages: 20,
    });
    publish(exchange, 100);
    await until('given up', () => failures.length === 1);
    assert.equal(failures[0].failure.kind, 'slow-consumer');
    await until('the next one', () => feed.epoch === 2 && feed.connection !== undefined);
    assert.equal(feed.connection?.isPaused, true, 'not read from while the loop is behind');
    await take(loop, 20, ledger);
    await feed.ready;
    publish(exchange, 1);
    await take(loop, 1, ledger);
    assert.deepEqual(ledger.gaps.map(outline), [['outage', 20, 101, 80]]);
    assert.equal(ledger.gaps[0].failure?.kind, 'slow-consumer');
    ledger.check(KEY, exchange.sentTo(KEY));
    assert.equal(failures.length, 1);
  });

  test('conflate and conflateBy need each other', async (t) => {
    const { feed } = await slowLoop(t, {});
    assert.throws(() => feed.messages('trades.B', { whenFull: 'conflate' }), { code: 'ERR_INVALID_OPTION' });
    assert.throws(() => feed.messages('trades.B', { conflateBy: () => 1 }), { code: 'ERR_INVALID_OPTION' });
    assert.deepEqual(feed.desired, [KEY]);
  });
});
