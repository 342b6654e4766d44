/** Servers whose answer to the opening handshake is wrong, late, or more than one. */
import assert from 'node:assert/strict';
import { connect as connectTcp, type Socket } from 'node:net';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { type Connection, type ConnectOptions, connect, HandshakeError } from '../../src/index.js';
import { ended, soon, until } from '../leases/link.js';
import { encodeFrame } from '../reference/frame.js';
import { connectProxy } from '../server/connect-proxy.js';
import { type EchoServer, echoServer } from '../server/echo-server.js';
import { leavesNothingOpen } from '../server/resources.js';
import { accepting, readRequest } from '../server/scripted-server.js';
import { answering, rawServer } from './raw-server.js';

/** Opened before any of these servers is met; it must work after each of them. */
let unrelated: Connection;
let echo: EchoServer;
const echoed: string[] = [];

before(async () => {
  echo = await echoServer();
  unrelated = await connect(echo.url, { onMessage: (message) => void echoed.push(message.text()) });
});

after(async () => {
  await unrelated.close();
  await echo.close();
});

async function unrelatedWorks(): Promise<void> {
  const text = `exchange ${echoed.length}`;
  unrelated.send(text);
  await until(() => echoed.at(-1) === text);
}

/** What `connect()` rejects with; afterwards nothing is open, and other connections work. */
async function refusal(
  onSocket: (socket: Socket) => void,
  options: ConnectOptions = {},
): Promise<HandshakeError> {
  let refused: unknown;
  const server = await rawServer(onSocket);
  await leavesNothingOpen(
    async () => {
      refused = await soon(connect(server.url, options)).then(
        () => assert.fail('it was opened'),
        (error: unknown) => error,
      );
    },
    () => server.close(),
  );
  assert.ok(refused instanceof HandshakeError, String(refused));
  await unrelatedWorks();
  return refused;
}

/** The connection to a server that answers so. */
async function opened(
  t: TestContext,
  answer: (request: string) => string | Uint8Array,
  options: ConnectOptions = {},
): Promise<{ connection: Connection; messages: string[] }> {
  const server = await rawServer(answering(answer));
  t.after(() => server.close());
  const messages: string[] = [];
  const onMessage: ConnectOptions['onMessage'] = (message) => void messages.push(message.text());
  const connection = await connect(server.url, { closeTimeout: 200, onMessage, ...options });
  t.after(() => connection.terminate());
  return { connection, messages };
}

const hello = encodeFrame({ opcode: 1, payload: Buffer.from('hello') }).toString('latin1');
const head = (...lines: string[]): string => [...lines, '', ''].join('\r\n');

