/** Budgets: a limit per period, kept exactly, whatever is asked of it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { UsageError } from '../../src/index.js';
import { TokenBucket } from '../../src/persistent/token-bucket.js';

describe('a token bucket', () => {
  test('gives its burst at once, and the rest evenly over the period', () => {
    const bucket = new TokenBucket({ limit: 10, per: 1_000, burst: 4 }, 0);
    const taken = Array.from({ length: 6 }, () => bucket.take(0));
    assert.deepEqual(taken, [true, true, true, true, false, false]);
    // 6 tokens a second.
    assert.equal(bucket.wait(0), Math.ceil(1_000 / 6));
    assert.equal(bucket.wait(0, 3), 500);
    assert.equal(bucket.take(166), false);
    assert.equal(bucket.take(167), true);
  });

  test('never more than its limit within any period, whenever tokens are asked for', () => {
    const rates = fc
      .record({ limit: fc.integer({ min: 1, max: 50 }), per: fc.integer({ min: 1, max: 5_000 }) })
      .chain(({ limit, per }) =>
        fc.record({
          limit: fc.constant(limit),
          per: fc.constant(per),
          burst: fc.option(fc.integer({ min: 1, max: Math.max(1, limit - 1) }), { nil: undefined }),
        }),
      );
    const gaps = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 400 })), { maxLength: 300 });
    fc.assert(
      fc.property(rates, gaps, (rate, waits) => {
        const bucket = new TokenBucket(rate, 0);
        const given: number[] = [];
        let now = 0;
        for (const wait of waits) {
          now += wait;
          if (bucket.take(now)) given.push(now);
        }
        for (const begin of given) {
          const within = given.filter((at) => at >= begin && at < begin + rate.per).length;
          assert.ok(within <= rate.limit, `${within} from ${begin} on, limit ${rate.limit}`);
        }
      }),
    );
  });

  test('what it says of the wait is true: then there is a token, and not a ms before', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 40 }), fc.integer({ min: 0, max: 60 }), (limit, takes) => {
        const bucket = new TokenBucket({ limit, per: 1_000 }, 0);
        for (let i = 0; i < takes; i++) bucket.take(i);
        const wait = bucket.wait(takes);
        if (wait > 1) assert.equal(bucket.take(takes + wait - 2), false);
        assert.equal(bucket.take(takes + wait), true);
      }),
    );
  });

  test('frames that nobody asked about put it into debt, no deeper than its limit', () => {
    const bucket = new TokenBucket({ limit: 5, per: 1_000, burst: 3 }, 0);
    for (let i = 0; i < 100; i++) bucket.spend(0);
    assert.equal(bucket.wait(0), 3_000);
  });

  test('frozen, it is empty until then, and fills from there', () => {
    const bucket = new TokenBucket({ limit: 10, per: 1_000, burst: 5 }, 0);
    bucket.freezeUntil(60_000);
    assert.equal(bucket.take(59_999), false);
    assert.equal(bucket.wait(10_000), 50_200);
    assert.equal(bucket.take(60_200), true);
  });

  for (const rate of [
    { limit: 0, per: 1 },
    { limit: 5, per: 0 },
    { limit: 5, per: 1, burst: 5 },
    { limit: 5, per: 1, burst: 0 },
    { limit: Number.NaN, per: 1 },
  ]) {
    test(`${JSON.stringify(rate)} is refused`, () => {
      assert.throws(
        () => new TokenBucket(rate, 0),
        (error: unknown) => error instanceof UsageError && error.code === 'ERR_INVALID_OPTION',
      );
    });
  }
});
