/**
 * Frames as the benchmark's server needs them (RFC 6455 §5.2): the headers it writes, and a reader of masked
 * frames that leaves the payload where it is and the unmasking to the workload.
 */

/** FIN is set in all of them: nothing here is fragmented. */
export const TEXT = 0x81;
export const BINARY = 0x82;
export const CLOSE = 0x88;
export const PING = 0x89;
export const PONG = 0x8a;

export function headerLength(payloadLength: number): number {
  return payloadLength < 126 ? 2 : payloadLength < 65_536 ? 4 : 10;
}

/** Writes the header of an unmasked frame and returns the offset behind it. */
export function writeHeader(bytes: Buffer, offset: number, first: number, payloadLength: number): number {
  bytes[offset] = first;
  if (payloadLength < 126) {
    bytes[offset + 1] = payloadLength;
    return offset + 2;
  }
  if (payloadLength < 65_536) {
    bytes[offset + 1] = 126;
    return bytes.writeUInt16BE(payloadLength, offset + 2);
  }
  bytes[offset + 1] = 127;
  bytes.writeUInt32BE(0, offset + 2);
  return bytes.writeUInt32BE(payloadLength, offset + 6);
}

export function frame(first: number, body: Buffer): Buffer {
  const bytes = Buffer.allocUnsafeSlow(headerLength(body.length) + body.length);
  body.copy(bytes, writeHeader(bytes, 0, first, body.length));
  return bytes;
}

/** A masked frame: its payload begins at `offset`, its masking key four bytes before. Valid until the call returns. */
export type FrameHandler = (first: number, bytes: Buffer, offset: number, length: number) => void;

const LONGEST_HEADER = 14;
/** Made when it is needed: most connections of some workloads never do. */
const LEAST_TAIL = 256 * 1024;

export class FrameReader {
  readonly #handle: FrameHandler;
  /** The beginning of a frame that the last chunk did not complete. */
  #tail = Buffer.alloc(0);
  #kept = 0;

  constructor(handle: FrameHandler) {
    this.#handle = handle;
  }

  read(chunk: Buffer): void {
    let position = 0;
    if (this.#kept > 0) {
      position = this.#completeTail(chunk);
      if (this.#kept > 0) return;
    }
    while (position < chunk.length) {
      const size = frameSize(chunk, position, chunk.length);
      if (size < 0 || position + size > chunk.length) break;
      this.#deliver(chunk, position);
      position += size;
    }
    this.#kept = chunk.length - position;
    if (this.#kept > this.#tail.length) this.#grow(this.#kept);
    chunk.copy(this.#tail, 0, position);
  }

  /** Adds what the unfinished frame lacks, and no more; returns where the next frame begins. */
  #completeTail(chunk: Buffer): number {
    const before = this.#kept;
    const headerEnd = Math.max(before, Math.min(LONGEST_HEADER, before + chunk.length));
    chunk.copy(this.#tail, before, 0, headerEnd - before);
    const size = frameSize(this.#tail, 0, headerEnd);
    if (size < 0) {
      this.#kept = headerEnd;
      return chunk.length;
    }
    if (size > this.#tail.length) this.#grow(size);
    const end = Math.min(size, before + chunk.length);
    chunk.copy(this.#tail, before, 0, end - before);
    this.#kept = end;
    if (end < size) return chunk.length;
    this.#kept = 0;
    this.#deliver(this.#tail, 0);
    return end - before;
  }

  #deliver(bytes: Buffer, position: number): void {
    const seven = bytes[position + 1] & 0x7f;
    if (seven < 126) this.#handle(bytes[position], bytes, position + 6, seven);
    else if (seven === 126) {
      this.#handle(bytes[position], bytes, position + 8, bytes.readUInt16BE(position + 2));
    } else this.#handle(bytes[position], bytes, position + 14, bytes.readUInt32BE(position + 6));
  }

  #grow(size: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(size, LEAST_TAIL));
    this.#tail.copy(larger, 0, 0, Math.min(this.#kept, this.#tail.length));
    this.#tail = larger;
  }
}

/** Bytes of the whole frame at `position`, or -1 while its header is incomplete. */
function frameSize(bytes: Buffer, position: number, end: number): number {
  if (end - position < 6) return -1;
  const second = bytes[position + 1];
  if (second < 0x80) throw new Error('unmasked frame from a client (RFC 6455 §5.1)');
  const seven = second & 0x7f;
  if (seven < 126) return 6 + seven;
  if (seven === 126) return end - position < 8 ? -1 : 8 + bytes.readUInt16BE(position + 2);
  if (end - position < 14) return -1;
  if (bytes.readUInt32BE(position + 2) !== 0) throw new Error('frame too long for this server');
  return 14 + bytes.readUInt32BE(position + 6);
}
