/** Servers that end the connection as they should not, or not at all. */
import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { type CloseInfo, type ConnectOptions, connect, HandshakeError } from '../../src/index.js';
import { ended, soon, until } from '../leases/link.js';
import { encodeFrame } from '../reference/frame.js';
import { echoServer } from '../server/echo-server.js';
import { leavesNothingOpen } from '../server/resources.js';
import { accepting, readRequest, scriptedServer, turns } from '../server/scripted-server.js';
import { rawServer } from './raw-server.js';

const TRANSPORTS = [
  { over: 'tcp', tls: false },
  { over: 'TLS', tls: true },
];

const text = (payload: string, fin = true, opcode = 1): Buffer =>
  encodeFrame({ fin, opcode, payload: Buffer.from(payload) });
const CLOSE = encodeFrame({ opcode: 8, payload: Buffer.from('03e8', 'hex') });

/** An unrelated connection works, from its opening on. */
async function unrelatedWorks(t: TestContext): Promise<void> {
  const echo = await echoServer();
  t.after(() => echo.close());
  const connection = await connect(echo.url);
  connection.send('still there?');
  for await (const message of connection) {
    assert.equal(message, 'still there?');
    break;
  }
  assert.equal((await ended(connection)).wasClean, true);
}

/** How far the server goes before it ends: what it has written, and how the client must tell the end. */
const STAGES: [
  stage: string,
  written: (request: string) => (string | Buffer)[],
  expected: RegExp,
  messages: string[],
][] = [
  ['with the request', () => [], /^refused ERR_(CONNECT|HANDSHAKE_CLOSED)$/, []],
  ['in the status line', () => ['HTTP/1.1 10'], /^refused ERR_(CONNECT|HANDSHAKE_CLOSED)$/, []],
  ['in the head', () => ['HTTP/1.1 101 Yes\r\nUpgr'], /^refused ERR_(CONNECT|HANDSHAKE_CLOSED)$/, []],
  [
    'in the body of a refusal',
    () => ['HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\nabc'],
    /^refused ERR_(CONNECT|HANDSHAKE_CLOSED) 503$/,
    [],
  ],
  ['behind the 101', (request) => [accepting(request)], /^closed 1006 ERR_CONNECTION_LOST$/, []],
  [
    'in a header',
    (request) => [accepting(request), text('a'), Buffer.of(0x81)],
    /^closed 1006 ERR_CONNECTION_LOST$/,
    ['a'],
  ],
  [
    'in a frame',
    (request) => [accepting(request), text('a'), text('long').subarray(0, 4)],
    /^closed 1006 ERR_CONNECTION_LOST$/,
    ['a'],
  ],
  [
    'in a large frame',
    (request) => [accepting(request), text('a'), text('x'.repeat(200_000)).subarray(0, 150_000)],
    /^closed 1006 ERR_CONNECTION_LOST$/,
    ['a'],
  ],
  [
    'in a message',
    (request) => [accepting(request), text('a'), text('b', false)],
    /^closed 1006 ERR_CONNECTION_LOST$/,
    ['a'],
  ],
  [
    'in a Close frame',
    (request) => [accepting(request), text('a'), CLOSE.subarray(0, 3)],
    /^closed 1006 ERR_CONNECTION_LOST$/,
    ['a'],
  ],
  ['behind a Close frame', (request) => [accepting(request), text('a'), CLOSE], /^closed 1000 clean$/, ['a']],
  [
    'behind a wrong frame',
    (request) => [accepting(request), text('a'), Buffer.of(0xff)],
    /^closed 1006 ERR_RESERVED_BITS$/,
    ['a'],
  ],
];

