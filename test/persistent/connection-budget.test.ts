/** The connection budget: one per host for the whole process, in the order of asking. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConnectionBudget, sharedBudget } from '../../src/persistent/connection-budget.js';
import { FakeClock } from './fake-clock.js';

describe('the connection budget', () => {
  test('a storm of 100 is let through in the order of asking, within the limit', async () => {
    const clock = new FakeClock();
    const budget = new ConnectionBudget({ limit: 20, per: 1_000, burst: 5 }, clock);
    const begun: { who: number; at: number }[] = [];
    const turns = Array.from({ length: 100 }, (_, who) =>
      budget.request(() => begun.push({ who, at: clock.now() })),
    );
    assert.equal(begun.length, 5);
    assert.deepEqual(
      turns.map(({ granted }) => granted),
      turns.map((_, who) => who < 5),
    );
    await clock.pass(20_000);
    assert.deepEqual(
      begun.map(({ who }) => who),
      turns.map((_, who) => who),
    );
    for (const { at } of begun) {
      const within = begun.filter((other) => other.at >= at && other.at < at + 1_000).length;
      assert.ok(within <= 20, `${within} within a second`);
    }
    // What each was told to wait for is when it came.
    turns.forEach(({ wait }, who) => {
      assert.ok(Math.abs(begun[who].at - wait) <= who, `${who}: told ${wait}, came ${begun[who].at}`);
    });
    assert.equal(clock.pending, 0);
  });

  test('who gives up its turn makes nobody wait', async () => {
    const clock = new FakeClock();
    const budget = new ConnectionBudget({ limit: 2, per: 1_000, burst: 1 }, clock);
    const begun: string[] = [];
    budget.request(() => begun.push('a'));
    const b = budget.request(() => begun.push('b'));
    budget.request(() => begun.push('c'));
    b.cancel();
    await clock.pass(1_000);
    assert.deepEqual(begun, ['a', 'c']);
    assert.equal(clock.pending, 0);
  });

  test('held off, nobody connects before the time is over, and then not all at once', async () => {
    const clock = new FakeClock();
    const budget = new ConnectionBudget({ limit: 20, per: 1_000, burst: 10 }, clock);
    budget.holdOff(30_000);
    budget.holdOff(10_000);
    assert.equal(budget.heldFor, 30_000);
    const begun: number[] = [];
    for (let i = 0; i < 10; i++) budget.request(() => begun.push(clock.now()));
    await clock.pass(30_000);
    assert.deepEqual(begun, []);
    await clock.pass(2_000);
    assert.deepEqual(
      begun.map((at) => at - 30_000),
      Array.from({ length: 10 }, (_, i) => (i + 1) * 100),
    );
  });

  test('nothing to hold off is nothing', () => {
    const budget = new ConnectionBudget({ limit: 20, per: 1_000 }, new FakeClock());
    budget.holdOff(0);
    assert.equal(budget.request(() => {}).granted, true);
  });

  test('one per key, for everybody; the strictest limit that is named counts', () => {
    const budget = sharedBudget('venue.test', { limit: 100, per: 1_000, burst: 50 });
    assert.equal(sharedBudget('venue.test', undefined), budget);
    assert.equal(sharedBudget('venue.test', { limit: 2, per: 1_000, burst: 1 }), budget);
    assert.notEqual(sharedBudget('other.test', undefined), budget);
    assert.equal(budget.request(() => {}).granted, true);
    const second = budget.request(() => {});
    assert.equal(second.granted, false);
    second.cancel();
  });
});
