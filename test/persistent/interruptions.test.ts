/** A short form of `npm run soak:recovery`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { interrupt } from './interruptions.js';

test('300 interruptions at random points of recovery: subscriptions as wanted, each once, nothing before login', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const { states, sessions } = await interrupt(300, seed);
  t.diagnostic(`${JSON.stringify(states)}, ${sessions} connections`);
  for (const state of ['connecting', 'authenticating', 'subscribing', 'ready', 'backing-off']) {
    assert.ok(states[state] > 0, `none struck while ${state}`);
  }
});
