/** The compressor: what it makes is what zlib, and our inflater within the window agreed on, make the same bytes of. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { constants, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { Codec } from '../../src/codec/codec.js';
import { Deflater, deflateBound, FLUSH_SIZE, LONGEST_PIECE } from '../../src/codec/deflater.js';
import { InflateError, Inflater } from '../../src/codec/inflater.js';
import { SCRATCH_READ, SEND_BLOCKS } from '../../src/codec/layout.js';
import { Assembly } from '../../src/protocol/assembly.js';
import { CONTENTS, type Content } from '../arbitraries/deflate.js';

const codec = new Codec();
const OUT = SEND_BLOCKS;
const kinds = Object.keys(CONTENTS) as Content[];

/** Compresses a piece; nothing is written outside the room it may take, and the input stays as it is. */
function piece(deflater: Deflater, data: Buffer): Buffer {
  const { memory } = codec;
  const input = deflater.input();
  memory.set(data, input);
  const bound = deflateBound(data.length);
  memory.fill(0xee, OUT - 16, OUT + bound + 16);
  const end = deflater.compress(data.length, OUT);
  assert.ok(end <= OUT + bound, `${end - OUT} bytes of ${bound}`);
  assert.ok(end - OUT <= data.length + 10, 'hardly more than stored');
  for (const outside of [memory.subarray(OUT - 16, OUT), memory.subarray(OUT + bound, OUT + bound + 16)])
    assert.ok(
      outside.every((byte) => byte === 0xee),
      'written outside',
    );
  assert.equal(memory.toString('hex', end - FLUSH_SIZE, end), '0000ffff');
  assert.ok(memory.subarray(input, input + data.length).equals(data), 'the input has changed');
  return Buffer.from(memory.subarray(OUT, end));
}

/** A message in as many pieces as it takes. */
function message(deflater: Deflater, data: Buffer): Buffer {
  deflater.begin();
  const pieces: Buffer[] = [];
  for (let at = 0; at < data.length || at === 0; at += LONGEST_PIECE) {
    pieces.push(piece(deflater, data.subarray(at, at + LONGEST_PIECE)));
  }
  return Buffer.concat(pieces);
}

function byZlib(compressed: Buffer): Buffer {
  return inflateRawSync(compressed, { finishFlush: constants.Z_SYNC_FLUSH });
}

/** The peer's end: refuses distances beyond the window, and without takeover beyond the message. */
class Peer {
  readonly #inflater: Inflater;
  readonly #assembly = new Assembly();

  constructor(takeover: boolean, windowBits: number) {
    const options = { takeover, windowBits, maxMessageSize: 2 ** 30 };
    this.#inflater = new Inflater(codec, codec.windows.take(), options, this.#assembly);
  }

  inflate(compressed: Buffer): Buffer {
    const inflater = this.#inflater;
    const stripped = compressed.subarray(0, -FLUSH_SIZE);
    let error = inflater.append(stripped, 0, stripped.length, false);
    if (error === InflateError.none) error = inflater.finish(false);
    assert.equal(error, InflateError.none);
    const { buffer, offset, length } = inflater;
    const result = Buffer.from(buffer.subarray(offset, offset + length));
    this.#assembly.clear(true);
    return result;
  }

  end(): void {
    this.#inflater.release();
  }
}

