/** `socket.io-client` and `engine.io-client`, which ask for `ws`, with `socket.io` as the server. */
import assert from 'node:assert/strict';
import type { EventEmitter as Emitter } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import { describe, type TestContext, test } from 'node:test';
import { attach, type Socket as EngineSocket } from 'engine.io';
import type * as EngineClient from 'engine.io-client';
import { Server } from 'socket.io';
import type * as Client from 'socket.io-client';
import { loadWithSubject } from './in-place-of-ws.js';
import { type Loopback, loopback, RETRY, until } from './loopback.js';
import { StandardWebSocket, WebSocket } from './subject.js';

const { io } = loadWithSubject('socket.io-client', 'engine.io-client') as typeof Client;
const engineOptions = {
  reconnectionDelay: RETRY,
  reconnectionDelayMax: RETRY,
  forceNew: true,
};

/** Answers, counts, and speaks first. */
function chat(t: TestContext, options: object = {}, tls = false): Promise<Loopback> {
  const serve = (http: HttpServer, show: (socket: Emitter) => void): void => {
    const server = new Server(http, options);
    server.engine.on('connection', (socket: EngineSocket) => {
      if (socket.transport.name === 'websocket') show(webSocketOf(socket));
    });
    server.on('connection', (socket) => {
      socket.emit('welcome', socket.handshake.headers['x-name'] ?? 'nobody', socket.handshake.auth);
      socket.on('echo', (...args: unknown[]) => {
        const answer = args.pop() as (...args: unknown[]) => void;
        answer(...args);
      });
      socket.on('join', (room: string) => {
        socket.join(room);
        server.to(room).emit('joined', room);
      });
      socket.on('flood', (count: number) => {
        for (let i = 0; i < count; i++) socket.emit('drop', i, Buffer.alloc(i % 300, i));
      });
      socket.on('leave', () => socket.disconnect(true));
    });
  };
  return loopback(t, serve, { tls });
}

/** A client that ends with its test, however that ends. */
function dial(
  t: TestContext,
  { url }: Loopback,
  options: object = { transports: ['websocket'] },
): Client.Socket {
  const client = io(url.replace('ws', 'http'), { ...engineOptions, ...options });
  t.after(() => client.disconnect());
  return client;
}

/** The server's WebSocket; polling has none. */
function webSocketOf(socket: EngineSocket): Emitter {
  return (socket.transport as unknown as { socket: Emitter }).socket;
}

/** Which class the client's transport has. */
function socketOf(client: Client.Socket): unknown {
  return (client.io.engine.transport as unknown as { ws: unknown }).ws;
}

