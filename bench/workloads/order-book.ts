/**
 * Order-book updates of 200 B in bursts of 200, 20 000 a second, open loop: the time of each from when the server
 * made it until the application has it as a string. It holds what stands in front of it in its burst.
 */
import { FeedInbox } from '../harness/feed-inbox.js';
import type { Workload } from '../harness/workload.js';
import { stream } from '../server/feed.js';
import { unmasked } from '../server/peer.js';

export const workload: Workload = {
  name: 'order-book',
  metric: 'latency',
  cast: 'usual',
  rounds: 5,
  round: { steps: 20_000 },
  cases: [
    {
      label: 'bursts of 200',
      byteLength: 200,
      long: 'tls',
      messagesPerStep: 1,
      serve(peer) {
        peer.onFrame = (_, bytes, offset, length) =>
          stream(peer, Number(unmasked(bytes, offset, length).toString()));
      },
      async play({ open }) {
        const inbox = new FeedInbox();
        const link = await open(inbox);
        return {
          link,
          round(messages, latencies) {
            const complete = inbox.expect(messages, latencies);
            link.send(String(messages));
            return complete;
          },
        };
      },
    },
  ],
};
