/**
 * Lease rule 3: `pause()` gates delivery in the receiver, not only the socket: what the same read holds, and what
 * TLS hands over after it was told to stop, waits, in order, for `resume()`.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Connection } from '../../src/connection.js';
import type { Message } from '../../src/protocol/message.js';
import { encodeFrame } from '../reference/frame.js';
import { turns } from '../server/scripted-server.js';
import {
  binary,
  contentOf,
  ended,
  hasRead,
  link,
  links,
  patterned,
  print,
  soon,
  TRANSPORTS,
  text,
  until,
} from './link.js';

const numbered = (count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => text(String(i))));
const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

describe('lease rule 3: a pause holds back what has been read already', () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`${over}: the messages behind a pause() in the same read wait, and come in order`, async (t) => {
      const seen: string[] = [];
      const onMessage = (message: Message, connection: Connection): void => {
        seen.push(message.text());
        if (seen.length % 3 === 0) connection.pause();
      };
      const one = await link(t, tls, { onMessage });
      const wire = numbered(10);
      await one.peer.write(wire);
      await hasRead(one, wire.length);
      for (const count of [3, 6, 9]) {
        await turns(5);
        assert.deepEqual(seen, numbers(count));
        assert.equal(one.connection.isPaused, true);
        one.connection.resume();
        assert.deepEqual(seen, numbers(count), 'resume() delivers nothing itself');
        await turns(1);
      }
      assert.deepEqual(seen, numbers(10));
    });

    test(`${over}: a pause() in front of the read holds back all of it`, async (t) => {
      const seen: string[] = [];
      const one = await link(t, tls, { onMessage: (message) => void seen.push(message.text()) });
      one.connection.pause();
      await one.peer.write(numbered(5));
      await turns(5);
      assert.deepEqual(seen, []);
      one.connection.resume();
      await hasRead(one, numbered(5).length);
      assert.deepEqual(seen, numbers(5));
    });

    test(`${over}: the socket stops too: the kernel, not this process, keeps what the server sends`, async (t) => {
      let seen = 0;
      const one = await link(t, tls, {
        onMessage: (_message, connection) => {
          if (seen++ === 0) connection.pause();
        },
      });
      const frame = binary(patterned(50_000, 1));
      const count = 400;
      await one.peer.write(Buffer.concat(Array(count).fill(frame)));
      await turns(50);
      const { bytesReceived } = one.connection.stats();
      // One read; over TLS, the callbacks of the 64 KiB that were read from the kernel together, and two more.
      assert.ok(bytesReceived <= 65_536 + 2 * 16_384, `${bytesReceived} bytes were read in a pause`);
      one.connection.resume();
      await until(() => seen >= count);
      assert.equal(one.connection.stats().bytesReceived, count * frame.length);
    });

    test(`${over}: reads go on behind what waited, not past it`, async (t) => {
      const seen: string[] = [];
      const onMessage = (message: Message, connection: Connection): void => {
        seen.push(message.text());
        if (seen.length === 2) connection.pause();
      };
      const one = await link(t, tls, { onMessage });
      const wire = numbered(40);
      // The cut falls into a frame: what waits ends with a tail.
      await one.peer.write(wire.subarray(0, 19));
      await hasRead(one, 19);
      await one.peer.write(wire.subarray(19));
      one.connection.resume();
      await hasRead(one, wire.length);
      assert.deepEqual(seen, numbers(40));
    });

    test(`${over}: another connection reads and parses while much waits here`, async (t) => {
      const first: string[] = [];
      const second: string[] = [];
      const [paused, busy] = await links(t, tls, [
        {
          onMessage: (message, connection) => {
            first.push(contentOf(message));
            if (first.length === 1) connection.pause();
          },
        },
        { onMessage: (message) => void second.push(contentOf(message)) },
      ]);
      const payloads = Array.from({ length: 12 }, (_, i) => patterned(1_300, i));
      const others = Array.from({ length: 12 }, (_, i) => patterned(1_300, 50 + i));
      const wire = Buffer.concat(payloads.map(binary));
      await paused.peer.write(wire);
      await hasRead(paused, wire.length);
      await busy.peer.write(Buffer.concat(others.map(binary)));
      await hasRead(busy, wire.length);
      assert.equal(first.length, 1);
      paused.connection.resume();
      await turns(1);
      assert.deepEqual(
        first,
        payloads.map((payload) => print(payload)),
      );
      assert.deepEqual(
        second,
        others.map((payload) => print(payload)),
      );
    });

    // A megabyte written at once comes as many callbacks a turn over TLS; a pause() in one of them does not stop
    // the next two. Frames of 1 003 bytes cross the records' borders, so that a tail is in a slab each time.
    for (const size of [1_000, 30_000, 200_000]) {
      test(`${over}: a pause() in every message of ${size} bytes, a megabyte in a row`, async (t) => {
        const count = Math.ceil(1_000_000 / size);
        const payloads = Array.from({ length: count }, (_, i) => patterned(size, i));
        let depth = 0;
        let seen = 0;
        const wrong: string[] = [];
        const one = await link(t, tls, {
          onMessage: (message, connection) => {
            if (depth++ > 0) wrong.push(`message ${seen} was delivered within another`);
            if (connection.isPaused) wrong.push(`message ${seen} was delivered in a pause`);
            if (contentOf(message) !== print(payloads[seen])) wrong.push(`message ${seen} is corrupt`);
            seen++;
            connection.pause();
            // In the same turn, so that TLS has callbacks left, or in the next one.
            if (seen % 2 === 0) process.nextTick(() => connection.resume());
            else setImmediate(() => connection.resume());
            depth--;
          },
        });
        await one.peer.write(Buffer.concat(payloads.map(binary)));
        await until(() => seen >= count);
        await turns(2);
        assert.deepEqual(wrong, []);
        assert.equal(seen, count);
      });
    }

    for (const size of [20_000, 100_000, 1_000_000]) {
      test(`${over}: a pause() in the message in front of a frame of ${size} bytes`, async (t) => {
        const seen: string[] = [];
        const one = await link(t, tls, {
          onMessage: (message, connection) => {
            seen.push(contentOf(message));
            if (message.byteLength < 1_000) connection.pause();
          },
        });
        const expected: string[] = [];
        const frames: Buffer[] = [];
        // The border between them stands at several places of a read, and of a TLS record.
        for (let i = 0; i < 8; i++) {
          const payloads = [patterned(10 + i, i), patterned(size + 5_003 * i, i)];
          frames.push(...payloads.map(binary));
          expected.push(...payloads.map((payload) => print(payload)));
        }
        await one.peer.write(Buffer.concat(frames));
        await until(() => {
          if (one.connection.isPaused) setImmediate(() => one.connection.resume());
          return seen.length >= expected.length;
        });
        assert.deepEqual(seen, expected);
      });
    }

    test(`${over}: a pause() between two callbacks of one message's bytes`, async (t) => {
      const payloads = [200_000, 70_000, 500, 131_072].map((size, i) => patterned(size, i));
      const seen: string[] = [];
      const one = await link(t, tls, { onMessage: (message) => void seen.push(contentOf(message)) });
      const wire = Buffer.concat(payloads.map(binary));
      // From outside any callback, in every turn: wherever the reads have come to.
      let turning = true;
      const pausing = (async () => {
        while (turning) {
          one.connection.pause();
          await turns(1);
          one.connection.resume();
          await turns(1);
        }
      })();
      for (let at = 0; at < wire.length; at += 50_000) await one.peer.write(wire.subarray(at, at + 50_000));
      await until(() => seen.length >= payloads.length);
      turning = false;
      await pausing;
      assert.deepEqual(
        seen,
        payloads.map((payload) => print(payload)),
      );
    });

    test(`${over}: text of several bytes a character, and fragments, cut by pauses`, async (t) => {
      const seen: string[] = [];
      const one = await link(t, tls, {
        onMessage: (message, connection) => {
          seen.push(print(Buffer.from(message.text()), true));
          connection.pause();
          setImmediate(() => connection.resume());
        },
      });
      const texts = ['🐟'.repeat(20_000), 'ä'.repeat(3), '', '水'.repeat(40_000), 'é'.repeat(9_000)];
      const wire = Buffer.concat(
        texts.flatMap((each) => {
          const payload = Buffer.from(each);
          const middle = (payload.length >> 1) | 1;
          return [
            encodeFrame({ opcode: 1, fin: false, payload: payload.subarray(0, middle) }),
            encodeFrame({ opcode: 9, payload: Buffer.from('hm') }),
            encodeFrame({ opcode: 0, payload: payload.subarray(middle) }),
            text(each),
          ];
        }),
      );
      await one.peer.write(wire);
      await until(() => seen.length >= 2 * texts.length);
      assert.deepEqual(
        seen,
        texts.flatMap((each) => {
          const content = print(Buffer.from(each), true);
          return [content, content];
        }),
      );
      // Each Ping was answered once, whichever read and whichever pause it fell into (§5.5.2).
      await soon(one.peer.receives(texts.length * 8));
      assert.deepEqual(
        one.peer.frames().map(({ firstByte, payload }) => [firstByte, payload.toString()]),
        texts.map(() => [0x8a, 'hm']),
      );
    });

    test(`${over}: without a listener messages wait, and come when there is one`, async (t) => {
      const one = await link(t, tls);
      const wire = numbered(20);
      await one.peer.write(wire.subarray(0, 25));
      await hasRead(one, 25);
      const seen: string[] = [];
      one.connection.onMessage = (message) => void seen.push(message.text());
      assert.deepEqual(seen, [], 'setting onMessage delivers nothing itself');
      await one.peer.write(wire.subarray(25));
      await until(() => seen.length >= 20);
      assert.deepEqual(seen, numbers(20));
    });

    test(`${over}: a Close frame that waited ends the connection without closeTimeout (§7.1.4)`, async (t) => {
      const one = await link(t, tls, {
        closeTimeout: 2 ** 31 - 1,
        onMessage: (_message, connection) => connection.pause(),
      });
      const wire = Buffer.concat([text('last'), Buffer.from('880203e8', 'hex')]);
      await one.peer.write(wire);
      await hasRead(one, wire.length);
      one.connection.resume();
      // The answer has come: the server closes TCP, as §7.1.1 wants, and that has to be seen.
      await soon(one.peer.receives(8));
      one.peer.end();
      const { code, wasClean } = await ended(one.connection);
      assert.deepEqual({ code, wasClean }, { code: 1000, wasClean: true });
    });

    test(`${over}: an error that waited ends the connection without closeTimeout (§7.1.7)`, async (t) => {
      const one = await link(t, tls, {
        closeTimeout: 2 ** 31 - 1,
        onMessage: (_message, connection) => connection.pause(),
      });
      const wire = Buffer.concat([text('last'), Buffer.from('8300', 'hex')]);
      await one.peer.write(wire);
      await hasRead(one, wire.length);
      one.connection.resume();
      await soon(one.peer.ended);
      one.peer.end();
      const { code, error } = await ended(one.connection);
      assert.deepEqual({ code, closeCode: error?.closeCode }, { code: 1006, closeCode: 1002 });
    });
  }
});
