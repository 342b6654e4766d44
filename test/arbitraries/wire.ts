/**
 * What a server may put on the wire: streams that keep RFC 6455, streams that break it somewhere, and the
 * pieces in which either may arrive.
 */
import fc from 'fast-check';
import { encodeFrame, type Frame } from '../reference/frame.js';
import type { Event } from '../reference/receiver.js';
import { bytes, payloadLength, text } from './payload.js';

/** The bytes of a server, and what is known of them. */
export interface WireStream {
  bytes: Buffer;
  /** Where frames begin: faults and cuts are aimed there. */
  frameStarts: readonly number[];
}

/** A stream without a fault, and therefore with a known meaning. */
export interface ValidStream extends WireStream {
  frames: readonly Frame[];
  events: readonly Event[];
}

/** What a server does next. */
type Act =
  | { type: 'message'; isText: boolean; data: Buffer; cuts: readonly number[]; between: readonly Control[] }
  | Control;

interface Control {
  type: 'ping' | 'pong';
  data: Buffer;
}

interface Closing {
  code: number;
  reason: Buffer;
}

const OPCODE = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa } as const;

/** §5.5: at most 125 bytes. */
const control: fc.Arbitrary<Control> = fc.record({
  type: fc.constantFrom('ping' as const, 'pong' as const),
  data: bytes(fc.oneof(fc.integer({ min: 0, max: 8 }), fc.constantFrom(0, 1, 124, 125))),
});

/** Where to cut a message into fragments, as a share of its length in 1 / 2^16: any two may meet. */
const fragmentCuts = fc.oneof(
  { withCrossShrink: true },
  { weight: 3, arbitrary: fc.constant<number[]>([]) },
  { weight: 2, arbitrary: fc.array(fc.nat(0x1_0000), { minLength: 1, maxLength: 6 }) },
  { weight: 1, arbitrary: fc.array(fc.constantFrom(0, 1, 0xffff, 0x1_0000), { minLength: 1, maxLength: 4 }) },
);

const message = ({ large }: { large: boolean }): fc.Arbitrary<Act> =>
  fc
    .tuple(
      fc.oneof(
        text(payloadLength({ large })).map((data) => ({ isText: true, data })),
        bytes(payloadLength({ large })).map((data) => ({ isText: false, data })),
      ),
      fragmentCuts,
      fc.array(control, { maxLength: 3 }),
    )
    .map(([content, cuts, between]) => ({ type: 'message' as const, ...content, cuts, between }));

/** §7.4: the codes that may be on the wire, and no code at all (1005). */
const closing: fc.Arbitrary<Closing> = fc.record({
  code: fc.oneof(
    fc.constantFrom(1000, 1001, 1002, 1003, 1005, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014),
    fc.constantFrom(3000, 3999, 4000, 4999),
    fc.integer({ min: 3000, max: 4999 }),
  ),
  reason: text(fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constantFrom(0, 122, 123))),
});

/** §5.4: the first frame has the opcode, the others go on with it; control frames may stand between. */
function framesOf(act: Act): Frame[] {
  if (act.type !== 'message') return [{ opcode: OPCODE[act.type], payload: act.data }];
  const edges = act.cuts.map((cut) => Math.round((cut / 0x1_0000) * act.data.length)).sort((a, b) => a - b);
  const frames: Frame[] = [];
  let start = 0;
  for (const [i, end] of [...edges, act.data.length].entries()) {
    frames.push({
      fin: i === edges.length,
      opcode: i > 0 ? OPCODE.continuation : act.isText ? OPCODE.text : OPCODE.binary,
      payload: act.data.subarray(start, end),
    });
    // A control frame stands behind a fragment that another follows; where there is none it is left out.
    if (i < edges.length && i < act.between.length) frames.push(...framesOf(act.between[i]));
    start = end;
  }
  return frames;
}

function eventsOf(act: Act): Event[] {
  if (act.type !== 'message') return [{ ...act }];
  const between = act.between.slice(0, act.cuts.length);
  return [...between.map((one) => ({ ...one })), { type: 'message', isText: act.isText, data: act.data }];
}

function closeFrame({ code, reason }: Closing): Frame {
  if (code === 1005) return { opcode: OPCODE.close };
  const payload = Buffer.concat([Buffer.alloc(2), reason]);
  payload.writeUInt16BE(code);
  return { opcode: OPCODE.close, payload };
}

function closeEvent({ code, reason }: Closing): Event {
  return { type: 'close', code, reason: code === 1005 ? '' : reason.toString('utf8') };
}

