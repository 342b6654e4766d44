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

const WARMING = 20_000;

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
        const [messages, hurry] = unmasked(bytes, offset, length).toString().split(' ');
        replay ??= new Replay(await recorded(data().messages));
        pace(peer, replay, Number(messages), burst, hurry === undefined ? interval : 0);
      };
    },
    async play({ open }) {
      const feed = new Feed(data().messages);
      const link = await open(feed);
      const receive = (messages: number, latencies?: Float64Array, how = ''): Promise<void> =>
        new Promise((resolve, reject) => {
          feed.expect(messages, latencies, resolve, reject);
          link.send(messages + how);
        });
      // At the pace that is measured, compilers would take minutes to optimise what handles messages.
      await receive(WARMING, undefined, ' at once');
      return { link, round: receive };
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
  rounds: 3,
  round: { steps: 6_000 },
  warmUp: { messages: 0, milliseconds: 0 },
  cases: [
    paced('25 × 200/s', 25, 5, true),
    paced('100 × 200/s', 100, 5, true),
    // A market that moves: as much in a second, in few bursts.
    paced('1 000 × 20/s', 1_000, 50),
  ],
};
