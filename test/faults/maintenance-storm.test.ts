/** Everybody is thrown out at once, and the venue is not there for a while. Time passes a hundred times as fast. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionBudget, PersistentConnection, venues } from '../../src/index.js';
import { speaking } from '../exchange/client.js';
import type { Refusal } from '../exchange/rules.js';
import { fastClock } from '../persistent/fake-clock.js';
import { exchangeFor, feedTo, observe, until } from '../persistent/feed.js';

const FACTOR = 100;
const MINUTES = 60_000 / FACTOR;

test('scenario 4: 20 clients of 40 streams; RST, a minute of 503, then 429 with Retry-After: 30, then 429 without', {
  timeout: 120_000,
}, async (t) => {
  const exchange = await exchangeFor(t, { log: false });
  const clock = fastClock(FACTOR);
  // Kraken's 150 attempts in 10 minutes.
  const { limit, per } = venues.kraken.connections.value;
  assert.deepEqual({ limit, per }, { limit: 150, per: 600_000 });
  const connectionBudget = new ConnectionBudget({ limit, per, burst: 20 }, clock);
  // The exchange is not faster than it is: 10 s of its own for an acknowledgement.
  const subscriptions = { ...speaking.subscriptions!, timeout: 10_000 * FACTOR };
  const feeds = Array.from({ length: 20 }, () =>
    feedTo(t, exchange, { clock, connectionBudget, subscriptions, retry: undefined }),
  );
  for (const { feed } of feeds) for (let i = 0; i < 40; i++) feed.subscribe(`trades.${i}`);
  await Promise.all(feeds.map(({ feed }) => feed.ready));
  assert.equal(exchange.subscriptions.length, 800);
  const before = exchange.knocks.length;

  const storm = performance.now();
  let phase: (Refusal & { after?: number }) | undefined = { status: 503 };
  exchange.rules.refuse = () => {
    const now = performance.now() - storm;
    if (now < 1 * MINUTES) return { status: 503 };
    if (phase?.status === 503) phase = { status: 429, headers: { 'Retry-After': '30' }, after: now };
    // One is told how long; half a minute later the answer is 429 without a word.
    else if (phase?.headers !== undefined && now > phase.after! + 0.4 * MINUTES)
      phase = { status: 429, after: now };
    else if (phase?.headers === undefined && phase !== undefined && now > phase.after! + 0.9 * MINUTES)
      phase = undefined;
    return phase;
  };
  exchange.resetAll();
  await Promise.all(feeds.map(({ readyAfter }) => readyAfter(1)));
  const took = (performance.now() - storm) / MINUTES;
  const knocks = exchange.knocks.slice(before);
  const told = knocks.map(({ at, status }) => `${((at - storm) / MINUTES).toFixed(2)} min: ${status}`);
  t.diagnostic(`all back after ${took.toFixed(1)} min, ${knocks.length} attempts`);

  assert.deepEqual(new Set(knocks.map(({ status }) => status)), new Set([503, 429, 101]));
  assert.ok(knocks.length + before <= 150, `${knocks.length} attempts: ${told}`);

  // From when one client is refused, none begins an attempt: for a minute, or the 30 s that the exchange asked for.
  const steps = feeds.flatMap(({ transitions }) => transitions);
  const begun = steps.filter(({ to }) => to === 'connecting').map(({ at }) => at);
  const refused = steps.filter(({ failure, to }) => to === 'backing-off' && failure?.kind === 'throttled');
  const waits = new Set(refused.map(({ failure }) => failure!.retryAfter));
  assert.deepEqual(waits, new Set([undefined, 30_000]));
  for (const { at, failure } of refused) {
    const wait = failure!.retryAfter ?? 60_000;
    const early = begun.filter((time) => time > at && time < at + 0.98 * wait);
    assert.deepEqual(early, [], `refused at ${at} for ${wait} ms: ${told}`);
  }

  // No lockstep: they come back one by one, as the budget flows in.
  const back = knocks.filter(({ status }) => status === 101).map(({ at }) => at);
  assert.equal(back.length, 20);
  const spread = (back.at(-1)! - back[0]) / MINUTES;
  assert.ok(spread >= (19 * 0.9 * per) / (limit - 20) / 60_000, `all within ${spread} minutes: ${told}`);

  // Each stream was asked for once on each connection, and is there once.
  assert.deepEqual(exchange.violations, []);
  assert.equal(exchange.subscriptions.length, 800);
  for (const session of exchange.sessions) {
    const channels = session.requests.flatMap(({ channels = [] }) => channels);
    assert.equal(channels.length, 40);
    assert.equal(new Set(channels).size, 40);
  }
});

test("a storm of 100 clients stays within the host's budget, and all come back", {
  timeout: 120_000,
}, async (t) => {
  const exchange = await exchangeFor(t, { log: false });
  const rate = { limit: 60, per: 500, burst: 20 };
  const connectionBudget = new ConnectionBudget(rate);
  const feeds = Array.from({ length: 100 }, () => {
    const feed = new PersistentConnection(exchange.url, { ...speaking, connectionBudget });
    t.after(() => feed.close());
    feed.subscribe('trades.A');
    return observe(feed);
  });
  await Promise.all(feeds.map(({ feed }) => feed.ready));
  for (const blow of [() => exchange.resetAll(), () => exchange.closeAll(1001), () => exchange.resetAll()]) {
    const epochs = feeds.map(({ feed }) => feed.epoch);
    blow();
    await Promise.all(feeds.map(({ readyAfter }, i) => readyAfter(epochs[i])));
  }
  // When they were let through is exact; when they arrive depends on the machine, so it is asked of the clients.
  const begun = feeds
    .flatMap(({ transitions }) => transitions.filter(({ to }) => to === 'connecting').map(({ at }) => at))
    .sort((a, b) => a - b);
  assert.ok(begun.length >= 400, `${begun.length} attempts`);
  for (const at of begun) {
    const within = begun.filter((other) => other >= at && other < at + rate.per).length;
    assert.ok(within <= rate.limit, `${within} attempts within ${rate.per} ms`);
  }
  const waited = feeds.filter(({ transitions }) => transitions.some(({ to }) => to === 'awaiting-budget'));
  assert.ok(waited.length >= 80, `only ${waited.length} say that they waited`);
  await until('one session each', () => exchange.sessions.size === 100);
  assert.equal(exchange.subscriptions.length, 100);
  assert.deepEqual(exchange.violations, []);
});
