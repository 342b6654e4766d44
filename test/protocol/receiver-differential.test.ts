/**
 * The receiver against the plain one of test/reference/receiver.ts: whatever a server sends, and in whatever
 * pieces it arrives, both tell the same, and every wrong byte as soon as it is there. `test/fuzz.ts` does the same
 * for as long as one likes.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { BOUNDARY_LENGTHS, pseudoRandomBytes, pseudoRandomText } from '../arbitraries/payload.js';
import { flow, scenario } from '../arbitraries/scenario.js';
import { cutUp, encodeStream, faultyStream, validStream, type WireStream } from '../arbitraries/wire.js';
import {
  compare,
  compareInTurns,
  compareWithPauses,
  type Slabs,
  type Way,
} from '../reference/differential.js';
import type { Frame } from '../reference/frame.js';

const WAYS: readonly Way[] = ['read', 'feed'];
const SLABS: readonly Slabs[] = ['free', 'taken'];
const NO_LIMIT = 2 ** 26;

/** A stream in two pieces cut at each place given, all at once, and byte by byte; by each way in. */
function compareCut(stream: WireStream, cuts: Iterable<number>, maxMessageSize = NO_LIMIT): void {
  for (const way of WAYS) {
    for (const slabs of SLABS) {
      const rest = { stream, maxMessageSize, way, slabs };
      compare({ ...rest, how: 'all at once' });
      compare({ ...rest, how: 'one byte at a time' });
      for (const cut of cuts) compare({ ...rest, how: [{ frame: undefined, offset: cut }] });
    }
  }
}

const everyPlace = ({ bytes }: WireStream): number[] => Array.from({ length: bytes.length }, (_, i) => i);

describe('the receiver tells what the reference tells', () => {
  test('RFC 6455 §5: every first byte with every second byte, before and within a fragmented message', () => {
    for (const begun of ['', '0100', '0200']) {
      const before = Buffer.from(begun, 'hex');
      for (let pair = 0; pair < 1 << 16; pair++) {
        const bytes = Buffer.concat([before, Buffer.of(pair >> 8, pair & 0xff)]);
        const stream = { bytes, frameStarts: [0] };
        compare({ stream, how: 'all at once', maxMessageSize: NO_LIMIT, way: 'read', slabs: 'free' });
      }
    }
  });

  test('RFC 6455 §7.4: every status code a Close frame can carry', () => {
    for (let code = 0; code < 1 << 16; code++) {
      const stream = encodeStream([{ opcode: 8, payload: Buffer.of(code >> 8, code & 0xff) }]);
      compare({ stream, how: 'all at once', maxMessageSize: NO_LIMIT, way: 'read', slabs: 'free' });
    }
  });

  test('RFC 6455 §5.4: a message of every boundary length, whole and in fragments, at and above the limit', () => {
    for (const length of BOUNDARY_LENGTHS) {
      for (const opcode of [1, 2]) {
        const payload = opcode === 1 ? pseudoRandomText(length, 1) : pseudoRandomBytes(length, 1);
        const ping: Frame = { opcode: 9, payload: Buffer.from('between') };
        const whole = encodeStream([{ opcode, payload }, ping]);
        const middle = length >> 1;
        const inFragments = encodeStream([
          { fin: false, opcode, payload: payload.subarray(0, middle) },
          ping,
          { fin: false, opcode: 0 },
          { opcode: 0, payload: payload.subarray(middle) },
          { opcode, payload },
        ]);
        for (const stream of [whole, inFragments]) {
          const nearStarts = stream.frameStarts.flatMap((start) => [1, 2, 4, 10, 12].map((i) => start + i));
          const cuts = nearStarts.filter((cut) => cut < stream.bytes.length);
          for (const limit of [NO_LIMIT, length, length - 1]) {
            if (limit >= 0) compareCut(stream, length > 1_000 ? cuts.slice(0, 6) : cuts, limit);
          }
        }
      }
    }
  });

  test('RFC 6455 §5.4, §8.1: short streams of every kind, cut at every place', () => {
    const streams = [
      '81 04 f09f9880 89 00 82 01 ff 88 02 03e8',
      '01 01 f0 89 02 ffff 00 01 9f 8a 00 00 00 00 01 98 80 01 80 88 00',
      '01 02 e282 80 01 28 82 00',
      '01 02 e282 89 00 80 00 82 00',
      '81 03 61e228 89 00',
      '01 03 eda080 80 00',
      '88 04 03e8 c328 89 00',
      '88 01 03 88 00',
      '82 7f 0000000100000000 8900',
      '02 02 0102 82 00',
      '82 7e 007d 00',
      '82 7f 000000000000ffff 00',
      '81 7f 0000000000010000 6162e228',
    ];
    for (const text of streams) {
      const stream = { bytes: Buffer.from(text.replaceAll(' ', ''), 'hex'), frameStarts: [0] };
      for (const limit of [NO_LIMIT, 0, 1, 2, 3, 4]) compareCut(stream, everyPlace(stream), limit);
    }
  });

  test('RFC 6455 §10.4: a Ping behind a message above the limit is not answered, with or without a cut', () => {
    const stream = encodeStream([
      { opcode: 2, payload: Buffer.alloc(9) },
      { opcode: 9, payload: Buffer.alloc(1) },
    ]);
    compareCut(stream, everyPlace(stream), 8);
  });

  test('RFC 6455 §5.4: ten thousand fragments of one byte', () => {
    const frames: Frame[] = Array.from({ length: 10_000 }, (_, i) => ({
      fin: i === 9_999,
      opcode: i === 0 ? 1 : 0,
      payload: Buffer.of(0x61 + (i % 26)),
    }));
    compareCut(encodeStream(frames), [1, 2, 3, 29_999]);
  });

  test('RFC 6455 §5: right streams, in any pieces', () => {
    fc.assert(
      fc.property(validStream(), scenario(), (stream, rest) => {
        compare({ ...rest, stream, maxMessageSize: NO_LIMIT });
      }),
      { numRuns: 300 },
    );
  });

  test('RFC 6455 §5: right and faulty streams, any limit, in any pieces', () => {
    fc.assert(fc.property(scenario(), compare), { numRuns: 2_000 });
  });

  test('RFC 6455 §5: faulty streams all at once, and byte by byte', () => {
    fc.assert(
      fc.property(faultyStream(), scenario(), (stream, rest) => {
        for (const how of ['all at once', 'one byte at a time'] as const) compare({ ...rest, stream, how });
      }),
      { numRuns: 500 },
    );
  });

  test('RFC 6455 §5: large messages, in any pieces', () => {
    fc.assert(fc.property(scenario({ large: true, maxActs: 3 }), compare), { numRuns: 150 });
  });

  test('RFC 6455 §5: random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), scenario(), (random, rest) => {
        compare({ ...rest, stream: { bytes: Buffer.from(random), frameStarts: [0] } });
      }),
      { numRuns: 500 },
    );
  });
});

