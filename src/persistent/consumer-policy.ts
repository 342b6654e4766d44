/**
 * What waits between the socket and a loop, and what happens when the loop does not keep up. It is bounded in any
 * case; what is given up is counted, and told as a gap when the loop comes to where it was.
 */

import { UsageError } from '../errors.js';
import type { KeptMessage } from '../message-queue.js';
import type { WaitOptions } from '../options.js';
import type { Message } from '../protocol/message.js';
import type { GapBound } from './gap.js';
import type { SequenceMark } from './sequence.js';

export type WhenFull =
  /** Reading stops, for all channels, until half of it has been taken. Nothing is lost. */
  | 'pause'
  /** Of the messages that wait, only the latest of each key is kept. */
  | 'conflate'
  /** The oldest message makes room for the newest. */
  | 'drop-oldest'
  /** The connection is given up, as `slow-consumer`, and the next one not read from until half has been taken. */
  | 'disconnect';

export interface ConsumerOptions extends WaitOptions {
  /** Default `'pause'`. */
  whenFull?: WhenFull;
  /**
   * For `'conflate'`, from the first message that waits on: the key of a message. One that has the same key as one that
   * waits takes its place; undefined: it replaces none. With more keys than there is room for, the oldest is dropped.
   */
  conflateBy?: (message: Message) => string | number | undefined;
  /** Messages that may wait. Default 1_024. */
  maxMessages?: number;
  /** Bytes that may wait; one message may exceed it. Default 1 MiB. */
  maxBytes?: number;
}

/** How a loop keeps up. */
export interface ConsumerStats {
  /** undefined: all channels. */
  readonly channel: string | undefined;
  readonly whenFull: WhenFull;
  readonly waiting: number;
  readonly bytes: number;
  /** Messages that a later one of the same key has replaced. */
  readonly conflated: number;
  /** Messages that were dropped, and told as gaps. */
  readonly dropped: number;
  /** ms since the oldest message that waits was read; 0: none waits. */
  readonly lag: number;
  /** The longest that a message has waited, in ms. */
  readonly longestLag: number;
}

interface Waiting extends KeptMessage {
  readonly key: string | number | undefined;
  readonly mark: SequenceMark | undefined;
}

/** Taken messages stay in the array until there are so many of them. */
const COMPACT_AFTER = 1_024;

export class ConsumerQueue {
  readonly whenFull: WhenFull;
  readonly channel: string | undefined;
  readonly #options: Required<Pick<ConsumerOptions, 'maxBytes' | 'maxMessages'>> & ConsumerOptions;
  readonly #onDropped: (before: GapBound | undefined, after: GapBound | undefined, missed: number) => void;
  #waiting: (Waiting | undefined)[] = [];
  #head = 0;
  /** Where the message with a key waits, counted from the first there ever was. */
  readonly #places = new Map<string | number, number>();
  #taken = 0;
  #bytes = 0;
  #conflated = 0;
  #dropped = 0;
  #longestLag = 0;
  #last: GapBound | undefined;
  /** Dropped since the last message was taken. */
  #missed = 0;

  /** @throws UsageError `ERR_INVALID_OPTION` */
  constructor(
    channel: string | undefined,
    options: ConsumerOptions,
    onDropped: (before: GapBound | undefined, after: GapBound | undefined, missed: number) => void,
  ) {
    const { conflateBy, maxBytes = 1024 * 1024, maxMessages = 1_024, whenFull = 'pause' } = options;
    if ((whenFull === 'conflate') !== (conflateBy !== undefined))
      throw new UsageError('ERR_INVALID_OPTION', "`whenFull: 'conflate'` and `conflateBy` need each other");
    this.channel = channel;
    this.whenFull = whenFull;
    this.#options = { ...options, maxBytes, maxMessages };
    this.#onDropped = onDropped;
  }

  get length(): number {
    return this.#waiting.length - this.#head;
  }

  get isFull(): boolean {
    return this.length >= this.#options.maxMessages || this.#bytes >= this.#options.maxBytes;
  }

  /** So much has been taken that more should be read. */
  get hasRoom(): boolean {
    return this.length <= this.#options.maxMessages / 2 && this.#bytes <= this.#options.maxBytes / 2;
  }

  /** `message` is the one that `kept` is a copy of, for `conflateBy`. */
  push(message: Message, kept: KeptMessage, mark: SequenceMark | undefined): void {
    const key = this.#options.conflateBy?.(message);
    const { isText, data, receivedAt } = kept;
    const waiting: Waiting = { isText, data, receivedAt, key, mark };
    this.#bytes += data.length;
    const place = key === undefined ? undefined : this.#places.get(key);
    if (place !== undefined) {
      const index = place - this.#taken + this.#head;
      this.#bytes -= this.#waiting[index]!.data.length;
      this.#waiting[index] = waiting;
      this.#conflated++;
      return;
    }
    if (key !== undefined) this.#places.set(key, this.#taken + this.length);
    this.#waiting.push(waiting);
    if (this.whenFull === 'pause' || this.whenFull === 'disconnect') return;
    const { maxBytes, maxMessages } = this.#options;
    while (this.length > 1 && (this.length > maxMessages || this.#bytes > maxBytes)) this.#drop();
  }

  shift(): KeptMessage | undefined {
    const first = this.#first();
    if (first === undefined) return undefined;
    this.#tellDropped(first);
    this.#last = { ...(first.mark && { id: first.mark.id }), at: first.receivedAt };
    this.#longestLag = Math.max(this.#longestLag, performance.now() - first.receivedAt);
    return first;
  }

  /** The loop is left: what was dropped before is told. */
  end(): void {
    this.#tellDropped(this.#waiting[this.#head]);
  }

  stats(): ConsumerStats {
    const oldest = this.#waiting[this.#head];
    return {
      channel: this.channel,
      whenFull: this.whenFull,
      waiting: this.length,
      bytes: this.#bytes,
      conflated: this.#conflated,
      dropped: this.#dropped,
      lag: oldest === undefined ? 0 : performance.now() - oldest.receivedAt,
      longestLag: this.#longestLag,
    };
  }

  #drop(): void {
    this.#first();
    this.#dropped++;
    this.#missed++;
  }

  #tellDropped(next: Waiting | undefined): void {
    if (this.#missed === 0) return;
    const missed = this.#missed;
    this.#missed = 0;
    const id = next?.mark?.from ?? next?.mark?.id;
    const after = next && { ...(id !== undefined && { id }), at: next.receivedAt };
    this.#onDropped(this.#last, after, missed);
  }

  #first(): Waiting | undefined {
    const first = this.#waiting[this.#head];
    if (first === undefined) return undefined;
    this.#waiting[this.#head++] = undefined;
    this.#taken++;
    this.#bytes -= first.data.length;
    if (first.key !== undefined) this.#places.delete(first.key);
    if (this.#head === this.#waiting.length || this.#head === COMPACT_AFTER) {
      this.#waiting.splice(0, this.#head);
      this.#head = 0;
    }
    return first;
  }
}
