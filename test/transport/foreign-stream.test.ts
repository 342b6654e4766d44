/**
 * `createConnection`: streams of the user's own. Unix sockets, SOCKS by the npm library, and streams that are all
 * JavaScript, which do what no socket does: answer before `write()` returns, keep what they were given, never close.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex, PassThrough } from 'node:stream';
import { describe, type TestContext, test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { SocksClient } from 'socks';
import { WebSocketServer } from 'ws';
import { type ConnectOptions, connect } from '../../src/connect.js';
import type { Connection } from '../../src/connection.js';
import { HandshakeError, UsageError } from '../../src/errors.js';
import type { ConnectionTarget } from '../../src/transport/foreign-stream.js';
import { pseudoRandomBytes } from '../arbitraries/payload.js';
import { until } from '../leases/link.js';
import { encodeFrame } from '../reference/frame.js';
import { readFrames } from '../reference/frame-reader.js';
import { certificate } from '../server/certificate.js';
import { echoServer } from '../server/echo-server.js';
import { leavesNothingOpen } from '../server/resources.js';
import { accepting, turns } from '../server/scripted-server.js';
import { socksServer } from '../server/socks-server.js';

const TLS = { ca: certificate().cert };

async function refusal(url: string, options: ConnectOptions): Promise<HandshakeError> {
  const outcome: unknown = await connect(url, options).catch((thrown: unknown) => thrown);
  if (!(outcome instanceof HandshakeError)) (outcome as { terminate?(): void }).terminate?.();
  assert.ok(outcome instanceof HandshakeError, `${outcome}`);
  return outcome;
}

/** Sends messages of many sizes at once, and waits until all have come back. */
async function echoes(connection: Connection): Promise<void> {
  const sent = [0, 1, 125, 126, 4_000, 65_536, 300_000, 2_000_000].map(pseudoRandomBytes);
  const received: Buffer[] = [];
  connection.onMessage = (message) => void received.push(message.copy());
  for (const bytes of sent) connection.send(bytes);
  await until(() => received.length === sent.length);
  for (const [i, bytes] of sent.entries()) assert.ok(received[i].equals(bytes), `${bytes.length} bytes`);
}

/** `ws` behind a Unix socket. */
async function unixServer(t: TestContext, tls: boolean): Promise<{ path: string; close(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'heartwire-unix-'));
  const path = join(folder, 'server.sock');
  const http = tls ? createHttpsServer(certificate()) : createHttpServer();
  const server = new WebSocketServer({ server: http });
  server.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  http.listen(path);
  await once(http, 'listening');
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    const closed = once(http, 'close');
    for (const socket of server.clients) socket.terminate();
    server.close();
    http.close();
    http.closeAllConnections();
    await closed;
    rmSync(folder, { recursive: true });
  };
  const closeOnce = (): Promise<void> => (closing ??= close());
  t.after(closeOnce);
  return { path, close: closeOnce };
}

