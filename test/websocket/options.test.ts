/** What `ws`'s options do, where it takes more than a look at both to tell; and its defaults, each in a table. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { afterEach, describe, test } from 'node:test';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { SocksProxyAgent } from 'socks-proxy-agent';
import { createWebSocketStream, WebSocket } from '../../src/index.js';
import { formatExtensions } from '../../src/protocol/extensions.js';
import { deflateOffer, type PerMessageDeflateOptions } from '../../src/protocol/permessage-deflate.js';
import { authOf, behaviour, connectOptions, needsHttp } from '../../src/websocket/options.js';
import { encodeFrame } from '../reference/frame.js';
import { certificate } from '../server/certificate.js';
import { connectProxy } from '../server/connect-proxy.js';
import { type Echo, echoServer } from '../server/echo-server.js';
import { scriptedServer } from '../server/scripted-server.js';
import { socksServer } from '../server/socks-server.js';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function echo(options?: Echo) {
  const server = await echoServer(options);
  closing.push(server.close);
  return server;
}

function closed(socket: WebSocket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

/** A message there and back, then the end. */
async function works(socket: WebSocket): Promise<void> {
  await once(socket, 'open');
  const large = Buffer.alloc(300_000, 7);
  socket.send('hello');
  assert.deepEqual(await once(socket, 'message'), [Buffer.from('hello'), false]);
  socket.send(large);
  const [data, isBinary] = (await once(socket, 'message')) as [Buffer, boolean];
  assert.ok(isBinary && data.equals(large), 'the large message');
  socket.close(1000);
  await closed(socket);
}

describe('defaults of ws 8.23', () => {
  const url = new URL('ws://a/');
  const { onMessage, ...connect } = { onMessage: undefined, ...connectOptions(url, {}, []) } as Record<
    string,
    unknown
  >;
  const connection = behaviour({}, { onFailure() {}, onClosing() {} });
  for (const [option, actual, expected] of [
    ['closeTimeout', connect.closeTimeout, 30_000],
    ['handshakeTimeout: none', connect.handshakeTimeout, undefined],
    ['maxPayload', connect.maxMessageSize, 100 * 1024 * 1024],
    [
      'perMessageDeflate, as ws offers it',
      formatExtensions([deflateOffer(connect.perMessageDeflate as PerMessageDeflateOptions)]),
      'permessage-deflate; client_max_window_bits',
    ],
    ['heartbeat: none', connect.heartbeat, false],
    ['keep-alive: none', (connect.socket as { keepAlive: unknown }).keepAlive, false],
    ['no limit on what waits to be sent', connect.maxBufferedAmount, Number.MAX_SAFE_INTEGER],
    ['no redirects', needsHttp(url, {}), false],
    ['autoPong', connection.autoPong, true],
    ['skipUTF8Validation', connection.validateUtf8, true],
    ['maxFragments', connection.maxFragments, 16 * 1024],
    ['generateMask: random keys', connection.maskingKey, undefined],
    ['headers', Object.keys(connect.headers as object).length, 0],
  ] as const) {
    test(option, () => assert.equal(actual, expected));
  }

  test('maxPayload and maxFragments of 0 are no limits', () => {
    assert.equal(connectOptions(url, { maxPayload: 0 }, []).maxMessageSize, 2 ** 32 - 1);
    assert.equal(behaviour({ maxFragments: 0 }, connection).maxFragments, Number.MAX_SAFE_INTEGER);
  });

  test('what permessage-deflate knows of its options is passed on, the rest is zlib’s', () => {
    const given = {
      threshold: 1,
      serverMaxWindowBits: 10,
      zlibDeflateOptions: { level: 1 },
      concurrencyLimit: 3,
    };
    const { perMessageDeflate } = connectOptions(url, { perMessageDeflate: given }, []) as Record<
      string,
      unknown
    >;
    assert.deepEqual(perMessageDeflate, { threshold: 1, serverMaxWindowBits: 10, clientMaxWindowBits: true });
    const off = connectOptions(url, { perMessageDeflate: false }, []) as Record<string, unknown>;
    assert.equal(off.perMessageDeflate, false);
  });

  test('options of TLS stand at the top level, and reach TLS alone', () => {
    const given = {
      ca: 'a',
      rejectUnauthorized: false,
      servername: 'b',
      minVersion: 'TLSv1.3',
      origin: 'c',
      maxPayload: 5,
    };
    const { tls } = connectOptions(new URL('wss://a/'), given as never, []);
    assert.deepEqual(tls, { ca: 'a', rejectUnauthorized: false, servername: 'b', minVersion: 'TLSv1.3' });
    assert.equal(connectOptions(url, given as never, []).tls, undefined);
  });

  test('user information is decoded, and what is no UTF-8 taken as bytes', () => {
    assert.equal(authOf(new URL('ws://a%20b:c%3Ad@e/')), 'a b:c:d');
    assert.equal(authOf(new URL('ws://%zz@e/')), '%zz:');
    assert.equal(authOf(new URL('ws://e/')), undefined);
  });
});

