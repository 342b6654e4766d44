/**
 * Slabs and send blocks are few and shared. Every connection gives back what it leased, however it ends; when
 * there are none, everything still works.
 */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { BlockPool } from '../../src/codec/block-pool.js';
import { sharedCodec } from '../../src/codec/codec.js';
import { SEND_BLOCK_SIZE } from '../../src/codec/layout.js';
import { encodeFrame } from '../reference/frame.js';
import { turns } from '../server/scripted-server.js';
import {
  binary,
  contentOf,
  ended,
  FILLING,
  fill,
  hasRead,
  type Link,
  link,
  links,
  patterned,
  print,
  soon,
  TRANSPORTS,
  text,
  until,
} from './link.js';

const slabs = (): BlockPool => sharedCodec().slabs;
const sendBlocks = (): BlockPool => sharedCodec().sendBlocks;

/** Blocks to be had: slabs, send blocks. */
const available = (): [number, number] => [slabs().available, sendBlocks().available];

/** Takes all blocks of a pool but `left`, until the test ends. */
function exhaust(t: TestContext, pool: BlockPool, left = 0): void {
  const taken: number[] = [];
  while (pool.available > left) taken.push(pool.take());
  t.after(() => {
    for (const block of taken) pool.give(block);
  });
}

describe('no block is left with a connection that has ended', () => {
  /** What the server's last bytes leave unfinished in the client. */
  const beginnings: [string, Buffer][] = [
    ['between frames', text('whole')],
    ['in a header', Buffer.from('82', 'hex')],
    ['in a small frame', binary(patterned(1_000, 1)).subarray(0, 500)],
    ['in a frame of 20 000 bytes', binary(patterned(20_000, 1)).subarray(0, 15_000)],
    [
      'in a frame of 60 000 bytes, behind another',
      Buffer.concat([text('a'), binary(patterned(60_000, 1))]).subarray(0, 40_000),
    ],
    ['in a large binary frame', binary(patterned(200_000, 1)).subarray(0, 100_000)],
    ['in a large text frame', text('a'.repeat(200_000)).subarray(0, 100_000)],
    [
      'in a fragmented message, and in a frame of it',
      Buffer.concat([
        encodeFrame({ opcode: 2, fin: false, payload: patterned(5_000, 1) }),
        encodeFrame({ opcode: 0, payload: patterned(5_000, 2) }).subarray(0, 3_000),
      ]),
    ],
  ];
  const ends: [string, (link: Link) => void | Promise<void>][] = [
    [
      'close()',
      async ({ connection, peer }) => {
        void connection.close();
        // The server does not answer in the middle of a frame: it closes TCP.
        await soon(peer.receives(8));
        peer.end();
      },
    ],
    ['terminate()', ({ connection }) => connection.terminate()],
    ['FIN', ({ peer }) => peer.end()],
    ['RST', ({ peer }) => peer.reset()],
    [
      'terminate() in a pause',
      ({ connection }) => {
        connection.pause();
        connection.terminate();
      },
    ],
    [
      'terminate() with a full socket',
      async (one) => {
        await fill(one, 1_000_000);
        one.connection.terminate();
      },
    ],
    [
      'RST with a full socket',
      async (one) => {
        await fill(one, 1_000_000);
        one.peer.reset();
      },
    ],
  ];

  for (const { over, tls } of TRANSPORTS) {
    for (const [where, bytes] of beginnings) {
      test(`${over}: ended ${where}: by ${ends.map(([how]) => how).join(', ')}`, async (t) => {
        const before = available();
        const all = await links(
          t,
          tls,
          ends.map(() => ({ onMessage: () => {} })),
        );
        for (const one of all) {
          one.connection.send('something to remember');
          await one.peer.write(bytes);
          await hasRead(one, bytes.length);
        }
        for (const [i, [, end]] of ends.entries()) await end(all[i]);
        for (const { connection } of all) await ended(connection);
        await turns(2);
        assert.deepEqual(available(), before);
        assert.deepEqual(
          all.map(({ connection }) => connection.bufferedAmount),
          all.map(() => 0),
        );
      });
    }

    test(`${over}: ended by a clean close of either side, with messages waiting in a pause or not`, async (t) => {
      const before = available();
      const wire = Buffer.concat([text('a'), text('b'), binary(patterned(1_000, 1)).subarray(0, 500)]);
      for (const pausing of [false, true]) {
        const one = await link(t, tls, {
          onMessage: (_message, connection) => {
            if (pausing) connection.pause();
          },
        });
        await one.peer.write(wire);
        await hasRead(one, wire.length);
        one.connection.onMessage = () => {};
        one.connection.resume();
        await turns(2);
        await one.peer.write(binary(patterned(1_000, 1)).subarray(500), Buffer.from('880203e8', 'hex'));
        await soon(one.peer.receives(8));
        one.peer.end();
        const { wasClean } = await ended(one.connection);
        assert.equal(wasClean, true);
      }
      const one = await link(t, tls, { onMessage: () => {} });
      void one.connection.close(1000);
      await soon(one.peer.receives(8));
      await one.peer.write(Buffer.from('880203e8', 'hex'));
      one.peer.end();
      assert.equal((await ended(one.connection)).wasClean, true);
      await turns(2);
      assert.deepEqual(available(), before);
    });

    for (const [how, wrong] of [
      ['a reserved bit (§5.2)', Buffer.from('c20161', 'hex')],
      ['text that is not UTF-8, at once (§8.1)', Buffer.from('817effff61c0', 'hex')],
      ['a message over maxMessageSize', Buffer.from('827f0000000000200000', 'hex')],
      [
        'a large text frame that turns out wrong',
        Buffer.concat([text('a'.repeat(200_000)).subarray(0, 90_000), Buffer.from([0xff])]),
      ],
    ] as const) {
      test(`${over}: failed by ${how}, in one read and behind a tail`, async (t) => {
        const before = available();
        const all = await links(
          t,
          tls,
          [0, 1].map(() => ({ maxMessageSize: 1_000_000, onMessage: () => {} })),
        );
        for (const [i, one] of all.entries()) {
          const prefix = binary(patterned(3_000, 1));
          const wire = Buffer.concat([prefix, wrong]);
          if (i === 0) {
            await one.peer.write(wire);
          } else {
            await one.peer.write(wire.subarray(0, 2_000));
            await hasRead(one, 2_000);
            await one.peer.write(wire.subarray(2_000));
          }
          await soon(one.peer.ended);
          one.peer.end();
          const { error } = await ended(one.connection);
          assert.equal(error?.name, 'ProtocolError');
        }
        await turns(2);
        assert.deepEqual(available(), before);
      });
    }

    test(`${over}: an open connection that has sent, received and drained holds none`, async (t) => {
      const before = available();
      let drained = 0;
      const one = await link(t, tls, { onMessage: () => {}, onDrain: () => drained++ });
      await fill(one, 1_500_000);
      assert.notDeepEqual(available(), before);
      drained = 0;
      one.peer.resume();
      await soon(one.connection.flushed());
      const wire = binary(patterned(4_000, 1));
      await one.peer.write(wire.subarray(0, 3_000));
      await hasRead(one, 3_000);
      assert.deepEqual(available(), [before[0] - 1, before[1]]);
      await one.peer.write(wire.subarray(3_000));
      await hasRead(one, wire.length);
      one.connection.send('one more');
      one.connection.send('and joined');
      await turns(2);
      assert.deepEqual(available(), before);
      assert.equal(drained, 1);
    });
  }
});

