/** Masking by SIMD, against RFC 6455 §5.3 byte by byte. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Codec } from '../../src/codec/codec.js';
import { MASKING_KEYS_SIZE, SLABS } from '../../src/codec/layout.js';
import { BOUNDARY_LENGTHS, bytes, pseudoRandomBytes } from '../arbitraries/payload.js';
import { maskingKey } from '../arbitraries/wire.js';
import { mask } from '../reference/mask.js';

const codec = new Codec();
const MARGIN = 96;
const KEY = [0x37, 0xfa, 0x21, 0x3d];

/** The key as the codec takes it: as it stands on the wire, read as a little-endian word. */
const asWord = (key: readonly number[]): number => Buffer.from(key).readInt32LE();

/**
 * Masks `payload` at that alignment, between margins of foreign bytes, and compares everything: the payload with
 * the reference, the margins with what they were.
 */
function compare(payload: Buffer, key: readonly number[], phase: number, alignment: number): void {
  const start = SLABS + 64 + alignment;
  const end = start + payload.length;
  const around = codec.memory.subarray(start - 64, end + MARGIN);
  const expected = pseudoRandomBytes(around.length, payload.length);
  around.set(expected);
  around.set(payload, 64);
  expected.set(mask(payload, key, phase), 64);
  codec.mask(start, end, asWord(key), phase);
  if (!around.equals(expected)) {
    assert.fail(`length ${payload.length}, key ${key}, phase ${phase}, alignment ${alignment}`);
  }
}

describe('masking', () => {
  test('RFC 6455 §5.7: "Hello" under 37fa213d', () => {
    codec.memory.write('Hello', SLABS);
    codec.mask(SLABS, SLABS + 5, asWord(KEY), 0);
    assert.equal(codec.memory.toString('hex', SLABS, SLABS + 5), '7f9f4d5158');
  });

  test('RFC 6455 §5.3: every length up to 150 in every phase, and nothing beyond its ends', () => {
    for (let length = 0; length <= 150; length++) {
      const payload = pseudoRandomBytes(length, length);
      for (let phase = 0; phase < 4; phase++) compare(payload, KEY, phase, 0);
    }
  });

  test('RFC 6455 §5.3: every alignment in every phase, at the lengths where SIMD widths begin and end', () => {
    const lengths = [0, 1, 3, 4, 7, 8, 12, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 79, 80, 81, 125, 126, 127];
    for (const length of lengths) {
      const payload = pseudoRandomBytes(length, length);
      for (let alignment = 0; alignment < 64; alignment++) {
        for (let phase = 0; phase < 4; phase++) compare(payload, KEY, phase, alignment);
      }
    }
  });

  test('RFC 6455 §5.2: the lengths at which the header changes', () => {
    for (const length of BOUNDARY_LENGTHS) {
      const payload = pseudoRandomBytes(length, 7);
      for (let phase = 0; phase < 4; phase++) {
        for (const alignment of [0, 1, 14, 63]) compare(payload, KEY, phase, alignment);
      }
    }
  });

  test('RFC 6455 §5.3: any payload, key, phase and alignment', () => {
    fc.assert(
      fc.property(
        bytes(fc.integer({ min: 0, max: 400 })),
        maskingKey,
        fc.oneof(fc.nat(3), fc.nat(), fc.constantFrom(0x7fff_ffff, 0xffff_fffd)),
        fc.nat(63),
        compare,
      ),
      { numRuns: 500 },
    );
  });

  test('RFC 6455 §5.3: in pieces, each beginning at its place in the payload, as at once', () => {
    const payload = pseudoRandomBytes(100, 3);
    const whole = mask(payload, KEY, 0);
    for (let first = 0; first <= payload.length; first++) {
      const second = Math.min(first + (first % 7), payload.length);
      codec.memory.set(payload, SLABS);
      const edges = [0, first, second, payload.length];
      for (let i = 0; i < 3; i++) codec.mask(SLABS + edges[i], SLABS + edges[i + 1], asWord(KEY), edges[i]);
      assert.ok(codec.memory.subarray(SLABS, SLABS + payload.length).equals(whole), `cut at ${first}`);
    }
  });

  test('RFC 6455 §5.3: masking twice gives the bytes back', () => {
    const payload = pseudoRandomBytes(1_000, 5);
    codec.memory.set(payload, SLABS);
    codec.mask(SLABS, SLABS + 1_000, asWord(KEY), 1);
    assert.ok(!codec.memory.subarray(SLABS, SLABS + 1_000).equals(payload));
    codec.mask(SLABS, SLABS + 1_000, asWord(KEY), 1);
    assert.ok(codec.memory.subarray(SLABS, SLABS + 1_000).equals(payload));
  });
});

describe('masking keys', () => {
  test('RFC 6455 §5.3, §10.3: a key is not used twice, and new ones are drawn when the pool is empty', () => {
    const length = MASKING_KEYS_SIZE / 4;
    const keys = Array.from({ length: 3 * length }, () => codec.maskingKey());
    // Of 3072 random words of 32 bits two are equal in one run of 900; three pairs in none.
    assert.ok(new Set(keys).size > keys.length - 3);
    assert.ok(keys.every((key) => Number.isInteger(key)));
    // Every bit is set in about half of them: 1536 ± 200 is more than seven standard deviations.
    for (let bit = 0; bit < 32; bit++) {
      const set = keys.filter((key) => (key >>> bit) & 1).length;
      assert.ok(Math.abs(set - keys.length / 2) < 200, `bit ${bit}: ${set} of ${keys.length}`);
    }
  });
});
