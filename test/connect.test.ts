/** `connect()`: RFC 6455 §4.1 on a socket, its one deadline, its errors, and what comes with the 101. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import { connect as connectTcp, createServer, type LookupFunction, type Server, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { type ConnectOptions, connect } from '../src/connect.js';
import { ReadyState } from '../src/connection.js';
import { HandshakeError, UsageError } from '../src/errors.js';
import { pseudoRandomBytes } from './arbitraries/payload.js';
import { GUARD } from './connection/wire.js';
import { binary, ended, link, links, TRANSPORTS, text, until } from './leases/link.js';
import { encodeFrame } from './reference/frame.js';
import { certificate } from './server/certificate.js';
import { accepting, scriptedServer, turns } from './server/scripted-server.js';

/** Sends every name to this machine, and fails none. */
const toLoopback: LookupFunction = (_, options, callback) => {
  process.nextTick(() => {
    if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }]);
    else callback(null, '127.0.0.1', 4);
  });
};

interface RawServer {
  url: string;
  port: number;
  /** All sockets that came, TLS not counted. */
  sockets: Socket[];
  /** Resolves when a client has come as far as it gets. */
  reached: Promise<unknown>;
  close(): Promise<void>;
}

/** A server that does with its sockets what it is told, which may be nothing. */
async function rawServer(
  t: TestContext,
  onSocket: (socket: Socket) => void = () => {},
  { tls = false, scheme }: { tls?: boolean; scheme?: 'ws' | 'wss' } = {},
): Promise<RawServer> {
  const sockets: Socket[] = [];
  let onReached = (): void => {};
  const reached = new Promise<void>((resolve) => {
    onReached = resolve;
  });
  const serve = (socket: Socket): void => {
    // Whatever it says first: its request, or the beginning of TLS. Its answer to our answer takes turns.
    socket.once('data', () => void turns(20).then(onReached));
    onSocket(socket);
  };
  const server: Server = tls ? createTlsServer(certificate(), serve) : createServer(serve);
  server.on('tlsClientError', () => {});
  server.on('connection', (socket: Socket) => {
    socket.on('error', () => {});
    sockets.push(socket);
  });
  server.on('secureConnection', (socket: Socket) => void socket.on('error', () => {}));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  };
  t.after(close);
  return { url: `${scheme ?? (tls ? 'wss' : 'ws')}://127.0.0.1:${port}/`, port, sockets, reached, close };
}

/** Answers a whole request, split into `pieces`, an event loop's turn between two. */
function answering(pieces: (request: string) => readonly (string | Uint8Array)[]): (socket: Socket) => void {
  return (socket) => {
    socket.setNoDelay(true);
    let head = '';
    socket.on('data', async (chunk: Buffer) => {
      const isComplete = head.includes('\r\n\r\n');
      head += chunk.toString('latin1');
      if (isComplete || !head.includes('\r\n\r\n')) return;
      for (const piece of pieces(head)) {
        socket.write(piece);
        await turns(1);
      }
    });
  };
}

/** What `connect()` rejects with, which must be an error of this type; a connection that opens is ended. */
async function refusal(url: string | URL, options?: ConnectOptions): Promise<HandshakeError> {
  const outcome = await connect(url, options).then(
    (connection) => connection,
    (error: unknown) => error,
  );
  if (!(outcome instanceof HandshakeError)) (outcome as { terminate?(): void }).terminate?.();
  assert.ok(outcome instanceof HandshakeError, `${outcome}`);
  assert.equal(outcome.name, 'HandshakeError');
  return outcome;
}

const causeOf = (error: Error): string | undefined =>
  (error.cause as NodeJS.ErrnoException | undefined)?.code;

/** Timers and sockets that keep a process alive. */
function handles(): string[] {
  const kinds = ['Timeout', 'TCPSocketWrap', 'TCPConnectWrap', 'TLSWrap', 'WriteWrap', 'ShutdownWrap'];
  return process
    .getActiveResourcesInfo()
    .filter((kind) => kinds.includes(kind))
    .sort();
}

