/** `@stomp/stompjs`: its `webSocketFactory` makes the socket, or the global class does; with a small broker of STOMP 1.2. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { Client, type StompConfig } from '@stomp/stompjs';
import { type WebSocket as ServerSocket, WebSocketServer } from 'ws';
import { type Loopback, loopback, RETRY, until } from './loopback.js';
import { BOTH, makeGlobal } from './subject.js';

const NUL = '\0';

/** Frames end with NUL; a message may hold a part of one, or a heartbeat. */
function serveStomp(
  socket: ServerSocket,
  subscriptions: Map<string, (body: string) => void>,
  interval: number,
): void {
  let rest = '';
  const heartbeat = setInterval(() => socket.send('\n'), interval);
  socket.on('close', () => clearInterval(heartbeat));
  const answer = (command: string, headers: string[], body = ''): void =>
    socket.send(`${command}\n${headers.join('\n')}\n\n${body}${NUL}`);
  socket.on('message', (data) => {
    rest += String(data);
    const frames = rest.split(NUL);
    rest = frames.pop()!;
    for (const frame of frames) {
      const [head, body] = frame.trimStart().split(/\n\n(.*)/s);
      const [command, ...lines] = head.split('\n');
      const headers = Object.fromEntries(lines.map((line) => line.split(/:(.*)/s) as [string, string]));
      if (command === 'CONNECT') answer('CONNECTED', ['version:1.2', 'heart-beat:30,30']);
      if (command === 'SUBSCRIBE') {
        const { id, destination } = headers;
        subscriptions.set(destination, (text) =>
          answer('MESSAGE', [`subscription:${id}`, 'message-id:1', `destination:${destination}`], text),
        );
      }
      if (command === 'SEND') subscriptions.get(headers.destination)?.(body);
      if (headers.receipt !== undefined) answer('RECEIPT', [`receipt-id:${headers.receipt}`]);
    }
  });
}

/**
 * @param silent the first connection hears no heartbeat
 */
function broker(t: TestContext, { silent = false } = {}): Promise<Loopback> {
  let connections = 0;
  return loopback(t, (http, show) => {
    const subscriptions = new Map<string, (body: string) => void>();
    const sockets = new WebSocketServer({
      server: http,
      handleProtocols: (offered) => (offered.has('v12.stomp') ? 'v12.stomp' : false),
    });
    sockets.on('connection', (socket) => {
      show(socket);
      serveStomp(socket, subscriptions, silent && connections++ === 0 ? 1_000_000 : 30);
    });
  });
}

const GIVEN: { ways: string; configure: (url: string) => StompConfig }[] = [
  ...BOTH.map(({ ways, WebSocket }) => ({
    ways,
    configure: (url: string) => ({ webSocketFactory: () => new WebSocket(url, ['v12.stomp', 'v11.stomp']) }),
  })),
  { ways: 'the standard’s ways, as the global class', configure: (url) => ({ brokerURL: url }) },
];

for (const { ways, configure } of GIVEN) {
  describe(`@stomp/stompjs, in ${ways}`, { timeout: 20_000 }, () => {
    /** An active client, and the bodies of the messages that it receives. */
    async function subscriber(t: TestContext, config: StompConfig) {
      makeGlobal(t);
      const received: string[] = [];
      const client = new Client({
        reconnectDelay: RETRY,
        heartbeatIncoming: 1_000,
        heartbeatOutgoing: 1_000,
        ...config,
        onConnect: () => client.subscribe('/books', ({ body }) => void received.push(body)),
      });
      t.after(() => client.deactivate({ force: true }));
      client.activate();
      await until(() => client.connected, 'it is connected');
      return { client, received };
    }

    for (const kind of ['text', 'binary', 'split'] as const) {
      test(`frames as ${kind} messages, and a close`, async (t) => {
        const server = await broker(t);
        const { client, received } = await subscriber(t, {
          ...configure(server.url),
          forceBinaryWSFrames: kind === 'binary',
          splitLargeFrames: kind === 'split',
        });
        const bodies = ['price 1.5', 'é水🐟', 'ab'.repeat(40_000)];
        for (const body of bodies) client.publish({ destination: '/books', body });
        await until(() => received.length === bodies.length, 'all messages are there');
        assert.deepEqual(received, bodies);
        assert.equal((client.webSocket as globalThis.WebSocket).protocol, 'v12.stomp');
        const closed = server.closed();
        await client.deactivate();
        assert.equal(await closed, 1005);
      });
    }

    test('a connection that has fallen silent is discarded for another', async (t) => {
      const server = await broker(t, { silent: true });
      const { client, received } = await subscriber(t, {
        ...configure(server.url),
        heartbeatIncoming: 30,
        discardWebsocketOnCommFailure: true,
      });
      await until(() => !client.connected, 'the silence is known');
      await until(() => client.connected, 'it is connected again');
      client.publish({ destination: '/books', body: 'after' });
      await until(() => received.length === 1, 'the message is there');
    });

    test('subscribes again after a restart of the broker', async (t) => {
      const server = await broker(t);
      const { client, received } = await subscriber(t, configure(server.url));
      await server.restart();
      await until(() => client.connected, 'it is connected again');
      client.publish({ destination: '/books', body: 'after' });
      await until(() => received.length === 1, 'the message is there');
      assert.deepEqual(received, ['after']);
    });
  });
}
