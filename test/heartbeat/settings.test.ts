/** The options of a heartbeat: defaults, and what is refused before anything is sent. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type HeartbeatOptions, heartbeatSettings } from '../../src/heartbeat/settings.js';

const REFUSED = { name: 'UsageError', code: 'ERR_INVALID_OPTION' };

describe('the heartbeat option', () => {
  test('is on by default: idle, 15 s, 5 s; connections share the object', () => {
    const { mode, interval, floor, ceiling, maxPause } = heartbeatSettings(undefined)!;
    assert.deepEqual([mode, interval, floor, ceiling, maxPause], ['idle', 15_000, 5_000, 5_000, 0]);
    assert.equal(heartbeatSettings(undefined), heartbeatSettings(undefined));
    assert.deepEqual(heartbeatSettings({}), heartbeatSettings(undefined));
  });

  test('false turns it off', () => assert.equal(heartbeatSettings(false), undefined));

  test('takes a fixed timeout, or bounds', () => {
    const fixed = heartbeatSettings({ timeout: 300 })!;
    assert.deepEqual([fixed.floor, fixed.ceiling], [300, 300]);
    const bounded = heartbeatSettings({ timeout: { floor: 100, ceiling: 2_000 } })!;
    assert.deepEqual([bounded.floor, bounded.ceiling], [100, 2_000]);
  });

  const refused: Record<string, unknown> = {
    true: true,
    null: null,
    'a number': 1,
    'an unknown mode': { mode: 'Idle' },
    'interval 0': { interval: 0 },
    'interval 9': { interval: 9 },
    'an interval that is no number': { interval: '1000' },
    'an interval beyond the timers': { interval: 2 ** 31 },
    'a timeout that is NaN': { timeout: Number.NaN },
    'a timeout of null': { timeout: null },
    'bounds without a ceiling': { timeout: { floor: 10 } },
    'bounds the wrong way round': { timeout: { floor: 20, ceiling: 10 } },
    'maxPause 0': { maxPause: 0 },
    'an application that is no object': { application: 'ping' },
    'isRequest without reply': { application: { isRequest: { text: 'a' } } },
    'reply without isRequest': { application: { reply: 'a' } },
    'isReply without request': { application: { isReply: { text: 'a' } } },
    "a request in mode 'listen'": { mode: 'listen', application: { request: 'a' } },
  };
  for (const [what, options] of Object.entries(refused)) {
    test(`refuses ${what}`, () => {
      assert.throws(() => heartbeatSettings(options as HeartbeatOptions), REFUSED);
    });
  }
});
