/** Make before break: another connection takes over, and nobody notices. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ConnectionBudget,
  HeartwireError,
  type Message,
  PersistentConnection,
  type RotationStep,
  type UnknownOutcome,
  UsageError,
  venues,
} from '../../src/index.js';
import { channelOf, login } from '../exchange/client.js';
import type { Exchange } from '../exchange/exchange.js';
import { leavesNothingOpen } from '../server/resources.js';
import { BY_KEY, BY_SEQUENCE, Ledger } from './continuity.js';
import { exchangeFor, feedTo, type Observed, until, way } from './feed.js';

function hasCode(code: string) {
  return (error: unknown): boolean => error instanceof HeartwireError && error.code === code;
}

const isNotice = (message: Message): boolean => (message.json() as { event?: string }).event === 'notice';

function stepsOf({ feed }: Observed): RotationStep[] {
  const steps: RotationStep[] = [];
  feed.on('rotation', (step) => steps.push(step));
  return steps;
}

const WHOLE = ['begun', 'overlapping', 'switched', 'done'];

/** One session, and no more to come. */
async function settled(exchange: Exchange, sessions = 1): Promise<void> {
  await until(`${sessions} sessions`, () => exchange.sessions.size === sessions);
}

for (const [how, deduplication] of [
  ['by key', BY_KEY],
  ['by sequence number', BY_SEQUENCE],
] as const) {
  describe(`rotate(), messages known ${how}`, () => {
    test('the new connection is logged in, subscribed and delivering before the old one closes; nothing is lost', async (t) => {
      const exchange = await exchangeFor(t, {
        rules: { login: true, loginDelay: 20, ackDelay: 20, replay: 2 },
      });
      const ledger = new Ledger();
      const observed = feedTo(t, exchange, {
        authenticate: login(),
        deduplication,
        onMessage: ledger.onMessage,
      });
      const { feed, transitions, failures } = observed;
      const steps = stepsOf(observed);
      const channels = ['trades.A', 'trades.B', 'book.A'];
      for (const channel of channels) feed.subscribe(channel);
      await feed.ready;
      exchange.publishEvery(2, channels, 3);
      await until('messages flow', () => ledger.count > 100);

      const before = exchange.history[0];
      for (let epoch = 2; epoch <= 4; epoch++) {
        await feed.rotate();
        assert.equal(feed.epoch, epoch);
        const next = exchange.history[epoch - 1];
        assert.equal(next.subscriptions.size, 3, 'the new one is subscribed to everything');
        await settled(exchange);
      }
      assert.ok(!before.isOpen, 'the first one is closed');
      const now = exchange.market.sequence('trades.A') + 20;
      await until('it goes on', () => ledger.last('trades.A') >= now);

      ledger.assertWhole();
      assert.deepEqual(
        steps.slice(0, 4).map(({ step }) => step),
        WHOLE,
      );
      assert.deepEqual(
        steps.filter(({ step }) => step === 'done').map(({ from, to }) => [from, to]),
        [
          [1, 2],
          [2, 3],
          [3, 4],
        ],
      );
      assert.equal(
        way(transitions),
        'connecting authenticating subscribing ready',
        'it is ready all the time',
      );
      assert.deepEqual(failures, []);
      assert.deepEqual(exchange.violations, []);
    });

    test('a new connection that is far ahead waits for the old one; one that is behind overtakes nobody', async (t) => {
      const exchange = await exchangeFor(t, { rules: { lag: 60, replay: 2 } });
      const ledger = new Ledger();
      const { feed } = feedTo(t, exchange, { deduplication, onMessage: ledger.onMessage });
      feed.subscribe('trades.A');
      await feed.ready;
      exchange.publishEvery(2, ['trades.A']);
      await until('messages flow', () => ledger.count > 50);
      for (const lag of [0, 80, 0]) {
        exchange.rules.lag = lag;
        await feed.rotate();
        await settled(exchange);
      }
      const now = exchange.market.sequence('trades.A') + 20;
      await until('it goes on', () => ledger.last('trades.A') >= now);
      ledger.assertWhole();
    });

    test('the old one is lost while both deliver: the new one takes over, and nothing else happens', async (t) => {
      const exchange = await exchangeFor(t, { rules: { lag: 100 } });
      const ledger = new Ledger();
      // On the old one nothing comes that the new one could meet.
      const observed = feedTo(t, exchange, {
        deduplication,
        onMessage: ledger.onMessage,
        rotation: { overlap: 5_000 },
      });
      const { feed, transitions, failures } = observed;
      const steps = stepsOf(observed);
      feed.subscribe('trades.A');
      await feed.ready;
      feed.on('rotation', ({ step }) => {
        if (step === 'overlapping') exchange.history[0].reset();
      });
      await feed.rotate();
      await settled(exchange);
      assert.equal(feed.epoch, 2);
      assert.equal(feed.state, 'ready');
      assert.deepEqual(failures, []);
      assert.equal(transitions.at(-1)!.to, 'ready');
      await until('done', () => steps.length === 4);
      assert.deepEqual(
        steps.map(({ step }) => step),
        WHOLE,
      );
      exchange.publish('trades.A');
      await until('it delivers', () => ledger.count === 1);
    });
  });
}

