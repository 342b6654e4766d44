/**
 * Many connections, each with a context of its own: the memory that they hold when each has received 100 KiB, and the
 * time from the server's write to the callback meanwhile. All of them together are sent messages at a steady rate.
 */

import type { Link } from '../harness/contender.js';
import { Feed } from '../harness/feed.js';
import { type MarketData, mixed } from '../harness/market-data.js';
import type { Case, Workload } from '../harness/workload.js';
import { type Peer, unmasked } from '../server/peer.js';
import { recorded } from '../server/recording.js';
import { Replay } from '../server/replay.js';

/** Messages of 700 bytes on average: what a connection is sent at once, and what all are sent in a second. */
const BURST = 10;
const PER_SECOND = 10_000;
/** With the two that warm up, and one that leads in: 15 bursts, which are 100 KiB. */
const STEPS = 12;

interface Member {
  peer: Peer;
  replay: Replay;
}

function fleet(label: string, connections: number, long?: true): Case {
  let made: MarketData | undefined;
  const data = (): MarketData => {
    made ??= mixed();
    return made;
  };
  /** By contender: the first word of what a connection sends. */
  const fleets = new Map<string, Member[]>();
  return {
    label,
    messagesPerStep: connections * BURST,
    long,
    serve(peer) {
      peer.onFrame = async (_, bytes, offset, length) => {
        const [name, steps] = unmasked(bytes, offset, length).toString().split(' ');
        const recording = await recorded(data().messages);
        const members = fleets.get(name) ?? [];
        fleets.set(name, members);
        if (steps === undefined) members.push({ peer, replay: new Replay(recording) });
        else {
          // Whoever opened first asks, and others may still be on their way.
          while (members.length < connections) await new Promise((resolve) => setTimeout(resolve, 1));
          await exercise(members, Number(steps));
        }
      };
    },
    async play({ open }) {
      const name = `fleet${process.pid}`;
      const feeds = Array.from({ length: connections }, () => new Feed(data().messages));
      const links: Link[] = [];
      for (const feed of feeds) {
        const link = await open(feed);
        link.send(name);
        links.push(link);
      }
      return {
        link: { ...links[0], close: async () => void (await Promise.all(links.map((link) => link.close()))) },
        async round(steps, latencies) {
          const each = steps * BURST;
          const all = feeds.map((feed, i) => {
            const own = latencies?.subarray(i * each, (i + 1) * each);
            return new Promise<void>((resolve, reject) => feed.expect(each, own, resolve, reject));
          });
          links[0].send(`${name} ${steps}`);
          await Promise.all(all);
        },
      };
    },
  };
}

/** A burst to one connection after the other, `steps` times round. */
async function exercise(members: readonly Member[], steps: number): Promise<void> {
  const begin = performance.now();
  for (let sent = 0; sent < steps * members.length; sent++) {
    const due = begin + (sent * BURST * 1000) / PER_SECOND;
    const wait = due - performance.now();
    if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait));
    const { peer, replay } = members[sent % members.length];
    replay.burst(peer, BURST);
  }
}

export const workload: Workload = {
  name: 'compressed-fleet',
  metric: 'fleet',
  transports: ['tcp'],
  cast: 'inflating',
  compressed: true,
  rounds: 1,
  round: { steps: STEPS },
  warmUp: { messages: 0, milliseconds: 0 },
  cases: [fleet('1', 1, true), fleet('100', 100), fleet('1 000', 1_000, true)],
};
