/**
 * The batch reader and the header writer, against RFC 6455 §5.2 read byte by byte. The reader is driven as reads
 * come in: each call goes on at the frame that was not complete, with the state the call before it left.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Codec } from '../../src/codec/codec.js';
import {
  FLAG_ASCII,
  FLAGS_SHIFT,
  FRAME_TABLE,
  FRAME_TABLE_SIZE,
  FrameError,
  LENGTH_MASK,
  Register,
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
import { decodeHeader, encodeFrame, encodeHeader } from '../reference/frame.js';
import { type ReaderOptions, type Reading, readFrames } from '../reference/frame-reader.js';

const codec = new Codec();
const { memory, registers, frameTable } = codec;

const SERVER: ReaderOptions = { masked: false, rsv1: false };
const CLIENT: ReaderOptions = { masked: true, rsv1: false };
const KEY = [0x37, 0xfa, 0x21, 0x3d];
const MODE_MASKED = 0x01;
const MODE_RSV1 = 0x40;

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const nameOf = (error: number): string | undefined =>
  error === FrameError.none
    ? undefined
    : Object.entries(FrameError).find(([, value]) => value === error)?.[0];

/**
 * Reads `pieces` as they would arrive at `SLABS + alignment`; behind each lie foreign bytes. After every call all
 * that the codec says is compared with what the reference makes of the bytes so far.
 */
function compare(pieces: readonly Uint8Array[], options: ReaderOptions, alignment = 0): Reading {
  const base = SLABS + alignment;
  const mode = (options.masked ? MODE_MASKED : 0) | (options.rsv1 ? MODE_RSV1 : 0);
  const arrived = Buffer.concat(pieces);
  let length = 0;
  let consumed = 0;
  let fragment = 0;
  let utf8 = 0;
  let processed = 0;
  let known = 0;
  let expected = readFrames(arrived.subarray(0, 0), options);

  for (const piece of pieces) {
    const where = (): string => `after ${length} of ${arrived.length} bytes`;
    memory.set(piece, base + length);
    length += piece.length;
    memory.fill(length % 2 === 0 ? 0xff : 0x00, base + length, base + length + 32);

    const count = codec.readFrames(base + consumed, base + length, mode, fragment, utf8, processed);
    expected = readFrames(arrived.subarray(0, length), options);
    const added = expected.frames.slice(known);
    assert.equal(count, added.length, `frames ${where()}`);
    for (const [i, { firstByte, payloadStart, payload, isAscii }] of added.entries()) {
      const [address, word] = [frameTable[2 * i], frameTable[2 * i + 1]];
      const frame = `frame ${known + i} ${where()}`;
      assert.equal(address, base + payloadStart, `address of ${frame}`);
      assert.equal(word & LENGTH_MASK, payload.length, `length of ${frame}`);
      assert.equal(word >>> FLAGS_SHIFT, firstByte | (isAscii ? FLAG_ASCII : 0), `flags of ${frame}`);
      assert.ok(memory.subarray(address, address + payload.length).equals(payload), `payload of ${frame}`);
    }
    known += count;

    const isControl = (firstByte: number): boolean => (firstByte & 0x08) !== 0;
    const endsMessage = ({ firstByte }: { firstByte: number }): boolean =>
      firstByte >= 0x80 && !isControl(firstByte);
    assert.equal(
      registers[Register.lastMessage],
      added.findLastIndex(endsMessage),
      `last message ${where()}`,
    );
    assert.equal(
      registers[Register.controls],
      added.filter(({ firstByte }) => isControl(firstByte)).length,
      `controls ${where()}`,
    );
    assert.equal(nameOf(registers[Register.error]), expected.error, `error ${where()}`);
    if (expected.error !== undefined) return expected;

    consumed = registers[Register.consumed] - base;
    fragment = registers[Register.fragment];
    utf8 = registers[Register.utf8];
    processed = registers[Register.processed];
    assert.equal(consumed, expected.consumed, `consumed ${where()}`);
    comparePending(arrived.subarray(consumed, length), where());
  }
  return expected;
}

/** What the codec says of a frame whose end is missing: its header, when that is complete. */
function comparePending(unfinished: Buffer, where: string): void {
  const header = decodeHeader(unfinished);
  assert.equal(registers[Register.pendingHeader], header?.headerLength ?? 0, `pending header ${where}`);
  assert.equal(
    registers[Register.processed],
    header === undefined ? 0 : unfinished.length - header.headerLength,
    `processed ${where}`,
  );
  if (header === undefined) return;
  const low = BigInt(registers[Register.pendingLength] >>> 0);
  const high = BigInt(registers[Register.pendingLengthHigh] >>> 0);
  assert.equal(registers[Register.pendingFirstByte], unfinished[0], `pending first byte ${where}`);
  assert.equal((high << 32n) | low, header.payloadLength, `pending length ${where}`);
  const key = Buffer.from(header.maskingKey ?? [0, 0, 0, 0]).readInt32LE();
  assert.equal(registers[Register.pendingKey], key, `pending key ${where}`);
}

/** All at once, byte by byte, and in two pieces cut anywhere. */
function compareEverySplit(stream: WireStream, options: ReaderOptions): void {
  compare(cutUp(stream, 'all at once'), options);
  compare(cutUp(stream, 'one byte at a time'), options);
  for (let cut = 1; cut < stream.bytes.length; cut++) {
    compare([stream.bytes.subarray(0, cut), stream.bytes.subarray(cut)], options);
  }
}

