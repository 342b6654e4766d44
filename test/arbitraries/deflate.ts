/** DEFLATE streams: of all kinds zlib's compressor makes, and with bytes changed, lost and added. */
import { constants, deflateRawSync, type ZlibOptions } from 'node:zlib';
import fc from 'fast-check';
import { pseudoRandom, pseudoRandomBytes } from './payload.js';

export const STRATEGIES = {
  default: constants.Z_DEFAULT_STRATEGY,
  filtered: constants.Z_FILTERED,
  huffmanOnly: constants.Z_HUFFMAN_ONLY,
  rle: constants.Z_RLE,
  fixed: constants.Z_FIXED,
} as const;

/** What is compressed: of kinds that lead to different codes, lengths and distances. */
export const CONTENTS = {
  json: (length: number, seed: number): Buffer => {
    const numbers = pseudoRandom(seed);
    const number = (bound: number): number => numbers.next().value % bound;
    let text = '';
    while (text.length < length) {
      text += `{"e":"trade","s":"${['BTC', 'ETH', 'SOL'][number(3)]}USDT","p":"${number(9_000_000) / 100}","q":${number(999)}},`;
    }
    return Buffer.from(text).subarray(0, length);
  },
  text: (length: number, seed: number): Buffer => {
    const numbers = pseudoRandom(seed);
    const words = Array.from({ length: 300 }, (_, i) =>
      pseudoRandomBytes(2 + (i % 9), i).toString('base64url'),
    );
    const text: string[] = [];
    for (let size = 0; size <= length; ) {
      const word = words[(numbers.next().value % 18) * (numbers.next().value % 17)];
      text.push(word);
      size += word.length + 1;
    }
    return Buffer.from(text.join(' ')).subarray(0, length);
  },
  random: pseudoRandomBytes,
  zeros: (length: number): Buffer => Buffer.alloc(length),
  /** Repeats that begin up to a window back, with distances of every size from 1 on. */
  repeats: (length: number, seed: number): Buffer => {
    const bytes = pseudoRandomBytes(length, seed);
    const numbers = pseudoRandom(seed + 1);
    for (let at = 16; at < length; ) {
      const distance = 1 + (numbers.next().value % Math.min(at, 2 ** (1 + (numbers.next().value % 15))));
      const count = 3 + (numbers.next().value % 300);
      for (let i = 0; i < count && at < length; i++, at++) bytes[at] = bytes[at - distance];
      at += numbers.next().value % 5;
    }
    return bytes;
  },
  /** Few bytes, some a thousand times as often as others: long codes. */
  skewed: (length: number, seed: number): Buffer => {
    const numbers = pseudoRandom(seed);
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++)
      bytes[i] = Math.clz32(numbers.next().value) * 7 + (numbers.next().value % 2);
    return bytes;
  },
} as const;

export type Content = keyof typeof CONTENTS;

const compressed = fc
  .record({
    content: fc.constantFrom(...(Object.keys(CONTENTS) as Content[])),
    length: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 1_500 })),
    seed: fc.nat(),
    level: fc.integer({ min: 0, max: 9 }),
    strategy: fc.constantFrom(...Object.values(STRATEGIES)),
    memLevel: fc.integer({ min: 1, max: 9 }),
    last: fc.boolean(),
  })
  .map(({ content, length, seed, last, ...options }) => {
    const finishFlush = last ? constants.Z_FINISH : constants.Z_SYNC_FLUSH;
    const whole = deflateRawSync(CONTENTS[content](length, seed), { ...options, finishFlush } as ZlibOptions);
    return last ? whole : whole.subarray(0, Math.max(0, whole.length - 4));
  });

/** A stream's first bits say what kind of block follows: half of what is drawn here is a block with its own codes. */
const noise = fc
  .tuple(fc.uint8Array({ maxLength: 90 }), fc.boolean())
  .map(([bytes, dynamic]) =>
    Buffer.from(dynamic && bytes.length > 0 ? bytes.with(0, (bytes[0] & ~6) | 4) : bytes),
  );

type Change = [kind: 'flip' | 'set' | 'lose' | 'end' | 'add', place: number, value: number, early: boolean];

const changes: fc.Arbitrary<Change[]> = fc.array(
  fc.tuple(
    fc.constantFrom('flip', 'set', 'lose', 'end', 'add'),
    fc.nat(),
    fc.nat({ max: 255 }),
    // A block's codes stand at its beginning.
    fc.boolean(),
  ),
  { maxLength: 4 },
);

function change(stream: Buffer, [kind, place, value, early]: Change): Buffer {
  const at = place % Math.max(1, early ? Math.min(stream.length, 80) : stream.length);
  const bytes = Buffer.from(stream);
  if (kind === 'flip') bytes[at] ^= 1 << (value & 7);
  else if (kind === 'set') bytes[at] = value;
  else if (kind === 'end') return bytes.subarray(0, at);
  else if (kind === 'lose') return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
  else return Buffer.concat([bytes.subarray(0, at), Buffer.from([value]), bytes.subarray(at)]);
  return bytes;
}

/** Streams, one after the other in one message, most of them damaged. */
export const mutatedStream: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.array(fc.oneof({ weight: 5, arbitrary: compressed }, { weight: 1, arbitrary: noise }), {
      minLength: 1,
      maxLength: 2,
    }),
    changes,
  )
  .map(([streams, each]) => each.reduce(change, Buffer.concat(streams)));
