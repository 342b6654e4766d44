/**
 * `ws` as the server, beyond the conversation that every server has (conversation.ts): large messages, many
 * connections, what `ws` alone can be told to do.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import type { WebSocket } from 'ws';
import { type Connection, type ConnectOptions, connect, HandshakeError } from '../../src/index.js';
import { type Echo, echoServer } from '../server/echo-server.js';
import { summary } from './conversation.js';
import { bytesOf, digest, Inbox, MIB } from './messages.js';

const TRANSPORTS = [
  { over: 'tcp', tls: false },
  { over: 'TLS', tls: true },
];

/** A connection to `ws`, which echoes unless told otherwise; both end with the test. */
async function open(t: TestContext, options: ConnectOptions, echo: Echo): Promise<Connection> {
  const server = await echoServer(echo);
  t.after(() => server.close());
  return connect(server.url, { tls: server.tls, ...options });
}

describe('messages to ws and back are identical', () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`${over}: 32 MiB of binary and 32 MiB of text`, async (t) => {
      const inbox = new Inbox();
      const connection = await open(
        t,
        { ...inbox.options, maxBufferedAmount: 128 * MIB },
        { tls, ws: { maxPayload: 64 * MIB } },
      );
      const messages = [bytesOf(32 * MIB), 'aé水🐟'.repeat((32 * MIB) / 10)];
      for (const message of messages) connection.send(message);
      await inbox.are(messages.length);
      assert.deepEqual(inbox.digests, messages.map(digest));
    });

    test(`${over}: fragments from ws are one message here, cut within characters, with pings between them`, async (t) => {
      const inbox = new Inbox();
      const expected: string[] = [];
      const pings: string[] = [];
      const sender = (socket: WebSocket): void => {
        for (const sizes of [
          [0, 0, 0],
          [1, 1, 1],
          [5, 0, 120, 1],
          [65_471, 1, 65_473],
          [70_000, 140_001, 5],
          [...Array(3_000).keys()].map(() => 1),
        ]) {
          const total = sizes.reduce((sum, size) => sum + size, 0);
          const fish = Buffer.from('🐟'.repeat(total / 4 + 1)).subarray(0, total - (total % 4));
          for (const [bytes, isText] of [
            [bytesOf(total), false],
            [fish, true],
          ] as const) {
            let at = 0;
            for (const [i, size] of sizes.entries()) {
              const fin = i === sizes.length - 1;
              socket.send(bytes.subarray(at, at + size), { binary: !isText, fin });
              at += size;
              if (sizes.length < 5) socket.ping(String(at));
            }
            expected.push(digest(isText ? bytes.toString() : bytes));
          }
        }
      };
      await open(
        t,
        { ...inbox.options, onPing: (payload) => void pings.push(payload.toString()) },
        { tls, onConnection: sender },
      );
      await inbox.are(12);
      assert.deepEqual(inbox.digests, expected);
      assert.equal(pings.length, 2 * (3 + 3 + 4 + 3 + 3));
    });

    test(`${over}: 50 connections at once, each with messages of all sizes, one of 32 MiB among them`, async (t) => {
      const server = await echoServer({ tls });
      t.after(() => server.close());
      const clients = await Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          const inbox = new Inbox();
          const connection = await connect(server.url, {
            tls: server.tls,
            maxBufferedAmount: 128 * MIB,
            ...inbox.options,
          });
          return { i, inbox, connection };
        }),
      );
      await Promise.all(
        clients.map(async ({ i, inbox, connection }) => {
          const lengths = [0, 1, 126, 5_000 + i, 60_000 + 217 * i, 65_536, 100_000 + i];
          if (i === 25) lengths.push(32 * MIB);
          const messages = lengths.flatMap((length) => [bytesOf(length), 'aé水🐟'.repeat(length / 10)]);
          // Half of them wait for each echo, half send everything at once.
          for (const [count, message] of messages.entries()) {
            connection.send(message);
            if (i % 2 === 0) await inbox.are(count + 1);
          }
          await inbox.are(messages.length);
          assert.deepEqual(inbox.digests, messages.map(digest), `connection ${i}`);
          const { wasClean } = await connection.close();
          assert.equal(wasClean, true);
        }),
      );
    });
  }
});

describe('ping and pong with ws (§5.5.2, §5.5.3)', () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`${over}: ours are answered, and timed; theirs are answered with their payload`, async (t) => {
      const pongs: string[] = [];
      const pings: string[] = [];
      let all: () => void;
      const answered = new Promise<void>((resolve) => {
        all = resolve;
      });
      const payloads = ['', 'x', 'é'.repeat(62), Buffer.alloc(125, 0xff)];
      const connection = await open(
        t,
        { onMessage: () => {}, onPing: (payload) => void pings.push(payload.toString('hex')) },
        {
          tls,
          onConnection: (socket) => {
            socket.on('pong', (data) => {
              pongs.push(data.toString('hex'));
              if (pongs.length === payloads.length) all();
            });
            for (const payload of payloads) socket.ping(payload);
          },
        },
      );
      await answered;
      const expected = payloads.map((payload) => Buffer.from(payload as string).toString('hex'));
      assert.deepEqual(pongs, expected);
      assert.deepEqual(pings, expected);

      const times = await Promise.all(
        [undefined, 'hello', Buffer.alloc(125)].map((each) => connection.ping(each)),
      );
      for (const time of times) assert.equal(Number.isFinite(time) && time >= 0, true);
      assert.deepEqual(
        [connection.stats().pingsReceived, connection.stats().pongsReceived],
        [payloads.length, times.length],
      );
    });
  }
});

