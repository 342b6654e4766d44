/** Round trips, one message in flight: the client sends the next when the echo of the last has been checked. */
import bufferutil from 'bufferutil';
import { payloads } from '../harness/payload.js';
import type { Case, Workload } from '../harness/workload.js';
import { headerLength, writeHeader } from '../server/frames.js';

/** Messages are made beforehand; a few different ones make a repeated echo noticeable. */
const PERIOD = 16;

function echo(label: string, byteLength: number): Case {
  return {
    label,
    byteLength,
    messagesPerStep: 1,
    serve(peer) {
      // Unmasked where it lies, with the shorter header written over the end of the masked one. The reader's
      // memory may go to the socket, because the next message comes only after this echo has arrived.
      peer.onFrame = (first, bytes, offset, length) => {
        const body = bytes.subarray(offset, offset + length);
        bufferutil.unmask(body, bytes.subarray(offset - 4, offset));
        const start = offset - headerLength(length);
        writeHeader(bytes, start, first, length);
        peer.write(bytes.subarray(start, offset + length));
      };
    },
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
  cases: [echo('64 B', 64), echo('8 KiB', 8 * 1024), echo('100 kB', 100_000)],
};