describe('when all slabs are leased', () => {
  for (const { over, tls } of TRANSPORTS) {
    for (const left of [0, 1]) {
      test(`${over}: ${left} left: tails of several connections lie in Buffers of their own`, async (t) => {
        const inboxes: string[][] = [[], [], []];
        const all = await links(
          t,
          tls,
          inboxes.map((inbox) => ({ onMessage: (message) => void inbox.push(contentOf(message)) })),
        );
        exhaust(t, slabs(), left);
        const fish = '🐟'.repeat(5_000);
        const streams = all.map((_, i) =>
          Buffer.concat([
            binary(patterned(200 + i, i)),
            text(fish),
            binary(patterned(64_000, i + 10)),
            binary(patterned(4_000, i + 30)),
            encodeFrame({ opcode: 1, fin: false, payload: Buffer.from(fish).subarray(0, 7_001) }),
            encodeFrame({ opcode: 0, payload: Buffer.from(fish).subarray(7_001) }),
            binary(patterned(150_000, i + 20)),
            text('end'),
          ]),
        );
        const longest = Math.max(...streams.map(({ length }) => length));
        for (let at = 0; at < longest; at += 3_456) {
          for (const [i, one] of all.entries()) {
            const piece = streams[i].subarray(at, at + 3_456);
            await one.peer.write(piece);
            await hasRead(one, Math.min(at + 3_456, streams[i].length));
          }
        }
        assert.deepEqual(
          inboxes,
          all.map((_, i) => [
            print(patterned(200 + i, i)),
            print(Buffer.from(fish), true),
            print(patterned(64_000, i + 10)),
            print(patterned(4_000, i + 30)),
            print(Buffer.from(fish), true),
            print(patterned(150_000, i + 20)),
            'text end',
          ]),
        );
        assert.equal(slabs().available, left);
      });
    }

    test(`${over}: a tail that had no slab gets one when there is one again`, async (t) => {
      const inbox: string[] = [];
      const one = await link(t, tls, { onMessage: (message) => void inbox.push(contentOf(message)) });
      const taken: number[] = [];
      while (slabs().available > 0) taken.push(slabs().take());
      t.after(() => {
        for (const slab of taken) slabs().give(slab);
      });
      const payload = patterned(4_000, 1);
      const wire = binary(payload);
      let read = 0;
      for (const to of [1_000, 2_000, 3_000, wire.length]) {
        await one.peer.write(wire.subarray(read, to));
        await hasRead(one, to);
        read = to;
        if (to === 1_000) slabs().give(taken.pop()!);
        if (to === 2_000) assert.equal(slabs().available, 0);
      }
      assert.deepEqual(inbox, [print(payload)]);
      assert.equal(slabs().available, 1);
    });
  }
});

