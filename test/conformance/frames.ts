/** What stands on the wire in the catalogue: frames as a server writes them, cut into segments; what came back. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { decodeHeader, encodeFrame, encodeHeader, type Frame } from '../reference/frame.js';

type Content = string | Uint8Array;
/** What a frame may have besides its plain form. */
type Form = Omit<Partial<Frame>, 'opcode' | 'payload'>;

export const MORE: Form = { fin: false };

export function frame(opcode: number, content: Content = '', form: Form = {}): Buffer {
  return encodeFrame({ opcode, payload: Buffer.from(content as string), ...form });
}

export const continuation = (content: Content = '', form?: Form): Buffer => frame(0x0, content, form);
export const text = (content: Content = '', form?: Form): Buffer => frame(0x1, content, form);
export const binary = (content: Content = '', form?: Form): Buffer => frame(0x2, content, form);
export const ping = (content: Content = '', form?: Form): Buffer => frame(0x9, content, form);
export const pong = (content: Content = '', form?: Form): Buffer => frame(0xa, content, form);

/** A Close frame; without a code, an empty one. */
export function close(code?: number, reason: Content = '', form?: Form): Buffer {
  const status = code === undefined ? [] : [code >> 8, code & 0xff];
  return frame(0x8, Buffer.concat([Buffer.from(status), Buffer.from(reason as string)]), form);
}

/** Bytes written as hex, spaces where they help the eye. */
export function hex(digits: string): Buffer {
  return Buffer.from(digits.replaceAll(' ', ''), 'hex');
}

/** A message in fragments of at most `size` bytes. */
export function fragments(opcode: number, payload: Uint8Array, size: number): Buffer[] {
  const count = Math.max(1, Math.ceil(payload.length / size));
  return Array.from({ length: count }, (_, i) =>
    frame(i === 0 ? opcode : 0x0, payload.subarray(i * size, (i + 1) * size), { fin: i === count - 1 }),
  );
}

/** The same bytes in segments of `size` bytes, the last one perhaps shorter. */
export function inSegments(bytes: Uint8Array, size: number): Buffer[] {
  const segments: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) segments.push(Buffer.from(bytes.subarray(at, at + size)));
  return segments;
}

/** One frame that the client sent. */
export interface ClientFrame {
  opcode: number;
  maskingKey: readonly number[];
  payload: Buffer;
  /** Header and payload as they would be without masking, as hex; of a long payload the digest. */
  shown: string;
}

/** The frames a client sent, unmasked: whole, masked frames and nothing else. Fit for many megabytes. */
export function clientFrames(bytes: Buffer): ClientFrame[] {
  const frames: ClientFrame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const header = decodeHeader(bytes, at);
    assert.ok(header !== undefined, 'the client sent an incomplete header');
    const { maskingKey, headerLength, opcode } = header;
    assert.ok(maskingKey !== undefined, 'RFC 6455 §5.1: a client masks every frame');
    const start = at + headerLength;
    at = start + Number(header.payloadLength);
    assert.ok(at <= bytes.length, 'the client sent an incomplete frame');
    const payload = Buffer.from(bytes.subarray(start, at));
    for (let i = 0; i < payload.length; i++) payload[i] ^= maskingKey[i & 3];
    const { lengthEncoding } = header;
    const plain = encodeHeader({
      ...header,
      maskingKey: undefined,
      declaredLength: header.payloadLength,
      lengthEncoding: lengthEncoding === 7 ? 'minimal' : lengthEncoding,
    });
    frames.push({ opcode, maskingKey, payload, shown: shown(plain, payload) });
  }
  return frames;
}

/** The same of a frame that a test expects: `wire` is one whole frame, not masked. */
export function shownFrame(wire: Buffer): string {
  const { headerLength } = decodeHeader(wire)!;
  return shown(wire.subarray(0, headerLength), wire.subarray(headerLength));
}

function shown(header: Uint8Array, payload: Uint8Array): string {
  return `${Buffer.from(header).toString('hex')} ${digest(payload)}`.trim();
}

/** Short bytes as hex, long ones by their digest. */
export function digest(bytes: Uint8Array): string {
  if (bytes.length <= 125) return Buffer.from(bytes).toString('hex');
  return `sha1 ${createHash('sha1').update(bytes).digest('hex')}`;
}
