/**
 * The sending side of RFC 6455 without a socket: frames are encoded where they are written from, a block of
 * linear memory, and masked there. Frames gather in the block until it is flushed.
 */

import type { Codec } from '../codec/codec.js';
import {
  Deflater,
  type DeflaterOptions,
  deflateBound,
  FLUSH_SIZE,
  LONGEST_PIECE,
} from '../codec/deflater.js';
import { SEND_BLOCK_SIZE } from '../codec/layout.js';
import { UsageError } from '../errors.js';
import { FIN, Opcode, RSV1 } from './opcode.js';

/** Takes blocks of finished frames towards the peer. */
export interface Outlet {
  /**
   * Writes the first `length` bytes of `block`. Returns true when the block may be used again at once, false
   * when it is still being written: the outlet then gives it back to the codec's pool when it has left.
   */
  write(block: number, length: number): boolean;
}

/** A masked header: 2, 4 or 10 bytes, and the masking key. */
const MAX_HEADER = 14;

/** UTF-8 needs at most 3 bytes for a UTF-16 code unit. */
const MAX_BYTES_PER_UNIT = 3;

/** Up to this many characters a loop beats the call to the native encoder (bench: send). */
const SHORT_TEXT = 24;

const utf8Write: (this: Buffer, text: string, offset: number, length: number) => number =
  (Buffer.prototype as { utf8Write?: (text: string, offset: number, length: number) => number }).utf8Write ??
  function (text, offset, length) {
    return this.write(text, offset, length, 'utf8');
  };

export interface SenderOptions {
  /** Where compression was negotiated. */
  readonly deflation?: DeflaterOptions | undefined;
  /** Other keys than the codec's (RFC 6455 §5.3). */
  readonly maskingKey?: (() => number) | undefined;
}

export class Sender {
  readonly #codec: Codec;
  readonly #outlet: Outlet;

  /** The block that frames are added to; 0 when nothing waits. */
  #block = 0;
  #used = 0;
  /** The fragmented message under way (§5.4): its opcode, or 0. */
  #fragmented = 0;
  /** Other keys than the codec's, if the drop-in class was given some. */
  readonly #maskingKey: (() => number) | undefined;
  /** Where compression was negotiated; and whether the message under way is compressed. */
  readonly #deflater: Deflater | undefined;
  #compressing = false;

  constructor(codec: Codec, outlet: Outlet, options?: SenderOptions) {
    this.#codec = codec;
    this.#outlet = outlet;
    this.#maskingKey = options?.maskingKey;
    if (options?.deflation !== undefined) this.#deflater = new Deflater(codec, options.deflation);
  }

  /** Bytes of finished frames that have not been given to the outlet. */
  get unflushed(): number {
    return this.#used;
  }

  /** A fragmented message has begun and lacks its last fragment. */
  get unfinished(): boolean {
    return this.#fragmented !== 0;
  }

