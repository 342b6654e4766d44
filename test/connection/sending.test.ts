/** `send()` and what surrounds it: how sends of one tick leave, what may be sent, and what becomes of a backlog. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { sharedCodec } from '../../src/codec/codec.js';
import { type Connection, ReadyState } from '../../src/connection.js';
import type { Payload } from '../../src/protocol/payload.js';
import { ended, link, TRANSPORTS, text, until } from '../leases/link.js';
import { turns } from '../server/scripted-server.js';
import { frameLines, GUARD, receivedLines, sentFrames, watchWrites } from './wire.js';

/** One line a write. */
const written = (writes: readonly Buffer[]): string[] => writes.map((write) => frameLines(write).join(', '));

/**
 * Sends, `size` bytes at a time, each message different from the one before, until `send()` says false and the
 * kernel, given time, takes no more.
 */
async function fill(connection: Connection, size = 60_000): Promise<Buffer[]> {
  const sent: Buffer[] = [];
  for (let goOn = true; goOn; ) {
    const message = Buffer.alloc(size, sent.length % 251);
    message.writeUInt32BE(sent.length);
    sent.push(message);
    goOn = connection.send(message);
    assert.ok(sent.length < 1_000, 'the kernel takes everything: the test shows nothing');
    if (goOn) continue;
    const { bufferedAmount } = connection;
    await turns(10);
    // Over TLS what the kernel has taken is known later.
    goOn = connection.bufferedAmount < bufferedAmount;
  }
  return sent;
}

/** That these messages came, whole and in order. */
function assertReceived(bytes: Buffer, messages: readonly Buffer[]): void {
  const frames = sentFrames(bytes);
  assert.equal(frames.length, messages.length);
  for (const [i, { payload }] of frames.entries()) assert.ok(payload.equals(messages[i]), `message ${i}`);
}

for (const { over, tls } of TRANSPORTS) {
  describe(`sends of one tick, over ${over}`, GUARD, () => {
    test('the first leaves at once, the others in one write when the tick’s microtasks are done', async (t) => {
      const { connection, server, peer } = await link(t, tls);
      const writes = watchWrites(t, server.port);
      for (const message of ['a', 'b', 'c', 'd']) connection.send(message);
      assert.deepEqual(written(writes), ['text a']);
      await turns(1);
      assert.deepEqual(written(writes), ['text a', 'text b, text c, text d']);
      assert.deepEqual(await receivedLines(peer, 4), ['text a', 'text b', 'text c', 'text d']);
    });

    test('sends from promise continuations and microtasks of the same tick are joined', async (t) => {
      const { connection, server } = await link(t, tls);
      const writes = watchWrites(t, server.port);
      await new Promise<void>((resolve) => {
        setImmediate(() => {
          const late = async (name: string): Promise<void> => {
            for (let i = 0; i < 3; i++) {
              await null;
              connection.send(`${name}${i}`);
            }
          };
          void late('x');
          connection.send('first');
          void late('y');
          queueMicrotask(() => connection.send('z'));
          // The event loop has not gone on when they leave.
          setImmediate(resolve);
        });
      });
      assert.equal(writes.length, 2);
      assert.deepEqual(
        frameLines(writes[1]).sort(),
        ['x0', 'x1', 'x2', 'y0', 'y1', 'y2', 'z'].map((m) => `text ${m}`),
      );
    });

    test('the first send of the next tick leaves at once again', async (t) => {
      const { connection, server } = await link(t, tls);
      const writes = watchWrites(t, server.port);
      for (let tick = 0; tick < 3; tick++) {
        connection.send(`${tick}a`);
        connection.send(`${tick}b`);
        await turns(1);
      }
      assert.deepEqual(written(writes), ['text 0a', 'text 0b', 'text 1a', 'text 1b', 'text 2a', 'text 2b']);
    });

    test('answers to the messages of one read leave in two writes', async (t) => {
      const { connection, server, peer } = await link(t, tls, {
        onMessage: (message, { send }) => void send.call(connection, message.text()),
      });
      const writes = watchWrites(t, server.port);
      const messages = Array.from({ length: 50 }, (_, i) => `m${i}`);
      await peer.write(Buffer.concat(messages.map(text)));
      await until(() => writes.length > 1);
      await turns(2);
      assert.equal(writes.length, 2);
      assert.deepEqual(
        frameLines(Buffer.concat(writes)),
        messages.map((message) => `text ${message}`),
      );
    });

    test('pings and pongs are joined as messages are', async (t) => {
      const { connection, server } = await link(t, tls);
      const writes = watchWrites(t, server.port);
      connection.send('a');
      connection.ping('p').catch(() => {});
      connection.send('b');
      await turns(1);
      assert.deepEqual(written(writes), ['text a', 'ping p, text b']);
    });

    test('more than a block leaves block by block, in order', async (t) => {
      const { connection, server, peer } = await link(t, tls);
      const writes = watchWrites(t, server.port);
      const messages = Array.from({ length: 100 }, (_, i) => Buffer.alloc(3_000, i));
      for (const message of messages) connection.send(message);
      await peer.receives(100 * 3_008);
      assertReceived(peer.received, messages);
      assert.ok(writes.length < 10, `${writes.length} writes`);
    });
  });
}

