/** A connection's inflater: its window, messages whole and in pieces, limits, and text. RFC 7692 §7.2.2 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { constants, createDeflateRaw, type ZlibOptions } from 'node:zlib';
import fc from 'fast-check';
import { Codec } from '../../src/codec/codec.js';
import { InflateError, Inflater, type Overflow } from '../../src/codec/inflater.js';
import { InflateState, Kind, SCRATCH, WINDOW_COUNT, WORKSPACE } from '../../src/codec/layout.js';
import { Assembly } from '../../src/protocol/assembly.js';
import { CONTENTS, type Content } from '../arbitraries/deflate.js';
import { pseudoRandom, pseudoRandomText } from '../arbitraries/payload.js';
import { deflated } from '../reference/inflate-differential.js';

const MIB = 1024 * 1024;
/** What scratch can hold of a message, tail included. */
const LONGEST_WHOLE = 96 * 1024;
const KINDS = Object.keys(CONTENTS) as Content[];

/** An inflater, and what its owner does with messages. */
class Receiving {
  readonly overflow = new Assembly();
  readonly inflater: Inflater;
  readonly #codec: Codec;

  constructor(
    codec: Codec,
    options: { takeover?: boolean; windowBits?: number; maxMessageSize?: number } = {},
    overflow?: Overflow,
  ) {
    const all = { takeover: true, windowBits: 15, maxMessageSize: 64 * MIB, ...options };
    this.#codec = codec;
    this.inflater = new Inflater(codec, codec.windows.take(), all, overflow ?? this.overflow);
  }