/** Runs `body`, and then nothing is open that was not before; the server's ends are closed first. */
async function leavesNothing(
  server: { close(): Promise<void> } | undefined,
  body: () => Promise<void>,
): Promise<void> {
  await turns(2);
  const before = handles();
  await body();
  await server?.close();
  await turns(5);
  assert.deepEqual(handles(), before);
}

/** Ways not to answer, and how far a client gets with each. */
const STALLS: Record<
  string,
  { phase: string; server: (t: TestContext) => Promise<RawServer>; options?: ConnectOptions; host?: string }
> = {
  'a name that is never resolved': {
    phase: 'resolving the name',
    server: async (t) => ({ ...(await rawServer(t)), reached: turns(10) }),
    host: 'stalls.test',
    options: { socket: { lookup: () => {} } },
  },
  'a server that does not accept the TCP connection': { phase: 'connecting', server: (t) => deafServer(t) },
  'a server that says nothing': { phase: 'waiting for the response', server: (t) => rawServer(t) },
  'a server that stalls in the TLS handshake': {
    phase: 'TLS handshake',
    server: (t) => rawServer(t, undefined, { scheme: 'wss' }),
  },
  'a TLS server that says nothing': {
    phase: 'waiting for the response',
    server: (t) => rawServer(t, undefined, { tls: true }),
    options: { tls: { ca: certificate().cert } },
  },
  'a server that sends half a head': {
    phase: 'waiting for the response',
    server: (t) =>
      rawServer(
        t,
        answering((request) => [accepting(request).slice(0, -2)]),
      ),
  },
};

/** Its queue of connections is full, and nobody takes one from it: the kernel drops every SYN. */
async function deafServer(t: TestContext): Promise<RawServer> {
  const script = `
    const server = require('node:net').createServer();
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      require('node:fs').writeSync(1, String(server.address().port));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const child: ChildProcess = spawn(process.execPath, ['-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [port] = (await once(child.stdout!, 'data')).map(Number);
  const fillers: Socket[] = [];
  // A queue of 1 holds two. What comes behind them gets no answer.
  for (let i = 0; i < 3; i++) {
    const filler = connectTcp({ port, host: '127.0.0.1' });
    filler.on('error', () => {});
    fillers.push(filler);
    if (i < 2) await once(filler, 'connect');
  }
  const close = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    for (const filler of fillers) filler.destroy();
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  t.after(close);
  return { url: `ws://127.0.0.1:${port}/`, port, sockets: [], reached: turns(10), close };
}

function urlOf({ url, port }: RawServer, host?: string): string {
  return host === undefined ? url : `ws://${host}:${port}/`;
}

/** Time passes only when the test says so. */
function stopTime(t: TestContext): void {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => t.mock.timers.reset());
}

describe('handshakeTimeout covers everything up to the open connection', GUARD, () => {
  for (const [title, { phase, server: start, options, host }] of Object.entries(STALLS)) {
    test(`${title}: ERR_HANDSHAKE_TIMEOUT, "${phase}"`, async (t) => {
      const server = await start(t);
      await leavesNothing(phase === 'connecting' ? undefined : server, async () => {
        stopTime(t);
        const refused = refusal(urlOf(server, host), { handshakeTimeout: 1_234, ...options });
        await server.reached;
        t.mock.timers.tick(1_233);
        await turns(2);
        t.mock.timers.tick(1);
        const error = await refused;
        assert.equal(error.code, 'ERR_HANDSHAKE_TIMEOUT');
        assert.ok(error.message.includes(`(${phase})`), error.message);
        assert.ok(error.message.includes(`${host ?? '127.0.0.1'}:${server.port}`), error.message);
        assert.ok(error.message.includes('1234 ms'), error.message);
        assert.equal(error.statusCode, undefined);
        t.mock.timers.reset();
      });
    });
  }

  test('a refusal whose body does not end: what the server had said is not lost', async (t) => {
    const answer = [
      'HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nX-Why: load\r\nContent-Length: 100\r\n\r\n',
      'half a body',
    ];
    const server = await rawServer(
      t,
      answering(() => answer),
    );
    stopTime(t);
    const refused = refusal(server.url);
    await server.reached;
    t.mock.timers.tick(10_000);
    const error = await refused;
    assert.equal(error.code, 'ERR_HANDSHAKE_TIMEOUT');
    assert.equal(error.statusCode, 503);
    assert.equal(error.headers?.['x-why'], 'load');
    assert.equal(error.body?.toString(), 'half a body');
    assert.equal(error.retryAfter, 7_000);
  });
});

