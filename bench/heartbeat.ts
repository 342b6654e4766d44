/**
 * What heartbeats cost, and what they measure: `npm run bench:heartbeat [-- --quick --only idle]`.
 *   receiving   CPU time per message with a heartbeat against none, in turns, each time on a connection of its own
 *   idle        CPU time of 10 000 idle connections that are pinged, against raw sockets exchanging the same bytes
 *   round trip  what `onRtt` says on the bare loopback, against a raw socket that asks the same server
 * Ratios are the median over pairs of neighbouring rounds.
 */
import { parseArgs } from 'node:util';
import { Child } from './harness/child.js';
import { cores } from './harness/machine.js';
import type { ServerCalls } from './harness/server-process.js';
import { median } from './harness/statistics.js';
import { PATIENCE } from './harness/turns.js';
import type { Beat, HeartbeatCalls } from './heartbeat/heartbeat-process.js';

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string', default: '' } },
});
const { quick, only } = values;
const wanted = (part: string): boolean => part.includes(only);

/**
 * Each kind in a process of its own, with a server of its own (20 000 sockets are more than one process may have on
 * many machines), measured in turns; whoever went first goes last the next time.
 */
async function inTurns(
  kinds: readonly Beat[],
  rounds: number,
  setting: object,
): Promise<Map<Beat, number[]>> {
  const members = new Map<Beat, Child<HeartbeatCalls>>();
  const samples = new Map<Beat, number[]>();
  const servers: Child<ServerCalls>[] = [];
  for (const kind of kinds) {
    const server = new Child<ServerCalls>('server', 'harness/server-process.ts', { core: cores?.server });
    const { tcp } = await server.call('listen', undefined, PATIENCE);
    servers.push(server);
    const child = new Child<HeartbeatCalls>(kind, 'heartbeat/heartbeat-process.ts', {
      core: cores?.contender,
    });
    members.set(kind, child);
    samples.set(kind, []);
    await child.call('prepare', { kind, url: tcp, ...setting } as never, 2 * PATIENCE);
  }
  for (let round = 0; round < rounds; round++) {
    const order = [...members];
    if (round % 2 === 1) order.reverse();
    for (const [kind, child] of order) samples.get(kind)!.push(await child.call('measure', {}, PATIENCE));
  }
  for (const child of [...members.values(), ...servers]) await child.stop();
  return samples;
}

function ratio(samples: Map<Beat, number[]>, of: Beat, to: Beat): string {
  const others = samples.get(to)!;
  return median(samples.get(of)!.map((sample, round) => sample / others[round])).toFixed(3);
}

const microseconds = (samples: readonly number[]): string => `${median(samples).toFixed(2)} µs`;

if (wanted('receiving')) {
  const pairs = quick ? 3 : 15;
  for (const byteLength of [128, 1_024]) {
    const server = new Child<ServerCalls>('server', 'harness/server-process.ts', { core: cores?.server });
    const { tcp: url } = await server.call('listen', undefined, PATIENCE);
    // One process: two would differ by more than what is sought.
    const child = new Child<HeartbeatCalls>('receiving', 'heartbeat/heartbeat-process.ts', {
      core: cores?.contender,
    });
    await child.call('prepare', { kind: 'receiving', url, byteLength, quick }, PATIENCE);
    const [on, off]: [number[], number[]] = [[], []];
    for (let pair = 0; pair < pairs; pair++) {
      for (const beats of pair % 2 === 0 ? [true, false] : [false, true]) {
        (beats ? on : off).push(await child.call('measure', { beats }, PATIENCE));
      }
    }
    await child.stop();
    await server.stop();
    const ratios = on.map((sample, pair) => sample / off[pair]);
    const nanoseconds = (samples: number[]): string => `${(1_000 * median(samples)).toFixed(1)} ns`;
    console.log(
      `receiving ${byteLength} B: ${nanoseconds(on)} of CPU a message with a heartbeat, ` +
        `${nanoseconds(off)} without: × ${median(ratios).toFixed(3)} (${pairs} pairs)`,
    );
  }
}
if (wanted('idle')) {
  const count = quick ? 1_000 : 10_000;
  const rounds = quick ? 2 : 5;
  const samples = await inTurns(['idle, heartwire', 'idle, raw'], rounds, { count, quick });
  console.log(
    `${count} idle connections: ${microseconds(samples.get('idle, heartwire')!)} of CPU a Ping and its Pong, ` +
      `raw sockets ${microseconds(samples.get('idle, raw')!)}: × ${ratio(samples, 'idle, heartwire', 'idle, raw')} (${rounds} rounds)`,
  );
}
if (wanted('round trip')) {
  const rounds = quick ? 3 : 9;
  const samples = await inTurns(['round trip, heartwire', 'round trip, raw'], rounds, { quick });
  const apart = samples
    .get('round trip, heartwire')!
    .map((value, round) => value - samples.get('round trip, raw')![round]);
  console.log(
    `round trip on the loopback, median: ${microseconds(samples.get('round trip, heartwire')!)} by onRtt, ` +
      `${microseconds(samples.get('round trip, raw')!)} by a raw socket: apart by ${median(apart).toFixed(2)} µs`,
  );
}
