/** Backoff: exponential, with full jitter, below its cap. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Backoff } from '../../src/persistent/backoff.js';

describe('backoff', () => {
  test('the bound doubles up to the cap, and begins anew after a reset', () => {
    const backoff = new Backoff({ base: 500, cap: 3_000 }, () => 1);
    assert.deepEqual(
      Array.from({ length: 5 }, () => backoff.next()),
      [500, 1_000, 2_000, 3_000, 3_000],
    );
    backoff.reset();
    assert.equal(backoff.next(), 500);
  });

  test('full jitter: from 0 to the bound, evenly', () => {
    const waits = Array.from({ length: 10_000 }, () => new Backoff({ base: 1_000 }, Math.random).next());
    const mean = waits.reduce((sum, wait) => sum + wait, 0) / waits.length;
    assert.ok(
      waits.every((wait) => wait >= 0 && wait < 1_000),
      'a wait is out of bounds',
    );
    // Ten standard deviations of the mean.
    assert.ok(Math.abs(mean - 500) < 30, `mean ${mean}`);
  });

  test('a thousand failures do not overflow it', () => {
    const backoff = new Backoff({}, () => 1);
    for (let i = 0; i < 1_000; i++) backoff.next();
    assert.equal(backoff.next(), 30_000);
  });
});