describe('signal', GUARD, () => {
  test('aborted before: ERR_ABORTED with its reason, and nothing is sent', async (t) => {
    const server = await rawServer(t);
    const reason = new Error('changed my mind');
    const error = await refusal(server.url, { signal: AbortSignal.abort(reason) });
    assert.equal(error.code, 'ERR_ABORTED');
    assert.equal(error.cause, reason);
    await turns(5);
    assert.equal(server.sockets.length, 0);
  });

  for (const [title, { phase, server: start, options, host }] of Object.entries(STALLS)) {
    test(`aborts ${title}: ERR_ABORTED, and nothing stays open`, async (t) => {
      const server = await start(t);
      const controller = new AbortController();
      const { signal } = controller;
      const reason = { any: 'reason' };
      await leavesNothing(phase === 'connecting' ? undefined : server, async () => {
        const refused = refusal(urlOf(server, host), { signal, ...options });
        await server.reached;
        controller.abort(reason);
        const error = await refused;
        assert.equal(error.code, 'ERR_ABORTED');
        assert.equal(error.cause, reason);
        assert.ok(error.message.includes(`(${phase})`), error.message);
        assert.deepEqual(getEventListeners(signal, 'abort'), []);
      });
    });
  }

  test('in the turn of the call', async (t) => {
    for (const tls of [false, true]) {
      const server = await rawServer(t, undefined, { tls });
      await leavesNothing(server, async () => {
        const controller = new AbortController();
        const refused = refusal(server.url, { signal: controller.signal });
        controller.abort();
        const error = await refused;
        assert.equal(error.code, 'ERR_ABORTED');
        assert.equal(error.cause, controller.signal.reason);
      });
    }
  });

  test('has no effect, and no listener, once the connection is open', async (t) => {
    const controller = new AbortController();
    const { connection } = await link(t, false, { signal: controller.signal });
    assert.deepEqual(getEventListeners(controller.signal, 'abort'), []);
    controller.abort();
    await turns(5);
    assert.equal(connection.readyState, ReadyState.open);
  });

  test('keeps no listener when connecting failed', async (t) => {
    const server = await rawServer(t, (socket) => socket.end());
    const controller = new AbortController();
    await refusal(server.url, { signal: controller.signal });
    assert.deepEqual(getEventListeners(controller.signal, 'abort'), []);
  });
});

