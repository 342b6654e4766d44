/**
 * Inflates the messages of one connection in linear memory (RFC 7692 §7.2.2), synchronously.
 *
 * When the server keeps its window from message to message ("context takeover"), a connection holds a window block,
 * and a message is inflated right behind the ones before it; when the block is full, what is still needed of it slides
 * to its start. Otherwise nothing is held between two messages: they are inflated in a workspace that all connections
 * of the thread share.
 */

import type { Codec } from './codec.js';
import { warmUpInflater } from './inflate-warm-up.js';
import {
  INFLATE_INPUT,
  INFLATE_INPUT_SIZE,
  INFLATE_OVERRUN,
  INFLATE_STATE_SIZE,
  INFLATE_TABLES,
  InflateResult,
  InflateResume,
  InflateState,
  Kind,
  LONGEST_WINDOW,
  UTF8_INVALID,
  UTF8_MISSING,
  UTF8_NON_ASCII,
  WINDOW_BLOCK_SIZE,
  WORKSPACE,
  WORKSPACE_SIZE,
} from './layout.js';

export interface InflaterOptions {
  /** The server keeps its window from message to message: `server_no_context_takeover` was not negotiated. */
  readonly takeover: boolean;
  /** Base-two logarithm of the server's window: 8–15. A distance beyond it is refused. */
  readonly windowBits: number;
  /** Most bytes an inflated message may have. */
  readonly maxMessageSize: number;
}

/** Where an inflated message gathers that does not fit where it was inflated; src/protocol/assembly.ts is one. */
export interface Overflow {
  readonly buffer: Buffer;
  readonly length: number;
  /** Makes room for `bytes` more; false when there is no memory for them. */
  reserve(bytes: number, exact: boolean): boolean;
  /** Copies [start, end) of `source` behind what is there. */
  append(source: Buffer, start: number, end: number): void;
}

/** What `inflate`, `append` and `finish` return. After anything but `none` the inflater is of no further use. */
export const InflateError = {
  none: 0,
  /** Not DEFLATE data, a distance that reaches too far back, or a message that ends within a block: 1007. */
  corrupt: 1,
  /** More than `maxMessageSize` bytes: 1009. At most 300 bytes too many have been inflated. */
  tooLarge: 2,
  /** A text message is not UTF-8: 1007. */
  invalidUtf8: 3,
  /** There is no memory for so long a message: 1009. */
  noMemory: 4,
} as const;

/** Messages longer than this are not left where the next one may overwrite them. */
const LONGEST_IN_PLACE = 64 * 1024;
/** Pieces of a message are gathered up to this size before they are inflated: each turn has a cost of its own. */
const GATHERED = 16 * 1024;
const EMPTY = Buffer.alloc(0);

/**
 * A message is inflated by one `inflate()`, when all of its payload lies in linear memory, or by `append()` for each
 * piece, in order, and `finish()`. Then `kind`, `buffer`, `offset` and `length` say where it is.
 */
export class Inflater {
  /** What the last message is: one of `Kind`, for the message cursor. */
  kind: number = Kind.none;
  offset = 0;
  length = 0;

  readonly #codec: Codec;
  readonly #takeover: boolean;
  readonly #window: number;
  readonly #maxMessageSize: number;
  readonly #longestInPlace: number;
  readonly #overflow: Overflow;

  /** The memory it inflates in: history begins at `base`, and goes on to `out`. */
  readonly #base: number;
  readonly #end: number;
  #out: number;
  /** Where the message under way begins, or what of it is not in the overflow. */
  #start: number;
  #utf8 = 0;
  #inOverflow = false;
  #released = false;

  /** Compressed bytes of the message that have been used up, and those not in linear memory yet that are known of. */
  #used = 0;
  #toCome = 0;

  /** A message in pieces: what has yet to be inflated, and, once some has been, the state to go on from. */
  #pending = EMPTY;
  #pendingLength = 0;
  #underWay = false;
  #parked: Buffer | undefined;

