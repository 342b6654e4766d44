/** Orders over a loss: none is sent twice, none too early, and of each it is known what is known. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeartwireError, type RecoverySession } from '../../src/index.js';
import { sign } from '../exchange/signature.js';
import { exchangeFor, feedTo, until } from '../persistent/feed.js';

test('scenario 7: a drop with 3 orders in flight and 5 submitted during the outage; a login of 2 s, 45 s of skew, the first rejected', {
  timeout: 60_000,
}, async (t) => {
  const exchange = await exchangeFor(t, { clockSkew: 45_000, rules: { login: true, silentOrders: true } });
  /** Learnt from the exchange, which tells its time when it refuses a signature. */
  let offset = 0;
  const authenticate = async ({ epoch, reply, send }: RecoverySession): Promise<void> => {
    const time = Date.now() + offset + epoch / 1_000;
    const answer = reply((message) => {
      const given = message.json() as { id?: unknown; error?: string; time?: number };
      return given.id === 'login' ? given : undefined;
    });
    await send(JSON.stringify({ op: 'login', id: 'login', key: 'k', time, signature: sign('k', time) }));
    const { error, time: theirs } = await answer;
    if (theirs !== undefined) offset = theirs - Date.now();
    if (error !== undefined) throw new Error(error);
  };
  const { feed, failures, in: comesTo, readyAfter } = feedTo(t, exchange, { authenticate });
  const unknown: string[] = [];
  feed.on('unknown-outcome', ({ key }) => unknown.push(key));
  feed.subscribe('trades.A');
  await feed.ready;
  assert.deepEqual(
    failures.map(({ failure }) => failure.error?.message),
    ['signature expired'],
  );

  const order = (id: string): boolean => feed.send(JSON.stringify({ op: 'order', id }), { key: id });
  for (const id of ['in flight 1', 'in flight 2', 'in flight 3']) order(id);
  const session = exchange.history.at(-1)!;
  await until('they have arrived', () => session.orders.length === 3);

  exchange.rules.loginDelay = 2_000;
  exchange.rules.refuseLogins = 1;
  const { epoch } = feed;
  exchange.resetAll();
  const rejected: string[] = [];
  const submit = (id: string): void => {
    try {
      order(id);
    } catch (error) {
      if (error instanceof HeartwireError) rejected.push(`${id} ${error.code}`);
    }
  };
  await comesTo('connecting');
  submit('1');
  for (const id of ['2', '3', '4']) {
    await comesTo('authenticating');
    submit(id);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  await until('the first login is rejected', () => failures.length >= 3);
  submit('5');
  await readyAfter(epoch);

  assert.deepEqual(unknown, ['in flight 1', 'in flight 2', 'in flight 3']);
  assert.deepEqual(
    rejected,
    ['1', '2', '3', '4', '5'].map((id) => `${id} ERR_NOT_READY`),
  );
  const later = exchange.history.slice(exchange.history.indexOf(session) + 1);
  assert.deepEqual(
    later.flatMap(({ orders }) => orders),
    [],
    'an order was sent again',
  );
  assert.deepEqual(exchange.violations, [], 'something before the login, or a signature twice');
  // The rejected login had a connection of its own; nothing else was sent on it.
  assert.deepEqual(
    later.map(({ requests }) => requests.map(({ op }) => op)),
    [['login'], ['login', 'subscribe']],
  );
  const signatures = exchange.history.map(({ requests }) => requests[0].signature);
  assert.equal(new Set(signatures).size, signatures.length);
});