describe('a rotation that fails', () => {
  test('leaves the old one serving, and rejects; the next one succeeds', async (t) => {
    const exchange = await exchangeFor(t, { rules: { login: true } });
    const ledger = new Ledger();
    const { feed, failures } = feedTo(t, exchange, {
      authenticate: login(),
      deduplication: BY_KEY,
      onMessage: ledger.onMessage,
    });
    feed.subscribe('trades.A');
    await feed.ready;
    exchange.publishEvery(2, ['trades.A']);
    exchange.rules.refuse = () => ({ status: 500 });
    await assert.rejects(feed.rotate(), hasCode('ERR_ROTATION'));
    exchange.rules.refuse = undefined;
    exchange.rules.refuseLogins = 1;
    await assert.rejects(feed.rotate(), hasCode('ERR_ROTATION'));
    exchange.rules.unknownChannels = ['trades.A'];
    await assert.rejects(feed.rotate(), hasCode('ERR_ROTATION'));
    exchange.rules.unknownChannels = [];
    exchange.rules.closeAfterOpen = { code: 1012, after: 0 };
    await assert.rejects(feed.rotate(), hasCode('ERR_ROTATION'));
    exchange.rules.closeAfterOpen = undefined;
    assert.equal(feed.epoch, 1);
    assert.equal(feed.state, 'ready');
    await settled(exchange);
    const now = exchange.market.sequence('trades.A') + 20;
    await until('it goes on', () => ledger.last('trades.A') >= now);
    await feed.rotate();
    await settled(exchange);
    ledger.assertWhole();
    assert.deepEqual(failures, []);
  });

  test('by age, is tried again', async (t) => {
    const exchange = await exchangeFor(t);
    const observed = feedTo(t, exchange, {
      deduplication: BY_KEY,
      rotation: { maxAge: 50, jitter: 0, overlap: 20 },
      backoff: { base: 20, cap: 20 },
    });
    const steps = stepsOf(observed);
    const { feed } = observed;
    await feed.ready;
    exchange.rules.refuse = () => ({ status: 500 });
    await until('tried three times', () => steps.filter(({ step }) => step === 'failed').length >= 3);
    for (const { delay } of steps.filter(({ step }) => step === 'failed'))
      assert.ok(delay !== undefined && delay <= 20, `tried again after ${delay} ms`);
    assert.equal(feed.epoch, 1);
    exchange.rules.refuse = undefined;
    await until('it succeeds', () => steps.some(({ step }) => step === 'done'));
    assert.ok(feed.epoch > 4, `epoch ${feed.epoch}`);
  });

  test('the old one is lost while the new one logs in: that attempt is gone on with, and no other begun', async (t) => {
    const exchange = await exchangeFor(t, { rules: { login: true } });
    const observed = feedTo(t, exchange, { authenticate: login(), deduplication: BY_KEY, retry: undefined });
    const { feed, transitions, in: comesTo } = observed;
    feed.subscribe('trades.A');
    await feed.ready;
    exchange.rules.loginDelay = 100;
    const rotated = feed.rotate();
    await until('two connections', () => exchange.sessions.size === 2);
    exchange.history[0].reset();
    await assert.rejects(rotated, hasCode('ERR_ROTATION'));
    await comesTo('ready');
    assert.equal(exchange.knocks.length, 2);
    assert.equal(feed.epoch, 2);
    assert.equal(way(transitions.slice(4)), 'backing-off connecting authenticating subscribing ready');
    assert.deepEqual(exchange.violations, []);
    assert.deepEqual(exchange.subscriptions, ['trades.A']);
  });
});

