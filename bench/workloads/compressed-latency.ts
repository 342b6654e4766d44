/**
 * The time from the server's write to the callback, of compressed market data that comes in bursts at a steady rate,
 * whether the client keeps up or not.
 */
import { Feed } from '../harness/feed.js';
import { deltas, type MarketData } from '../harness/market-data.js';
import { stamp } from '../harness/monotonic.js';
import type { Case, Workload } from '../harness/workload.js';
import { BINARY, frame } from '../server/frames.js';
import { type Peer, unmasked } from '../server/peer.js';
import { recorded } from '../server/recording.js';
import { Replay } from '../server/replay.js';

function paced(label: string, burst: number, interval: number): Case {
  let made: MarketData | undefined;
  const data = (): MarketData => {
    made ??= deltas();
    return made;
  };
  return {
    label,
    messagesPerStep: 1,
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
    const chunks = [frame(BINARY, stamp())];
    for (let wanted = Math.min(burst, left); wanted > 0; ) {
      const { chunk, taken } = replay.take(wanted, Number.POSITIVE_INFINITY);
      chunks.push(chunk);
      wanted -= taken;
      left -= taken;
    }
    peer.write(Buffer.concat(chunks));
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
  rounds: 4,
  round: { steps: 2_000 },
  warmUp: { messages: 5_000, milliseconds: 400 },
  cases: [paced('1 × 1 000/s', 1, 1), paced('25 × 200/s', 25, 5)],
};