  /**
   * @param window a block of `codec.windows`, taken before compression was offered (0, none left, means: offer it only
   *   without takeover). The inflater owns it from now on; without takeover it goes back at once.
   * @param overflow is used only for messages in pieces and for large ones. It is empty when a message begins; after
   *   one that ended in it (`buffer` is not linear memory) whoever handed it in clears it.
   */
  constructor(codec: Codec, window: number, options: InflaterOptions, overflow: Overflow) {
    this.#codec = codec;
    this.#takeover = options.takeover;
    this.#window = 2 ** options.windowBits;
    this.#maxMessageSize = options.maxMessageSize;
    this.#longestInPlace = Math.min(options.maxMessageSize, LONGEST_IN_PLACE);
    this.#overflow = overflow;
    this.#base = options.takeover ? window : WORKSPACE;
    this.#end = this.#base + (options.takeover ? WINDOW_BLOCK_SIZE : WORKSPACE_SIZE) - INFLATE_OVERRUN;
    this.#out = this.#base;
    this.#start = this.#base;
    if (!options.takeover) {
      if (window !== 0) codec.windows.give(window);
      this.#released = true;
    }
    warmUpInflater(codec);
  }

  /** Where the last message lies: linear memory (`codec.memory`), or the overflow's buffer, then at offset 0. */
  get buffer(): Buffer {
    return this.#inOverflow ? this.#overflow.buffer : this.#codec.memory;
  }

