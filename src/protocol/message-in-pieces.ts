/**
 * A message that does not lie whole in one read: it comes in fragments (RFC 6455 §5.4), or its frame in several reads.
 * It gathers in the assembly; a compressed one (RFC 7692 §6.2) is inflated on the way there.
 */

import type { Codec } from '../codec/codec.js';
import { InflateError, Inflater } from '../codec/inflater.js';
import { FrameError, Kind, UTF8_INVALID, UTF8_MISSING, UTF8_NON_ASCII } from '../codec/layout.js';
import type { ProtocolError } from '../errors.js';
import { Assembly } from './assembly.js';
import { frameError, inflateError, noMemory, tooManyFragments } from './frame-error.js';
import type { Message } from './message.js';
import { FIN, OPCODE_MASK, Opcode, RSV1 } from './opcode.js';

/** Messages longer than this, in bytes, lie in a buffer that is the application's for the asking. */
export const LARGE_MESSAGE = 64 * 1024;

/** What permessage-deflate was negotiated for the server's messages (RFC 7692 §7.1). */
export interface Inflation {
  /** A block of the codec's windows, the receiver's from now on. */
  window: number;
  takeover: boolean;
  windowBits: number;
}

export interface ReceiverLimits {
  readonly maxMessageSize: number;
}

/** What the drop-in class asks for. */
export interface ReceiverOptions {
  /** False: text is not validated. */
  readonly validateUtf8: boolean;
  /** Most frames of one message. */
  readonly maxFragments: number;
}

export class MessageInPieces {
  readonly #codec: Codec;
  readonly #maxFragments: number;
  readonly #validates: boolean;
  readonly #assembly: Assembly;
  /** Where compression was negotiated. It serves whole messages as well: they share the window. */
  readonly inflater: Inflater | undefined;

  /** The message in progress, as `readFrames` has it: opcode, RSV1 above it (0: none), and the state of its UTF-8. */
  fragment = 0;
  utf8 = 0;
  /** What is wrong, after whatever adds to the message. */
  error: ProtocolError | undefined;

  /** The message that the assembly is for: opcode, RSV1 above it. And the long frame: first byte, what it lacks. */
  #opcode = 0;
  #frameFirstByte = 0;
  frameLeft = 0;

  /** The assembly holds a whole message, yet to be delivered; what it is, and when its last byte was read. */
  due = false;
  #dueKind: number = Kind.none;
  dueAt = 0;

