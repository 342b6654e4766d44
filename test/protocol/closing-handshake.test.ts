/** Close frames and their status codes, both ways: RFC 6455 §5.5.1 and §7.4. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ProtocolError } from '../../src/errors.js';
import {
  CloseCode,
  closePayload,
  isWireCode,
  parseClosePayload,
} from '../../src/protocol/closing-handshake.js';

/** Every status code there is, by what RFC 6455 §7.4 and the registry it founded say of it. */
const CLASSES: readonly (readonly [title: string, from: number, to: number, allowed: boolean])[] = [
  ['§7.4.2: 0–999 are not used', 0, 999, false],
  ['§7.4.1: 1000–1003 are defined', 1000, 1003, true],
  ['§7.4.1: 1004 is reserved, 1005 and 1006 are never on the wire', 1004, 1006, false],
  ['§7.4.1: 1007–1011 are defined, 1012–1014 registered since', 1007, 1014, true],
  ['§7.4.1: 1015 is never on the wire', 1015, 1015, false],
  ['§7.4.2: 1016–2999 are reserved for revisions of the protocol', 1016, 2999, false],
  ['§7.4.2: 3000–3999 are for libraries, 4000–4999 for applications', 3000, 4999, true],
  ['§7.4.2: above 4999 nothing is defined', 5000, 65_535, false],
];

const codePayload = (code: number, reason: Uint8Array = Buffer.alloc(0)): Buffer =>
  Buffer.concat([Buffer.of(code >> 8, code & 0xff), reason]);

function refusal(payload: Buffer): ProtocolError {
  const parsed = parseClosePayload(payload);
  assert.ok('error' in parsed, `accepted: ${JSON.stringify(parsed)}`);
  assert.ok(parsed.error instanceof ProtocolError);
  return parsed.error;
}

describe('status codes', () => {
  for (const [title, from, to, allowed] of CLASSES) {
    test(`RFC 6455 ${title}: ${allowed ? 'sent and accepted' : 'refused on both sides'}`, () => {
      for (let code = from; code <= to; code++) {
        assert.equal(isWireCode(code), allowed, String(code));
        if (allowed) {
          assert.deepEqual(closePayload(code), codePayload(code));
          assert.deepEqual(parseClosePayload(codePayload(code)), { code, reason: '' });
        } else {
          assert.throws(() => closePayload(code), { name: 'UsageError', code: 'ERR_CLOSE_CODE' });
          const { code: name, section, closeCode } = refusal(codePayload(code));
          assert.deepEqual(
            { name, section, closeCode },
            { name: 'ERR_CLOSE_CODE', section: '7.4', closeCode: 1002 },
          );
        }
      }
    });
  }

  test('RFC 6455 §7.4: what is no 16-bit number is refused', () => {
    const impossible = [
      -1,
      -1000,
      1000.5,
      65_536,
      65_536 + 1000,
      2 ** 32 + 1000,
      Number.NaN,
      Number.POSITIVE_INFINITY,
    ];
    for (const code of [...impossible, '1000', null, {}]) {
      assert.throws(() => closePayload(code as number), { name: 'UsageError', code: 'ERR_CLOSE_CODE' });
    }
  });

  test('RFC 6455 §7.4.1: the codes that are used by name', () => {
    assert.deepEqual(CloseCode, {
      normal: 1000,
      goingAway: 1001,
      protocolError: 1002,
      unsupportedData: 1003,
      noStatus: 1005,
      abnormal: 1006,
      invalidPayload: 1007,
      policyViolation: 1008,
      messageTooBig: 1009,
      internalError: 1011,
    });
  });
});