describe('the closing handshake with ws (§7)', () => {
  for (const { over, tls } of TRANSPORTS) {
    for (const [code, reason] of [
      [1001, 'going away'],
      [1014, 'é'.repeat(61)],
    ] as const) {
      test(`${over}: we close with ${code} and ${Buffer.byteLength(reason)} bytes of reason`, async (t) => {
        let told: Promise<unknown[]> | undefined;
        const connection = await open(
          t,
          {},
          {
            tls,
            onConnection: (socket) => {
              told = once(socket, 'close');
            },
          },
        );
        const info = await connection.close(code, reason);
        const [theirCode, theirReason] = (await told) as [number, Buffer];
        assert.deepEqual([theirCode, theirReason.toString()], [code, reason]);
        // ws echoes code and reason.
        assert.deepEqual(summary(info), [code, reason, true, undefined]);
      });

      test(`${over}: ws closes with ${code} and ${Buffer.byteLength(reason)} bytes of reason`, async (t) => {
        let told: Promise<unknown[]> | undefined;
        const connection = await open(
          t,
          { onMessage: () => {} },
          {
            tls,
            onConnection: (socket) => {
              told = once(socket, 'close');
              socket.close(code, reason);
            },
          },
        );
        const info = await connection.closed;
        assert.deepEqual(summary(info), [code, reason, true, undefined]);
        const [theirCode] = (await told) as [number, Buffer];
        assert.equal(theirCode, code);
      });
    }

    test(`${over}: ws closes without a code, which is 1005 here (§7.1.5)`, async (t) => {
      const connection = await open(
        t,
        { onMessage: () => {} },
        { tls, onConnection: (socket) => socket.close() },
      );
      assert.deepEqual(summary(await connection.closed), [1005, '', true, undefined]);
    });

    test(`${over}: both close at once`, async (t) => {
      let socket: WebSocket | undefined;
      const connection = await open(
        t,
        { onMessage: () => {} },
        {
          tls,
          onConnection: (given) => {
            socket = given;
          },
        },
      );
      const told = once(socket!, 'close');
      socket!.close(3001, 'ws');
      const info = await connection.close(3002, 'us');
      const [theirCode] = (await told) as [number];
      assert.deepEqual([summary(info), theirCode], [[3001, 'ws', true, undefined], 3002]);
    });

    test(`${over}: ws sends until it has read our Close frame; all of it is delivered`, async (t) => {
      const inbox = new Inbox();
      const connection = await open(t, inbox.options, {
        tls,
        onConnection: (socket) => {
          for (let i = 0; i < 50; i++) socket.send(bytesOf(10_000 + i));
        },
      });
      const info = await connection.close();
      assert.equal(info.wasClean, true);
      assert.deepEqual(
        inbox.digests,
        Array.from({ length: 50 }, (_, i) => digest(bytesOf(10_000 + i))),
      );
    });

    test(`${over}: ws goes without a Close frame, which is 1006 here`, async (t) => {
      const connection = await open(
        t,
        { onMessage: () => {} },
        { tls, onConnection: (socket) => socket.terminate() },
      );
      const info = await connection.closed;
      assert.deepEqual(summary(info), [1006, '', false, 'ERR_CONNECTION_LOST']);
    });
  }
});

describe('the opening handshake with ws (§4)', () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`${over}: ws gets our header fields, the path and the user information`, async (t) => {
      const heads: Record<string, unknown>[] = [];
      const server = await echoServer({
        tls,
        onConnection: (_socket, { headers, url }) => {
          heads.push({
            url,
            authorization: headers.authorization,
            origin: headers.origin,
            list: headers['x-list'],
            key: headers['x-key'],
          });
        },
      });
      t.after(() => server.close());
      const url = new URL('/feed/ä?depth=5&x=%20', server.url);
      url.username = 'me';
      url.password = 'p@ss';
      const connection = await connect(url, {
        tls: server.tls,
        headers: { Origin: 'https://example.com', 'X-List': ['a', 'b'], 'X-Key': 'k' },
      });
      await connection.close();
      assert.deepEqual(heads, [
        {
          url: '/feed/%C3%A4?depth=5&x=%20',
          authorization: `Basic ${Buffer.from('me:p@ss').toString('base64')}`,
          origin: 'https://example.com',
          list: 'a, b',
          key: 'k',
        },
      ]);
    });

    for (const [status, name] of [
      [401, 'Unauthorized'],
      [503, 'Service Unavailable'],
    ] as const) {
      test(`${over}: an answer of ${status} is a HandshakeError that says all of it`, async (t) => {
        const server = await echoServer({
          tls,
          ws: {
            verifyClient: (_info, done) =>
              done(false, status, name, { 'Retry-After': '7', 'X-Why': 'a test' }),
          },
        });
        t.after(() => server.close());
        await assert.rejects(connect(server.url, { tls: server.tls }), (error) => {
          assert.equal(error instanceof HandshakeError, true);
          const { statusCode, headers, body, retryAfter } = error as HandshakeError;
          assert.deepEqual(
            { statusCode, why: headers?.['x-why'], body: body?.toString(), retryAfter },
            { statusCode: status, why: 'a test', body: name, retryAfter: 7_000 },
          );
          return true;
        });
      });
    }
  }

  test('an HTTP server that knows nothing of WebSocket answers 404', async (t) => {
    const server = createServer((_request, response) => {
      response.writeHead(404, { 'Content-Type': 'text/plain' }).end('no such thing');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      server.close();
      server.closeAllConnections();
    });
    const { port } = server.address() as AddressInfo;
    await assert.rejects(connect(`ws://127.0.0.1:${port}/`), (error) => {
      const { statusCode, body } = error as HandshakeError;
      assert.deepEqual([statusCode, body?.toString()], [404, 'no such thing']);
      return true;
    });
  });
});