describe('a Unix socket', () => {
  for (const tls of [false, true]) {
    test(`${tls ? 'wss' : 'ws'}: messages of all sizes, and back`, async (t) => {
      const { path, close } = await unixServer(t, tls);
      await leavesNothingOpen(async () => {
        const targets: ConnectionTarget[] = [];
        const connection = await connect(`${tls ? 'wss' : 'ws'}://user:secret@localhost/chat?room=1`, {
          tls: TLS,
          createConnection(target) {
            targets.push(target);
            // Not connected yet: that is waited for.
            return connectTcp(path);
          },
        });
        await echoes(connection);
        assert.deepEqual(targets, [
          {
            secure: tls,
            host: 'localhost',
            port: tls ? 443 : 80,
            url: `${tls ? 'wss' : 'ws'}://localhost/chat?room=1`,
          },
        ]);
        assert.equal(connection.remoteAddress, undefined);
        assert.deepEqual(connection.handshake.attempts, []);
        assert.equal(connection.handshake.tls !== undefined, tls);
        assert.equal((await connection.close()).wasClean, true);
      }, close);
    });
  }

  test('one that is not there: ERR_CONNECT, and the cause tells', async () => {
    await leavesNothingOpen(async () => {
      const error = await refusal('ws://localhost/', {
        createConnection: () => connectTcp('/nowhere/at.all'),
      });
      assert.equal(error.code, 'ERR_CONNECT');
      assert.equal((error.cause as NodeJS.ErrnoException).code, 'ENOENT');
      assert.match(error.message, /^localhost:80: createConnection failed/);
    });
  });

  test('typeOfService: it has none, which is reported', async (t) => {
    const { path } = await unixServer(t, false);
    const socket = { typeOfService: 0xb8 };
    const connection = await connect('ws://localhost/', { createConnection: () => connectTcp(path), socket });
    assert.deepEqual(connection.handshake.notApplied, ['typeOfService']);
    connection.terminate();
    const server = new SynchronousServer();
    const another = await connect('ws://localhost/', { createConnection: () => server, socket });
    assert.deepEqual(another.handshake.notApplied, ['typeOfService']);
    another.terminate();
  });

  test('terminate() closes it', async (t) => {
    const { path } = await unixServer(t, false);
    const socket = connectTcp(path);
    const connection = await connect('ws://localhost/', { createConnection: () => socket });
    connection.terminate();
    assert.equal((await connection.closed).code, 1006);
    assert.ok(socket.destroyed);
  });
});

describe('SOCKS5 (RFC 1928), by the npm library socks', () => {
  for (const tls of [false, true]) {
    test(`${tls ? 'wss' : 'ws'}: messages of all sizes, and back; the name is the SOCKS server's to resolve`, async (t) => {
      const server = await echoServer({ tls });
      t.after(() => server.close());
      const socks = await socksServer();
      t.after(() => socks.close());
      const connection = await connect(`${tls ? 'wss' : 'ws'}://localhost:${server.port}/`, {
        tls: TLS,
        async createConnection({ host, port }) {
          const { socket } = await SocksClient.createConnection({
            proxy: { host: '127.0.0.1', port: socks.port, type: 5 },
            command: 'connect',
            destination: { host, port },
          });
          return socket;
        },
      });
      await echoes(connection);
      assert.deepEqual(socks.requests, [`localhost:${server.port}`]);
      assert.equal(connection.remotePort, socks.port);
      assert.equal((await connection.close()).wasClean, true);
    });
  }

  test('what the library rejects with is the cause', async (t) => {
    const socks = await socksServer();
    t.after(() => socks.close());
    const server = await echoServer();
    await server.close();
    const error = await refusal(server.url, {
      async createConnection({ host, port }) {
        const proxy = { host: '127.0.0.1', port: socks.port, type: 5 } as const;
        return (
          await SocksClient.createConnection({ proxy, command: 'connect', destination: { host, port } })
        ).socket;
      },
    });
    assert.equal(error.code, 'ERR_CONNECT');
    assert.match(error.message, /createConnection failed: .*ConnectionRefused/i);
  });
});