/** The frames' bytes one behind the other. */
export function encodeStream(frames: readonly Frame[]): WireStream {
  const frameStarts: number[] = [];
  const encoded: Buffer[] = [];
  let length = 0;
  for (const frame of frames) {
    frameStarts.push(length);
    const wire = encodeFrame(frame);
    length += wire.length;
    encoded.push(wire);
  }
  return { bytes: Buffer.concat(encoded), frameStarts };
}

/** §5.3: any four bytes, and those a careless XOR would not show. */
export const maskingKey: fc.Arbitrary<readonly number[]> = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom([0, 0, 0, 0], [0xff, 0xff, 0xff, 0xff], [0x80, 0, 0, 1]) },
  { weight: 3, arbitrary: fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)) },
);

/**
 * Messages of every form, pings and pongs among them, a Close frame at the end or not; `masked` as a client
 * sends them.
 */
export function validStream({ large = false, maxActs = 8, masked = false } = {}): fc.Arbitrary<ValidStream> {
  const act = fc.oneof(
    { weight: 3, arbitrary: message({ large }) },
    { weight: 1, arbitrary: control as fc.Arbitrary<Act> },
  );
  return fc
    .tuple(
      fc.array(act, { maxLength: maxActs }),
      fc.option(closing, { nil: undefined }),
      fc.array(maskingKey, { minLength: 1, maxLength: 4 }),
    )
    .map(([acts, close, keys]) => {
      let frames = acts.flatMap(framesOf);
      const events = acts.flatMap(eventsOf);
      if (close !== undefined) {
        frames.push(closeFrame(close));
        events.push(closeEvent(close));
      }
      if (masked) frames = frames.map((frame, i) => ({ ...frame, maskingKey: keys[i % keys.length] }));
      return { ...encodeStream(frames), frames, events };
    });
}

/** A place in a stream whose length is not known yet: anywhere, or beside the beginning of some frame. */
interface Place {
  frame: number | undefined;
  offset: number;
}

const place: fc.Arbitrary<Place> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ frame: fc.nat(63), offset: fc.integer({ min: -4, max: 14 }) }) },
  { weight: 1, arbitrary: fc.record({ frame: fc.constant(undefined), offset: fc.nat(0xff_ffff) }) },
);

function locate({ frame, offset }: Place, { bytes: { length }, frameStarts }: WireStream): number {
  if (length === 0) return 0;
  if (frame === undefined || frameStarts.length === 0) return offset % length;
  return Math.min(Math.max(frameStarts[frame % frameStarts.length] + offset, 0), length - 1);
}

/** One wrong thing about the bytes. */
export type Fault =
  | { kind: 'flip'; place: Place; bits: number }
  | { kind: 'set'; place: Place; byte: number }
  | { kind: 'insert'; place: Place; byte: number }
  | { kind: 'delete'; place: Place; count: number }
  | { kind: 'truncate'; place: Place };

export const wireFault: fc.Arbitrary<Fault> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('flip' as const),
      place,
      bits: fc.oneof(fc.constantFrom(1, 2, 4, 8, 16, 32, 64, 128), fc.integer({ min: 1, max: 255 })),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      place,
      byte: fc.oneof(fc.constantFrom(0, 1, 0x7e, 0x7f, 0x80, 0xc0, 0xe0, 0xed, 0xf4, 0xff), fc.nat(255)),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('insert' as const), place, byte: fc.nat(255) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('delete' as const),
      place,
      count: fc.integer({ min: 1, max: 9 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('truncate' as const), place }) },
);

/** A place keeps its meaning in the faulty bytes only roughly; that is enough to hit headers. */
export function spoil(stream: WireStream, flaw: Fault): WireStream {
  const at = locate(flaw.place, stream);
  const before = stream.bytes.subarray(0, at);
  const from = stream.bytes.subarray(at);
  switch (flaw.kind) {
    case 'flip':
    case 'set': {
      if (from.length === 0) return stream;
      const byte = flaw.kind === 'set' ? flaw.byte : from[0] ^ flaw.bits;
      return { ...stream, bytes: Buffer.concat([before, Buffer.of(byte), from.subarray(1)]) };
    }
    case 'insert':
      return { ...stream, bytes: Buffer.concat([before, Buffer.of(flaw.byte), from]) };
    case 'delete':
      return { ...stream, bytes: Buffer.concat([before, from.subarray(flaw.count)]) };
    case 'truncate':
      return { ...stream, bytes: before };
  }
}

