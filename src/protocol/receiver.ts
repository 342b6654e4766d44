/**
 * The receiving side of RFC 6455 without a socket: bytes in, messages and control frames out.
 *
 * Who drives it asks `readTarget()` where the next read may land, and calls `received(n)` when n bytes have
 * landed there. A read is parsed where it lies, by one WASM call. What it leaves unfinished moves to memory of
 * this connection's own, because scratch belongs to whoever reads next:
 *
 *   tail       the start of a short frame, in a slab; put back in front of the next read
 *   assembly   a message in fragments, or the start of a longer frame; reads may land right in it
 *   backlog    bytes that arrived while delivery was paused
 */

import type { Codec } from '../codec/codec.js';
import {
  Entry,
  FrameError,
  Kind,
  READ_SIZE,
  READ_UNVALIDATED,
  Register,
  SCRATCH_READ,
  SLAB_SIZE,
} from '../codec/layout.js';
import type { ProtocolError } from '../errors.js';
import { rethrow, warnOfPromise } from './callback.js';
import { type CloseStatus, parseClosePayload } from './closing-handshake.js';
import { frameError } from './frame-error.js';
import { Message } from './message.js';
import {
  type Inflation,
  MessageInPieces,
  type ReceiverLimits,
  type ReceiverOptions,
} from './message-in-pieces.js';
import { CONTROL, FIN, OPCODE_MASK, Opcode, RSV1 } from './opcode.js';
import { Tail } from './tail.js';

/**
 * Where the start of a frame is kept. In a stream of frames it is a tail: copied out of scratch, and back in front of
 * the next read, which has the rest. Above `SLAB_SIZE`, and for a frame that takes more than two reads and is longer
 * than this, in bytes, it is the assembly, where every byte is copied once.
 */
const LONGEST_LINGERING_TAIL = 4 * 1024;
/** A tail is less than a whole frame: a header of up to 10 bytes and its payload. */
const LONGEST_TAIL = SLAB_SIZE - 10;

export type MessageListener<Owner> = (message: Message, owner: Owner) => unknown;

/**
 * What a receiver reports besides messages, to its owner. Payloads are views, valid during the call. One set of
 * functions serves all receivers, so that a connection costs no closures.
 */
export interface ReceiverEvents<Owner> {
  /** A Ping to be answered: called in order, before any message of the same read is delivered. */
  answerPing(owner: Owner, payload: Buffer): void;
  /** A Ping in its place among the messages. */
  onPing(owner: Owner, payload: Buffer): void;
  onPong(owner: Owner, payload: Buffer): void;
  /** The peer's Close frame. Nothing is reported after it. */
  onClose(owner: Owner, status: CloseStatus): void;
  /**
   * The peer broke the protocol. Nothing is reported after it. `evidence` is the frame's first two bytes, or what
   * stands in a Close frame for its status code.
   */
  onError(owner: Owner, error: ProtocolError, evidence: readonly number[]): void;
  /** A message is due and nobody listens: reading should stop. */
  onBlocked(owner: Owner): void;
  /** Everything that waited has been delivered: reading may go on. */
  onCaughtUp(owner: Owner): void;
}

/** Why nothing is delivered; several may hold at once. */
const PAUSED = 1;
const NO_LISTENER = 2;
/** There is no listener, and a message waits for one: reading has been stopped. */
const STARVED = 4;
const STOPPED = 8;
/** Without a listener alone, frames are still read: Pings are answered until a message is due. */
const HOLDING = PAUSED | STARVED | STOPPED;

const EMPTY = Buffer.alloc(0);

const DELIVERED = -1;

/** Of a frame's first byte: a whole message, and compressed. (RSV1 is refused on any frame but a message's first.) */
const COMPRESSED_MESSAGE = FIN | RSV1;

interface Held {
  bytes: Buffer;
  receivedAt: number;
}

/** Most connections never hold anything. */
const NOTHING_HELD: Held[] = [];

export class Receiver<Owner> {
  readonly #codec: Codec;
  readonly #owner: Owner;
  readonly #events: ReceiverEvents<Owner>;
  readonly #limits: ReceiverLimits;
  readonly #options: ReceiverOptions | undefined;
  readonly #mode: number;
  /** Made with the first message, as are tail and pieces: many connections are idle. */
  #cursor: Message | undefined;
  #onMessage: MessageListener<Owner> | undefined;

  #kept: Tail | undefined;
  #pieces: MessageInPieces | undefined;