describe('when all send blocks are leased', () => {
  for (const { over, tls } of TRANSPORTS) {
    for (const left of [0, 1, 2]) {
      test(`${over}: ${left} left: what several connections send by turns arrives`, async (t) => {
        const all = await links(t, tls, [{}, {}, {}]);
        exhaust(t, sendBlocks(), left);
        const expected: string[][] = all.map(() => []);
        const send = (i: number, payload: Buffer | string): void => {
          all[i].connection.send(payload);
          expected[i].push(typeof payload === 'string' ? print(Buffer.from(payload), true) : print(payload));
        };
        const sizes = [0, 1, 5_000, 30_000, SEND_BLOCK_SIZE - 15, SEND_BLOCK_SIZE, 200_000];
        // Several sends a tick, so that frames are joined; corked and not; connections in turn.
        for (const [round, size] of sizes.entries()) {
          for (const i of all.keys()) {
            send(i, patterned(size, round * 10 + i));
            all[i].connection.cork(() => {
              send(i, `${'ä'.repeat(round * 5_000)} ${i}`);
              send(i, patterned(100, i));
            });
          }
          if (round % 2 === 0) await turns(1);
        }
        for (const [i, one] of all.entries()) {
          const count = await fill(one, 500_000);
          expected[i].push(...Array(count).fill(print(FILLING)));
        }
        assert.equal(sendBlocks().available, 0);
        for (const one of all) one.peer.resume();
        for (const { connection } of all) await soon(connection.flushed());
        await until(() =>
          all.every(({ peer, connection }) => peer.receivedLength === connection.stats().bytesSent),
        );
        assert.deepEqual(
          all.map(({ peer }) =>
            peer.frames().map(({ firstByte, payload }) => print(payload, firstByte === 0x81)),
          ),
          expected,
        );
        assert.equal(sendBlocks().available, left);
      });
    }
  }

  test('over tcp: one peer that does not read leaves blocks for the others', async (t) => {
    const all = await links(t, false, [{}, {}]);
    const before = sendBlocks().available;
    await fill(all[0], 1_500_000);
    // A megabyte and a half waits, but in a few blocks only; the rest lies in Buffers of its own.
    const leased = before - sendBlocks().available;
    assert.ok(leased <= 4, `${leased} blocks`);
    all[1].connection.send('goes through');
    await soon(all[1].peer.receives(18));
    assert.deepEqual(
      all[1].peer.frames().map(({ payload }) => payload.toString()),
      ['goes through'],
    );
  });
});
