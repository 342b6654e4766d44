/**
 * The references are what everything else is measured against, so they are held to the RFCs' own examples, to
 * other people's decoders, and to streams whose meaning is known from how they were made.
 */
import assert from 'node:assert/strict';
import { isUtf8 as nodeIsUtf8 } from 'node:buffer';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { BOUNDARY_LENGTHS, pseudoRandomBytes, pseudoRandomText } from '../arbitraries/payload.js';
import { cutUp, encodeStream, faultyStream, split, validStream } from '../arbitraries/wire.js';
import { decodeHeader, encodeFrame, encodeHeader } from './frame.js';
import { mask } from './mask.js';
import { type Event, isAllowedCloseCode, receive } from './receiver.js';
import { firstWrongByte, isUtf8, Utf8Reference } from './utf8.js';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const NO_LIMIT = { maxMessageSize: 2 ** 31 };
const message = (isText: boolean, data: string | Buffer): Event => ({
  type: 'message',
  isText,
  data: Buffer.from(data as string),
});
const error = (code: string, closeCode = 1002): Event => ({ type: 'error', code, closeCode });

describe('the reference of masking', () => {
  test('RFC 6455 §5.7: "Hello" under 37fa213d', () => {
    assert.equal(toHex(mask(Buffer.from('Hello'), [0x37, 0xfa, 0x21, 0x3d], 0)), '7f9f4d5158');
  });

  test('RFC 6455 §5.3: a phase goes on where an earlier piece ended', () => {
    const bytes = pseudoRandomBytes(50, 1);
    for (let cut = 0; cut <= 50; cut++) {
      const pieces = [
        mask(bytes.subarray(0, cut), [1, 2, 3, 4], 0),
        mask(bytes.subarray(cut), [1, 2, 3, 4], cut),
      ];
      assert.equal(toHex(Buffer.concat(pieces)), toHex(mask(bytes, [1, 2, 3, 4], 0)));
    }
  });
});

describe('the reference of UTF-8', () => {
  test('RFC 3629 §4: every sequence of one and two bytes is judged as Node judges it', () => {
    for (let first = 0; first < 256; first++) {
      assert.equal(isUtf8(Buffer.of(first)), nodeIsUtf8(Buffer.of(first)));
      for (let second = 0; second < 256; second++) {
        const sequence = Buffer.of(first, second);
        assert.equal(isUtf8(sequence), nodeIsUtf8(sequence), toHex(sequence));
      }
    }
  });

  test('RFC 3629 §3: the encoding of every scalar value is complete with its last byte, not before', () => {
    const encoder = new TextEncoder();
    for (let codePoint = 0; codePoint <= 0x10_ffff; codePoint++) {
      if (codePoint >= 0xd800 && codePoint <= 0xdfff) continue;
      const text = new Utf8Reference();
      const bytes = encoder.encode(String.fromCodePoint(codePoint));
      for (const [i, byte] of bytes.entries()) {
        if (!text.push(byte)) assert.fail(`U+${codePoint.toString(16)} refused`);
        if (text.complete !== (i === bytes.length - 1)) assert.fail(`U+${codePoint.toString(16)} ends early`);
      }
    }
  });

  test('RFC 6455 §8.1: the first wrong byte is the first that no text can have there', () => {
    const cases: [string, number][] = [
      ['80', 0],
      ['41 bf', 1],
      ['c0 80', 0],
      ['c1 bf', 0],
      ['c2 41', 1],
      ['e0 9f', 1],
      ['e0 a0 c0', 2],
      ['ed a0', 1],
      ['ed 9f bf', -1],
      ['f0 8f', 1],
      ['f0 90 80 7f', 3],
      ['f4 8f bf bf', -1],
      ['f4 90', 1],
      ['f5', 0],
      ['ff', 0],
      ['e2 82', -1],
    ];
    for (const [bytes, at] of cases) assert.equal(firstWrongByte(hex(bytes)), at, bytes);
    assert.equal(isUtf8(hex('e2 82')), false, 'a sequence cut short is not a whole text');
  });

  test('RFC 3629 §4: random bytes near the grammar are judged as Node judges them', () => {
    const byte = fc.oneof(fc.constantFrom(0x41, 0x80, 0xbf, 0xc2, 0xe0, 0xed, 0xf0, 0xf4), fc.nat(255));
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 12 }), (values) => {
        const bytes = Buffer.from(values);
        assert.equal(isUtf8(bytes), nodeIsUtf8(bytes));
        // Before its first wrong byte a text can always be ended well: that is what makes it the first.
        const wrong = firstWrongByte(bytes);
        const good = bytes.subarray(0, wrong < 0 ? bytes.length : wrong);
        assert.ok(completions(good).some(nodeIsUtf8), 'what stands before can be completed');
        if (wrong >= 0) assert.ok(!completions(bytes.subarray(0, wrong + 1)).some(nodeIsUtf8));
      }),
      { numRuns: 300 },
    );
  });
});

/** The bytes with each tail that could complete them: three bytes at most, the first of them decisive. */
function completions(bytes: Buffer): Buffer[] {
  const tails = ['', '80', '90', 'a0', '8080', '9080', 'a080', '808080', '908080'].map(hex);
  return tails.map((tail) => Buffer.concat([bytes, tail]));
}