  /** The read under way will land in the assembly. */
  #direct = false;
  /** The application may have been called since the last read. */
  #called = false;
  /** When the bytes being parsed were read. */
  #receivedAt = 0;
  #blocked = NO_LISTENER;
  #backlog: Held[] = NOTHING_HELD;
  #drainScheduled = false;
  /** Pings in bytes yet to be walked that have been answered already. */
  #answered = 0;

  constructor(
    codec: Codec,
    owner: Owner,
    events: ReceiverEvents<Owner>,
    limits: ReceiverLimits,
    options?: ReceiverOptions,
    inflation?: Inflation,
  ) {
    this.#codec = codec;
    this.#owner = owner;
    this.#events = events;
    this.#limits = limits;
    this.#options = options;
    this.#mode =
      (options?.validateUtf8 === false ? READ_UNVALIDATED : 0) | (inflation === undefined ? 0 : RSV1);
    if (inflation !== undefined) this.#pieces = new MessageInPieces(codec, limits, options, inflation);
  }

  get #message(): Message {
    this.#cursor ??= new Message(this.#codec.memory);
    return this.#cursor;
  }

  get #tail(): Tail {
    this.#kept ??= new Tail(this.#codec);
    return this.#kept;
  }

  get #inPieces(): MessageInPieces {
    this.#pieces ??= new MessageInPieces(this.#codec, this.#limits, this.#options, undefined);
    return this.#pieces;
  }

  // ---------------------------------------------------------------------------------------------- reading

  /**
   * Where the next bytes are to be written. The answer holds until the next `received()`: it is scratch, or memory
   * that this connection alone owns and that stays where it is (lease rule 1).
   *
   * Scratch is left, and returned to, only when the application was not called since the last read: if an exception
   * in one of its ticks ends the native read callback, Node forgets the new place and reads into the old one again.
   */
  readTarget(): Buffer {
    const { scratch, peek } = this.#codec;
    const pieces = this.#pieces;
    if (pieces === undefined) return scratch;
    const endsDirectFrame = this.#direct && pieces.frameLeft === 1;
    this.#direct = false;
    // The frame's last byte is read into scratch again, because its message calls the application.
    if (endsDirectFrame) return peek;
    if (!pieces.takesReads(READ_SIZE) || this.#backlog.length > 0) return scratch;
    if (this.#called) return peek;
    this.#direct = true;
    return pieces.readTarget();
  }

  /**
   * `count` bytes have been written to the last `readTarget()`; `receivedAt` is the time, as
   * `performance.now()` gives it. Ask for the next target afterwards.
   */
  received(count: number, receivedAt: number): void {
    this.#called = false;
    if (this.#stopped()) return;
    if (this.#direct) this.#pieces!.landed(count);
    else this.#accept(SCRATCH_READ, SCRATCH_READ + count, receivedAt);
  }

  /** Bytes that landed elsewhere: behind the response head, or in a stream that cannot read into our memory. */
  feed(bytes: Uint8Array, receivedAt: number): void {
    for (let at = 0; at < bytes.length && !this.#stopped(); at += READ_SIZE) {
      const piece = bytes.subarray(at, at + READ_SIZE);
      if (this.#mustWait()) {
        // Scratch may be in use: by a walk that this call came from.
        this.#hold(Buffer.from(piece), receivedAt);
      } else {
        this.#codec.scratch.set(piece);
        this.#accept(SCRATCH_READ, SCRATCH_READ + piece.length, receivedAt);
      }
    }
  }

  // ------------------------------------------------------------------------------------------------- flow

  get listener(): MessageListener<Owner> | undefined {
    return this.#onMessage;
  }

  /** Sets or removes the listener. Without one, messages wait. */
  listen(onMessage: MessageListener<Owner> | undefined): void {
    this.#onMessage = onMessage;
    if (onMessage === undefined) this.#blocked |= NO_LISTENER;
    else this.#unblock(NO_LISTENER | STARVED);
  }

  /** Nothing is delivered until `resume()`. What is read meanwhile is kept. */
  pause(): void {
    this.#blocked |= PAUSED;
  }

  /** Delivery goes on, never from within this call (lease rule 4). */
  resume(): void {
    this.#unblock(PAUSED);
  }

  get paused(): boolean {
    return (this.#blocked & PAUSED) !== 0;
  }

  /** Notes from now on where the frames of a message end. */
  collectFragments(wanted: boolean): void {
    if (wanted || this.#pieces !== undefined) this.#inPieces.collectEnds(wanted);
  }

  /** Of the message being delivered; undefined when it came in one frame and one read. */
  get fragmentEnds(): readonly number[] | undefined {
    return this.#pieces?.ends;
  }

  /** Bytes that were read and wait for delivery. */
  get heldBytes(): number {
    let total = this.#pieces?.due ? this.#pieces.length : 0;
    for (const { bytes } of this.#backlog) total += bytes.length;
    return total;
  }

  /** Nothing is delivered any more, and what is undelivered is discarded (lease rule 6). */
  stop(): void {
    this.#blocked |= STOPPED;
    this.#backlog = NOTHING_HELD;
    this.#kept?.release();
    this.#pieces?.release();
  }

  #unblock(reason: number): void {
    const held = this.#blocked & HOLDING;
    this.#blocked &= ~reason;
    if (held !== 0 && (this.#blocked & HOLDING) === 0) this.#scheduleDrain();
  }

  #stopped(): boolean {
    return (this.#blocked & STOPPED) !== 0;
  }

  #mustWait(): boolean {
    return (this.#blocked & HOLDING) !== 0 || this.#backlog.length > 0 || this.#codec.walking;
  }

  #hold(bytes: Buffer, receivedAt: number): void {
    if (this.#backlog === NOTHING_HELD) this.#backlog = [];
    this.#backlog.push({ bytes, receivedAt });
    if ((this.#blocked & HOLDING) === 0) this.#scheduleDrain();
  }

  #scheduleDrain(): void {
    if (this.#drainScheduled) return;
    this.#drainScheduled = true;
    process.nextTick(() => {
      this.#drainScheduled = false;
      this.#drain();
    });
  }

  /** Delivers what waited, in order, through scratch. */
  #drain(): void {
    const { scratch, memory } = this.#codec;
    // A message that is due but has nothing behind it is delivered by a walk over no bytes.
    const pieces = this.#pieces;
    if (pieces?.due && this.#backlog.length === 0) this.#hold(EMPTY, pieces.dueAt);
    while (this.#backlog.length > 0 && (this.#blocked & HOLDING) === 0) {
      const held = this.#backlog[0];
      const piece = held.bytes.subarray(0, READ_SIZE);
      const end = SCRATCH_READ + piece.length;
      scratch.set(piece);
      const rest = this.#parse(SCRATCH_READ, end, held.receivedAt);
      if (this.#stopped()) return;
      held.bytes = held.bytes.subarray(piece.length);
      if (rest < end) held.bytes = Buffer.concat([memory.subarray(rest, end), held.bytes]);
      if (held.bytes.length === 0) this.#backlog.shift();
    }
    if ((this.#blocked & HOLDING) === 0) this.#events.onCaughtUp(this.#owner);
  }

  // ---------------------------------------------------------------------------------------------- parsing

  /** Parses what has arrived in [start, end), or keeps it for later. */
  #accept(start: number, end: number, receivedAt: number): void {
    const rest = this.#mustWait() ? start : this.#parse(start, end, receivedAt);
    // Nothing unread stays in scratch (lease rule 2).
    if (rest < end) this.#hold(Buffer.from(this.#codec.memory.subarray(rest, end)), receivedAt);
  }

  /** Parses [start, end), which follows on what is kept. Returns where undelivered bytes begin; `end` for none. */
  #parse(start: number, end: number, receivedAt: number): number {
    this.#receivedAt = receivedAt;
    const pieces = this.#pieces;
    if (pieces !== undefined && pieces.frameLeft > 0) {
      start = pieces.addToFrame(start, end, receivedAt);
      if (!this.#checkPieces(pieces) || pieces.frameLeft > 0) return end;
    }
    const tail = this.#kept;
    if (tail !== undefined && tail.length > 0) start = tail.putBefore(start);
    this.#called = true;
    this.#codec.walking = true;
    try {
      return this.#walk(start, end, receivedAt);
    } finally {
      this.#codec.walking = false;
    }
  }

  /** One read, frame by frame. */
  #walk(start: number, end: number, receivedAt: number): number {
    const { registers, memory } = this.#codec;
    const pieces = this.#pieces;
    this.#codec.walks++;
    this.#codec.walkEnd = end;
    const count = this.#codec.readFrames(
      start,
      end,
      this.#mode,
      this.#limits.maxMessageSize,
      pieces === undefined ? 0 : pieces.length,
      pieces === undefined ? 0 : pieces.fragment,
      pieces === undefined ? 0 : pieces.utf8,
      this.#kept === undefined ? 0 : this.#kept.processed,
    );
    const lastMessage = registers[Register.lastMessage];
    if (registers[Register.controls] > 0) this.#answerPings(count);
    if (pieces?.due && !this.#deliverDue(pieces, lastMessage < 0)) return this.#waitAt(start, end);

    this.#message.read(memory, receivedAt);
    const next = this.#deliver(count, lastMessage);
    this.#message.expire();
    if (this.#stopped()) return end;
    if (next !== DELIVERED) return this.#waitAt(next === 0 ? start : next, end);
    this.#afterFrames(start, end);
    return end;
  }

  /** The frames of the table. Returns where delivery has to wait: `DELIVERED` for nowhere, 0 for the start of the read. */
  #deliver(count: number, lastMessage: number): number {
    let index = 0;
    while (true) {
      index = this.#deliverMessages(index, count, lastMessage);
      if (index === count) return DELIVERED;
      const next = this.#deliverOther(index, index === lastMessage);
      if (next !== DELIVERED) return next;
      index++;
    }
  }

  /**
   * Whole messages in a row, the common case, up to one that must wait or a frame of another kind, whose index is
   * returned. There is no call in this loop but the application's: the compiler inlines that one, and what it knows
   * of the objects then holds from one message to the next (bench: receive, 16 B).
   */
  #deliverMessages(first: number, count: number, lastMessage: number): number {
    const { frameTable } = this.#codec;
    const message = this.#message;
    let index = first;
    while (true) {
      try {
        for (; index < count; index++) {
          const word = frameTable[2 * index + 1];
          const kind = (word >> Entry.kindShift) & Entry.kindMask;
          if (kind === Kind.none || this.#blocked !== 0) return index;
          message.point(kind, frameTable[2 * index], word & Entry.lengthMask);
          if (index === lastMessage) message.markLast();
          const result = this.#onMessage!(message, this.#owner);
          if (result !== undefined) warnOfPromise(result);
        }
        return index;
      } catch (thrown) {
        rethrow(thrown);
        index++;
      }
    }
  }

  /** A message that must wait or is compressed, a control frame, or a fragment. */
  #deliverOther(index: number, last: boolean): number {
    const { frameTable, memory } = this.#codec;
    const message = this.#message;
    const payload = frameTable[2 * index];
    const word = frameTable[2 * index + 1];
    message.expire();
    if ((word >> Entry.kindShift) & Entry.kindMask) return this.#startOfFrame(index);
    if (this.#stopped()) return 0;

    const firstByte = word >>> Entry.firstByteShift;
    const length = word & Entry.lengthMask;
    if (firstByte & CONTROL) {
      this.#controlFrame(firstByte & OPCODE_MASK, payload, length);
    } else if ((firstByte & COMPRESSED_MESSAGE) === COMPRESSED_MESSAGE) {
      if (this.#blocked !== 0) return this.#startOfFrame(index);
      this.#deliverCompressed(firstByte & OPCODE_MASK, payload, length, last);
    } else {
      const pieces = this.#inPieces;
      pieces.addFrame(firstByte, payload, length, this.#receivedAt);
      if (this.#checkPieces(pieces) && pieces.due && !this.#deliverDue(pieces, last)) return payload + length;
    }
    message.read(memory, this.#receivedAt);
    return DELIVERED;
  }

  /** What stands behind the complete frames: nothing, a wrong byte, or a frame whose end is missing. */
  #afterFrames(start: number, end: number): void {
    // No callback can have started another walk, so the registers are still those of this one (lease rule 4).
    const { registers } = this.#codec;
    const fragment = registers[Register.fragment];
    const utf8 = registers[Register.utf8];
    if (this.#pieces !== undefined || (fragment | utf8) !== 0) {
      this.#inPieces.fragment = fragment;
      this.#inPieces.utf8 = utf8;
    }
    const error = registers[Register.error];
    if (error !== FrameError.none) {
      const at = registers[Register.consumed];
      this.#fail(frameError(error), this.#codec.memory[at], this.#codec.memory[at + 1]);
      return;
    }
    const at = registers[Register.consumed];
    const header = registers[Register.pendingHeader];
    const firstByte = registers[Register.pendingFirstByte];
    const length = registers[Register.pendingLength] >>> 0;
    const longest = at === start ? LONGEST_LINGERING_TAIL : LONGEST_TAIL;
    if (header > 0 && length > longest) {
      const pieces = this.#inPieces;
      pieces.beginLongFrame(firstByte, length, at + header, end);
      this.#kept?.release();
      this.#checkPieces(pieces);
    } else if (at < end || this.#kept !== undefined) this.#tail.keep(at, end, registers[Register.processed]);
  }

  #fail(error: ProtocolError, ...evidence: number[]): void {
    this.stop();
    this.#events.onError(this.#owner, error, evidence);
  }

  // --------------------------------------------------------------------------------------- control frames

  /** RFC 6455 §5.5.2: "as soon as is practical", so before the messages of the same read take their time. */
  #answerPings(count: number): void {
    const { frameTable, memory } = this.#codec;
    let seen = 0;
    for (let index = 0; index < count; index++) {
      const opcode = (frameTable[2 * index + 1] >>> Entry.firstByteShift) & OPCODE_MASK;
      if (opcode !== Opcode.ping) continue;
      seen++;
      if (seen <= this.#answered) continue;
      this.#events.answerPing(this.#owner, memory.subarray(frameTable[2 * index], this.#endOfFrame(index)));
    }
    this.#answered = Math.max(seen, this.#answered);
  }

  #controlFrame(opcode: number, start: number, length: number): void {
    const payload = this.#codec.memory.subarray(start, start + length);
    if (opcode === Opcode.ping) {
      this.#answered--;
      this.#events.onPing(this.#owner, payload);
    } else if (opcode === Opcode.pong) {
      this.#events.onPong(this.#owner, payload);
    } else {
      const status = parseClosePayload(payload, (this.#mode & READ_UNVALIDATED) === 0);
      if ('error' in status) {
        this.#fail(status.error, length < 2 ? length : payload.readUInt16BE(0));
      } else {
        this.stop();
        this.#events.onClose(this.#owner, status);
      }
    }
  }

  // ------------------------------------------------------------------------- what must wait for more bytes

  /**
   * Delivery stops at a message's border: what follows is parsed again when it goes on, or is discarded when it
   * never will. Returns where undelivered bytes begin.
   */
  #waitAt(rest: number, end: number): number {
    this.#cursor?.expire();
    if (this.#stopped()) return end;
    if ((this.#blocked & HOLDING) === 0) {
      this.#blocked |= STARVED;
      this.#events.onBlocked(this.#owner);
    }
    if (this.#pieces !== undefined) {
      this.#pieces.fragment = 0;
      this.#pieces.utf8 = 0;
    }
    this.#kept?.release();
    return rest;
  }

  /** Of a frame at which delivery stops; 0 stands for the read's start. */
  #startOfFrame(index: number): number {
    return index === 0 ? 0 : this.#endOfFrame(index - 1);
  }

  #endOfFrame(index: number): number {
    const { frameTable } = this.#codec;
    return frameTable[2 * index] + (frameTable[2 * index + 1] & Entry.lengthMask);
  }

  // ------------------------------------------------------------------------------- messages that are not whole

  /** Bytes have been added to the message in pieces: false when they are wrong. */
  #checkPieces({ error }: MessageInPieces): boolean {
    if (error !== undefined) this.#fail(error);
    return error === undefined;
  }

  /** Delivers the message in pieces; false when it has to wait. */
  #deliverDue(pieces: MessageInPieces, last: boolean): boolean {
    if (this.#blocked !== 0) return false;
    pieces.pointAt(this.#message);
    this.#handOver(last);
    pieces.delivered(this.#message.expire());
    return true;
  }

  /** A compressed message in one frame is inflated when it is delivered. */
  #deliverCompressed(opcode: number, start: number, length: number, last: boolean): void {
    const pieces = this.#inPieces;
    if (!pieces.inflate(opcode, start, start + length, this.#message, this.#receivedAt)) {
      this.#checkPieces(pieces);
    } else if (pieces.due) {
      this.#deliverDue(pieces, last);
    } else {
      this.#handOver(last);
      this.#message.expire();
    }
  }

  /** The cursor points at a message. */
  #handOver(last: boolean): void {
    if (last) this.#message.markLast();
    try {
      const result = this.#onMessage!(this.#message, this.#owner);
      if (result !== undefined) warnOfPromise(result);
    } catch (thrown) {
      rethrow(thrown);
    }
  }
}
