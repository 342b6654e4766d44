/**
 * Servers that send without end, or that take nothing. What each costs the client is measured in a process of the
 * client's own, and bounded by what the options and docs/architecture.md promise.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { encodeFrame } from '../reference/frame.js';
import { MIB, measure, NOISE } from './measure.js';
import { answering, opening, pour, type RawOptions, type RawServer, rawServer } from './raw-server.js';

const many = (frame: Uint8Array, count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => frame));

const ping = (length: number): Buffer => encodeFrame({ opcode: 9, payload: Buffer.alloc(length, 'p') });
const fragment = (opcode: number, payload = '', fin = false): Buffer =>
  encodeFrame({ fin, opcode, payload: Buffer.from(payload) });

async function server(
  t: TestContext,
  onSocket: (socket: Socket) => void,
  options?: RawOptions,
): Promise<RawServer> {
  const raw = await rawServer(onSocket, options);
  t.after(() => raw.close());
  return raw;
}

const FAR_TOO_LONG = 'Z'.repeat(64 * 1024);

describe('RFC 6455 §5.5.2 a million pings', () => {
  test('are answered, those that find no room by the answer to a later one', async (t) => {
    let received = 0;
    const { url } = await server(
      t,
      opening((socket) => {
        socket.on('data', ({ length }: Buffer) => {
          received += length;
        });
        pour(socket, many(ping(0), 10_000), 100);
        socket.write(encodeFrame({ opcode: 8, payload: Buffer.from('03e8', 'hex') }));
      }),
    );
    const options = { closeTimeout: 300 };
    const { ended, pingsReceived, pongsSkipped } = await measure(t, { url, options }, NOISE);
    assert.equal(pingsReceived, 1_000_000);
    assert.deepEqual(ended, [{ code: 1000, wasClean: true }]);
    // Masked frames of 6 bytes, and the Close frame. What waited for room when that came was never sent.
    const answered = (received - 8) / 6;
    assert.ok([0, 1].includes(1_000_000 - answered - pongsSkipped), `${answered} and ${pongsSkipped}`);
  });

  test('from a server that reads no answer: 64 KiB wait for it, and what the kernel takes', async (t) => {
    const { url } = await server(
      t,
      opening((socket) => {
        socket.pause();
        pour(socket, many(ping(125), 1_000), 1_000);
      }),
    );
    const { pingsReceived, pongsSkipped, mostBuffered } = await measure(
      t,
      { url, options: {}, ms: 20_000, pings: 1_000_000 },
      NOISE,
    );
    assert.equal(pingsReceived, 1_000_000);
    assert.ok(pongsSkipped > 500_000, `only ${pongsSkipped} were skipped`);
    assert.ok(mostBuffered <= 64 * 1024 + 131 + 125, `${mostBuffered} bytes waited`);
  });
});

describe('RFC 6455 §5.4 fragments', () => {
  test('a million of one byte: one message', async (t) => {
    const { url } = await server(
      t,
      opening((socket) => {
        socket.resume();
        socket.write(fragment(1, 'a'));
        pour(socket, many(fragment(0, 'b'), 1_000), 999);
        socket.write(many(fragment(0, 'c'), 999));
        socket.write(fragment(0, '', true));
        socket.write(encodeFrame({ opcode: 8 }));
      }),
    );
    const { messages, messageBytes, ended } = await measure(
      t,
      { url, options: { closeTimeout: 300 } },
      NOISE,
    );
    assert.deepEqual([messages, messageBytes], [1, 1_000_000]);
    assert.deepEqual(ended, [{ code: 1005, wasClean: true }]);
  });

  test('of one byte, without end: maxMessageSize ends it', async (t) => {
    const { url } = await server(
      t,
      opening((socket) => {
        socket.write(fragment(2, 'a'));
        pour(socket, many(fragment(0, 'b'), 1_000));
      }),
    );
    const options = { maxMessageSize: MIB, closeTimeout: 300 };
    const { messages, ended } = await measure(t, { url, options }, NOISE);
    assert.equal(messages, 0);
    assert.deepEqual(ended, [{ code: 1006, wasClean: false, error: 'ERR_MESSAGE_TOO_LARGE' }]);
  });

  test('of no byte, without end: they cost nothing', async (t) => {
    const { url } = await server(
      t,
      opening((socket) => {
        socket.write(fragment(2));
        pour(socket, many(fragment(0), 30_000));
      }),
    );
    const { messages, refused } = await measure(t, { url, options: {}, ms: 500 }, NOISE);
    assert.deepEqual([messages, refused], [0, []]);
  });
});

describe('RFC 6455 §5.2 a length that is only said', () => {
  const announcing = (length: bigint): Buffer =>
    encodeFrame({ opcode: 2, lengthEncoding: 64, declaredLength: length });

  for (const [length, error] of [
    [1n << 62n, 'ERR_MESSAGE_TOO_LARGE'],
    [(1n << 63n) - 1n, 'ERR_MESSAGE_TOO_LARGE'],
    [(1n << 32n) + 1n, 'ERR_MESSAGE_TOO_LARGE'],
    [1n << 63n, 'ERR_LENGTH_INVALID'],
  ] as const) {
    test(`${length} bytes: ${error}, before any of them has come`, async (t) => {
      const { url } = await server(
        t,
        opening((socket) => {
          socket.resume();
          socket.write(announcing(length));
        }),
      );
      const { ended } = await measure(t, { url, options: { closeTimeout: 200 } }, NOISE);
      assert.deepEqual(ended, [{ code: 1006, wasClean: false, error }]);
    });
  }

  test('64 MiB, which maxMessageSize allows, on 50 connections: no memory is touched for it', async (t) => {
    const { url } = await server(
      t,
      opening((socket) => {
        socket.resume();
        socket.write(announcing(64n * 1024n * 1024n));
      }),
    );
    const { ended, grew, kept } = await measure(
      t,
      { url, options: {}, connections: 50, ms: 1_000 },
      50 * 65 * MIB,
    );
    assert.deepEqual(ended, []);
    assert.ok(grew.rss <= NOISE, `rss grew by ${grew.rss} bytes`);
    assert.ok(kept.external <= NOISE, `${kept.external} bytes are kept`);
  });
});

describe('RFC 6455 §4.1 an answer without end', () => {
  const endless: [title: string, begin: string, more: string, error: string][] = [
    ['a status line', 'HTTP/1.1 101 ', FAR_TOO_LONG, 'ERR_HANDSHAKE_HEAD_TOO_LARGE'],
    ['a name', 'HTTP/1.1 101 OK\r\n', FAR_TOO_LONG, 'ERR_HANDSHAKE_HEAD_TOO_LARGE'],
    ['a value', 'HTTP/1.1 101 OK\r\nX: ', FAR_TOO_LONG, 'ERR_HANDSHAKE_HEAD_TOO_LARGE'],
    ['fields', 'HTTP/1.1 101 OK\r\n', 'X: y\r\n'.repeat(10_000), 'ERR_HANDSHAKE_HEAD_TOO_LARGE'],
    ['interim answers', '', 'HTTP/1.1 103 Wait\r\n\r\n'.repeat(1_000), 'ERR_HANDSHAKE_MALFORMED'],
    ['a body', 'HTTP/1.1 500 No\r\n\r\n', FAR_TOO_LONG, 'ERR_HANDSHAKE_STATUS'],
    [
      'a body in chunks of one byte',
      'HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n',
      '1;ext=long\r\nx\r\n'.repeat(5_000),
      'ERR_HANDSHAKE_STATUS',
    ],
  ];
  for (const [title, begin, more, error] of endless) {
    test(`${title}: ${error}`, async (t) => {
      const chunk = Buffer.from(more);
      const { url } = await server(t, (socket) => {
        answering(() => begin)(socket);
        socket.once('data', () => pour(socket, chunk));
      });
      const { refused, took } = await measure(t, { url, options: { handshakeTimeout: 8_000 } }, NOISE);
      assert.deepEqual(refused, [error]);
      assert.ok(took < 7_000, 'it was waited for, not refused');
    });
  }

  test('redirects to itself, each with a body without end', async (t) => {
    const chunk = Buffer.from(FAR_TOO_LONG);
    const { url } = await server(t, (socket) => {
      answering(() => 'HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n')(socket);
      socket.once('data', () => pour(socket, chunk));
    });
    const few = await measure(t, { url, options: { maxRedirects: 20 } }, NOISE);
    assert.deepEqual(few.refused, ['ERR_TOO_MANY_REDIRECTS']);
    const options = { maxRedirects: 1_000_000_000, handshakeTimeout: 600 };
    const many = await measure(t, { url, options }, NOISE);
    assert.deepEqual(many.refused, ['ERR_HANDSHAKE_TIMEOUT']);
  });
});

describe('data without end', () => {
  const message = encodeFrame({ opcode: 2, payload: Buffer.alloc(1_000) });

  for (const tls of [false, true]) {
    const over = tls ? 'TLS' : 'tcp';

    test(`RFC 6455 §5.5.1: behind a Close frame, over ${over}: closeTimeout ends it`, async (t) => {
      const raw = await server(
        t,
        opening((socket) => {
          socket.write(encodeFrame({ opcode: 8, payload: Buffer.from('03e8', 'hex') }));
          pour(socket, many(message, 100));
        }),
        { tls },
      );
      const options = { closeTimeout: 500, tls: raw.tls };
      const { ended, messages, took } = await measure(t, { url: raw.url, options }, NOISE);
      assert.deepEqual(ended, [{ code: 1000, wasClean: true }]);
      assert.equal(messages, 0);
      assert.ok(took < 8_000, `${took} ms`);
    });

    test(`RFC 6455 §7.1.7: behind a wrong frame, over ${over}: the same`, async (t) => {
      const raw = await server(
        t,
        opening((socket) => {
          socket.write(encodeFrame({ opcode: 3 }));
          pour(socket, many(message, 100));
        }),
        { tls },
      );
      const options = { closeTimeout: 500, tls: raw.tls };
      const { ended, messages } = await measure(t, { url: raw.url, options }, NOISE);
      assert.deepEqual(ended, [{ code: 1006, wasClean: false, error: 'ERR_RESERVED_OPCODE' }]);
      assert.equal(messages, 0);
    });

    for (const act of ['take nothing', 'pause'] as const) {
      test(`for an application that ${act === 'pause' ? 'has paused' : 'takes nothing'}, over ${over}`, async (t) => {
        const raw = await server(
          t,
          opening((socket) => pour(socket, many(message, 100))),
          { tls },
        );
        const task = { url: raw.url, options: { tls: raw.tls }, act, ms: 500 };
        const { ended } = await measure(t, task, NOISE);
        assert.deepEqual(ended, []);
      });
    }

    test(`RFC 6455 §10.4: to a server that never reads, over ${over}: maxBufferedAmount wait`, async (t) => {
      const raw = await server(
        t,
        opening((socket) => socket.pause()),
        { tls },
      );
      const maxBufferedAmount = 8 * MIB;
      const options = { maxBufferedAmount, tls: raw.tls };
      const task = { url: raw.url, options, act: 'send' as const, ms: 1_000 };
      const { mostBuffered } = await measure(t, task, 2 * maxBufferedAmount + NOISE);
      assert.ok(mostBuffered > maxBufferedAmount / 2, `only ${mostBuffered} bytes were buffered`);
      assert.ok(mostBuffered <= maxBufferedAmount, `${mostBuffered} bytes were buffered`);
    });
  }
});
