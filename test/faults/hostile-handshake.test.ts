/** Opening handshakes that go wrong in every way: typed errors, the deadline kept, nothing leaked, and then recovered. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { type FailureKind, HandshakeError, PersistentConnection } from '../../src/index.js';
import { exchangeFor, impatient, observe, until } from '../persistent/feed.js';
import { encodeFrame } from '../reference/frame.js';
import { leavesNothingOpen } from '../server/resources.js';
import { accepting, scriptedServer, turns } from '../server/scripted-server.js';

const text = (payload: string): Buffer => encodeFrame({ opcode: 1, payload: Buffer.from(payload) });
const THREE = Buffer.concat([text('a'), text('b'), text('c')]);

interface Hostile {
  what: string;
  /** The answer to the first request. */
  answer: (request: string) => string;
  kind: FailureKind;
  code: string;
  statusCode?: number;
  body?: RegExp;
}

const HOSTILE: Hostile[] = [
  {
    what: 'a wrong Sec-WebSocket-Accept',
    answer: (request) =>
      accepting(request.replace(/(sec-websocket-key: *).*/i, '$1AAAAAAAAAAAAAAAAAAAAAA==')),
    kind: 'handshake',
    code: 'ERR_HANDSHAKE_ACCEPT',
    statusCode: 101,
  },
  {
    what: 'an extension that was not offered',
    answer: (request) => accepting(request, ['Sec-WebSocket-Extensions: permessage-deflate']),
    kind: 'handshake',
    code: 'ERR_HANDSHAKE_EXTENSION',
    statusCode: 101,
  },
  {
    what: '403 with a page',
    answer: () => 'HTTP/1.1 403 Forbidden\r\nContent-Length: 20\r\n\r\n<h1>Go away now</h1>',
    kind: 'unauthorized',
    code: 'ERR_HANDSHAKE_STATUS',
    statusCode: 403,
    body: /Go away/,
  },
];

/** Connects with the default deadline of 10 s to what is hostile first, and becomes ready when it has ceased to be. */
async function recovers(url: string, { tls, count = 0 }: { tls?: { ca: string }; count?: number } = {}) {
  const messages: string[] = [];
  const feed = new PersistentConnection(url, {
    connect: { tls },
    retry: impatient,
    onMessage: (message) => messages.push(message.text()),
  });
  const { failures } = observe(feed);
  const begin = performance.now();
  await feed.ready;
  await until(`${count} messages`, () => messages.length >= count);
  await turns(5);
  await feed.close();
  return { messages, failures, begin };
}

describe('scenario 9: a hostile handshake', () => {
  for (const { what, answer, kind, code, statusCode, body } of HOSTILE) {
    test(`${what}: ${code}, then ready`, async () => {
      let requests = 0;
      const server = await scriptedServer({
        answer: (request) => (requests++ === 0 ? answer(request) : accepting(request)),
        onConnection: closing,
      });
      await leavesNothingOpen(
        async () => {
          const { failures } = await recovers(server.url);
          const [{ failure }] = failures;
          assert.equal(failure.kind, kind);
          assert.ok(failure.error instanceof HandshakeError, `${failure.error}`);
          assert.equal(failure.error.code, code);
          assert.equal(failure.error.statusCode, statusCode);
          if (body) assert.match(String(failure.error.body), body);
          assert.equal(failures.length, 1);
        },
        () => server.close(),
      );
    });
  }

  test('101 and 3 frames in one segment: all three are delivered, and recovery goes on', async () => {
    const server = await scriptedServer({ behindAnswer: THREE, onConnection: closing });
    await leavesNothingOpen(
      async () => {
        const { messages, failures } = await recovers(server.url, { count: 3 });
        assert.deepEqual(messages, ['a', 'b', 'c']);
        assert.deepEqual(failures, []);
      },
      () => server.close(),
    );
  });

  test('the head and 3 frames byte by byte: the same', async () => {
    const server = await scriptedServer({
      answer: () => '',
      onConnection(peer) {
        const bytes = Buffer.concat([Buffer.from(accepting(peer.request)), THREE]);
        void peer.write(...Array.from(bytes, (byte) => Buffer.of(byte)));
        closing(peer);
      },
    });
    await leavesNothingOpen(
      async () => {
        const { messages, failures } = await recovers(server.url, { count: 3 });
        assert.deepEqual(messages, ['a', 'b', 'c']);
        assert.deepEqual(failures, []);
      },
      () => server.close(),
    );
  });

  // Both at once: each takes the whole deadline.
  test('a server that never answers, and one that stalls in TLS: 10 s each, not 11; then ready', async (t) => {
    const [plain, secure] = [await exchangeFor(t), await exchangeFor(t, { tls: true })];
    const doors = [await silentFirst(t, plain.port), await silentFirst(t, secure.port)];
    const [mute, stalled] = await Promise.all([
      recovers(`ws://127.0.0.1:${doors[0]}/`),
      recovers(`wss://127.0.0.1:${doors[1]}/`, { tls: secure.tls }),
    ]);
    for (const { failures, begin } of [mute, stalled]) {
      const [{ failure, at }] = failures;
      assert.equal(failure.kind, 'timeout');
      assert.ok(failure.error instanceof HandshakeError, `${failure.error}`);
      assert.equal(failure.error.code, 'ERR_HANDSHAKE_TIMEOUT');
      const took = at - begin;
      assert.ok(took >= 9_000 && took <= 11_000, `after ${took} ms`);
      assert.equal(failures.length, 1);
    }
    assert.match(String(stalled.failures[0].failure.error?.message), /TLS handshake/);
  });
});

/** Answers the client's Close frame, as a server must. */
function closing(peer: { socket: Socket }): void {
  peer.socket.once('data', () => peer.socket.end(encodeFrame({ opcode: 8, payload: Buffer.of(3, 232) })));
}

/** A port whose first visitor hears nothing, and whose others are led to `port`. Resolves with its number. */
async function silentFirst(t: TestContext, port: number): Promise<number> {
  let visitors = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    if (visitors++ === 0) return;
    const onward = dial(port, '127.0.0.1');
    sockets.add(onward);
    onward.on('error', () => {});
    socket.pipe(onward).pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as { port: number }).port;
}
