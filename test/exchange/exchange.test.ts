/** The simulated exchange itself, seen through `ws`'s client: it does what its rules say, and its log is the truth. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { exchangeFor, until } from '../persistent/feed.js';
import type { Exchange } from './exchange.js';
import { sign } from './signature.js';

interface Given {
  event?: string;
  channel?: string;
  type?: string;
  seq?: number;
  previous?: number;
  error?: string;
  code?: number;
}

async function visitor(t: TestContext, { url }: Exchange, deflate = false) {
  const socket = new WebSocket(url, { perMessageDeflate: deflate });
  t.after(() => socket.terminate());
  const given: Given[] = [];
  const closed: number[] = [];
  socket.on('message', (data) => given.push(JSON.parse(String(data)) as Given));
  socket.on('close', (code) => closed.push(code));
  socket.on('error', () => {});
  await once(socket, 'open');
  let id = 0;
  const ask = (op: string, more: object = {}): void => socket.send(JSON.stringify({ op, id: ++id, ...more }));
  const hears = (event: string): Promise<void> =>
    until(event, () => given.some((each) => each.event === event));
  return { socket, given, closed, ask, hears };
}

describe('the simulated exchange', () => {
  for (const deflate of [false, true]) {
    test(`sends what it logs, each channel without a hole${deflate ? ', compressed' : ''}`, async (t) => {
      const exchange = await exchangeFor(t, { compression: deflate });
      const { socket, given, ask, hears } = await visitor(t, exchange, deflate);
      assert.equal(socket.extensions.includes('permessage-deflate'), deflate);
      exchange.publish('book.A', 'book.A', 'trades.A');
      ask('subscribe', { channels: ['book.A', 'trades.A'] });
      await hears('subscribed');
      for (let i = 0; i < 50; i++) exchange.publish('book.A', 'trades.A');
      exchange.halt();
      exchange.publish('trades.A');
      exchange.continue();
      exchange.publish('trades.A');
      await until('all has come', () => given.length === exchange.log.length);
      assert.deepEqual(
        given,
        exchange.log.map(({ message }) => JSON.parse(JSON.stringify(message)) as Given),
      );
      const book = given.filter(({ channel }) => channel === 'book.A');
      assert.deepEqual([book[0].type, book[0].seq], ['snapshot', 2]);
      assert.ok(
        book.slice(1).every(({ seq, previous }, i) => previous === i + 2 && seq === i + 3),
        'the book has a hole',
      );
      // While it was halted, one was not sent: that is the only hole.
      const trades = exchange.sentTo('trades.A');
      assert.deepEqual(trades.slice(-2), [51, 53]);
    });
  }

  test('a login needs a signature of its own, made within the window', async (t) => {
    const exchange = await exchangeFor(t, { clockSkew: 5_000, rules: { login: true, loginWindow: 10_000 } });
    const { given, ask } = await visitor(t, exchange);
    const answers = async (count: number): Promise<(string | undefined)[]> => {
      await until(`${count} answers`, () => given.length === count);
      return given.map(({ event, error }) => error ?? event);
    };
    const now = Date.now();
    ask('subscribe', { channels: ['trades.A'] });
    ask('login', { key: 'k', time: now, signature: sign('other', now) });
    ask('login', { key: 'k', time: now - 6_000, signature: sign('k', now - 6_000) });
    ask('login', { key: 'k', time: now, signature: sign('k', now) });
    ask('login', { key: 'k', time: now, signature: sign('k', now) });
    assert.deepEqual(await answers(5), [
      'not logged in',
      'wrong signature',
      'signature expired',
      'login',
      'signature used',
    ]);
    assert.deepEqual(exchange.violations, [
      'session 1: subscribe before login',
      'session 1: a signature was used twice',
    ]);
  });

  test('subscriptions have limits; what is asked twice is sent twice, and noticed', async (t) => {
    const exchange = await exchangeFor(t, { rules: { maxSubscriptions: 2, unknownChannels: ['trades.X'] } });
    const { given, ask, hears } = await visitor(t, exchange);
    ask('subscribe', { channels: ['trades.X', 'trades.A', 'trades.B', 'trades.C'] });
    await hears('subscribed');
    assert.deepEqual(exchange.subscriptions, ['trades.A', 'trades.B']);
    assert.equal(given[0].error, 'no such channel, or too many');
    exchange.rules.maxSubscriptions = 9;
    ask('subscribe', { channels: ['trades.A'] });
    await until('noticed', () => exchange.violations.length === 1);
    exchange.publish('trades.A');
    await until('sent twice', () => given.filter(({ channel }) => channel === 'trades.A').length === 2);
  });

  test('heartbeats of both kinds, and a client that answers no Ping is cut', async (t) => {
    const exchange = await exchangeFor(t, {
      rules: { heartbeatInterval: 10, pingInterval: 20, pongTimeout: 30 },
    });
    const good = await visitor(t, exchange);
    await good.hears('heartbeat');
    const mute = new WebSocket(exchange.url, { autoPong: false });
    mute.on('error', () => {});
    await once(mute, 'close');
    assert.deepEqual(exchange.violations, ['session 2: no Pong in time']);
    assert.equal(good.socket.readyState, WebSocket.OPEN);
  });

  test('a lifetime with notice, and an idle timeout', async (t) => {
    const exchange = await exchangeFor(t, { rules: { lifetime: 120, notice: 60 } });
    const mortal = await visitor(t, exchange);
    await mortal.hears('notice');
    assert.deepEqual(mortal.closed, []);
    await until('its life is over', () => mortal.closed.length === 1);
    assert.deepEqual(mortal.closed, [1001]);
    assert.equal(mortal.given[0].code, 64008);

    exchange.rules.lifetime = undefined;
    exchange.rules.idleTimeout = 50;
    const idle = await visitor(t, exchange);
    await until('cut', () => idle.closed.length === 1);
    assert.deepEqual(idle.closed, [1006]);
  });

  test('too many messages are 1008; maintenance is 1012, then 503, then over', async (t) => {
    const exchange = await exchangeFor(t, { rules: { maxMessagesPerSecond: 3 } });
    const hasty = await visitor(t, exchange);
    for (let i = 0; i < 4; i++) hasty.ask('ping');
    await until('closed', () => hasty.closed.length === 1);
    assert.deepEqual(hasty.closed, [1008]);

    const patient = await visitor(t, exchange);
    exchange.maintenance(100);
    await until('closed', () => patient.closed.length === 1);
    assert.deepEqual(patient.closed, [1012]);
    await assert.rejects(visitor(t, exchange), /503/);
    await until('over', () => exchange.rules.refuse === undefined);
    await visitor(t, exchange);
    assert.deepEqual(
      exchange.knocks.map(({ status }) => status),
      [101, 101, 503, 101],
    );
  });
});
