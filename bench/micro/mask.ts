/** Masking a payload in place (RFC 6455 §5.3). `ws` does it with bufferutil where that is installed. */
import assert from 'node:assert/strict';
import bufferutil from 'bufferutil';
import { sharedCodec } from '../../src/codec/codec.js';
import { SCRATCH } from '../../src/codec/layout.js';
import { payload } from '../harness/payload.js';
import type { MicroSuite } from './suite.js';

const codec = sharedCodec();
const KEY = Buffer.from('37fa213d', 'hex');
const KEY_WORD = KEY.readInt32LE();

function mask(label: string, byteLength: number): MicroSuite {
  const start = SCRATCH;
  const end = start + byteLength;
  const bytes = Buffer.alloc(byteLength);
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, byteLength / 4);
  const ways = {
    heartwire: () => codec.mask(start, end, KEY_WORD, 0),
    'bufferutil (ws)': () => bufferutil.unmask(bytes, KEY),
    'JavaScript, bytes': () => maskBytes(bytes, KEY),
    // Only for payloads that happen to be aligned to four bytes, as they rarely are behind a header.
    'JavaScript, words': () => maskWords(words, KEY_WORD),
  };
  return {
    name: `mask, ${label}`,
    perCall: 1,
    ways,
    verify() {
      const plain = payload('binary', 7, byteLength);
      const masked = Buffer.from(plain.map((byte, i) => byte ^ KEY[i & 3]));
      codec.memory.set(plain, start);
      ways.heartwire();
      assert.deepEqual(codec.memory.subarray(start, end), masked);
      for (const way of Object.values(ways).slice(1)) {
        bytes.set(plain);
        way();
        assert.deepEqual(bytes, masked);
      }
    },
  };
}

function maskBytes(bytes: Buffer, key: Buffer): void {
  for (let i = 0; i < bytes.length; i++) bytes[i] ^= key[i & 3];
}

function maskWords(words: Int32Array, key: number): void {
  for (let i = 0; i < words.length; i++) words[i] ^= key;
}

export const suites = [mask('64 B', 64), mask('1 KiB', 1024), mask('16 KiB', 16 * 1024)];
