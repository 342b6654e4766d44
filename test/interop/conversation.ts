/**
 * One conversation, to be had with every server that others wrote: what two implementations of RFC 6455 say to each
 * other must be what they mean. What the server does in it says servers/part.ts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type CloseInfo,
  type Connection,
  type ConnectOptions,
  connect,
  HandshakeError,
} from '../../src/index.js';
import { GUARD } from '../connection/wire.js';
import { certificate } from '../server/certificate.js';
import { ALPHABETS, BOUNDARIES, bytesOf, digest, Inbox } from './messages.js';
import type { Counterpart } from './servers/part.js';

export interface Partner {
  /** Of the server, for the titles. */
  name: string;
  start: () => Promise<Counterpart>;
  /** What its Close frame answers to ours with this code and reason. */
  echoesClose: (code: number, reason: string) => [code: number, reason: string];
  /** Whether its refusal has a body, which says why. */
  refusesWithBody: boolean;
  /** After a Ping between the fragments of a compressed message, it takes the rest of it for uncompressed. */
  forgetsCompression?: boolean;
}

/** How the conversation is had: options for each `connect()` of it, and what to expect of the answer. */
export interface Variant {
  /** Stands in the titles. */
  name: string;
  connect: ConnectOptions;
  /** The extension that each connection must then be using; none where nothing is said. */
  extension?: string;
}

export const PLAIN: Variant = { name: '', connect: {} };

/** permessage-deflate with every parameter that can be negotiated (RFC 7692 §7.1), and every message compressed. */
export const COMPRESSED: readonly Variant[] = [
  {},
  { serverNoContextTakeover: true },
  { clientNoContextTakeover: true },
  { serverNoContextTakeover: true, clientNoContextTakeover: true },
  { serverMaxWindowBits: 9 },
  { clientMaxWindowBits: 9 },
  { clientMaxWindowBits: true },
  { serverMaxWindowBits: 12, clientMaxWindowBits: 10, serverNoContextTakeover: true },
].map((parameters) => ({
  name: `compressed, ${JSON.stringify(parameters)}`,
  connect: { perMessageDeflate: { threshold: 0, ...parameters } },
  extension: 'permessage-deflate',
}));

const TEXT_LENGTHS = [0, 1, 30, 42, 63, 64, 126, 1_000, 16_384, 32_768, 65_472, 65_536, 262_144];

const CLOSINGS: [code: number, reason: string][] = [
  [1000, ''],
  [3000, '🐟'],
  [4999, 'x'.repeat(123)],
];

let connections = 0;