describe('a server that cannot be reached', GUARD, () => {
  test('a refused port: ERR_CONNECT, and the cause tells', async (t) => {
    const server = await rawServer(t);
    await server.close();
    await leavesNothing(undefined, async () => {
      for (const url of [server.url, server.url.replace('ws:', 'wss:')]) {
        const error = await refusal(url);
        assert.equal(error.code, 'ERR_CONNECT', url);
        assert.equal(causeOf(error), 'ECONNREFUSED');
        assert.ok(error.message.includes(`127.0.0.1:${server.port}`));
      }
    });
  });

  test('an unknown name: ERR_CONNECT, and the cause tells', async () => {
    const lookup: LookupFunction = (hostname, _, callback) => {
      const error = Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' });
      process.nextTick(() => callback(error, ''));
    };
    await leavesNothing(undefined, async () => {
      const error = await refusal('ws://unknown.test/', { socket: { lookup } });
      assert.equal(error.code, 'ERR_CONNECT');
      assert.equal(causeOf(error), 'ENOTFOUND');
      assert.ok(error.message.includes('unknown.test:80'), error.message);
    });
  });

  test('RFC 6455 §4.1: a server that closes without an answer: ERR_HANDSHAKE_CLOSED', async (t) => {
    const server = await rawServer(t, (socket) => socket.end());
    assert.equal((await refusal(server.url)).code, 'ERR_HANDSHAKE_CLOSED');
  });

  test('a server that resets instead of answering: the cause tells', async (t) => {
    const server = await rawServer(t, (socket) => socket.once('data', () => socket.resetAndDestroy()));
    const error = await refusal(server.url);
    assert.equal(causeOf(error), 'ECONNRESET');
  });
});