  /** The message's payload lies in scratch, with other bytes behind it. */
  whole(compressed: Buffer, text = false): number {
    assert.ok(compressed.length <= LONGEST_WHOLE, 'it fits');
    compressed.copy(this.#codec.memory, SCRATCH);
    this.#codec.memory.fill(0xa7, SCRATCH + compressed.length, SCRATCH + compressed.length + 16);
    return this.inflater.inflate(SCRATCH, SCRATCH + compressed.length, text);
  }

  /** The message's payload comes in pieces of these lengths, in turn. */
  inPieces(compressed: Buffer, lengths: readonly number[], text = false): number {
    let at = 0;
    for (let i = 0; at < compressed.length; i++) {
      const end = Math.min(compressed.length, at + lengths[i % lengths.length]);
      const error = this.inflater.append(compressed, at, end, text, i % 2 ? compressed.length - end : 0);
      if (error !== InflateError.none) return error;
      at = end;
    }
    return this.inflater.finish(text);
  }

  /** Whole if it may be, in pieces otherwise. */
  either(compressed: Buffer, text = false): number {
    return compressed.length > LONGEST_WHOLE
      ? this.inPieces(compressed, [60_000], text)
      : this.whole(compressed, text);
  }

  /** A copy of the last message; its place is free again. */
  take(): Buffer {
    const { buffer, offset, length } = this.inflater;
    const copy = Buffer.from(buffer.subarray(offset, offset + length));
    this.overflow.clear(true);
    return copy;
  }
}

/** Messages as one server compresses them, with one window. */
async function compressedWithTakeover(
  messages: readonly Buffer[],
  options: ZlibOptions = {},
): Promise<Buffer[]> {
  const stream = createDeflateRaw(options);
  const all: Buffer[] = [];
  let pieces: Buffer[] = [];
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  for (const message of messages) {
    if (message.length === 0) {
      all.push(Buffer.from([0]));
      continue;
    }
    stream.write(message);
    await new Promise<void>((resolve) => {
      stream.flush(constants.Z_SYNC_FLUSH, resolve);
    });
    all.push(Buffer.concat(pieces).subarray(0, -4));
    pieces = [];
  }
  stream.close();
  return all;
}

/** Mostly short, some larger than a window block; parts of what came before come again. */
function messagesOf(count: number, seed: number): Buffer[] {
  const numbers = pseudoRandom(seed);
  const below = (bound: number): number => (numbers.next().value >>> 3) % bound;
  const sources = KINDS.map((kind) => CONTENTS[kind](400_000, seed));
  return Array.from({ length: count }, () => {
    const source = sources[below(sources.length)];
    const sizes = [
      below(40),
      below(900),
      below(900),
      below(5_000),
      below(200) === 0 ? below(300_000) : below(500),
    ];
    const length = sizes[below(sizes.length)];
    const start = below(8) * 1_000 + below(3);
    return source.subarray(start, start + length);
  });
}

describe('messages of a server that keeps its window', () => {
  for (const windowBits of [9, 12, 15]) {
    test(`thousands in a row, others in between, window 2^${windowBits}`, async () => {
      const codec = new Codec();
      const messages = messagesOf(3_000, windowBits);
      const others = messages.toReversed();
      const compressed = await compressedWithTakeover(messages, { windowBits });
      const compressedOthers = await compressedWithTakeover(others, { windowBits });
      const [one, other] = [new Receiving(codec, { windowBits }), new Receiving(codec, { windowBits })];
      const alone = new Receiving(codec, { takeover: false });
      for (const [i, message] of messages.entries()) {
        assert.equal(one.either(compressed[i]), InflateError.none, `message ${i}`);
        assert.ok(one.take().equals(message), `message ${i}`);
        assert.equal(other.either(compressedOthers[i]), InflateError.none, `message ${i} of the other`);
        assert.ok(other.take().equals(others[i]), `message ${i} of the other`);
        if (i % 10 > 0) continue;
        assert.equal(alone.either(deflated(message)), InflateError.none);
        assert.ok(alone.take().equals(message), `message ${i} of the one without a window`);
      }
    });
  }

  test('in pieces of any lengths, those of two connections in turn', async () => {
    const messages = messagesOf(60, 77);
    const compressed = await compressedWithTakeover(messages);
    const alone = messages.map((message) => deflated(message));
    const lengths = fc.array(fc.integer({ min: 1, max: 50_000 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(lengths, lengths, fc.boolean(), (first, second, withTakeover) => {
        const codec = new Codec();
        const ours = [new Receiving(codec), new Receiving(codec, { takeover: withTakeover })];
        const streams = [compressed, withTakeover ? compressed : alone];
        for (const [i, message] of messages.entries()) {
          const at = [0, 0];
          for (let turn = 0; at[0] < streams[0][i].length || at[1] < streams[1][i].length; turn++) {
            for (const [which, { inflater }] of ours.entries()) {
              const bytes = streams[which][i];
              const end = Math.min(
                bytes.length,
                at[which] + [first, second][which][turn % [first, second][which].length],
              );
              assert.equal(inflater.append(bytes, at[which], end, false), InflateError.none);
              at[which] = end;
            }
          }
          for (const each of ours) {
            assert.equal(each.inflater.finish(false), InflateError.none);
            assert.ok(each.take().equals(message), `message ${i}`);
          }
        }
      }),
      { numRuns: 12 },
    );
  });

  test('a message goes on after the inflater was warmed up by another connection', async () => {
    const codec = new Codec();
    const message = CONTENTS.skewed(200_000, 3);
    const compressed = deflated(message);
    const receiving = new Receiving(codec, { takeover: false });
    const middle = compressed.length >> 1;
    assert.equal(receiving.inflater.append(compressed, 0, middle, false), InflateError.none);
    for (let i = 0; i < 60; i++) await setImmediate();
    assert.equal(receiving.inflater.append(compressed, middle, compressed.length, false), InflateError.none);
    assert.equal(receiving.inflater.finish(false), InflateError.none);
    assert.ok(receiving.take().equals(message), 'the message');
  });
});

describe('windows', () => {
  test('one for each connection with takeover, given back once; none for one without', () => {
    const codec = new Codec();
    assert.equal(codec.windows.available, WINDOW_COUNT);
    const alone = new Receiving(codec, { takeover: false });
    assert.equal(codec.windows.available, WINDOW_COUNT);
    const receiving = new Receiving(codec);
    assert.equal(codec.windows.available, WINDOW_COUNT - 1);
    for (const each of [receiving, receiving, alone]) each.inflater.release();
    assert.equal(codec.windows.available, WINDOW_COUNT);
  });

  test('what a block held for another connection is out of reach', () => {
    const codec = new Codec();
    const first = new Receiving(codec);
    assert.equal(first.whole(deflated(Buffer.from('secret'))), InflateError.none);
    first.inflater.release();
    // Length 3, distance 1, and nothing before.
    assert.equal(new Receiving(codec).whole(Buffer.from('020200', 'hex')), InflateError.corrupt);
  });

  test('without takeover, a distance into the message before is refused', async () => {
    const codec = new Codec();
    const message = Buffer.from('the same once more');
    const [first, second] = await compressedWithTakeover([message, message]);
    const receiving = new Receiving(codec, { takeover: false });
    assert.equal(receiving.whole(first), InflateError.none);
    assert.equal(receiving.whole(second), InflateError.corrupt);
  });

  test('a distance of the negotiated window is taken, one more is refused', () => {
    const codec = new Codec();
    for (const windowBits of [8, 9, 14]) {
      for (const beyond of [0, 1]) {
        const repeated = Buffer.from('(0,1,2,3,4,5,6,7,8,9)');
        // Letters, so that it is not stored as it is.
        const letters = CONTENTS.random(2 ** windowBits, 1).toString('base64');
        const between = Buffer.from(letters).subarray(0, 2 ** windowBits - repeated.length + beyond);
        const receiving = new Receiving(codec, { windowBits });
        const compressed = deflated(Buffer.concat([repeated, between, repeated]), { level: 9 });
        assert.equal(receiving.whole(compressed), beyond ? InflateError.corrupt : InflateError.none);
        receiving.inflater.release();
      }
    }
  });
});

describe('where a message lies', () => {
  test('in linear memory up to 64 KiB, above that in the overflow', () => {
    const codec = new Codec();
    for (const [length, inPlace] of [
      [0, true],
      [1, true],
      [65_536, true],
      [65_537, false],
      [1_000_000, false],
    ] as const) {
      const message = CONTENTS.text(length, 1);
      const receiving = new Receiving(codec, { takeover: false });
      assert.equal(receiving.either(deflated(message, { level: 9 })), InflateError.none);
      const { inflater, overflow } = receiving;
      assert.equal(inflater.buffer === codec.memory, inPlace, `${length} bytes`);
      assert.equal(inflater.length, length);
      assert.equal(overflow.length, inPlace ? 0 : length);
      if (!inPlace) assert.equal(inflater.offset, 0);
      assert.ok(receiving.take().equals(message), `${length} bytes`);
    }
  });

  test('with a window, messages of up to 32 KiB always lie in linear memory', async () => {
    const codec = new Codec();
    const receiving = new Receiving(codec);
    const messages = Array.from({ length: 200 }, (_, i) => CONTENTS.json((i * 977) % 32_769, i));
    const compressed = await compressedWithTakeover(messages);
    for (const [i, message] of messages.entries()) {
      assert.equal(receiving.whole(compressed[i], true), InflateError.none);
      assert.equal(receiving.inflater.buffer, codec.memory);
      assert.ok(receiving.take().equals(message), `message ${i}`);
    }
  });

  test('keep() takes it out of the way of the next message', async () => {
    const codec = new Codec();
    for (const takeover of [false, true]) {
      const message = CONTENTS.json(900, 1);
      const receiving = new Receiving(codec, { takeover });
      const [compressed] = await compressedWithTakeover([message]);
      assert.equal(receiving.whole(compressed), InflateError.none);
      receiving.inflater.keep();
      receiving.inflater.keep();
      codec.memory.fill(0, WORKSPACE, WORKSPACE + 1_000);
      assert.notEqual(receiving.inflater.buffer, codec.memory);
      assert.ok(receiving.take().equals(message), 'the message');
    }
  });

  test('small pieces are gathered, and then inflated as one', () => {
    const codec = new Codec();
    const receiving = new Receiving(codec);
    const message = CONTENTS.text(2_000, 1);
    assert.equal(receiving.inPieces(deflated(message), [1]), InflateError.none);
    assert.equal(receiving.inflater.buffer, codec.memory);
    assert.ok(receiving.take().equals(message), 'the message');
  });
});

describe('limits', () => {
  const ways = [
    ['whole', (receiving: Receiving, compressed: Buffer) => receiving.either(compressed)],
    [
      'in pieces',
      (receiving: Receiving, compressed: Buffer) => receiving.inPieces(compressed, [3, 20_000, 700]),
    ],
  ] as const;

  for (const takeover of [true, false]) {
    for (const [name, way] of ways) {
      test(`maxMessageSize to the byte: ${name}, ${takeover ? 'with' : 'without'} takeover`, () => {
        const codec = new Codec();
        for (const length of [1, 257, 1_000, 48_000, 65_536, 65_537, 200_000]) {
          for (const kind of KINDS) {
            const compressed = deflated(CONTENTS[kind](length, 9));
            for (const [maxMessageSize, expected] of [
              [length, InflateError.none],
              [length - 1, InflateError.tooLarge],
              [0, InflateError.tooLarge],
            ]) {
              const receiving = new Receiving(codec, { takeover, maxMessageSize });
              assert.equal(way(receiving, compressed), expected, `${kind}, ${length} of ${maxMessageSize}`);
              receiving.inflater.release();
            }
          }
        }
      });

      test(`a bomb stops at the limit, in bounded memory: ${name}, ${takeover ? 'with' : 'without'} takeover`, () => {
        const codec = new Codec();
        const bomb = deflated(Buffer.alloc(64 * MIB));
        assert.ok(bomb.length < 66_000, 'a thousand to one');
        for (const maxMessageSize of [1_000, 100_000, MIB]) {
          const overflow = new Assembly();
          let asked = 0;
          const recording: Overflow = {
            get buffer() {
              return overflow.buffer;
            },
            get length() {
              return overflow.length;
            },
            reserve(bytes, exact) {
              asked = Math.max(asked, overflow.length + bytes);
              return overflow.reserve(bytes, exact);
            },
            append: (source, start, end) => overflow.append(source, start, end),
          };
          const receiving = new Receiving(codec, { takeover, maxMessageSize }, recording);
          const before = takeover ? 0 : WORKSPACE;
          assert.equal(way(receiving, bomb), InflateError.tooLarge);
          assert.ok(asked <= maxMessageSize, `${asked} bytes were asked for`);
          assert.ok(overflow.length <= maxMessageSize, 'no more is kept');
          const last = codec.inflateState[InflateState.output] - before;
          if (!takeover && maxMessageSize === 1_000) assert.ok(last <= 1_300, `${last} bytes were inflated`);
          receiving.inflater.release();
        }
      });
    }
  }
});

describe('text', () => {
  test('says whether it is ASCII, is text, or is binary', () => {
    const codec = new Codec();
    const receiving = new Receiving(codec, { takeover: false });
    for (const length of [3, 100, 40_000, 200_000]) {
      const ascii = CONTENTS.json(length, 1);
      const other = Buffer.from(`${ascii.subarray(0, length - 2)}é`);
      for (const compress of [deflated, (message: Buffer) => deflated(message, { level: 0 })]) {
        for (const [message, text, kind] of [
          [ascii, true, Kind.asciiText],
          [other, true, Kind.text],
          [other, false, Kind.binary],
        ] as const) {
          for (const inPieces of [false, true]) {
            const compressed = compress(message);
            const error = inPieces
              ? receiving.inPieces(compressed, [9_000], text)
              : receiving.either(compressed, text);
            assert.equal(error, InflateError.none);
            assert.equal(receiving.inflater.kind, kind, `${length} bytes`);
            assert.ok(receiving.take().equals(message), `${length} bytes`);
          }
        }
      }
    }
  });

  test('characters of all lengths across the borders of pieces and of the window', () => {
    const codec = new Codec();
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 200_000 }), fc.nat(), fc.boolean(), (length, seed, takeover) => {
        const message = pseudoRandomText(length, seed);
        const receiving = new Receiving(codec, { takeover });
        assert.equal(receiving.inPieces(deflated(message), [17_000, 5], true), InflateError.none);
        assert.ok(receiving.take().equals(message), 'the message');
        receiving.inflater.release();
      }),
      { numRuns: 40 },
    );
  });