describe('RFC 6455 §4.1 answers that open nothing', () => {
  const wrong: [title: string, answer: (request: string) => string, code: string, message?: RegExp][] = [
    [
      'another answer in front of the 101',
      (request) => head('HTTP/1.1 200 OK', 'Content-Length: 0') + accepting(request),
      'ERR_HANDSHAKE_STATUS',
    ],
    [
      'a 101 in the body of a refusal',
      (request) => `${head('HTTP/1.1 403 No', 'Content-Length: 129')}${accepting(request)}`,
      'ERR_HANDSHAKE_STATUS',
    ],
    [
      'a 101 smuggled behind a bare LF',
      (request) => `HTTP/1.1 403 No\nX: ${accepting(request)}`,
      'ERR_HANDSHAKE_MALFORMED',
      /a bare LF/,
    ],
    [
      'a 101 folded into a field',
      (request) => `HTTP/1.1 403 No\r\nX: y\r\n ${accepting(request)}`,
      'ERR_HANDSHAKE_MALFORMED',
      /obs-fold/,
    ],
    [
      'a status of 20 digits',
      () => head(`HTTP/1.1 ${'1'.repeat(20)} OK`),
      'ERR_HANDSHAKE_MALFORMED',
      /a bad status line/,
    ],
    ['a status of 0', () => head('HTTP/1.1 000 OK'), 'ERR_HANDSHAKE_MALFORMED', /a bad status line/],
    ['a status of 999', () => head('HTTP/1.1 999 OK', 'Content-Length: 0'), 'ERR_HANDSHAKE_STATUS'],
    ['a NUL in the status line', () => head('HTTP/1.1 101 Switch\0ing'), 'ERR_HANDSHAKE_MALFORMED', /NUL/],
    [
      'a NUL in the value that matters',
      (request) => accepting(request).replace('websocket', 'websocket\0'),
      'ERR_HANDSHAKE_MALFORMED',
      /NUL/,
    ],
    ['a NUL first', (request) => `\0${accepting(request)}`, 'ERR_HANDSHAKE_MALFORMED', /NUL/],
    [
      'one field of 16 KiB',
      (request) => accepting(request, [`X: ${'y'.repeat(16 * 1024)}`]),
      'ERR_HANDSHAKE_HEAD_TOO_LARGE',
    ],
    [
      '10 000 fields',
      (request) => accepting(request, Array(10_000).fill('X: y')),
      'ERR_HANDSHAKE_HEAD_TOO_LARGE',
    ],
    [
      'a ninth interim answer',
      (request) => head('HTTP/1.1 103 Early Hints').repeat(9) + accepting(request),
      'ERR_HANDSHAKE_MALFORMED',
      /interim/,
    ],
    [
      'an accept that answers another key',
      () => accepting('Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='),
      'ERR_HANDSHAKE_ACCEPT',
    ],
    [
      'a second, wrong accept',
      (request) => accepting(request, ['Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=']),
      'ERR_HANDSHAKE_ACCEPT',
    ],
    ['frames instead of an answer', () => hello, 'ERR_HANDSHAKE_MALFORMED'],
    ['TLS instead of an answer', () => '\x15\x03\x01\x00\x02\x02\x46', 'ERR_HANDSHAKE_MALFORMED'],
    ['HTTP/2 instead of an answer', () => '\0\0\x12\x04\0\0\0\0\0', 'ERR_HANDSHAKE_MALFORMED'],
  ];
  for (const [title, answer, code, message = /./] of wrong) {
    test(`${title}: ${code}`, async () => {
      const error = await refusal(answering(answer));
      assert.equal(error.code, code);
      assert.match(error.message, message);
    });
  }

  test('an answer before anything was asked', async () => {
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
    const error = await refusal((socket) => void socket.resume().write(accepting(key)));
    assert.equal(error.code, 'ERR_HANDSHAKE_ACCEPT');
  });

  test('a head that comes byte by byte, for ever: ERR_HANDSHAKE_TIMEOUT', async () => {
    const error = await refusal(
      (socket) =>
        readRequest(socket, async (request) => {
          const bytes = Buffer.from(accepting(request, [`X: ${'y'.repeat(8_000)}`]));
          for (let at = 0; at < bytes.length && !socket.destroyed; at++) {
            socket.write(bytes.subarray(at, at + 1));
            await wait(20, undefined, { ref: false });
          }
        }),
      { handshakeTimeout: 400 },
    );
    assert.equal(error.code, 'ERR_HANDSHAKE_TIMEOUT');
  });

  test('a body that comes byte by byte, for ever: its status is not lost', async () => {
    const error = await refusal(
      (socket) =>
        readRequest(socket, async () => {
          socket.write(head('HTTP/1.1 429 Slow down', 'Retry-After: 7'));
          while (!socket.destroyed) {
            socket.write('z');
            await wait(20, undefined, { ref: false });
          }
        }),
      { handshakeTimeout: 300 },
    );
    assert.deepEqual([error.code, error.statusCode, error.retryAfter], ['ERR_HANDSHAKE_TIMEOUT', 429, 7_000]);
  });
});

describe('RFC 6455 §4.1 answers that open a connection all the same', () => {
  const right: [title: string, answer: (request: string) => string][] = [
    [
      'behind eight interim answers',
      (request) =>
        head('HTTP/1.1 100 Continue') +
        head('HTTP/1.1 103 Hints', 'Link: </a>').repeat(7) +
        accepting(request),
    ],
    ['with Content-Length, which a 101 has not', (request) => accepting(request, ['Content-Length: 5'])],
    [
      'with Transfer-Encoding, which a 101 has not',
      (request) => accepting(request, ['Transfer-Encoding: chunked']),
    ],
    ['with 2 000 fields', (request) => accepting(request, Array(2_000).fill('X: y'))],
  ];
  for (const [title, answer] of right) {
    test(`${title}: what follows is frames`, async (t) => {
      const { connection, messages } = await opened(t, (request) =>
        Buffer.from(answer(request) + hello, 'latin1'),
      );
      await until(() => messages.length === 1);
      assert.deepEqual(messages, ['hello']);
      assert.equal(connection.readyState, 1);
    });
  }
});