  /**
   * A whole message (one frame with RSV1 and FIN, or zero bytes): its payload lies in [start, end) of linear memory,
   * without the `00 00 ff ff` that the sender removed. Behind it 16 bytes of memory can be read; nothing there is
   * written. Returns an `InflateError`.
   *
   * The message is valid until the next call of any inflater of this thread; `keep()` makes it last. Messages must be
   * inflated in the order they came in, each once: inflate only what is to be delivered now, or keep it.
   */
  inflate(start: number, end: number, text: boolean): number {
    const codec = this.#codec;
    const from = this.#takeover ? this.#out : this.#base;
    this.#start = from;
    const stop = Math.min(this.#end, from + this.#maxMessageSize + 1);
    const result = codec.inflate(start, end, from, stop, this.#base, this.#window, InflateResume.start);
    const out = codec.inflateState[InflateState.output];
    this.#out = out;
    const length = out - from;
    if (result !== InflateResult.ended || length > this.#longestInPlace) {
      this.#begin();
      return this.#complete(this.#goOn(result, start, end, text), text);
    }
    let kind: number = Kind.binary;
    if (text) {
      const utf8 = codec.validateUtf8(from, out, 0);
      // Of a wrong byte's state all bits are set.
      if ((utf8 & UTF8_MISSING) !== 0) return InflateError.invalidUtf8;
      kind = utf8 & UTF8_NON_ASCII ? Kind.text : Kind.asciiText;
    }
    this.kind = kind;
    this.offset = from;
    this.length = length;
    this.#inOverflow = false;
    return InflateError.none;
  }

  /**
   * The next piece of a message: [start, end) of any buffer, linear memory too. It is copied when it cannot be inflated
   * yet; small pieces are gathered first. `text` is the same for all pieces. Returns an `InflateError`: limits and
   * UTF-8 are enforced while the message is under way.
   *
   * @param toCome how many more bytes of the message have been announced, by the header of a long frame: then the
   *   overflow is made as large at once as it will probably have to be
   */
  append(source: Buffer, start: number, end: number, text: boolean, toCome = 0): number {
    if (this.#pendingLength + end - start > GATHERED) return this.#feed(source, start, end, text, toCome);
    this.#hold(source, start, end);
    return InflateError.none;
  }

  /** The message whose pieces were given to `append()` (none is fine) has no more. Returns an `InflateError`. */
  finish(text: boolean): number {
    const { memory } = this.#codec;
    const length = this.#pendingLength;
    const pending = this.#pending;
    this.#pending = EMPTY;
    this.#pendingLength = 0;
    pending.copy(memory, INFLATE_INPUT, 0, length);
    if (!this.#underWay) return this.inflate(INFLATE_INPUT, INFLATE_INPUT + length, text);
    this.#restore();
    this.#underWay = false;
    const result = this.#run(INFLATE_INPUT, INFLATE_INPUT + length, InflateResume.restore, text);
    return this.#complete(result, text);
  }

  /**
   * The last message has to wait: moves it to the overflow, unless it is there. Look at `buffer`… again. Returns an
   * `InflateError`.
   */
  keep(): number {
    if (this.#inOverflow) return InflateError.none;
    if (!this.#overflow.reserve(this.length, true)) return InflateError.noMemory;
    this.#overflow.append(this.#codec.memory, this.offset, this.offset + this.length);
    this.offset = 0;
    this.#inOverflow = true;
    return InflateError.none;
  }

  /** The connection has ended: the window goes back. Calling it again does nothing. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#codec.windows.give(this.#base);
  }

  // ------------------------------------------------------------------------------------------- a message

  #begin(): void {
    this.#utf8 = 0;
    this.#used = 0;
    this.#toCome = 0;
  }

  /** Inflates [input, end) of linear memory. Returns `ended` or `needsInput`; an error's number, negative, for one. */
  #run(input: number, end: number, resume: number, text: boolean): number {
    return this.#goOn(this.#call(input, end, resume), input, end, text);
  }

  #call(input: number, end: number, resume: number): number {
    // One byte more than allowed tells a message that is too large from one that just ends.
    const stop = Math.min(this.#end, this.#start + this.#maxMessageSize - this.#overflow.length + 1);
    const result = this.#codec.inflate(input, end, this.#out, stop, this.#base, this.#window, resume);
    this.#out = this.#codec.inflateState[InflateState.output];
    return result;
  }

  /** What `#run` does once [at, end) has been inflated with that result. */
  #goOn(result: number, at: number, end: number, text: boolean): number {
    while (true) {
      const next = this.#codec.inflateState[InflateState.position] >>> 3;
      this.#used += next - at;
      at = next;
      if (result === InflateResult.corrupt) return -InflateError.corrupt;
      if (this.#overflow.length + this.#out - this.#start > this.#maxMessageSize)
        return -InflateError.tooLarge;
      if (result !== InflateResult.needsRoom) return result;
      const error = this.#makeRoom(text, end - at + this.#toCome);
      if (error !== InflateError.none) return -error;
      result = this.#call(at, end, InflateResume.goOn);
    }
  }

  /** The memory is full: what is still needed slides to its start, and a long message leaves it. */
  #makeRoom(text: boolean, left: number): number {
    if (this.#out - this.#start > LONGEST_WINDOW) {
      const error = this.#flush(text, left);
      if (error !== InflateError.none) return error;
    }
    const needed = Math.max(this.#window, this.#out - this.#start);
    const from = Math.max(this.#base, this.#out - needed);
    this.#codec.memory.copyWithin(this.#base, from, this.#out);
    this.#start -= from - this.#base;
    this.#out -= from - this.#base;
    return InflateError.none;
  }

  /** Moves what has been inflated of the message to the overflow; `left` compressed bytes are known to follow. */
  #flush(text: boolean, left: number): number {
    const { memory } = this.#codec;
    const length = this.#out - this.#start;
    const soFar = this.#overflow.length + length;
    const expected = left > 0 ? (soFar * left * 1.1) / this.#used : 0;
    const most = this.#maxMessageSize - this.#overflow.length;
    if (text) {
      this.#utf8 = this.#codec.validateUtf8(this.#start, this.#out, this.#utf8);
      if (this.#utf8 === UTF8_INVALID) return InflateError.invalidUtf8;
    }
    const room = Math.min(most, Math.ceil(length + expected));
    if (!this.#overflow.reserve(room, false)) return InflateError.noMemory;
    this.#overflow.append(memory, this.#start, this.#out);
    this.#start = this.#out;
    return InflateError.none;
  }

  /** All of the message has been inflated, if `result` says so: says where it is. */
  #complete(result: number, text: boolean): number {
    if (result < 0) return -result;
    if (result !== InflateResult.ended) return InflateError.corrupt;
    const length = this.#out - this.#start;
    const large = this.#overflow.length > 0 || length > LONGEST_IN_PLACE;
    if (large) {
      const error = this.#flush(text, 0);
      if (error !== InflateError.none) return error;
    } else if (text) {
      this.#utf8 = this.#codec.validateUtf8(this.#start, this.#out, 0);
    }
    // Of a wrong byte's state all bits are set.
    if (text && (this.#utf8 & UTF8_MISSING) !== 0) return InflateError.invalidUtf8;
    if (!text) this.kind = Kind.binary;
    else this.kind = this.#utf8 & UTF8_NON_ASCII ? Kind.text : Kind.asciiText;
    this.offset = large ? 0 : this.#start;
    this.length = large ? this.#overflow.length : length;
    this.#inOverflow = large;
    return InflateError.none;
  }

  // ---------------------------------------------------------------------------------- a message in pieces

  #hold(source: Buffer, start: number, end: number): void {
    const length = this.#pendingLength + end - start;
    if (length > this.#pending.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, 2 * this.#pending.length));
      this.#pending.copy(larger, 0, 0, this.#pendingLength);
      this.#pending = larger;
    }
    source.copy(this.#pending, this.#pendingLength, start, end);
    this.#pendingLength = length;
  }

  /** Inflates what is pending and then [start, end) of `source`, as far as it goes. */
  #feed(source: Buffer, start: number, end: number, text: boolean, toCome: number): number {
    const { memory, inflateState } = this.#codec;
    let resume: number = InflateResume.goOn;
    if (this.#underWay) {
      this.#restore();
      resume = InflateResume.restore;
    } else {
      this.#begin();
      if (!this.#takeover) this.#out = this.#base;
      this.#start = this.#out;
      this.#underWay = true;
      resume = InflateResume.start;
    }
    this.#pending.copy(memory, INFLATE_INPUT, 0, this.#pendingLength);
    let length = this.#pendingLength;
    for (let at = start; at < end; ) {
      const count = Math.min(end - at, INFLATE_INPUT_SIZE - length);
      source.copy(memory, INFLATE_INPUT + length, at, at + count);
      at += count;
      length += count;
      this.#toCome = end - at + toCome;
      const result = this.#run(INFLATE_INPUT, INFLATE_INPUT + length, resume, text);
      if (result < 0) return -result;
      resume = InflateResume.goOn;
      // What it could not use yet: part of a symbol, or of a block's header.
      const used = inflateState[InflateState.position] >>> 3;
      memory.copyWithin(INFLATE_INPUT, used, INFLATE_INPUT + length);
      length = INFLATE_INPUT + length - used;
    }
    this.#pendingLength = 0;
    this.#hold(memory, INFLATE_INPUT, INFLATE_INPUT + length);
    this.#parked ??= Buffer.allocUnsafeSlow(INFLATE_STATE_SIZE);
    memory.copy(this.#parked, 0, INFLATE_TABLES, INFLATE_TABLES + INFLATE_STATE_SIZE);
    // The workspace is everybody's.
    return this.#takeover ? InflateError.none : this.#flush(text, toCome);
  }

  /** Puts the state of the message under way back, and where no window is kept, its history: the overflow's end. */
  #restore(): void {
    const { memory } = this.#codec;
    memory.set(this.#parked as Buffer, INFLATE_TABLES);
    if (this.#takeover) return;
    const { buffer, length } = this.#overflow;
    const history = Math.min(length, this.#window);
    buffer.copy(memory, this.#base, length - history, length);
    this.#out = this.#base + history;
    this.#start = this.#out;
  }
}
