/**
 * UTF-8 validation by SIMD, against RFC 3629 §4 byte by byte. Blocks are 16 bytes from the beginning of a piece,
 * so what can go wrong goes wrong at their edges: there every short sequence is tried.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Codec } from '../../src/codec/codec.js';
import { SLABS, UTF8_INVALID, UTF8_MISSING, UTF8_NON_ASCII } from '../../src/codec/layout.js';
import { BOUNDARY_LENGTHS, payloadLength, pseudoRandomText, text } from '../arbitraries/payload.js';
import { firstWrongByte, isUtf8, Utf8Reference } from '../reference/utf8.js';

const codec = new Codec();
const { memory } = codec;
const START = 0;
/** Offsets around the edges of the first and the second block. */
const EDGES = [13, 14, 15, 16, 17, 29, 30, 31, 32, 33];

/** The verdict on a whole text at that place. */
function isWhole(start: number, length: number): boolean {
  const state = codec.validateUtf8(start, start + length, START);
  return state !== UTF8_INVALID && (state & UTF8_MISSING) === 0;
}

/**
 * Validates piece by piece and compares with the reference after each: wrong as soon as a wrong byte is there,
 * not one piece earlier; whole or cut short; ASCII or not. Foreign bytes behind the piece must not matter.
 */
function compare(pieces: readonly Uint8Array[], alignment = 0): void {
  const reference = new Utf8Reference();
  let state = START;
  let isAscii = true;
  for (const [i, piece] of pieces.entries()) {
    const at = SLABS + alignment;
    memory.fill(i % 2 === 0 ? 0x80 : 0xf4, at, at + piece.length + 64);
    memory.set(piece, at);
    state = codec.validateUtf8(at, at + piece.length, state);
    const isRight = piece.every((byte) => reference.push(byte));
    isAscii &&= piece.every((byte) => byte < 0x80);
    if ((state !== UTF8_INVALID) !== isRight)
      fail(pieces, alignment, `piece ${i} is ${isRight ? '' : 'not '}right`);
    if (!isRight) return;
    if (((state & UTF8_MISSING) === 0) !== reference.complete)
      fail(pieces, alignment, `piece ${i}: cut short`);
    if (((state & UTF8_NON_ASCII) === 0) !== isAscii) fail(pieces, alignment, `piece ${i}: ASCII`);
  }
}

function fail(pieces: readonly Uint8Array[], alignment: number, what: string): never {
  const shown = pieces.map((piece) => Buffer.from(piece).toString('hex')).join(' | ');
  assert.fail(`${what}, at alignment ${alignment}: ${shown}`);
}

/** Cut at those places. */
function cutAt(bytes: Uint8Array, ...cuts: number[]): Uint8Array[] {
  return [...cuts, bytes.length].map((end, i) => bytes.subarray(i === 0 ? 0 : cuts[i - 1], end));
}

/** `sequence` at `offset` of 64 bytes; the text before is ASCII, or full of characters of two bytes. */
function surrounded(sequence: Uint8Array, offset: number, before: 'ascii' | 'wide' = 'ascii'): Buffer {
  const bytes = Buffer.alloc(64, 0x61);
  if (before === 'wide') bytes.fill('é', 0, offset & ~1);
  bytes.set(sequence, offset);
  return bytes;
}

/** Heads and tails from every line of RFC 3629 §4 and from just outside it. */
const DECISIVE = [
  0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef,
  0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xff,
];