for (const { over, tls } of TRANSPORTS) {
  for (const how of ['RST', 'FIN'] as const) {
    describe(`RFC 6455 §7.1.5 a server that ends by ${how}, over ${over}`, () => {
      for (const [stage, written, expected, messages] of STAGES) {
        test(stage, async (t) => {
          const server = await endingServer(tls, written, how);
          const received: string[] = [];
          const onMessage: ConnectOptions['onMessage'] = (message) => void received.push(message.text());
          await leavesNothingOpen(
            async () => {
              const told = await tell(server.url, { tls: server.tls, closeTimeout: 200, onMessage });
              assert.match(told, expected);
            },
            () => server.close(),
          );
          // A reset may overtake what the kernel has not handed over yet; nothing else may be missing.
          if (how === 'FIN') assert.deepEqual(received, messages);
          else assert.deepEqual(received, messages.slice(0, received.length));
          if (stage === 'with the request') await unrelatedWorks(t);
        });
      }
    });
  }
}

/** Writes and ends, once it has been asked. */
async function endingServer(
  tls: boolean,
  written: (request: string) => (string | Buffer)[],
  how: 'RST' | 'FIN',
): ReturnType<typeof scriptedServer> {
  return scriptedServer({
    tls,
    answer: (request) =>
      Buffer.concat(written(request).map((part) => (typeof part === 'string' ? Buffer.from(part) : part))),
    onConnection: async (peer) => {
      if (how === 'FIN') return peer.end();
      // What was written is on its way first.
      await turns(3);
      peer.reset();
    },
  });
}

/** How it went, in a word; each end is told once. */
async function tell(url: string, options: ConnectOptions): Promise<string> {
  const closes: CloseInfo[] = [];
  try {
    const connection = await soon(connect(url, { ...options, onClose: (info) => void closes.push(info) }));
    const { code, wasClean, error } = await ended(connection);
    await turns(2);
    assert.equal(closes.length, 1);
    return `closed ${code} ${wasClean ? 'clean' : error?.code}`;
  } catch (error) {
    assert.ok(error instanceof HandshakeError, String(error));
    return `refused ${error.code}${error.statusCode === undefined ? '' : ` ${error.statusCode}`}`;
  }
}