describe('cork()', GUARD, () => {
  test('joins what is sent inside, the first send too, into one write when the body returns', async (t) => {
    const { connection, server } = await link(t, false);
    const writes = watchWrites(t, server.port);
    connection.cork(() => {
      connection.send('a');
      connection.ping('p').catch(() => {});
      connection.send('b');
      assert.equal(writes.length, 0);
      assert.equal(connection.bufferedAmount, 3 * 7);
    });
    assert.deepEqual(written(writes), ['text a, ping p, text b']);
    assert.equal(connection.bufferedAmount, 0);
    await turns(2);
    assert.equal(writes.length, 1);
  });

  test('nests: the outermost one writes', async (t) => {
    const { connection, server } = await link(t, false);
    const writes = watchWrites(t, server.port);
    connection.cork(() => {
      connection.send('a');
      connection.cork(() => connection.send('b'));
      connection.cork(() => {});
      assert.equal(writes.length, 0);
      connection.send('c');
    });
    assert.deepEqual(written(writes), ['text a, text b, text c']);
  });

  test('writes what was sent even if the body throws, at any depth, and lets the exception through', async (t) => {
    const { connection, server } = await link(t, false);
    const writes = watchWrites(t, server.port);
    const thrown = new Error('thrown by the body');
    const fail = (): never => {
      connection.send('inner');
      throw thrown;
    };
    assert.throws(
      () => connection.cork(fail),
      (error) => error === thrown,
    );
    assert.deepEqual(written(writes), ['text inner']);
    assert.throws(
      () =>
        connection.cork(() => {
          connection.send('outer');
          connection.cork(fail);
        }),
      (error) => error === thrown,
    );
    assert.deepEqual(written(writes.slice(1)), ['text outer, text inner']);
    connection.send('not corked any more');
    assert.equal(writes.length, 2, 'joined: not the first of its tick');
    await turns(1);
    assert.deepEqual(written(writes.slice(2)), ['text not corked any more']);
  });

  test('writes what the tick had joined before, too', async (t) => {
    const { connection, server } = await link(t, false);
    const writes = watchWrites(t, server.port);
    connection.send('a');
    connection.send('b');
    connection.cork(() => connection.send('c'));
    assert.deepEqual(written(writes), ['text a', 'text b, text c']);
  });

  test('with nothing sent inside writes nothing', async (t) => {
    const { connection, server } = await link(t, false);
    const writes = watchWrites(t, server.port);
    connection.cork(() => {});
    await turns(1);
    assert.equal(writes.length, 0);
  });

  test('writes once for every 64 KiB', async (t) => {
    const { connection, server, peer } = await link(t, false);
    const writes = watchWrites(t, server.port);
    const messages = Array.from({ length: 20 }, (_, i) => Buffer.alloc(10_000, i));
    connection.cork(() => {
      for (const message of messages) connection.send(message);
    });
    assert.deepEqual(
      writes.map(({ length }) => Math.floor(length / 10_000)),
      [6, 6, 6, 2],
    );
    await peer.receives(20 * 10_008);
    assertReceived(peer.received, messages);
  });
});

describe('an idle connection holds no memory to send from', GUARD, () => {
  const available = (): number => sharedCodec().sendBlocks.available;

  test('after send() and ping()', async (t) => {
    const { connection } = await link(t, false);
    const before = available();
    connection.send('a');
    connection.send(Buffer.alloc(200_000));
    connection.ping().catch(() => {});
    await connection.flushed();
    await turns(2);
    assert.equal(available(), before);
  });

  test('after cork()', async (t) => {
    const { connection } = await link(t, false);
    const before = available();
    connection.cork(() => connection.send('a'));
    await turns(2);
    assert.equal(available(), before);
  });
});

