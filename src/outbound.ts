/**
 * What a connection sends, and when it leaves: the first frame of a tick at once; those that follow are joined
 * and leave, in one write, when the current callback and its microtasks are over. And how much may wait.
 */

import type { Codec } from './codec/codec.js';
import type { DeflaterOptions } from './codec/deflater.js';
import { type HeartwireError, UsageError } from './errors.js';
import type { ConnectionLimits } from './options.js';
import { Opcode } from './protocol/opcode.js';
import { frameSize, Sender } from './protocol/sender.js';
import { SendQueue } from './transport/send-queue.js';
import { atTickEnd } from './transport/tick.js';
import type { Transport } from './transport/transport.js';

/**
 * Above this many unsent bytes one Pong at a time waits among them, and of the Pings that come meanwhile only the
 * latest is answered (RFC 6455 §5.5.3 allows it).
 */
const PONG_BACKLOG = 64 * 1024;

/** What permessage-deflate was negotiated for our messages, and which of them are compressed unasked. */
export interface Deflation extends DeflaterOptions {
  threshold: number;
}

export interface OutboundOptions {
  readonly deflation?: Deflation | undefined;
  readonly maskingKey?: (() => number) | undefined;
}

interface FlushWaiter {
  target: number;
  done: (error?: Error) => void;
}

export class Outbound {
  readonly #limits: ConnectionLimits;
  readonly #onDrain: () => void;
  readonly #sender: Sender;
  readonly #queue: SendQueue<Outbound>;

  /** The first frame of this tick has gone out. */
  #joining = false;
  #corks = 0;
  #drainWanted = false;
  #flushWaiters: FlushWaiter[] | undefined;
  /** The latest Ping that could not be answered yet. */
  #latePong: Buffer | undefined;
  /** Where the last Pong ends in the stream of bytes sent. */
  #pongEnd = 0;

  pongsSkipped = 0;
  /** `performance.now()` of the last write. */
  sentAt = performance.now();

  /** From this length on messages are compressed, where that was negotiated. */
  readonly #threshold: number;

