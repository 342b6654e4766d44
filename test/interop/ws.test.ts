/** `ws` as the server: what two implementations of RFC 6455 say to each other must be what they mean. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { WebSocket } from 'ws';
import {
  type CloseInfo,
  type Connection,
  type ConnectOptions,
  connect,
  HandshakeError,
} from '../../src/index.js';
import { type Echo, echoServer } from '../server/echo-server.js';

const TRANSPORTS = [
  { over: 'tcp', tls: false },
  { over: 'TLS', tls: true },
];

const KIB = 1024;
const MIB = 1024 * KIB;

/** Lengths at which the header, a read, a slab, or the way of a message changes; each with its neighbours. */
const BOUNDARIES = [0, 1, 125, 126, 4 * KIB, 16 * KIB, 64 * KIB - 64, 64 * KIB, 128 * KIB, MIB]
  .flatMap((length) => [length - 1, length, length + 1])
  .filter((length, i, all) => length >= 0 && all.indexOf(length) === i);

/** One, two, three and four bytes of UTF-8 a character (§8.1; RFC 3629 §3), and all of them at once. */
const ALPHABETS = {
  'one byte': 'a',
  'two bytes': 'é',
  'three bytes': '水',
  'four bytes': '🐟',
  all: 'aé水🐟',
};

function bytesOf(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + length) & 0xff;
  return bytes;
}

/** A message, told apart without keeping it: what it is and a digest of it. */
function digest(data: string | Uint8Array): string {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  const kind = typeof data === 'string' ? 'text' : 'binary';
  return `${kind} of ${bytes.length} bytes ${createHash('sha1').update(bytes).digest('hex')}`;
}

/** A connection to `ws`, which echoes unless told otherwise; both end with the test. */
async function open(t: TestContext, options: ConnectOptions, echo: Echo): Promise<Connection> {
  const server = await echoServer(echo);
  t.after(() => server.close());
  return connect(server.url, { tls: server.tls, ...options });
}

/** Keeps the digests of what comes; `are(n)` resolves when n messages have come, or the connection has ended. */
class Inbox {
  readonly digests: string[] = [];
  #wanted = 0;
  #resolve = (): void => {};

  readonly options: ConnectOptions = {
    onMessage: (message) => {
      this.digests.push(digest(message.isText ? message.text() : message.bytes));
      if (this.digests.length === this.#wanted) this.#resolve();
    },
    onClose: () => this.#resolve(),
  };

  are(count: number): Promise<void> {
    if (this.digests.length >= count) return Promise.resolve();
    this.#wanted = count;
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }
}

describe('messages to ws and back are identical', () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`${over}: binary of ${BOUNDARIES.length} lengths from 0 B to 1 MiB, all at once and one by one`, async (t) => {
      const inbox = new Inbox();
      const connection = await open(t, inbox.options, { tls });
      const messages = BOUNDARIES.map(bytesOf);
      for (const message of messages) connection.send(message);
      await inbox.are(messages.length);
      for (const [i, message] of messages.entries()) {
        connection.send(message);
        await inbox.are(messages.length + i + 1);
      }
      assert.deepEqual(inbox.digests, [...messages, ...messages].map(digest));
    });

    for (const [what, alphabet] of Object.entries(ALPHABETS)) {
      test(`${over}: text of ${what} a character, 0 B to 256 KiB`, async (t) => {
        const inbox = new Inbox();
        const connection = await open(t, inbox.options, { tls });
        const perCharacter = Buffer.byteLength(alphabet) / [...alphabet].length;
        const texts = [0, 1, 30, 42, 63, 64, 126, 1_000, 16_384, 32_768, 65_472, 65_536, 262_144].map(
          (length) => alphabet.repeat(Math.ceil(length / perCharacter / [...alphabet].length)),
        );
        for (const text of texts) connection.send(text);
        await inbox.are(texts.length);
        assert.deepEqual(inbox.digests, texts.map(digest));
      });
    }

    test(`${over}: any text, any bytes`, async (t) => {
      const inbox = new Inbox();
      const connection = await open(t, inbox.options, { tls });
      const message = fc.oneof(
        fc.string({ unit: 'binary', maxLength: 300 }),
        fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 20 }), async (messages) => {
          inbox.digests.length = 0;
          for (const each of messages) connection.send(each);
          await inbox.are(messages.length);
          assert.deepEqual(inbox.digests, messages.map(digest));
        }),
        { numRuns: 40 },
      );
    });

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

    test(`${over}: fragments to ws are one message there (§5.4), with pings between them`, async (t) => {
      const inbox = new Inbox();
      const connection = await open(t, inbox.options, { tls });
      const expected: string[] = [];
      const pings: Promise<number>[] = [];
      for (const sizes of [
        [0, 0],
        [1, 0, 1],
        [125, 126],
        [65_535, 1, 65_536],
        [200_000, 3, 400_000],
      ]) {
        const parts = sizes.map(bytesOf);
        const texts = sizes.map((size) => 'é🐟'.repeat(size / 6));
        for (const [i, part] of parts.entries()) {
          connection.send(part, { fin: i === parts.length - 1 });
          pings.push(connection.ping());
        }
        for (const [i, text] of texts.entries()) connection.send(text, { fin: i === texts.length - 1 });
        expected.push(digest(Buffer.concat(parts)), digest(texts.join('')));
      }
      await inbox.are(expected.length);
      assert.deepEqual(inbox.digests, expected);
      assert.equal((await Promise.all(pings)).length, 13);
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
  const summary = ({ code, reason, wasClean, error }: CloseInfo): unknown[] => [
    code,
    reason,
    wasClean,
    error?.code,
  ];

  for (const { over, tls } of TRANSPORTS) {
    for (const [code, reason] of [
      [1000, ''],
      [1001, 'going away'],
      [1014, 'é'.repeat(61)],
      [3000, '🐟'],
      [4999, 'x'.repeat(123)],
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
    test(`${over}: ws chooses one of the subprotocols (§4.2.2), or none`, async (t) => {
      const choices: (string | false)[] = ['second', 'first', false];
      const server = await echoServer({ tls, ws: { handleProtocols: () => choices.shift() ?? false } });
      t.after(() => server.close());
      const chosen: string[] = [];
      for (let i = 0; i < 3; i++) {
        const connection = await connect(server.url, {
          tls: server.tls,
          protocols: ['first', 'second'],
        });
        chosen.push(connection.protocol);
        await connection.close();
      }
      assert.deepEqual(chosen, ['second', 'first', '']);
    });

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
