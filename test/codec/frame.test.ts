/**
 * The batch reader and the header writer, against RFC 6455 §5.2 read byte by byte. The reader is driven as reads
 * come in: each call goes on at the frame that was not complete, with the state the call before it left.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Codec } from '../../src/codec/codec.js';
import {
  Entry,
  FrameError,
  Kind,
  READ_SIZE,
  Register,
  SCRATCH,
  SLAB_SIZE,
  SLABS,
} from '../../src/codec/layout.js';
import { BOUNDARY_LENGTHS, bytes, payloadLength, pseudoRandomBytes } from '../arbitraries/payload.js';
import {
  cutUp,
  encodeStream,
  faultyStream,
  maskingKey,
  type Split,
  split,
  validStream,
  type WireStream,
} from '../arbitraries/wire.js';
import { decodeHeader, encodeFrame, encodeHeader, type Frame } from '../reference/frame.js';
import { type ReaderOptions, type ReadFrame, type Reading, readFrames } from '../reference/frame-reader.js';

const codec = new Codec();
const { memory, registers, frameTable } = codec;

const SERVER: ReaderOptions = { masked: false, rsv1: false };
const CLIENT: ReaderOptions = { masked: true, rsv1: false };
const KEY = [0x37, 0xfa, 0x21, 0x3d];
/** Both values of MASK, and of the length both ends of each form. */
const DECISIVE_SECONDS = [0, 1, 0x7d, 0x7e, 0x7f, 0x80, 0x81, 0xfd, 0xfe, 0xff];
const MODE_MASKED = 0x01;
const MODE_RSV1 = 0x40;

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const nameOf = (error: number): string | undefined =>
  error === FrameError.none ? undefined : FrameError[error];

const isControl = ({ firstByte }: ReadFrame): boolean => (firstByte & 0x08) !== 0;
const endsMessage = (frame: ReadFrame): boolean => frame.firstByte >= 0x80 && !isControl(frame);

/** The key as the codec takes and gives it: as it stands on the wire, read as a little-endian word. */
const asWord = (key: readonly number[]): number => Buffer.from(key).readInt32LE();

/** The frame table's second word for a whole binary message. */
const wholeBinary = (length: number): number =>
  (0x82 << Entry.firstByteShift) | (Kind.binary << Entry.kindShift) | length;

const show = (wire: Buffer): string =>
  wire.length > 200 ? `${wire.toString('hex', 0, 100)}… (${wire.length} bytes)` : wire.toString('hex');

/**
 * Reads `pieces` as they would arrive at `SLABS + alignment`; behind each lie foreign bytes. After every call all
 * that the codec says is compared with what the reference makes of the bytes so far.
 */
