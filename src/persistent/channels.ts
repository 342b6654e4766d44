/**
 * Who takes the messages of which channel. Every iterator has a bounded queue of its own; when one is full, reading
 * stops until its loop has caught up, so that nothing is lost and nothing grows. One slow loop slows all channels.
 */

import type { HeartwireError } from '../errors.js';
import { MessageIterator } from '../message-iterator.js';
import { type KeptMessage, MessageQueue } from '../message-queue.js';
import type { WaitOptions } from '../options.js';
import type { Message } from '../protocol/message.js';

interface Queue {
  readonly messages: MessageQueue;
  iterator: MessageIterator;
  isFull: boolean;
}

export class Channels {
  /** Reading must stop, or may go on. */
  readonly #onBlocked: (blocked: boolean) => void;
  readonly #queues = new Map<string, Set<Queue>>();
  /** Those that take every message. */
  readonly #all = new Set<Queue>();
  #full = 0;
  /** Set when no message will come any more. */
  ended: { error: HeartwireError | undefined } | undefined;

  constructor(onBlocked: (blocked: boolean) => void) {
    this.#onBlocked = onBlocked;
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
      this.#push(queue, shared && !isText ? { ...kept, data: Buffer.from(kept.data) } : kept);
      shared = true;
    }
  }

  /** `onLeft`: the loop has ended, or its signal has aborted. */
  iterate(channel: string | undefined, options: WaitOptions, onLeft: () => void): MessageIterator {
    const queues = channel === undefined ? this.#all : this.#queuesOf(channel);
    const queue = { messages: new MessageQueue(), isFull: false } as Queue;
    const release = (): void => {
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

  #push(queue: Queue, message: KeptMessage): void {
    queue.messages.push(message);
    queue.iterator.wake();
    if (queue.messages.isFull) this.#setFull(queue, true);
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
    if (this.#full === (isFull ? 1 : 0)) this.#onBlocked(isFull);
  }
}
