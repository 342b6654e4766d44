/** Ping and Pong, both ways: RFC 6455 §5.5.2 and §5.5.3. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connect } from '../../src/connect.js';
import { HeartwireError } from '../../src/errors.js';
import { pseudoRandomBytes } from '../arbitraries/payload.js';
import { ended, FILLING, fill, hasRead, link, patterned, TRANSPORTS, text, until } from '../leases/link.js';
import { encodeFrame } from '../reference/frame.js';
import { echoServer } from '../server/echo-server.js';
import { turns } from '../server/scripted-server.js';
import { frameLines, GUARD, receivedLines, sentFrames, watchWrites } from './wire.js';

const ping = (payload: string | Uint8Array = ''): Buffer =>
  encodeFrame({ opcode: 9, payload: Buffer.from(payload as string) });
const pong = (payload: string | Uint8Array = ''): Buffer =>
  encodeFrame({ opcode: 10, payload: Buffer.from(payload as string) });

for (const { over, tls } of TRANSPORTS) {
  describe(`the server’s pings, over ${over}`, GUARD, () => {
    test('RFC 6455 §5.5.3: each is answered with its own payload, 0 to 125 bytes, in order', async (t) => {
      const { connection, peer } = await link(t, tls);
      const payloads = Array.from({ length: 126 }, (_, length) => pseudoRandomBytes(length, length));
      // All in one segment, then each in one of its own.
      await peer.write(Buffer.concat(payloads.map(ping)));
      await peer.write(...payloads.map(ping));
      await until(() => peer.frames().length === 2 * 126);
      for (const [i, { firstByte, payload }] of peer.frames().entries()) {
        assert.equal(firstByte, 0x8a);
        assert.ok(payload.equals(payloads[i % 126]), `${i}`);
      }
      const { pingsReceived, pongsSkipped } = connection.stats();
      assert.deepEqual({ pingsReceived, pongsSkipped }, { pingsReceived: 252, pongsSkipped: 0 });
    });

    test('RFC 6455 §5.5.3: ten pings, ten pongs', async (t) => {
      const { peer } = await link(t, tls);
      const names = Array.from({ length: 10 }, (_, i) => `${i}`);
      await peer.write(Buffer.concat(names.map(ping)));
      assert.deepEqual(
        await receivedLines(peer, 10),
        names.map((name) => `pong ${name}`),
      );
    });

    test('RFC 6455 §5.5.2: they are answered before the messages of the same read are delivered', async (t) => {
      const pongsWritten: string[][] = [];
      let writes: Buffer[] = [];
      const { server, peer } = await link(t, tls, {
        onMessage: () => void pongsWritten.push(frameLines(Buffer.concat(writes))),
      });
      writes = watchWrites(t, server.port);
      await peer.write(Buffer.concat([text('a'), ping('1'), text('b')]));
      await until(() => pongsWritten.length === 2);
      assert.deepEqual(pongsWritten, [['pong 1'], ['pong 1']]);
    });

    test('a flood of 200 000 that nobody reads the answers of: bounded memory, the latest answered, all well after', async (t) => {
      const { connection, peer } = await link(t, tls, {
        onMessage: (message, { send }) => void send.call(connection, message.text()),
      });
      peer.pause();
      const count = 200_000;
      const flood = Buffer.alloc(count * 127);
      for (let i = 0; i < count; i++) {
        flood.writeUInt16BE(0x897d, i * 127);
        flood.writeUInt32BE(i, i * 127 + 2);
      }
      await peer.write(flood);
      let most = 0;
      await until(() => {
        most = Math.max(most, connection.bufferedAmount);
        return connection.stats().pingsReceived === count;
      });
      assert.ok(most < 200_000, `${most} bytes were buffered`);
      const { pongsSkipped } = connection.stats();
      assert.ok(pongsSkipped > 0, 'every ping was answered: the test shows nothing');

      peer.resume();
      const pongs = count - pongsSkipped;
      await until(() => peer.receivedLength >= pongs * 131);
      const frames = sentFrames(peer.received);
      assert.equal(frames.length, pongs, 'RFC 6455 §5.5.3: all but those skipped are answered');
      const numbers = frames.map(({ payload }) => payload.readUInt32BE());
      assert.ok(
        numbers.every((number, i) => i === 0 || number > numbers[i - 1]),
        'in order',
      );
      assert.equal(numbers.at(-1), count - 1, 'RFC 6455 §5.5.3: the most recent ping is answered');

      const before = peer.receivedLength;
      await peer.write(Buffer.concat([ping('again'), text('hello')]));
      await peer.receives(before + 22);
      assert.deepEqual(frameLines(peer.received.subarray(before)), ['pong again', 'text hello']);
    });
  });
}

for (const { over, tls } of TRANSPORTS) {
  describe(`the server’s pings while much waits to be sent, over ${over}`, GUARD, () => {
    test('RFC 6455 §5.5.2: are answered although there is never little: one pong at a time waits among the rest', async (t) => {
      let more = 150;
      const made = await link(t, tls, {
        onDrain(connection) {
          while (more > 0 && connection.send(FILLING)) more--;
        },
      });
      const { connection, peer } = made;
      await fill(made, 1024 * 1024 + 1);
      assert.equal(connection.send(FILLING), false, 'the backlog wants to be drained');
      await peer.write(ping('1'), ping('2'), ping('3'));
      await until(() => connection.stats().pingsReceived === 3);
      peer.resume();
      await until(() => more === 0 && peer.receivedLength === connection.stats().bytesSent);
      await until(
        () => connection.bufferedAmount === 0 && peer.receivedLength === connection.stats().bytesSent,
      );
      const frames = sentFrames(peer.received);
      const pongs = frames.flatMap(({ opcode, payload }, i) =>
        opcode === 10 ? [{ i, name: `${payload}` }] : [],
      );
      assert.deepEqual(
        pongs.map(({ name }) => name),
        ['1', '3'],
        'RFC 6455 §5.5.3: the latest of those that had to wait',
      );
      assert.equal(connection.stats().pongsSkipped, 1);
      const [, last] = pongs;
      assert.ok(
        last.i < frames.length - 75,
        `${last.i} of ${frames.length}: it waited for the end of the backlog`,
      );
      assert.ok(
        frames.every(({ fin, opcode, payload }) => fin && (opcode === 10 || payload.equals(FILLING))),
      );
    });

    test('RFC 6455 §5.4: are answered between the fragments of sendStream(), and tear no frame', async (t) => {
      const made = await link(t, tls);
      const { connection, peer } = made;
      const chunks = Array.from({ length: 30 }, (_, i) => patterned(70_000 + i, i));
      peer.pause();
      const sent = connection.sendStream(
        (async function* () {
          for (const [i, chunk] of chunks.entries()) {
            void peer.write(ping(`${i}`));
            await until(() => connection.stats().pingsReceived > i);
            if (i === 20) peer.resume();
            yield chunk;
          }
        })(),
      );
      await sent;
      await connection.flushed();
      await until(() => peer.receivedLength === connection.stats().bytesSent);
      const frames = sentFrames(peer.received);
      const data = frames.filter(({ opcode }) => opcode < 8);
      assert.ok(
        Buffer.concat(data.map(({ payload }) => payload)).equals(Buffer.concat(chunks)),
        'the message',
      );
      assert.deepEqual(
        data.map(({ fin }) => fin),
        data.map((_, i) => i === data.length - 1),
      );
      const pongs = frames.filter(({ opcode }) => opcode === 10).map(({ payload }) => Number(`${payload}`));
      assert.equal(pongs.length + connection.stats().pongsSkipped, 30);
      assert.equal(pongs.at(-1), 29);
    });
  });
}

describe('the server’s pings', GUARD, () => {
  test('RFC 6455 §5.4: are answered between the fragments of a message, which stays whole', async (t) => {
    const messages: string[] = [];
    const { peer } = await link(t, false, { onMessage: (message) => void messages.push(message.text()) });
    const fragments = [
      encodeFrame({ opcode: 1, fin: false, payload: Buffer.from('a') }),
      ping('1'),
      encodeFrame({ opcode: 0, fin: false, payload: Buffer.from('b') }),
      ping('2'),
      encodeFrame({ opcode: 0, payload: Buffer.from('c') }),
    ];
    await peer.write(...fragments);
    assert.deepEqual(await receivedLines(peer, 2), ['pong 1', 'pong 2']);
    await until(() => messages.length === 1);
    assert.deepEqual(messages, ['abc']);
  });

  test('are answered while no one listens for messages, until one waits', async (t) => {
    const { connection, peer } = await link(t, false);
    await peer.write(ping('1'));
    assert.deepEqual(await receivedLines(peer, 1), ['pong 1']);
    await peer.write(Buffer.concat([text('waits'), ping('2')]), ping('3'));
    assert.deepEqual(await receivedLines(peer, 2), ['pong 1', 'pong 2']);
    connection.onMessage = () => {};
    assert.deepEqual(await receivedLines(peer, 3), ['pong 1', 'pong 2', 'pong 3']);
  });

  test('are reported with a copy of their payload, in their places among the messages', async (t) => {
    const seen: string[] = [];
    const payloads: Buffer[] = [];
    const { connection, peer } = await link(t, false, {
      onMessage: (message) => void seen.push(message.text()),
      onPing(payload, pinged) {
        payloads.push(payload);
        seen.push(`ping ${payload}${pinged === connection ? '' : ' of another connection'}`);
      },
    });
    const wire = Buffer.concat([text('a'), ping('1'), text('b'), ping('2')]);
    await peer.write(wire);
    await hasRead({ connection, peer } as Awaited<ReturnType<typeof link>>, wire.length);
    await peer.write(text('overwrites what was read before'));
    await until(() => seen.length === 5);
    assert.deepEqual(seen.slice(0, 4), ['a', 'ping 1', 'b', 'ping 2']);
    assert.deepEqual(payloads.map(String), ['1', '2']);
  });

  test('RFC 6455 §5.5.1: are not answered once our Close frame has been sent', async (t) => {
    const { connection, peer } = await link(t, false);
    void connection.close();
    await peer.write(ping('late'), encodeFrame({ opcode: 8 }));
    peer.end();
    await connection.closed;
    await peer.closed;
    assert.deepEqual(frameLines(peer.received), ['close 1000']);
    assert.equal(connection.stats().pingsReceived, 1);
  });
});

describe('ping()', GUARD, () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`RFC 6455 §5.5.2: resolves with the round trip in ms, over ${over}`, async (t) => {
      const server = await echoServer({ tls });
      t.after(() => server.close());
      const connection = await connect(server.url, { tls: server.tls });
      t.after(() => connection.terminate());
      const start = performance.now();
      for (const payload of [undefined, '', 'text €', Buffer.alloc(125, 7), undefined]) {
        const roundTrip = await connection.ping(payload);
        assert.ok(roundTrip > 0 && roundTrip < performance.now() - start, `${roundTrip}`);
      }
      assert.equal(connection.stats().pongsReceived, 5);
    });
  }

  test('RFC 6455 §5.5.2: sends a sequence number where no payload is given', async (t) => {
    const { connection, peer } = await link(t, false);
    for (let i = 0; i < 3; i++) void connection.ping().catch(() => {});
    await until(() => peer.frames().length === 3);
    assert.deepEqual(
      peer.frames().map(({ firstByte, payload }) => [firstByte, payload.toString('hex')]),
      [
        [0x89, '00000000'],
        [0x89, '00000001'],
        [0x89, '00000002'],
      ],
    );
  });

  test('RFC 6455 §5.5.3: resolves with the Pong that carries its payload, not with another', async (t) => {
    const { connection, peer } = await link(t, false);
    const answered: string[] = [];
    const asked = ['a', 'b', 'c'].map((payload) =>
      connection.ping(payload).then(() => answered.push(payload)),
    );
    await peer.write(pong('x'), pong(), pong('A'), pong('a'));
    await asked[0];
    assert.deepEqual(answered, ['a']);
    await peer.write(pong('b'));
    await asked[1];
    assert.deepEqual(answered, ['a', 'b']);
    await peer.write(pong('c'));
    await asked[2];
    assert.equal(connection.stats().pongsReceived, 6);
  });

  test('RFC 6455 §5.5.3: a later Pong answers the pings before it', async (t) => {
    const { connection, peer } = await link(t, false);
    const asked = ['a', 'b', 'c'].map((payload) => connection.ping(payload));
    await peer.write(pong('c'));
    const [first, second, third] = await Promise.all(asked);
    assert.ok(first >= second && second >= third && third > 0);
  });

  test('RFC 6455 §5.5.3: unsolicited pongs are reported and otherwise ignored', async (t) => {
    const seen: string[] = [];
    const { connection, peer } = await link(t, false, {
      onPong: (payload, ponged) => void seen.push(ponged === connection ? payload.toString() : 'not mine'),
    });
    await peer.write(Buffer.concat([pong('x'), pong(''), pong('00000000')]));
    await until(() => seen.length === 3);
    assert.deepEqual(seen, ['x', '', '00000000']);
    assert.equal(connection.stats().pongsReceived, 3);
    void connection.ping('mine').catch(() => {});
    assert.deepEqual(await receivedLines(peer, 1), ['ping mine'], 'nothing was said in return');
  });

  test('RFC 6455 §5.5: rejects ERR_PING_PAYLOAD for more than 125 bytes, and sends nothing', async (t) => {
    const { connection, peer } = await link(t, false);
    for (const payload of ['x'.repeat(126), '€'.repeat(42), Buffer.alloc(126), 1, null, {}]) {
      await assert.rejects(connection.ping(payload as string), {
        name: 'UsageError',
        code: 'ERR_PING_PAYLOAD',
      });
    }
    connection.send('first');
    assert.deepEqual(await receivedLines(peer, 1), ['text first']);
  });

  test('rejects ERR_TOO_MANY_PINGS when 1024 are unanswered, and goes on when they are answered', async (t) => {
    const { connection, peer } = await link(t, false);
    const asked = Array.from({ length: 1024 }, (_, i) => connection.ping(`${i}`));
    await assert.rejects(connection.ping(), { name: 'UsageError', code: 'ERR_TOO_MANY_PINGS' });
    await peer.write(pong('1023'));
    await Promise.all(asked);
    const again = connection.ping('again');
    await peer.write(pong('again'));
    await again;
  });

  const ends: Record<string, (made: Awaited<ReturnType<typeof link>>) => unknown> = {
    'our terminate()': ({ connection }) => connection.terminate(),
    'the server’s FIN': ({ peer }) => peer.end(),
    'the server’s RST': ({ peer }) => peer.reset(),
    'a closing handshake': async ({ connection, peer }) => {
      void connection.close();
      await peer.write(encodeFrame({ opcode: 8 }));
      peer.end();
    },
    'a protocol error': async ({ peer }) => {
      await peer.write(Buffer.from('8300', 'hex'));
      peer.end();
    },
  };
  for (const [how, end] of Object.entries(ends)) {
    test(`rejects when the connection ends by ${how}`, async (t) => {
      const made = await link(t, false);
      const asked = [made.connection.ping(), made.connection.ping('x')];
      const rejected = Promise.allSettled(asked);
      await end(made);
      const info = await ended(made.connection);
      for (const result of await rejected) {
        assert.equal(result.status, 'rejected');
        const { reason } = result as PromiseRejectedResult;
        assert.ok(reason instanceof HeartwireError);
        assert.deepEqual([reason.name, reason.code], ['ConnectionLostError', 'ERR_CONNECTION_LOST']);
        assert.equal(reason.cause, info.error);
      }
    });
  }

  test('need not be handled: an ignored one that fails is no unhandled rejection', async (t) => {
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', onUnhandled);
    t.after(() => process.off('unhandledRejection', onUnhandled));
    const { connection } = await link(t, false);
    connection.ping();
    connection.terminate();
    await ended(connection);
    await turns(3);
    assert.deepEqual(unhandled, []);
  });
});
