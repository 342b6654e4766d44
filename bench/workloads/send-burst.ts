/**
 * Bursts: a thousand messages sent in one tick, the next thousand when the server has acknowledged them. The
 * server unmasks and checks the same parts of each message that a client checks when it receives.
 */

import { DIGITS_AT, type Kind, LAST_BYTE, payload, payloads, TEXT_END } from '../harness/payload.js';
import type { Case, Workload } from '../harness/workload.js';
import { BINARY, frame, TEXT } from '../server/frames.js';

const BURST = 1000;
const ACKNOWLEDGEMENT = 16;

function burst(kind: Kind, label: string, byteLength: number): Case {
  const opcode = kind === 'binary' ? BINARY : TEXT;
  const numberAt = kind === 'binary' ? 0 : DIGITS_AT;
  const digits = kind === 'binary' ? 4 : 6;
  const end = kind === 'binary' ? LAST_BYTE : TEXT_END;
  return {
    label: `${kind} ${label}`,
    byteLength,
    messagesPerStep: BURST,
    serve(peer) {
      const expected = Array.from({ length: BURST }, (_, number) => payload(kind, number, byteLength));
      const acknowledgement = frame(BINARY, payload('binary', 0, ACKNOWLEDGEMENT));
      let next = 0;
      peer.onFrame = (first, bytes, offset, length) => {
        const key = offset - 4;
        const message = expected[next];
        let right =
          first === opcode &&
          length === byteLength &&
          (bytes[offset + length - 1] ^ bytes[key + ((length - 1) & 3)]) === end;
        for (let i = numberAt; right && i < numberAt + digits; i++) {
          right = (bytes[offset + i] ^ bytes[key + (i & 3)]) === message[i];
        }
        if (!right) {
          peer.fail(`not message ${next} of the burst`);
          return;
        }
        next += 1;
        if (next === BURST) {
          next = 0;
          peer.write(acknowledgement);
        }
      };
    },
    async play({ open, inbox }) {
      const link = await open();
      const messages = payloads(kind, BURST, byteLength);
      inbox.shape(ACKNOWLEDGEMENT, 1);
      return {
        link,
        round: (steps) =>
          new Promise((resolve, reject) => {
            let done = 0;
            const send = () => {
              inbox.expect(1, acknowledged, reject);
              link.sendAll(messages);
            };
            const acknowledged = () => {
              done += 1;
              if (done === steps) resolve();
              // In a tick of its own, as an application's burst would be; equal for all contenders.
              else setImmediate(send);
            };
            send();
          }),
      };
    },
  };
}

export const workload: Workload = {
  name: 'send-burst',
  metric: 'rate',
  cast: 'usual',
  rounds: 5,
  round: { milliseconds: 120 },
  cases: [burst('binary', '16 B', 16), burst('binary', '160 B', 160), burst('text', '160 B', 160)],
};
