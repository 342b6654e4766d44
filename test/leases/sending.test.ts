/**
 * Send memory is used again only when its bytes have left it: a peer that does not read gets, when it reads at
 * last, every byte as it was sent. Meanwhile what waits is bounded, and told truly.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConnectionLostError, UsageError } from '../../src/errors.js';
import { turns } from '../server/scripted-server.js';
import {
  ended,
  FILLING,
  fill,
  type Link,
  link,
  links,
  patterned,
  print,
  soon,
  TRANSPORTS,
  until,
} from './link.js';

/** Size of a frame with this much payload, as a client sends it (RFC 6455 §5.2). */
const frameSize = (length: number): number => length + (length < 126 ? 6 : length < 65_536 ? 8 : 14);

/** The messages the peer has got, in order. */
const received = ({ peer }: Link): string[] =>
  peer.frames().map(({ firstByte, payload }) => print(payload, firstByte === 0x81));

/** Everything accepted has arrived. */
const arrived = (one: Link): Promise<void> =>
  until(() => {
    const { connection, peer } = one;
    return connection.bufferedAmount === 0 && peer.receivedLength === connection.stats().bytesSent;
  });

const isFull = (error: unknown): boolean =>
  error instanceof UsageError && error.code === 'ERR_SEND_BUFFER_FULL';

