/** Our DEFLATE decoder beside zlib: the same message into both, in pieces into ours, and what they make of it compared. */
import assert from 'node:assert/strict';
import { constants, deflateRawSync } from 'node:zlib';
import { Codec } from '../../src/codec/codec.js';
import {
  INFLATE_OVERRUN,
  INFLATE_STATE_SIZE,
  INFLATE_TABLES,
  InflateResult,
  InflateResume,
  InflateState,
  LONGEST_WINDOW,
  WINDOW_BLOCK_SIZE,
  WINDOW_COUNT,
  WINDOWS,
} from '../../src/codec/layout.js';
import { type Outcome, zlibInflate } from './inflate.js';

const codec = new Codec();
codec.prepareInflate();
const { memory, inflateState } = codec;

/** Nothing else uses this codec: its windows are room for long messages. */
const SIZE = WINDOW_BLOCK_SIZE * WINDOW_COUNT;
const INPUT = WINDOWS;
const OUTPUT = WINDOWS + SIZE / 4;
const ELSEWHERE = WINDOWS + SIZE - 0x10000;
const LONGEST_OUTPUT = SIZE / 2;

/** Codes of its own, so that what it leaves in the tables shows. */
const DISTURBANCE = deflateRawSync('What another connection receives. '.repeat(9).replaceAll('e', '€'));

export interface How {
  /** The message's length is in `lengths` pieces, in turn: [] for one piece. */
  pieces?: readonly number[];
  /** How much output is asked for at a time, in turn. */
  rooms?: readonly number[];
  /** Other messages are inflated between two pieces. */
  disturbed?: boolean;
  windowBits?: number;
}

export interface OurInflated {
  outcome: Outcome;
  output: Buffer;
  /** Where each piece ended, and how much output there was then. */
  ends: [input: number, output: number][];
}

const OUTCOMES = new Map<number, Outcome>([
  [InflateResult.ended, 'complete'],
  [InflateResult.needsInput, 'incomplete'],
  [InflateResult.corrupt, 'corrupt'],
]);

/** Inflates a message, of which no more than each piece is in memory when it is asked for. */
export function inflateHere(payload: Buffer, how: How = {}): OurInflated {
  const { pieces = [], rooms = [], disturbed = false, windowBits = 15 } = how;
  let at = INPUT;
  let end = INPUT;
  let out = OUTPUT;
  let resume: number = InflateResume.start;
  let result: number = InflateResult.needsInput;
  const ends: [number, number][] = [];
  let turn = 0;
  do {
    const piece = Math.min(
      pieces[ends.length % pieces.length] ?? payload.length,
      payload.length - (end - INPUT),
    );
    payload.copy(memory, end, end - INPUT, end - INPUT + piece);
    end += piece;
    // What stands behind a piece is looked at, and must not matter.
    memory.fill((ends.length * 0x9d) & 0xff, end, end + 32);
    do {
      if (disturbed && resume !== InflateResume.start) {
        disturb();
        resume = InflateResume.restore;
      }
      const room = rooms[turn++ % rooms.length] ?? LONGEST_OUTPUT;
      const guard = out + room + INFLATE_OVERRUN;
      memory[guard] = 0xa5;
      result = codec.inflate(at, end, out, out + room, OUTPUT, 2 ** windowBits, resume);
      assert.equal(memory[guard], 0xa5, 'nothing is written so far behind the end');
      const length = inflateState[InflateState.output] - out;
      assert.ok(length < room + 261, `${length} bytes for a room of ${room}`);
      assert.ok(result !== InflateResult.needsRoom || length >= room, 'there is room left');
      out += length;
      at = inflateState[InflateState.position] >>> 3;
      resume = InflateResume.goOn;
    } while (result === InflateResult.needsRoom);
    if (result !== InflateResult.corrupt) ends.push([end - INPUT, out - OUTPUT]);
  } while (end - INPUT < payload.length && result !== InflateResult.corrupt);
  const outcome = OUTCOMES.get(result) ?? assert.fail(`result ${result}`);
  return { outcome, output: memory.subarray(OUTPUT, out), ends };
}

/** Another connection's message; what ours has to keep is kept. */
function disturb(): void {
  const state = Buffer.from(memory.subarray(INFLATE_TABLES, INFLATE_TABLES + INFLATE_STATE_SIZE));
  DISTURBANCE.copy(memory, ELSEWHERE);
  const output = ELSEWHERE + 0x1000;
  const end = ELSEWHERE + DISTURBANCE.length;
  codec.inflate(ELSEWHERE, end, output, output + 0x1000, output, LONGEST_WINDOW, InflateResume.start);
  memory.set(state, INFLATE_TABLES);
}

/** Both make the same of a message: the outcome, the output, and the output so far after each piece. */
export function compareInflated(payload: Buffer, how: How = {}): Outcome {
  const ours = inflateHere(payload, how);
  const room = ours.output.length + 0x1000;
  const zlib = zlibInflate(payload, room, how.windowBits);
  const message = (): string => `${payload.toString('hex')} ${JSON.stringify(how)}`;
  assert.equal(ours.outcome, zlib.outcome, message());
  assert.ok(ours.output.equals(zlib.output), message());
  for (const [input, output] of ours.ends) {
    if (input > 0) assert.equal(output, zlib.lengths[input - 1], `after ${input} bytes of ${message()}`);
  }
  return ours.outcome;
}

/** As a sender compresses a message: without the last four bytes of its flush (RFC 7692 §7.2.1). */
export function deflated(message: Buffer, options: Parameters<typeof deflateRawSync>[1] = {}): Buffer {
  const compressed = deflateRawSync(message, { ...options, finishFlush: constants.Z_SYNC_FLUSH });
  // An empty message is flushed to nothing at all; the RFC says how it is written (§7.2.3.6).
  return compressed.length === 0 ? Buffer.from([0]) : compressed.subarray(0, -4);
}