describe('TLS', GUARD, () => {
  test('a certificate that nobody vouches for: ERR_TLS, the cause tells, and no request is sent', async (t) => {
    let received = 0;
    const server = await rawServer(
      t,
      (socket) => void socket.on('data', ({ length }) => (received += length)),
      { tls: true },
    );
    await leavesNothing(server, async () => {
      const error = await refusal(server.url);
      assert.match(error.code, /^ERR_TLS(_CERTIFICATE)?$/);
      assert.equal(causeOf(error), 'DEPTH_ZERO_SELF_SIGNED_CERT');
      assert.equal(received, 0);
    });
  });

  test('a certificate that tls.ca vouches for', async (t) => {
    const { connection, server } = await link(t, true);
    assert.ok(server.tls !== undefined);
    assert.equal(connection.readyState, ReadyState.open);
  });

  test('tls.rejectUnauthorized: false trusts everybody, when asked for', async (t) => {
    const { connection } = await link(t, true, { tls: { rejectUnauthorized: false } });
    assert.equal(connection.readyState, ReadyState.open);
  });

  test('RFC 6066 §3: the server’s name is sent, and the certificate must be for it', async (t) => {
    const server = await scriptedServer({ tls: true });
    t.after(() => server.close());
    const url = (host: string): string => `wss://${host}:${server.port}/`;
    const options: ConnectOptions = { socket: { lookup: toLoopback }, tls: server.tls };
    const connection = await connect(url('localhost'), options);
    t.after(() => connection.terminate());
    const peer = await server.peer();
    assert.equal((peer.socket as TLSSocket).servername, 'localhost');
    assert.match(peer.request, new RegExp(`^host: localhost:${server.port}$`, 'im'));

    const error = await refusal(url('elsewhere.test'), options);
    assert.match(error.code, /^ERR_TLS(_CERTIFICATE)?$/);
    assert.equal(causeOf(error), 'ERR_TLS_CERT_ALTNAME_INVALID');
  });

  test('tls.servername is the name to send and to check, whatever the URL says', async (t) => {
    const server = await scriptedServer({ tls: true });
    t.after(() => server.close());
    const connection = await connect(`wss://elsewhere.test:${server.port}/`, {
      socket: { lookup: toLoopback },
      tls: { ...server.tls, servername: 'localhost' },
    });
    t.after(() => connection.terminate());
    assert.equal(((await server.peer()).socket as TLSSocket).servername, 'localhost');
  });

  test('a server that speaks no TLS, or leaves in the middle of it: ERR_TLS', async (t) => {
    const mute: Record<string, (socket: Socket) => void> = {
      'plain text': (socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
      FIN: (socket) => void socket.once('data', () => socket.end()),
      RST: (socket) => void socket.once('data', () => socket.resetAndDestroy()),
    };
    for (const [what, onSocket] of Object.entries(mute)) {
      const server = await rawServer(t, onSocket, { scheme: 'wss' });
      await leavesNothing(server, async () => {
        const error = await refusal(server.url);
        assert.equal(error.code, 'ERR_TLS', what);
        assert.ok(error.cause instanceof Error);
      });
    }
  });

  test('a TLS server addressed as ws: is no server that answers the handshake', async (t) => {
    const server = await rawServer(t, undefined, { tls: true, scheme: 'ws' });
    assert.match((await refusal(server.url)).code, /^ERR_(HANDSHAKE_|CONNECT)/);
  });
});

for (const { over, tls } of TRANSPORTS) {
  describe(`what comes with the 101, over ${over}`, GUARD, () => {
    const first = pseudoRandomBytes(300, 1);
    const frames = Buffer.concat([
      text('a'),
      binary(first),
      encodeFrame({ opcode: 1, fin: false, payload: Buffer.from('frag') }),
      encodeFrame({ opcode: 9, payload: Buffer.from('ping') }),
      encodeFrame({ opcode: 0, payload: Buffer.from('ments') }),
      text('x'.repeat(10_000)),
    ]);
    const expected = ['a', first.toString('hex'), 'fragments', 'x'.repeat(10_000)];

    test('in the same segment: every frame reaches onMessage, and more that follow', async (t) => {
      const seen: string[] = [];
      const options: ConnectOptions = {
        onMessage: (message) =>
          void seen.push(message.isText ? message.text() : message.copy().toString('hex')),
      };
      const [{ peer }] = await links(t, tls, [options], frames);
      await until(() => seen.length === 4);
      await peer.write(text('later'));
      await until(() => seen.length === 5);
      assert.deepEqual(seen, [...expected, 'later']);
      await until(() => peer.frames().length === 1);
      assert.equal(peer.frames()[0].payload.toString(), 'ping');
    });

    test('waits for an onMessage that is set after connect() resolved, however much later', async (t) => {
      for (const delay of [0, 10]) {
        const seen: string[] = [];
        const [{ connection, peer }] = await links(t, tls, [{}], frames);
        await turns(delay);
        connection.onMessage = (message) => {
          seen.push(message.isText ? message.text() : message.copy().toString('hex'));
        };
        await peer.write(text('later'));
        await until(() => seen.length === 5);
        assert.deepEqual(seen, [...expected, 'later']);
      }
    });

    test('half a frame: its rest follows', async (t) => {
      const seen: string[] = [];
      const options: ConnectOptions = { onMessage: (message) => void seen.push(message.text()) };
      const whole = Buffer.concat([text('a'), text('split in two')]);
      const [{ peer }] = await links(t, tls, [options], whole.subarray(0, 8));
      await peer.write(whole.subarray(8));
      await until(() => seen.length === 2);
      assert.deepEqual(seen, ['a', 'split in two']);
    });

    test('RFC 6455 §5.5.1: a Close frame', async (t) => {
      const close = encodeFrame({ opcode: 8, payload: Buffer.from('03e9627965', 'hex') });
      const seen: string[] = [];
      const options: ConnectOptions = { onMessage: (message) => void seen.push(message.text()) };
      const [{ connection, peer }] = await links(t, tls, [options], Buffer.concat([text('a'), close]));
      peer.end();
      assert.deepEqual(await ended(connection), { code: 1001, reason: 'bye', wasClean: true });
      assert.deepEqual(seen, ['a']);
    });

    test('a wrong frame fails the connection, which had been established', async (t) => {
      const [{ connection, peer }] = await links(t, tls, [{}], Buffer.from('8300', 'hex'));
      peer.end();
      const { code, error } = await ended(connection);
      assert.deepEqual([code, error?.code], [1006, 'ERR_RESERVED_OPCODE']);
    });

    test('the 101 may come byte by byte, and the frames behind it', async (t) => {
      const seen: string[] = [];
      const pieces = (request: string): Buffer[] =>
        [...Buffer.concat([Buffer.from(accepting(request)), text('a'), text('b')])].map((byte) =>
          Buffer.of(byte),
        );
      const server = await rawServer(t, answering(pieces), { tls });
      const connection = await connect(server.url, {
        tls: { ca: certificate().cert },
        onMessage: (message) => void seen.push(message.text()),
      });
      t.after(() => connection.terminate());
      await until(() => seen.length === 2);
      assert.deepEqual(seen, ['a', 'b']);
    });
  });
}

describe('RFC 6455 §4.1: an answer other than the 101', GUARD, () => {
  const answers: Record<string, { pieces: (string | Uint8Array)[]; expect: Partial<HandshakeError> }> = {
    'a status, its fields and its body': {
      pieces: [
        'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 5\r\n\r\n',
        'no en',
        'try',
      ],
      expect: { statusCode: 401, body: Buffer.from('no en'), retryAfter: undefined },
    },
    'Retry-After in seconds': {
      pieces: ['HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n'],
      expect: { statusCode: 503, body: Buffer.alloc(0), retryAfter: 120_000 },
    },
    'a chunked body': {
      pieces: [
        'HTTP/1.1 429 Slow Down\r\nTransfer-Encoding: chunked\r\n\r\n',
        '3\r\nabc\r\n',
        '2\r\nde\r\n0\r\n\r\n',
      ],
      expect: { statusCode: 429, body: Buffer.from('abcde') },
    },
    'a status that is success': {
      pieces: ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'],
      expect: { statusCode: 200, body: Buffer.from('hi') },
    },
    'a body of which 64 KiB are kept': {
      pieces: ['HTTP/1.1 500 Oops\r\nContent-Length: 100000\r\n\r\n', Buffer.alloc(100_000, 'x')],
      expect: { statusCode: 500, body: Buffer.alloc(65_536, 'x') },
    },
  };
  for (const [title, { pieces, expect }] of Object.entries(answers)) {
    test(`${title}: ERR_HANDSHAKE_STATUS, and the socket is closed`, async (t) => {
      const server = await rawServer(
        t,
        answering(() => pieces),
      );
      await leavesNothing(server, async () => {
        const error = await refusal(server.url);
        assert.equal(error.code, 'ERR_HANDSHAKE_STATUS');
        for (const [name, value] of Object.entries(expect)) {
          assert.deepEqual(error[name as keyof HandshakeError], value, name);
        }
        assert.ok(error.message.includes(String(expect.statusCode)));
      });
    });
  }

  test('a body that ends with the connection', async (t) => {
    const server = await rawServer(t, (socket) =>
      socket.once('data', () => socket.end('HTTP/1.1 403 Forbidden\r\nX-Reason: region\r\n\r\nnot here')),
    );
    const error = await refusal(server.url);
    assert.deepEqual([error.code, error.statusCode], ['ERR_HANDSHAKE_STATUS', 403]);
    assert.equal(error.headers?.['x-reason'], 'region');
    assert.equal(error.body?.toString(), 'not here');
  });

  test('Retry-After as a date', async (t) => {
    const date = new Date(Date.now() + 90_000).toUTCString();
    const head = `HTTP/1.1 503 Busy\r\nRetry-After: ${date}\r\nContent-Length: 0\r\n\r\n`;
    const server = await rawServer(
      t,
      answering(() => [head]),
    );
    const { retryAfter = 0 } = await refusal(server.url);
    assert.ok(retryAfter > 80_000 && retryAfter <= 90_000, `${retryAfter}`);
  });

  const wrong: Record<string, [change: (head: string) => string, code: string]> = {
    'a wrong Sec-WebSocket-Accept': [
      (head) => head.replace(/Accept: \S+/, 'Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA='),
      'ERR_HANDSHAKE_ACCEPT',
    ],
    'no Upgrade': [(head) => head.replace(/Upgrade: websocket\r\n/, ''), 'ERR_HANDSHAKE_UPGRADE'],
    'no Connection': [(head) => head.replace(/Connection: Upgrade\r\n/, ''), 'ERR_HANDSHAKE_CONNECTION'],
    'a subprotocol nobody asked for': [
      (head) => head.replace('\r\n\r\n', '\r\nSec-WebSocket-Protocol: chat\r\n\r\n'),
      'ERR_HANDSHAKE_PROTOCOL',
    ],
    'an extension nobody offered': [
      (head) => head.replace('\r\n\r\n', '\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n'),
      'ERR_HANDSHAKE_EXTENSION',
    ],
    'a head that is no HTTP': [() => 'SSH-2.0-OpenSSH_9.6\r\n', 'ERR_HANDSHAKE_MALFORMED'],
    'a head that does not end': [
      (head) => head.slice(0, -2) + 'X: x\r\n'.repeat(5_000),
      'ERR_HANDSHAKE_HEAD_TOO_LARGE',
    ],
  };
  for (const [title, [change, code]] of Object.entries(wrong)) {
    test(`${title}: ${code}, and the socket is closed`, async (t) => {
      const server = await rawServer(
        t,
        answering((request) => [change(accepting(request))]),
      );
      await leavesNothing(server, async () => {
        const refused = refusal(server.url);
        assert.equal((await refused).code, code);
        await until(() => server.sockets[0].destroyed || server.sockets[0].readableEnded);
      });
    });
  }
});

describe('RFC 6455 §4.1: the request', GUARD, () => {
  test('carries user information, fields and subprotocols; the answer’s choice is the connection’s', async (t) => {
    const server = await scriptedServer({
      answer: (request) =>
        accepting(request, ['Sec-WebSocket-Protocol: second', 'X-Server: one', 'x-server: two']),
    });
    t.after(() => server.close());
    const connection = await connect(`ws://us%C3%A9r:p%40ss@127.0.0.1:${server.port}/path?query=1`, {
      protocols: ['first', 'second'],
      headers: { 'X-Client': 'heartwire', Cookie: ['a=1', 'b=2'] },
    });
    t.after(() => connection.terminate());
    const { request } = await server.peer();
    const lines = request.split('\r\n');
    assert.equal(lines[0], 'GET /path?query=1 HTTP/1.1');
    const credentials = Buffer.from('usér:p@ss').toString('base64');
    for (const line of [
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Protocol: first, second',
      `Authorization: Basic ${credentials}`,
      'X-Client: heartwire',
      'Cookie: a=1',
      'Cookie: b=2',
    ]) {
      assert.ok(lines.includes(line), `${line} in ${request}`);
    }
    assert.equal(connection.protocol, 'second');
    assert.deepEqual(connection.extensions, []);
    assert.equal(connection.url, `ws://127.0.0.1:${server.port}/path?query=1`, 'without the password');
    assert.equal(connection.handshake.headers['x-server'], 'one, two');
  });

  test('§4.1 item 7: no two connections have the same key', async (t) => {
    const made = await links(t, false, [{}, {}, {}]);
    const keys = made.map(({ peer }) => /^sec-websocket-key: (\S+)$/im.exec(peer.request)?.[1]);
    assert.equal(new Set(keys).size, 3);
    for (const key of keys) assert.equal(Buffer.from(key!, 'base64').length, 16);
  });
});

describe('connection.handshake', GUARD, () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`tells status, fields and the time of each phase, over ${over}`, async (t) => {
      const server = await scriptedServer({ tls });
      t.after(() => server.close());
      const start = performance.now();
      const connection = await connect(server.url.replace('127.0.0.1', 'localhost'), {
        tls: server.tls,
        socket: { lookup: toLoopback },
      });
      t.after(() => connection.terminate());
      const { status, headers, timings } = connection.handshake;
      assert.equal(status, 101);
      assert.equal(headers.upgrade, 'websocket');
      const phases = [0, timings.lookup!, timings.connect, ...(tls ? [timings.tls!] : []), timings.open];
      assert.ok(
        phases.every((ms, i) => i === 0 || ms >= phases[i - 1]),
        `${phases}`,
      );
      assert.ok(timings.open > 0 && timings.open <= performance.now() - start);
      assert.equal(timings.tls === undefined, !tls);
    });
  }

  test('an address is not looked up', async (t) => {
    const { connection } = await link(t, false);
    assert.equal(connection.handshake.timings.lookup, undefined);
  });
});

