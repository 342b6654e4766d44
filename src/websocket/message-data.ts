/**
 * A message as the application keeps it. Its bytes lie where the next read will overwrite them, so they are copied,
 * once; and small messages that came with one read are copied together, into memory that they share. (`ws` gives
 * views of the read's buffer, which are kept alive as a whole in the same way.)
 */

import { type Codec, sharedCodec } from '../codec/codec.js';
import type { Message } from '../protocol/message.js';

export type BinaryType = 'nodebuffer' | 'arraybuffer' | 'fragments' | 'blob';

const TYPES: readonly string[] = ['nodebuffer', 'arraybuffer', 'fragments', 'blob'];
const STANDARD_TYPES: readonly string[] = ['blob', 'arraybuffer', 'nodebuffer'];

export function isBinaryType(type: string, isStandard: boolean): boolean {
  return (isStandard ? STANDARD_TYPES : TYPES).includes(type);
}

/** A quarter of `subarray`'s cost. */
const FastBuffer = (Buffer as unknown as { [Symbol.species]: BufferConstructor })[
  Symbol.species
] as unknown as new (
  memory: ArrayBufferLike,
  byteOffset: number,
  length: number,
) => Buffer;

/** Above this many bytes of messages to come, each is copied for itself: what one keeps alive stays small. */
const LARGEST_SHARED = 64 * 1024;

/** What has been copied of the walk with this number: the addresses that it was copied from begin at `from`. */
let walk = -1;
let from = 0;
let shared: Buffer = Buffer.alloc(0);

/** The message in a Buffer of the application's. */
export function bufferOf(message: Message, codec: Codec): Buffer {
  const { buffer, byteOffset, byteLength } = message;
  // What was compressed lies behind scratch, where it was inflated.
  if (buffer !== codec.memory || byteOffset >= codec.walkEnd) return message.copy();
  if (codec.walks !== walk) {
    const end = codec.walkEnd;
    if (end - byteOffset > LARGEST_SHARED || byteLength > LARGEST_SHARED / 2) return message.copy();
    walk = codec.walks;
    from = byteOffset;
    shared = Buffer.allocUnsafe(end - byteOffset);
    buffer.copy(shared, 0, byteOffset, end);
    if (byteLength === shared.length) return shared;
  }
  return new FastBuffer(shared.buffer, shared.byteOffset + byteOffset - from, byteLength);
}

function arrayBufferOf(message: Message, codec: Codec): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = message;
  if (buffer !== codec.memory) {
    const own = message.copy();
    if (own.length === own.buffer.byteLength) return own.buffer as ArrayBuffer;
  }
  const copy = new ArrayBuffer(byteLength);
  buffer.copy(new Uint8Array(copy), 0, byteOffset, byteOffset + byteLength);
  return copy;
}

/** The frames' payloads, views of one copy; those without any are left out. `ends` says where they end. */
function fragmentsOf(message: Message, codec: Codec, ends: readonly number[] | undefined): Buffer[] {
  const whole = bufferOf(message, codec);
  if (ends === undefined) return whole.length > 0 ? [whole] : [];
  return ends.map((end, index) => whole.subarray(index === 0 ? 0 : ends[index - 1], end));
}

/** A binary message as `binaryType` wants it; `ends` says where its frames end. */
export function binaryData(type: BinaryType, message: Message, ends: readonly number[] | undefined): unknown {
  const codec = sharedCodec();
  switch (type) {
    case 'nodebuffer':
      return bufferOf(message, codec);
    case 'arraybuffer':
      return arrayBufferOf(message, codec);
    case 'fragments':
      return fragmentsOf(message, codec, ends);
    case 'blob':
      return new Blob([message.bytes as Uint8Array<ArrayBuffer>]);
  }
}

/** The application's own bytes, in what the standard has for them. */
export function convertedTo(type: BinaryType, data: Buffer): unknown {
  if (type === 'nodebuffer') return data;
  if (type === 'blob') return new Blob([data as Buffer<ArrayBuffer>]);
  const { buffer, length } = data;
  if (length === buffer.byteLength) return buffer;
  // Two thirds of what slice() costs.
  const copy = new Uint8Array(length);
  copy.set(data);
  return copy.buffer;
}
