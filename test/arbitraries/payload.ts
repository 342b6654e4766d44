/**
 * Payloads. Large ones are spun from a seed: a generator that draws 64 KiB byte by byte costs more than what it
 * tests.
 */
import fc from 'fast-check';

/** Where RFC 6455 §5.2 changes the form of the length, and the ends of it. */
export const BOUNDARY_LENGTHS = [0, 1, 125, 126, 127, 65_535, 65_536] as const;

/** Mostly short, often at a boundary, seldom long: `large` says whether 64 KiB and more may come at all. */
export function payloadLength({ large }: { large: boolean }): fc.Arbitrary<number> {
  return fc.oneof(
    { withCrossShrink: true },
    { weight: 12, arbitrary: fc.integer({ min: 0, max: 40 }) },
    { weight: 4, arbitrary: fc.constantFrom(0, 1, 2, 3, 4, 15, 16, 17, 31, 32, 33, 63, 64, 65) },
    { weight: 4, arbitrary: fc.constantFrom(124, 125, 126, 127, 128) },
    { weight: 2, arbitrary: fc.integer({ min: 0, max: 1_000 }) },
    ...(large
      ? [
          { weight: 1, arbitrary: fc.constantFrom(65_534, 65_535, 65_536, 65_537) },
          { weight: 1, arbitrary: fc.integer({ min: 1_000, max: 70_000 }) },
          // Where a receiver may choose another place for the bytes.
          {
            weight: 1,
            arbitrary: fc.constantFrom(
              4_095,
              4_096,
              4_097,
              32_758,
              32_759,
              32_768,
              65_472,
              65_473,
              131_072,
              260_000,
            ),
          },
        ]
      : []),
  );
}

/** Numbers from 0 to below 2^32 that depend on the seed alone (xorshift32). */
export function* pseudoRandom(seed: number): Generator<number, never> {
  let state = (seed ^ 0x9e37_79b9) >>> 0 || 1;
  for (;;) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    yield state;
  }
}

/** Bytes that depend on length and seed alone. */
export function pseudoRandomBytes(length: number, seed: number): Buffer {
  const numbers = pseudoRandom(seed);
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = numbers.next().value >>> 11;
  return bytes;
}

/** First and last code points of every UTF-8 length, the neighbours of the surrogates, BOM, non-characters. */
const CODE_POINTS: readonly (readonly number[])[] = [
  [0x00, 0x0a, 0x22, 0x41, 0x5c, 0x7f],
  [0x80, 0xe9, 0x7ff],
  [0x800, 0x20ac, 0xd7ff, 0xe000, 0xfeff, 0xfffd, 0xffff],
  [0x1_0000, 0x1_f600, 0x3_ffff, 0x4_0000, 0xf_ffff, 0x10_0000, 0x10_ffff],
];

/** A text of exactly so many bytes: runs of ASCII among code points of every UTF-8 length. */
export function pseudoRandomText(byteLength: number, seed: number): Buffer {
  const numbers = pseudoRandom(seed);
  const below = (bound: number): number => (numbers.next().value >>> 3) % bound;
  const asciiOnly = below(3) === 0;
  const text = Buffer.alloc(byteLength);
  let filled = 0;
  while (filled < byteLength) {
    const room = byteLength - filled;
    if (asciiOnly || below(8) === 0) {
      const end = filled + Math.min(room, 1 + below(80));
      while (filled < end) text[filled++] = 0x20 + below(0x5f);
    } else {
      const candidates = CODE_POINTS[below(Math.min(room, 4))];
      filled += text.write(String.fromCodePoint(candidates[below(candidates.length)]), filled);
    }
  }
  return text;
}

/** Any bytes of such a length. */
export function bytes(length: fc.Arbitrary<number>): fc.Arbitrary<Buffer> {
  return fc.tuple(length, fc.nat()).map(([count, seed]) => pseudoRandomBytes(count, seed));
}

/** Any text of such a length in bytes. */
export function text(byteLength: fc.Arbitrary<number>): fc.Arbitrary<Buffer> {
  return fc.tuple(byteLength, fc.nat()).map(([count, seed]) => pseudoRandomText(count, seed));
}
