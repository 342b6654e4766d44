/**
 * The most telling faults, in brief: two processes and a cable between them. All of them, and often: `npm run
 * test:faults`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { heartbeatRig, isGood, judged, type Row, table } from './heartbeat-rig.js';
import {
  deadLink,
  diedWhilePaused,
  ended,
  neverAnswered,
  restored,
  stallOnDeadLink,
  stalls,
  stoppedServer,
} from './heartbeat-scenarios.js';

test('heartbeats and faults of the network, in brief', { timeout: 120_000 }, async (t) => {
  const rig = await heartbeatRig(t, 24);
  if (rig === undefined) return;
  const good = async (scenario: () => Promise<Row>): Promise<void> => {
    const row = await judged(scenario);
    t.diagnostic(`${row.what}: ${row.right} of ${row.trials}${row.void > 0 ? `, ${row.void} void` : ''}`);
    assert.ok(isGood(row), `${table([row])}\n${row.wrong.join('\n')}`);
  };
  await t.test('a black hole, data both ways: dead within 1.75 s of the last byte', () =>
    good(() => deadLink(rig, { bytes: 200 })),
  );
  await t.test('a black hole towards the server only', () =>
    good(() => deadLink(rig, { towards: 'server' })),
  );
  await t.test('restored before the deadline: no verdict', () => good(() => restored(rig, 300)));
  await t.test('RST: at once', () => good(() => ended(rig, 'RST')));
  await t.test('FIN without close: at once', () => good(() => ended(rig, 'FIN')));
  await t.test('a stopped server: its system answers', () => good(() => stoppedServer(rig, false)));
  await t.test('a server that ignores pings', () => good(() => neverAnswered(rig)));
  await t.test('stalls with the pong in the kernel: no verdict', () =>
    good(() => stalls(rig, 'pong in the kernel', [800])),
  );
  await t.test('a stall on a dead link: within the bound and the stall', () =>
    good(() => stallOnDeadLink(rig, 'timer', 700)),
  );
  await t.test('death while paused: told after the pause', () =>
    good(() => diedWhilePaused(rig, 'black hole', 1_000)),
  );
});
