/**
 * Compresses the messages of one connection in linear memory (RFC 7692 §7.2.1), synchronously.
 *
 * With context takeover a connection holds a block from its first compressed message on: matches are found in what it
 * has sent before. When no block is free, and without takeover, each piece is compressed by itself in a block that all
 * connections of the thread share, which the peer need not know (§7.1.1.2).
 */

import type { Codec } from './codec.js';
import { DEFLATE_BLOCK_SIZE, DEFLATE_TABLE_SIZE } from './layout.js';

export interface DeflaterOptions {
  /** `client_no_context_takeover` was not negotiated. */
  readonly takeover: boolean;
  /** Base-two logarithm of our window: 8–15. */
  readonly windowBits: number;
}

/** Most bytes that are compressed at once: what a block has room for beside the longest history. */
export const LONGEST_PIECE = DEFLATE_BLOCK_SIZE - DEFLATE_TABLE_SIZE - 0x8000;

/** An empty stored block's header, and the octets that §7.2.1 removes at a message's end. */
const EMPTY_BLOCK = Buffer.of(0x00, 0x00, 0x00, 0xff, 0xff);
/** How many octets are removed. */
export const FLUSH_SIZE = 4;
/** Most bytes that data grows by when it is stored: a header in front, an empty block behind. */
const STORED_OVERHEAD = 5 + EMPTY_BLOCK.length;

/** Codecs whose tables have been made. */
const prepared = new WeakSet<Codec>();

/** Room that compressing `length` bytes needs: nine bits a byte, and what `deflate` writes beyond. */
export function deflateBound(length: number): number {
  return length + (length >> 3) + 32;
}

/**
 * A piece is compressed by `begin()`, writing it to `input()`, and `compress()`; one that belongs to the same call of the
 * application's by the last two alone.
 */
export class Deflater {
  readonly #codec: Codec;
  readonly #takeover: boolean;
  readonly #reach: number;

  /** The block it compresses in, 0 before the first piece; and whether it is this connection's own. */
  #block = 0;
  #own = false;
  /** What the peer has of it reaches from `history` to `end`; before the piece under way it reached to `begun`. */
  #history = 0;
  #end = 0;
  #begun = 0;

  constructor(codec: Codec, options: DeflaterOptions) {
    this.#codec = codec;
    this.#takeover = options.takeover;
    this.#reach = 2 ** options.windowBits;
    if (prepared.has(codec)) return;
    prepared.add(codec);
    codec.prepareDeflate();
  }

  begin(): void {
    if (!this.#own) {
      this.#block = this.#takeover ? this.#codec.deflateBlocks.take() : 0;
      this.#own = this.#block !== 0;
      if (!this.#own) this.#block = this.#codec.sharedDeflateBlock;
      this.#forget();
    }
    this.#begun = this.#end;
  }

  /** Where up to `LONGEST_PIECE` bytes that are to be compressed next must be written. */
  input(): number {
    if (this.#block + DEFLATE_BLOCK_SIZE - this.#end < LONGEST_PIECE) this.#slide();
    return this.#end;
  }

  /**
   * Compresses the `length` bytes that stand there to `out`, where `deflateBound(length)` bytes may be written, and ends
   * at a byte's border with `00 00 ff ff`. Returns where the output ends.
   */
  compress(length: number, out: number): number {
    const start = this.#end;
    this.#end += length;
    if (length === 0) return this.#flush(out);
    const end = this.#codec.deflate(this.#block, this.#history, start, this.#end, out, this.#reach);
    return end - out > length + STORED_OVERHEAD ? this.#store(start, length, out) : end;
  }

  /** What has been compressed since `begin()` is sent in another way: the peer will not have it as history. */
  discard(): void {
    if (this.#begun >= this.#history) this.#end = this.#begun;
    else this.#history = this.#end;
  }

  /** The connection has ended. Calling it again does nothing. */
  release(): void {
    if (this.#own) this.#codec.deflateBlocks.give(this.#block);
    this.#block = 0;
    this.#own = false;
  }

  #forget(): void {
    this.#end = this.#block + DEFLATE_TABLE_SIZE;
    this.#history = this.#end;
  }

  /** The block is full: what may be referred to moves to its start. */
  #slide(): void {
    const { memory } = this.#codec;
    const base = this.#block + DEFLATE_TABLE_SIZE;
    const from = Math.max(this.#history, this.#end - this.#reach);
    memory.copyWithin(base, from, this.#end);
    const shift = from - base;
    this.#codec.slideDeflate(this.#block, shift);
    this.#history = base;
    this.#end -= shift;
    // May point before the history then: to what has gone.
    this.#begun -= shift;
  }

  /** Data that would grow by more is stored (RFC 1951 §3.2.4). */
  #store(start: number, length: number, out: number): number {
    const { memory } = this.#codec;
    memory[out] = 0;
    memory.writeUInt16LE(length, out + 1);
    memory.writeUInt16LE(length ^ 0xffff, out + 3);
    memory.copyWithin(out + 5, start, start + length);
    return this.#flush(out + 5 + length);
  }

  #flush(out: number): number {
    this.#codec.memory.set(EMPTY_BLOCK, out);
    return out + EMPTY_BLOCK.length;
  }
}