const options: fc.Arbitrary<ReaderOptions> = fc.record({ masked: fc.boolean(), rsv1: fc.boolean() });

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
          for (let second = 0; second < 256; second++) {
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
            const wire = Buffer.concat([
              encodeFrame(frame),
              encodeFrame({ ...frame, lengthEncoding: 'minimal' }),
            ]);
            // The second frame fits the slab behind the first one, except behind 64 KiB.
            const fitting = wire.subarray(0, SLAB_SIZE - 64);
            compare([fitting], mode);
            const { headerLength } = decodeHeader(wire)!;
            for (let cut = 1; cut <= Math.min(headerLength + 2, fitting.length - 1); cut++) {
              compare([fitting.subarray(0, cut), fitting.subarray(cut)], mode);
            }
          }
        }
      }
    }
  });

  test('RFC 6455 §5.2: a frame of more than 4 GiB is begun, never complete, and its length told', () => {
    const lengths = [
      0xffff_ffffn,
      1n << 32n,
      (1n << 32n) + 5n,
      (1n << 32n) + 0xffffn,
      1n << 53n,
      (1n << 63n) - 1n,
    ];
    for (const declaredLength of lengths) {
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
    for (const declaredLength of [1n << 63n, (1n << 63n) + 1n, (1n << 64n) - 1n]) {
      const wire = encodeFrame({ opcode: 2, declaredLength });
      compareEverySplit({ bytes: wire, frameStarts: [0] }, SERVER);
      assert.equal(compare([wire.subarray(0, 3)], SERVER).error, 'lengthInvalid');
    }
  });

  test('RFC 6455 §8.1: a wrong byte fails at once in a frame of more than 4 GiB', () => {
    const wire = encodeFrame({ opcode: 1, payload: hex('6162 e228'), declaredLength: (1n << 32n) + 4n });
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
        for (const how of ['all at once', 'one byte at a time'] as const) {
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
  });

  test('a slab full of the shortest frames fills the frame table, and nothing behind it', () => {
    const wire = Buffer.alloc(SLAB_SIZE, hex('8200'));
    memory.set(wire, SLABS);
    const behind = memory.subarray(FRAME_TABLE + FRAME_TABLE_SIZE, FRAME_TABLE + FRAME_TABLE_SIZE + 64);
    behind.fill(0xee);
    assert.equal(codec.readFrames(SLABS, SLABS + SLAB_SIZE, 0, 0, 0, 0), SLAB_SIZE / 2);
    assert.equal(registers[Register.consumed], SLABS + SLAB_SIZE);
    assert.equal(registers[Register.lastMessage], SLAB_SIZE / 2 - 1);
    for (let i = 0; i < SLAB_SIZE / 2; i++) {
      if (frameTable[2 * i] !== SLABS + 2 * i + 2) assert.fail(`address of frame ${i}`);
      if (frameTable[2 * i + 1] !== 0x82 << FLAGS_SHIFT) assert.fail(`flags of frame ${i}`);
    }
    assert.ok(behind.every((byte) => byte === 0xee));
  });

  test('RFC 6455 §5: nothing to read is nothing read', () => {
    assert.equal(codec.readFrames(SLABS, SLABS, 0, 0, 0, 0), 0);
    assert.equal(registers[Register.error], FrameError.none);
    assert.equal(registers[Register.consumed], SLABS);
    assert.equal(registers[Register.pendingHeader], 0);
  });

  const anyStream = fc.boolean().chain((masked) =>
    fc.record({
      stream: fc.oneof(validStream({ masked }), faultyStream({ masked })) as fc.Arbitrary<WireStream>,
      options: fc.oneof(fc.constant({ masked, rsv1: false }), fc.constant({ masked, rsv1: true }), options),
    }),
  );

  test('RFC 6455 §5: right and faulty streams, masked and not, in any pieces, at any alignment', () => {
    fc.assert(
      fc.property(anyStream, split, fc.nat(63), ({ stream, options }, how, alignment) => {
        compare(cutUp(stream, how), options, alignment);
      }),
      { numRuns: 1_000 },
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
        fc.pre(stream.bytes.length + 128 < SLAB_SIZE);
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
      key === undefined ? 0 : Buffer.from(key).readInt32LE(),
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
    codec.sealFrame(at, 0x82, payload.length, Buffer.from(key).readInt32LE());
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
        const size = encodeHeader({ opcode: 2, declaredLength: payload.length, maskingKey: key }).length;
        memory.set(payload, SLABS + size);
        codec.sealFrame(SLABS, 0x82, payload.length, Buffer.from(key).readInt32LE());
        assert.equal(codec.readFrames(SLABS, SLABS + size + payload.length, MODE_MASKED, 0, 0, 0), 1);
        assert.deepEqual(
          [...frameTable.subarray(0, 2)],
          [SLABS + size, (0x82 << FLAGS_SHIFT) | payload.length],
        );
        assert.ok(memory.subarray(SLABS + size, SLABS + size + payload.length).equals(payload));
      }),
      { numRuns: 100 },
    );
  });
});
