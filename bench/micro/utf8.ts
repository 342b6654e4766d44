/** Is a payload valid UTF-8 (RFC 6455 §8.1)? `ws` asks `isUtf8` of node:buffer. */
import assert from 'node:assert/strict';
import { isUtf8 } from 'node:buffer';
import { sharedCodec } from '../../src/codec/codec.js';
import { SCRATCH, UTF8_INVALID, UTF8_MISSING } from '../../src/codec/layout.js';
import type { MicroSuite } from './suite.js';

const codec = sharedCodec();

/** One to four bytes a character, as in a chat between Athens, Delhi and a phone. */
const MIXED = 'Ευρώ 1,50 € · नमस्ते · 价格 ↑ 😀 ok ';
const ASCII = '{"e":"trade","s":"BTCUSDT","p":"97123.45","q":"0.01200"} ';

function utf8(label: string, sample: string, byteLength: number): MicroSuite {
  const bytes = filled(sample, byteLength);
  const start = SCRATCH;
  const end = start + byteLength;
  return {
    name: `UTF-8, ${label}`,
    perCall: 1,
    ways: {
      heartwire: () => validInWasm(start, end),
      'buffer.isUtf8 (ws)': () => isUtf8(bytes),
      JavaScript: () => validInJavaScript(bytes),
    },
    verify() {
      for (const damage of [-1, 0, byteLength >> 1, byteLength - 1]) {
        const tried = Buffer.from(bytes);
        if (damage >= 0) tried[damage] = 0xff;
        codec.memory.set(tried, start);
        assert.equal(validInWasm(start, end), damage < 0);
        assert.equal(isUtf8(tried), damage < 0);
        assert.equal(validInJavaScript(tried), damage < 0);
      }
      codec.memory.set(bytes, start);
    },
  };
}

/** Whole characters, and spaces to make up the length. */
function filled(sample: string, byteLength: number): Buffer {
  const bytes = Buffer.alloc(byteLength, ' ');
  bytes.write(sample.repeat(Math.ceil(byteLength / sample.length)));
  return bytes;
}

function validInWasm(start: number, end: number): boolean {
  const state = codec.validateUtf8(start, end, 0);
  return state !== UTF8_INVALID && (state & UTF8_MISSING) === 0;
}

/** Table 3-7 of the Unicode standard: what may follow each first byte. */
function validInJavaScript(bytes: Buffer): boolean {
  const end = bytes.length;
  let i = 0;
  while (i < end) {
    const first = bytes[i];
    if (first < 0x80) {
      i += 1;
    } else if (first < 0xe0) {
      if (first < 0xc2 || !continues(bytes[i + 1])) return false;
      i += 2;
    } else if (first < 0xf0) {
      const second = bytes[i + 1];
      if (!continues(second) || !continues(bytes[i + 2])) return false;
      if ((first === 0xe0 && second < 0xa0) || (first === 0xed && second > 0x9f)) return false;
      i += 3;
    } else {
      const second = bytes[i + 1];
      if (first > 0xf4 || !continues(second) || !continues(bytes[i + 2]) || !continues(bytes[i + 3]))
        return false;
      if ((first === 0xf0 && second < 0x90) || (first === 0xf4 && second > 0x8f)) return false;
      i += 4;
    }
  }
  return true;
}

/** False behind the end as well, where there is `undefined`. */
function continues(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

export const suites = [
  utf8('ASCII 64 B', ASCII, 64),
  utf8('ASCII 16 KiB', ASCII, 16 * 1024),
  utf8('mixed 64 B', MIXED, 64),
  utf8('mixed 16 KiB', MIXED, 16 * 1024),
];