describe('ERR_INVALID_OPTION, before anything is sent', GUARD, () => {
  const AMOUNTS = [
    'handshakeTimeout',
    'closeTimeout',
    'maxMessageSize',
    'highWaterMark',
    'maxBufferedAmount',
  ];
  for (const name of AMOUNTS) {
    test(`${name}: what is no number, or out of range`, async (t) => {
      const server = await rawServer(t);
      const isTimeout = name.endsWith('Timeout');
      for (const value of [
        -1,
        Number.NaN,
        Number.NEGATIVE_INFINITY,
        '10',
        null,
        {},
        2 ** 53,
        ...(isTimeout ? [2 ** 31] : []),
      ]) {
        await assert.rejects(connect(server.url, { [name]: value }), (error) => {
          assert.ok(error instanceof UsageError, `${value}: ${error}`);
          assert.equal(error.code, 'ERR_INVALID_OPTION');
          assert.ok(error.message.includes(name));
          return true;
        });
      }
      assert.equal(server.sockets.length, 0);
    });
  }

  test('what node:net and node:tls refuse', async (t) => {
    const server = await rawServer(t);
    const refused: [scheme: string, options: ConnectOptions][] = [
      ['ws', { socket: { localAddress: 'not an address' } }],
      ['ws', { socket: { lookup: 'dns' as unknown as LookupFunction } }],
      ['wss', { tls: { key: 'not a key' } }],
      ['wss', { tls: { minVersion: 'TLSv9' as 'TLSv1.3' } }],
    ];
    await leavesNothing(undefined, async () => {
      for (const [scheme, options] of refused) {
        await assert.rejects(connect(server.url.replace('ws', scheme), options), {
          name: 'UsageError',
          code: 'ERR_INVALID_OPTION',
        });
      }
      assert.equal(server.sockets.length, 0);
    });
  });

  test('a bad URL, header or subprotocol is a rejection too, never thrown', async () => {
    const bad: [url: string, options: ConnectOptions, code: string][] = [
      ['http://127.0.0.1/', {}, 'ERR_INVALID_URL'],
      ['ws://127.0.0.1/#fragment', {}, 'ERR_INVALID_URL'],
      ['nonsense', {}, 'ERR_INVALID_URL'],
      ['ws://127.0.0.1/', { headers: { 'X-Bad': 'a\r\nb' } }, 'ERR_INVALID_HEADER'],
      ['ws://127.0.0.1/', { protocols: ['a', 'a'] }, 'ERR_INVALID_PROTOCOL'],
    ];
    for (const [url, options, code] of bad) {
      const promise = connect(url, options);
      await assert.rejects(promise, { name: 'UsageError', code });
    }
  });
});

describe('connections of one process', GUARD, () => {
  test('a hundred at once, each with its own messages', async (t) => {
    const server = await scriptedServer({
      onConnection: (peer) => void peer.write(text(/^GET \/(\d+)/.exec(peer.request)![1])),
    });
    t.after(() => server.close());
    const seen = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const messages: string[] = [];
        const connection = await connect(`${server.url}${i}`, {
          onMessage: (message) => void messages.push(message.text()),
        });
        t.after(() => connection.terminate());
        await until(() => messages.length === 1);
        return messages[0];
      }),
    );
    assert.deepEqual(
      seen,
      Array.from({ length: 100 }, (_, i) => `${i}`),
    );
  });
});