function compare(pieces: readonly Uint8Array[], options: ReaderOptions, alignment = 0): Reading {
  const base = SLABS + alignment;
  const mode = (options.masked ? MODE_MASKED : 0) | (options.rsv1 ? MODE_RSV1 : 0);
  const limit = options.limit ?? 0xffff_ffff;
  let assembled = 0;
  const arrived = Buffer.concat(pieces);
  let length = 0;
  let consumed = 0;
  let fragment = 0;
  let utf8 = 0;
  let processed = 0;
  let known = 0;
  let expected = readFrames(arrived.subarray(0, 0), options);

  for (const piece of pieces) {
    memory.set(piece, base + length);
    length += piece.length;
    memory.fill(length % 2 === 0 ? 0xff : 0x00, base + length, base + length + 32);

    const count = codec.readFrames(
      base + consumed,
      base + length,
      mode,
      limit,
      assembled,
      fragment,
      utf8,
      processed,
    );
    expected = readFrames(arrived.subarray(0, length), options);
    const added = expected.frames.slice(known);
    const same = (what: string, actual: unknown, wanted: unknown): void => {
      if (actual !== wanted) assert.equal(actual, wanted, `${what}, after ${length} of ${show(arrived)}`);
    };

    same('frames', count, added.length);
    for (const [i, { firstByte, payloadStart, payload, kind }] of added.entries()) {
      const [address, word] = [frameTable[2 * i], frameTable[2 * i + 1]];
      same('address', address, base + payloadStart);
      same('length', word & Entry.lengthMask, payload.length);
      same('kind', (word >>> Entry.kindShift) & Entry.kindMask, Kind[kind]);
      same('first byte', word >>> Entry.firstByteShift, firstByte);
      same('payload', memory.subarray(address, address + payload.length).equals(payload), true);
    }
    known += count;

    same('last message', registers[Register.lastMessage], added.findLastIndex(endsMessage));
    same('control frames', registers[Register.controls], added.filter(isControl).length);
    same('error', nameOf(registers[Register.error]), expected.error);
    if (expected.error !== undefined) return expected;

    for (const frame of added.filter((each) => !isControl(each))) {
      assembled = endsMessage(frame) ? 0 : assembled + frame.payload.length;
    }
    consumed = registers[Register.consumed] - base;
    fragment = registers[Register.fragment];
    utf8 = registers[Register.utf8];
    processed = registers[Register.processed];
    same('consumed', consumed, expected.consumed);
    if (added.some(({ firstByte }) => firstByte === 0x88)) return expected;

    // What is said of a frame whose end is missing: its header, when that is complete.
    const unfinished = arrived.subarray(consumed, length);
    const header = decodeHeader(unfinished);
    same('pending header', registers[Register.pendingHeader], header?.headerLength ?? 0);
    same('processed', processed, header === undefined ? 0 : unfinished.length - header.headerLength);
    if (header === undefined) continue;
    same('pending first byte', registers[Register.pendingFirstByte], unfinished[0]);
    same('pending length', BigInt(registers[Register.pendingLength] >>> 0), header.payloadLength);
    same('pending key', registers[Register.pendingKey], asWord(header.maskingKey ?? [0, 0, 0, 0]));
  }
  return expected;
}

/** All at once, byte by byte, and in two pieces cut anywhere. */
function compareEverySplit(stream: WireStream, options: ReaderOptions): void {
  compare(cutUp(stream, 'all at once'), options);
  compare(cutUp(stream, 'one byte at a time'), options);
  for (let cut = 1; cut < stream.bytes.length; cut++) {
    compare([stream.bytes.subarray(0, cut), stream.bytes.subarray(cut)], options);
  }
}

/** All at once, and in two pieces cut about where frames begin. */
function compareSomeSplits(stream: WireStream, options: ReaderOptions): void {
  compare([stream.bytes], options);
  for (const start of stream.frameStarts) {
    for (const cut of [start, start + 1, start + 2, start + 3, start + 4]) {
      if (cut > 0 && cut < stream.bytes.length) {
        compare([stream.bytes.subarray(0, cut), stream.bytes.subarray(cut)], options);
      }
    }
  }
}

const limit = fc.oneof(fc.constant(undefined), fc.nat(300), fc.constantFrom(0, 1, 125, 126, 0x8000_0000));
const options: fc.Arbitrary<ReaderOptions> = fc.record({ masked: fc.boolean(), rsv1: fc.boolean(), limit });

