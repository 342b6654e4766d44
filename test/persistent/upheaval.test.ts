/** A short form of `npm run soak:redundancy`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { turnover, upheaval } from './upheaval.js';

for (const how of ['keys', 'sequence numbers']) {
  test(`hot-hot by ${how}, deaths and rotations at random: nothing lost, twice, out of order, or later than the other brings it`, {
    timeout: 60_000,
  }, async (t) => {
    const seed = Math.floor(Math.random() * 2 ** 30) * 2 + (how === 'keys' ? 0 : 1);
    t.diagnostic(`seed ${seed}`);
    const { messages, deaths, rotations, stats } = await upheaval(2, seed);
    t.diagnostic(`${messages} messages, ${deaths} deaths, ${rotations} rotations`);
    assert.ok(deaths > 0, `${deaths} deaths`);
    assert.ok(messages > 100, `${messages} messages`);
    assert.equal(stats.leftOut, 0);
  });
}

for (const how of ['keys', 'sequence numbers']) {
  test(`rotation by ${how} without end, new and old dying at random: nothing lost, twice, out of order, or sent twice`, {
    timeout: 60_000,
  }, async (t) => {
    const seed = Math.floor(Math.random() * 2 ** 30) * 2 + (how === 'keys' ? 0 : 1);
    t.diagnostic(`seed ${seed}`);
    const { steps } = await turnover(2, seed);
    t.diagnostic(JSON.stringify(steps));
    assert.ok(steps.done > 0, `${steps.done} rotations`);
  });
}