describe('what is compressed is inflated again', () => {
  for (const kind of kinds) {
    test(`${kind}: every length from 0 to 600, and lengths to 300 000, each by itself`, () => {
      const deflater = new Deflater(codec, { takeover: false, windowBits: 15 });
      const peer = new Peer(false, 15);
      const lengths = [...Array(601).keys(), 4_095, 16_383, 16_384, 16_385, 32_768, 48_000, 65_536, 300_000];
      for (const length of lengths) {
        const data = CONTENTS[kind](length, length);
        const compressed = message(deflater, data);
        assert.ok(byZlib(compressed).equals(data), `${length} bytes, zlib`);
        assert.ok(peer.inflate(compressed).equals(data), `${length} bytes`);
      }
    });
  }

  test('with context takeover, for every window: one stream of all that was sent', () => {
    for (let windowBits = 8; windowBits <= 15; windowBits++) {
      const deflater = new Deflater(codec, { takeover: true, windowBits });
      const peer = new Peer(true, windowBits);
      const sent: Buffer[] = [];
      const compressed: Buffer[] = [];
      for (let i = 0; i < 400; i++) {
        const data = CONTENTS[kinds[i % kinds.length]](i % 7 === 0 ? i * 50 : i, i % 5);
        sent.push(data);
        compressed.push(message(deflater, data));
        assert.ok(peer.inflate(compressed[i]).equals(data), `message ${i}, ${windowBits} bits`);
      }
      assert.ok(byZlib(Buffer.concat(compressed)).equals(Buffer.concat(sent)), `${windowBits} bits, zlib`);
      deflater.release();
      peer.end();
    }
  });

  test('any messages, on several connections in turns, some of them discarded', () => {
    const act = fc.record({
      connection: fc.nat(2),
      kind: fc.constantFrom(...kinds),
      length: fc.oneof(fc.nat(300), fc.nat(300), fc.nat(40_000)),
      seed: fc.nat(3),
      discarded: fc.integer({ min: 0, max: 5 }).map((one) => one === 0),
    });
    const connection = fc.record({ takeover: fc.boolean(), windowBits: fc.integer({ min: 8, max: 15 }) });
    const connections = fc.tuple(connection, connection, connection);
    fc.assert(
      fc.property(connections, fc.array(act, { maxLength: 25 }), (agreements, acts) => {
        const ends = agreements.map((agreement) => ({
          deflater: new Deflater(codec, agreement),
          peer: new Peer(agreement.takeover, agreement.windowBits),
        }));
        for (const { connection: index, kind, length, seed, discarded } of acts) {
          const { deflater, peer } = ends[index];
          const data = CONTENTS[kind](length, seed);
          const compressed = message(deflater, data);
          if (discarded) deflater.discard();
          else assert.ok(peer.inflate(compressed).equals(data), `${length} bytes of ${kind}`);
        }
        for (const { deflater, peer } of ends) {
          deflater.release();
          peer.end();
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('histories', () => {
  const QUOTE = CONTENTS.json(900, 1);

  test('RFC 7692 §7.1.1.2: with takeover the second of two equal messages is a reference', () => {
    const deflater = new Deflater(codec, { takeover: true, windowBits: 15 });
    const [first, second] = [message(deflater, QUOTE), message(deflater, QUOTE)];
    assert.ok(second.length < first.length / 5, `${first.length} bytes, then ${second.length}`);
    deflater.release();
    const forgetful = new Deflater(codec, { takeover: false, windowBits: 15 });
    assert.deepEqual(message(forgetful, QUOTE), message(forgetful, QUOTE));
  });

  test('one is held from the first message on, and given back once', () => {
    const { available } = codec.deflateBlocks;
    const deflater = new Deflater(codec, { takeover: true, windowBits: 15 });
    assert.equal(codec.deflateBlocks.available, available);
    message(deflater, QUOTE);
    assert.equal(codec.deflateBlocks.available, available - 1);
    deflater.release();
    deflater.release();
    assert.equal(codec.deflateBlocks.available, available);
  });

  test('when all are taken, messages are compressed without one, until one is free', () => {
    const taken: number[] = [];
    for (let block = codec.deflateBlocks.take(); block !== 0; block = codec.deflateBlocks.take())
      taken.push(block);
    const deflater = new Deflater(codec, { takeover: true, windowBits: 15 });
    const peer = new Peer(true, 15);
    const [first, second] = [message(deflater, QUOTE), message(deflater, QUOTE)];
    assert.deepEqual(first, second);
    for (const block of taken) codec.deflateBlocks.give(block);
    const [third, fourth] = [message(deflater, QUOTE), message(deflater, QUOTE)];
    assert.ok(fourth.length < third.length / 5, 'with history');
    for (const compressed of [first, second, third, fourth])
      assert.ok(peer.inflate(compressed).equals(QUOTE), 'inflated');
    peer.end();
    deflater.release();
  });

  test('a history is none of the next connection that gets its block', () => {
    const before = new Deflater(codec, { takeover: true, windowBits: 15 });
    const alone = message(before, QUOTE);
    before.release();
    const next = new Deflater(codec, { takeover: true, windowBits: 15 });
    const compressed = message(next, QUOTE);
    next.release();
    assert.deepEqual(compressed, alone);
    assert.ok(byZlib(compressed).equals(QUOTE), 'it stands by itself');
  });

  test('what was compressed and discarded is not referred to', () => {
    for (const length of [300, 40_000]) {
      const deflater = new Deflater(codec, { takeover: true, windowBits: 15 });
      const peer = new Peer(true, 15);
      assert.ok(peer.inflate(message(deflater, QUOTE)).equals(QUOTE), 'before');
      message(deflater, CONTENTS.text(length, 1));
      deflater.discard();
      const again = CONTENTS.text(300, 1);
      assert.ok(peer.inflate(message(deflater, again)).equals(again), `behind ${length} bytes`);
      peer.end();
      deflater.release();
    }
  });

  test('the scratch of reads is left alone', () => {
    const { memory } = codec;
    memory.fill(0x5a, SCRATCH_READ, SCRATCH_READ + 65_536);
    message(new Deflater(codec, { takeover: false, windowBits: 15 }), CONTENTS.text(100_000, 1));
    assert.ok(
      memory.subarray(SCRATCH_READ, SCRATCH_READ + 65_536).every((byte) => byte === 0x5a),
      'untouched',
    );
  });
});
