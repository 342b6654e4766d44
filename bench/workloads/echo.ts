/** Round trips, one message in flight: the client sends the next when the echo of the last has been checked. */
import { payloads } from '../harness/payload.js';
import type { Case, Workload } from '../harness/workload.js';
import { serveEcho } from '../server/echo.js';

/** Messages are made beforehand; a few different ones make a repeated echo noticeable. */
const PERIOD = 16;

function echo(label: string, byteLength: number, long?: true): Case {
  return {
    label,
    long,
    byteLength,
    messagesPerStep: 1,
    serve: serveEcho,
    async play({ open, inbox }) {
      const link = await open();
      const messages = payloads('binary', PERIOD, byteLength);
      inbox.shape(byteLength, PERIOD);
      return {
        link,
        round: (steps, latencies) =>
          new Promise((resolve, reject) => {
            let done = 0;
            let sentAt = 0;
            const send = () => {
              inbox.expect(1, received, reject);
              const message = messages[inbox.next];
              sentAt = performance.now();
              link.send(message);
            };
            const received = () => {
              if (latencies !== undefined) latencies[done] = performance.now() - sentAt;
              done += 1;
              if (done === steps) resolve();
              else send();
            };
            send();
          }),
      };
    },
  };
}

export const workload: Workload = {
  name: 'echo',
  metric: 'latency',
  cast: 'usual',
  rounds: 9,
  round: { milliseconds: 100 },
  // Those of picows and Beast (256, 8192 and 100 000 B), and those of ws's own speed test (64 B to 1 MiB).
  cases: [
    echo('64 B', 64),
    echo('256 B', 256, true),
    echo('8 KiB', 8 * 1024),
    echo('16 KiB', 16 * 1024, true),
    echo('100 kB', 100_000),
    echo('128 KiB', 128 * 1024, true),
    echo('1 MiB', 1024 * 1024, true),
  ],
};
