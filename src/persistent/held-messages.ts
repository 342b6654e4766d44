/**
 * Messages that were sent with `whenDown: 'queue'` while nothing could be sent: kept in order, no more than so many,
 * none longer than its time to live. They wait for the next connection that is authenticated, and are sent once;
 * what is given up is told, never forgotten.
 */

import { HeartwireError } from '../errors.js';
import type { SendOptions } from '../options.js';
import { type Payload, payloadBytes } from '../protocol/payload.js';
import type { Clock } from './clock.js';

export interface HeldLimits {
  /** Default 1_000 messages. */
  maxMessages?: number;
  /** Default 1 MiB. */
  maxBytes?: number;
  /** ms. Default 30_000. */
  timeToLive?: number;
}

export interface HeldMessage {
  readonly data: Payload;
  readonly options: SendOptions | undefined;
  /** The key of the outcome tracker, if it was given. */
  readonly key: string | undefined;
}

interface Held extends HeldMessage {
  readonly bytes: number;
  readonly expiresAt: number;
}

export class HeldMessages {
  readonly #clock: Clock;
  readonly #limits: Required<HeldLimits>;
  readonly #onDropped: (message: HeldMessage, error: HeartwireError) => void;
  #messages: Held[] = [];
  #bytes = 0;
  #cancelTimer: (() => void) | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  constructor(
    clock: Clock,
    { maxMessages = 1_000, maxBytes = 1024 * 1024, timeToLive = 30_000 }: HeldLimits,
    onDropped: (message: HeldMessage, error: HeartwireError) => void,
  ) {
    this.#clock = clock;
    this.#limits = { maxMessages, maxBytes, timeToLive };
    this.#onDropped = onDropped;
  }

  get length(): number {
    return this.#messages.length;
  }

  has(key: string): boolean {
    return this.#messages.some((held) => held.key === key);
  }

  /**
   * Keeps a copy of `data`.
   * @throws HeartwireError `ERR_SEND_QUEUE_FULL`: it was not kept
   */
  push(
    data: Payload,
    options: SendOptions | undefined,
    key: string | undefined,
    timeToLive: number = this.#limits.timeToLive,
  ): void {
    const bytes = typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength;
    const { maxMessages, maxBytes } = this.#limits;
    if (this.#messages.length >= maxMessages || this.#bytes + bytes > maxBytes) {
      throw new HeartwireError(
        'ERR_SEND_QUEUE_FULL',
        `The message was not queued: ${this.#messages.length} messages of ${this.#bytes} bytes wait already`,
      );
    }
    const expiresAt = this.#clock.now() + timeToLive;
    const copy = typeof data === 'string' ? data : Buffer.from(payloadBytes(data));
    this.#messages.push({ data: copy, options, key, bytes, expiresAt });
    this.#bytes += bytes;
    this.#schedule(expiresAt);
  }

  /** The oldest, which is to be sent now. */
  shift(): HeldMessage | undefined {
    this.#expire();
    const first = this.#messages.shift();
    if (first !== undefined) this.#bytes -= first.bytes;
    return first;
  }

  /** It was not sent after all. */
  unshift(message: HeldMessage): void {
    const held = message as Held;
    this.#messages.unshift(held);
    this.#bytes += held.bytes;
  }

  /** Gives up what waits. */
  dropAll(reason: string): void {
    this.#cancelTimer?.();
    this.#timerAt = Number.POSITIVE_INFINITY;
    const messages = this.#messages;
    this.#messages = [];
    this.#bytes = 0;
    for (const message of messages) {
      this.#onDropped(message, new HeartwireError('ERR_NOT_READY', `Not sent: ${reason}`));
    }
  }

  #schedule(expiresAt: number): void {
    if (expiresAt >= this.#timerAt) return;
    this.#cancelTimer?.();
    this.#timerAt = expiresAt;
    this.#cancelTimer = this.#clock.after(Math.max(0, expiresAt - this.#clock.now()), () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#expire();
      if (this.#messages.length > 0)
        this.#schedule(Math.min(...this.#messages.map((held) => held.expiresAt)));
    });
  }

  #expire(): void {
    const now = this.#clock.now();
    if (!this.#messages.some(({ expiresAt }) => expiresAt <= now)) return;
    const expired = this.#messages.filter(({ expiresAt }) => expiresAt <= now);
    this.#messages = this.#messages.filter(({ expiresAt }) => expiresAt > now);
    for (const message of expired) {
      this.#bytes -= message.bytes;
      const error = new HeartwireError('ERR_SEND_EXPIRED', 'Not sent: its time to live was over');
      this.#onDropped(message, error);
    }
  }
}
