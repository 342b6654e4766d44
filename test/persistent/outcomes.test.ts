/** Messages of unknown outcome: reported by key, once, and never sent again. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HeartwireError, UsageError } from '../../src/index.js';
import { Outcomes } from '../../src/persistent/outcomes.js';

describe('outcomes', () => {
  test('what is acknowledged is known; what is not is lost with its connection, and only with that', () => {
    const outcomes = new Outcomes(10);
    for (const [key, epoch] of [
      ['a', 1],
      ['b', 1],
      ['c', 2],
    ] as const)
      outcomes.written(key, epoch * 100, epoch);
    assert.equal(outcomes.acknowledge('a'), true);
    assert.equal(outcomes.acknowledge('a'), false);
    assert.deepEqual(outcomes.lose(1, undefined), [{ key: 'b', sentAt: 100, epoch: 1 }]);
    assert.deepEqual(outcomes.lose(1, undefined), []);
    assert.deepEqual(outcomes.keys(), ['c']);
  });

  test('a key is in use until it is acknowledged; beyond the bound nothing more is taken', () => {
    const outcomes = new Outcomes(2);
    outcomes.written('a', 0, 1);
    assert.throws(
      () => outcomes.assertFree('a'),
      (error: unknown) => error instanceof UsageError && error.code === 'ERR_KEY_IN_USE',
    );
    outcomes.assertFree('b');
    outcomes.written('b', 0, 1);
    assert.throws(
      () => outcomes.assertFree('c'),
      (error: unknown) => error instanceof HeartwireError && error.code === 'ERR_TOO_MANY_UNACKNOWLEDGED',
    );
    outcomes.acknowledge('b');
    outcomes.assertFree('c');
  });
});