describe('ways to the server', () => {
  test('an http.Agent, and one that keeps sockets alive', async () => {
    const server = await echo();
    for (const agent of [new HttpAgent(), new HttpAgent({ keepAlive: true, maxSockets: 1 })]) {
      await works(new WebSocket(server.url, { agent }));
      agent.destroy();
    }
  });

  test('an https.Agent with the certificate to trust', async () => {
    const server = await echo({ tls: true });
    const agent = new HttpsAgent({ ca: certificate().cert });
    await works(new WebSocket(server.url, { agent }));
    agent.destroy();
  });

  for (const tls of [false, true]) {
    test(`https-proxy-agent, to a ${tls ? 'wss' : 'ws'}: server`, async () => {
      const server = await echo({ tls });
      const proxy = await connectProxy();
      closing.push(proxy.close);
      const agent = new HttpsProxyAgent(proxy.url);
      await works(new WebSocket(server.url, { agent, ca: certificate().cert }));
      assert.equal(proxy.heads.length, 1);
    });

    test(`socks-proxy-agent, to a ${tls ? 'wss' : 'ws'}: server`, async () => {
      const server = await echo({ tls });
      const proxy = await socksServer();
      closing.push(proxy.close);
      const agent = new SocksProxyAgent(`socks5://127.0.0.1:${proxy.port}`);
      await works(new WebSocket(server.url, { agent, ca: certificate().cert }));
      assert.deepEqual(proxy.requests, [`127.0.0.1:${server.port}`]);
    });
  }

  test('an agent that fails: its error', async () => {
    const proxy = await connectProxy({ credentials: 'a:b' });
    closing.push(proxy.close);
    const socket = new WebSocket('wss://127.0.0.1:1', { agent: new HttpsProxyAgent(proxy.url) });
    const over = closed(socket);
    const [error] = await once(socket, 'error');
    assert.equal((error as Error).message, 'Unexpected server response: 407');
    await over;
  });

  test('TLS: ca at the top level, over the direct way', async () => {
    const server = await echo({ tls: true });
    await works(new WebSocket(server.url, { ca: certificate().cert }));
  });

  test('socketPath leads to a Unix socket', async (t) => {
    const { createServer } = await import('node:http');
    const { WebSocketServer } = await import('ws');
    const { tmpdir } = await import('node:os');
    const path = `${tmpdir()}/heartwire-${process.pid}-socketPath`;
    const http = createServer();
    const server = new WebSocketServer({ server: http });
    server.on('connection', (peer, { url }) => peer.close(1000, url));
    http.listen(path);
    await once(http, 'listening');
    t.after(() => http.close());
    const socket = new WebSocket('ws://localhost/a', { socketPath: path });
    const [code, reason] = await once(socket, 'close');
    assert.deepEqual([code, String(reason)], [1000, '/a']);
  });

  test('unexpected-response, listened for too late for a request of Node’s: the response comes all the same', async () => {
    const server = await scriptedServer({
      answer: () => 'HTTP/1.1 403 Forbidden\r\nX-A: b\r\nContent-Length: 4\r\n\r\nnope',
    });
    closing.push(server.close);
    const socket = new WebSocket(server.url);
    const over = closed(socket);
    socket.on('error', () => {});
    await new Promise((resolve) => process.nextTick(resolve));
    const [, response] = await once(socket, 'unexpected-response');
    assert.deepEqual([response.statusCode, response.headers['x-a']], [403, 'b']);
    await over;
  });
});

describe('frames', () => {
  test('generateMask makes the keys', async () => {
    const server = await scriptedServer();
    closing.push(server.close);
    const socket = new WebSocket(server.url, {
      perMessageDeflate: false,
      generateMask: (mask) => mask.set([1, 2, 3, 4]),
    });
    await once(socket, 'open');
    socket.send(Buffer.alloc(4));
    const peer = await server.peer();
    await peer.receives(10);
    assert.equal(peer.received.toString('hex'), '82840102030401020304');
    socket.terminate();
    await closed(socket);
  });

  test('mask false: no mask, of any size', async () => {
    const server = await scriptedServer();
    closing.push(server.close);
    const socket = new WebSocket(server.url, { perMessageDeflate: false });
    await once(socket, 'open');
    const large = Buffer.alloc(100_000, 9);
    socket.send('ab', { mask: false });
    socket.ping('c', false);
    socket.send(large, { mask: false });
    const expected = Buffer.concat([
      Buffer.from('81026162890163', 'hex'),
      encodeFrame({ opcode: 2, payload: large }),
    ]);
    const peer = await server.peer();
    await peer.receives(expected.length);
    assert.ok(peer.received.equals(expected), 'the frames as a server would send them');
    socket.terminate();
    await closed(socket);
  });
});

