/** Many connections, each with one echo in flight: how many round trips a second they make together. */
import type { Link } from '../harness/contender.js';
import { Inbox } from '../harness/inbox.js';
import { payloads } from '../harness/payload.js';
import type { Case, Workload } from '../harness/workload.js';
import { serveEcho } from '../server/echo.js';

const PERIOD = 16;

function crowd(label: string, byteLength: number, connections: number): Case {
  return {
    label,
    long: true,
    byteLength,
    messagesPerStep: connections,
    serve: serveEcho,
    async play({ open }) {
      const messages = payloads('binary', PERIOD, byteLength);
      const members: { inbox: Inbox; link: Link }[] = [];
      for (let i = 0; i < connections; i++) {
        const inbox = new Inbox();
        inbox.shape(byteLength, PERIOD);
        members.push({ inbox, link: await open(inbox) });
      }
      return {
        link: { close: () => Promise.all(members.map(({ link }) => link.close())) },
        /** Each makes `steps` round trips. */
        async round(steps) {
          await Promise.all(
            members.map(
              ({ inbox, link }) =>
                new Promise<void>((resolve, reject) => {
                  let done = 0;
                  const send = () => {
                    inbox.expect(1, received, reject);
                    link.send(messages[inbox.next]);
                  };
                  const received = () => {
                    done += 1;
                    if (done === steps) resolve();
                    else send();
                  };
                  send();
                }),
            ),
          );
        },
      };
    },
  };
}

export const workload: Workload = {
  name: 'crowd',
  metric: 'rate',
  cast: 'usual',
  rounds: 5,
  round: { milliseconds: 300 },
  cases: [
    crowd('20 B × 100', 20, 100),
    crowd('16 KiB × 200', 16 * 1024, 200),
    crowd('16 KiB × 500', 16 * 1024, 500),
  ],
};