describe('RFC 6455 §7.1.7 what stands behind a 101 is frames, or fails the connection', () => {
  const behind: [title: string, bytes: string, error: string][] = [
    ['a second answer', head('HTTP/1.1 200 OK', 'Content-Length: 0'), 'ERR_RESERVED_BITS'],
    ['an empty line', '\r\n', 'ERR_RESERVED_OPCODE'],
    ['text', '<html>', 'ERR_RESERVED_BITS'],
    ['NULs', '\0\0\0\0', 'ERR_UNEXPECTED_CONTINUATION'],
    ['bytes of 0xff', '\xff'.repeat(20), 'ERR_RESERVED_BITS'],
    ['a masked frame', '\x81\x80\0\0\0\0', 'ERR_MASKED_FRAME'],
  ];
  for (const [title, bytes, code] of behind) {
    test(`${title}: ${code}`, async (t) => {
      const { connection, messages } = await opened(t, (request) =>
        Buffer.from(accepting(request) + hello + bytes, 'latin1'),
      );
      const { error, wasClean } = await ended(connection);
      assert.deepEqual([error?.code, wasClean], [code, false]);
      // What came in front of it was right.
      assert.deepEqual(messages, ['hello']);
      await unrelatedWorks();
    });
  }
});

describe('RFC 9110 §9.3.6 a proxy that gives its tunnel up', () => {
  const GIVE_UP = ['FIN', 'RST'] as const;
  const give = { FIN: (socket: Socket) => socket.end(), RST: (socket: Socket) => socket.resetAndDestroy() };

  for (const how of GIVE_UP) {
    test(`by ${how} instead of an answer, and in the middle of one: ERR_PROXY`, async () => {
      for (const part of ['', 'HTTP/1.1 200 OK\r\nVia: ']) {
        const proxy = await connectProxy({
          answer: (socket) => socket.write(part, () => give[how](socket)),
        });
        await leavesNothingOpen(
          () =>
            assert.rejects(soon(connect('ws://127.0.0.1:9/', { proxy: proxy.url })), { code: 'ERR_PROXY' }),
          () => proxy.close(),
        );
      }
    });

    for (const tls of [false, true]) {
      test(`by ${how}, with the tunnel open, before ${tls ? 'TLS' : 'the 101'}`, async () => {
        const proxy = await connectProxy({
          answer: (socket) => {
            socket.write(head('HTTP/1.1 200 OK'));
            socket.once('data', () => give[how](socket));
          },
        });
        await leavesNothingOpen(
          async () => {
            const url = `${tls ? 'wss' : 'ws'}://127.0.0.1:9/`;
            const error = await soon(connect(url, { proxy: proxy.url })).catch((reason: unknown) => reason);
            assert.ok(error instanceof HandshakeError, String(error));
            const expected = tls ? /^ERR_TLS$/ : how === 'FIN' ? /^ERR_HANDSHAKE_CLOSED$/ : /^ERR_CONNECT$/;
            assert.match(error.code, expected);
          },
          () => proxy.close(),
        );
        await unrelatedWorks();
      });

      test(`by ${how}, in the middle of messages${tls ? ', over TLS' : ''}: ERR_CONNECTION_LOST`, async (t) => {
        const echo = await echoServer({ tls });
        t.after(() => echo.close());
        let near: Socket | undefined;
        const proxy = await connectProxy();
        const gone = await rawServer((socket) => {
          near = socket;
          // In front of the proxy, so that the end of the tunnel is in the test's hand.
          const far = connectTcp({ host: '127.0.0.1', port: proxy.port });
          far.on('error', () => {});
          socket.pipe(far).pipe(socket);
          socket.on('close', () => far.destroy());
        });
        await leavesNothingOpen(
          async () => {
            let messages = 0;
            const connection = await connect(echo.url, {
              tls: echo.tls,
              proxy: `http://127.0.0.1:${gone.port}`,
              closeTimeout: 200,
              onMessage: () => {
                messages++;
                connection.send('again');
                if (messages === 20) give[how](near!);
              },
            });
            connection.send('first');
            const { code, error } = await ended(connection);
            assert.deepEqual([code, error?.code], [1006, 'ERR_CONNECTION_LOST']);
          },
          async () => {
            await proxy.close();
            await gone.close();
          },
        );
        await unrelatedWorks();
      });
    }
  }
});
