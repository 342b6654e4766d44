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
  compareStopped,
  compareWithPauses,
  type Slabs,
  type Way,
} from '../reference/differential.js';
import type { Frame } from '../reference/frame.js';

/** The same cases in every run: what comes by chance is the fuzzer's business. */
fc.configureGlobal({ seed: 1 });

const WAYS: readonly Way[] = ['read', 'feed'];
const SLABS: readonly Slabs[] = ['free', 'taken'];
const NO_LIMIT = 2 ** 26;

/** A stream all at once, in two pieces cut at each place given, and byte by byte when short; by each way in. */
function compareCut(stream: WireStream, cuts: Iterable<number>, maxMessageSize = NO_LIMIT): void {
  for (const way of WAYS) {
    for (const slabs of SLABS) {
      const rest = { stream, maxMessageSize, way, slabs };
      compare({ ...rest, how: 'all at once' });
      if (stream.bytes.length < 1_000) compare({ ...rest, how: 'one byte at a time' });
      for (const cut of cuts) compare({ ...rest, how: [{ frame: undefined, offset: cut }] });
    }
  }
}

const everyPlace = ({ bytes }: WireStream): number[] => Array.from({ length: bytes.length }, (_, i) => i);

describe('the receiver tells what the reference tells', () => {
  test('RFC 6455 §5: every first byte with every second byte, before and within a fragmented message', () => {
    const seconds = [0, 1, 0x7d, 0x7e, 0x7f, 0x80, 0x81, 0xfd, 0xfe, 0xff];
    for (const begun of ['', '0100', '0200']) {
      const before = Buffer.from(begun, 'hex');
      for (let first = 0; first < 256; first++) {
        for (const second of begun === '' ? Array(256).keys() : seconds) {
          const bytes = Buffer.concat([before, Buffer.of(first, second)]);
          const stream = { bytes, frameStarts: [0] };
          compare({ stream, how: 'all at once', maxMessageSize: NO_LIMIT, way: 'read', slabs: 'free' });
        }
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
    for (const length of [...BOUNDARY_LENGTHS, 4_097, 32_759]) {
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

  test('RFC 6455 §5.2: large frames, one byte at a time', () => {
    const stream = encodeStream([
      { opcode: 2, payload: pseudoRandomBytes(65_536, 1) },
      { opcode: 1, payload: pseudoRandomText(65_535, 2) },
      { fin: false, opcode: 1, payload: pseudoRandomText(65_473, 3) },
      { opcode: 0, payload: pseudoRandomText(65_472, 4) },
    ]);
    for (const slabs of SLABS) {
      compare({ stream, how: 'one byte at a time', maxMessageSize: NO_LIMIT, way: 'read', slabs });
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

  test('RFC 6455 §5.5.2: a Ping is answered once, unless a message above the limit stands before it', () => {
    const binary = (length: number): Frame => ({ opcode: 2, payload: Buffer.alloc(length) });
    const ping: Frame = { opcode: 9, payload: Buffer.from('?') };
    const begun: Frame = { ...binary(5), fin: false };
    const more: Frame = { opcode: 0, payload: Buffer.alloc(5) };
    for (const limit of [5, 9, 10]) {
      for (const frames of [
        [binary(limit), ping, binary(limit + 1), ping],
        [begun, ping, more, ping],
        [begun, more, ping, begun, more, ping],
        [binary(limit), binary(limit), ping],
      ]) {
        const stream = encodeStream(frames);
        compareCut(stream, everyPlace(stream), limit);
      }
    }
    const long = encodeStream([binary(70_000), binary(10), ping]);
    compareCut(long, [1, 9, 10, 100, 5_000, 65_000, 70_000, 70_009, 70_010, 70_012], 70_000);
    const inFragments = encodeStream([{ ...binary(60_000), fin: false }, more, binary(10), ping]);
    compareCut(inFragments, [1, 4, 5_000, 60_000, 60_004, 60_006, 60_011], 60_005);
  });

  test('RFC 6455 §8.1: a character cut by the end of a large frame, where the message goes on and where not', () => {
    for (const length of [4_096, 4_097, 32_758, 32_759, 65_473, 65_536, 131_073]) {
      const text = pseudoRandomText(length, 3);
      for (const character of ['c3a9', 'e282ac', 'f09f9880']) {
        for (let cut = 2; cut < character.length; cut += 2) {
          const head = Buffer.concat([text, Buffer.from(character.slice(0, cut), 'hex')]);
          const tail = Buffer.from(character.slice(cut), 'hex');
          const goesOn = encodeStream([
            { fin: false, opcode: 1, payload: head },
            { opcode: 0, payload: tail },
          ]);
          const ends = encodeStream([{ opcode: 1, payload: head }]);
          const endsLater = encodeStream([
            { fin: false, opcode: 1, payload: head.subarray(0, 10) },
            { opcode: 0, payload: head.subarray(10) },
          ]);
          for (const stream of [goesOn, ends, endsLater]) {
            const rest = { stream, maxMessageSize: NO_LIMIT, way: 'read', slabs: 'free' } as const;
            compare({ ...rest, how: 'all at once' });
            compare({
              ...rest,
              how: [
                { frame: undefined, offset: 20 },
                { frame: undefined, offset: length },
              ],
            });
          }
        }
      }
    }
  });

  test('RFC 6455 §5.4: ten thousand fragments of one byte', () => {
    const frames: Frame[] = Array.from({ length: 10_000 }, (_, i) => ({
      fin: i === 9_999,
      opcode: i === 0 ? 1 : 0,
      payload: Buffer.of(0x61 + (i % 26)),
    }));
    const stream = encodeStream(frames);
    compareCut(stream, [1, 2, 3, 29_999]);
    compare({ stream, how: 'one byte at a time', maxMessageSize: NO_LIMIT, way: 'read', slabs: 'free' });
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

  test('lease rule 1: what several connections keep of a frame that lacks its last byte stays apart', () => {
    for (const length of [124, 4_096, 4_097, 32_757, 32_758, 32_759, 32_768, 33_000, 65_000]) {
      for (const opcode of [1, 2]) {
        const several = [1, 2, 3].map((seed) => {
          const payload = opcode === 1 ? pseudoRandomText(length, seed) : pseudoRandomBytes(length, seed);
          const stream = encodeStream([
            { opcode: 2, payload: Buffer.of(seed) },
            { opcode, payload },
          ]);
          const how = [{ frame: undefined, offset: stream.bytes.length - 1 }];
          return { stream, how, maxMessageSize: NO_LIMIT, way: 'read', slabs: 'free' } as const;
        });
        compareInTurns(several);
      }
    }
  });

  test('lease rule 3: delivery is paused and resumed, or begins late', async () => {
    await fc.assert(fc.asyncProperty(scenario(), flow, compareWithPauses), { numRuns: 400 });
  });

  test('lease rule 3: large messages, paused and resumed', async () => {
    await fc.assert(fc.asyncProperty(scenario({ large: true, maxActs: 3 }), flow, compareWithPauses), {
      numRuns: 100,
    });
  });

  test('RFC 6455 §5.5.2: Pings are answered before anybody listens, and not again when delivery begins', async () => {
    const pings: Frame[] = Array.from({ length: 1_000 }, (_, i) => ({
      opcode: 9,
      payload: Buffer.alloc(100, i),
    }));
    const stream = encodeStream([{ opcode: 2, payload: Buffer.alloc(4_000) }, ...pings]);
    for (const cut of [1, 3_900, 4_004, 10_000]) {
      // Kept from the first piece, and a whole read behind it: more waits than one step of delivery takes.
      const how = [cut, cut + 65_536].map((offset) => ({ frame: undefined, offset }));
      for (const way of WAYS) {
        for (const slabs of SLABS) {
          const rest = { stream, how, maxMessageSize: NO_LIMIT, way, slabs };
          await compareWithPauses(rest, { listenAfter: 9, pauseAt: [], after: ['nothing'] });
          await compareWithPauses(rest, {
            listenAfter: 9,
            pauseAt: [true],
            after: ['turn', 'resume and turn'],
          });
        }
      }
    }
  });

  test('lease rule 3: a large frame that goes on arriving while delivery is paused', async () => {
    for (const opcode of [1, 2]) {
      const payload = opcode === 1 ? pseudoRandomText(150_000, 1) : pseudoRandomBytes(150_000, 1);
      const stream = encodeStream([
        { opcode: 2, payload: Buffer.alloc(1) },
        { opcode, payload },
        { opcode: 9 },
      ]);
      const how = [1_000, 5_000, 30_000, 31_000, 80_000, 149_000, 150_000].map((offset) => ({
        frame: undefined,
        offset,
      }));
      for (const way of WAYS) {
        const rest = { stream, how, maxMessageSize: NO_LIMIT, way, slabs: 'free' } as const;
        for (const next of ['nothing', 'turn', 'resume', 'resume and turn', 'pause'] as const) {
          for (const pauseAt of [[], [true], [false, true]]) {
            await compareWithPauses(rest, { listenAfter: 0, pauseAt, after: [next, 'nothing'] });
            await compareWithPauses(rest, { listenAfter: 3, pauseAt, after: ['nothing', 'turn', next] });
          }
        }
      }
    }
  });

  test('lease rule 6: after stop() in a callback nothing is delivered, and nothing is kept', () => {
    fc.assert(fc.property(scenario(), fc.nat(3), compareStopped), { numRuns: 500 });
    const large = scenario({ large: true, maxActs: 3 });
    fc.assert(fc.property(large, fc.nat(2), compareStopped), { numRuns: 60 });
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
