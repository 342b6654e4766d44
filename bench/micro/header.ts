/**
 * Reading the headers of one full read of unmasked binary frames into a frame table: payload address, first byte,
 * kind and length of each, in two words. The JavaScript way makes the same checks (RFC 6455 §5.2, §5.4, §5.5) and
 * the same kind of table.
 */
import assert from 'node:assert/strict';
import { sharedCodec } from '../../src/codec/codec.js';
import { Entry, READ_SIZE, SCRATCH_READ } from '../../src/codec/layout.js';
import { payload } from '../harness/payload.js';
import { BINARY, frame } from '../server/frames.js';
import type { MicroSuite } from './suite.js';

const codec = sharedCodec();

function header(label: string, byteLength: number): MicroSuite {
  const one = frame(BINARY, payload('binary', 0, byteLength));
  const count = Math.floor(READ_SIZE / one.length);
  const start = SCRATCH_READ;
  const end = start + count * one.length;
  // Suites share the scratch region, so the frames are laid down when their turn comes.
  const place = () => {
    for (let at = start; at < end; at += one.length) codec.memory.set(one, at);
  };
  const table = new Int32Array(2 * count);
  const bytes = codec.memory;
  return {
    name: `header parse, ${label} frames`,
    perCall: count,
    ways: {
      heartwire: () => codec.readFrames(start, end, 0, 0xffff_ffff, 0, 0, 0, 0),
      JavaScript: () => readFrames(bytes, start, end, table),
    },
    verify() {
      place();
      assert.equal(codec.readFrames(start, end, 0, 0xffff_ffff, 0, 0, 0, 0), count);
      assert.equal(readFrames(bytes, start, end, table), count);
      const words = [...codec.frameTable.subarray(0, 2 * count)];
      assert.deepEqual(
        words.map((word, i) => (i & 1 ? word & Entry.lengthMask : word)),
        [...table].map((word, i) => (i & 1 ? word & Entry.lengthMask : word)),
      );
    },
  };
}

function readFrames(bytes: Buffer, start: number, end: number, table: Int32Array): number {
  let at = start;
  let entry = 0;
  let fragmented = false;
  while (end - at >= 2) {
    const first = bytes[at];
    const opcode = first & 0x0f;
    const control = opcode >= 8;
    if ((first & 0x70) !== 0 || (opcode > 2 && opcode < 8) || opcode > 10) return -1;
    if (control ? (first & 0x80) === 0 : fragmented !== (opcode === 0)) return -1;
    let length = bytes[at + 1];
    if (length >= 128) return -1;
    let address = at + 2;
    if (length >= 126) {
      if (control) return -1;
      if (length === 126) {
        if (end - at < 4) break;
        length = (bytes[at + 2] << 8) | bytes[at + 3];
        if (length < 126) return -1;
        address = at + 4;
      } else {
        if (end - at < 10) break;
        length = bytes.readUInt32BE(at + 2) * 2 ** 32 + bytes.readUInt32BE(at + 6);
        if (length < 65_536 || length > Number.MAX_SAFE_INTEGER) return -1;
        address = at + 10;
      }
    }
    if (length > end - address) break;
    if (!control) fragmented = (first & 0x80) === 0;
    table[entry] = address;
    const kind = first === 0x82 ? 1 : first === 0x81 ? 2 : 0;
    table[entry + 1] = (first << 22) | (kind << 20) | length;
    entry += 2;
    at = address + length;
  }
  return entry >> 1;
}

export const suites = [header('16 B', 16), header('128 B', 128)];
