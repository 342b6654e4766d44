/** A server that accepts everybody and then throws them out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { fastClock } from '../persistent/fake-clock.js';
import { exchangeFor, feedTo, until } from '../persistent/feed.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Time passes a hundred times as fast, for the client: 30 s are 300 ms. */
const FACTOR = 100;

test('scenario 5: 101, then 1012, a hundred times: the delays grow to the cap and stay there; the heap stays flat', {
  timeout: 120_000,
}, async (t) => {
  // 50 ms are too short to be simulated by a factor of 100: 1 ms is 100.
  const exchange = await exchangeFor(t, { log: false, rules: { closeAfterOpen: { code: 1012, after: 1 } } });
  const {
    feed,
    failures,
    transitions,
    in: comesTo,
  } = feedTo(t, exchange, {
    clock: fastClock(FACTOR),
    retry: undefined,
    backoff: { cap: 10_000 },
    connectionBudget: false,
  });
  const heapAfter = async (count: number): Promise<number> => {
    await until(`${count} failures`, () => failures.length >= count, 90_000);
    exchange.history.length = 0;
    transitions.length = 0;
    // Some turns, for what is closing to be closed.
    await new Promise((resolve) => setTimeout(resolve, 20));
    collect();
    return process.memoryUsage().heapUsed;
  };
  const early = await heapAfter(30);
  const late = await heapAfter(100);
  t.diagnostic(`heap after 30: ${early}, after 100: ${late}`);
  assert.ok(late - early < 1_000_000, `the heap has grown by ${late - early} bytes in 70 connections`);

  // 5 s that 1012 asks for, and up to 1, 2, 4, 8 s, then up to the cap.
  const bounds = failures.map((_, i) => 5_000 + Math.min(10_000, 1_000 * 2 ** i));
  failures.forEach(({ failure, decision }, i) => {
    assert.equal(failure.kind, 'restart');
    assert.equal(failure.attempts, i + 1, 'the backoff began anew');
    assert.ok(
      decision.delay >= 5_000 && decision.delay <= bounds[i],
      `${i}: ${decision.delay}, bound ${bounds[i]}`,
    );
  });
  const later = failures.slice(4).map(({ decision }) => decision.delay - 5_000);
  const mean = later.reduce((sum, wait) => sum + wait, 0) / later.length;
  // Five standard deviations of the mean of 96 waits that are even from 0 to 10 s.
  assert.ok(Math.abs(mean - 5_000) < 1_500, `the waits are not up to the cap: ${mean} on average`);

  // Stable for 30 s: only then is it forgotten.
  exchange.rules.closeAfterOpen = undefined;
  await comesTo('ready');
  assert.ok(feed.stats().failures >= 100, 'forgotten before it was stable');
  await until('stable', () => feed.stats().failures === 0);
});
