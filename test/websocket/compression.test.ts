/** permessage-deflate is on by default, as with ws (RFC 7692): both ways to open a connection, both directions. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { describe, type TestContext, test } from 'node:test';
import {
  type PerMessageDeflateOptions as ServerDeflate,
  type WebSocket as ServerSocket,
  WebSocketServer,
} from 'ws';
import { type ClientOptions, WebSocket } from '../../src/index.js';

const LONG = JSON.stringify(Array.from({ length: 500 }, (_, i) => ({ price: 100 + i, quantity: i % 7 })));

async function serving(t: TestContext, perMessageDeflate: boolean | ServerDeflate): Promise<WebSocketServer> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate });
  t.after(() => server.close());
  server.on('connection', (socket: ServerSocket) =>
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
  );
  await once(server, 'listening');
  return server;
}

async function echoes(server: WebSocketServer, options: ClientOptions): Promise<string> {
  const { port } = server.address() as { port: number };
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, options);
  await once(socket, 'open');
  for (const [data, compress] of [
    [LONG, true],
    ['short', true],
    [LONG, false],
    [Buffer.from(LONG), true],
  ] as const) {
    socket.send(data, { compress });
    const [received, isBinary] = (await once(socket, 'message')) as [Buffer, boolean];
    assert.equal(received.toString(), data.toString());
    assert.equal(isBinary, typeof data !== 'string');
  }
  socket.close();
  await once(socket, 'close');
  return socket.extensions;
}

const WAYS: [name: string, options: () => ClientOptions][] = [
  ['by our own reading', () => ({})],
  ['over the socket of an http.Agent', () => ({ agent: new Agent() })],
];

for (const [way, options] of WAYS) {
  describe(`opened ${way}`, () => {
    test('what the server agrees to is used both ways', async (t) => {
      assert.equal(await echoes(await serving(t, { threshold: 0 }), options()), 'permessage-deflate');
    });

    test('without takeover, with small windows', async (t) => {
      const server = await serving(t, {
        threshold: 0,
        serverNoContextTakeover: true,
        clientNoContextTakeover: true,
        clientMaxWindowBits: 9,
      });
      assert.match(await echoes(server, options()), /^permessage-deflate/);
    });

    test('a server that declines, and perMessageDeflate: false', async (t) => {
      assert.equal(await echoes(await serving(t, false), options()), '');
      const server = await serving(t, true);
      assert.equal(await echoes(server, { ...options(), perMessageDeflate: false }), '');
    });

    test('skipUTF8Validation delivers compressed text that is none', async (t) => {
      const server = await serving(t, { threshold: 0 });
      server.on('connection', (socket: ServerSocket) =>
        socket.send(Buffer.from([0x61, 0xff, 0x62]), { binary: false, compress: true }),
      );
      const { port } = server.address() as { port: number };
      const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { ...options(), skipUTF8Validation: true });
      const [data, isBinary] = (await once(socket, 'message')) as [Buffer, boolean];
      assert.deepEqual([data, isBinary], [Buffer.from([0x61, 0xff, 0x62]), false]);
      socket.close();
      await once(socket, 'close');
    });
  });
}