  /**
   * A message, or a fragment of one: `fin` false says that more follows, as continuation frames. The first one's
   * `compress` decides for all of them; where compression was not negotiated it means nothing.
   */
  message(data: string | Uint8Array, isText: boolean, fin: boolean, compress = false, masked = true): void {
    const opcode = isText ? Opcode.text : Opcode.binary;
    if (this.#fragmented !== 0 && this.#fragmented !== opcode) {
      throw new UsageError(
        'ERR_FRAGMENT_TYPE',
        'A fragmented message is unfinished: what follows it must be of the same type (RFC 6455 §5.4)',
      );
    }
    const starts = this.#fragmented === 0;
    const firstByte = (fin ? FIN : 0) | (starts ? opcode : Opcode.continuation);
    this.#fragmented = fin ? 0 : opcode;
    if (starts) this.#compressing = compress && masked && this.#deflater !== undefined;
    if (this.#compressing) this.#compressed(firstByte, data, starts);
    else if (!masked) this.#unmasked(firstByte, typeof data === 'string' ? Buffer.from(data) : data);
    else if (typeof data === 'string') this.#text(firstByte, data);
    else this.#bytes(firstByte, data);
  }

  /** Ping, Pong or Close (§5.5); `payload` has at most 125 bytes. Control frames may stand between fragments. */
  control(opcode: number, payload: Uint8Array, masked = true): void {
    if (masked) this.#bytes(FIN | opcode, payload);
    else this.#unmasked(FIN | opcode, payload);
  }

  /** Hands what has gathered to the outlet. */
  flush(): void {
    if (this.#used === 0) return;
    const block = this.#block;
    const length = this.#used;
    this.#used = 0;
    if (!this.#outlet.write(block, length)) this.#block = 0;
  }

  /** Nothing more will be sent. */
  end(): void {
    this.release();
    this.#deflater?.release();
  }

  /** Gives the block back while nothing is in it: an idle connection holds none. */
  release(): void {
    if (this.#block !== 0 && this.#block !== this.#codec.stagingBlock)
      this.#codec.sendBlocks.give(this.#block);
    this.#block = 0;
    this.#used = 0;
  }

  // ------------------------------------------------------------------------------------------- encoding

  #text(firstByte: number, text: string): void {
    const units = text.length;
    if (units * MAX_BYTES_PER_UNIT + MAX_HEADER > SEND_BLOCK_SIZE) {
      this.#bytes(firstByte, Buffer.from(text, 'utf8'));
      return;
    }
    const at = this.#reserve(units * MAX_BYTES_PER_UNIT + MAX_HEADER);
    // Most text is ASCII: the header is given the size that suits as many bytes as there are characters.
    const guess = headerSize(units);
    const { memory } = this.#codec;
    const length =
      asciiWrite(memory, text, at + guess) ??
      utf8Write.call(memory, text, at + guess, units * MAX_BYTES_PER_UNIT);
    const header = headerSize(length);
    if (header !== guess) memory.copyWithin(at + header, at + guess, at + guess + length);
    this.#codec.sealFrame(at, firstByte, length, this.#freshKey());
    this.#used += header + length;
    this.#flushIfStaged();
  }

  #bytes(firstByte: number, bytes: Uint8Array): void {
    const length = bytes.length;
    if (length + MAX_HEADER > SEND_BLOCK_SIZE) {
      this.#largeFrame(firstByte, bytes);
      return;
    }
    const at = this.#reserve(length + MAX_HEADER);
    const header = headerSize(length);
    this.#codec.memory.set(bytes, at + header);
    this.#codec.sealFrame(at, firstByte, length, this.#freshKey());
    this.#used += header + length;
    this.#flushIfStaged();
  }

  /** What §5.1 forbids a client; the drop-in class allows it, as `ws` does. */
  #unmasked(firstByte: number, bytes: Uint8Array): void {
    if (bytes.length + MAX_HEADER > SEND_BLOCK_SIZE) {
      this.#largeFrame(firstByte, bytes, false);
      return;
    }
    const at = this.#reserve(bytes.length + MAX_HEADER);
    const header = this.#codec.writeHeader(at, firstByte, bytes.length, 0, 0, 0);
    this.#codec.memory.set(bytes, at + header);
    this.#used += header + bytes.length;
    this.#flushIfStaged();
  }

  #freshKey(): number {
    return this.#maskingKey === undefined ? this.#codec.maskingKey() : this.#maskingKey();
  }

