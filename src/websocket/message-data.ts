/**
 * A message as the application keeps it. Its bytes lie where the next read will overwrite them, so they are copied,
 * once; and small messages that came with one read are copied together, into memory that they share. (`ws` gives
 * views of the read's buffer, which are kept alive as a whole in the same way.)
 */

import type { Codec } from '../codec/codec.js';
import type { Message } from '../protocol/message.js';

export type BinaryType = 'nodebuffer' | 'arraybuffer' | 'fragments' | 'blob';

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

export function arrayBufferOf(message: Message, codec: Codec): ArrayBuffer {
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
export function fragmentsOf(message: Message, codec: Codec, ends: readonly number[] | undefined): Buffer[] {
  const whole = bufferOf(message, codec);
  if (ends === undefined) return whole.length > 0 ? [whole] : [];
  return ends.map((end, index) => whole.subarray(index === 0 ? 0 : ends[index - 1], end));
}