describe('a loss that it cannot help', () => {
  test('while it waits for its turn: recovery as ever, and the rotation is over', async (t) => {
    const exchange = await exchangeFor(t);
    const observed = feedTo(t, exchange, {
      deduplication: BY_KEY,
      connectionBudget: new ConnectionBudget({ limit: 4, per: 400, burst: 1 }),
    });
    const { feed, readyAfter, failures } = observed;
    const steps = stepsOf(observed);
    await feed.ready;
    const rotated = feed.rotate();
    exchange.resetAll();
    await assert.rejects(rotated, hasCode('ERR_ROTATION'));
    await readyAfter(1);
    assert.equal(failures.length, 1);
    assert.deepEqual(
      steps.map(({ step }) => step),
      ['begun', 'failed'],
    );
    assert.equal(exchange.knocks.length, 2);
    await settled(exchange);
  });

  test('of the new one, while the old one waits for acknowledgements: those have an unknown outcome, and recovery follows', async (t) => {
    const exchange = await exchangeFor(t, { rules: { silentOrders: true } });
    const { feed, readyAfter } = feedTo(t, exchange, {
      deduplication: BY_KEY,
      rotation: { overlap: 10, drain: 60_000 },
    });
    const unknown: UnknownOutcome[] = [];
    feed.on('unknown-outcome', (outcome) => unknown.push(outcome));
    feed.subscribe('trades.A');
    await feed.ready;
    feed.send(JSON.stringify({ op: 'order', id: 'old' }), { key: 'old' });
    await feed.rotate();
    feed.send(JSON.stringify({ op: 'order', id: 'new' }), { key: 'new' });
    await until('arrived', () => exchange.history[1].orders.length === 1);
    exchange.history[1].reset();
    await readyAfter(2);
    assert.deepEqual(
      unknown.map(({ key, epoch }) => [key, epoch]),
      [
        ['old', 1],
        ['new', 2],
      ],
    );
    await settled(exchange);
    assert.deepEqual(exchange.subscriptions, ['trades.A']);
    await feed.rotate();
    assert.equal(feed.epoch, 4);
  });

  test('reconnect() while the new one logs in goes on with that one', async (t) => {
    const exchange = await exchangeFor(t, { rules: { login: true } });
    const { feed, readyAfter } = feedTo(t, exchange, { authenticate: login(), deduplication: BY_KEY });
    await feed.ready;
    exchange.rules.loginDelay = 50;
    feed.rotate().catch(() => {});
    await until('two connections', () => exchange.sessions.size === 2);
    feed.reconnect();
    await readyAfter(1);
    assert.equal(exchange.knocks.length, 2);
    await settled(exchange);
  });
});

describe('when it begins', () => {
  test('at its maximum age, less a random share of it', async (t) => {
    const exchange = await exchangeFor(t);
    const observed = feedTo(t, exchange, {
      deduplication: BY_KEY,
      rotation: { maxAge: 400, jitter: 0.5, overlap: 10 },
      random: () => 0.5,
    });
    const steps = stepsOf(observed);
    await observed.feed.ready;
    const begin = performance.now();
    await until('rotated', () => steps.some(({ step }) => step === 'done'));
    const took = performance.now() - begin;
    assert.ok(took >= 290, `after ${took} ms, not before 300`);
    assert.equal(steps[0].reason, 'maxAge');
  });

  test('of a venue, an hour before its 24 hours, or up to an hour and 56 minutes', () => {
    assert.equal(venues.binanceSpot.lifetime.value.maxAge * (23 / 24), 23 * 3_600_000);
  });

  test("on a server's notice", async (t) => {
    const exchange = await exchangeFor(t, { rules: { lifetime: 1_000, notice: 700 } });
    const observed = feedTo(t, exchange, {
      deduplication: BY_KEY,
      rotation: { notice: isNotice, overlap: 20 },
    });
    const steps = stepsOf(observed);
    await observed.feed.ready;
    exchange.rules.lifetime = undefined;
    await until('rotated', () => steps.some(({ step }) => step === 'done'));
    assert.equal(steps[0].reason, 'notice');
    assert.deepEqual(observed.failures, []);
    await settled(exchange);
  });

  test('not without knowing one message from another, nor without a connection', async (t) => {
    const exchange = await exchangeFor(t);
    assert.throws(() => new PersistentConnection(exchange.url, { rotation: {} }), UsageError);
    assert.throws(() => new PersistentConnection(exchange.url, { deduplication: {} }), UsageError);
    const { feed } = feedTo(t, exchange);
    await feed.ready;
    assert.throws(() => feed.rotate(), hasCode('ERR_INVALID_OPTION'));
    const other = feedTo(t, exchange, { deduplication: BY_KEY });
    await assert.rejects(other.feed.rotate(), hasCode('ERR_NOT_READY'));
  });

  test('within the connection budget: it waits for its turn', async (t) => {
    const exchange = await exchangeFor(t);
    const connectionBudget = new ConnectionBudget({ limit: 2, per: 400, burst: 1 });
    const { feed } = feedTo(t, exchange, {
      deduplication: BY_KEY,
      connectionBudget,
      rotation: { overlap: 10 },
    });
    await feed.ready;
    await feed.rotate();
    const [first, second] = exchange.knocks;
    assert.ok(second.at - first.at >= 380, `${second.at - first.at} ms apart`);
  });

  test("not beyond the venue's cap on connections, of the whole process", async (t) => {
    const exchange = await exchangeFor(t);
    const options = { deduplication: BY_KEY, maxConnections: 2, rotation: { overlap: 10 } };
    const { feed } = feedTo(t, exchange, options);
    const other = feedTo(t, exchange, options);
    await Promise.all([feed.ready, other.feed.ready]);
    await assert.rejects(feed.rotate(), hasCode('ERR_CONNECTION_CAP'));
    assert.equal(exchange.knocks.length, 2);
    await other.feed.close();
    await feed.rotate();
    assert.equal(feed.epoch, 2);
  });
});