describe('UTF-8 at the edges of SIMD blocks', () => {
  test('RFC 3629 §4: every sequence of one and of two bytes', () => {
    for (const offset of [0, 1, 11, 12, ...EDGES, 45, 46, 47, 48, 60, 61, 62]) {
      const at = SLABS + offset;
      memory.set(surrounded(Buffer.alloc(0), offset, 'wide'), SLABS);
      for (let first = 0; first < 256; first++) {
        memory[at] = first;
        memory[at + 1] = 0x61;
        if (isWhole(SLABS, 64) !== isUtf8(Buffer.of(first, 0x61))) assert.fail(`${first} at ${offset}`);
        for (let second = 0; second < 256; second++) {
          memory[at + 1] = second;
          // The last offset leaves no byte behind the sequence: there it is cut by the end of the text.
          if (isWhole(SLABS, 64) !== isUtf8(Buffer.of(first, second))) {
            assert.fail(`${first} ${second} at ${offset}`);
          }
        }
      }
    }
  });

  test('RFC 3629 §4: every sequence of three bytes', () => {
    const isRight = verdicts();
    for (const offset of EDGES) {
      const at = SLABS + offset;
      // ASCII before the first edge, wide characters before the second: the block before counts or does not.
      memory.set(surrounded(Buffer.alloc(0), offset, offset < 20 ? 'ascii' : 'wide'), SLABS);
      for (let sequence = 0; sequence < 1 << 24; sequence++) {
        memory[at] = sequence >> 16;
        memory[at + 1] = sequence >> 8;
        memory[at + 2] = sequence;
        if (isWhole(SLABS, 48) !== (isRight[sequence] === 1)) {
          assert.fail(`${sequence.toString(16)} at ${offset}`);
        }
      }
    }
  });

  test('RFC 3629 §4: decisive sequences of three bytes at every offset, and at the end of the text', () => {
    for (const first of DECISIVE) {
      for (const second of DECISIVE) {
        for (const third of DECISIVE) {
          const sequence = Buffer.of(first, second, third);
          const expected = isUtf8(sequence);
          for (let offset = 0; offset <= 34; offset++) {
            memory.fill('é', SLABS, SLABS + (offset & ~1));
            if (offset % 2 === 1) memory[SLABS + offset - 1] = 0x61;
            memory.set(sequence, SLABS + offset);
            memory.fill(0xbf, SLABS + offset + 3, SLABS + 64);
            if (isWhole(SLABS, offset + 3) !== expected)
              assert.fail(`${sequence.toString('hex')} at ${offset}`);
          }
        }
      }
    }
  });

  test('RFC 3629 §4: every head of four bytes with every second byte, and tails from around their bounds', () => {
    const tails = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0xbf, 0xc0, 0xff];
    for (let first = 0xee; first <= 0xf8; first++) {
      for (let second = 0; second < 256; second++) {
        for (const third of tails) {
          for (const fourth of tails) {
            const sequence = Buffer.of(first, second, third, fourth);
            const expected = isUtf8(sequence);
            for (const offset of [0, 12, ...EDGES, 44]) {
              memory.fill(0x61, SLABS, SLABS + 48);
              memory.set(sequence, SLABS + offset);
              if (isWhole(SLABS, 48) !== expected) assert.fail(`${sequence.toString('hex')} at ${offset}`);
            }
          }
        }
      }
    }
  });

  /** Whether each sequence of three bytes, read as a number, is a whole text. */
  function verdicts(): Uint8Array {
    const isRight = new Uint8Array(1 << 24);
    const judged = (...bytes: number[]): number => (isUtf8(Uint8Array.from(bytes)) ? 1 : 0);
    const single = Uint8Array.from({ length: 1 << 8 }, (_, byte) => judged(byte));
    const double = Uint8Array.from({ length: 1 << 16 }, (_, pair) => judged(pair >> 8, pair & 0xff));
    for (let pair = 0; pair < 1 << 16; pair++) {
      const prefix = Uint8Array.of(pair >> 8, pair & 0xff);
      if (firstWrongByte(prefix) >= 0) continue;
      for (let third = 0; third < 256; third++) {
        // A text that may end here begins anew: what follows is judged by itself (RFC 3629 §4, UTF8-octets).
        isRight[(pair << 8) | third] = single[pair >> 8]
          ? double[((pair & 0xff) << 8) | third]
          : double[pair]
            ? single[third]
            : judged(pair >> 8, pair & 0xff, third);
      }
    }
    return isRight;
  }
});