describe('socket.io-client', { timeout: 20_000 }, () => {
  test('headers, acknowledgements, binary attachments, rooms, and a close', async (t) => {
    const server = await chat(t);
    const client = dial(t, server, {
      transports: ['websocket'],
      extraHeaders: { 'X-Name': 'Ada' },
      auth: { token: 'secret' },
    });
    const [name, auth] = await new Promise<unknown[]>((resolve) =>
      client.on('welcome', (...args) => resolve(args)),
    );
    assert.deepEqual([name, auth], ['Ada', { token: 'secret' }]);
    assert.ok(socketOf(client) instanceof WebSocket, 'the socket is of the class');

    const long = 'aé水🐟'.repeat(50_000);
    for (const value of ['', long, { a: [1, null, 'é'] }]) {
      assert.deepEqual(await client.emitWithAck('echo', value), value);
    }
    // An attachment is a message of its own, which is told from text by its kind alone.
    const attachments = [Buffer.from('é'), Buffer.alloc(0), Buffer.alloc(200_000, 7)];
    const echoed = (await client.emitWithAck('echo', { attachments })) as { attachments: Buffer[] };
    for (const [i, bytes] of echoed.attachments.entries()) {
      assert.ok(Buffer.isBuffer(bytes), 'an attachment is a Buffer');
      assert.ok(bytes.equals(attachments[i]), `attachment ${i}`);
    }
    const joined = new Promise((resolve) => client.on('joined', resolve));
    client.emit('join', 'books');
    assert.equal(await joined, 'books');

    const closed = server.closed();
    client.disconnect();
    assert.equal(await closed, 1005);
  });

  test('messages in a flood come in order, their attachments with them', async (t) => {
    const server = await chat(t);
    const client = dial(t, server);
    const drops: number[] = [];
    client.on('drop', (i: number, bytes: Buffer) => {
      assert.ok(bytes.equals(Buffer.alloc(i % 300, i)), `the attachment of drop ${i}`);
      drops.push(i);
    });
    client.emit('flood', 3_000);
    await until(() => drops.length === 3_000, 'all drops are there');
    assert.deepEqual(
      drops,
      Array.from({ length: 3_000 }, (_, i) => i),
    );
  });

  test('permessage-deflate with a threshold', async (t) => {
    const server = await chat(t, { perMessageDeflate: { threshold: 64 }, maxHttpBufferSize: 4e6 });
    const client = dial(t, server, {
      transports: ['websocket'],
      perMessageDeflate: { threshold: 64 },
    });
    for (const size of [10, 63, 64, 10_000, 1_000_000]) {
      const text = 'price '.repeat(size).slice(0, size);
      assert.equal(await client.emitWithAck('echo', text), text);
    }
    assert.match((socketOf(client) as WebSocket).extensions, /permessage-deflate/);
  });

  test('over TLS, with a certificate authority of its own, its socket unreferenced', async (t) => {
    const server = await chat(t, {}, true);
    const client = dial(t, server, { transports: ['websocket'], autoUnref: true, ...server.tls });
    assert.equal(await client.emitWithAck('echo', 'in secret'), 'in secret');
    const untrusting = dial(t, server);
    const failed = await new Promise<Error>((resolve) => untrusting.on('connect_error', resolve));
    assert.equal(failed.message, 'websocket error');
  });

  test('starts with polling and moves to the WebSocket', async (t) => {
    const server = await chat(t);
    const client = dial(t, server, {});
    await new Promise<void>((resolve) => client.on('connect', resolve));
    await until(() => client.io.engine.transport.name === 'websocket', 'the transport is changed');
    assert.equal(await client.emitWithAck('echo', 'after'), 'after');
    assert.ok(socketOf(client) instanceof WebSocket, 'the socket is of the class');
  });

  test('reconnects after a restart of the server, and sends what was emitted meanwhile', async (t) => {
    const server = await chat(t);
    const client = dial(t, server);
    await new Promise<void>((resolve) => client.on('connect', resolve));
    const first = client.id;
    const lost = new Promise((resolve) => client.on('disconnect', resolve));
    const restarted = server.restart();
    assert.equal(await lost, 'transport close');
    assert.equal(await client.emitWithAck('echo', 'meanwhile'), 'meanwhile');
    await restarted;
    assert.notEqual(client.id, first, 'it is another session');
    assert.equal(await client.emitWithAck('echo', 'after'), 'after');
  });

  test('the server’s disconnect is told apart from a loss', async (t) => {
    const server = await chat(t);
    const client = dial(t, server);
    const left = new Promise((resolve) => client.on('disconnect', resolve));
    client.emit('leave');
    assert.equal(await left, 'io server disconnect');
    assert.equal(client.active, false);
  });
});

describe('engine.io-client', { timeout: 20_000 }, () => {
  const { Socket, NodeWebSocket, WebSocket: BrowserWebSocket } = engine();
  const TRANSPORTS = [
    { of: 'the class of ws', transport: NodeWebSocket, Subject: WebSocket },
    { of: 'the global class', transport: BrowserWebSocket, Subject: StandardWebSocket },
  ];

  for (const { of, transport, Subject } of TRANSPORTS) {
    test(`text, and binary as Buffers where the class has them, on ${of}`, async (t) => {
      const server = await loopback(t, (http, show) => {
        const engine = attach(http, {});
        engine.on('connection', (socket: EngineSocket) => {
          show(webSocketOf(socket));
          socket.on('message', (data: string | Buffer) => socket.send(data));
        });
      });
      const client = new Socket(server.url, { transports: [transport] as never });
      t.after(() => client.close());
      const received: unknown[] = [];
      client.on('message', (data: unknown) => received.push(data));
      await new Promise<void>((resolve) => client.on('open', resolve));
      assert.ok((client.transport as unknown as { ws: unknown }).ws instanceof Subject, 'it is of the class');

      const sent = ['é水🐟', ...(Subject === WebSocket ? [Buffer.from([1, 2, 0xff])] : [])];
      for (const data of sent) client.send(data);
      await until(() => received.length === sent.length, 'all came back');
      assert.deepEqual(received, sent);
      const closed = server.closed();
      client.close();
      assert.equal(await closed, 1005);
    });
  }
});

/** The browser's transport takes the global class when it is loaded. */
function engine(): typeof EngineClient {
  const own = globalThis.WebSocket;
  globalThis.WebSocket = StandardWebSocket;
  try {
    return loadWithSubject('engine.io-client') as typeof EngineClient;
  } finally {
    globalThis.WebSocket = own;
  }
}
