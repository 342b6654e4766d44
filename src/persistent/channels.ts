/**
 * Who takes the messages of which channel. Every iterator has a bounded queue of its own. When one is full that may
 * lose nothing, reading stops until its loop has caught up: one such slow loop slows all channels.
 */

import type { HeartwireError } from '../errors.js';
import { MessageIterator } from '../message-iterator.js';
import type { KeptMessage } from '../message-queue.js';
import type { Message } from '../protocol/message.js';
import { type ConsumerOptions, ConsumerQueue, type ConsumerStats } from './consumer-policy.js';
import type { GapBound } from './gap.js';
import type { SequenceMark } from './sequence.js';

/** What its owner knows, does and is told. */
export interface ChannelsOwner {
  /** The numbers of the message that is delivered. */
  markOf(channel: string | undefined): SequenceMark | undefined;
  /** Reading must stop, or may go on. */
  onBlocked(): void;
  onDropped(
    channel: string | undefined,
    before: GapBound | undefined,
    after: GapBound | undefined,
    missed: number,
  ): void;
  /** A loop is behind that would rather have no connection. */
  onTooSlow(channel: string | undefined): void;
}

interface Queue {
  readonly messages: ConsumerQueue;
  iterator: MessageIterator;
  isFull: boolean;
}

export class Channels {
  readonly #owner: ChannelsOwner;
  readonly #queues = new Map<string, Set<Queue>>();
  /** Those that take every message. */
  readonly #all = new Set<Queue>();
  #full = 0;
  /** Set when no message will come any more. */
  ended: { error: HeartwireError | undefined } | undefined;

  constructor(owner: ChannelsOwner) {
    this.#owner = owner;
  }

  get isEmpty(): boolean {
    return this.#queues.size === 0 && this.#all.size === 0;
  }

  get isBlocked(): boolean {
    return this.#full > 0;
  }

  /** Gives a copy to each who takes messages of `channel`. */
  deliver(message: Message, channel: string | undefined): void {
    const queues = channel === undefined ? undefined : this.#queues.get(channel);
    if (queues === undefined && this.#all.size === 0) return;
    const { isText, receivedAt } = message;
    const kept: KeptMessage = { isText, data: message.copy(), receivedAt };
    let shared = false;
    for (const queue of [...(queues ?? []), ...this.#all]) {
      // A Buffer is its receiver's own.
      this.#push(
        queue,
        message,
        shared && !isText ? { ...kept, data: Buffer.from(kept.data) } : kept,
        channel,
      );
      shared = true;
    }
  }

  /** @throws UsageError `ERR_INVALID_OPTION` */
  queue(channel: string | undefined, options: ConsumerOptions): ConsumerQueue {
    return new ConsumerQueue(channel, options, (before, after, missed) =>
      this.#owner.onDropped(channel, before, after, missed),
    );
  }

  /** `onLeft`: the loop has ended, or its signal has aborted. */
  iterate(messages: ConsumerQueue, options: ConsumerOptions, onLeft: () => void): MessageIterator {
    const { channel } = messages;
    const queues = channel === undefined ? this.#all : this.#queuesOf(channel);
    const queue = { messages, isFull: false } as Queue;
    const release = (): void => {
      messages.end();
      queues.delete(queue);
      if (queues.size === 0 && channel !== undefined) this.#queues.delete(channel);
      this.#setFull(queue, false);
    };
    const ended = (): Channels['ended'] => this.ended;
    queues.add(queue);
    queue.iterator = new MessageIterator(
      {
        take: () => this.#take(queue),
        get ended() {
          return ended();
        },
        release,
      },
      { signal: options.signal },
      async () => onLeft(),
      (error) => error,
    );
    queue.iterator.begin();
    return queue.iterator;
  }

  /** No message will come any more. */
  end(error: HeartwireError | undefined): void {
    this.ended = { error };
    for (const { iterator } of this.#everyQueue()) iterator.wake();
  }

  stats(): ConsumerStats[] {
    return Array.from(this.#everyQueue(), ({ messages }) => messages.stats());
  }

  *#everyQueue(): Iterable<Queue> {
    for (const queues of [...this.#queues.values()]) yield* [...queues];
    yield* [...this.#all];
  }

  #queuesOf(channel: string): Set<Queue> {
    let queues = this.#queues.get(channel);
    if (queues === undefined) {
      queues = new Set();
      this.#queues.set(channel, queues);
    }
    return queues;
  }

  #push(queue: Queue, message: Message, kept: KeptMessage, channel: string | undefined): void {
    const { messages } = queue;
    messages.push(message, kept, this.#owner.markOf(channel));
    queue.iterator.wake();
    if (!messages.isFull || queue.isFull) return;
    const { whenFull } = messages;
    if (whenFull === 'pause' || whenFull === 'disconnect') this.#setFull(queue, true);
    if (whenFull === 'disconnect') this.#owner.onTooSlow(messages.channel);
  }

  #take(queue: Queue): KeptMessage | undefined {
    const message = queue.messages.shift();
    if (queue.isFull && queue.messages.hasRoom) this.#setFull(queue, false);
    return message;
  }

  #setFull(queue: Queue, isFull: boolean): void {
    if (queue.isFull === isFull) return;
    queue.isFull = isFull;
    this.#full += isFull ? 1 : -1;
    if (this.#full === (isFull ? 1 : 0)) this.#owner.onBlocked();
  }
}
