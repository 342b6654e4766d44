/**
 * A message that does not lie whole in one read: it comes in fragments (RFC 6455 §5.4), or its frame in several reads.
 * It gathers in the assembly; a compressed one (RFC 7692 §6.2) is inflated on the way there.
 */

import type { Codec } from '../codec/codec.js';
import { InflateError, Inflater } from '../codec/inflater.js';
import { FrameError, Kind, UTF8_INVALID, UTF8_MISSING, UTF8_NON_ASCII } from '../codec/layout.js';
import type { ProtocolError } from '../errors.js';
import { Assembly } from './assembly.js';
import { frameError, inflateError } from './frame-error.js';
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

export class MessageInPieces {
  readonly #codec: Codec;
  readonly #assembly = new Assembly();
  /** Where compression was negotiated. It serves whole messages as well: they share the window. */
  readonly inflater: Inflater | undefined;

  /** The message in progress, as `readFrames` has it: opcode, RSV1 above it (0: none), and the state of its UTF-8. */
  fragment = 0;
  utf8 = 0;
  /** When the bytes that are being added were read. */
  readAt = 0;
  /** What is wrong, after whatever adds to the message. */
  error: ProtocolError | undefined;

  /** The message that the assembly is for: opcode, RSV1 above it. And the long frame: first byte, what it lacks. */
  #opcode = 0;
  #frameFirstByte = 0;
  frameLeft = 0;

  /** The assembly holds a whole message, yet to be delivered; what it is, and when its last byte was read. */
  due = false;
  #dueKind: number = Kind.none;
  #dueAt = 0;

  constructor(codec: Codec, maxMessageSize: number, inflation: Inflation | undefined) {
    this.#codec = codec;
    if (inflation === undefined) return;
    const options = { ...inflation, maxMessageSize };
    this.inflater = new Inflater(codec, inflation.window, options, this.#assembly);
  }

  /** Bytes in the assembly. */
  get length(): number {
    return this.#assembly.length;
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
  addFrame(firstByte: number, start: number, length: number): void {
    this.#beginFrame(firstByte, length);
    this.#add(start, start + length);
    // The UTF-8 state is that of the read's end, which may lie in a later message: whether this one is pure
    // ASCII is not known, only that it is valid.
    if (firstByte & FIN) this.#complete(UTF8_NON_ASCII);
  }

  /** A frame too long for a tail: [start, end) is what has arrived of its payload, validated. */
  beginLongFrame(firstByte: number, length: number, start: number, end: number): void {
    this.#beginFrame(firstByte, length);
    this.#frameFirstByte = firstByte;
    this.frameLeft = length - (end - start);
    this.#add(start, end);
  }

  /** More bytes of the long frame, in scratch. Returns where the next frame begins. */
  addToFrame(start: number, end: number): number {
    const stop = Math.min(end, start + this.frameLeft);
    if (this.#opcode === Opcode.text) {
      this.utf8 = this.#codec.validateUtf8(start, stop, this.utf8);
      if (this.utf8 === UTF8_INVALID) this.error = frameError(FrameError.invalidUtf8);
    }
    this.#add(start, stop);
    this.frameLeft -= stop - start;
    if (this.frameLeft === 0) this.#longFrameComplete();
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

  #beginFrame(firstByte: number, length: number): void {
    if ((firstByte & OPCODE_MASK) !== Opcode.continuation) this.#opcode = firstByte & (RSV1 | OPCODE_MASK);
    if (!this.#isCompressed()) this.#assembly.reserve(length, (firstByte & FIN) !== 0);
  }

  #add(start: number, end: number): void {
    const { memory } = this.#codec;
    if (!this.#isCompressed()) this.#assembly.append(memory, start, end);
    else this.#check(this.inflater!.append(memory, start, end, this.#isText()));
  }

  #longFrameComplete(): void {
    this.fragment = this.#opcode;
    if ((this.#frameFirstByte & FIN) === 0) return;
    if (this.#opcode === Opcode.text && this.utf8 & UTF8_MISSING)
      this.error ??= frameError(FrameError.invalidUtf8);
    this.fragment = 0;
    this.#complete(this.utf8);
  }

  #complete(utf8: number): void {
    if (this.error !== undefined) return;
    if (!this.#isCompressed()) {
      this.#becomesDue(this.#isText() ? (utf8 & UTF8_NON_ASCII ? Kind.text : Kind.asciiText) : Kind.binary);
    } else if (this.#check(this.inflater!.finish(this.#isText()))) {
      // It may have to wait, and where it was inflated it cannot.
      this.inflater!.keep();
      this.#becomesDue(this.inflater!.kind);
    }
  }

  #becomesDue(kind: number): void {
    this.due = true;
    this.#dueKind = kind;
    this.#dueAt = this.readAt;
  }

  #isText(): boolean {
    return (this.#opcode & OPCODE_MASK) === Opcode.text;
  }

  #isCompressed(): boolean {
    return (this.#opcode & RSV1) !== 0;
  }

  #check(inflated: number): boolean {
    if (inflated !== InflateError.none) this.error = inflateError(inflated);
    return inflated === InflateError.none;
  }

  // ---------------------------------------------------------------------------------------- handing it over

  /** A compressed message in one frame. It lies where the inflater says, or it is due; false when it is wrong. */
  inflate(start: number, end: number, isText: boolean): boolean {
    const inflater = this.inflater!;
    if (!this.#check(inflater.inflate(start, end, isText))) return false;
    if (inflater.buffer !== this.#codec.memory) this.#becomesDue(inflater.kind);
    return true;
  }

  /** Points the cursor at the message that is due. */
  pointAt(message: Message): void {
    const { buffer, length } = this.#assembly;
    this.due = false;
    message.read(buffer, this.#dueAt);
    message.pointElsewhere(this.#dueKind, buffer, length, length > LARGE_MESSAGE);
  }

  /** It has been handed over; `taken`: its buffer is the application's now. */
  delivered(taken: boolean): void {
    this.#assembly.clear(!taken);
  }
}
