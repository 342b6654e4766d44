/**
 * A client in a process of its own, for garbage.test.ts: after 200 000 messages to get warm it counts the
 * collections during the next million. `heartwire` hands over every message, and each is checked; `bare` is a
 * socket that reads into one buffer and counts bytes, as little as can be done.
 */
import { connect as connectTcp } from 'node:net';
import { PerformanceObserver } from 'node:perf_hooks';
import { connect } from '../../src/connect.js';

const WARM = 200_000;
const MEASURED = 1_000_000;
const FRAME_SIZE = 66;

const [contender, port] = process.argv.slice(2);
const collections: number[] = [];
new PerformanceObserver((list) => {
  for (const { startTime } of list.getEntries()) collections.push(startTime);
}).observe({ entryTypes: ['gc'] });

let from = 0;

/** Garbage of the warm-up is not counted. */
function begin(): void {
  globalThis.gc!();
  from = performance.now();
}

function end(received: number): void {
  const to = performance.now();
  // The observer is told of collections after the fact.
  setTimeout(() => {
    const counted = collections.filter((at) => at >= from && at <= to).length;
    process.stdout.write(`${JSON.stringify({ received, collections: counted })}\n`, () => process.exit());
  }, 50);
}

if (contender === 'heartwire') {
  let count = 0;
  let right = 0;
  await connect(`ws://127.0.0.1:${port}/`, {
    onMessage: ({ buffer, byteOffset, byteLength }) => {
      if (count === WARM) begin();
      if (count >= WARM && byteLength === 64 && buffer.readUInt32LE(byteOffset) === count % 1_000) right++;
      count++;
      if (count === WARM + MEASURED) end(right);
    },
  });
} else {
  let bytes = 0;
  const socket = connectTcp({
    host: '127.0.0.1',
    port: Number(port),
    onread: {
      buffer: new Uint8Array(65_536),
      callback: (count) => {
        const before = bytes;
        bytes += count;
        if (before < WARM * FRAME_SIZE && bytes >= WARM * FRAME_SIZE) begin();
        // The response's head is longer than a few frames, and not counted: it makes this end a little early.
        if (before < (WARM + MEASURED) * FRAME_SIZE && bytes >= (WARM + MEASURED) * FRAME_SIZE) end(MEASURED);
        return true;
      },
    },
  });
  socket.write(
    `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
}
