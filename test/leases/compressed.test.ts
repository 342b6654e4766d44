/**
 * The lease rules for compressed messages: they lie in the window of their connection, or in memory that all of them
 * share, until the callback returns.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { constants } from 'node:zlib';
import { type Message, UsageError } from '../../src/index.js';
import { Compressor } from '../arbitraries/compressed.js';
import { CONTENTS } from '../arbitraries/deflate.js';
import { encodeFrame } from '../reference/frame.js';
import { turns } from '../server/scripted-server.js';
import {
  binary,
  contentOf,
  ended,
  hasRead,
  link,
  links,
  patterned,
  print,
  TRANSPORTS,
  until,
} from './link.js';

const CONTEXTS = [
  { how: 'with context takeover', offer: true },
  { how: 'without context takeover', offer: { serverNoContextTakeover: true } },
] as const;

/** A server's end of one connection: every message compressed in one frame, and what it is. */
class Feed {
  readonly #compressor: Compressor;

  constructor(offer: (typeof CONTEXTS)[number]['offer']) {
    this.#compressor = new Compressor({ takeover: offer === true, windowBits: 15 });
  }

  message(data: Uint8Array, isText = true): Buffer {
    const usual = { level: 6, strategy: constants.Z_DEFAULT_STRATEGY, final: false, pieces: 1 };
    const payload = this.#compressor.compress(data, usual);
    return encodeFrame({ opcode: isText ? 1 : 2, rsv1: true, payload });
  }
}

const quote = (i: number): Buffer => Buffer.from(`${i} ${CONTENTS.json(600, i)}`);
const quotes = (count: number): Buffer[] => Array.from({ length: count }, (_, i) => quote(i));

for (const { over, tls } of TRANSPORTS) {
  for (const { how, offer } of CONTEXTS) {
    describe(`compressed messages over ${over}, ${how}`, () => {
      test('rule 3: what the same read holds waits while paused, and is inflated in order', async (t) => {
        const seen: string[] = [];
        const one = await link(t, tls, {
          perMessageDeflate: offer,
          onMessage: (message, connection) => {
            seen.push(contentOf(message));
            if (seen.length % 3 === 0) connection.pause();
          },
        });
        const feed = new Feed(offer);
        const wire = Buffer.concat(quotes(10).map((data) => feed.message(data)));
        await one.peer.write(wire.subarray(0, 100), wire.subarray(100));
        await hasRead(one, wire.length);
        const expected = quotes(10).map((data) => print(data, true));
        for (const count of [3, 6, 9]) {
          await until(() => seen.length >= count);
          await turns(3);
          assert.deepEqual(seen, expected.slice(0, count));
          one.connection.resume();
          assert.equal(seen.length, count, 'resume() delivers nothing itself');
        }
        await until(() => seen.length === 10);
        assert.deepEqual(seen, expected);
      });

      test('rule 4: other connections inflate before and behind, never during a callback', async (t) => {
        const seen: string[][] = [[], [], []];
        const onMessage = (index: number) => (message: Message) => {
          const before = contentOf(message);
          // What this sends is compressed meanwhile, and goes out.
          for (const { connection } of three) connection.send(CONTENTS.text(2_000, 1), { compress: true });
          assert.equal(contentOf(message), before, 'the message has changed in its callback');
          seen[index].push(before);
        };
        const options = [0, 1, 2].map((index) => ({ perMessageDeflate: offer, onMessage: onMessage(index) }));
        const three = await links(t, tls, options);
        const feeds = three.map(() => new Feed(offer));
        const sent: string[][] = [[], [], []];
        for (let round = 0; round < 20; round++) {
          for (const [index, { peer }] of three.entries()) {
            const data = quote(round * 3 + index);
            sent[index].push(print(data, true));
            const wire = feeds[index].message(data);
            // In halves, so that each connection keeps a part while the others are served.
            peer.socket.write(wire.subarray(0, wire.length >> 1));
            await turns(1);
            peer.socket.write(wire.subarray(wire.length >> 1));
          }
        }
        await until(() => seen.every((messages) => messages.length === 20));
        assert.deepEqual(seen, sent);
      });

      test('rule 5: a callback that throws loses nothing behind it', async (t) => {
        const thrown: unknown[] = [];
        const onThrown = (error: unknown): void => void thrown.push(error);
        process.on('uncaughtException', onThrown);
        t.after(() => process.off('uncaughtException', onThrown));
        const seen: string[] = [];
        const one = await link(t, tls, {
          perMessageDeflate: offer,
          onMessage: (message) => {
            seen.push(contentOf(message));
            if (seen.length % 2 === 1) throw new Error('of the application');
          },
        });
        // The test runner listens too.
        const others = process.listeners('uncaughtException').filter((listener) => listener !== onThrown);
        for (const listener of others) process.off('uncaughtException', listener);
        const feed = new Feed(offer);
        await one.peer.write(Buffer.concat(quotes(6).map((data) => feed.message(data))));
        await until(() => seen.length === 6);
        await turns(2);
        for (const listener of others) process.on('uncaughtException', listener);
        assert.deepEqual(
          seen,
          quotes(6).map((data) => print(data, true)),
        );
        assert.equal(thrown.length, 3);
      });

      test('rule 6: after terminate() in a callback the message is whole, and no other follows', async (t) => {
        const seen: string[] = [];
        const one = await link(t, tls, {
          perMessageDeflate: offer,
          onMessage: (message, connection) => {
            connection.terminate();
            seen.push(contentOf(message));
          },
        });
        const feed = new Feed(offer);
        await one.peer.write(Buffer.concat(quotes(4).map((data) => feed.message(data))));
        await ended(one.connection);
        assert.deepEqual(seen, [print(quote(0), true)]);
      });

      test('a message expires when its callback returns, whether it was small or large', async (t) => {
        const kept: Message[] = [];
        const one = await link(t, tls, {
          perMessageDeflate: offer,
          onMessage: (message) => void kept.push(message),
        });
        const feed = new Feed(offer);
        await one.peer.write(feed.message(quote(1)), feed.message(CONTENTS.text(200_000, 1), false));
        await until(() => kept.length === 2);
        for (const message of kept) {
          assert.throws(
            () => message.text(),
            (error) => error instanceof UsageError && error.code === 'ERR_MESSAGE_EXPIRED',
          );
        }
      });

      test('`copy()` of every message, and `bytes` of those above 64 KiB, are the application’s to keep', async (t) => {
        const kept: Uint8Array[] = [];
        const one = await link(t, tls, {
          perMessageDeflate: offer,
          onMessage: (message) => {
            kept.push(message.byteLength > 65_536 ? message.bytes : message.copy());
          },
        });
        const feed = new Feed(offer);
        const sent = [300, 65_536, 65_537, 40_000, 150_000, 300, 1_000_000, 65_537, 48_000].map(
          (length, i) => (i % 2 === 0 ? CONTENTS.text(length, i) : patterned(length, i)),
        );
        for (const data of sent) await one.peer.write(feed.message(data, false), binary(patterned(500, 7)));
        await until(() => kept.length === 2 * sent.length);
        const compressed = kept.filter((_, i) => i % 2 === 0);
        assert.deepEqual(
          compressed.map((bytes) => print(bytes)),
          sent.map((bytes) => print(bytes)),
        );
      });
    });
  }
}
