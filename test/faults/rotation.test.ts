/** A venue that ends every connection after a time, and says so before: 24 hours in seconds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Message, RotationStep } from '../../src/index.js';
import { login } from '../exchange/client.js';
import { BY_KEY, BY_SEQUENCE, Ledger } from '../persistent/continuity.js';
import { exchangeFor, feedTo, until } from '../persistent/feed.js';

const isNotice = (message: Message): boolean =>
  message.byteLength < 100 && (message.json() as { event?: string }).event === 'notice';

const CHANNELS = Array.from({ length: 10 }, (_, i) => `trades.${i}`);

for (const [how, deduplication] of [
  ['keys', BY_KEY],
  ['sequence numbers', BY_SEQUENCE],
] as const) {
  test(`scenario 6, by ${how}: 24 h scaled to 3 s, a notice 2 s before, 5 000 messages/s, two of each channel replayed, a new connection that fails`, {
    timeout: 60_000,
  }, async (t) => {
    const exchange = await exchangeFor(t, {
      log: false,
      rules: { login: true, lifetime: 3_000, notice: 2_000, replay: 2 },
    });
    const ledger = new Ledger();
    const { feed, failures, transitions } = feedTo(t, exchange, {
      authenticate: login(),
      deduplication,
      rotation: { notice: isNotice },
      backoff: { base: 100, cap: 100 },
      onMessage: ledger.onMessage,
    });
    const steps: (RotationStep & { at: number })[] = [];
    feed.on('rotation', (step) => steps.push({ ...step, at: performance.now() }));
    for (const channel of CHANNELS) feed.subscribe(channel);
    await feed.ready;
    exchange.publishEvery(10, CHANNELS, 5);
    // The first attempt of the second rotation fails.
    feed.on('rotation', ({ step }) => {
      if (step === 'done' && feed.epoch === 2) exchange.rules.refuse = () => ({ status: 500 });
      if (step === 'failed') exchange.rules.refuse = undefined;
    });
    const done = (): typeof steps => steps.filter(({ step }) => step === 'done');
    await until('three rotations', () => done().length === 3, 40_000);
    const sequences = CHANNELS.map((channel) => exchange.market.sequence(channel));
    await until('all has come', () => CHANNELS.every((channel, i) => ledger.last(channel) >= sequences[i]));

    t.diagnostic(`${ledger.count} messages over ${feed.epoch} connections`);
    ledger.assertWhole();
    assert.ok(ledger.count > 10_000, `${ledger.count} messages`);
    assert.deepEqual(failures, [], 'no connection was lost');
    assert.equal(transitions.at(-1)!.to, 'ready');
    assert.equal(steps.filter(({ step }) => step === 'failed').length, 1);
    for (const { at, to } of done()) {
      const switched = steps.find((step) => step.step === 'switched' && step.to === to)!;
      assert.ok(at - switched.at <= 5_000, `closed ${at - switched.at} ms after the switch-over`);
    }
    await until('one connection', () => exchange.sessions.size === 1);
    assert.deepEqual(exchange.violations, []);
  });
}
