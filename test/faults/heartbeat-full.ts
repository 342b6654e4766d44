/**
 * Every fault, as often as the claims about heartbeats need: `npm run test:faults`. Needs Linux, root and `ip`. With an
 * argument, only those whose name holds it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Where } from './heartbeat-client.js';
import { heartbeatRig, isGood, judged, type Rig, type Row, table } from './heartbeat-rig.js';
import * as scenarios from './heartbeat-scenarios.js';

const {
  dataExpected,
  deadLink,
  diedWhilePaused,
  ended,
  flood,
  lostByStall,
  neverAnswered,
  ownStall,
  pausedAlive,
  pongsOnly,
  restored,
  slowLink,
  stallOnDeadLink,
  stalls,
  stallsInHandshake,
  stoppedServer,
  suspended,
} = scenarios;

const LENGTHS = [200, 450, 500, 550, 700, 1_000, 2_000, 8_000];
const PLACES: Where[] = ['message', 'immediate', 'timer', 'tick', 'pong in the kernel'];

const ALL: [string, (rig: Rig) => Promise<Row>][] = [
  ['black hole, idle', (rig) => deadLink(rig, { rounds: 2 })],
  ['black hole, busy', (rig) => deadLink(rig, { bytes: 200, rounds: 2 })],
  ['black hole, much in front of the ping', (rig) => deadLink(rig, { bytes: 1_500 })],
  ['black hole towards the server', (rig) => deadLink(rig, { towards: 'server' })],
  ['black hole towards the server, busy', (rig) => deadLink(rig, { towards: 'server', bytes: 200 })],
  ['black hole towards the client', (rig) => deadLink(rig, { towards: 'client' })],
  ['black hole towards the client, busy', (rig) => deadLink(rig, { towards: 'client', bytes: 200 })],
  ['restored after 0.3 s', (rig) => restored(rig, 300)],
  ['restored after 1 s', (rig) => restored(rig, 1_000)],
  ['RST', (rig) => ended(rig, 'RST')],
  ['FIN', (rig) => ended(rig, 'FIN')],
  ['stopped server', (rig) => stoppedServer(rig, false)],
  ['stopped server, busy', (rig) => stoppedServer(rig, true)],
  ['pongs only', (rig) => pongsOnly(rig, 5_000)],
  ['data expected', dataExpected],
  ['never answered', neverAnswered],
  ...PLACES.map((where): [string, (rig: Rig) => Promise<Row>] => [
    `stalls, ${where}`,
    (rig) => stalls(rig, where, LENGTHS),
  ]),
  ['stalls, handshake', (rig) => stallsInHandshake(rig, LENGTHS)],
  ['stall on a dead link, 0.7 s', (rig) => stallOnDeadLink(rig, 'immediate', 700)],
  ['stall on a dead link, 2 s', (rig) => stallOnDeadLink(rig, 'immediate', 2_000)],
  ['stall on a dead link, 8 s', (rig) => stallOnDeadLink(rig, 'timer', 8_000)],
  ['own stall', (rig) => ownStall(rig, 2_000)],
  ['lost by a stall', (rig) => lostByStall(rig, 3_000)],
  ['suspended, alive, 3 s', (rig) => suspended(rig, 3_000, false)],
  ['suspended, alive, 8 s', (rig) => suspended(rig, 8_000, false)],
  ['suspended, dead', (rig) => suspended(rig, 3_000, true)],
  ['paused, alive', (rig) => pausedAlive(rig, 'pause', 30_000)],
  ['nobody reads, alive', (rig) => pausedAlive(rig, 'leave', 30_000)],
  ['paused, black hole', (rig) => diedWhilePaused(rig, 'black hole', 5_000)],
  ['paused, RST', (rig) => diedWhilePaused(rig, 'RST', 2_000)],
  ['paused, stopped server', (rig) => diedWhilePaused(rig, 'SIGSTOP', 5_000)],
  ['slow link', (rig) => slowLink(rig, 2)],
  ['flood', (rig) => flood(rig, 1_000_000)],
];

const wanted = process.argv[2] ?? '';

test('heartbeats and every fault', async (t) => {
  const rig = await heartbeatRig(t, 50);
  if (rig === undefined) {
    process.exitCode = 1;
    return;
  }
  const rows: Row[] = [];
  // Behind everything the runner has to say.
  process.on('exit', () => console.log(`\n${table(rows)}`));
  for (const [name, scenario] of ALL.filter(([name]) => name.includes(wanted))) {
    await t.test(name, { timeout: 300_000 }, async () => {
      const line = await judged(() => scenario(rig));
      rows.push(line);
      assert.ok(isGood(line), `${table([line])}\n${line.wrong.join('\n')}`);
    });
  }
});