/** One wrong thing about a frame, everything else left as it should be. */
const frameFault: fc.Arbitrary<Partial<Frame>> = fc.oneof(
  fc.constantFrom<Partial<Frame>>(
    { rsv1: true },
    { rsv2: true },
    { rsv3: true },
    { fin: false },
    { fin: true },
  ),
  fc.record({ opcode: fc.nat(15) }),
  fc.record({ maskingKey: fc.option(maskingKey, { nil: undefined }) }),
  fc.record({ lengthEncoding: fc.constantFrom(16 as const, 64 as const) }),
  fc.record({
    lengthEncoding: fc.constant(64 as const),
    declaredLength: fc.oneof(
      fc.constantFrom(0n, 125n, 126n, 0xffffn, 0x1_0000n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn),
      fc.constantFrom(
        0x1_0000_0000n,
        0x1_0000_0001n,
        1n << 53n,
        (1n << 63n) - 1n,
        1n << 63n,
        (1n << 64n) - 1n,
      ),
      fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    ),
  }),
  fc.record({
    lengthEncoding: fc.constant(16 as const),
    declaredLength: fc.constantFrom(0, 1, 125, 126, 127, 0x100, 0xffff),
  }),
  // §7.4: a close with a payload of any kind. §8.1: a text of any bytes.
  fc.record({
    opcode: fc.constant(OPCODE.close),
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 6 }),
      fc
        .tuple(
          fc.constantFrom(0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535, 1000),
          fc.uint8Array(),
        )
        .map(([code, reason]) => Buffer.from([code >> 8, code & 0xff, ...reason])),
    ),
  }),
  fc.record({ payload: fc.uint8Array({ maxLength: 130 }) }),
);

/** §8.1: the payload ends inside a character, however long it is. */
const cutCharacter = fc
  .constantFrom('c3', 'e282', 'f09f', 'f09f98', 'ed')
  .map((rest) => Buffer.from(rest, 'hex'));

const flawed: fc.Arbitrary<(frame: Frame) => Frame> = fc.oneof(
  { weight: 6, arbitrary: frameFault.map((flaw) => (frame: Frame) => ({ ...frame, ...flaw })) },
  {
    weight: 1,
    arbitrary: cutCharacter.map((rest) => (frame: Frame) => ({
      ...frame,
      payload: Buffer.concat([frame.payload ?? Buffer.alloc(0), rest]),
    })),
  },
);

/** Streams with faults in their frames, in their bytes, or in both. */
export function faultyStream({ large = false, maxActs = 6, masked = false } = {}): fc.Arbitrary<WireStream> {
  const inFrames = fc
    .tuple(
      validStream({ large, maxActs, masked }),
      fc.array(fc.tuple(fc.nat(63), flawed), { minLength: 1, maxLength: 2 }),
    )
    .map(([{ frames }, flaws]) => {
      const faulty = [...frames];
      for (const [index, flaw] of flaws) {
        if (faulty.length > 0) faulty[index % faulty.length] = flaw(faulty[index % faulty.length]);
        else faulty.push(flaw({ opcode: OPCODE.text }));
      }
      return encodeStream(faulty.map(encodable));
    });
  const stream = fc.oneof(validStream({ large, maxActs, masked }), inFrames);
  const inBytes = fc
    .tuple(stream, fc.array(wireFault, { minLength: 1, maxLength: 3 }))
    .map(([whole, flaws]) => flaws.reduce(spoil, whole as WireStream));
  return fc.oneof(inFrames, inBytes);
}

/** 16 bits cannot tell the length of everything: there, 64 do. */
function encodable(frame: Frame): Frame {
  const length = frame.declaredLength ?? frame.payload?.length ?? 0;
  return frame.lengthEncoding === 16 && length > 0xffff ? { ...frame, lengthEncoding: 64 } : frame;
}

/** In which pieces bytes arrive. */
export type Split = 'all at once' | 'one byte at a time' | readonly Place[];

/** Random cuts fall anywhere, and rather often into headers. */
export const randomCuts: fc.Arbitrary<readonly Place[]> = fc.array(place, { minLength: 1, maxLength: 12 });

export const split: fc.Arbitrary<Split> = fc.oneof(
  { withCrossShrink: true },
  { weight: 1, arbitrary: fc.constant<Split>('all at once') },
  { weight: 1, arbitrary: fc.constant<Split>('one byte at a time') },
  { weight: 3, arbitrary: randomCuts },
);

/** The pieces, none of them empty, that a split makes of a stream. */
export function cutUp(stream: WireStream, how: Split): Buffer[] {
  const { length } = stream.bytes;
  if (length === 0) return [];
  const edges =
    how === 'all at once'
      ? []
      : how === 'one byte at a time'
        ? Array.from({ length: length - 1 }, (_, i) => i + 1)
        : [...new Set(how.map((where) => locate(where, stream)))].filter((edge) => edge > 0);
  edges.sort((a, b) => a - b);
  return [...edges, length].map((end, i) => stream.bytes.subarray(i === 0 ? 0 : edges[i - 1], end));
}