describe('sends to a peer that does not read', () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`${over}: every byte arrives as it was sent, also of what is sent while the socket drains`, async (t) => {
      const [one, other] = await links(t, tls, [{}, {}]);
      one.peer.pause();
      const expected: string[] = [];
      let count = 0;
      const send = (size: number): void => {
        const seed = count++;
        if (seed % 3 === 2) {
          const text = `${seed} ${'é水🐟a'.repeat(size / 10)}`;
          expected.push(print(Buffer.from(text), true));
          one.connection.send(text);
        } else {
          const payload = patterned(size, seed);
          expected.push(print(payload));
          one.connection.send(payload);
          // The data was copied: changing it changes nothing.
          payload.fill(0);
        }
      };
      const sizes = [10, 3_000, 40_000, 65_521, 65_522, 100, 150_000, 1_000];
      // One send a turn, or several, joined or corked: until the kernel and the first blocks are long full.
      for (let quiet = 0; quiet < 3; quiet++) {
        while (one.connection.bufferedAmount < 2_000_000) {
          assert.ok(count < 5_000, 'bufferedAmount does not rise');
          quiet = 0;
          send(sizes[count % sizes.length]);
          if (count % 5 === 0) await turns(1);
          if (count % 7 === 0) {
            one.connection.cork(() => {
              send(20_000);
              send(120);
            });
          }
          // Blocks given back too early would be the next ones that another connection fills.
          other.connection.send(patterned(30_000, 1));
        }
        await turns(1);
      }
      one.peer.resume();
      for (let i = 0; i < 60; i++) {
        send(sizes[i % sizes.length]);
        await turns(1);
      }
      await arrived(one);
      assert.deepEqual(received(one), expected);
    });

    test(`${over}: a large message is not touched by the small ones behind it`, async (t) => {
      const one = await link(t, tls);
      one.peer.pause();
      const large = patterned(9_000_000, 1);
      one.connection.send(large);
      for (let i = 0; i < 200; i++) one.connection.send(patterned(500, i));
      await turns(2);
      assert.ok(one.connection.bufferedAmount > 200 * 508, 'the kernel took everything: the test needs more');
      one.peer.resume();
      await arrived(one);
      assert.deepEqual(received(one), [
        print(large),
        ...Array.from({ length: 200 }, (_, i) => print(patterned(500, i))),
      ]);
    });

    test(`${over}: beyond maxBufferedAmount send() throws, and queues nothing`, async (t) => {
      const maxBufferedAmount = 1_000_000;
      const one = await link(t, tls, { maxBufferedAmount, highWaterMark: 0 });
      one.peer.pause();
      const { connection } = one;
      const accepted: string[] = [];
      const send = (data: Buffer | string): void => {
        connection.send(data);
        accepted.push(typeof data === 'string' ? print(Buffer.from(data), true) : print(data));
      };
      // What the kernel takes at last may take a turn to be told.
      for (let quiet = 0; quiet < 3; quiet++) {
        for (;;) {
          assert.ok(accepted.length < 1_000, 'nothing is refused');
          const before = connection.bufferedAmount;
          try {
            send(patterned(70_000, accepted.length));
            quiet = 0;
          } catch (error) {
            assert.equal(isFull(error), true);
            assert.equal(connection.bufferedAmount, before);
            assert.ok(before + 70_000 > maxBufferedAmount, 'there was room');
            break;
          }
        }
        await turns(1);
      }
      // The limit is one of bytes, not of characters: a string that just fits is taken, whatever it is made of.
      const room = maxBufferedAmount - connection.bufferedAmount;
      assert.throws(() => connection.send('ä'.repeat(Math.ceil((room + 1) / 2))), isFull);
      send('ä'.repeat(Math.floor(room / 2) - 20));
      assert.throws(() => connection.send('ä'.repeat(22)), isFull);
      assert.throws(() => connection.send(Buffer.alloc(44)), isFull);
      assert.ok(connection.bufferedAmount <= maxBufferedAmount, `${connection.bufferedAmount} bytes wait`);

      one.peer.resume();
      await soon(connection.flushed());
      send('there is room again');
      await arrived(one);
      assert.deepEqual(received(one), accepted);
    });

    test(`${over}: maxBufferedAmount is reached to the byte, frame headers included, and not exceeded`, async (t) => {
      const maxBufferedAmount = 300_000;
      const one = await link(t, tls, { maxBufferedAmount });
      const { connection } = one;
      await fill(one, 150_000);
      const room = maxBufferedAmount - connection.bufferedAmount;
      const longest = room - frameSize(room) + room;
      assert.equal(frameSize(longest), room);
      for (const length of [room, longest + 1]) {
        assert.throws(() => connection.send(patterned(length, 1)), isFull);
        assert.throws(() => connection.send('a'.repeat(length)), isFull);
      }
      connection.send('a'.repeat(longest));
      assert.equal(connection.bufferedAmount, maxBufferedAmount);
      assert.throws(() => connection.send(''), isFull);
    });

    test(`${over}: a refused fragment leaves the message it belongs to as it was (RFC 6455 §5.4)`, async (t) => {
      const one = await link(t, tls, { maxBufferedAmount: 1_000 });
      const { connection } = one;
      assert.throws(() => connection.send('x'.repeat(1_001), { fin: false }), isFull);
      connection.send(Buffer.from('a'), { fin: false });
      assert.throws(() => connection.send(Buffer.alloc(1_001)), isFull);
      connection.send(Buffer.from('b'));
      connection.send('c');
      await arrived(one);
      assert.deepEqual(
        one.peer.frames().map(({ firstByte, payload }) => [firstByte, payload.toString()]),
        [
          [0x02, 'a'],
          [0x80, 'b'],
          [0x81, 'c'],
        ],
      );
    });

    test(`${over}: send() returns false above highWaterMark, and onDrain comes once for it`, async (t) => {
      const highWaterMark = 400_000;
      const drains: number[] = [];
      const one = await link(t, tls, {
        highWaterMark,
        onDrain: (connection) => void drains.push(connection.bufferedAmount),
      });
      const { connection, peer } = one;
      for (let round = 1; round <= 2; round++) {
        peer.pause();
        let refusals = 0;
        for (let sends = 0; refusals < 5; sends++) {
          assert.ok(sends < 1_000, 'send() is always true');
          const isLow = connection.send(patterned(100_000, 1));
          assert.equal(isLow, connection.bufferedAmount <= highWaterMark);
          if (!isLow) refusals++;
          await turns(1);
        }
        await turns(5);
        assert.equal(drains.length, round - 1, 'onDrain came before anything had drained');
        peer.resume();
        await until(() => drains.length >= round);
        await soon(connection.flushed());
        await turns(2);
        assert.equal(drains.length, round);
      }
      for (const buffered of drains) assert.ok(buffered <= highWaterMark / 2, `${buffered} bytes were left`);
      // A send that nobody was told to wait for brings none.
      connection.send('small');
      await arrived(one);
      assert.equal(drains.length, 2);
    });

    test(`${over}: flushed() resolves when what was sent before it has left, and not before`, async (t) => {
      const one = await link(t, tls);
      const { connection, peer } = one;
      const log: string[] = [];
      await soon(connection.flushed());

      const before = (await fill(one, 1_500_000)) * frameSize(FILLING.length);
      let handedOver = 0;
      const first = connection.flushed().then(() => {
        log.push('first');
        handedOver = connection.stats().bytesSent;
      });
      let total = before;
      for (let i = 0; i < 30; i++) {
        connection.send(patterned(100_000, 2));
        total += frameSize(100_000);
      }
      const second = connection.flushed().then(() => {
        log.push('second');
        assert.equal(connection.bufferedAmount, 0);
      });
      await turns(10);
      assert.deepEqual(log, []);
      peer.resume();
      await soon(first);
      assert.ok(handedOver >= before, `${handedOver} of ${before} bytes had left`);
      await soon(second);
      assert.deepEqual(log, ['first', 'second']);
      await soon(peer.receives(total));
      assert.equal(peer.receivedLength, total);
    });

    test(`${over}: flushed() waits for sends that are joined or corked`, async (t) => {
      const one = await link(t, tls);
      const { connection } = one;
      connection.send('leaves at once');
      connection.send('is joined');
      assert.equal(connection.bufferedAmount >= frameSize(9), true);
      const left = await soon(connection.flushed().then(() => connection.bufferedAmount));
      assert.equal(left, 0);

      await turns(1);
      let leftOfCork: Promise<number> | undefined;
      connection.cork(() => {
        connection.send('corked');
        leftOfCork = connection.flushed().then(() => connection.bufferedAmount);
        assert.equal(connection.bufferedAmount, frameSize(6));
      });
      assert.equal(await soon(leftOfCork!), 0);
      await arrived(one);
      assert.deepEqual(received(one), ['text leaves at once', 'text is joined', 'text corked']);
    });

    for (const [how, end] of [
      ['terminate()', ({ connection }: Link) => connection.terminate()],
      ['RST', ({ peer }: Link) => peer.reset()],
    ] as const) {
      test(`${over}: flushed() rejects, and onDrain stays away, when ${how} takes what was buffered`, async (t) => {
        const drains: number[] = [];
        const one = await link(t, tls, {
          onDrain: (connection) => void drains.push(connection.bufferedAmount),
        });
        const { connection } = one;
        await fill(one, 2_000_000);
        drains.length = 0;
        const sent = connection.stats().bytesSent;
        let outcome: unknown = 'pending';
        connection.flushed().then(
          () => {
            outcome = 'resolved';
          },
          (error: unknown) => {
            outcome = error;
          },
        );
        end(one);
        await ended(connection);
        await turns(2);
        assert.ok(outcome instanceof ConnectionLostError, `${outcome}`);
        assert.deepEqual(drains, []);
        assert.equal(connection.bufferedAmount, 0);
        assert.equal(connection.stats().bytesSent, sent, 'lost bytes are not sent ones');
      });
    }

    test(`${over}: bufferedAmount and bytesSent add up to what was sent, at any time, and to 0 in the end`, async (t) => {
      const one = await link(t, tls);
      const { connection, peer } = one;
      let total = 0;
      const send = (size: number): void => {
        connection.send(patterned(size, size));
        total += frameSize(size);
        assert.equal(connection.bufferedAmount + connection.stats().bytesSent, total);
      };
      for (const size of [0, 125, 126, 65_521, 65_522, 65_535, 65_536, 200_000]) send(size);
      total += (await fill(one, 1_000_000)) * frameSize(FILLING.length);
      for (let i = 0; i < 10; i++) {
        const before = connection.bufferedAmount;
        await turns(1);
        const now = connection.bufferedAmount;
        assert.ok(now > 0 && now <= before, `${before} bytes waited, now ${now}`);
        assert.equal(connection.bufferedAmount + connection.stats().bytesSent, total);
      }
      connection.cork(() => {
        send(10);
        send(20);
      });
      peer.resume();
      while (connection.bufferedAmount > 0) {
        assert.equal(connection.bufferedAmount + connection.stats().bytesSent, total);
        await turns(1);
      }
      await soon(peer.receives(total));
      assert.equal(peer.receivedLength, total);
    });
  }
});