describe('what may be sent', GUARD, () => {
  const bytes = [0x61, 0x62, 0x63, 0x64];
  const { buffer } = Uint8Array.from([0xff, 0xff, ...bytes, 0xff, 0xff]);
  const shared = new SharedArrayBuffer(4);
  new Uint8Array(shared).set(bytes);
  const payloads: Record<string, [payload: Payload, firstByte: number]> = {
    'a string': ['abcd', 0x81],
    'a Buffer': [Buffer.from(bytes), 0x82],
    'a Uint8Array': [Uint8Array.from(bytes), 0x82],
    'a part of a buffer, as Uint8Array': [new Uint8Array(buffer, 2, 4), 0x82],
    'a part of a buffer, as Uint16Array': [new Uint16Array(buffer, 2, 2), 0x82],
    'a part of a buffer, as DataView': [new DataView(buffer, 2, 4), 0x82],
    'an Int8Array': [Int8Array.from(bytes), 0x82],
    'an ArrayBuffer': [Uint8Array.from(bytes).buffer, 0x82],
    'a SharedArrayBuffer': [shared, 0x82],
    'a view of a SharedArrayBuffer': [new Uint8Array(shared), 0x82],
  };
  for (const [title, [payload, firstByte]] of Object.entries(payloads)) {
    test(`RFC 6455 §5.6: ${title}, as ${firstByte === 0x81 ? 'text' : 'binary'}, or as the option binary says`, async (t) => {
      const { connection, peer } = await link(t, false);
      connection.send(payload);
      connection.send(payload, { binary: true });
      connection.send(payload, { binary: false });
      await peer.receives(3 * 10);
      const frames = peer.frames();
      assert.deepEqual(
        frames.map((frame) => frame.firstByte),
        [firstByte, 0x82, 0x81],
      );
      for (const frame of frames) assert.equal(frame.payload.toString(), 'abcd');
    });
  }

  test('RFC 6455 §5.6: the empty message, in every form', async (t) => {
    const { connection, peer } = await link(t, false);
    for (const payload of ['', Buffer.alloc(0), new ArrayBuffer(0)]) connection.send(payload);
    assert.deepEqual(await receivedLines(peer, 3), ['text', 'binary', 'binary']);
  });

  test('RFC 6455 §8.1: bytes that are not UTF-8 are refused as text; nothing is sent', async (t) => {
    const { connection, peer } = await link(t, false);
    for (const wrong of ['ff', 'c3', 'c0af', 'eda080', 'f4908080', '61e282']) {
      const payload = Buffer.from(wrong, 'hex');
      assert.throws(() => connection.send(payload, { binary: false }), {
        name: 'UsageError',
        code: 'ERR_INVALID_PAYLOAD',
      });
    }
    connection.send(Buffer.from('€'), { binary: false });
    assert.deepEqual(await receivedLines(peer, 1), ['text €']);
  });

  test('anything else is refused; nothing is sent', async (t) => {
    const { connection, peer } = await link(t, false);
    const detached = new ArrayBuffer(4);
    structuredClone(detached, { transfer: [detached] });
    const wrong = [undefined, null, 1, 1n, true, {}, [1, 2], new Date(), Symbol('x'), () => {}, detached];
    for (const payload of wrong) {
      for (const options of [undefined, { binary: true }, { binary: false }]) {
        assert.throws(
          () => connection.send(payload as Payload, options),
          { name: 'UsageError', code: 'ERR_INVALID_PAYLOAD' },
          typeof payload,
        );
      }
    }
    connection.send('right');
    assert.deepEqual(await receivedLines(peer, 1), ['text right']);
  });

  test('RFC 6455 §5.4: fragments, with control frames and joined sends between', async (t) => {
    const { connection, peer } = await link(t, false);
    connection.send('a', { fin: false });
    connection.ping('p').catch(() => {});
    connection.send('b', { fin: false });
    connection.send('', { fin: true });
    connection.send(Buffer.from('c'), { fin: false });
    await turns(2);
    connection.send(Buffer.from('d'));
    connection.send('whole');
    assert.deepEqual(await receivedLines(peer, 7), [
      '…text a',
      'ping p',
      '…continuation b',
      'continuation',
      '…binary c',
      'continuation d',
      'text whole',
    ]);
  });

  test('RFC 6455 §5.4: a fragment of another type is ERR_FRAGMENT_TYPE, and the message goes on', async (t) => {
    const { connection, peer } = await link(t, false);
    connection.send('a', { fin: false });
    const refused = { name: 'UsageError', code: 'ERR_FRAGMENT_TYPE' };
    assert.throws(() => connection.send(Buffer.of(1)), refused);
    assert.throws(() => connection.send('b', { binary: true, fin: false }), refused);
    connection.send('c');
    connection.send(Buffer.from('d'));
    assert.deepEqual(await receivedLines(peer, 3), ['…text a', 'continuation c', 'binary d']);
  });

  test('RFC 6455 §8.1: a fragment of text given as bytes is refused: it might end inside a character', async (t) => {
    const { connection, peer } = await link(t, false);
    const send = (): boolean => connection.send(Buffer.from('a'), { binary: false, fin: false });
    assert.throws(send, { name: 'UsageError', code: 'ERR_INVALID_PAYLOAD' });
    connection.send('whole');
    assert.deepEqual(await receivedLines(peer, 1), ['text whole']);
  });

  test('ERR_NOT_OPEN once the connection is closing or closed', async (t) => {
    const { connection, peer } = await link(t, false);
    const refused = { name: 'UsageError', code: 'ERR_NOT_OPEN' };
    const closed = connection.close();
    assert.equal(connection.readyState, ReadyState.closing);
    assert.throws(() => connection.send('a'), refused);
    await assert.rejects(connection.ping(), refused);
    connection.terminate();
    await closed;
    assert.equal(connection.readyState, ReadyState.closed);
    assert.throws(() => connection.send('a'), refused);
    await assert.rejects(connection.ping(), refused);
    connection.cork(() => assert.throws(() => connection.send('a'), refused));
    await peer.closed;
    assert.deepEqual(frameLines(peer.received), ['close 1000']);
  });
});