export function conversation(partner: Partner, variant: Variant = PLAIN): void {
  describe(`${partner.name}${variant.name && `, ${variant.name}`}`, GUARD, () => {
    let server: Counterpart;
    before(async () => {
      server = await partner.start();
    });
    after(() => server.close());

    const dial = async (target: string, options: ConnectOptions = {}): Promise<Connection> => {
      const tls = { ca: certificate().cert };
      const connection = await connect(server.url + target, { tls, ...variant.connect, ...options });
      const names = connection.extensions.map(({ name }) => name);
      assert.deepEqual(names, variant.extension === undefined ? [] : [variant.extension]);
      return connection;
    };

    /** An echo's connection, and what has come back on it. */
    const echo = async (body: (connection: Connection, inbox: Inbox) => Promise<void>): Promise<void> => {
      const inbox = new Inbox();
      const connection = await dial('/echo', inbox.options);
      await body(connection, inbox);
      assert.equal((await connection.close()).wasClean, true);
    };

    test(`binary of ${BOUNDARIES.length} lengths from 0 B to 1 MiB comes back, sent all at once and one by one`, () =>
      echo(async (connection, inbox) => {
        const messages = BOUNDARIES.map(bytesOf);
        for (const message of messages) connection.send(message);
        await inbox.are(messages.length);
        for (const [i, message] of messages.entries()) {
          connection.send(message);
          await inbox.are(messages.length + i + 1);
        }
        assert.deepEqual(inbox.digests, [...messages, ...messages].map(digest));
      }));

    for (const [what, alphabet] of Object.entries(ALPHABETS)) {
      test(`text of ${what} a character, 0 B to 256 KiB, comes back`, () =>
        echo(async (connection, inbox) => {
          const texts = TEXT_LENGTHS.map((length) =>
            alphabet.repeat(Math.ceil(length / Buffer.byteLength(alphabet))),
          );
          for (const text of texts) connection.send(text);
          await inbox.are(texts.length);
          assert.deepEqual(inbox.digests, texts.map(digest));
        }));
    }

    test('any text and any bytes come back', () =>
      echo(async (connection, inbox) => {
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
      }));

    const pingsBetween = !(partner.forgetsCompression && variant.extension === 'permessage-deflate');
    test(`fragments are one message there (§5.4), ${pingsBetween ? 'with' : 'without'} Pings between them`, () =>
      echo(async (connection, inbox) => {
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
            if (pingsBetween) pings.push(connection.ping());
          }
          for (const [i, text] of texts.entries()) connection.send(text, { fin: i === texts.length - 1 });
          expected.push(digest(Buffer.concat(parts)), digest(texts.join('')));
        }
        await inbox.are(expected.length);
        assert.deepEqual(inbox.digests, expected);
        assert.equal((await Promise.all(pings)).length, pingsBetween ? 13 : 0);
      }));

    test('what sendStream sends is one message there', () =>
      echo(async (connection, inbox) => {
        const parts = [1, 0, 5_000, 65_536, 300_000].map(bytesOf);
        const texts = ['a', '', 'é'.repeat(5_000), '🐟'.repeat(50_000)];
        await connection.sendStream(parts);
        await connection.sendStream(chunks(texts));
        await connection.sendStream([]);
        await connection.sendStream(new Blob([bytesOf(1_000_000)]));
        await inbox.are(4);
        const expected = [Buffer.concat(parts), texts.join(''), Buffer.alloc(0), bytesOf(1_000_000)];
        assert.deepEqual(inbox.digests, expected.map(digest));
      }));

    test('our Pings are answered, and timed (§5.5.2)', () =>
      echo(async (connection) => {
        const payloads = [undefined, '', 'é'.repeat(62), Buffer.alloc(125, 'p')];
        const times = await Promise.all(payloads.map((payload) => connection.ping(payload)));
        for (const time of times) assert.equal(Number.isFinite(time) && time >= 0, true, `${time}`);
        assert.equal(connection.stats().pongsReceived, payloads.length);
      }));

    for (const payload of ['', 'x', 'é'.repeat(62)]) {
      test(`its Ping of ${Buffer.byteLength(payload)} bytes is answered with them (§5.5.3)`, async () => {
        const inbox = new Inbox();
        const pings: string[] = [];
        const connection = await dial(`/ping?payload=${encodeURIComponent(payload)}`, {
          ...inbox.options,
          onPing: (bytes) => void pings.push(bytes.toString()),
        });
        await inbox.are(1);
        assert.deepEqual([inbox.digests, pings], [[digest(`pong ${payload}`)], [payload]]);
        assert.equal((await connection.close()).wasClean, true);
      });
    }

    for (const [code, reason] of [...CLOSINGS, [1001, 'going away']] as [number, string][]) {
      test(`we close with ${code} and ${Buffer.byteLength(reason)} bytes of reason (§7.1)`, async () => {
        const id = ++connections;
        const connection = await dial(`/echo?id=${id}`, { onMessage: () => {} });
        const info = await connection.close(code, reason);
        assert.deepEqual(summary(info), [...partner.echoesClose(code, reason), true, undefined]);
        const asking = await dial(`/told?id=${id}`);
        for await (const told of asking) {
          assert.deepEqual(JSON.parse(told as string), [code, reason]);
          break;
        }
        await asking.closed;
      });
    }

    for (const [code, reason] of CLOSINGS) {
      test(`it closes with ${code} and ${Buffer.byteLength(reason)} bytes of reason (§7.1)`, async () => {
        const connection = await dial(`/close?code=${code}&reason=${encodeURIComponent(reason)}`);
        assert.deepEqual(summary(await connection.closed), [code, reason, true, undefined]);
      });
    }

    for (const [protocols, chosen] of [
      [['alpha', 'beta'], 'beta'],
      [['gamma'], 'gamma'],
      [['alpha'], ''],
      [undefined, ''],
    ] as const) {
      const offer = protocols?.join(', ') ?? 'none';
      test(`of the subprotocols ${offer} it chooses ${chosen || 'none'} (§4.2.2)`, async () => {
        const connection = await dial('/echo', { protocols });
        assert.equal(connection.protocol, chosen);
        assert.equal((await connection.close()).wasClean, true);
      });
    }

    for (const [path, statusCode, body, challenge] of [
      ['/nowhere', 404, 'no such path', undefined],
      ['/secret?please', 401, 'not for you', 'Basic realm="interop"'],
    ] as const) {
      test(`${path} is refused with ${statusCode}, and the error says what it said (§4.1)`, async () => {
        await assert.rejects(dial(path), (error) => {
          assert.ok(error instanceof HandshakeError, `${error}`);
          const { code, headers } = error;
          assert.deepEqual([code, error.statusCode], ['ERR_HANDSHAKE_STATUS', statusCode]);
          assert.equal(headers?.['www-authenticate'], challenge);
          assert.equal(error.body?.toString(), partner.refusesWithBody ? body : '');
          return true;
        });
      });
    }
  });
}

async function* chunks<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}

export function summary({ code, reason, wasClean, error }: CloseInfo): unknown[] {
  return [code, reason, wasClean, error?.code];
}