describe('delivery', () => {
  const frames = Buffer.concat(
    ['a', 'b', 'c'].map((payload) => encodeFrame({ opcode: 1, payload: Buffer.from(payload) })),
  );

  test('allowSynchronousEvents false: each event in a turn of its own, the end behind them', async () => {
    const server = await scriptedServer({
      onConnection: (peer) => {
        void peer.write(Buffer.concat([frames, Buffer.from('8900', 'hex'), Buffer.from('8800', 'hex')]));
        peer.end();
      },
    });
    closing.push(server.close);
    const socket = new WebSocket(server.url, { perMessageDeflate: false, allowSynchronousEvents: false });
    const seen: string[] = [];
    socket.on('message', async (data) => {
      seen.push(String(data));
      await null;
      seen.push(`${data} done`);
      process.nextTick(() => seen.push(`${data} tick`));
    });
    socket.on('ping', () => seen.push('ping'));
    await closed(socket);
    assert.deepEqual(seen, [
      ...['a', 'b', 'c'].flatMap((each) => [each, `${each} done`, `${each} tick`]),
      'ping',
    ]);
  });

  test('with only on(): the emitter’s arguments, and no event', async () => {
    const server = await scriptedServer({ onConnection: (peer) => void peer.write(frames) });
    closing.push(server.close);
    const { SocketEvent } = await import('../../src/websocket/events.js');
    const socket = new WebSocket(server.url);
    let count = 0;
    await new Promise<void>((resolve) => {
      socket.on('message', function (this: unknown, ...args) {
        assert.equal(this, socket);
        assert.equal(args.length, 2);
        assert.ok(!(args[0] instanceof SocketEvent), 'a Buffer');
        if (++count === 3) resolve();
      });
    });
    socket.terminate();
    await closed(socket);
  });

  test('the application owns what it is given: nothing changes behind its back', async () => {
    const messages = Array.from({ length: 3_000 }, (_, index) => Buffer.alloc(1 + (index % 300), index));
    const server = await scriptedServer({
      onConnection: (peer) => {
        for (const payload of messages) void peer.write(encodeFrame({ opcode: 2, payload }));
      },
    });
    closing.push(server.close);
    const socket = new WebSocket(server.url, { perMessageDeflate: false });
    const kept: Buffer[] = [];
    await new Promise<void>((resolve) => {
      socket.on('message', (data) => kept.push(data as Buffer) === messages.length && resolve());
    });
    socket.terminate();
    await closed(socket);
    for (const [index, payload] of messages.entries())
      assert.ok(kept[index].equals(payload), `message ${index}`);
    // And it may write to it: no other message is there.
    for (const [index, data] of kept.entries()) data.fill(index + 1);
    for (const [index, data] of kept.entries())
      assert.ok(
        data.every((byte) => byte === ((index + 1) & 255)),
        `${index}`,
      );
  });

  test('an exception of a listener reaches the process, and the next message its listener', async () => {
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    try {
      const reported = once(process, 'uncaughtException');
      const server = await scriptedServer({ onConnection: (peer) => void peer.write(frames) });
      closing.push(server.close);
      const socket = new WebSocket(server.url);
      const seen: string[] = [];
      await new Promise<void>((resolve) => {
        socket.on('message', (data) => {
          seen.push(String(data));
          if (seen.length === 3) resolve();
          if (seen.length === 1) throw new Error('mine');
        });
      });
      const [error] = await reported;
      assert.equal((error as Error).message, 'mine');
      assert.deepEqual(seen, ['a', 'b', 'c']);
      socket.terminate();
      await closed(socket);
    } finally {
      for (const listener of others) process.on('uncaughtException', listener);
    }
  });
});

describe('createWebSocketStream', () => {
  test('bytes there and back, with backpressure; the end closes the connection', async () => {
    const server = await echo();
    const socket = new WebSocket(server.url);
    const duplex = WebSocket.createWebSocketStream(socket);
    const sent = Array.from({ length: 200 }, (_, index) => Buffer.alloc(20_000, index));
    for (const chunk of sent) duplex.write(chunk);
    let left = Buffer.concat(sent).length;
    const received: Buffer[] = [];
    for await (const chunk of duplex as AsyncIterable<Buffer>) {
      received.push(chunk);
      left -= chunk.length;
      if (left === 0) duplex.end();
    }
    assert.ok(Buffer.concat(received).equals(Buffer.concat(sent)), 'all of it');
    assert.equal(socket.readyState, WebSocket.CLOSED);
  });

  test('messages as they are, with readableObjectMode', async () => {
    const server = await echo({
      onConnection: (peer) => {
        peer.send('a');
        peer.send(Buffer.from('b'));
        peer.close();
      },
    });
    const duplex = createWebSocketStream(new WebSocket(server.url), { readableObjectMode: true });
    const received: unknown[] = [];
    for await (const chunk of duplex) received.push(chunk);
    assert.deepEqual(received, ['a', Buffer.from('b')]);
    duplex.end();
    await once(duplex, 'close');
  });

  test('an error of the connection is the stream’s; destroying the stream ends the connection', async () => {
    const duplex = createWebSocketStream(new WebSocket('ws://127.0.0.1:1'));
    const [error] = await once(duplex, 'error');
    assert.equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED');

    const server = await echo();
    const socket = new WebSocket(server.url);
    const another = createWebSocketStream(socket);
    await once(socket, 'open');
    another.destroy();
    await once(another, 'close');
    assert.equal(socket.readyState, WebSocket.CLOSED);
  });
});