describe('the reference of frames', () => {
  test('RFC 6455 §5.7: the examples', () => {
    assert.equal(toHex(encodeFrame({ opcode: 1, payload: Buffer.from('Hello') })), '810548656c6c6f');
    const maskingKey = [0x37, 0xfa, 0x21, 0x3d];
    const masked = encodeFrame({ opcode: 1, maskingKey, payload: Buffer.from('Hello') });
    assert.equal(toHex(masked), '818537fa213d7f9f4d5158');
    assert.equal(toHex(encodeFrame({ fin: false, opcode: 1, payload: Buffer.from('Hel') })), '010348656c');
    assert.equal(toHex(encodeFrame({ opcode: 0, payload: Buffer.from('lo') })), '80026c6f');
    assert.equal(toHex(encodeHeader({ opcode: 2, declaredLength: 256 })), '827e0100');
    assert.equal(toHex(encodeHeader({ opcode: 2, declaredLength: 65_536 })), '827f0000000000010000');
  });

  test('RFC 6455 §5.2: the length takes its next form at 126 and at 65536', () => {
    const forms = BOUNDARY_LENGTHS.map(
      (length) => encodeHeader({ opcode: 2, declaredLength: length }).length,
    );
    assert.deepEqual(forms, [2, 2, 2, 4, 4, 4, 10]);
  });

  test('RFC 6455 §5.2: a header is decoded to what was encoded, and not before it is whole', () => {
    const header = fc.record({
      fin: fc.boolean(),
      rsv1: fc.boolean(),
      rsv2: fc.boolean(),
      rsv3: fc.boolean(),
      opcode: fc.nat(15),
      maskingKey: fc.option(fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)), { nil: undefined }),
      declaredLength: fc.oneof(
        fc.constantFrom(...BOUNDARY_LENGTHS).map(BigInt),
        fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      ),
    });
    fc.assert(
      fc.property(header, ({ declaredLength, ...rest }) => {
        const wire = encodeHeader({ ...rest, declaredLength });
        for (let length = 0; length < wire.length; length++) {
          assert.equal(decodeHeader(wire.subarray(0, length)), undefined);
        }
        const { lengthEncoding, payloadLength, headerLength, ...decoded } = decodeHeader(wire)!;
        assert.deepEqual(decoded, rest);
        assert.equal(payloadLength, declaredLength);
        assert.equal(headerLength, wire.length);
        assert.equal(lengthEncoding, declaredLength < 126n ? 7 : declaredLength < 65_536n ? 16 : 64);
      }),
    );
  });
});

