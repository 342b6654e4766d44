/** What the application sees of a connection that receives: messages, their order and time, flow, and counters. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connect } from '../../src/connect.js';
import { type Connection, ReadyState } from '../../src/connection.js';
import { pseudoRandomBytes } from '../arbitraries/payload.js';
import { binary, ended, hasRead, link, links, TRANSPORTS, text, until } from '../leases/link.js';
import { encodeFrame } from '../reference/frame.js';
import { echoServer } from '../server/echo-server.js';
import { turns } from '../server/scripted-server.js';
import { GUARD } from './wire.js';

const ping = encodeFrame({ opcode: 9 });
const pong = encodeFrame({ opcode: 10 });
const begin = (payload: string): Buffer =>
  encodeFrame({ opcode: 1, fin: false, payload: Buffer.from(payload) });
const end = (payload: string): Buffer => encodeFrame({ opcode: 0, payload: Buffer.from(payload) });

for (const { over, tls } of TRANSPORTS) {
  describe(`messages over ${over}`, GUARD, () => {
    test('RFC 6455 §5.6: arrive with their type, whole and in order, with the connection they came by', async (t) => {
      const seen: [isText: boolean, content: string][] = [];
      const ways = new Set<Connection>();
      const made = await link(t, tls, {
        onMessage(message, connection) {
          ways.add(connection);
          seen.push([message.isText, message.text()]);
        },
      });
      const large = 'é'.repeat(100_000);
      await made.peer.write(
        text('a'),
        binary(Buffer.from('b')),
        Buffer.concat([begin('c'), ping, end('d')]),
        text(large),
      );
      await until(() => seen.length === 4);
      assert.deepEqual(seen, [
        [true, 'a'],
        [false, 'b'],
        [true, 'cd'],
        [true, large],
      ]);
      assert.deepEqual([...ways], [made.connection]);
    });

    test('isLastInRead is true for the last message of each segment, whatever stands behind it', async (t) => {
      const seen: string[] = [];
      const made = await link(t, tls, {
        onMessage: (message) => void seen.push(message.text() + (message.isLastInRead ? '!' : '')),
      });
      const segments = [
        Buffer.concat([text('a'), text('b')]),
        Buffer.concat([text('c'), text('d'), ping, pong]),
        Buffer.concat([text('e'), begin('f')]),
        Buffer.concat([end('g'), text('h'), Buffer.from('8101', 'hex')]),
        Buffer.from('i'),
        Buffer.concat([ping, begin('')]),
        Buffer.concat([end('j')]),
      ];
      let length = 0;
      for (const segment of segments) {
        await made.peer.write(segment);
        length += segment.length;
        await hasRead(made, length);
      }
      assert.deepEqual(seen, ['a', 'b!', 'c', 'd!', 'e!', 'fg', 'h!', 'i!', 'j!']);
    });

    test('receivedAt is a time between the write and the callback, and never goes back', async (t) => {
      const times: number[] = [];
      const delays: number[] = [];
      const made = await link(t, tls, {
        onMessage(message) {
          times.push(message.receivedAt);
          delays.push(performance.now() - message.receivedAt);
        },
      });
      const start = performance.now();
      for (const segment of [
        text('a'),
        Buffer.concat([text('b'), begin('c'), end('d')]),
        binary(pseudoRandomBytes(200_000, 1)),
        text('e'),
      ]) {
        await made.peer.write(segment);
        await turns(2);
      }
      await until(() => times.length === 5);
      assert.ok(times[0] >= start);
      assert.ok(delays.every((delay) => delay >= 0));
      assert.ok(
        times.every((time, i) => i === 0 || time >= times[i - 1]),
        `${times}`,
      );
      assert.equal(times[1], times[2], 'messages of one read came at one time');
    });

    test('pause() stops delivery and reading; resume() brings everything, in order', async (t) => {
      const seen: string[] = [];
      const made = await link(t, tls, { onMessage: (message) => void seen.push(message.text()) });
      const { connection, peer } = made;
      assert.equal(connection.isPaused, false);
      connection.pause();
      assert.equal(connection.isPaused, true);
      const expected = Array.from({ length: 100 }, (_, i) => `${i} ${'x'.repeat(1_000)}`);
      await peer.write(...expected.map(text));
      await turns(10);
      assert.deepEqual(seen, []);
      connection.resume();
      assert.equal(connection.isPaused, false);
      assert.deepEqual(seen, [], 'nothing is delivered from within resume()');
      await until(() => seen.length === expected.length);
      assert.deepEqual(seen, expected);
    });

    test('pause() in a callback keeps the rest of the read; each resume() goes on from there', async (t) => {
      const seen: string[] = [];
      const made = await link(t, tls, {
        onMessage(message, connection) {
          seen.push(message.text());
          connection.pause();
        },
      });
      await made.peer.write(Buffer.concat(['a', 'b', 'c'].map(text)), text('d'));
      for (const count of [1, 2, 3, 4]) {
        await until(() => seen.length === count);
        await turns(3);
        assert.equal(seen.length, count);
        made.connection.resume();
      }
      assert.deepEqual(seen, ['a', 'b', 'c', 'd']);
    });

    test('a slow reader slows the server down: what it sends stays in the kernel, and nothing is lost', async (t) => {
      let bytes = 0;
      const made = await link(t, tls, {
        onMessage(message) {
          bytes += message.byteLength;
        },
      });
      const { connection, peer } = made;
      connection.pause();
      const before = connection.stats().bytesReceived;
      const message = binary(Buffer.alloc(1_000_000));
      const count = 20;
      for (let i = 0; i < count; i++) peer.socket.write(message);
      await turns(20);
      assert.ok(peer.socket.writableLength > 0, 'the server could write everything');
      // What was on its way when pause() was called still comes: over TLS two reads.
      assert.ok(connection.stats().bytesReceived - before <= 2 * 65_536);
      connection.resume();
      await until(() => bytes === count * 1_000_000);
    });
  });
}

describe('messages that nobody listens for yet', GUARD, () => {
  test('wait, in order, until onMessage is set', async (t) => {
    const { connection, peer } = await link(t, false);
    const expected = Array.from({ length: 50 }, (_, i) => `message ${i}`);
    await peer.write(...expected.map(text));
    await turns(5);
    const seen: string[] = [];
    connection.onMessage = (message) => void seen.push(message.text());
    assert.deepEqual(seen, []);
    await until(() => seen.length === 50);
    assert.deepEqual(seen, expected);
  });

  test('wait again when onMessage is taken away', async (t) => {
    const seen: string[] = [];
    const { connection, peer } = await link(t, false, {
      onMessage: (message) => void seen.push(message.text()),
    });
    await peer.write(text('a'));
    await until(() => seen.length === 1);
    connection.onMessage = undefined;
    assert.equal(connection.onMessage, undefined);
    await peer.write(text('b'), text('c'));
    await turns(10);
    assert.deepEqual(seen, ['a']);
    const listener = (message: { text(): string }): void => void seen.push(`second ${message.text()}`);
    connection.onMessage = listener;
    assert.equal(connection.onMessage, listener);
    await until(() => seen.length === 3);
    assert.deepEqual(seen, ['a', 'second b', 'second c']);
  });
});

describe('stats()', GUARD, () => {
  test('counts bytes behind the handshake, pings and pongs, and tells when something last came and went', async (t) => {
    const { connection, peer } = await link(t, false, { onMessage: () => {} });
    const before = connection.stats();
    assert.deepEqual(
      [
        before.bytesReceived,
        before.bytesSent,
        before.pingsReceived,
        before.pongsReceived,
        before.pongsSkipped,
      ],
      [0, 0, 0, 0, 0],
    );
    await peer.write(Buffer.concat([text('four'), ping, pong, pong]));
    await until(() => connection.stats().bytesReceived === 12);
    connection.send('x');
    await connection.flushed();
    const after = connection.stats();
    assert.deepEqual(
      [after.bytesReceived, after.bytesSent, after.pingsReceived, after.pongsReceived, after.pongsSkipped],
      [12, 6 + 7, 1, 2, 0],
    );
    assert.ok(after.lastReceivedAt > before.lastReceivedAt);
    assert.ok(after.lastSentAt >= after.lastReceivedAt && after.lastSentAt <= performance.now());
  });

  test('bytesReceived counts what came with the 101', async (t) => {
    const [{ connection }] = await links(
      t,
      false,
      [{ onMessage: () => {} }],
      Buffer.concat([text('a'), text('b')]),
    );
    assert.equal(connection.stats().bytesReceived, 6);
  });
});

describe('a connection', GUARD, () => {
  test('has an id of its own and tells where it leads', async (t) => {
    const [one, other] = await links(t, false, [{}, {}]);
    assert.notEqual(one.connection.id, other.connection.id);
    for (const { connection, server } of [one, other]) {
      assert.equal(connection.url, server.url);
      assert.equal(connection.remoteAddress, '127.0.0.1');
      assert.equal(connection.remotePort, server.port);
      assert.equal(connection.readyState, ReadyState.open);
    }
  });

  test('its states are those of the WebSocket API', () => {
    assert.deepEqual(ReadyState, { connecting: 0, open: 1, closing: 2, closed: 3 });
  });

  for (const { over, tls } of TRANSPORTS) {
    test(`gets from ws what it sent it, text and binary of every size class, over ${over}`, async (t) => {
      const server = await echoServer({ tls });
      t.after(() => server.close());
      const sizes = [0, 1, 125, 126, 127, 65_471, 65_472, 65_535, 65_536, 1_000_000];
      const expected = sizes.flatMap((size) => [
        { isText: true, bytes: Buffer.from('é'.repeat(size >> 1).padEnd(size - (size >> 1), 'x')) },
        { isText: false, bytes: pseudoRandomBytes(size, size) },
      ]);
      const seen: { isText: boolean; bytes: Buffer }[] = [];
      const connection = await connect(server.url, {
        tls: server.tls,
        onMessage: (message) => void seen.push({ isText: message.isText, bytes: message.copy() }),
      });
      t.after(() => connection.terminate());
      for (const { isText, bytes } of expected) connection.send(bytes, { binary: !isText });
      await until(() => seen.length === expected.length);
      for (const [i, { isText, bytes }] of expected.entries()) {
        assert.equal(seen[i].isText, isText);
        assert.ok(seen[i].bytes.equals(bytes), `message ${i}`);
      }
      assert.deepEqual(await connection.close(), { code: 1000, reason: '', wasClean: true });
      assert.equal((await ended(connection)).wasClean, true);
    });
  }
});