describe('the frame reader', () => {
  test('RFC 6455 §5.7: the examples, cut anywhere', () => {
    compareEverySplit({ bytes: hex('81 05 48656c6c6f'), frameStarts: [0] }, SERVER);
    compareEverySplit({ bytes: hex('81 85 37fa213d 7f9f4d5158'), frameStarts: [0] }, CLIENT);
    compareEverySplit({ bytes: hex('01 03 48656c 80 02 6c6f'), frameStarts: [0, 5] }, SERVER);
    compareEverySplit({ bytes: hex('89 05 48656c6c6f 8a 85 37fa213d 7f9f4d5158'), frameStarts: [0] }, SERVER);
  });

  test('RFC 6455 §5.2: every first byte with every second byte, before and within a fragmented message', () => {
    for (const mode of [SERVER, CLIENT, { masked: false, rsv1: true }, { masked: true, rsv1: true }]) {
      const maskingKey = mode.masked ? KEY : undefined;
      for (const begun of [[], [{ fin: false, opcode: 1 }], [{ fin: false, opcode: 2 }]]) {
        const { bytes: before } = encodeStream(begun.map((frame) => ({ ...frame, maskingKey })));
        for (let first = 0; first < 256; first++) {
          for (const second of begun.length === 0 ? Array(256).keys() : DECISIVE_SECONDS) {
            compare([Buffer.concat([before, Buffer.of(first, second)])], mode);
          }
          compare(
            [before, Buffer.of(first)].filter(({ length }) => length > 0),
            mode,
          );
        }
      }
    }
  });

  test('RFC 6455 §5.2: the lengths at which the header changes, in every encoding, cut in and behind the header', () => {
    for (const length of BOUNDARY_LENGTHS) {
      for (const lengthEncoding of ['minimal', 16, 64] as const) {
        if (lengthEncoding === 16 && length > 0xffff) continue;
        for (const mode of [SERVER, CLIENT]) {
          for (const opcode of [1, 2]) {
            const payload = opcode === 1 ? Buffer.alloc(length, 0x61) : pseudoRandomBytes(length, length);
            const frame = { opcode, payload, lengthEncoding, maskingKey: mode.masked ? KEY : undefined };
            const { bytes: wire } = encodeStream([frame, { ...frame, lengthEncoding: 'minimal' }]);
            compare([wire], mode);
            const { headerLength } = decodeHeader(wire)!;
            for (let cut = 1; cut <= Math.min(headerLength + 2, wire.length - 1); cut++) {
              compare([wire.subarray(0, cut), wire.subarray(cut)], mode);
            }
          }
        }
      }
    }
  });

  test('RFC 6455 §5.2: a frame of nearly 4 GiB is begun, never complete, and its length told', () => {
    for (const declaredLength of [0x7fff_ffffn, 0x8000_0000n, 0xffff_fff0n, 0xffff_ffffn]) {
      for (const mode of [SERVER, CLIENT]) {
        for (const opcode of [1, 2]) {
          const payload = Buffer.from('twenty bytes of text');
          const frame = { opcode, payload, declaredLength, maskingKey: mode.masked ? KEY : undefined };
          const wire = encodeFrame(frame);
          compareEverySplit({ bytes: wire, frameStarts: [0] }, mode);
          const begun = compare([wire], mode);
          assert.deepEqual([begun.frames.length, begun.error, begun.consumed], [0, undefined, 0]);
        }
      }
    }
  });

  test('RFC 6455 §5.2, §10.4: a frame of more than 4 GiB is too large when its header is whole, not wrapped', () => {
    const lengths = [1n << 32n, (1n << 32n) + 5n, (1n << 32n) + 0xffffn, 1n << 53n, (1n << 63n) - 1n];
    for (const declaredLength of lengths) {
      for (const mode of [SERVER, CLIENT]) {
        const payload = Buffer.from('twenty bytes of text');
        const frame = { opcode: 1, payload, declaredLength, maskingKey: mode.masked ? KEY : undefined };
        const wire = encodeFrame(frame);
        compareEverySplit({ bytes: wire, frameStarts: [0] }, mode);
        const header = wire.subarray(0, encodeHeader(frame).length);
        assert.equal(compare([header], mode).error, 'messageTooLarge');
        assert.equal(compare([header.subarray(0, -1)], mode).error, undefined);
      }
    }
    for (const declaredLength of [1n << 63n, (1n << 63n) + 1n, (1n << 64n) - 1n]) {
      const wire = encodeFrame({ opcode: 2, declaredLength });
      compareEverySplit({ bytes: wire, frameStarts: [0] }, SERVER);
      assert.equal(compare([wire.subarray(0, 3)], SERVER).error, 'lengthInvalid');
    }
  });

  test('RFC 6455 §10.4: the limit counts a message over its fragments, and is told before what is wrong in them', () => {
    const limited = (limit: number): ReaderOptions => ({ ...SERVER, limit });
    const inFragments = encodeStream([
      { fin: false, opcode: 1, payload: Buffer.from('four') },
      { opcode: 9, payload: Buffer.from('not counted') },
      { fin: false, opcode: 0, payload: Buffer.from('four') },
      { opcode: 0, payload: hex('ff') },
      { opcode: 2, payload: Buffer.alloc(9) },
    ]);
    for (let limit = 0; limit <= 10; limit++) compareEverySplit(inFragments, limited(limit));
    assert.equal(compare([inFragments.bytes], limited(8)).error, 'messageTooLarge');
    assert.equal(compare([inFragments.bytes], limited(9)).error, 'invalidUtf8');
    const inARow = encodeStream(
      [126, 127, 125, 0, 127, 128, 1].map((size) => ({ opcode: 2, payload: Buffer.alloc(size) })),
    );
    for (const limit of [0, 1, 124, 125, 126, 127, 128]) compareSomeSplits(inARow, limited(limit));
    assert.equal(compare([inARow.bytes], limited(127)).frames.length, 5);
    // A first fragment and the rest overflow 32 bits together.
    const overflow = encodeStream([
      { fin: false, opcode: 2, payload: Buffer.alloc(20) },
      { opcode: 0, declaredLength: 0xffff_fff0n },
    ]);
    compareEverySplit(overflow, SERVER);
    assert.equal(compare([overflow.bytes], SERVER).error, 'messageTooLarge');
  });

  test('RFC 6455 §5.5.1: nothing behind a Close frame is looked at', () => {
    for (const behind of ['', 'ff', '8200', '8900 81', '8800 8800']) {
      const stream = { bytes: hex(`8200 88 02 03e8 ${behind}`), frameStarts: [0, 2, 6] };
      compareEverySplit(stream, SERVER);
      const { frames, error, consumed } = compare([stream.bytes], SERVER);
      assert.deepEqual([frames.length, error, consumed], [2, undefined, 6]);
    }
  });

  test('RFC 6455 §8.1: a wrong byte fails at once in a frame of nearly 4 GiB', () => {
    const wire = encodeFrame({ opcode: 1, payload: hex('6162 e228'), declaredLength: 0xffff_ffffn });
    compareEverySplit({ bytes: wire, frameStarts: [0] }, SERVER);
    assert.equal(compare([wire], SERVER).error, 'invalidUtf8');
    assert.equal(compare([wire.subarray(0, -1)], SERVER).error, undefined);
  });

  test('RFC 6455 §5.3: every alignment, masked and not', () => {
    const frames = [
      { opcode: 1, payload: Buffer.from('plain text of more than sixteen bytes') },
      { opcode: 9, payload: Buffer.from('ping') },
      { fin: false, opcode: 1, payload: hex('61 f09f') },
      { opcode: 10, payload: Buffer.alloc(125, 0xee) },
      { fin: false, opcode: 0 },
      { opcode: 0, payload: hex('9880') },
      { opcode: 2, payload: pseudoRandomBytes(300, 1) },
      { opcode: 1, payload: Buffer.from('ü'.repeat(70)) },
    ];
    for (const mode of [SERVER, CLIENT]) {
      const stream = encodeStream(
        frames.map((frame) => ({ ...frame, maskingKey: mode.masked ? KEY : undefined })),
      );
      for (let alignment = 0; alignment < 64; alignment++) {
        // Byte by byte at some of them: the reference begins anew after each piece.
        const hows = ['all at once', 'one byte at a time'] as const;
        for (const how of alignment % 9 === 0 ? hows : hows.slice(0, 1)) {
          const reading = compare(cutUp(stream, how), mode, alignment);
          assert.equal(reading.frames.length, frames.length);
        }
      }
    }
  });

  test('RFC 6455 §5.3: a frame is unmasked once, in whatever phase its pieces begin', () => {
    const wire = encodeFrame({ opcode: 2, maskingKey: KEY, payload: pseudoRandomBytes(70, 2) });
    for (let first = 1; first < wire.length; first++) {
      for (let second = first + 1; second < Math.min(first + 20, wire.length); second++) {
        compare([wire.subarray(0, first), wire.subarray(first, second), wire.subarray(second)], CLIENT);
      }
    }
  });

  test('RFC 6455 §8.1: text is judged over fragments, with control frames between them', () => {
    const between = { opcode: 9, payload: hex('ff fe') };
    const inFragments = (...payloads: string[]): WireStream =>
      encodeStream(
        payloads.flatMap((payload, i) => [
          { fin: i === payloads.length - 1, opcode: i === 0 ? 1 : 0, payload: hex(payload) },
          between,
        ]),
      );
    compareEverySplit(inFragments('f0', '9f', '98', '80'), SERVER);
    compareEverySplit(inFragments('61e2', '', '82ac62'), SERVER);
    compareEverySplit(inFragments('61e2', '8228'), SERVER);
    compareEverySplit(inFragments('ed', 'a0', '80'), SERVER);
    compareEverySplit(inFragments('f4', '90', '80', '80'), SERVER);
    compareEverySplit(inFragments('c3', ''), SERVER);
    compareEverySplit(inFragments('', 'c3'), SERVER);
    assert.equal(compare([inFragments('c3', '').bytes], SERVER).error, 'invalidUtf8');
    assert.equal(compare([inFragments('f0', '9f', '98', '80').bytes], SERVER).frames.length, 8);
  });

  test('RFC 7692 §6: the text of a compressed message is not judged as it stands, in no fragment of it', () => {
    const compressed = encodeStream([
      { fin: false, rsv1: true, opcode: 1, payload: hex('ff fe') },
      { opcode: 9 },
      { opcode: 0, payload: hex('ff') },
      { rsv1: true, opcode: 1, payload: hex('c3') },
      { opcode: 1, payload: hex('61') },
      { opcode: 1, payload: hex('ff') },
    ]);
    compareEverySplit(compressed, { masked: false, rsv1: true });
    const reading = compare([compressed.bytes], { masked: false, rsv1: true });
    assert.deepEqual([reading.frames.length, reading.error], [5, 'invalidUtf8']);
  });

  test('ASCII is told of a whole text frame, at every length, by its own bytes alone', () => {
    for (let length = 0; length <= 80; length++) {
      for (const wide of [undefined, 0, length >> 1, length - 2]) {
        const payload = Buffer.alloc(length, 0x7f);
        if (wide !== undefined && wide >= 0 && length >= 2) payload.write('é', Math.min(wide, length - 2));
        // What follows, and what lies in memory behind, is not ASCII.
        const { bytes: wire } = encodeStream([
          { opcode: 1, payload },
          { opcode: 2, payload: hex('ffffff') },
        ]);
        compare([wire], SERVER);
        compare([wire.subarray(0, 2 + length), wire.subarray(2 + length)], SERVER);
        if (length > 1) compare([wire.subarray(0, 3), wire.subarray(3)], SERVER);
      }
    }
    for (let place = 0; place < 299; place++) {
      const payload = Buffer.alloc(300, 0x7f);
      payload.write('é', place);
      compare([encodeFrame({ opcode: 1, payload })], SERVER);
    }
  });

  test('scratch full of the shortest frames fills the frame table, and nothing behind it', () => {
    const frames = (SLAB_SIZE + READ_SIZE) / 2;
    for (const [wire, kind] of [
      ['8200', Kind.binary],
      ['8100', Kind.asciiText],
      ['8a00', Kind.none],
    ] as const) {
      memory.fill(hex(wire), SCRATCH, SCRATCH + 2 * frames);
      assert.equal(codec.readFrames(SCRATCH, SCRATCH + 2 * frames, 0, 0, 0, 0, 0, 0), frames);
      assert.equal(registers[Register.consumed], SCRATCH + 2 * frames);
      const word = (hex(wire)[0] << Entry.firstByteShift) | (kind << Entry.kindShift);
      for (let i = 0; i < frames; i++) {
        if (frameTable[2 * i] !== SCRATCH + 2 * i + 2) assert.fail(`address of frame ${i}`);
        if (frameTable[2 * i + 1] !== word) assert.fail(`kind of frame ${i}`);
      }
      const after = memory.subarray(SCRATCH, SCRATCH + 2 * frames);
      assert.ok(after.equals(Buffer.alloc(2 * frames, hex(wire))), 'scratch, behind the table, is as it was');
    }
  });

  test('RFC 6455 §5: binary messages in a row, each length after each, and whatever breaks the row', () => {
    const lengths = [0, 1, 2, 15, 125, 126, 127, 255, 256, 300];
    const binary = (length: number): Frame => ({ opcode: 2, payload: pseudoRandomBytes(length, length) });
    const others: Frame[] = [
      { opcode: 1, payload: Buffer.from('text') },
      { opcode: 9, payload: Buffer.from('ping') },
      { fin: false, opcode: 2, payload: Buffer.from('begun') },
      { opcode: 2, payload: Buffer.alloc(125), lengthEncoding: 16 },
      { opcode: 2, payload: Buffer.alloc(300), lengthEncoding: 64 },
      { opcode: 2, maskingKey: KEY },
      { opcode: 2, rsv1: true },
      { opcode: 2, declaredLength: 1n << 32n },
    ];
    for (const first of lengths) {
      for (const second of lengths) {
        const row = [binary(first), binary(second), binary(first)];
        compareSomeSplits(encodeStream(row), SERVER);
        for (const other of others) compareSomeSplits(encodeStream([...row, other, binary(second)]), SERVER);
      }
    }
    // The same frames within a fragmented message are wrong, and masked they are the other end's.
    const begun: Frame = { fin: false, opcode: 2 };
    assert.equal(compare([encodeStream([begun, binary(1)]).bytes], SERVER).error, 'expectedContinuation');
    assert.equal(compare([encodeStream([binary(1)]).bytes], CLIENT).error, 'maskBit');
  });

  test('RFC 6455 §5: nothing to read is nothing read', () => {
    assert.equal(codec.readFrames(SLABS, SLABS, 0, 0, 0, 0, 0, 0), 0);
    assert.equal(registers[Register.error], FrameError.none);
    assert.equal(registers[Register.consumed], SLABS);
    assert.equal(registers[Register.pendingHeader], 0);
  });

  const anyStream = fc.boolean().chain((masked) =>
    fc.record({
      stream: fc.oneof(validStream({ masked }), faultyStream({ masked })) as fc.Arbitrary<WireStream>,
      options: fc.oneof(fc.record({ masked: fc.constant(masked), rsv1: fc.boolean(), limit }), options),
    }),
  );

  test('RFC 6455 §5: right and faulty streams, masked and not, in any pieces, at any alignment', () => {
    fc.assert(
      fc.property(anyStream, split, fc.nat(63), ({ stream, options }, how, alignment) => {
        compare(cutUp(stream, how), options, alignment);
      }),
      { numRuns: 500 },
    );
  });

  test('RFC 6455 §5: large frames in any pieces', () => {
    const large = fc
      .boolean()
      .chain((masked) =>
        fc.tuple(validStream({ large: true, maxActs: 2, masked }), fc.constant({ masked, rsv1: false })),
      );
    const inPieces = fc.oneof(
      fc.constant<Split>('all at once'),
      split.filter((how) => how !== 'one byte at a time'),
    );
    fc.assert(
      fc.property(large, inPieces, fc.nat(63), ([stream, mode], how, alignment) => {
        compare(cutUp(stream, how), mode, alignment);
      }),
      { numRuns: 100 },
    );
  });

  test('RFC 6455 §5: random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), split, options, (random, how, mode) => {
        compare(cutUp({ bytes: Buffer.from(random), frameStarts: [0] }, how), mode);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('the header writer', () => {
  const WHERE = SLABS + 64;

  /** Writes a header and compares it with the reference: its bytes, its size, and nothing else changed. */
  function compareHeader(
    firstByte: number,
    length: bigint,
    key: readonly number[] | undefined,
    alignment = 0,
  ): void {
    const at = WHERE + alignment;
    const around = memory.subarray(at - 16, at + 32);
    around.fill(0xa5);
    const expected = Buffer.from(around);
    const header = encodeHeader({
      fin: (firstByte & 0x80) !== 0,
      rsv1: (firstByte & 0x40) !== 0,
      rsv2: (firstByte & 0x20) !== 0,
      rsv3: (firstByte & 0x10) !== 0,
      opcode: firstByte & 0x0f,
      maskingKey: key,
      declaredLength: length,
    });
    expected.set(header, 16);
    const size = codec.writeHeader(
      at,
      firstByte,
      Number(length & 0xffff_ffffn),
      Number(length >> 32n),
      key === undefined ? 0 : 1,
      key === undefined ? 0 : asWord(key),
    );
    assert.equal(size, header.length);
    assert.equal(around.toString('hex'), expected.toString('hex'));
  }

  const LENGTHS = [
    ...BOUNDARY_LENGTHS.map(BigInt),
    0x7fff_ffffn,
    0x8000_0000n,
    0xffff_ffffn,
    1n << 32n,
    (1n << 32n) + 1n,
    (1n << 53n) - 1n,
    (1n << 63n) - 1n,
  ];

  test('RFC 6455 §5.2: every first byte, the lengths at which the form changes and more than 4 GiB', () => {
    for (let firstByte = 0; firstByte < 256; firstByte++) {
      for (const length of LENGTHS) {
        compareHeader(firstByte, length, undefined);
        compareHeader(firstByte, length, KEY);
      }
    }
  });

  test('RFC 6455 §5.2: every alignment', () => {
    for (let alignment = 0; alignment < 64; alignment++) {
      for (const length of LENGTHS) {
        compareHeader(0x82, length, undefined, alignment);
        compareHeader(0x82, length, KEY, alignment);
      }
    }
  });

  test('RFC 6455 §5.2: any length and key', () => {
    const length = fc.oneof(
      fc.bigInt({ min: 0n, max: 0x2_0000n }),
      fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }),
    );
    fc.assert(
      fc.property(fc.nat(255), length, fc.option(maskingKey, { nil: undefined }), (first, declared, key) => {
        compareHeader(first, declared, key);
      }),
      { numRuns: 500 },
    );
  });

  /** Seals a payload that lies where its header leaves it room, and compares the frame and what is around it. */
  function compareSealed(payload: Buffer, key: readonly number[], alignment: number): void {
    const at = WHERE + alignment;
    const expected = encodeFrame({ opcode: 2, maskingKey: key, payload });
    const around = memory.subarray(at - 16, at + expected.length + 32);
    around.fill(0xa5);
    const before = Buffer.from(around);
    around.set(payload, 16 + expected.length - payload.length);
    before.set(expected, 16);
    codec.sealFrame(at, 0x82, payload.length, asWord(key));
    if (!around.equals(before)) assert.fail(`${payload.length} bytes under ${key} at ${alignment}`);
  }

  test('RFC 6455 §5.3: a frame is sealed in place: header, masked payload, nothing else', () => {
    for (const length of [...BOUNDARY_LENGTHS, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65]) {
      for (let alignment = 0; alignment < 64; alignment += length > 1_000 ? 9 : 1) {
        compareSealed(pseudoRandomBytes(length, alignment), KEY, alignment);
      }
    }
    fc.assert(fc.property(bytes(payloadLength({ large: true })), maskingKey, fc.nat(63), compareSealed), {
      numRuns: 100,
    });
  });

  test('RFC 6455 §5.3: what is sealed is read back', () => {
    fc.assert(
      fc.property(bytes(payloadLength({ large: true })), maskingKey, (payload, key) => {
        const { length } = payload;
        const size = encodeHeader({ opcode: 2, declaredLength: payload.length, maskingKey: key }).length;
        memory.set(payload, SLABS + size);
        codec.sealFrame(SLABS, 0x82, payload.length, asWord(key));
        assert.equal(codec.readFrames(SLABS, SLABS + size + length, MODE_MASKED, length, 0, 0, 0, 0), 1);
        assert.deepEqual([...frameTable.subarray(0, 2)], [SLABS + size, wholeBinary(payload.length)]);
        assert.ok(memory.subarray(SLABS + size, SLABS + size + payload.length).equals(payload));
      }),
      { numRuns: 100 },
    );
  });
});