describe('the receiver tells the same, whatever happens around it', () => {
  test('lease rules 1, 2 and 4: connections of one thread read in turns', () => {
    const several = fc.array(scenario(), { minLength: 2, maxLength: 4 });
    fc.assert(fc.property(several, compareInTurns), { numRuns: 200 });
    const large = fc.array(scenario({ large: true, maxActs: 2 }), { minLength: 2, maxLength: 3 });
    fc.assert(fc.property(large, compareInTurns), { numRuns: 40 });
  });

  test('lease rule 3: delivery is paused and resumed, or begins late', async () => {
    await fc.assert(fc.asyncProperty(scenario(), flow, compareWithPauses), { numRuns: 400 });
  });

  test('lease rule 3: large messages, paused and resumed', async () => {
    await fc.assert(fc.asyncProperty(scenario({ large: true, maxActs: 3 }), flow, compareWithPauses), {
      numRuns: 100,
    });
  });

  test('lease rule 1: pieces larger than any place for them', () => {
    const stream = encodeStream([
      { opcode: 2, payload: pseudoRandomBytes(300_000, 1) },
      { opcode: 1, payload: pseudoRandomText(300_000, 2) },
      { fin: false, opcode: 2, payload: pseudoRandomBytes(100_000, 3) },
      { opcode: 9 },
      { fin: false, opcode: 0, payload: pseudoRandomBytes(70_000, 4) },
      { opcode: 0, payload: pseudoRandomBytes(65_473, 5) },
      { opcode: 2 },
    ]);
    assert.equal(cutUp(stream, 'all at once').length, 1);
    for (const way of WAYS) {
      for (const slabs of SLABS) {
        compare({ stream, how: 'all at once', maxMessageSize: NO_LIMIT, way, slabs });
      }
    }
  });
});
