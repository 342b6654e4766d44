import { mask } from './mask.js';

/** A frame as RFC 6455 §5.2 draws it, legal or not. What is left out takes its plain value. */
export interface Frame {
  fin?: boolean;
  rsv1?: boolean;
  rsv2?: boolean;
  rsv3?: boolean;
  opcode: number;
  /** Four bytes, or none for a frame that is not masked. */
  maskingKey?: readonly number[];
  /** How many bits tell the length: the fewest, or 16 or 64 whether needed or not. */
  lengthEncoding?: 'minimal' | 16 | 64;
  /** What the header says where that is not the payload's length. */
  declaredLength?: number | bigint;
  payload?: Uint8Array;
}

/** What a header says. */
export interface Header {
  fin: boolean;
  rsv1: boolean;
  rsv2: boolean;
  rsv3: boolean;
  opcode: number;
  maskingKey: readonly number[] | undefined;
  lengthEncoding: 7 | 16 | 64;
  payloadLength: bigint;
  headerLength: number;
}

const NO_BYTES = new Uint8Array(0);

/** The header's bytes: FIN, RSV1–3 and opcode; MASK and length; extended length; masking key. */
export function encodeHeader(frame: Frame): Buffer {
  const length = BigInt(frame.declaredLength ?? frame.payload?.length ?? 0);
  const bits = bitsFor(length, frame.lengthEncoding ?? 'minimal');
  const first =
    (frame.fin === false ? 0 : 0x80) |
    (frame.rsv1 ? 0x40 : 0) |
    (frame.rsv2 ? 0x20 : 0) |
    (frame.rsv3 ? 0x10 : 0) |
    (frame.opcode & 0x0f);
  const maskBit = frame.maskingKey === undefined ? 0 : 0x80;
  const header = [first, maskBit | (bits === 7 ? Number(length) : bits === 16 ? 126 : 127)];
  // Network byte order (RFC 6455 §5.2): the most significant byte comes first.
  if (bits !== 7) {
    for (let shift = bits - 8; shift >= 0; shift -= 8) header.push(Number((length >> BigInt(shift)) & 0xffn));
  }
  return Buffer.from([...header, ...(frame.maskingKey ?? [])]);
}

function bitsFor(length: bigint, encoding: 'minimal' | 16 | 64): 7 | 16 | 64 {
  if (encoding !== 'minimal') return encoding;
  return length <= 125n ? 7 : length <= 0xffffn ? 16 : 64;
}

/** The frame's bytes, its payload masked where it has a masking key. */
export function encodeFrame(frame: Frame): Buffer {
  const payload = frame.payload ?? NO_BYTES;
  const { maskingKey } = frame;
  return Buffer.concat([
    encodeHeader(frame),
    maskingKey === undefined ? payload : mask(payload, maskingKey, 0),
  ]);
}

/** The header that begins at `offset`, or undefined while bytes of it are missing. It judges nothing. */
export function decodeHeader(bytes: Uint8Array, offset = 0): Header | undefined {
  const at = (index: number): number => bytes[offset + index];
  const available = bytes.length - offset;
  if (available < 2) return undefined;
  const shortLength = at(1) & 0x7f;
  const lengthEncoding = shortLength === 127 ? 64 : shortLength === 126 ? 16 : 7;
  const isMasked = (at(1) & 0x80) !== 0;
  const lengthEnd = 2 + (lengthEncoding === 7 ? 0 : lengthEncoding / 8);
  const headerLength = lengthEnd + (isMasked ? 4 : 0);
  if (available < headerLength) return undefined;
  let payloadLength = 0n;
  if (lengthEncoding === 7) payloadLength = BigInt(shortLength);
  else for (let i = 2; i < lengthEnd; i++) payloadLength = (payloadLength << 8n) | BigInt(at(i));
  return {
    fin: (at(0) & 0x80) !== 0,
    rsv1: (at(0) & 0x40) !== 0,
    rsv2: (at(0) & 0x20) !== 0,
    rsv3: (at(0) & 0x10) !== 0,
    opcode: at(0) & 0x0f,
    maskingKey: isMasked
      ? [at(lengthEnd), at(lengthEnd + 1), at(lengthEnd + 2), at(lengthEnd + 3)]
      : undefined,
    lengthEncoding,
    payloadLength,
    headerLength,
  };
}