for (const { over, tls } of TRANSPORTS) {
  describe(`a peer that does not read, over ${over}`, GUARD, () => {
    test('the bytes may be changed as soon as send() has returned, whatever becomes of them', async (t) => {
      const { connection, peer } = await link(t, tls, { maxBufferedAmount: 64 * 1024 * 1024 });
      peer.pause();
      const expected: Buffer[] = [];
      const send = (size: number, value: number): boolean => {
        const message = Buffer.alloc(size, value);
        expected.push(Buffer.from(message));
        const goOn = connection.send(message);
        message.fill(0);
        return goOn;
      };
      // At once, joined, in several blocks, then behind a backlog.
      for (const size of [10, 10, 1_000, 200_000, 10, 65_522]) send(size, 7);
      await turns(1);
      for (let i = 0; send(50_000, 1 + (i % 250)); i++) assert.ok(i < 1_000);
      for (const size of [10, 200_000, 65_523, 1]) send(size, 9);
      await turns(1);
      send(10, 11);
      peer.resume();
      await connection.flushed();
      await until(() => peer.receivedLength >= connection.stats().bytesSent);
      assertReceived(peer.received, expected);
    });

    test('send() says false above highWaterMark, onDrain when half of it is left, once', async (t) => {
      const highWaterMark = 300_000;
      const drained: [connection: Connection, bufferedAmount: number][] = [];
      const { connection, peer } = await link(t, tls, {
        highWaterMark,
        onDrain: (drainedConnection) =>
          void drained.push([drainedConnection, drainedConnection.bufferedAmount]),
      });
      const messages: Buffer[] = [];
      for (let round = 1; round <= 2; round++) {
        peer.pause();
        messages.push(...(await fill(connection)));
        assert.ok(connection.bufferedAmount > highWaterMark);
        assert.ok(connection.bufferedAmount <= highWaterMark + 60_008);
        const before = drained.length;
        peer.resume();
        await until(() => drained.length > before);
        await connection.flushed();
        assert.equal(connection.bufferedAmount, 0);
        assert.equal(drained.length, before + 1);
      }
      for (const [drainedConnection, bufferedAmount] of drained) {
        assert.equal(drainedConnection, connection);
        assert.ok(bufferedAmount <= highWaterMark / 2, `${bufferedAmount}`);
      }
      await until(() => peer.receivedLength === messages.length * 60_008);
      assertReceived(peer.received, messages);
    });

    test('bufferedAmount is what has been accepted and the kernel has not taken', async (t) => {
      const { connection, peer } = await link(t, tls);
      assert.equal(connection.bufferedAmount, 0);
      peer.pause();
      const { length } = await fill(connection);
      const { bytesSent } = connection.stats();
      assert.equal(bytesSent + connection.bufferedAmount, length * 60_008);
      peer.resume();
      await connection.flushed();
      assert.equal(connection.bufferedAmount, 0);
      assert.equal(connection.stats().bytesSent, length * 60_008);
    });

    test('send() throws ERR_SEND_BUFFER_FULL beyond maxBufferedAmount: nothing is queued, and later all is well', async (t) => {
      const { connection, peer } = await link(t, tls, { highWaterMark: 100_000, maxBufferedAmount: 500_000 });
      peer.pause();
      const messages = await fill(connection);
      const one = Buffer.alloc(60_000, 0xff);
      while (connection.bufferedAmount + one.length <= 500_000) {
        assert.equal(connection.send(one), false);
        messages.push(one);
      }
      const { bufferedAmount } = connection;
      const full = { name: 'UsageError', code: 'ERR_SEND_BUFFER_FULL' };
      for (const refused of [one, '€'.repeat(20_000)]) {
        assert.throws(() => connection.send(refused), full);
        assert.throws(() => connection.send(refused, { fin: false }), full);
      }
      assert.equal(connection.bufferedAmount, bufferedAmount);
      assert.equal(connection.readyState, ReadyState.open);
      peer.resume();
      await connection.flushed();
      assert.equal(connection.send(one), true);
      messages.push(one);
      await until(() => peer.receivedLength === messages.length * 60_008);
      assertReceived(peer.received, messages);
    });

    test('flushed() resolves when everything sent before it has been handed over, in order', async (t) => {
      const { connection, peer } = await link(t, tls);
      const order: string[] = [];
      peer.pause();
      await fill(connection);
      const first = connection.flushed().then(() => order.push('first'));
      await fill(connection, 400_000);
      const second = connection.flushed().then(() => order.push('second'));
      await turns(5);
      assert.deepEqual(order, []);
      peer.resume();
      await Promise.all([second, first]);
      assert.deepEqual(order, ['first', 'second']);
    });

    for (const [how, end] of [
      ['terminate()', ({ connection }) => connection.terminate()],
      ['RST', ({ peer }) => peer.reset()],
    ] as [string, (link: Awaited<ReturnType<typeof backlogged>>) => void][]) {
      test(`${how}: flushed() rejects, onDrain is not called, and bytesSent counts nothing that was lost`, async (t) => {
        const backlog = await backlogged(t, tls);
        const { connection } = backlog;
        const { bytesSent } = connection.stats();
        const buffered = connection.bufferedAmount;
        const flushed = connection.flushed();
        end(backlog);
        await ended(connection);
        assert.equal(backlog.drained(), 0, 'onDrain was called');
        await assert.rejects(flushed, { name: 'ConnectionLostError', code: 'ERR_CONNECTION_LOST' });
        assert.ok(connection.stats().bytesSent < bytesSent + buffered, 'what was lost counts as sent');
      });
    }
  });
}

