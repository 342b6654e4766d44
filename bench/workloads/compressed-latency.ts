/**
 * The time from the server's write to the callback, of compressed market data that comes in bursts at a steady rate,
 * whether the client keeps up or not.
 */
import { Feed } from '../harness/feed.js';
import { deltas, type MarketData } from '../harness/market-data.js';
import type { Case, Workload } from '../harness/workload.js';
import { type Peer, unmasked } from '../server/peer.js';
import { recorded } from '../server/recording.js';
import { Replay } from '../server/replay.js';

function paced(label: string, burst: number, interval: number, long?: true): Case {
  let made: MarketData | undefined;
  const data = (): MarketData => {
    made ??= deltas();
    return made;
  };
  return {
    label,
    messagesPerStep: 1,
    long,
    serve(peer) {
      let replay: Replay | undefined;
      peer.onFrame = async (_, bytes, offset, length) => {
        const messages = Number(unmasked(bytes, offset, length).toString());
        replay ??= new Replay(await recorded(data().messages));
        pace(peer, replay, messages, burst, interval);
      };
    },
    async play({ open }) {
      const feed = new Feed(data().messages);
      const link = await open(feed);
      return {
        link,
        round: (messages, latencies) =>
          new Promise((resolve, reject) => {
            feed.expect(messages, latencies, resolve, reject);
            link.send(String(messages));
          }),
      };
    },
  };
}

/** A burst, behind the time at which it is written, every `interval` ms. */
function pace(peer: Peer, replay: Replay, messages: number, burst: number, interval: number): void {
  let left = messages;
  const timer = setInterval(() => {
    const count = Math.min(burst, left);
    replay.burst(peer, count);
    left -= count;
    if (left === 0) clearInterval(timer);
  }, interval);
}

export const workload: Workload = {
  name: 'compressed-latency',
  metric: 'latency',
  transports: ['tcp'],
  cast: 'inflating',
  compressed: true,
  fresh: true,
  rounds: 3,
  round: { steps: 1_500 },
  warmUp: { messages: 2_000, milliseconds: 200 },
  cases: [paced('20 × 250/s', 20, 4, true), paced('250 × 20/s', 250, 50)],
};
