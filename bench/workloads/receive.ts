/**
 * Receive throughput. The server writes chunks made beforehand, of many frames each, as fast as the socket takes
 * them; the client says how many messages it wants and counts and checks every one.
 */

import { type Kind, payload } from '../harness/payload.js';
import type { Case, Workload } from '../harness/workload.js';
import { BINARY, frame, TEXT } from '../server/frames.js';
import { stream } from '../server/stream.js';

/** Small enough for the second-level cache beside the socket's own copies; large messages need more room. */
const CHUNK = 256 * 1024;
const LEAST_FRAMES = 4;

function receive(kind: Kind, label: string, byteLength: number, long?: Case['long']): Case {
  const period = Math.max(LEAST_FRAMES, Math.floor(CHUNK / byteLength));
  let chunk: Buffer | undefined;
  return {
    label: `${kind} ${label}`,
    long,
    byteLength,
    messagesPerStep: 1,
    serve(peer) {
      chunk ??= Buffer.concat(
        Array.from({ length: period }, (_, number) =>
          frame(kind === 'binary' ? BINARY : TEXT, payload(kind, number, byteLength)),
        ),
      );
      stream(peer, chunk, period);
    },
    async play({ open, inbox }) {
      const link = await open();
      return {
        link,
        round: (messages) =>
          new Promise((resolve, reject) => {
            inbox.shape(byteLength, period);
            inbox.expect(messages, resolve, reject);
            link.send(String(messages));
          }),
      };
    },
  };
}

const SIZES: [label: string, byteLength: number, long?: true][] = [
  ['16 B', 16],
  ['128 B', 128],
  ['1 KiB', 1024],
  ['16 KiB', 16 * 1024],
  ['1 MiB', 1024 * 1024],
  ['4 MiB', 4 * 1024 * 1024, true],
  ['16 MiB', 16 * 1024 * 1024, true],
];

export const workload: Workload = {
  name: 'receive',
  metric: 'rate',
  cast: 'usual',
  rounds: 5,
  round: { milliseconds: 150 },
  cases: (['binary', 'text'] as const).flatMap((kind) =>
    SIZES.map(([label, byteLength, long]) =>
      receive(kind, label, byteLength, long ?? (kind === 'text' && byteLength > 128 ? 'tls' : undefined)),
    ),
  ),
};
