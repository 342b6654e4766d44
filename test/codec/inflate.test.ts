/** The DEFLATE decoder (RFC 1951) against zlib: whole messages, and the same in pieces. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { constants, deflateRawSync, type ZlibOptions } from 'node:zlib';
import fc from 'fast-check';
import { CONTENTS, type Content, mutatedStream, STRATEGIES } from '../arbitraries/deflate.js';
import { compareInflated, deflated, inflateHere } from '../reference/inflate-differential.js';

const LENGTHS = [0, 1, 2, 3, 17, 258, 259, 1_000, 32_768, 32_769, 100_000];
const LONG = 8 * 1024 * 1024;
const LEVELS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
const KINDS = Object.keys(CONTENTS) as Content[];

function inflatesTo(message: Buffer, options: ZlibOptions, what: string): void {
  const { outcome, output } = inflateHere(deflated(message, options), { windowBits: options.windowBits });
  assert.equal(outcome, 'complete', what);
  assert.ok(output.equals(message), what);
}

describe("what zlib's compressor makes", () => {
  for (const kind of KINDS) {
    test(`${kind}: every level and strategy, 0 to 100 000 bytes`, () => {
      for (const length of LENGTHS) {
        const message = CONTENTS[kind](length, length);
        for (const [name, strategy] of Object.entries(STRATEGIES)) {
          for (const level of LEVELS) {
            inflatesTo(message, { level, strategy }, `${length} B, level ${level}, ${name}`);
          }
        }
      }
    });

    test(`${kind}: every window and memory level`, () => {
      const message = CONTENTS[kind](70_000, 5);
      for (const windowBits of [8, 9, 10, 11, 12, 13, 14, 15]) {
        for (let memLevel = 1; memLevel <= 9; memLevel++) {
          inflatesTo(message, { windowBits, memLevel }, `window ${windowBits}, memLevel ${memLevel}`);
        }
      }
    });

    test(`${kind}: 8 MiB, at the slowest and the fastest level, and stored`, () => {
      const seedling = CONTENTS[kind](LONG / 16, 1);
      const message = Buffer.concat(Array.from({ length: 16 }, (_, i) => seedling.subarray(i * 7)));
      for (const level of [0, 1, 9]) inflatesTo(message, { level }, `level ${level}`);
    });
  }

  test('several blocks of all types in one message (RFC 7692 §7.2.3.5)', () => {
    const parts = KINDS.flatMap((kind, i) => [
      [CONTENTS[kind](900, i), { level: 6 }] as const,
      [CONTENTS[kind](40, i), { strategy: constants.Z_FIXED }] as const,
      [CONTENTS[kind](60, i), { level: 0 }] as const,
    ]);
    const compressed = parts.map(([part, options]) => {
      return deflateRawSync(part, { ...options, finishFlush: constants.Z_SYNC_FLUSH });
    });
    const { outcome, output } = inflateHere(Buffer.concat(compressed).subarray(0, -4));
    assert.equal(outcome, 'complete');
    assert.ok(output.equals(Buffer.concat(parts.map(([part]) => part))), 'all parts, in order');
  });
});

describe('in pieces', () => {
  const samples = KINDS.flatMap((kind) => [
    deflated(CONTENTS[kind](600, 3)),
    deflated(CONTENTS[kind](90, 4), { strategy: constants.Z_FIXED }),
    deflateRawSync(CONTENTS[kind](200, 5)),
  ]);
  samples.push(deflated(CONTENTS.random(50, 1), { level: 0 }));

  test('one byte at a time, the output is what zlib has after each', () => {
    for (const sample of samples) assert.equal(compareInflated(sample, { pieces: [1] }), 'complete');
  });

  test('split in two at every byte', () => {
    for (const sample of samples) {
      const whole = Buffer.from(inflateHere(sample).output);
      for (let first = 1; first < sample.length; first++) {
        const { outcome, output } = inflateHere(sample, { pieces: [first, sample.length] });
        assert.equal(outcome, 'complete', `at ${first}`);
        assert.ok(output.equals(whole), `at ${first}`);
      }
    }
  });

  test('the longest codes, for as many bits as a turn of the decoder may take: cut at every byte', () => {
    // Two literals of 10 bits, a length of 15 + 5, a distance of 15 + 9, nine times over at all places in a byte.
    const stream = Buffer.from(
      'edf5d19624499224c97e6b9e432c6a1e0fd5b3ffff82ff712f00128b9a4756cfbeddfb1f00fffdf7fff7ff3f00fbefbf' +
        'ff5fffff45d87ffffdfff9ff4fc4fefbefffb7ff7f33f6df7fff7ffdff23b2fffefbffe5ff5f95fdf7dfff1fffffccec' +
        'bffffe7ff7ff7767fffdf7ffb7ff3f440b',
      'hex',
    );
    assert.equal(compareInflated(stream), 'complete');
    for (let end = 0; end < stream.length; end++) compareInflated(stream.subarray(0, end), { pieces: [end] });
  });

  test('other messages between two pieces: the tables are made again', () => {
    for (const sample of samples) {
      const how = { pieces: [1, 2, 3], disturbed: true };
      assert.equal(compareInflated(sample, how), 'complete');
    }
  });

  test('little room at a time', () => {
    for (const sample of samples) {
      const whole = Buffer.from(inflateHere(sample).output);
      for (const rooms of [[1], [2, 300], [17]]) {
        const { outcome, output } = inflateHere(sample, { rooms, pieces: [7] });
        assert.equal(outcome, 'complete');
        assert.ok(output.equals(whole), `rooms ${rooms}`);
      }
    }
  });

  test('large messages in random pieces, with random room', () => {
    const number = fc.integer({ min: 1, max: 40_000 });
    fc.assert(
      fc.property(
        fc.constantFrom(...KINDS),
        fc.nat({ max: 300_000 }),
        fc.nat({ max: 9 }),
        fc.array(number, { minLength: 1, maxLength: 5 }),
        fc.array(number, { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        (kind, length, level, pieces, rooms, disturbed) => {
          const message = CONTENTS[kind](length, length);
          const { outcome, output } = inflateHere(deflated(message, { level }), { pieces, rooms, disturbed });
          assert.equal(outcome, 'complete');
          assert.ok(output.equals(message), 'the message');
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('damaged streams', () => {
  test('zlib takes and refuses the same ones, with the same output so far', () => {
    const seen = { complete: 0, incomplete: 0, corrupt: 0 };
    fc.assert(
      fc.property(mutatedStream, (stream) => {
        seen[compareInflated(stream)]++;
      }),
      { numRuns: 3_000 },
    );
    for (const [outcome, count] of Object.entries(seen)) assert.ok(count > 100, `${outcome}: ${count}`);
  });

  test('in pieces as well, after each of them', () => {
    const pieces = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(mutatedStream, pieces, fc.boolean(), (stream, lengths, disturbed) => {
        compareInflated(stream, { pieces: lengths, disturbed });
      }),
      { numRuns: 1_000 },
    );
  });

  test('with a small window, zlib refuses the same distances', () => {
    fc.assert(
      fc.property(mutatedStream, fc.integer({ min: 8, max: 11 }), (stream, windowBits) => {
        compareInflated(stream, { windowBits });
      }),
      { numRuns: 500 },
    );
  });
});