describe('sending during a rotation', () => {
  test('is on the old one until `switched`, on the new one from then on; nothing is sent twice', async (t) => {
    const exchange = await exchangeFor(t, { rules: { login: true, loginDelay: 10 } });
    const observed = feedTo(t, exchange, { authenticate: login(), deduplication: BY_KEY });
    const { feed } = observed;
    feed.subscribe('trades.A');
    await feed.ready;
    exchange.publishEvery(2, ['trades.A']);
    const unknown: UnknownOutcome[] = [];
    feed.on('unknown-outcome', (outcome) => unknown.push(outcome));
    const sentOn = new Map<string, number>();
    let n = 0;
    const timer = setInterval(() => {
      for (const whenDown of ['queue', 'reject'] as const) {
        const id = `order ${++n}`;
        sentOn.set(id, feed.epoch);
        feed.send(JSON.stringify({ op: 'order', id }), { key: id, whenDown });
      }
    }, 1);
    t.after(() => clearInterval(timer));
    for (let i = 0; i < 3; i++) {
      await feed.rotate();
      await settled(exchange);
    }
    clearInterval(timer);
    await until('all acknowledged', () => feed.unacknowledged.length === 0);
    const orders = exchange.history.flatMap(({ orders: own }, i) => own.map((id) => [id, i + 1] as const));
    assert.equal(orders.length, n);
    assert.deepEqual(new Map(orders as [string, number][]), sentOn);
    assert.deepEqual(unknown, []);
    assert.deepEqual(exchange.violations, []);
  });

  test('what is not acknowledged when the old one is left has an unknown outcome', async (t) => {
    const exchange = await exchangeFor(t, { rules: { silentOrders: true } });
    const { feed } = feedTo(t, exchange, { deduplication: BY_KEY, rotation: { overlap: 10, drain: 100 } });
    await feed.ready;
    const unknown: UnknownOutcome[] = [];
    feed.on('unknown-outcome', (outcome) => unknown.push(outcome));
    feed.send(JSON.stringify({ op: 'order', id: 'a' }), { key: 'a' });
    await feed.rotate();
    assert.deepEqual(unknown, []);
    feed.send(JSON.stringify({ op: 'order', id: 'b' }), { key: 'b' });
    await settled(exchange);
    await until('told', () => unknown.length === 1);
    assert.deepEqual(
      unknown.map(({ key, epoch }) => [key, epoch]),
      [['a', 1]],
    );
    assert.deepEqual(feed.unacknowledged, ['b']);
    assert.deepEqual(
      exchange.history.map(({ orders }) => orders),
      [['a'], ['b']],
    );
  });

  test('an acknowledgement that comes on the old one still counts, and ends the wait for it', async (t) => {
    const exchange = await exchangeFor(t, { rules: { ackDelay: 150 } });
    const observed = feedTo(t, exchange, { deduplication: BY_KEY, rotation: { overlap: 10, drain: 20_000 } });
    const { feed } = observed;
    const steps = stepsOf(observed);
    await feed.ready;
    feed.send(JSON.stringify({ op: 'order', id: 'a' }), { key: 'a' });
    await feed.rotate();
    await until('done', () => steps.at(-1)?.step === 'done', 10_000);
    assert.deepEqual(feed.unacknowledged, []);
  });
});

