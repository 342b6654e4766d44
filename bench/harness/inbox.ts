/**
 * The receiving end of every contender: the one place where messages are counted and checked, so that the cost
 * of delivering and checking is the same for all of them.
 */
import type { Mailbox } from './contender.js';
import { LAST_BYTE, numberOfBinary, numberOfText, TEXT_END, TEXT_START } from './payload.js';

export class Inbox implements Mailbox {
  #byteLength = -1;
  #period = 1;
  #next = 0;
  #remaining = 0;
  #complete: () => void = ignore;
  #reject: (error: Error) => void = ignore;
  #failure: Error | undefined;

  /** All following messages have `byteLength` bytes and are numbered 0, 1, … `period` - 1, 0, 1, … */
  shape(byteLength: number, period: number): void {
    this.#byteLength = byteLength;
    this.#period = period;
    this.#next = 0;
  }

  /** The number that the next message must carry. */
  get next(): number {
    return this.#next;
  }

  /** Calls `complete` as soon as `count` more messages have been checked, `reject` at the first that is wrong. */
  expect(count: number, complete: () => void, reject: (error: Error) => void): void {
    this.#remaining = count;
    this.#complete = complete;
    this.#reject = reject;
    if (this.#failure !== undefined) reject(this.#failure);
  }

  binary(bytes: Uint8Array, offset: number, byteLength: number): void {
    if (
      byteLength !== this.#byteLength ||
      numberOfBinary(bytes, offset) !== this.#next ||
      bytes[offset + byteLength - 1] !== LAST_BYTE ||
      this.#remaining === 0
    ) {
      this.#mismatch('binary', byteLength, byteLength >= 4 ? numberOfBinary(bytes, offset) : -1);
      return;
    }
    this.#accept();
  }

  text(text: string): void {
    const length = text.length;
    if (
      length !== this.#byteLength ||
      text.charCodeAt(0) !== TEXT_START ||
      numberOfText(text) !== this.#next ||
      text.charCodeAt(length - 1) !== TEXT_END ||
      this.#remaining === 0
    ) {
      this.#mismatch('text', length, numberOfText(text));
      return;
    }
    this.#accept();
  }

  /** The connection is lost, or delivered what it must not have: the round in progress and all later ones fail. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#reject(this.#failure);
  }

  #accept(): void {
    this.#next = this.#next + 1 === this.#period ? 0 : this.#next + 1;
    this.#remaining -= 1;
    if (this.#remaining === 0) this.#complete();
  }

  #mismatch(kind: string, length: number, number: number): void {
    const expected = `number ${this.#next} of length ${this.#byteLength}, ${this.#remaining} to come`;
    this.fail(new Error(`wrong message: ${kind} number ${number} of length ${length}; expected ${expected}`));
  }
}

function ignore(): void {}
