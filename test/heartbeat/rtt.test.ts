/** Round trips: RFC 6298 §2, and their distribution. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Rtt } from '../../src/heartbeat/rtt.js';

const close = (actual: number, expected: number, tolerance: number, what: string): void =>
  assert.ok(Math.abs(actual - expected) <= tolerance * expected, `${what}: ${actual}, not ${expected}`);

describe('round trips', () => {
  test('RFC 6298 §2.2: the first is the mean, and half of it the deviation', () => {
    const rtt = new Rtt();
    rtt.add(100);
    const { count, deviation, last, max, min, recent, smoothed } = rtt.summary();
    assert.deepEqual(
      [count, smoothed, deviation, last, min, max, recent],
      [1, 100, 50, 100, 100, 100, [100]],
    );
    assert.equal(rtt.bound, 300);
  });

  test('RFC 6298 §2.3: those that follow move it by 1/8 and 1/4, the deviation first', () => {
    const rtt = new Rtt();
    rtt.add(100);
    rtt.add(200);
    const { deviation, smoothed } = rtt.summary();
    assert.deepEqual([smoothed, deviation], [112.5, 0.75 * 50 + 0.25 * 100]);
    assert.equal(rtt.bound, 112.5 + 4 * 62.5);
  });

  test('the latest eight are kept, oldest first', () => {
    const rtt = new Rtt();
    for (let i = 1; i <= 20; i++) rtt.add(i);
    const { count, last, max, min, recent } = rtt.summary();
    assert.deepEqual(recent, [13, 14, 15, 16, 17, 18, 19, 20]);
    assert.deepEqual([count, last, min, max], [20, 20, 1, 20]);
  });

  test('property: percentiles are right to 10 %, when all have been recorded', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.01, max: 10_000, noNaN: true }), { minLength: 1 }),
        (values) => {
          const rtt = new Rtt();
          rtt.keepHistogram();
          for (const value of values) rtt.add(value);
          const sorted = [...values].sort((a, b) => a - b);
          const at = (p: number): number =>
            sorted[Math.max(0, Math.floor((p / 100) * values.length + 0.5) - 1)];
          const { p50, p90, p99 } = rtt.summary();
          close(p50, at(50), 0.12, 'p50');
          close(p90, at(90), 0.12, 'p90');
          close(p99, at(99), 0.12, 'p99');
        },
      ),
    );
  });

  test('percentiles asked for later hold the latest eight, and all from then on', () => {
    const rtt = new Rtt();
    for (let i = 0; i < 100; i++) rtt.add(1_000);
    for (let i = 0; i < 8; i++) rtt.add(10);
    close(rtt.summary().p99, 10, 0.1, 'p99');
    for (let i = 0; i < 8; i++) rtt.add(1_000);
    close(rtt.summary().p99, 1_000, 0.1, 'p99');
    close(rtt.summary().p50, 10, 0.1, 'p50');
  });

  test('what no histogram holds is recorded at its edge', () => {
    const rtt = new Rtt();
    rtt.keepHistogram();
    for (const value of [0, 0.0001, 1e7]) rtt.add(value);
    assert.ok(rtt.summary().p99 >= 90_000, 'the ceiling');
  });
});