  constructor(
    codec: Codec,
    transport: Transport,
    limits: ConnectionLimits,
    onDrain: () => void,
    { deflation, maskingKey }: OutboundOptions = {},
  ) {
    this.#limits = limits;
    this.#threshold = deflation?.threshold ?? Number.POSITIVE_INFINITY;
    this.#onDrain = onDrain;
    this.#queue = new SendQueue<Outbound>(
      codec,
      transport.socket,
      transport.carrier === 'tcp',
      Outbound.#onProgress,
      this,
      transport.carrier !== 'foreign',
    );
    this.#sender = new Sender(codec, this.#queue, { deflation, maskingKey });
  }

  /** Bytes of frames that have not been handed to the kernel, and those that have. */
  get buffered(): number {
    return this.#sender.unflushed + this.#queue.pending;
  }

  get sent(): number {
    return this.#queue.sent;
  }

  /**
   * False: accepted, but more than `highWaterMark` bytes wait. `compress` undefined: messages, or first fragments, of
   * `threshold` bytes and more are compressed.
   * @throws UsageError `ERR_SEND_BUFFER_FULL`, `ERR_FRAGMENT_TYPE`: nothing was queued
   */
  message(
    payload: string | Uint8Array,
    isText: boolean,
    fin: boolean,
    compress: boolean | undefined,
    masked?: boolean,
  ): boolean {
    const { maxBufferedAmount, highWaterMark } = this.#limits;
    if (this.buffered + frameSize(payload.length * 3) > maxBufferedAmount && !this.hasRoom(payload)) {
      throw this.#tooMuch(payload);
    }
    this.#sender.message(payload, isText, fin, compress ?? this.#isLong(payload), masked);
    this.#composed();
    if (this.buffered <= highWaterMark) return true;
    this.#drainWanted = true;
    return false;
  }

  #isLong(payload: string | Uint8Array): boolean {
    if (payload.length >= this.#threshold) return true;
    if (typeof payload !== 'string' || payload.length * 3 < this.#threshold) return false;
    return Buffer.byteLength(payload) >= this.#threshold;
  }

  /** A message sent in fragments lacks its last one. */
  get unfinished(): boolean {
    return this.#sender.unfinished;
  }

  /**
   * False: sent now, it would exceed `maxBufferedAmount`. Where nothing waits a message's header is not counted: one
   * of as many bytes as the limit can be sent.
   */
  hasRoom(payload: string | Uint8Array): boolean {
    const size = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;
    const { buffered } = this;
    return (buffered === 0 ? size : buffered + frameSize(size)) <= this.#limits.maxBufferedAmount;
  }

  /** Ping or Close: at most 125 bytes, whatever waits. */
  control(opcode: number, payload: Uint8Array, masked?: boolean): void {
    this.#sender.control(opcode, payload, masked);
    this.#composed();
  }

  /** Echoes a Ping's payload, behind what has been sent before; see `PONG_BACKLOG`. */
  pong(payload: Buffer): void {
    if (this.#latePong !== undefined) this.pongsSkipped++;
    if (this.#mayPong) this.#pong(payload);
    else this.#latePong = Buffer.from(payload);
  }

  get #mayPong(): boolean {
    return this.buffered <= PONG_BACKLOG || this.sent >= this.#pongEnd;
  }

  #pong(payload: Buffer): void {
    this.#latePong = undefined;
    this.control(Opcode.pong, payload);
    this.#pongEnd = this.sent + this.buffered;
  }

  /** No Pong follows a Close frame. */
  forgetPong(): void {
    this.#latePong = undefined;
  }

  cork(body: () => void): void {
    this.#corks++;
    try {
      body();
    } finally {
      this.#corks--;
      if (this.#corks === 0) this.writeNow();
    }
  }

  /** Frames sent later in this tick are joined behind these. */
  writeNow(): void {
    if (!this.#joining) {
      this.#joining = true;
      atTickEnd(Outbound.#onTickEnd, this);
    }
    this.#flush();
  }

  /** Resolves when all that has been sent is with the kernel. */
  flushed(): Promise<void> {
    if (this.buffered === 0) return Promise.resolve();
    return new Promise<void>((resolve, reject) => {
      this.whenFlushed((error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  /** Calls `done`, never from within this call, when all that has been sent is with the kernel, or nothing more will. */
  whenFlushed(done: (error?: Error) => void): void {
    if (this.buffered === 0) process.nextTick(done);
    else {
      this.#flushWaiters ??= [];
      this.#flushWaiters.push({ target: this.sent + this.buffered, done });
    }
  }

  /** Nothing more will leave. */
  end(error: () => HeartwireError): void {
    this.#sender.end();
    const waiters = this.#flushWaiters;
    this.#flushWaiters = undefined;
    for (const waiter of waiters ?? []) waiter.done(error());
  }

  /** A frame has been added to the sender's block. */
  #composed(): void {
    if (!this.#joining && this.#corks === 0) this.writeNow();
  }

  static #onTickEnd(outbound: Outbound): void {
    outbound.#joining = false;
    outbound.#flush();
    // An idle connection holds no memory to send from.
    outbound.#sender.release();
  }

  #flush(): void {
    if (this.#sender.unflushed === 0) return;
    // Before the write: on the loopback the answer may be under way when it returns.
    this.sentAt = performance.now();
    this.#sender.flush();
    if (this.#drainWanted || this.#flushWaiters !== undefined) Outbound.#onProgress(this);
  }

  /** Bytes have been handed to the kernel. */
  static #onProgress(outbound: Outbound): void {
    const waiters = outbound.#flushWaiters;
    while (waiters !== undefined && waiters.length > 0 && waiters[0].target <= outbound.sent)
      waiters.shift()!.done();

    if (outbound.#latePong !== undefined && outbound.#mayPong) outbound.#pong(outbound.#latePong);
    if (outbound.#drainWanted && outbound.buffered <= outbound.#limits.highWaterMark / 2) {
      outbound.#drainWanted = false;
      outbound.#onDrain();
    }
  }

  #tooMuch(payload: string | Uint8Array): UsageError {
    const size = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;
    return new UsageError(
      'ERR_SEND_BUFFER_FULL',
      `${size} bytes were not sent: with ${this.buffered} bytes buffered already they would exceed ` +
        `maxBufferedAmount (${this.#limits.maxBufferedAmount} bytes)`,
    );
  }
}