  /** One frame, a block at a time: each piece is masked in the phase it stands in. */
  #largeFrame(firstByte: number, bytes: Uint8Array, masked = true): void {
    const codec = this.#codec;
    const key = masked ? this.#freshKey() : 0;
    let at = this.#reserve(MAX_HEADER + 1);
    const { length } = bytes;
    let header = codec.writeHeader(
      at,
      firstByte,
      length >>> 0,
      Math.floor(length / 2 ** 32),
      masked ? 1 : 0,
      key,
    );
    for (let phase = 0; phase < length; ) {
      const room = SEND_BLOCK_SIZE - this.#used - header;
      const piece = bytes.subarray(phase, phase + room);
      codec.memory.set(piece, at + header);
      if (masked) codec.mask(at + header, at + header + piece.length, key, phase);
      this.#used += header + piece.length;
      phase += piece.length;
      if (phase === length) break;
      this.flush();
      at = this.#reserve(1);
      header = 0;
    }
    this.#flushIfStaged();
  }

  // ------------------------------------------------------------------------------- compressing, RFC 7692 §6.1

  /** A whole message, or the next fragment of one; a whole one that does not get smaller is sent as it is. */
  #compressed(firstByte: number, data: string | Uint8Array, starts: boolean): void {
    const { memory } = this.#codec;
    const deflater = this.#deflater!;
    const fits = (typeof data === 'string' ? data.length * MAX_BYTES_PER_UNIT : data.length) <= LONGEST_PIECE;
    deflater.begin();
    if (!fits) {
      this.#compressedInPieces(
        firstByte,
        typeof data === 'string' ? Buffer.from(data, 'utf8') : data,
        starts,
      );
      return;
    }
    const input = deflater.input();
    let length = data.length;
    if (typeof data !== 'string') memory.set(data, input);
    else length = asciiWrite(memory, data, input) ?? utf8Write.call(memory, data, input, LONGEST_PIECE);

    const at = this.#reserve(MAX_HEADER + deflateBound(length));
    // Most of what is compressed has from 126 bytes to 64 KiB.
    const guess = headerSize(126);
    let first = firstByte | (starts ? RSV1 : 0);
    // §7.2.1: the message's last octets are left out.
    let size = deflater.compress(length, at + guess) - at - guess - (firstByte & FIN ? FLUSH_SIZE : 0);
    if (starts && firstByte & FIN && size >= length) {
      first = firstByte;
      size = length;
      memory.copyWithin(at + headerSize(size), input, input + length);
      deflater.discard();
    } else if (headerSize(size) !== guess) {
      memory.copyWithin(at + headerSize(size), at + guess, at + guess + size);
    }
    this.#codec.sealFrame(at, first, size, this.#codec.maskingKey());
    this.#used += headerSize(size) + size;
    this.#flushIfStaged();
  }

  /** What is longer leaves linear memory piece by piece: a frame tells its length before its payload. */
  #compressedInPieces(firstByte: number, bytes: Uint8Array, starts: boolean): void {
    const { memory, stagingBlock } = this.#codec;
    const deflater = this.#deflater!;
    const pieces: Buffer[] = [];
    let size = 0;
    for (let at = 0; at < bytes.length; ) {
      const piece = bytes.subarray(at, at + LONGEST_PIECE);
      at += piece.length;
      memory.set(piece, deflater.input());
      // Nothing waits in the staging block between two calls.
      const end = deflater.compress(piece.length, stagingBlock);
      const left = at === bytes.length && firstByte & FIN ? FLUSH_SIZE : 0;
      pieces.push(Buffer.from(memory.subarray(stagingBlock, end - left)));
      size += end - left - stagingBlock;
    }
    if (starts && firstByte & FIN && size >= bytes.length) {
      deflater.discard();
      this.#bytes(firstByte, bytes);
    } else {
      this.#bytes(firstByte | (starts ? RSV1 : 0), Buffer.concat(pieces, size));
    }
  }

  /** The address of `room` free bytes in a block; what has gathered leaves first when there is no such room. */
  #reserve(room: number): number {
    if (SEND_BLOCK_SIZE - this.#used < room) this.flush();
    if (this.#block === 0) this.#block = this.#codec.sendBlocks.take() || this.#codec.stagingBlock;
    return this.#block + this.#used;
  }

  /** All blocks are leased, so this one is shared with other connections: nothing may stay in it. */
  #flushIfStaged(): void {
    if (this.#block !== this.#codec.stagingBlock) return;
    this.flush();
    this.#block = 0;
  }
}

/** Size on the wire of a frame with this many bytes of payload. */
export function frameSize(length: number): number {
  return headerSize(length) + length;
}

/** Size of a masked frame's header (§5.2). */
function headerSize(length: number): number {
  if (length < 126) return 6;
  return length < 65536 ? 8 : 14;
}

/** Writes short ASCII text; undefined when it is neither. */
function asciiWrite(memory: Buffer, text: string, at: number): number | undefined {
  const { length } = text;
  if (length > SHORT_TEXT) return undefined;
  for (let index = 0; index < length; index++) {
    const unit = text.charCodeAt(index);
    if (unit > 0x7f) return undefined;
    memory[at + index] = unit;
  }
  return length;
}
