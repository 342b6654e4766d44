/** A connection's messages for `for await`. */

import { aborted } from './abort.js';
import { HeartwireError } from './errors.js';
import type { KeptMessage } from './message-queue.js';
import type { IterateOptions } from './options.js';

/** Where an iterator's messages come from. */
export interface IteratorSource {
  /** The oldest message that nobody has taken. */
  take(): KeptMessage | undefined;
  /** Set when no message will come any more: with what ended the connection, unless it was closed cleanly. */
  readonly ended: { error: HeartwireError | undefined } | undefined;
  /** The iterator has ended. */
  release(): void;
}

type Result = IteratorResult<string | Buffer, undefined>;

interface Waiting {
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

const DONE: Result = { done: true, value: undefined };

/** The messages of a connection, for `for await`: text as strings, binary as Buffers of one's own. */
export class MessageIterator implements AsyncIterableIterator<string | Buffer> {
  readonly #source: IteratorSource;
  readonly #preventClose: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #close: () => Promise<unknown>;
  readonly #located: (error: HeartwireError) => HeartwireError;
  #waiting: Waiting[] = [];
  #done = false;
  /** The signal's abort, when nobody was waiting: for who asks next. */
  #failure: HeartwireError | undefined;

  /** @internal */
  constructor(
    source: IteratorSource,
    options: IterateOptions,
    close: () => Promise<unknown>,
    located: (error: HeartwireError) => HeartwireError,
  ) {
    this.#located = located;
    this.#source = source;
    this.#preventClose = options.preventClose ?? false;
    this.#signal = options.signal;
    this.#close = close;
  }

  /** @internal From now on the signal counts. */
  begin(): void {
    if (this.#signal?.aborted) this.#onAbort();
    else this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /**
   * The next message. When the connection has ended, and everything kept has been taken: the end, or, unless it
   * was closed cleanly, a rejection that tells what ended it, once.
   */
  next(): Promise<Result> {
    const failure = this.#failure;
    if (failure !== undefined) {
      this.#failure = undefined;
      return Promise.reject(failure);
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.wake();
    });
  }

  /** Leaving the loop closes the connection, unless `preventClose` is set. */
  async return(): Promise<Result> {
    const first = !this.#done;
    this.#finish();
    if (first && !this.#preventClose) await this.#close();
    return DONE;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** @internal Something has come for those who wait. */
  wake(): void {
    while (this.#waiting.length > 0) {
      if (this.#done) {
        this.#finish();
        return;
      }
      const message = this.#source.take();
      if (message !== undefined) {
        this.#hand(message, this.#waiting.shift()!);
        continue;
      }
      const { ended } = this.#source;
      if (ended === undefined) return;
      if (ended.error !== undefined) this.#waiting.shift()!.reject(ended.error);
      this.#finish();
    }
  }

  #hand({ isText, data }: KeptMessage, { resolve, reject }: Waiting): void {
    try {
      resolve({ done: false, value: isText ? data.toString() : data });
    } catch (cause) {
      // It takes a `maxMessageSize` of 512 MiB, but nobody could catch this where it is thrown.
      const text = `A text message of ${data.length} bytes is longer than a string can be`;
      reject(this.#located(new HeartwireError('ERR_MESSAGE_TOO_LARGE', text, { cause })));
      void this.return();
    }
  }

  readonly #onAbort = (): void => {
    const error = this.#located(aborted(this.#signal!, 'waiting for a message'));
    if (this.#waiting.length === 0) this.#failure = error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    void this.return();
  };

  #finish(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    if (!this.#done) this.#source.release();
    this.#done = true;
    for (const { resolve } of this.#waiting.splice(0)) resolve(DONE);
  }
}