/** A connection whose kernel takes no more: something is buffered, and `send()` has said so. */
async function backlogged(t: TestContext, tls: boolean) {
  let drained = 0;
  const made = await link(t, tls, { onDrain: () => void drained++ });
  made.peer.pause();
  await fill(made.connection);
  const before = drained;
  return { ...made, drained: () => drained - before };
}

describe('maxBufferedAmount', GUARD, () => {
  test('bounds a single message by its bytes, not by its characters; where nothing waits, without its header', async (t) => {
    const { connection, peer } = await link(t, false, { maxBufferedAmount: 16 });
    const full = { name: 'UsageError', code: 'ERR_SEND_BUFFER_FULL' };
    for (const refused of ['x'.repeat(17), '€€€€€€', Buffer.alloc(17)]) {
      assert.throws(() => connection.send(refused), full);
    }
    for (const accepted of ['x'.repeat(16), '€€€€€x', Buffer.alloc(16)]) {
      connection.send(accepted);
      await turns(1);
    }
    connection.cork(() => {
      connection.send('');
      assert.throws(
        () => connection.send('12345'),
        full,
        'behind 6 bytes that wait, 5 with a header of 6 are too many',
      );
      connection.send('1234');
    });
    assert.equal((await receivedLines(peer, 5)).length, 5);
  });
});