describe('the reference receiver', () => {
  test('RFC 6455 §5.7: the examples a server may send', () => {
    assert.deepEqual(receive(hex('81 05 48656c6c6f'), NO_LIMIT), [message(true, 'Hello')]);
    assert.deepEqual(receive(hex('01 03 48656c 80 02 6c6f'), NO_LIMIT), [message(true, 'Hello')]);
    assert.deepEqual(receive(hex('89 05 48656c6c6f'), NO_LIMIT), [
      { type: 'ping', data: Buffer.from('Hello') },
    ]);
  });

  test('RFC 6455 §5, §7, §8.1: each violation is told at its byte, and not one byte earlier', () => {
    const cases: [wire: string, expected: Event][] = [
      ['c1', error('ERR_RESERVED_BITS')],
      ['a1', error('ERR_RESERVED_BITS')],
      ['91', error('ERR_RESERVED_BITS')],
      ['f3', error('ERR_RESERVED_BITS')],
      ['83', error('ERR_RESERVED_OPCODE')],
      ['0b', error('ERR_RESERVED_OPCODE')],
      ['8f', error('ERR_RESERVED_OPCODE')],
      ['09', error('ERR_CONTROL_FRAGMENTED')],
      ['80', error('ERR_UNEXPECTED_CONTINUATION')],
      ['01 00 82', error('ERR_EXPECTED_CONTINUATION')],
      ['81 80', error('ERR_MASKED_FRAME')],
      ['89 ff', error('ERR_MASKED_FRAME')],
      ['89 7e', error('ERR_CONTROL_TOO_LONG')],
      ['88 7f', error('ERR_CONTROL_TOO_LONG')],
      ['82 7f 80', error('ERR_LENGTH_INVALID')],
      ['82 7e 00 7d', error('ERR_LENGTH_NOT_MINIMAL')],
      ['82 7f 00 00 00 00 00 00 ff ff', error('ERR_LENGTH_NOT_MINIMAL')],
      ['82 7f 7f ff ff ff ff ff ff ff', error('ERR_MESSAGE_TOO_LARGE', 1009)],
      ['82 7f 00 00 00 01 00 00 00 00', error('ERR_MESSAGE_TOO_LARGE', 1009)],
      ['81 04 41 e2 28', error('ERR_INVALID_UTF8', 1007)],
      ['81 02 e2 82', error('ERR_INVALID_UTF8', 1007)],
      ['01 02 e2 82 80 00', error('ERR_INVALID_UTF8', 1007)],
      ['01 01 e2 00 01 82 80 01 41', error('ERR_INVALID_UTF8', 1007)],
      ['88 01 03', error('ERR_CLOSE_PAYLOAD')],
      ['88 02 03 ed', error('ERR_CLOSE_CODE')],
      ['88 03 03 ee ff', error('ERR_CLOSE_CODE')],
      ['88 03 03 e8 ff', error('ERR_CLOSE_REASON', 1007)],
      ['88 04 03 e8 c3 a9', { type: 'close', code: 1000, reason: 'é' }],
      ['88 00', { type: 'close', code: 1005, reason: '' }],
    ];
    for (const [wire, expected] of cases) {
      const bytes = hex(wire);
      assert.deepEqual(receive(bytes.subarray(0, -1), NO_LIMIT), [], `too early: ${wire}`);
      assert.deepEqual(receive(bytes, NO_LIMIT), [expected], wire);
      assert.deepEqual(
        receive(Buffer.concat([bytes, hex('8900ff')]), NO_LIMIT),
        [expected],
        `after: ${wire}`,
      );
    }
  });

  test('RFC 6455 §10.4: maxMessageSize counts the message over its fragments, and control frames not', () => {
    const wire = hex('02 02 0102 89 04 01020304 80 02 0304');
    const ping: Event = { type: 'ping', data: hex('01020304') };
    const whole = message(false, hex('01020304'));
    assert.deepEqual(receive(wire, { maxMessageSize: 4 }), [ping, whole]);
    assert.deepEqual(receive(wire, { maxMessageSize: 3 }), [ping, error('ERR_MESSAGE_TOO_LARGE', 1009)]);
    assert.deepEqual(receive(wire, { maxMessageSize: 1 }), [error('ERR_MESSAGE_TOO_LARGE', 1009)]);
  });

  test('RFC 6455 §7.4: the codes a Close frame may carry', () => {
    const refused = [0, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65_535];
    const allowed = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999];
    assert.deepEqual(refused.filter(isAllowedCloseCode), []);
    assert.deepEqual(allowed.filter(isAllowedCloseCode), allowed);
  });

  test('RFC 6455 §5.4: a stream without a fault means what it was made of', () => {
    fc.assert(
      fc.property(validStream({ large: true }), (stream) => {
        assert.deepEqual(receive(stream.bytes, NO_LIMIT), stream.events);
      }),
      { numRuns: 100 },
    );
  });

  test('RFC 6455 §7.1.7: later bytes never change what earlier bytes told', () => {
    fc.assert(
      fc.property(faultyStream(), fc.nat(), (stream, cut) => {
        const before = receive(stream.bytes.subarray(0, cut % (stream.bytes.length + 1)), NO_LIMIT);
        assert.deepEqual(receive(stream.bytes, NO_LIMIT).slice(0, before.length), before);
      }),
      { numRuns: 200 },
    );
  });
});

describe('the generators', () => {
  test('a text is UTF-8 and as long as was asked', () => {
    for (const length of [...BOUNDARY_LENGTHS, 2, 3, 5, 1000]) {
      for (let seed = 0; seed < 10; seed++) {
        const text = pseudoRandomText(length, seed);
        assert.equal(text.length, length);
        assert.ok(isUtf8(text));
      }
    }
  });

  test('the pieces of a split are the stream again, none of them empty', () => {
    fc.assert(
      fc.property(fc.oneof(validStream(), faultyStream()), split, (stream, how) => {
        const pieces = cutUp(stream, how);
        assert.ok(Buffer.concat(pieces).equals(stream.bytes));
        assert.ok(pieces.every((piece) => piece.length > 0));
      }),
      { numRuns: 200 },
    );
  });

  test('faulty streams break every rule the receiver knows', () => {
    const seen = new Set<string>();
    for (const stream of fc.sample(faultyStream(), { numRuns: 3_000, seed: 1 })) {
      const last = receive(stream.bytes, { maxMessageSize: 100_000 }).at(-1);
      if (last?.type === 'error') seen.add(last.code);
    }
    assert.deepEqual([...seen].sort(), [
      'ERR_CLOSE_CODE',
      'ERR_CLOSE_PAYLOAD',
      'ERR_CLOSE_REASON',
      'ERR_CONTROL_FRAGMENTED',
      'ERR_CONTROL_TOO_LONG',
      'ERR_EXPECTED_CONTINUATION',
      'ERR_INVALID_UTF8',
      'ERR_LENGTH_INVALID',
      'ERR_LENGTH_NOT_MINIMAL',
      'ERR_MASKED_FRAME',
      'ERR_MESSAGE_TOO_LARGE',
      'ERR_RESERVED_BITS',
      'ERR_RESERVED_OPCODE',
      'ERR_UNEXPECTED_CONTINUATION',
    ]);
  });

  test('an encoded stream knows where its frames begin', () => {
    const { bytes, frameStarts } = encodeStream([{ opcode: 9 }, { opcode: 1, payload: Buffer.from('ab') }]);
    assert.equal(toHex(bytes), '890081026162');
    assert.deepEqual(frameStarts, [0, 2]);
  });
});
