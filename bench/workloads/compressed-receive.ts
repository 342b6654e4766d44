/**
 * Receive throughput of compressed market data: what a `ws` server sent with context takeover, written as fast as the
 * socket takes it. The client says how many messages it wants, and compares every one with what it must be.
 */
import { Feed } from '../harness/feed.js';
import { deltas, type MarketData, mixed, snapshots } from '../harness/market-data.js';
import type { Case, Workload } from '../harness/workload.js';
import { type Peer, unmasked } from '../server/peer.js';
import { recorded } from '../server/recording.js';
import { Replay } from '../server/replay.js';

const CHUNK = 256 * 1024;

function receive(label: string, make: () => MarketData, long?: true): Case {
  let made: MarketData | undefined;
  const data = (): MarketData => {
    made ??= make();
    return made;
  };
  return {
    label,
    byteLength: label.startsWith('snapshot') ? 1024 * 1024 : 400,
    messagesPerStep: 1,
    long,
    serve(peer) {
      let replay: Replay | undefined;
      peer.onFrame = async (_, bytes, offset, length) => {
        const messages = Number(unmasked(bytes, offset, length).toString());
        replay ??= new Replay(await recorded(data().messages));
        stream(peer, replay, messages);
      };
    },
    async play({ open }) {
      const feed = new Feed(data().messages);
      const link = await open(feed);
      return {
        link,
        round: (messages) =>
          new Promise((resolve, reject) => {
            feed.expect(messages, undefined, resolve, reject);
            link.send(String(messages));
          }),
      };
    },
  };
}

function stream(peer: Peer, replay: Replay, messages: number): void {
  if (messages === 0) return;
  const { chunk, taken } = replay.take(messages, CHUNK);
  peer.write(chunk, () => stream(peer, replay, messages - taken));
}

export const workload: Workload = {
  name: 'compressed-receive',
  metric: 'rate',
  transports: ['tcp'],
  cast: 'inflating',
  compressed: true,
  rounds: 3,
  round: { milliseconds: 150 },
  cases: [
    receive('150–700 B', deltas),
    receive('100 B–4 KiB', mixed, true),
    receive('snapshot 1 MiB', snapshots),
  ],
};
