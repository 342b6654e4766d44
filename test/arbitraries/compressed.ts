/** The streams of wire.ts as a server sends them that compresses some messages (RFC 7692 §7.2.1), by zlib. */
import { constants, deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import type { Scenario } from '../reference/differential.js';
import type { Frame } from '../reference/frame.js';
import type { Event } from '../reference/receiver.js';
import {
  encodeStream,
  randomCuts,
  type Split,
  split,
  type ValidStream,
  validStream,
  type WireStream,
} from './wire.js';

/** What the server does with its next message. */
export interface Treatment {
  compressed: boolean;
  level: number;
  strategy: number;
  /** §7.2.3.4: a block with BFINAL set ends the data; an octet of zeros follows. */
  final: boolean;
  /** §7.2.3.5: so many pieces are compressed each by itself, into blocks of its own. */
  pieces: number;
}

export interface ServerContext {
  takeover: boolean;
  windowBits: number;
}

const TAIL = Buffer.of(0, 0, 0xff, 0xff);

/** Compresses one message after the other, with reference to earlier ones or without. */
export class Compressor {
  readonly #context: ServerContext;
  #history: Buffer = Buffer.alloc(0);

  constructor(context: ServerContext) {
    this.#context = context;
  }

  compress(data: Uint8Array, { level, strategy, final, pieces }: Omit<Treatment, 'compressed'>): Buffer {
    const { takeover, windowBits } = this.#context;
    if (!takeover) this.#history = Buffer.alloc(0);
    const made: Buffer[] = [];
    for (let piece = 0; piece < pieces; piece++) {
      const start = Math.floor((data.length * piece) / pieces);
      const part = data.subarray(start, Math.floor((data.length * (piece + 1)) / pieces));
      const finishFlush = final ? constants.Z_FINISH : constants.Z_SYNC_FLUSH;
      // Node takes 9 for 8; what zlib makes of 9 reaches 250 bytes back at most.
      const options = { level, strategy, windowBits, finishFlush };
      const dictionary = this.#history.length > 0 ? { dictionary: this.#history } : {};
      made.push(deflateRawSync(part, { ...options, ...dictionary }));
      this.#history = Buffer.concat([this.#history, part]).subarray(-(2 ** windowBits));
    }
    const bytes = Buffer.concat(made);
    if (final) return Buffer.concat([bytes, Buffer.of(0)]);
    if (!bytes.subarray(-4).equals(TAIL)) throw new Error('no sync flush');
    return bytes.subarray(0, -4);
  }
}

/** The same messages, some of them compressed; fragments stay as many, cut in proportion. */
export function compressFrames(
  frames: readonly Frame[],
  treatments: readonly Treatment[],
  context: ServerContext,
): Frame[] {
  const compressor = new Compressor(context);
  const result: Frame[] = [];
  let messages = 0;
  let message: number[] = [];
  for (const frame of frames) {
    result.push(frame);
    if (frame.opcode >= 8) continue;
    message.push(result.length - 1);
    if (frame.fin === false) continue;
    const treatment = treatments[messages++ % treatments.length];
    if (treatment.compressed) {
      const data = Buffer.concat(message.map((index) => result[index].payload ?? Buffer.alloc(0)));
      const payload = compressor.compress(data, treatment);
      let from = 0;
      let to = 0;
      for (const [i, index] of message.entries()) {
        to += result[index].payload?.length ?? 0;
        const last = i === message.length - 1;
        const end = last ? payload.length : Math.floor((payload.length * to) / Math.max(1, data.length));
        result[index] = { ...result[index], rsv1: i === 0, payload: payload.subarray(from, end) };
        from = end;
      }
    }
    message = [];
  }
  return result;
}

/** A scenario of a right stream whose meaning is known. */
export function compressedScenario(
  { frames, events }: Pick<ValidStream, 'frames' | 'events'>,
  treatments: readonly Treatment[],
  context: ServerContext,
  rest: Pick<Scenario, 'how' | 'way' | 'slabs'>,
): Scenario {
  const compressed = compressFrames(frames, treatments, context);
  const stream: WireStream = encodeStream(compressed);
  const ends = [...stream.frameStarts.slice(1), stream.bytes.length];
  const told: { end: number; event: Event }[] = [];
  for (const [i, { opcode, fin }] of compressed.entries()) {
    if (opcode >= 8 || fin !== false) told.push({ end: ends[i], event: events[told.length] });
  }
  return { ...rest, stream, maxMessageSize: 2 ** 26, compression: { ...context, told } };
}

const { Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED } = constants;

export const treatment: fc.Arbitrary<Treatment> = fc.record({
  compressed: fc.oneof(
    { weight: 4, arbitrary: fc.constant(true) },
    { weight: 1, arbitrary: fc.constant(false) },
  ),
  level: fc.integer({ min: 0, max: 9 }),
  strategy: fc.constantFrom(Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED),
  final: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  pieces: fc.oneof(
    { weight: 5, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.integer({ min: 2, max: 4 }) },
  ),
});

export const context: fc.Arbitrary<ServerContext> = fc.record({
  takeover: fc.boolean(),
  windowBits: fc.integer({ min: 8, max: 15 }),
});

const inPieces: fc.Arbitrary<Split> = fc.oneof(fc.constant<Split>('all at once'), randomCuts);

export function compressed({ large = false, maxActs = 6 } = {}): fc.Arbitrary<Scenario> {
  return fc
    .tuple(
      validStream({ large, maxActs }),
      fc.array(treatment, { minLength: 1, maxLength: 4 }),
      context,
      fc.record({
        how: large ? inPieces : split,
        way: fc.constantFrom('read' as const, 'read' as const, 'feed' as const),
        slabs: fc.constantFrom('free' as const, 'free' as const, 'taken' as const),
      }),
    )
    .map(([stream, treatments, server, rest]) => compressedScenario(stream, treatments, server, rest));
}
