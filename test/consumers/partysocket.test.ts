/** `partysocket` and `reconnecting-websocket`, from which it comes: the class is their option `WebSocket`, or the global one. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { PartySocket, WebSocket as PartyWebSocket } from 'partysocket';
import ReconnectingWebSocket from 'reconnecting-websocket';
import { WebSocketServer } from 'ws';
import { type Loopback, loopback, RETRY, until } from './loopback.js';
import { BOTH, GIVEN_OR_GLOBAL, makeGlobal } from './subject.js';

/**
 * A server that answers the first connection never, and the others at once.
 */
function sleepyRoom(t: TestContext): Promise<Loopback> {
  let connections = 0;
  return loopback(t, (http) => {
    const sockets = new WebSocketServer({ noServer: true });
    http.on('upgrade', (request, socket, head) => {
      if (connections++ > 0) sockets.handleUpgrade(request, socket, head, (awake) => awake.send('awake'));
    });
  });
}

/** A room: says where one is, sends everything back, and closes when it is asked. */
function room(t: TestContext): Promise<Loopback> {
  return loopback(t, (http, show) => {
    const sockets = new WebSocketServer({ server: http });
    sockets.on('connection', (socket, request) => {
      show(socket);
      socket.send(new URL(request.url!, 'ws://room').pathname);
      socket.on('message', (data, isBinary) => {
        if (String(data) === 'leave') socket.close(4001, 'as asked');
        else socket.send(data, { binary: isBinary });
      });
    });
  });
}

/** What all of them have. */
interface Reconnecting {
  binaryType: string;
  readonly readyState: number;
  onmessage: ((event: { data: unknown }) => void) | null;
  onerror: ((event: unknown) => void) | null;
  onclose: ((event: { code: number; reason: string; wasClean: boolean }) => void) | null;
  send(data: string | Uint8Array): void;
  close(code?: number, reason?: string): void;
}

/** Its types say that CommonJS' `default` is to be asked for twice; Node says otherwise. */
const Reconnecting = ReconnectingWebSocket as unknown as new (
  url: string,
  protocols: string[],
  options: object,
) => Reconnecting;

const timing = {
  minReconnectionDelay: RETRY,
  maxReconnectionDelay: RETRY,
  minUptime: 1,
  connectionTimeout: 400,
};

interface Kind {
  name: string;
  path: string;
  connect(server: Loopback, WebSocket: typeof globalThis.WebSocket | undefined): Reconnecting;
}

const KINDS: Kind[] = [
  {
    name: 'partysocket',
    path: '/parties/main/books',
    connect: ({ host }, WebSocket) =>
      new PartySocket({ host, room: 'books', WebSocket, ...timing }) as unknown as Reconnecting,
  },
  {
    name: "partysocket's WebSocket",
    path: '/books',
    connect: ({ url }, WebSocket) =>
      new PartyWebSocket(`${url}/books`, [], { WebSocket, ...timing }) as unknown as Reconnecting,
  },
  {
    name: 'reconnecting-websocket',
    path: '/books',
    connect: ({ url }, WebSocket) =>
      new Reconnecting(`${url}/books`, [], WebSocket === undefined ? timing : { ...timing, WebSocket }),
  },
];

for (const { name, path, connect } of KINDS) {
  for (const { ways, WebSocket } of GIVEN_OR_GLOBAL) {
    describe(`${name}, in ${ways}`, { timeout: 20_000 }, () => {
      function join(t: TestContext, server: Loopback): { socket: Reconnecting; received: unknown[] } {
        if (WebSocket === undefined) makeGlobal(t);
        const socket = connect(server, WebSocket);
        t.after(() => socket.close());
        const received: unknown[] = [];
        socket.onmessage = ({ data }: { data: unknown }) => void received.push(data);
        return { socket, received };
      }

      test('what is sent before it is open, text and binary, and a close', async (t) => {
        const server = await room(t);
        const { socket, received } = join(t, server);
        socket.binaryType = 'arraybuffer';
        socket.send('early');
        await until(() => received.length === 2, 'the early message is back');
        socket.send('é水🐟');
        socket.send(Uint8Array.of(1, 2, 255));
        socket.send(Uint8Array.of(0, 7, 8, 0).subarray(1, 3));
        await until(() => received.length === 5, 'the others are back');
        const bytes = (data: unknown) => (data instanceof ArrayBuffer ? [...new Uint8Array(data)] : data);
        assert.deepEqual(received.map(bytes), [path, 'early', 'é水🐟', [1, 2, 255], [7, 8]]);

        const closed = server.closed();
        socket.close(3001, 'enough');
        assert.equal(await closed, 3001);
      });

      test('goes on after a restart of the server, with what was sent meanwhile', async (t) => {
        const server = await room(t);
        const { socket, received } = join(t, server);
        let errors = 0;
        socket.onerror = () => void errors++;
        await until(() => received.length === 1, 'it is open');
        const restarted = server.restart();
        await until(() => socket.readyState !== 1, 'the loss is known');
        socket.send('meanwhile');
        await restarted;
        await until(() => received.length === 3, 'the message is back');
        assert.deepEqual(received, [path, path, 'meanwhile']);
        assert.ok(errors > 0, 'to be refused is an error');
      });

      // Of a handshake that ws gives up it emits an error, which reconnecting-websocket no longer listens for.
      const throws = name === 'reconnecting-websocket' && WebSocket === BOTH[0].WebSocket;
      if (!throws)
        test('an opening handshake that takes too long is given up, and tried again', async (t) => {
          const server = await sleepyRoom(t);
          const { socket, received } = join(t, server);
          let errors = 0;
          socket.onerror = () => void errors++;
          await until(() => received.length === 1, 'it is open');
          assert.ok(errors > 0, 'to give up is an error');
        });

      test('closed while connecting, it stays closed', async (t) => {
        const server = await sleepyRoom(t);
        const { socket, received } = join(t, server);
        socket.onerror = () => {};
        await new Promise((resolve) => setTimeout(resolve, RETRY));
        socket.close();
        await new Promise((resolve) => setTimeout(resolve, 3 * RETRY));
        assert.ok(socket.readyState >= 2, 'it is closing or closed');
        assert.deepEqual(received, []);
      });

      test('a close of the server’s is told with its code and reason, and it comes back', async (t) => {
        const server = await room(t);
        const { socket, received } = join(t, server);
        const told: unknown[] = [];
        socket.onclose = ({ code, reason, wasClean }) => void told.push([code, reason, wasClean]);
        socket.send('leave');
        await until(() => received.length === 2, 'it is there again');
        assert.deepEqual(told, [[4001, 'as asked', true]]);
      });
    });
  }
}
