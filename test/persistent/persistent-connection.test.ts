/** The persistent connection on real sockets, against the simulated exchange: its life, from the first attempt to `close()`. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { LookupFunction } from 'node:net';
import { createServer } from 'node:net';
import { describe, test } from 'node:test';
import {
  ConnectionBudget,
  HandshakeError,
  HeartwireError,
  PersistentConnection,
  type Transition,
  UsageError,
} from '../../src/index.js';
import { login } from '../exchange/client.js';
import { startExchange } from '../exchange/exchange.js';
import { encodeFrame } from '../reference/frame.js';
import { leavesNothingOpen } from '../server/resources.js';
import { scriptedServer } from '../server/scripted-server.js';
import { fastClock } from './fake-clock.js';
import { exchangeFor, feedTo, impatient, observe, until, way } from './feed.js';

const FIRST = 'connecting authenticating subscribing ready';

function hasCode(code: string) {
  return (error: unknown): boolean => error instanceof HeartwireError && error.code === code;
}

describe('its states', () => {
  test('connecting, authenticating, subscribing, ready; lost, and the same again, one epoch later', async (t) => {
    const exchange = await exchangeFor(t, { rules: { login: true } });
    const { feed, transitions, failures, readyAfter } = feedTo(t, exchange, { authenticate: login() });
    assert.equal(feed.state, 'idle');
    feed.subscribe('trades.A');
    await feed.ready;
    assert.equal(way(transitions), FIRST);
    assert.deepEqual(exchange.subscriptions, ['trades.A']);

    exchange.resetAll();
    await readyAfter(1);
    assert.equal(way(transitions), `${FIRST} backing-off ${FIRST}`);
    assert.deepEqual(
      transitions.map(({ epoch }) => epoch),
      [1, 1, 1, 1, 1, 2, 2, 2, 2],
    );
    assert.equal(failures.length, 1);
    assert.equal(failures[0].failure.kind, 'lost');
    assert.deepEqual(exchange.subscriptions, ['trades.A']);
    assert.deepEqual(exchange.violations, []);
  });

  test('the first retry is at once', async (t) => {
    const exchange = await exchangeFor(t);
    const { failures, feed, readyAfter } = feedTo(t, exchange, { retry: undefined });
    await feed.ready;
    exchange.resetAll();
    await readyAfter(1);
    assert.equal(failures[0].decision.delay, 0);
  });

  test('`ready` is a promise for now, and another one after a loss', async (t) => {
    const exchange = await exchangeFor(t);
    const { feed, in: comesTo, readyAfter } = feedTo(t, exchange);
    const first = feed.ready;
    await first;
    assert.equal(feed.ready, first);
    exchange.rules.refuse = () => ({ status: 500 });
    exchange.resetAll();
    await comesTo('backing-off');
    const second = feed.ready;
    assert.notEqual(second, first);
    exchange.rules.refuse = undefined;
    await second;
    assert.equal(feed.state, 'ready');
    await readyAfter(1);
  });

  test('every kind of end is told by its kind, and recovered from', async (t) => {
    const exchange = await exchangeFor(t);
    const { feed, failures, readyAfter } = feedTo(t, exchange);
    await feed.ready;
    for (const [kind, end] of [
      ['policy', () => exchange.closeAll(1008)],
      ['restart', () => exchange.closeAll(1012)],
      ['overload', () => exchange.closeAll(1013)],
      ['closed', () => exchange.closeAll(1000)],
      ['closed', () => exchange.closeAll(4001)],
      ['lost', () => exchange.resetAll()],
      ['lost', () => [...exchange.sessions][0].end()],
      ['application', () => feed.reconnect('a sequence is broken')],
    ] as const) {
      failures.length = 0;
      const { epoch } = feed;
      end();
      await readyAfter(epoch);
      assert.equal(failures[0].failure.kind, kind);
    }
    assert.equal(failures[0].failure.error?.message, 'a sequence is broken');
    await until('one session is left', () => exchange.sessions.size === 1);
  });

  test('refused, 401, 429 with Retry-After, 503: the kind, and what the server said', async (t) => {
    const exchange = await exchangeFor(t);
    const answers = [
      { status: 401 },
      { status: 429, headers: { 'Retry-After': '7' }, body: 'slower' },
      { status: 503 },
    ];
    exchange.rules.refuse = (attempt) => answers[attempt];
    const { feed, failures } = feedTo(t, exchange);
    await feed.ready;
    assert.deepEqual(
      failures.map(({ failure }) => failure.kind),
      ['unauthorized', 'throttled', 'throttled'],
    );
    const [, { failure, decision }] = failures;
    assert.equal(failure.retryAfter, 7_000);
    // Scaled by `impatient`.
    assert.equal(decision.holdOff, 7);
    assert.ok(failure.error instanceof HandshakeError, 'not a HandshakeError');
    assert.equal(failure.error.statusCode, 429);
    assert.equal(String(failure.error.body), 'slower');
  });

  test('over TLS a session is resumed', async (t) => {
    const exchange = await exchangeFor(t, { tls: true });
    const { feed, readyAfter } = feedTo(t, exchange);
    await feed.ready;
    // The session comes after the handshake (TLS 1.3); a message that was answered is behind it.
    await feed.connection?.ping();
    exchange.resetAll();
    await readyAfter(1);
    assert.equal(feed.connection?.handshake.tls?.resumed, true);
  });

  test('attempts have a limit, if one is set', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    const feed = new PersistentConnection(`ws://127.0.0.1:${port}/`, { maxAttempts: 3, retry: impatient });
    const { failures, transitions } = observe(feed);
    await assert.rejects(feed.ready, hasCode('ERR_GAVE_UP'));
    const { error } = await feed.closed;
    assert.equal((error?.cause as HeartwireError).code, 'ERR_CONNECT');
    assert.deepEqual(
      failures.map(({ failure, decision }) => [failure.kind, failure.attempts, decision.retry]),
      [
        ['refused', 1, true],
        ['refused', 2, true],
        ['refused', 3, false],
      ],
    );
    assert.equal(transitions.at(-1)?.to, 'closed');
    assert.throws(() => feed.send('late'), hasCode('ERR_NOT_READY'));
    assert.throws(() => feed.subscribe('late'), UsageError);
  });

  test('a wrong option is no reason to try again', async () => {
    const feed = new PersistentConnection('ws://127.0.0.1:1/', { connect: { protocols: 'not a token' } });
    const { error } = await feed.closed;
    assert.equal((error?.cause as HeartwireError).code, 'ERR_INVALID_PROTOCOL');
    assert.throws(() => new PersistentConnection('nonsense'), UsageError);
    assert.throws(() => new PersistentConnection([]), UsageError);
  });

  test('`retry` has the last word', async (t) => {
    const exchange = await exchangeFor(t);
    exchange.rules.refuse = () => ({ status: 403 });
    const { feed } = feedTo(t, exchange, { retry: (_, decision) => ({ ...decision, retry: false }) });
    const { error } = await feed.closed;
    assert.equal((error?.cause as HandshakeError).statusCode, 403);
    assert.equal(exchange.knocks.length, 1);
  });
});

describe('the way there', () => {
  test('several URLs: at once to the next, and back in turn', async (t) => {
    const dead = await startExchange();
    await dead.stop();
    const [a, b] = [await exchangeFor(t), await exchangeFor(t)];
    const feed = new PersistentConnection([dead.url, a.url, b.url], { retry: impatient });
    t.after(() => feed.close());
    const { failures, readyAfter } = observe(feed);
    await feed.ready;
    assert.equal(a.sessions.size, 1);
    assert.equal(failures[0].decision.delay, 0);
    a.rules.refuse = () => ({ status: 500 });
    a.closeAll(1012);
    await readyAfter(feed.epoch);
    assert.equal(b.sessions.size, 1);
  });

  test('a URL that served goes on serving when its link breaks once', async (t) => {
    const [a, b] = [await exchangeFor(t), await exchangeFor(t)];
    const feed = new PersistentConnection([a.url, b.url], { retry: impatient });
    t.after(() => feed.close());
    const { readyAfter } = observe(feed);
    await feed.ready;
    a.resetAll();
    await readyAfter(1);
    assert.deepEqual([a.history.length, b.history.length], [2, 0]);
  });

  test('the name is resolved for every attempt, and an address that failed is tried last', async (t) => {
    const exchange = await exchangeFor(t);
    let asked = 0;
    const lookup: LookupFunction = (_, __, callback) => {
      asked++;
      // Nobody listens at the first.
      callback(null, [
        { address: '127.0.0.9', family: 4 },
        { address: '127.0.0.1', family: 4 },
      ]);
    };
    const url = `ws://exchange.test:${exchange.port}/`;
    const { feed, readyAfter } = feedTo(t, { url, tls: undefined }, { connect: { socket: { lookup } } });
    await feed.ready;
    const tried = (): string[] | undefined =>
      feed.connection?.handshake.attempts.map(({ address }) => address);
    assert.deepEqual(tried(), ['127.0.0.9', '127.0.0.1']);
    feed.reconnect();
    await readyAfter(1);
    // 127.0.0.1 has served until it was lost: that is the later failure, of two.
    assert.equal(asked, 2);
    assert.ok((tried()?.length ?? 0) >= 1, 'no address was tried');
  });

  test('options can be made for each attempt', async (t) => {
    const exchange = await exchangeFor(t);
    const asked: number[] = [];
    const { feed, readyAfter } = feedTo(t, exchange, {
      connect: async ({ epoch, url }) => {
        asked.push(epoch);
        return { url: `${url}?token=${epoch}`, headers: { 'X-Attempt': String(epoch) } };
      },
    });
    await feed.ready;
    assert.equal(feed.connection?.url, `${exchange.url}?token=1`);
    exchange.resetAll();
    await readyAfter(1);
    assert.equal(feed.connection?.url, `${exchange.url}?token=2`);
    assert.deepEqual(asked, [1, 2]);
  });

  test('a used-up connection budget is waited for, and it says so', async (t) => {
    const exchange = await exchangeFor(t);
    const connectionBudget = new ConnectionBudget({ limit: 40, per: 2_000, burst: 1 });
    const all = [0, 1, 2].map(() => feedTo(t, exchange, { connectionBudget }));
    await Promise.all(all.map(({ feed }) => feed.ready));
    assert.deepEqual(
      all.map(({ transitions }) => way(transitions)),
      [FIRST, `awaiting-budget ${FIRST}`, `awaiting-budget ${FIRST}`],
    );
    const told = all.map(({ transitions }) => transitions[0].delay);
    assert.equal(told[0], undefined);
    assert.ok(told[1]! > 0 && told[2]! > told[1]!, `told ${told}`);
  });
});

describe('backoff', () => {
  test('grows while nothing is stable; begins anew after `stableAfter`', async (t) => {
    const exchange = await exchangeFor(t);
    const clock = fastClock(1_000);
    const {
      feed,
      failures,
      in: comesTo,
    } = feedTo(t, exchange, {
      clock,
      random: () => 0.999_999,
      retry: undefined,
      connectionBudget: false,
      channelOf: undefined,
    });
    exchange.rules.closeAfterOpen = { code: 1000, after: 0 };
    await until('seven failures', () => failures.length === 7);
    assert.deepEqual(
      failures.slice(0, 7).map(({ decision }) => Math.round(decision.delay)),
      [0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000],
    );
    exchange.rules.closeAfterOpen = undefined;
    await comesTo('ready');
    // A minute of this clock.
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.equal(feed.stats().failures, 0);
    failures.length = 0;
    exchange.closeAll(1000);
    await until('a failure', () => failures.length > 0);
    assert.equal(failures[0].decision.delay, 0);
  });

  test('begins anew with the first data, but then not with an attempt at once', async (t) => {
    const exchange = await exchangeFor(t);
    const { feed, failures, readyAfter } = feedTo(t, exchange, {
      random: () => 0.5,
      retry: undefined,
      backoff: { base: 40 },
    });
    feed.subscribe('trades.A');
    exchange.rules.closeAfterOpen = { code: 1000, after: 0 };
    await until('four failures', () => failures.length >= 4);
    exchange.rules.closeAfterOpen = undefined;
    await readyAfter(feed.epoch - 1);
    assert.ok(feed.stats().failures >= 4, 'being ready is not yet stable');
    exchange.publish('trades.A');
    await until('the data is there', () => feed.stats().failures === 1);
    failures.length = 0;
    exchange.resetAll();
    await until('a failure', () => failures.length > 0);
    assert.equal(failures[0].decision.delay, 20);
  });
});

describe('subscriptions', () => {
  test('wanted before, while and after connecting: subscribed once each, on every connection', async (t) => {
    const exchange = await exchangeFor(t, { rules: { ackDelay: 5 } });
    const { feed, in: comesTo, readyAfter } = feedTo(t, exchange);
    feed.subscribe('trades.A');
    feed.subscribe('trades.A');
    await comesTo('connecting');
    feed.subscribe('trades.B');
    await comesTo('subscribing');
    const c = feed.subscribe('trades.C');
    await feed.ready;
    await c.acknowledged;
    feed.subscribe('book.D').unsubscribe();
    assert.deepEqual(exchange.subscriptions.sort(), ['trades.A', 'trades.B', 'trades.C']);
    c.unsubscribe();
    exchange.resetAll();
    feed.subscribe('trades.E');
    await readyAfter(1);
    assert.deepEqual(exchange.subscriptions.sort(), ['trades.A', 'trades.B', 'trades.E']);
    assert.deepEqual(feed.desired, ['trades.A', 'trades.B', 'trades.E']);
    assert.deepEqual(exchange.violations, []);
  });

  test('a refused one is told, and does not hold up the rest', async (t) => {
    const exchange = await exchangeFor(t, { rules: { unknownChannels: ['trades.X'] } });
    const { feed } = feedTo(t, exchange);
    const refused: string[] = [];
    feed.on('refused', ({ key }) => refused.push(key));
    const x = feed.subscribe('trades.X');
    feed.subscribe('trades.A');
    await assert.rejects(x.acknowledged, hasCode('ERR_SUBSCRIPTION_REFUSED'));
    await feed.ready;
    assert.deepEqual(refused, ['trades.X']);
    assert.equal(x.state, 'refused');
    assert.equal(feed.stats().subscribed, 1);
  });

  test('an acknowledgement that never comes: given back, asked again; and then another connection', async (t) => {
    const exchange = await exchangeFor(t, { rules: { loseAcks: 1 } });
    const { subscriptions } = (await import('../exchange/client.js')).speaking;
    const { feed, failures } = feedTo(t, exchange, { subscriptions: { ...subscriptions!, timeout: 50 } });
    feed.subscribe('trades.A');
    await feed.ready;
    assert.equal(feed.epoch, 1);
    assert.deepEqual(
      exchange.history[0].requests.map(({ op }) => op),
      ['subscribe', 'unsubscribe', 'subscribe'],
    );
    exchange.rules.loseAcks = 2;
    feed.reconnect();
    await until('a second attempt', () => feed.epoch >= 3 && feed.state === 'ready');
    assert.ok(
      failures.some(({ failure }) => failure.kind === 'subscription'),
      'no failure of kind subscription',
    );
    assert.deepEqual(exchange.violations, []);
  });

  test("paced to the venue's message rate, which counts Pongs", async (t) => {
    const exchange = await exchangeFor(t, { rules: { maxMessagesPerSecond: 10, pingInterval: 400 } });
    const { subscriptions } = (await import('../exchange/client.js')).speaking;
    const { feed } = feedTo(t, exchange, {
      subscriptions: { ...subscriptions!, batchSize: 1 },
      messageRate: { limit: 10, per: 1_000, countsPongs: true, countsPings: true },
    });
    for (let i = 0; i < 15; i++) feed.subscribe(`trades.${i}`);
    await feed.ready;
    assert.equal(exchange.subscriptions.length, 15);
    assert.deepEqual(exchange.violations, []);
    assert.equal(feed.epoch, 1);
  });
});

describe('messages of a channel', () => {
  test('by their order, over a reconnection; the channel is subscribed to while the loop runs', async (t) => {
    const exchange = await exchangeFor(t);
    exchange.publishEvery(2, ['trades.A', 'trades.B']);
    const { feed } = feedTo(t, exchange);
    const seen: { channel: string; seq: number; epoch: number }[] = [];
    for await (const message of feed.messages('trades.A')) {
      seen.push({ ...(JSON.parse(String(message)) as { channel: string; seq: number }), epoch: feed.epoch });
      if (seen.length === 20) exchange.resetAll();
      if (seen.length === 40) break;
    }
    assert.ok(
      seen.every(({ channel }) => channel === 'trades.A'),
      'a message of another channel',
    );
    for (let i = 1; i < seen.length; i++)
      assert.ok(seen[i].seq > seen[i - 1].seq, `after ${seen[i - 1].seq}`);
    assert.equal(seen.at(-1)?.epoch, 2);
    await until('unsubscribed', () => exchange.subscriptions.length === 0);
  });

  test('a loop that does not keep up pauses the socket: nothing is lost', async (t) => {
    const exchange = await exchangeFor(t);
    const { feed } = feedTo(t, exchange);
    const iterator = feed.messages('trades.A');
    await feed.ready;
    for (let i = 0; i < 3_000; i++) exchange.publish('trades.A');
    await until('paused', () => feed.connection?.isPaused === true);
    for (let i = 1; i <= 3_000; i++) {
      const { value } = await iterator.next();
      assert.equal((JSON.parse(String(value)) as { seq: number }).seq, i);
    }
    assert.equal(feed.connection?.isPaused, false);
  });

  test('lost while the loop is behind: the next connection is paused from its beginning', async (t) => {
    const exchange = await exchangeFor(t);
    const { feed, in: comesTo } = feedTo(t, exchange, { subscriptions: undefined });
    const iterator = feed.messages();
    await feed.ready;
    for (let i = 0; i < 1_500; i++)
      for (const session of exchange.sessions) session.send({ channel: 'x', seq: i });
    await until('paused', () => feed.connection?.isPaused === true);
    feed.reconnect();
    await comesTo('ready');
    assert.equal(feed.epoch, 2);
    assert.equal(feed.connection?.isPaused, true);
    for (let i = 0; i < 1_000; i++) await iterator.next();
    assert.equal(feed.connection?.isPaused, false);
  });

  test('ends with close(), and throws what ended it otherwise; its signal ends the loop alone', async (t) => {
    const exchange = await exchangeFor(t);
    const { feed } = feedTo(t, exchange);
    const abort = new AbortController();
    const aborted = feed.messages('trades.A', { signal: abort.signal }).next();
    const all = feed.messages().next();
    await feed.ready;
    abort.abort();
    await assert.rejects(aborted, hasCode('ERR_ABORTED'));
    assert.equal(feed.state, 'ready');
    void all.then(() => {});
    const rest = feed.messages('trades.B', { subscribe: false }).next();
    await feed.close();
    assert.deepEqual(await rest, { done: true, value: undefined });

    exchange.rules.refuse = () => ({ status: 404 });
    const failing = feedTo(t, exchange, { maxAttempts: 1 });
    await assert.rejects(failing.feed.messages().next(), hasCode('ERR_GAVE_UP'));
  });

  test('needs `channelOf`', async (t) => {
    const exchange = await exchangeFor(t);
    const { feed } = feedTo(t, exchange, { channelOf: undefined, subscriptions: undefined });
    assert.throws(() => feed.messages('a'), hasCode('ERR_INVALID_OPTION'));
    assert.throws(() => feed.subscribe('a'), hasCode('ERR_INVALID_OPTION'));
  });
});

describe('sending', () => {
  const order = (id: string): string => JSON.stringify({ op: 'order', id });

  test('by default it is rejected while there is no authenticated connection', async (t) => {
    const exchange = await exchangeFor(t, { rules: { login: true, loginDelay: 30 } });
    const { feed, in: comesTo } = feedTo(t, exchange, { authenticate: login() });
    for (const state of ['idle', 'connecting', 'authenticating'] as const) {
      await comesTo(state);
      assert.throws(() => feed.send(order('early')), hasCode('ERR_NOT_READY'));
    }
    await feed.ready;
    assert.equal(feed.send(order('now'), { key: 'now' }), true);
    await until('acknowledged', () => feed.unacknowledged.length === 0);
    assert.deepEqual(exchange.history[0].orders, ['now']);
    assert.deepEqual(exchange.violations, []);
  });

  test('queued: after authentication, in order, once', async (t) => {
    const exchange = await exchangeFor(t, { rules: { login: true, loginDelay: 20 } });
    const { feed, readyAfter } = feedTo(t, exchange, { authenticate: login() });
    const ids = Array.from({ length: 20 }, (_, i) => `o${i}`);
    for (const id of ids) assert.equal(feed.send(order(id), { whenDown: 'queue', key: id }), false);
    assert.throws(() => feed.send(order('o3'), { whenDown: 'queue', key: 'o3' }), hasCode('ERR_KEY_IN_USE'));
    await feed.ready;
    await until('all acknowledged', () => feed.unacknowledged.length === 0 && feed.stats().queued === 0);
    exchange.resetAll();
    await readyAfter(1);
    assert.deepEqual(
      exchange.history.map(({ orders }) => orders),
      [ids, []],
    );
    assert.deepEqual(exchange.violations, []);
  });

  test('queued beyond its time, or at the end: told, not sent', async (t) => {
    const exchange = await exchangeFor(t);
    exchange.rules.refuse = () => ({ status: 500 });
    const { feed } = feedTo(t, exchange, { queue: { maxMessages: 2 } });
    const dropped: string[] = [];
    feed.on('dropped', ({ message, error }) => dropped.push(`${message.key} ${error.code}`));
    feed.send('a', { whenDown: 'queue', key: 'a', timeToLive: 20 });
    feed.send('b', { whenDown: 'queue', key: 'b' });
    assert.throws(() => feed.send('c', { whenDown: 'queue' }), hasCode('ERR_SEND_QUEUE_FULL'));
    await until('one is dropped', () => dropped.length === 1);
    await feed.close();
    assert.deepEqual(dropped, ['a ERR_SEND_EXPIRED', 'b ERR_NOT_READY']);
  });

  test('beyond the message rate: rejected, or queued and sent when it may', async (t) => {
    const exchange = await exchangeFor(t, { rules: { maxMessagesPerSecond: 5 } });
    const { feed } = feedTo(t, exchange, {
      messageRate: { limit: 5, per: 1_000, burst: 2 },
      channelOf: undefined,
    });
    await feed.ready;
    feed.send(order('1'));
    feed.send(order('2'));
    assert.throws(() => feed.send(order('3')), hasCode('ERR_MESSAGE_RATE'));
    for (const id of ['4', '5', '6']) feed.send(order(id), { whenDown: 'queue' });
    await until('all have come', () => exchange.history[0].orders.length === 5);
    assert.deepEqual(exchange.history[0].orders, ['1', '2', '4', '5', '6']);
    assert.deepEqual(exchange.violations, []);
  });

  test('written and not acknowledged at a loss: of unknown outcome, by key, and never sent again', async (t) => {
    const exchange = await exchangeFor(t, { rules: { silentOrders: true } });
    const { feed, readyAfter } = feedTo(t, exchange);
    const unknown: string[] = [];
    feed.on('unknown-outcome', ({ key, epoch, failure }) => unknown.push(`${key} ${epoch} ${failure?.kind}`));
    await feed.ready;
    feed.send(order('a'), { key: 'a' });
    feed.send(order('b'), { key: 'b' });
    feed.send(order('c'));
    await until('they have come', () => exchange.history[0].orders.length === 3);
    assert.equal(feed.acknowledge('b'), true);
    exchange.resetAll();
    await readyAfter(1);
    assert.deepEqual(unknown, ['a 1 lost']);
    feed.send(order('d'), { key: 'd' });
    await feed.close();
    assert.deepEqual(unknown, ['a 1 lost', 'd 2 undefined']);
    assert.deepEqual(exchange.history[1].orders, ['d']);
  });
});

describe('authentication', () => {
  test('anew on every connection; nothing else is sent before it is accepted', async (t) => {
    const exchange = await exchangeFor(t, { rules: { login: true, loginDelay: 20 } });
    const { feed, readyAfter } = feedTo(t, exchange, { authenticate: login() });
    feed.subscribe('trades.A');
    feed.send('{"op":"order","id":"q"}', { whenDown: 'queue' });
    await feed.ready;
    exchange.resetAll();
    await readyAfter(1);
    assert.deepEqual(
      exchange.history.map(({ requests }) => requests[0].op),
      ['login', 'login'],
    );
    const signatures = exchange.history.map(({ requests }) => requests[0].signature);
    assert.equal(new Set(signatures).size, 2);
    assert.deepEqual(exchange.violations, []);
  });

  test('refused, it is tried again after the backoff; an answer that never comes is a failure too', async (t) => {
    const exchange = await exchangeFor(t, { rules: { login: true, refuseLogins: 1 } });
    const { feed, failures } = feedTo(t, exchange, { authenticate: login() });
    await feed.ready;
    assert.deepEqual(
      failures.map(({ failure }) => [failure.kind, failure.error?.message]),
      [['authentication', 'login refused']],
    );
    const silent = feedTo(t, exchange, {
      authenticate: ({ reply }) => reply(() => undefined),
      authenticationTimeout: 30,
    });
    await until('a failure', () => silent.failures.length > 0);
    assert.equal((silent.failures[0].failure.error as HeartwireError).code, 'ERR_AUTHENTICATION_TIMEOUT');
  });

  test('its session is over with the attempt: waits reject, and nothing can be sent', async (t) => {
    const exchange = await exchangeFor(t);
    let session:
      | Parameters<NonNullable<Parameters<typeof feedTo>[2]>['authenticate'] & object>[0]
      | undefined;
    const outcomes: unknown[] = [];
    const { feed, in: comesTo } = feedTo(t, exchange, {
      authenticate: async (given) => {
        session = given;
        await given.reply(() => undefined).catch((error: unknown) => outcomes.push(error));
      },
    });
    await comesTo('authenticating');
    await feed.close();
    assert.ok(session?.signal.aborted, 'the signal has not aborted');
    assert.ok(hasCode('ERR_ABORTED')(outcomes[0]), `${outcomes[0]}`);
    await assert.rejects(session.send('late'), hasCode('ERR_ABORTED'));
    await assert.rejects(
      session.reply(() => 1),
      hasCode('ERR_ABORTED'),
    );
  });
});

describe('closing', () => {
  for (const state of [
    'idle',
    'connecting',
    'authenticating',
    'subscribing',
    'ready',
    'backing-off',
    'awaiting-budget',
  ] as const) {
    test(`from ${state}: for good, and no timer or socket remains`, async () => {
      const exchange = await startExchange({ rules: { login: true, ackDelay: 5 } });
      await leavesNothingOpen(
        async () => {
          const connectionBudget = new ConnectionBudget({ limit: 2, per: 60_000, burst: 1 });
          if (state === 'awaiting-budget') connectionBudget.request(() => {});
          const feed = new PersistentConnection(exchange.url, {
            ...(await import('../exchange/client.js')).speaking,
            authenticate: login(),
            connectionBudget,
          });
          feed.subscribe('trades.A');
          const { in: comesTo, transitions } = observe(feed);
          if (state === 'backing-off') {
            exchange.rules.refuse = () => ({ status: 403 });
          }
          await comesTo(state);
          const { error } = await feed.close();
          assert.equal(error, undefined);
          assert.equal(feed.state, 'closed');
          await assert.rejects(feed.ready, hasCode('ERR_NOT_READY'));
          const last = transitions.length;
          assert.equal(await feed.close(), await feed.closed);
          await new Promise((resolve) => setTimeout(resolve, 30));
          assert.equal(transitions.length, last, 'something happened afterwards');
        },
        () => exchange.stop(),
      );
    });
  }

  test('in onMessage, of what came with the response: the rest of it reaches nobody', async (t) => {
    const text = (payload: string): Buffer => encodeFrame({ opcode: 1, payload: Buffer.from(payload) });
    const server = await scriptedServer({ behindAnswer: Buffer.concat([text('a'), text('b'), text('c')]) });
    t.after(() => server.close());
    for (const end of ['close', 'reconnect'] as const) {
      const seen: string[] = [];
      const feed = new PersistentConnection(server.url, {
        retry: (_, decision) => ({ ...decision, retry: false }),
        onMessage(message) {
          seen.push(message.text());
          void feed[end]();
        },
      });
      await feed.closed;
      assert.deepEqual(seen, ['a'], end);
    }
    await (await server.peer(1)).closed;
  });

  test('with the closing handshake, its code and reason; bad ones throw', async (t) => {
    const exchange = await exchangeFor(t);
    const { feed } = feedTo(t, exchange);
    await feed.ready;
    assert.throws(() => void feed.close(1006), UsageError);
    const { close } = await feed.close(4000, 'done');
    assert.deepEqual(close, { code: 4000, reason: 'done', wasClean: true });
  });

  test('by a signal, before and after it begins; and by `await using`', async (t) => {
    const exchange = await exchangeFor(t);
    const never = feedTo(t, exchange, { signal: AbortSignal.abort() });
    await never.feed.closed;
    assert.equal(way(never.transitions), 'closed');

    const abort = new AbortController();
    const { feed } = feedTo(t, exchange, { signal: abort.signal });
    await feed.ready;
    abort.abort();
    await feed.closed;

    let disposed: PersistentConnection;
    {
      await using scoped = new PersistentConnection(exchange.url);
      disposed = scoped;
      await scoped.ready;
    }
    assert.equal(disposed.state, 'closed');
  });

  test('a listener may do anything: close in each state it hears of', async (t) => {
    const exchange = await exchangeFor(t);
    for (const state of ['connecting', 'authenticating', 'subscribing', 'ready', 'backing-off'] as const) {
      const { feed, transitions } = feedTo(t, exchange);
      feed.on('state', ({ to }: Transition) => {
        if (to === state) void feed.close();
        if (to === 'ready' && state === 'backing-off') feed.reconnect();
      });
      await feed.closed;
      assert.equal(transitions.at(-1)?.to, 'closed', state);
    }
  });
});
