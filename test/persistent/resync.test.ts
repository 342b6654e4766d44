/** Order books that begin anew from a snapshot after every gap: they are right, or they wait. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type {
  Message,
  PersistentEvents,
  PersistentOptions,
  ResyncOptions,
  ResyncRequest,
} from '../../src/index.js';
import type { Exchange } from '../exchange/exchange.js';
import type { DataMessage } from '../exchange/market.js';
import { Book } from './book.js';
import { exchangeFor, feedTo, type Observed, until } from './feed.js';
import { Ledger, numbered } from './ledger.js';

interface Case extends Observed {
  exchange: Exchange;
  book: Book;
  ledger: Ledger;
  failures_: PersistentEvents['resync-failed'][];
  /** The venue's book. */
  theirs(): unknown;
}

const CHANNEL = 'book.A';

/** A venue without snapshots in its stream: they are fetched, as by REST, in `ms`. */
const numberedUpdates: typeof numbered = {
  kind: 'contiguous',
  read: (message) =>
    (message.json() as { type?: string }).type === 'update' ? numbered.read(message) : undefined,
};

async function bookOf(
  t: TestContext,
  resync: (exchange: Exchange, book: Book) => ResyncOptions,
  options: PersistentOptions = {},
): Promise<Case> {
  const exchange = await exchangeFor(t);
  const book = new Book();
  const ledger = new Ledger();
  const wanted = resync(exchange, book);
  const ofVenue = wanted.snapshot === 'resubscribe';
  const observed = feedTo(t, exchange, {
    continuity: { sequence: ofVenue ? numbered : numberedUpdates, resync: wanted },
    onMessage(message: Message) {
      const data = message.json() as DataMessage;
      if (data.channel !== CHANNEL || (data.type === 'snapshot' && !ofVenue)) return;
      ledger.took(message);
      book.take(data);
    },
    ...options,
  });
  const { feed } = observed;
  ledger.follow(feed);
  const failures_: Case['failures_'] = [];
  feed.on('resync-failed', (failure) => failures_.push(failure));
  const theirs = (): unknown => {
    const venue = new Book();
    venue.take(exchange.market.snapshot(CHANNEL)!);
    return venue.levels;
  };
  return { ...observed, exchange, book, ledger, failures_, theirs };
}

/** As by REST: the book of this moment, that arrives `ms` later. */
function fetched(ms: number): (exchange: Exchange, book: Book) => ResyncOptions {
  return (exchange, book) => ({
    async snapshot({ channel }) {
      const snapshot = exchange.market.snapshot(channel)!;
      await delay(ms);
      if (channel === CHANNEL) book.take(snapshot);
      return snapshot.seq;
    },
  });
}