describe('the payload of a Close frame we send', () => {
  test('RFC 6455 §5.5.1: is empty without a code', () => {
    assert.equal(closePayload(undefined).length, 0);
    assert.equal(closePayload(undefined, '').length, 0);
  });

  test('RFC 6455 §5.5.1: begins with the code in network byte order, the reason follows as UTF-8', () => {
    assert.equal(closePayload(1000, 'bye').toString('hex'), '03e8627965');
    assert.equal(closePayload(4999, '€😀').toString('hex'), '1387e282acf09f9880');
  });

  test('RFC 6455 §5.5.1: a reason without a code is refused', () => {
    assert.throws(() => closePayload(undefined, 'bye'), { name: 'UsageError', code: 'ERR_CLOSE_CODE' });
  });

  test('RFC 6455 §5.5: a reason has at most 123 bytes of UTF-8, not characters', () => {
    const longest = ['x'.repeat(123), `${'é'.repeat(61)}x`, '€'.repeat(41), `${'😀'.repeat(30)}xxx`];
    for (const reason of longest) {
      const payload = closePayload(1000, reason);
      assert.equal(payload.length, 125);
      assert.equal(payload.toString('utf8', 2), reason);
      assert.throws(() => closePayload(1000, `${reason}x`), { name: 'UsageError', code: 'ERR_CLOSE_REASON' });
    }
    for (const reason of ['é'.repeat(62), `${'€'.repeat(40)}éé`, '😀'.repeat(31)]) {
      assert.equal(Buffer.byteLength(reason), 124);
      assert.throws(() => closePayload(1000, reason), { name: 'UsageError', code: 'ERR_CLOSE_REASON' });
    }
  });

  test('RFC 6455 §5.5.1: what is no string is no reason', () => {
    for (const reason of [1, null, {}, Buffer.from('bye')]) {
      assert.throws(() => closePayload(1000, reason as string), {
        name: 'UsageError',
        code: 'ERR_CLOSE_REASON',
      });
    }
  });

  test('RFC 6455 §8.1: a lone surrogate in the reason is sent as U+FFFD, three bytes', () => {
    assert.equal(closePayload(1000, '\ud800').toString('hex'), '03e8efbfbd');
    assert.equal(closePayload(1000, '\ud800'.repeat(41)).length, 125);
    assert.throws(() => closePayload(1000, `${'\ud800'.repeat(41)}x`), { code: 'ERR_CLOSE_REASON' });
  });
});

describe('the payload of a Close frame we receive', () => {
  test('RFC 6455 §7.1.5: nothing is 1005', () => {
    assert.deepEqual(parseClosePayload(Buffer.alloc(0)), { code: 1005, reason: '' });
  });

  test('RFC 6455 §5.5.1: one byte is half a code', () => {
    for (const byte of [0, 3, 0xff]) {
      const { code, section, closeCode } = refusal(Buffer.of(byte));
      assert.deepEqual(
        { code, section, closeCode },
        { code: 'ERR_CLOSE_PAYLOAD', section: '5.5.1', closeCode: 1002 },
      );
    }
  });

  test('RFC 6455 §5.5.1: a reason that is not UTF-8 is 1007', () => {
    const wrong = ['ff', '80', 'c3', 'e282', 'c0af', 'eda080', 'f4908080', '62796580', 'f09f98'];
    for (const reason of wrong) {
      const { code, section, closeCode } = refusal(codePayload(1000, Buffer.from(reason, 'hex')));
      assert.deepEqual(
        { code, section, closeCode },
        { code: 'ERR_CLOSE_REASON', section: '5.5.1', closeCode: 1007 },
      );
    }
  });

  test('RFC 6455 §7.4: the code is judged before the reason', () => {
    assert.equal(refusal(codePayload(999, Buffer.of(0xff))).closeCode, 1002);
  });

  test('RFC 6455 §7.1.6: what is sent is what is received, whatever the reason', () => {
    const code = fc.oneof(fc.constantFrom(1000, 1003, 1007, 1014), fc.integer({ min: 3000, max: 4999 }));
    const reason = fc
      .string({ unit: 'grapheme', maxLength: 123 })
      .filter((text) => Buffer.byteLength(text) <= 123);
    fc.assert(
      fc.property(code, reason, (sentCode, sentReason) => {
        const received = parseClosePayload(closePayload(sentCode, sentReason));
        assert.deepEqual(received, { code: sentCode, reason: sentReason });
      }),
    );
    assert.deepEqual(parseClosePayload(closePayload(1000, '\ufeffBOM\0')), {
      code: 1000,
      reason: '\ufeffBOM\0',
    });
  });
});