/** Whatever the client sends, FIN included: this one keeps TCP open. */
async function neverClosing(
  onOpen: (socket: Socket) => void,
): Promise<{ url: string; close: () => Promise<void> }> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    readRequest(socket, (request) => {
      socket.write(accepting(request));
      onOpen(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `ws://127.0.0.1:${(server.address() as { port: number }).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

describe('RFC 6455 §7.1.1 a server that never closes TCP: closeTimeout ends it', () => {
  const cases: [title: string, onOpen: (socket: Socket) => void, info: Partial<CloseInfo>, error?: string][] =
    [
      [
        'after its Close frame',
        (socket) => void socket.resume().write(CLOSE),
        { code: 1000, wasClean: true },
      ],
      [
        'after its Close frame, again and again',
        (socket) => void socket.resume().write(Buffer.concat(Array<Buffer>(1_000).fill(CLOSE))),
        { code: 1000, wasClean: true },
      ],
      [
        'after a wrong frame',
        (socket) => void socket.resume().write(Buffer.of(0x83, 0)),
        { code: 1006, wasClean: false },
        'ERR_RESERVED_OPCODE',
      ],
      [
        'after a wrong frame, without reading the answer',
        (socket) => void socket.pause().write(Buffer.of(0x83, 0)),
        { code: 1006, wasClean: false },
        'ERR_RESERVED_OPCODE',
      ],
    ];
  for (const [title, onOpen, expected, code] of cases) {
    test(title, async () => {
      const server = await neverClosing(onOpen);
      await leavesNothingOpen(
        async () => {
          const connection = await connect(server.url, { closeTimeout: 150 });
          const { error, ...info } = await ended(connection);
          assert.deepEqual([info, error?.code], [{ reason: '', ...expected }, code]);
        },
        () => server.close(),
      );
    });
  }

  test('nor answers ours: ERR_CLOSE_TIMEOUT', async () => {
    const server = await neverClosing((socket) => socket.resume());
    await leavesNothingOpen(
      async () => {
        const connection = await connect(server.url, { closeTimeout: 150 });
        const { code, error } = await soon(connection.close());
        assert.deepEqual([code, error?.code], [1006, 'ERR_CLOSE_TIMEOUT']);
      },
      () => server.close(),
    );
  });

  test('nor reads, with megabytes on their way to it: ERR_CLOSE_TIMEOUT, and who waits is told', async () => {
    const server = await neverClosing((socket) => socket.pause());
    await leavesNothingOpen(
      async () => {
        const connection = await connect(server.url, { closeTimeout: 150 });
        while (connection.bufferedAmount < 4_000_000) {
          connection.send(Buffer.alloc(1_000_000));
          await turns(1);
        }
        const codeOf = (promise: Promise<unknown>): Promise<string> =>
          promise.then(
            () => 'settled',
            ({ code }) => code,
          );
        const messages = connection.iterate({ preventClose: true });
        const waits = [connection.flushed(), connection.ping(), messages.next()].map(codeOf);
        const { code, error } = await soon(connection.close());
        assert.deepEqual([code, error?.code], [1006, 'ERR_CLOSE_TIMEOUT']);
        assert.deepEqual(await soon(Promise.all(waits)), [
          'ERR_CONNECTION_LOST',
          'ERR_CONNECTION_LOST',
          'ERR_CLOSE_TIMEOUT',
        ]);
      },
      () => server.close(),
    );
  });
});

describe('TCP segments of one byte', () => {
  /** Every segment a system call of its own; those that the client has not read yet are joined by the kernel. */
  async function byteByByte(socket: Socket, bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; at++) {
      socket.write(bytes.subarray(at, at + 1));
      if (at % 8 === 7) await turns(1);
    }
  }

  for (const { over, tls } of TRANSPORTS) {
    test(`a head, and 200 frames with 40 pings among them, over ${over}`, async () => {
      const frames: Buffer[] = [];
      const sent: string[] = [];
      for (let i = 0; i < 200; i++) {
        sent.push(`${i} ${'ü'.repeat(i % 40)}`);
        frames.push(text(sent[i].slice(0, 2), false), text(sent[i].slice(2), true, 0));
        if (i % 5 === 0) frames.push(encodeFrame({ opcode: 9, payload: Buffer.from(`${i}`) }));
      }
      const server = await rawServer(
        (socket) => {
          socket.setNoDelay(true);
          readRequest(socket, async (request) => {
            socket.resume();
            await byteByByte(socket, Buffer.concat([Buffer.from(accepting(request)), ...frames, CLOSE]));
            socket.end();
          });
        },
        { tls },
      );
      const received: string[] = [];
      await leavesNothingOpen(
        async () => {
          const connection = await connect(server.url, {
            tls: server.tls,
            onMessage: (message) => void received.push(message.text()),
          });
          assert.deepEqual(await ended(connection), { code: 1000, reason: '', wasClean: true });
          assert.equal(connection.stats().pingsReceived, 40);
        },
        () => server.close(),
      );
      assert.deepEqual(received, sent);
    });
  }
});

describe('a connection that is paused, and lost', () => {
  for (const how of ['RST', 'FIN'] as const) {
    test(`by ${how}: what came before is delivered by resume(), and the end is told once`, async (t) => {
      const server = await scriptedServer();
      t.after(() => server.close());
      const received: string[] = [];
      const closes: CloseInfo[] = [];
      const connection = await connect(server.url, {
        closeTimeout: 200,
        onMessage: (message) => {
          received.push(message.text());
          if (received.length === 1) connection.pause();
        },
        onClose: (info) => void closes.push(info),
      });
      const peer = await server.peer();
      await peer.write(Buffer.concat([text('a'), text('b'), text('c')]));
      await until(() => received.length === 1);
      if (how === 'RST') peer.reset();
      else peer.end();
      await wait(20);
      connection.resume();
      const { code, error } = await ended(connection);
      assert.deepEqual([code, error?.code], [1006, 'ERR_CONNECTION_LOST']);
      await turns(2);
      assert.equal(closes.length, 1);
      assert.deepEqual(received, ['a', 'b', 'c']);
    });
  }
});