describe('around it', () => {
  test('subscriptions that are wanted, or given back, meanwhile are so on the new one', async (t) => {
    const exchange = await exchangeFor(t, { rules: { ackDelay: 20 } });
    const { feed } = feedTo(t, exchange, { deduplication: BY_KEY, rotation: { overlap: 50 } });
    const first = feed.subscribe('trades.A');
    await feed.ready;
    const rotated = feed.rotate();
    await until('both subscribe', () => exchange.subscriptions.length === 2);
    first.unsubscribe();
    const second = feed.subscribe('trades.B');
    await second.acknowledged;
    await rotated;
    await settled(exchange);
    await until('in line', () => String(exchange.subscriptions) === 'trades.B');
    assert.equal(second.state, 'subscribed');
    assert.deepEqual(exchange.violations, []);
  });

  test('before and after it nobody looks at messages on their way to onMessage', async (t) => {
    const exchange = await exchangeFor(t);
    let looked = 0;
    let count = 0;
    const observed = feedTo(t, exchange, {
      deduplication: BY_KEY,
      rotation: { overlap: 20, maxAge: 3_600_000 },
      channelOf(message) {
        looked++;
        return channelOf(message);
      },
      onMessage: () => void count++,
    });
    const { feed } = observed;
    const steps = stepsOf(observed);
    feed.subscribe('trades.A');
    await feed.ready;
    const receive = async (): Promise<number> => {
      // The first message of a channel is looked for: data flows.
      exchange.publish('trades.A');
      const begun = count;
      await until('the first', () => count > begun);
      const before = looked;
      const from = count;
      for (let i = 0; i < 50; i++) exchange.publish('trades.A');
      await until('all', () => count === from + 50);
      return looked - before;
    };
    await until('one', () => count > 0);
    assert.equal(await receive(), 0);
    await feed.rotate();
    await until('done', () => steps.at(-1)?.step === 'done');
    const after = performance.now() + 20_000;
    while ((await receive()) > 0) assert.ok(performance.now() < after, 'they are looked at still');
  });

  test('loops and a pause go on over it', async (t) => {
    const exchange = await exchangeFor(t);
    const ledger = new Ledger();
    const { feed } = feedTo(t, exchange, { deduplication: BY_SEQUENCE, onMessage: ledger.onMessage });
    const ids: number[] = [];
    const loop = (async () => {
      for await (const message of feed.messages('trades.A'))
        ids.push((JSON.parse(String(message)) as { seq: number }).seq);
    })();
    await feed.ready;
    exchange.publishEvery(2, ['trades.A'], 2);
    feed.on('rotation', ({ step }) => {
      if (step !== 'overlapping') return;
      feed.pause();
      setTimeout(() => feed.resume(), 100);
    });
    for (let i = 0; i < 2; i++) {
      await feed.rotate();
      await settled(exchange);
    }
    const now = exchange.market.sequence('trades.A') + 10;
    await until('it goes on', () => ids.length > 0 && ids.at(-1)! >= now);
    await feed.close();
    await loop;
    ledger.assertWhole();
    assert.deepEqual(
      ids,
      Array.from(ids, (_, i) => ids[0] + i),
    );
  });

  test('close() in any step of it ends everything', async (t) => {
    for (const at of ['begun', 'overlapping', 'switched'] as const) {
      await leavesNothingOpen(async () => {
        const exchange = await exchangeFor(t);
        const { feed } = feedTo(t, exchange, { deduplication: BY_KEY, rotation: { overlap: 20 } });
        await feed.ready;
        feed.on('rotation', ({ step }) => {
          if (step === at) void feed.close();
        });
        feed.rotate().catch(() => {});
        assert.equal((await feed.closed).error, undefined);
        await until('no session', () => exchange.sessions.size === 0);
        await exchange.stop();
      });
    }
  });

  test('a server that does not answer the Close frame is not waited for long', async (t) => {
    const exchange = await exchangeFor(t);
    const observed = feedTo(t, exchange, { deduplication: BY_KEY, rotation: { overlap: 10 } });
    const { feed } = observed;
    const steps = stepsOf(observed);
    await feed.ready;
    exchange.history[0].deafen();
    await feed.rotate();
    const begin = performance.now();
    await until('done', () => steps.at(-1)?.step === 'done', 10_000);
    assert.ok(performance.now() - begin < 5_000, `${performance.now() - begin} ms`);
  });
});