describe('resync of one channel', () => {
  test('from the subscription on: updates are held until the snapshot is in, and those that follow it are replayed', async (t) => {
    const { exchange, feed, book, ledger, theirs } = await bookOf(t, fetched(100));
    for (let i = 0; i < 20; i++) exchange.publish(CHANNEL);
    feed.subscribe(CHANNEL);
    await feed.ready;
    exchange.publish(CHANNEL, CHANNEL, CHANNEL);
    await until('held', () => feed.stats().held >= 3);
    assert.deepEqual(ledger.delivered(CHANNEL), [], 'nothing before the snapshot');
    await until('in line', () => book.seq === 23);
    assert.deepEqual(ledger.delivered(CHANNEL), [21, 22, 23]);
    assert.deepEqual(book.levels, theirs());
    exchange.publish(CHANNEL);
    await until('live', () => book.seq === 24);
    assert.deepEqual(book.levels, theirs());
    assert.deepEqual(ledger.gaps, []);
    assert.equal(ledger.resyncs.length, 1);
    const [{ snapshot, attempts, gap }] = ledger.resyncs;
    assert.deepEqual([snapshot, attempts, gap], [20, 1, undefined]);
  });

  test('after a gap: that channel alone, updates in the snapshot are left out; after an outage too', async (t) => {
    const { exchange, feed, book, ledger, theirs, readyAfter } = await bookOf(t, fetched(60));
    feed.subscribe(CHANNEL);
    feed.subscribe('book.B');
    await feed.ready;
    exchange.publishEvery(3, [CHANNEL]);
    await until('live', () => ledger.delivered(CHANNEL).length > 10);
    exchange.skip(CHANNEL, 2);
    await until('resynced', () => ledger.resyncs.filter(({ channel }) => channel === CHANNEL).length === 2);
    const [told] = ledger.gaps;
    assert.deepEqual([told.reason, told.missed, told.channel], ['sequence', 2, CHANNEL]);
    const again = ledger.resyncs.filter(({ channel }) => channel === CHANNEL)[1];
    assert.equal(again.gap, told);
    assert.ok(again.snapshot! >= told.before!.id! + 2, 'newer than the gap');
    exchange.resetAll();
    await readyAfter(1);
    await until(
      'resynced anew',
      () => ledger.resyncs.filter(({ channel }) => channel === CHANNEL).length === 3,
    );
    const from = ledger.delivered(CHANNEL).length;
    await until('live again', () => ledger.delivered(CHANNEL).length > from + 10);
    assert.equal(ledger.gaps.filter(({ channel }) => channel === CHANNEL).at(-1)!.reason, 'outage');
    exchange.stopPublishing();
    await until('the last', () => book.seq === exchange.market.sequence(CHANNEL));
    assert.deepEqual(book.levels, theirs());
    ledger.check(CHANNEL, exchange.sentTo(CHANNEL));
  });

  test('a gap among the held updates: another snapshot', async (t) => {
    const { exchange, feed, book, ledger, theirs } = await bookOf(t, fetched(50));
    feed.subscribe(CHANNEL);
    await feed.ready;
    exchange.publish(CHANNEL);
    exchange.skip(CHANNEL, 2);
    exchange.publish(CHANNEL, CHANNEL);
    await until('in line', () => book.seq === 5);
    await until('resynced twice', () => ledger.resyncs.length === 2 && feed.stats().held === 0);
    assert.deepEqual(
      ledger.gaps.map(({ reason, before, after }) => [reason, before?.id, after?.id]),
      [['sequence', 1, 4]],
    );
    assert.deepEqual(book.levels, theirs());
    assert.deepEqual(ledger.delivered(CHANNEL), [1]);
    ledger.check(CHANNEL, [1, 2, 3, 4, 5]);
  });

  test('snapshots that fail, hang, or are too old are asked for again, and nothing is delivered until one is right', async (t) => {
    const { exchange, feed, book, ledger, failures_, theirs } = await bookOf(t, (exchange, book) => ({
      timeout: 80,
      async snapshot({ attempt, signal }) {
        if (attempt === 1) throw new Error('503');
        if (attempt === 2) return new Promise((_, reject) => signal.addEventListener('abort', reject));
        if (attempt === 3) return 2;
        const snapshot = exchange.market.snapshot(CHANNEL)!;
        book.take(snapshot);
        return snapshot.seq;
      },
    }));
    for (let i = 0; i < 5; i++) exchange.publish(CHANNEL);
    feed.subscribe(CHANNEL);
    await feed.ready;
    exchange.publish(CHANNEL);
    await until('the third', () => failures_.length === 3);
    assert.deepEqual(ledger.delivered(CHANNEL), []);
    const codes = failures_.map(({ error }) => (error as { code?: string }).code ?? error.message);
    assert.deepEqual(codes, ['503', 'ERR_SNAPSHOT_TIMEOUT', 'ERR_SNAPSHOT_TOO_OLD']);
    assert.deepEqual(
      failures_.map(({ attempt, delay }) => [attempt, delay]),
      [
        [1, 250],
        [2, 500],
        [3, 1_000],
      ],
    );
    await until('in line', () => book.seq === 6);
    assert.equal(ledger.resyncs[0].attempts, 4);
    exchange.publish(CHANNEL);
    await until('live', () => book.seq === 7);
    assert.deepEqual(book.levels, theirs());
  });

  test('a snapshot that was too old changes nothing: a loss right after it is reported from what was delivered', async (t) => {
    const { exchange, feed, ledger, failures_, readyAfter } = await bookOf(t, (exchange) => ({
      snapshot: ({ attempt, gap }) => (gap && attempt === 1 ? 3 : exchange.market.sequence(CHANNEL)),
    }));
    feed.subscribe(CHANNEL);
    await feed.ready;
    await until('it has begun', () => ledger.resyncs.length === 1);
    exchange.publish(CHANNEL, CHANNEL);
    exchange.skip(CHANNEL, 3);
    exchange.publish(CHANNEL, CHANNEL);
    await until('too old', () => failures_.length === 1);
    exchange.resetAll();
    await readyAfter(1);
    exchange.publish(CHANNEL, CHANNEL);
    await until('in line', () => ledger.resyncs.length === 2 && feed.stats().held === 0);
    exchange.publish(CHANNEL);
    await until('live', () => ledger.delivered(CHANNEL).at(-1) === 10);
    assert.deepEqual(
      ledger.gaps.map(({ reason, before }) => [reason, before?.id]),
      [
        ['sequence', 2],
        ['outage', 2],
      ],
    );
    ledger.check(CHANNEL, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test('who unsubscribes when told of a gap is asked for no snapshot; what is asked for at the end is aborted', async (t) => {
    const signals: AbortSignal[] = [];
    const snapshot = ({ signal, gap }: ResyncRequest): Promise<undefined> | undefined => {
      signals.push(signal);
      return gap && new Promise(() => {});
    };
    const { exchange, feed, ledger } = await bookOf(t, () => ({ snapshot }));
    const subscription = feed.subscribe(CHANNEL);
    feed.subscribe('book.B');
    feed.on('gap', ({ channel }) => channel === CHANNEL && subscription.unsubscribe());
    await feed.ready;
    await until('both have begun', () => ledger.resyncs.length === 2);
    for (const channel of [CHANNEL, 'book.B']) {
      exchange.publish(channel);
      exchange.skip(channel);
      exchange.publish(channel);
    }
    await until('the gaps', () => ledger.gaps.length === 2);
    await delay(20);
    assert.deepEqual([signals.length, feed.stats().held], [3, 1]);
    await feed.close();
    assert.deepEqual([signals[2].aborted, feed.stats().held], [true, 0]);
  });

  test('held updates are bounded: with more, another snapshot is asked for', async (t) => {
    const { exchange, feed, book, failures_, theirs, ledger } = await bookOf(t, (exchange, book) => ({
      maxMessages: 50,
      async snapshot({ attempt, signal }) {
        if (attempt === 1) return new Promise((_, reject) => signal.addEventListener('abort', reject));
        const snapshot = exchange.market.snapshot(CHANNEL)!;
        book.take(snapshot);
        return snapshot.seq;
      },
    }));
    let most = 0;
    feed.subscribe(CHANNEL);
    await feed.ready;
    for (let i = 0; i < 120; i++) {
      exchange.publish(CHANNEL);
      if (i % 10 === 0) await delay(1);
      most = Math.max(most, feed.stats().held);
    }
    await until('too many', () => failures_.length === 1);
    assert.equal((failures_[0].error as { code?: string }).code, 'ERR_TOO_MANY_UPDATES');
    await until('in line', () => book.seq === 120);
    exchange.publish(CHANNEL);
    await until('live', () => book.seq === 121);
    assert.ok(most <= 50, `${most} held`);
    assert.deepEqual(book.levels, theirs());
    // The snapshot in the stream, which has no number here, is held as well.
    assert.equal(ledger.resyncs[0].covered, 121);
  });

  test('a venue that sends its snapshot to who subscribes: the channel is subscribed to anew, on the same connection', async (t) => {
    const { exchange, feed, book, ledger, theirs } = await bookOf(t, () => ({ snapshot: 'resubscribe' }));
    feed.subscribe(CHANNEL);
    feed.subscribe('trades.A');
    await feed.ready;
    exchange.publish(CHANNEL, CHANNEL);
    exchange.skip(CHANNEL);
    exchange.publishEvery(3, [CHANNEL]);
    await until('resynced', () => ledger.resyncs.length === 1);
    await until('live', () => book.seq > ledger.resyncs[0].snapshot! + 5);
    assert.equal(feed.epoch, 1);
    const [session] = exchange.sessions;
    assert.deepEqual(
      session.requests.slice(-2).map(({ op, channels }) => [op, channels]),
      [
        ['unsubscribe', [CHANNEL]],
        ['subscribe', [CHANNEL]],
      ],
    );
    exchange.stopPublishing();
    await until('the last', () => book.seq === exchange.market.sequence(CHANNEL));
    assert.deepEqual(book.levels, theirs());
    ledger.check(CHANNEL, exchange.sentTo(CHANNEL));
  });

  test('while delivery is paused nothing is replayed; afterwards, in order', async (t) => {
    const { exchange, feed, book, ledger, theirs } = await bookOf(t, fetched(100));
    feed.subscribe(CHANNEL);
    await feed.ready;
    exchange.publish(CHANNEL, CHANNEL, CHANNEL);
    await until('held', () => feed.stats().held >= 4);
    feed.pause();
    await until('the snapshot is in', () => ledger.resyncs.length === 1);
    await delay(20);
    assert.deepEqual(ledger.delivered(CHANNEL), []);
    exchange.publish(CHANNEL);
    feed.resume();
    await until('in line', () => book.seq === 4);
    assert.deepEqual(
      ledger.delivered(CHANNEL).slice(-4),
      [1, 2, 3, 4].slice(-ledger.delivered(CHANNEL).length),
    );
    assert.deepEqual(book.levels, theirs());
  });
});