  constructor(
    codec: Codec,
    { maxMessageSize }: ReceiverLimits,
    options: ReceiverOptions | undefined,
    inflation: Inflation | undefined,
  ) {
    this.#codec = codec;
    this.#maxFragments = options?.maxFragments ?? Number.POSITIVE_INFINITY;
    this.#validates = options?.validateUtf8 !== false;
    this.#assembly = new Assembly(maxMessageSize);
    if (inflation === undefined) return;
    this.inflater = new Inflater(codec, inflation.window, { ...inflation, maxMessageSize }, this.#assembly);
  }

  /** Bytes in the assembly. */
  get length(): number {
    return this.#assembly.length;
  }

  /** Notes from now on where the frames of a message end. */
  collectEnds(wanted: boolean): void {
    this.#assembly.ends = wanted ? [] : undefined;
  }

  /** Of the message being delivered; undefined when it came in one frame and one read. */
  get ends(): readonly number[] | undefined {
    return this.#assembly.length > 0 ? this.#assembly.ends : undefined;
  }

  /** What there is of it is dropped, and the window goes back. */
  release(): void {
    this.due = false;
    this.frameLeft = 0;
    this.#assembly.clear(false);
    this.inflater?.release();
  }

  // ------------------------------------------------------------------------------------------ adding to it

  /** A frame of a fragmented message, complete; text has been validated. */
  addFrame(firstByte: number, start: number, length: number, readAt: number): void {
    if (!this.#beginFrame(firstByte, length)) return;
    this.#add(start, start + length);
    // The UTF-8 state is that of the read's end, which may lie in a later message: whether this one is pure
    // ASCII is not known, only that it is valid.
    if (firstByte & FIN) this.#complete(UTF8_NON_ASCII, readAt);
  }

  /** A frame too long for a tail: [start, end) is what has arrived of its payload, validated. */
  beginLongFrame(firstByte: number, length: number, start: number, end: number): void {
    if (!this.#beginFrame(firstByte, length)) return;
    this.#frameFirstByte = firstByte;
    this.frameLeft = length - (end - start);
    this.#add(start, end);
  }

  /** More bytes of the long frame, in scratch. Returns where the next frame begins. */
  addToFrame(start: number, end: number, readAt: number): number {
    const stop = Math.min(end, start + this.frameLeft);
    if (this.#opcode === Opcode.text && this.#validates) {
      this.utf8 = this.#codec.validateUtf8(start, stop, this.utf8);
      if (this.utf8 === UTF8_INVALID) this.error = frameError(FrameError.invalidUtf8);
    }
    this.#add(start, stop);
    this.frameLeft -= stop - start;
    if (this.frameLeft === 0) this.#longFrameComplete(readAt);
    return stop;
  }

  /** The next reads had better land in the assembly: text and what is compressed have to pass through linear memory. */
  takesReads(atLeast: number): boolean {
    return this.frameLeft > atLeast && this.#opcode === Opcode.binary;
  }

  /** Where they are to land: the frame's last byte is not theirs, because its message calls the application. */
  readTarget(): Buffer {
    const { buffer, length } = this.#assembly;
    return buffer.subarray(length, length + this.frameLeft - 1);
  }

  landed(count: number): void {
    this.#assembly.length += count;
    this.frameLeft -= count;
  }

  /** False: the message has too many frames, or there is no memory for it. */
  #beginFrame(firstByte: number, length: number): boolean {
    const assembly = this.#assembly;
    if ((firstByte & OPCODE_MASK) !== Opcode.continuation) this.#opcode = firstByte & (RSV1 | OPCODE_MASK);
    if (++assembly.frames > this.#maxFragments) {
      this.error = tooManyFragments();
      return false;
    }
    // How long a compressed message becomes is seen when it is inflated.
    if (this.#isCompressed()) return true;
    if (!assembly.reserve(length, (firstByte & FIN) !== 0)) {
      this.error = noMemory(assembly.length + length);
      return false;
    }
    if (length > 0) assembly.ends?.push(assembly.length + length);
    return true;
  }

  #add(start: number, end: number): void {
    const { memory } = this.#codec;
    if (!this.#isCompressed()) this.#assembly.append(memory, start, end);
    else
      this.#check(
        this.inflater!.append(memory, start, end, this.#isTextToValidate(), this.#toCome(end - start)),
      );
  }

  /** How much more of a long frame's payload is known to follow. */
  #toCome(added: number): number {
    return Math.max(0, this.frameLeft - added);
  }

  #longFrameComplete(readAt: number): void {
    this.fragment = this.#opcode;
    if ((this.#frameFirstByte & FIN) === 0) return;
    if (this.#opcode === Opcode.text && this.utf8 & UTF8_MISSING)
      this.error ??= frameError(FrameError.invalidUtf8);
    this.fragment = 0;
    this.#complete(this.utf8, readAt);
  }

  #complete(utf8: number, readAt: number): void {
    if (this.error !== undefined) return;
    if (!this.#isCompressed()) {
      const isText = this.#opcode === Opcode.text;
      this.#becomesDue(isText ? (utf8 & UTF8_NON_ASCII ? Kind.text : Kind.asciiText) : Kind.binary, readAt);
      return;
    }
    const inflater = this.inflater!;
    // It may have to wait, and where it was inflated it cannot.
    if (this.#check(inflater.finish(this.#isTextToValidate())) && this.#check(inflater.keep()))
      this.#becomesDue(this.#inflatedKind, readAt);
  }

  #becomesDue(kind: number, readAt: number): void {
    this.due = true;
    this.#dueKind = kind;
    this.dueAt = readAt;
  }

  #isTextToValidate(): boolean {
    return (this.#opcode & OPCODE_MASK) === Opcode.text && this.#validates;
  }

  get #inflatedKind(): number {
    const isText = (this.#opcode & OPCODE_MASK) === Opcode.text;
    return isText && !this.#validates ? Kind.text : this.inflater!.kind;
  }

  #isCompressed(): boolean {
    return (this.#opcode & RSV1) !== 0;
  }

  #check(inflated: number): boolean {
    if (inflated === InflateError.none) return true;
    this.error =
      inflated === InflateError.noMemory ? noMemory(this.#assembly.length) : inflateError(inflated);
    return false;
  }

  // ---------------------------------------------------------------------------------------- handing it over

  /**
   * A compressed message in one frame. The cursor points at it where it was inflated, or it is due; false when it is
   * wrong.
   */
  inflate(opcode: number, start: number, end: number, message: Message, readAt: number): boolean {
    const inflater = this.inflater!;
    this.#opcode = opcode;
    if (!this.#check(inflater.inflate(start, end, this.#isTextToValidate()))) return false;
    if (inflater.buffer !== this.#codec.memory) this.#becomesDue(this.#inflatedKind, readAt);
    else message.point(this.#inflatedKind, inflater.offset, inflater.length);
    return true;
  }

  /** Points the cursor at the message that is due. */
  pointAt(message: Message): void {
    const { buffer, length } = this.#assembly;
    this.due = false;
    message.read(buffer, this.dueAt);
    message.pointElsewhere(this.#dueKind, buffer, length, length > LARGE_MESSAGE);
  }

  /** It has been handed over; `taken`: its buffer is the application's now. */
  delivered(taken: boolean): void {
    this.#assembly.clear(!taken);
  }
}
