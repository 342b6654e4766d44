/**
 * Order entry while a feed is bursting: in the middle of each burst a message makes the application send an order,
 * on a connection of its own, as in trading it does. The time from when the server made that message until the
 * server's acknowledgement of the order has arrived: what must be handled before and after it delays it.
 */

import { FeedInbox } from '../harness/feed-inbox.js';
import { Inbox } from '../harness/inbox.js';
import { monotonic } from '../harness/monotonic.js';
import { payloads } from '../harness/payload.js';
import type { Workload } from '../harness/workload.js';
import { BURST, stream } from '../server/feed.js';
import { BINARY, frame } from '../server/frames.js';
import { unmasked } from '../server/peer.js';

const TRIGGER = BURST / 2;
const ORDER = 160;
const PERIOD = 16;

export const workload: Workload = {
  name: 'order-entry',
  metric: 'latency',
  cast: 'usual',
  rounds: 5,
  // A burst every 10 ms.
  round: { steps: 100 },
  // Of orders, each of which takes a burst.
  warmUp: { messages: 100, milliseconds: 500 },
  cases: [
    {
      label: 'under that feed',
      byteLength: ORDER,
      long: 'tls',
      messagesPerStep: 1,
      serve(peer) {
        peer.onFrame = (first, bytes, offset, length) => {
          const message = unmasked(bytes, offset, length);
          if (first === BINARY) peer.write(frame(BINARY, message));
          else stream(peer, Number(message.toString()) * BURST);
        };
      },
      async play({ open }) {
        let latencies: Float64Array | undefined;
        let acknowledged = 0;
        /** When the messages were made whose orders are under way: several, where the client lags behind. */
        const underWay: number[] = [];
        const orders = payloads('binary', PERIOD, ORDER);
        let sent = 0;
        const answers = new Inbox();
        answers.shape(ORDER, PERIOD);
        const awaitAnswer = () => answers.expect(1, answered, (error) => feed.fail(error));
        const answered = () => {
          const madeAt = underWay.shift()!;
          if (latencies !== undefined) latencies[acknowledged] = monotonic() - madeAt;
          acknowledged += 1;
          if (underWay.length > 0) awaitAnswer();
        };
        const feed = new FeedInbox((number, madeAt) => {
          if (number !== TRIGGER) return;
          underWay.push(madeAt);
          if (underWay.length === 1) awaitAnswer();
          orderLink.send(orders[sent++ % PERIOD]);
        });
        const [feedLink, orderLink] = await Promise.all([open(feed), open(answers)]);
        return {
          link: { close: () => Promise.all([feedLink.close(), orderLink.close()]) },
          async round(steps, times) {
            latencies = times;
            acknowledged = 0;
            const complete = feed.expect(steps * BURST);
            feedLink.send(String(steps));
            await complete;
            // The last answers may come behind the last message of the feed.
            while (acknowledged < steps) await new Promise((resolve) => setTimeout(resolve, 1));
          },
        };
      },
    },
  ],
};
