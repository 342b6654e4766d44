/**
 * Who takes a connection's messages: a listener, called in the turn of the read; an iterator; or nobody yet, and
 * then they are kept. One consumer at a time, and no message is lost between two.
 */

import { Kind } from './codec/layout.js';
import { HeartwireError, UsageError } from './errors.js';
import { MessageIterator } from './message-iterator.js';
import { type KeptMessage, MessageQueue } from './message-queue.js';
import type { IterateOptions } from './options.js';
import { rethrow, warnOfPromise } from './protocol/callback.js';
import { Message } from './protocol/message.js';
import type { MessageListener, Receiver } from './protocol/receiver.js';

export class Inbound<Owner> {
  readonly #receiver: Receiver<Owner>;
  readonly #owner: Owner;
  #listener: MessageListener<Owner> | undefined;
  #iterator: MessageIterator | undefined;
  /** Made when the first message has to be kept. */
  #kept: MessageQueue | undefined;
  #keeper: MessageListener<Owner> | undefined;
  #cursor: Message | undefined;
  #dropping = false;
  #dropped = 0;
  #discarded = false;
  #ended: { error: HeartwireError | undefined } | undefined;
  /** Who takes messages now; and who is shown them first, if anybody. */
  #taker: MessageListener<Owner> | undefined;
  #watcher: MessageListener<Owner> | undefined;

  constructor(receiver: Receiver<Owner>, owner: Owner, listener: MessageListener<Owner> | undefined) {
    this.#receiver = receiver;
    this.#owner = owner;
    this.#listener = listener;
    this.#listen(listener ?? this.#keep);
  }

  get listener(): MessageListener<Owner> | undefined {
    return this.#listener;
  }

  /** @throws UsageError `ERR_ALREADY_CONSUMED` */
  set listener(listener: MessageListener<Owner> | undefined) {
    if (listener !== undefined && this.#iterator !== undefined) throw alreadyConsumed();
    this.#listener = listener;
    if (this.#keptLength === 0) {
      this.#listen(listener ?? this.#keep);
    } else if (listener === undefined) {
      this.#read();
    } else {
      // What was kept comes first, and never from within this call.
      this.#listen(undefined);
      this.resume();
    }
  }

  /** @throws UsageError `ERR_ALREADY_CONSUMED` */
  iterate(
    options: IterateOptions,
    close: () => Promise<unknown>,
    located: (error: HeartwireError) => HeartwireError,
  ): MessageIterator {
    if (this.#iterator !== undefined || this.#listener !== undefined) throw alreadyConsumed();
    const iterator = new MessageIterator(this, options, close, located);
    this.#iterator = iterator;
    iterator.begin();
    return iterator;
  }

  /** The iterator has ended; messages are kept again. */
  release(): void {
    this.#iterator = undefined;
  }

  /** The oldest kept message. */
  take(): KeptMessage | undefined {
    const message = this.#kept?.shift();
    if (message !== undefined) this.#read();
    return message;
  }

  /** How the connection ended, when it has. */
  get ended(): { error: HeartwireError | undefined } | undefined {
    return this.#ended;
  }

  /** Delivery may go on: what was kept comes first. */
  resume(): void {
    if (this.#keptLength > 0 && this.#listener !== undefined) process.nextTick(() => this.#deliverKept());
  }

  /** The listener gets what was kept before it came, until it pauses the connection. */
  #deliverKept(): void {
    this.#cursor ??= new Message(Buffer.alloc(0));
    const cursor = this.#cursor;
    // A connection that has ended may still have messages to deliver; one that was terminated has not.
    while (
      this.#keptLength > 0 &&
      this.#listener !== undefined &&
      !this.#receiver.paused &&
      !this.#discarded
    ) {
      const { isText, data, receivedAt } = this.#kept!.shift()!;
      cursor.read(data, receivedAt);
      cursor.pointElsewhere(isText ? Kind.text : Kind.binary, data, data.length, true);
      if (this.#keptLength === 0) cursor.markLast();
      try {
        const result = this.#listener(cursor, this.#owner);
        if (result !== undefined) warnOfPromise(result);
      } catch (thrown) {
        rethrow(thrown);
      }
      cursor.expire();
    }
    if (this.#keptLength === 0) this.#listen(this.#listener ?? this.#keep);
  }

  /**
   * The closing handshake has begun. With nobody to take messages, the peer's Close frame must be reached all the
   * same: what finds no room is dropped, and an iterator that comes later is told.
   */
  closing(): void {
    if (this.#listener !== undefined || this.#iterator !== undefined) return;
    this.#dropping = true;
    this.#listen(this.#keep);
  }

  /** `terminate()`: a listener is not called again. */
  discard(): void {
    this.#discarded = true;
  }

  /** No message will come any more. */
  end(error: HeartwireError | undefined): void {
    if (this.#dropped > 0) error ??= droppedMessages(this.#dropped);
    this.#ended = { error };
    this.#iterator?.wake();
  }

  /** Shows every message to `show` before its time, until that is taken away; true keeps it from who takes messages. */
  watch(show: ((message: Message, owner: Owner) => boolean) | undefined): void {
    if (show === undefined && this.#watcher === undefined) return;
    this.#watcher =
      show && ((message, owner) => (show(message, owner) ? undefined : this.#taker?.(message, owner)));
    this.#listen(this.#taker);
  }

  #listen(taker: MessageListener<Owner> | undefined): void {
    this.#taker = taker;
    this.#receiver.listen(taker && (this.#watcher ?? taker));
  }

  get #keptLength(): number {
    return this.#kept?.length ?? 0;
  }

  /** Goes on reading when enough has been taken. */
  #read(): void {
    if (this.#listener === undefined && this.#kept!.hasRoom) this.#listen(this.#keep);
  }

  /** Made for those who have no listener. */
  get #keep(): MessageListener<Owner> {
    this.#keeper ??= (message) => this.#keepMessage(message);
    return this.#keeper;
  }

  #keepMessage(message: Message): void {
    this.#kept ??= new MessageQueue();
    if (this.#kept.isFull) {
      this.#dropped++;
      return;
    }
    this.#kept.push({ isText: message.isText, data: message.copy(), receivedAt: message.receivedAt });
    this.#iterator?.wake();
    // Without a listener the receiver reads on to the next message, and then has the socket paused.
    if (this.#kept.isFull && !this.#dropping) this.#listen(undefined);
  }
}

function alreadyConsumed(): UsageError {
  return new UsageError(
    'ERR_ALREADY_CONSUMED',
    'The messages of a connection have one consumer: onMessage, one iterator, readable, or toDuplex()',
  );
}

function droppedMessages(count: number): HeartwireError {
  return new HeartwireError(
    'ERR_MESSAGES_DROPPED',
    `${count} messages that came after close() were dropped: nobody took messages, and no more could be kept`,
  );
}