  test('a wrong byte, or a character cut at the end, fails text and not binary', () => {
    const codec = new Codec();
    const good = CONTENTS.json(150_000, 1);
    for (const length of [1, 40, 150_000]) {
      for (const wrong of ['ff', 'e282', 'c3']) {
        const message = Buffer.concat([good.subarray(0, length), Buffer.from(wrong, 'hex')]);
        const compressed = deflated(message);
        for (const takeover of [false, true]) {
          for (const lengths of [[LONGEST_WHOLE], [1_000]]) {
            const text = new Receiving(codec, { takeover });
            assert.equal(text.inPieces(compressed, lengths, true), InflateError.invalidUtf8);
            const binary = new Receiving(codec, { takeover });
            assert.equal(binary.inPieces(compressed, lengths, false), InflateError.none);
            assert.ok(binary.take().equals(message), 'the message');
            for (const { inflater } of [text, binary]) inflater.release();
          }
        }
      }
    }
    assert.equal(
      new Receiving(codec).whole(deflated(Buffer.from('ff', 'hex')), true),
      InflateError.invalidUtf8,
    );
  });

  test('a wrong byte in a long message fails it before its end has come', () => {
    const codec = new Codec();
    const compressed = deflated(Buffer.concat([Buffer.from([0xff]), CONTENTS.random(300_000, 1)]));
    const { inflater } = new Receiving(codec);
    assert.equal(inflater.append(compressed, 0, 120_000, true), InflateError.invalidUtf8);
  });
});

