/**
 * What a connection sends, and when it leaves: the first frame of a tick at once; those that follow are joined
 * and leave, in one write, when the current callback and its microtasks are over. And how much may wait.
 */

import type { Codec } from './codec/codec.js';
import { type HeartwireError, UsageError } from './errors.js';
import type { ConnectionLimits } from './options.js';
import { Opcode } from './protocol/opcode.js';
import { frameSize, Sender } from './protocol/sender.js';
import { SendQueue } from './transport/send-queue.js';
import { atTickEnd } from './transport/tick.js';
import type { Transport } from './transport/transport.js';

/** Above this many unsent bytes only the latest of the peer's Pings is answered (RFC 6455 §5.5.3 allows it). */
const PONG_BACKLOG = 64 * 1024;

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

  pongsSkipped = 0;
  /** `performance.now()` of the last write. */
  sentAt = performance.now();

  constructor(
    codec: Codec,
    transport: Transport,
    limits: ConnectionLimits,
    onDrain: () => void,
    maskingKey?: () => number,
  ) {
    this.#limits = limits;
    this.#onDrain = onDrain;
    this.#queue = new SendQueue<Outbound>(
      codec,
      transport.socket,
      transport.carrier === 'tcp',
      Outbound.#onProgress,
      this,
      transport.carrier !== 'foreign',
    );
    this.#sender = new Sender(codec, this.#queue, maskingKey);
  }

  /** Bytes of frames that have not been handed to the kernel, and those that have. */
  get buffered(): number {
    return this.#sender.unflushed + this.#queue.pending;
  }

  get sent(): number {
    return this.#queue.sent;
  }

  /**
   * False: accepted, but more than `highWaterMark` bytes wait.
   * @throws UsageError `ERR_SEND_BUFFER_FULL`, `ERR_FRAGMENT_TYPE`: nothing was queued
   */
  message(payload: string | Uint8Array, isText: boolean, fin: boolean, masked?: boolean): boolean {
    const { maxBufferedAmount, highWaterMark } = this.#limits;
    if (this.buffered + frameSize(payload.length * 3) > maxBufferedAmount && !this.hasRoom(payload)) {
      throw this.#tooMuch(payload);
    }
    this.#sender.message(payload, isText, fin, masked);
    this.#composed();
    if (this.buffered <= highWaterMark) return true;
    this.#drainWanted = true;
    return false;
  }

  /** A message sent in fragments lacks its last one. */
  get unfinished(): boolean {
    return this.#sender.unfinished;
  }

  /** False: sent now, it would exceed `maxBufferedAmount`. */
  hasRoom(payload: string | Uint8Array): boolean {
    const size = frameSize(typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length);
    return this.buffered + size <= this.#limits.maxBufferedAmount;
  }

  /** Ping or Close: at most 125 bytes, whatever waits. */
  control(opcode: number, payload: Uint8Array, masked?: boolean): void {
    this.#sender.control(opcode, payload, masked);
    this.#composed();
  }

  /** Echoes a Ping's payload; when the peer does not read, only the latest one waits. */
  pong(payload: Buffer): void {
    if (this.buffered <= PONG_BACKLOG) {
      this.control(Opcode.pong, payload);
      return;
    }
    if (this.#latePong !== undefined) this.pongsSkipped++;
    this.#latePong = Buffer.from(payload);
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
    this.#sender.release();
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
    this.#sender.flush();
    this.sentAt = performance.now();
    if (this.#drainWanted || this.#flushWaiters !== undefined) Outbound.#onProgress(this);
  }

  /** Bytes have been handed to the kernel. */
  static #onProgress(outbound: Outbound): void {
    const waiters = outbound.#flushWaiters;
    while (waiters !== undefined && waiters.length > 0 && waiters[0].target <= outbound.sent)
      waiters.shift()!.done();

    if (outbound.#latePong !== undefined && outbound.buffered <= PONG_BACKLOG) {
      const payload = outbound.#latePong;
      outbound.#latePong = undefined;
      outbound.control(Opcode.pong, payload);
    }
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