describe('a socket of the user’s', () => {
  test('a TLSSocket is used as it is: no TLS within TLS', async (t) => {
    const server = await echoServer({ tls: true });
    t.after(() => server.close());
    for (const waits of [false, true]) {
      const connection = await connect(server.url, {
        tls: { ca: 'not looked at' },
        async createConnection({ host, port }) {
          const socket = connectTls({ host, port, ...TLS, ALPNProtocols: ['http/1.1'] });
          if (waits) await once(socket, 'secureConnect');
          return socket;
        },
      });
      await echoes(connection);
      const { handshake } = connection;
      assert.equal(handshake.tls?.protocol, 'TLSv1.3');
      assert.equal(handshake.tls?.resumed, false);
      assert.equal((await connection.close()).wasClean, true);
    }
  });

  test('a TLSSocket that fails: ERR_CONNECT, because its handshake is the user’s', async (t) => {
    const server = await echoServer({ tls: true });
    t.after(() => server.close());
    await leavesNothingOpen(
      async () => {
        const error = await refusal(server.url, {
          createConnection: ({ host, port }) => connectTls({ host, port }),
        });
        assert.equal(error.code, 'ERR_CONNECT');
        assert.equal((error.cause as NodeJS.ErrnoException).code, 'DEPTH_ZERO_SELF_SIGNED_CERT');
      },
      () => server.close(),
    );
  });

  /** A TLS server that only does what it is told to, and never accepts a WebSocket. */
  async function silentServer(t: TestContext, speak?: (socket: Socket) => void): Promise<number> {
    const server = createTlsServer(certificate(), (socket) => {
      socket.on('error', () => {});
      speak?.(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    return (server.address() as { port: number }).port;
  }

  test('a TLSSocket on which the server speaks first: that is no answer', async (t) => {
    const port = await silentServer(t, (socket) => socket.write(accepting('Sec-WebSocket-Key: x')));
    const error = await refusal(`wss://127.0.0.1:${port}/`, {
      async createConnection() {
        const socket = connectTls({ host: '127.0.0.1', port, ...TLS });
        await once(socket, 'secureConnect');
        await until(() => socket.readableLength > 0);
        return socket;
      },
    });
    assert.match(error.code, /^ERR_HANDSHAKE_(MALFORMED|ACCEPT)$/);
  });

  test('a TLSSocket that is destroyed, at whatever moment: ERR_CONNECT', async (t) => {
    const port = await silentServer(t);
    for (let moment = 0; moment < 24; moment++) {
      const error = await refusal(`wss://127.0.0.1:${port}/`, {
        async createConnection() {
          const socket = connectTls({ host: '127.0.0.1', port, ...TLS });
          await once(socket, 'secureConnect');
          void (async () => {
            for (let i = 0; i < moment; i++) await (moment < 18 ? null : turns(1));
            socket.destroy();
          })();
          return socket;
        },
      });
      assert.equal(error.code, 'ERR_CONNECT', `${moment}: ${error.message}`);
    }
  });

  test('what node:tls refuses is the user’s mistake over it as well', async () => {
    const stream = new PassThrough();
    await assert.rejects(
      connect('wss://anywhere/', {
        createConnection: () => stream,
        tls: { minVersion: 'TLSv9' as 'TLSv1.3' },
      }),
      { name: 'UsageError', code: 'ERR_INVALID_OPTION' },
    );
    assert.equal(stream.destroyed, true);
  });

  test('Nagle’s algorithm is off on it as well', async (t) => {
    const server = await echoServer();
    t.after(() => server.close());
    const socket = connectTcp(server.port, '127.0.0.1');
    const set: (boolean | undefined)[] = [];
    const setNoDelay = socket.setNoDelay.bind(socket);
    socket.setNoDelay = (on) => {
      set.push(on);
      return setNoDelay(on);
    };
    const connection = await connect(server.url, { createConnection: () => socket });
    assert.deepEqual(set, [true]);
    connection.terminate();
  });

  test('certificates are verified over it as over any other', async (t) => {
    const server = await echoServer({ tls: true });
    t.after(() => server.close());
    await leavesNothingOpen(
      async () => {
        const createConnection = (): Socket => connectTcp(server.port, '127.0.0.1');
        const error = await refusal(server.url, { createConnection });
        assert.equal(error.code, 'ERR_TLS_CERTIFICATE');
        const wrongName = await refusal('wss://elsewhere.test/', { createConnection, tls: TLS });
        assert.equal((wrongName.cause as NodeJS.ErrnoException).code, 'ERR_TLS_CERT_ALTNAME_INVALID');
      },
      () => server.close(),
    );
  });
});

/**
 * A server's end that answers within `write()`, before that returns: the most synchronous stream there is. It keeps
 * every Buffer it is given, as a stream may.
 */
class SynchronousServer extends Duplex {
  readonly given: Buffer[] = [];
  readonly copies: Buffer[] = [];
  /** What to answer to the bytes of a write behind the handshake. */
  answer: (bytes: Buffer) => Buffer | undefined = () => undefined;
  /** Writes whose callbacks are held back. */
  held: (() => void)[] | undefined;
  #open = false;

  override _write(chunk: Buffer, _: BufferEncoding, callback: () => void): void {
    this.given.push(chunk);
    this.copies.push(Buffer.from(chunk));
    if (this.#open) {
      const answer = this.answer(chunk);
      if (answer !== undefined) this.push(answer);
    } else {
      this.#open = true;
      this.push(accepting(chunk.toString('latin1')));
    }
    if (this.held === undefined) callback();
    else this.held.push(callback);
  }

  override _read(): void {}

  /** What the client has written behind its request. */
  get received(): Buffer {
    return Buffer.concat(this.copies.slice(1));
  }
}

/** Unmasked, as a server sends it. */
const text = (payload: string): Buffer => encodeFrame({ opcode: 1, payload: Buffer.from(payload) });

describe('a stream that is all JavaScript', () => {
  async function opened(
    t: TestContext,
    options: ConnectOptions = {},
  ): Promise<{ connection: Connection; server: SynchronousServer }> {
    const server = new SynchronousServer();
    const connection = await connect('ws://anywhere/', { createConnection: () => server, ...options });
    t.after(() => connection.terminate());
    return { connection, server };
  }

  test('lease rule 4: what it answers within send() is not delivered within send()', async (t) => {
    const log: string[] = [];
    const { connection, server } = await opened(t, {
      onMessage(message, own) {
        const number = Number(message.text());
        log.push(`message ${number}`);
        if (number >= 3) return;
        log.push(`send ${number + 1}`);
        own.send(`${number + 1}`);
        log.push(`sent ${number + 1}`);
      },
    });
    server.answer = (bytes) => {
      const { frames } = readFrames(bytes, { masked: true, rsv1: false });
      return Buffer.concat(frames.map(({ payload }) => text(payload.toString())));
    };
    log.push('send 1');
    connection.send('1');
    log.push('sent 1');
    await until(() => log.length === 9);
    assert.deepEqual(log, [
      'send 1',
      'sent 1',
      'message 1',
      'send 2',
      'sent 2',
      'message 2',
      'send 3',
      'sent 3',
      'message 3',
    ]);
  });

  test('lease rule 4: nor when it ends within the same call', async (t) => {
    const log: string[] = [];
    const { connection, server } = await opened(t, {
      onMessage: (message) => void log.push(message.text()),
      onClose: ({ code }) => void log.push(`closed ${code}`),
    });
    server.answer = () => {
      server.push(text('the last'));
      server.push(null);
      return undefined;
    };
    connection.send('x');
    log.push('sent');
    await connection.closed;
    assert.deepEqual(log, ['sent', 'the last', 'closed 1006']);
  });

  test('one whose read is begun inside another connection’s callback leaves that one’s message alone', async (t) => {
    const { connection: other, server } = await opened(t, { onMessage: () => {} });
    server.answer = () => text('x'.repeat(5_000));
    const seen: string[] = [];
    const { server: first } = await opened(t, {
      onMessage(message) {
        const before = message.text();
        other.send('go on');
        seen.push(before, message.text());
      },
    });
    first.push(Buffer.concat([text('one'), text('two')]));
    await until(() => seen.length === 4);
    assert.deepEqual(seen, ['one', 'one', 'two', 'two']);
  });

  test('it is given Buffers of its own: none changes after it was written', async (t) => {
    const { connection, server } = await opened(t);
    for (let i = 0; i < 200; i++) {
      connection.send(pseudoRandomBytes(i * 37, i));
      if (i % 10 === 0) await turns(1);
    }
    await connection.flushed();
    assert.ok(server.given.length > 20);
    for (const [i, chunk] of server.given.entries()) assert.ok(chunk.equals(server.copies[i]), `write ${i}`);
    const { frames } = readFrames(server.received, { masked: true, rsv1: false });
    assert.equal(frames.length, 200);
    for (const [i, { payload }] of frames.entries()) {
      assert.ok(Buffer.from(payload).equals(pseudoRandomBytes(i * 37, i)), `message ${i}`);
    }
  });

  test('backpressure towards it: what it has not taken is buffered, and onDrain tells when it has', async (t) => {
    let drained = 0;
    const { connection, server } = await opened(t, { highWaterMark: 10_000, onDrain: () => void drained++ });
    server.held = [];
    assert.equal(connection.send(Buffer.alloc(5_000)), true);
    await turns(1);
    assert.equal(connection.bufferedAmount, 5_008);
    assert.equal(connection.send(Buffer.alloc(6_000)), false);
    await turns(2);
    assert.equal(connection.bufferedAmount, 11_016);
    const flushed = connection.flushed();
    while (connection.bufferedAmount > 0) {
      for (const taken of server.held.splice(0)) taken();
      await turns(1);
    }
    await flushed;
    assert.equal(drained, 1);
    assert.equal(connection.stats().bytesSent, 11_016);
  });

  test('backpressure from it: pause() leaves the rest in the stream, which tells its source to wait', async (t) => {
    const seen: string[] = [];
    const { connection, server } = await opened(t, {
      onMessage(message, own) {
        seen.push(message.text());
        if (seen.length === 2) own.pause();
      },
    });
    server.push(Buffer.concat(['a', 'b', 'c'].map(text)));
    await until(() => seen.length === 2);
    await turns(2);
    while (server.push(text('x'.repeat(1_000))));
    const { readableLength } = server;
    assert.ok(readableLength >= server.readableHighWaterMark, `${readableLength} bytes`);
    await turns(5);
    assert.equal(server.readableLength, readableLength, 'it was read while paused');
    assert.deepEqual(seen, ['a', 'b']);
    connection.resume();
    assert.deepEqual(seen, ['a', 'b'], 'resume() delivered');
    await until(() => server.readableLength === 0 && seen.length > 3);
    assert.deepEqual(seen.slice(0, 4), ['a', 'b', 'c', 'x'.repeat(1_000)]);
  });

  test('without a listener it is read no further than to the limit of what is kept', async (t) => {
    const { connection, server } = await opened(t);
    const piece = Buffer.concat(Array.from({ length: 64 }, () => text('x'.repeat(1_000))));
    let pushed = 0;
    for (; server.readableLength === 0 && pushed < 100; pushed++) {
      server.push(piece);
      await turns(3);
    }
    // 1 024 messages or 1 MiB, whichever comes first.
    assert.ok(pushed > 15 && pushed < 20, `${pushed} pieces of 64 messages`);
    let seen = 0;
    connection.onMessage = () => void seen++;
    await until(() => seen === pushed * 64);
    assert.equal(server.readableLength, 0);
  });

  test('frames arrive whole at any split, however large', async (t) => {
    const payloads = [0, 5, 200, 70_000, 200_000].map(pseudoRandomBytes);
    const received: Buffer[] = [];
    const { server } = await opened(t, { onMessage: (message) => void received.push(message.copy()) });
    const wire = Buffer.concat(payloads.map((payload) => encodeFrame({ opcode: 2, payload })));
    for (let at = 0, size = 1; at < wire.length; at += size, size = Math.ceil(size * 1.7)) {
      server.push(wire.subarray(at, at + size));
      await turns(1);
    }
    await until(() => received.length === payloads.length);
    for (const [i, payload] of payloads.entries()) assert.ok(received[i].equals(payload), `message ${i}`);
  });

  test('the closing handshake, RFC 6455 §7.1.1, ends in the stream’s end', async (t) => {
    const { connection, server } = await opened(t, { onMessage: () => {} });
    server.answer = () => {
      server.push(encodeFrame({ opcode: 8, payload: Buffer.from('03e8', 'hex') }));
      server.push(null);
      return undefined;
    };
    const info = await connection.close();
    assert.deepEqual([info.code, info.wasClean], [1000, true]);
    assert.ok(server.destroyed);
  });

  test('one that stays half open is closed when its server has ended', async (t) => {
    const { connection, server } = await opened(t, { onMessage: () => {} });
    assert.equal(server.allowHalfOpen, true);
    server.push(null);
    const info = await connection.closed;
    assert.equal(info.code, 1006);
    assert.ok(server.destroyed);
  });

  /** Closes only when it is told to. */
  class Stubborn extends SynchronousServer {
    constructor() {
      super();
      const states = this as unknown as Record<'_readableState' | '_writableState', { autoDestroy: boolean }>;
      states._readableState.autoDestroy = false;
      states._writableState.autoDestroy = false;
    }
  }

  test('one that does not close by itself is closed: when the server ends first', async (t) => {
    const server = new Stubborn();
    const connection = await connect('ws://anywhere/', {
      createConnection: () => server,
      closeTimeout: 60_000,
      onMessage: () => {},
    });
    t.after(() => connection.terminate());
    server.push(null);
    await until(() => server.destroyed);
    assert.equal((await connection.closed).code, 1006);
  });

  test('one that does not close by itself is closed: when we end first', async (t) => {
    const server = new Stubborn();
    const connection = await connect('ws://anywhere/', {
      createConnection: () => server,
      closeTimeout: 60_000,
      onMessage: () => {},
    });
    t.after(() => connection.terminate());
    // A masked frame (§5.1) fails the connection.
    server.push(Buffer.from('8180', 'hex'));
    await until(() => server.writableFinished);
    assert.ok(!server.destroyed);
    server.push(null);
    await until(() => server.destroyed);
    assert.equal((await connection.closed).error?.code, 'ERR_MASKED_FRAME');
  });

  test('one that does not close by itself is closed: when it fails', async (t) => {
    const server = new Stubborn();
    const connection = await connect('ws://anywhere/', {
      createConnection: () => server,
      onMessage: () => {},
    });
    t.after(() => connection.terminate());
    const failure = new Error('the wire was cut');
    server.emit('error', failure);
    const info = await connection.closed;
    assert.equal(info.error?.cause, failure);
  });

  test('TLS over it: RFC 8446 over a Duplex', async (t) => {
    const server = await echoServer({ tls: true });
    t.after(() => server.close());
    /** No socket, though there is one behind it. */
    const wrapped = (): Duplex => {
      const socket = connectTcp(server.port, '127.0.0.1');
      const duplex = new Duplex({
        read: () => void socket.resume(),
        write: (chunk, _encoding, callback) => void socket.write(chunk, callback),
        final: (callback) => void socket.end(callback),
        destroy(error, callback) {
          socket.destroy();
          callback(error);
        },
      });
      socket.on('error', () => {});
      socket.on('end', () => duplex.push(null));
      socket.on('data', (chunk) => {
        if (!duplex.push(chunk)) socket.pause();
      });
      return duplex;
    };
    await leavesNothingOpen(
      async () => {
        for (const resumed of [false, true]) {
          const connection = await connect(server.url, { tls: TLS, createConnection: wrapped });
          assert.equal(connection.handshake.tls?.resumed, resumed);
          await echoes(connection);
          assert.equal((await connection.close()).wasClean, true);
        }
        const error = await refusal(server.url, { createConnection: wrapped });
        assert.equal(error.code, 'ERR_TLS_CERTIFICATE');
      },
      () => server.close(),
    );
  });
});

describe('what createConnection may do wrong', () => {
  test('throw, or reject: ERR_CONNECT with that as the cause', async () => {
    for (const reason of [new Error('no way there'), 'no way there']) {
      for (const createConnection of [
        (): never => {
          throw reason;
        },
        () => Promise.reject(reason),
      ]) {
        const error = await refusal('ws://anywhere/', { createConnection });
        assert.equal(error.code, 'ERR_CONNECT');
        assert.equal(error.cause, reason);
        assert.match(error.message, /^anywhere:80: createConnection failed: no way there/);
      }
    }
  });

  test('return what is no stream of bytes: the user’s mistake', async () => {
    const things: unknown[] = [
      undefined,
      null,
      'a stream',
      {},
      { write() {}, on() {} },
      new PassThrough({ objectMode: true }),
      new PassThrough().setEncoding('utf8'),
    ];
    for (const thing of things) {
      await assert.rejects(
        connect('ws://anywhere/', { createConnection: () => thing as Duplex }),
        (error) => error instanceof UsageError && error.code === 'ERR_INVALID_OPTION',
      );
    }
    await assert.rejects(connect('ws://anywhere/', { createConnection: 'x' as never }), UsageError);
  });

  test('return a stream that has ended', async () => {
    const ended = new PassThrough();
    ended.destroy();
    const error = await refusal('ws://anywhere/', { createConnection: () => ended });
    assert.equal(error.code, 'ERR_CONNECT');
    assert.match(error.message, /had ended before it was used/);
  });

  test('return a stream that fails, at whatever moment', async () => {
    for (const [url, cause] of [
      ['ws://anywhere/', new Error('the wire was cut')],
      ['wss://anywhere/', new Error('the wire was cut')],
      ['ws://anywhere/', undefined],
      ['wss://anywhere/', undefined],
    ] as const) {
      for (let microtasks = 0; microtasks < 24; microtasks++) {
        const stream = new PassThrough();
        const failLater = async (): Promise<void> => {
          for (let i = 0; i < microtasks; i++) await null;
          stream.destroy(cause);
        };
        const error = await refusal(url, {
          createConnection() {
            void failLater();
            return stream;
          },
        });
        assert.match(error.code, /^ERR_(CONNECT|TLS)$/);
      }
    }
  });

  test('take too long: the stream that comes late is closed', async () => {
    for (const [limit, code] of [
      [() => ({ handshakeTimeout: 30 }), 'ERR_HANDSHAKE_TIMEOUT'],
      [() => ({ signal: AbortSignal.timeout(30) }), 'ERR_ABORTED'],
    ] as const) {
      let give = (_: Duplex): void => {};
      const late = new Promise<Duplex>((resolve) => (give = resolve));
      const error = await refusal('ws://anywhere/', { createConnection: () => late, ...limit() });
      assert.equal(error.code, code);
      assert.match(error.message, /\(createConnection\)/);
      const stream = new PassThrough();
      give(stream);
      await until(() => stream.destroyed);
    }
  });

  test('return a socket that never connects', async () => {
    await leavesNothingOpen(async () => {
      const socket = connectTcp({ host: 'never.test', port: 1, lookup: () => {} });
      const error = await refusal('ws://anywhere/', { createConnection: () => socket, handshakeTimeout: 30 });
      assert.equal(error.code, 'ERR_HANDSHAKE_TIMEOUT');
      assert.ok(socket.destroyed);
    });
  });

  test('return a stream on which nobody answers', async () => {
    for (const url of ['ws://anywhere/', 'wss://anywhere/']) {
      const stream = new Duplex({ read() {}, write: (_chunk, _encoding, callback) => callback() });
      const error = await refusal(url, { createConnection: () => stream, handshakeTimeout: 30 });
      assert.equal(error.code, 'ERR_HANDSHAKE_TIMEOUT');
      assert.match(error.message, url.startsWith('wss') ? /TLS handshake/ : /waiting for the response/);
      await until(() => stream.destroyed);
    }
  });

  test('return a stream that answers with a refusal', async () => {
    const refusing = new Duplex({
      read() {},
      write(_chunk, _encoding, callback) {
        this.push('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
        callback();
      },
    });
    const error = await refusal('ws://anywhere/', { createConnection: () => refusing });
    assert.equal(error.code, 'ERR_HANDSHAKE_STATUS');
    assert.equal(error.statusCode, 403);
    assert.equal(error.body?.toString(), 'no');
    await until(() => refusing.destroyed);
  });
});
