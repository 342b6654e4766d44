/**
 * A server in a process of its own, for garbage.test.ts: it answers the opening handshake, then writes
 * 1 200 000 frames of 64 bytes that were made in advance. Prints its port.
 */
import { encodeFrame } from '../reference/frame.js';
import { scriptedServer } from '../server/scripted-server.js';

/** Messages count from 0 to 999 in their first four bytes, again and again. */
const frames = Buffer.concat(
  Array.from({ length: 1_000 }, (_, i) => {
    const payload = Buffer.alloc(64, i);
    payload.writeUInt32LE(i);
    return encodeFrame({ opcode: 2, payload });
  }),
);

const server = await scriptedServer({
  onConnection: ({ socket }) => {
    let left = 1_200;
    const write = (): void => {
      while (left > 0) {
        left--;
        if (!socket.write(frames)) {
          socket.once('drain', write);
          return;
        }
      }
    };
    write();
  },
});
console.log(server.port);
