/**
 * The message cursor: one per connection, pointed at each message in turn. Reading a message through it
 * allocates nothing until a view, a string or a copy is asked for.
 */

import { Kind } from '../codec/layout.js';
import { UsageError } from '../errors.js';

/** Node's own decoders without the argument checks; the documented `toString` costs a fifth more. */
interface FastDecoders {
  latin1Slice?(start: number, end: number): string;
  utf8Slice?(start: number, end: number): string;
}

const prototype = Buffer.prototype as Buffer & FastDecoders;
const latin1: (this: Buffer, start: number, end: number) => string =
  prototype.latin1Slice ??
  function (start, end) {
    return this.toString('latin1', start, end);
  };
const utf8: (this: Buffer, start: number, end: number) => string =
  prototype.utf8Slice ??
  function (start, end) {
    return this.toString('utf8', start, end);
  };

/**
 * One received message, valid until the `onMessage` callback it was given to returns. Whatever is asked of it
 * later throws a `UsageError` with code `ERR_MESSAGE_EXPIRED` (unless the connection delivers its next message
 * just then: keep what `text()`, `json()` or `copy()` returned, never the cursor).
 */
export class Message {
  // TypeScript's private, not `#`: a private name takes twice the bytecode, and with it the getters no longer fit
  // into the compiler's budget for inlining beside the application's callback (bench: receive, 16 B, after all other
  // tcp workloads: 22 ns a message with private names, 17 without).

  /** One of `Kind`; none, which is 0, when expired. */
  private kind: number = Kind.none;
  private memory: Buffer;
  private offset = 0;
  private length = 0;
  private readAt = 0;
  private last = false;
  /** A large message lies in a buffer of its own; when the application takes it, it is not used again. */
  private own = false;
  private taken = false;

  /** @internal */
  constructor(buffer: Buffer) {
    this.memory = buffer;
  }

  /** True for a text message (opcode 1), false for a binary one (opcode 2). */
  get isText(): boolean {
    if (!this.kind) throw expired();
    return this.kind !== Kind.binary;
  }

  /** Length of the message in bytes. */
  get byteLength(): number {
    if (!this.kind) throw expired();
    return this.length;
  }

  /** The memory the message lies in, from `byteOffset` for `byteLength` bytes. Reading there allocates nothing. */
  get buffer(): Buffer {
    if (!this.kind) throw expired();
    return this.memory;
  }

  get byteOffset(): number {
    if (!this.kind) throw expired();
    return this.offset;
  }

  /**
   * A view of the message, made on asking. Small messages (up to 64 KiB) lie in memory that the next read
   * overwrites: use it before the callback returns, or take a `copy()`. A larger message lies in a buffer of
   * its own, and asking for its `bytes` makes it the application's to keep.
   */
  get bytes(): Uint8Array {
    if (!this.kind) throw expired();
    this.taken = true;
    return this.memory.subarray(this.offset, this.offset + this.length);
  }

  /** The message as a string: UTF-8, validated on the way in. For a binary message, invalid bytes become U+FFFD. */
  text(): string {
    const kind = this.kind;
    if (kind === Kind.asciiText) return latin1.call(this.memory, this.offset, this.offset + this.length);
    if (kind === Kind.none) throw expired();
    return utf8.call(this.memory, this.offset, this.offset + this.length);
  }

  /**
   * The message parsed as JSON.
   * @throws SyntaxError when it is not JSON
   */
  json(): unknown {
    return JSON.parse(this.text());
  }

  /** The message in a Buffer that is the application's to keep. Large messages are handed over, not copied. */
  copy(): Buffer {
    if (!this.kind) throw expired();
    const end = this.offset + this.length;
    if (this.own) {
      this.taken = true;
      return this.memory.subarray(this.offset, end);
    }
    const copy = Buffer.allocUnsafe(this.length);
    this.memory.copy(copy, 0, this.offset, end);
    return copy;
  }

  /** When the read that completed the message returned: `performance.now()`, in ms. */
  get receivedAt(): number {
    if (!this.kind) throw expired();
    return this.readAt;
  }

  /** True when no further message came with the same read: the moment to act on a batch. */
  get isLastInRead(): boolean {
    if (!this.kind) throw expired();
    return this.last;
  }

  /** @internal The read whose messages follow: the memory it is in, and when it returned. */
  read(memory: Buffer, receivedAt: number): void {
    this.memory = memory;
    this.readAt = receivedAt;
    this.last = false;
    this.own = false;
  }

  /** @internal A message in the memory that `read` named. */
  point(kind: number, offset: number, length: number): void {
    this.kind = kind;
    this.offset = offset;
    this.length = length;
  }

  /** @internal A message at the start of another buffer; `own`: one that the application may take. */
  pointElsewhere(kind: number, buffer: Buffer, length: number, own: boolean): void {
    this.point(kind, 0, length);
    this.memory = buffer;
    this.own = own;
    this.taken = false;
  }

  /** @internal No message follows in this read. */
  markLast(): void {
    this.last = true;
  }

  /** @internal The callback has returned. Says whether the application took the message's own buffer. */
  expire(): boolean {
    this.kind = Kind.none;
    return this.own && this.taken;
  }
}

function expired(): UsageError {
  return new UsageError(
    'ERR_MESSAGE_EXPIRED',
    'A message is valid only until its onMessage callback returns: keep text(), json() or copy(), not the message',
  );
}