describe('UTF-8 over splits', () => {
  const characters = [
    '\u0000',
    '\u007f',
    '\u0080',
    'é',
    '߿',
    'ࠀ',
    '€',
    '\ud7ff',
    '\ue000',
    '\ufeff',
    '\uffff',
  ];
  const astral = ['\u{10000}', '😀', '\u{3ffff}', '\u{40000}', '\u{fffff}', '\u{100000}', '\u{10ffff}'];

  test('RFC 6455 §8.1: a character may be cut at any two places, before, in and behind a block', () => {
    for (const character of [...characters, ...astral]) {
      const encoded = Buffer.from(character);
      for (const offset of [0, 1, 15, 16, 31]) {
        const bytes = surrounded(encoded, offset);
        for (let first = offset; first <= offset + encoded.length; first++) {
          for (let second = first; second <= offset + encoded.length; second++) {
            compare(cutAt(bytes, first, second));
          }
        }
      }
    }
  });

  test('RFC 6455 §8.1: a wrong byte fails in the piece that brings it, wherever the pieces end', () => {
    const wrong = {
      'a tail alone': '80',
      'overlong of two bytes': 'c080 c1bf',
      'overlong of three bytes': 'e08080 e09fbf',
      'overlong of four bytes': 'f0808080 f08fbfbf',
      surrogates: 'eda080 edbfbf eda080edb080',
      'above U+10FFFF': 'f4908080 f4bfbfbf f5808080 f7bfbfbf',
      'five and six bytes': 'f888808080 fc8480808080 fe ff',
      'a head after a head': 'c2c2 e2c2 e282c2 f09f98c2',
      'a head cut by ASCII': 'c241 e28241 f09f9841',
      'a tail too many': 'c28080 e2828280 f09f988080',
    };
    for (const [what, sequences] of Object.entries(wrong)) {
      for (const hex of sequences.split(' ')) {
        const sequence = Buffer.from(hex, 'hex');
        assert.equal(isUtf8(sequence), false, what);
        for (const offset of [0, 12, 13, 14, 15, 16, 30, 31]) {
          const bytes = surrounded(sequence, offset, 'wide');
          compare([bytes]);
          for (let cut = 0; cut <= bytes.length; cut++) compare(cutAt(bytes, cut));
          compare(cutAt(bytes, ...Array.from({ length: bytes.length - 1 }, (_, i) => i + 1)));
        }
      }
    }
  });

  test('RFC 6455 §8.1: right texts of every header length, at any alignment, in any pieces', () => {
    for (const length of [...BOUNDARY_LENGTHS, 15, 16, 17, 31, 32, 33, 47, 48, 49]) {
      for (let seed = 0; seed < 6; seed++) {
        const bytes = pseudoRandomText(length, seed);
        compare([bytes], seed * 11);
        compare(cutAt(bytes, length >> 1), 63 - seed);
      }
    }
  });

  test('every alignment from 0 to 63', () => {
    const right = pseudoRandomText(100, 4);
    const wrong = Buffer.from(right);
    wrong[77] = 0xff;
    for (let alignment = 0; alignment < 64; alignment++) {
      compare([right], alignment);
      compare([wrong], alignment);
    }
  });

  test('RFC 6455 §8.1: texts with a few bytes changed', () => {
    const change = fc.tuple(fc.nat(), fc.oneof(fc.constantFrom(...DECISIVE), fc.nat(255)));
    const cuts = fc.array(fc.nat(), { maxLength: 6 });
    fc.assert(
      fc.property(
        text(payloadLength({ large: false })),
        fc.array(change, { maxLength: 3 }),
        cuts,
        fc.nat(63),
        (bytes, changes, places, alignment) => {
          for (const [place, byte] of changes) if (bytes.length > 0) bytes[place % bytes.length] = byte;
          const edges = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b);
          compare(cutAt(bytes, ...edges), alignment);
        },
      ),
      { numRuns: 3_000 },
    );
  });

  test('RFC 6455 §8.1: random bytes, most of them heads and tails', () => {
    const byte = fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...DECISIVE) },
      { weight: 2, arbitrary: fc.integer({ min: 0x80, max: 0xbf }) },
      { weight: 1, arbitrary: fc.nat(255) },
    );
    fc.assert(
      fc.property(
        text(fc.integer({ min: 0, max: 50 })),
        fc.array(byte, { maxLength: 20 }),
        fc.nat(),
        fc.nat(63),
        (lead, random, cut, alignment) => {
          const bytes = Buffer.concat([lead, Buffer.from(random), Buffer.alloc(20, 0x61)]);
          compare(cutAt(bytes, cut % (bytes.length + 1)), alignment);
        },
      ),
      { numRuns: 3_000 },
    );
  });

  test('RFC 6455 §8.1: one character or one wrong byte at every place of a long ASCII text', () => {
    for (let place = 0; place < 220; place++) {
      for (const hex of ['c3a9', 'f09f9880', 'ff', 'e282', 'eda0']) {
        const bytes = Buffer.alloc(224, 0x61);
        bytes.write(hex, place, 'hex');
        compare([bytes], place % 64);
        compare(cutAt(bytes, 37), 5);
      }
    }
  });

  test('RFC 6455 §8.1: a text of 64 KiB wrong at its last byte', () => {
    const bytes = Buffer.alloc(65_536, 'é');
    compare([bytes]);
    bytes[65_535] = 0x41;
    compare([bytes]);
    compare(cutAt(bytes, 65_535));
  });

  test('RFC 6455 §8.1: ASCII stays known as ASCII over pieces, until the first other byte', () => {
    for (let offset = 0; offset < 64; offset++) {
      const bytes = surrounded(Buffer.from('é'), Math.min(offset, 62));
      for (const cut of [0, 1, 16, 17, 32, offset]) compare(cutAt(bytes, cut));
    }
    compare(cutAt(Buffer.alloc(64, 0x7f), 5, 21, 50));
  });
});
