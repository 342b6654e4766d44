/**
 * Lease rule 1: where a socket's next read lands is fixed when its own read callback returns, and is either the
 * shared scratch or memory that this socket owns alone and that neither moves nor is freed meanwhile.
 * Lease rule 2: nothing unread stays in scratch when a read callback returns.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { ConnectOptions } from '../../src/connect.js';
import { encodeFrame } from '../reference/frame.js';
import { binary, contentOf, ended, hasRead, links, patterned, print, TRANSPORTS, text } from './link.js';

describe('lease rules 1 and 2: connections share scratch, and nothing of one stays in it', () => {
  for (const { over, tls } of TRANSPORTS) {
    /** Connections that keep what they get, by number. */
    const keepers = (inboxes: readonly string[][]): ConnectOptions[] =>
      inboxes.map((inbox) => ({ onMessage: (message) => void inbox.push(contentOf(message)) }));

    for (const tail of [1, 2, 3, 9, 700]) {
      test(`${over}: a tail of ${tail} bytes outlives another connection's read into scratch`, async (t) => {
        const inboxes: string[][] = [[], []];
        const [first, second] = await links(t, tls, keepers(inboxes));
        const payload = patterned(1000, 1);
        const frame = binary(payload);
        const disturbance = binary(patterned(60_000, 2));

        await first.peer.write(frame.subarray(0, tail));
        await hasRead(first, tail);
        await second.peer.write(disturbance);
        await hasRead(second, disturbance.length);
        await first.peer.write(frame.subarray(tail));
        await hasRead(first, frame.length);

        assert.deepEqual(inboxes[0], [print(payload)]);
        assert.deepEqual(inboxes[1], [print(patterned(60_000, 2))]);
      });
    }

    for (const size of [3_000, 12_000, 60_000]) {
      test(`${over}: beginnings of ${size} byte frames of three connections at once lie apart`, async (t) => {
        const inboxes: string[][] = [[], [], []];
        const all = await links(t, tls, keepers(inboxes));
        const payloads = all.map((_, i) => patterned(size, 10 + i));
        const frames = payloads.map(binary);
        const step = size / 8;
        // Round by round, so that what one connection keeps is kept while the others read and parse.
        for (let from = 0; from < frames[0].length; from += step) {
          for (const [i, each] of all.entries()) {
            await each.peer.write(frames[i].subarray(from, from + step));
            await hasRead(each, Math.min(from + step, frames[i].length));
          }
        }
        assert.deepEqual(
          inboxes,
          payloads.map((payload) => [print(payload)]),
        );
      });
    }

    test(`${over}: large frames of two connections at once, and of a third meanwhile, lie apart`, async (t) => {
      const inboxes: string[][] = [[], [], []];
      const all = await links(t, tls, keepers(inboxes));
      const read = all.map(() => 0);
      const write = async (index: number, bytes: Buffer): Promise<void> => {
        await all[index].peer.write(bytes);
        read[index] += bytes.length;
        await hasRead(all[index], read[index]);
      };
      const payloads = Array.from({ length: 5 }, (_, i) => patterned(300_000, 20 + i));
      const frames = payloads.map(binary);
      // A buffer that was not taken serves again, but for one of the two only.
      await write(2, frames[0]);
      await write(0, frames[1].subarray(0, 100_000));
      await write(1, frames[2].subarray(0, 100_000));
      await write(2, frames[3]);
      await write(1, frames[2].subarray(100_000, 200_000));
      await write(2, frames[4].subarray(0, 200_000));
      await write(0, frames[1].subarray(100_000));
      await write(1, frames[2].subarray(200_000));
      await write(2, frames[4].subarray(200_000));
      const contents = payloads.map((payload) => print(payload));
      assert.deepEqual(inboxes, [[contents[1]], [contents[2]], [contents[0], contents[3], contents[4]]]);
    });

    test(`${over}: a connection that ends in the middle of a frame gives its slab to no reader`, async (t) => {
      const inboxes: string[][] = [[], [], []];
      const [leaver, stayer, newcomer] = await links(t, tls, keepers(inboxes));
      const frames = [1, 2].map((seed) => binary(patterned(3_000, seed)));
      await leaver.peer.write(frames[0].subarray(0, 1_000));
      await stayer.peer.write(frames[0].subarray(0, 1_000));
      await hasRead(leaver, 1_000);
      await hasRead(stayer, 1_000);
      leaver.connection.terminate();
      // More is under way to the connection that has just ended, and its slab is the next to be taken.
      await leaver.peer.write(patterned(16_000, 9));
      await newcomer.peer.write(frames[1].subarray(0, 2_000));
      await hasRead(newcomer, 2_000);
      await ended(leaver.connection);
      await stayer.peer.write(frames[0].subarray(1_000));
      await newcomer.peer.write(frames[1].subarray(2_000));
      await hasRead(stayer, frames[0].length);
      await hasRead(newcomer, frames[1].length);
      assert.deepEqual(inboxes, [[], [print(patterned(3_000, 1))], [print(patterned(3_000, 2))]]);
    });

    test(`${over}: any streams, cut anywhere and interleaved, reach their own connections`, async (t) => {
      const inboxes: string[][] = [[], [], []];
      const all = await links(t, tls, keepers(inboxes));
      const sent = [0, 0, 0];
      const step = fc.record({
        connection: fc.nat(2),
        size: fc.oneof(
          fc.nat(300),
          fc.constantFrom(125, 126, 4_096, 32_768, 65_535, 65_536, 200_000),
          fc.nat(70_000),
        ),
        isText: fc.boolean(),
        fragments: fc.integer({ min: 1, max: 3 }),
        cut: fc.double({ min: 0, max: 1, noNaN: true }),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 8 }), async (steps) => {
          const expected: string[][] = [[], [], []];
          const rests: Buffer[] = [0, 1, 2].map(() => Buffer.alloc(0));
          const write = async (index: number, bytes: Buffer): Promise<void> => {
            if (bytes.length === 0) return;
            sent[index] += bytes.length;
            await all[index].peer.write(bytes);
            await hasRead(all[index], sent[index]);
          };
          for (const { connection, size, isText, fragments, cut } of steps) {
            const payload = isText ? Buffer.from('é'.repeat(size / 2)) : patterned(size, size);
            expected[connection].push(print(payload, isText));
            const wire = Buffer.concat([rests[connection], inFragments(payload, isText, fragments)]);
            const at = Math.floor(wire.length * cut);
            rests[connection] = wire.subarray(at);
            await write(connection, wire.subarray(0, at));
          }
          for (const [index, rest] of rests.entries()) await write(index, rest);
          assert.deepEqual(inboxes, expected);
          for (const inbox of inboxes) inbox.length = 0;
        }),
        { numRuns: 25 },
      );
    });

    test(`${over}: a tail that came in the segment of the 101 outlives other reads (RFC 6455 §4.1)`, async (t) => {
      const inboxes: string[][] = [[], []];
      const wire = Buffer.concat([text('eins'), text('zwei'), text('drei')]);
      const all = await links(t, tls, keepers(inboxes), wire.subarray(0, 9));
      for (const each of all) await hasRead(each, 9);
      for (const each of all) {
        await each.peer.write(wire.subarray(9));
        await hasRead(each, wire.length);
      }
      for (const inbox of inboxes) {
        assert.deepEqual(inbox, ['text eins', 'text zwei', 'text drei']);
      }
    });
  }
});

function inFragments(payload: Buffer, isText: boolean, count: number): Buffer {
  const size = Math.ceil(payload.length / count);
  const frames: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    frames.push(
      encodeFrame({
        fin: i === count - 1,
        opcode: i > 0 ? 0 : isText ? 1 : 2,
        payload: payload.subarray(i * size, (i + 1) * size),
      }),
    );
  }
  return Buffer.concat(frames);
}