describe('data that is not DEFLATE, or not all of it', () => {
  test('a message that ends early is refused when it ends, whole and in pieces', () => {
    const codec = new Codec();
    for (const length of [200, 100_000]) {
      const compressed = deflated(CONTENTS.skewed(length, 2));
      for (const end of [compressed.length - 1, compressed.length - 3, compressed.length >> 1, 1]) {
        const cut = compressed.subarray(0, end);
        assert.equal(new Receiving(codec).either(cut), InflateError.corrupt, `${end} bytes, whole`);
        assert.equal(
          new Receiving(codec).inPieces(cut, [20_000]),
          InflateError.corrupt,
          `${end} bytes, in pieces`,
        );
      }
    }
  });

  test('a wrong bit in a long message fails it before its end has come', () => {
    const codec = new Codec();
    const compressed = Buffer.concat([
      deflated(CONTENTS.random(40_000, 1)),
      Buffer.from([7]),
      Buffer.alloc(50_000),
    ]);
    const { inflater } = new Receiving(codec, { takeover: false });
    assert.equal(inflater.append(compressed, 0, 60_000, false), InflateError.corrupt);
  });

  test('a last block within a message, and the history behind it (RFC 7692 §7.2.3.4)', async () => {
    const codec = new Codec();
    const receiving = new Receiving(codec);
    const hello = Buffer.from('f348cdc9c9070000', 'hex');
    assert.equal(receiving.whole(hello, true), InflateError.none);
    assert.equal(receiving.take().toString(), 'Hello');
    // Length 5, distance 5: the message before.
    assert.equal(receiving.whole(Buffer.from('0213000000', 'hex').subarray(0, 4), true), InflateError.none);
    assert.equal(receiving.take().toString(), 'Hello');
  });
});
