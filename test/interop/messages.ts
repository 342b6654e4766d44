/** Messages that tell how they arrived. */
import { createHash } from 'node:crypto';
import type { ConnectOptions } from '../../src/index.js';

const KIB = 1024;
export const MIB = 1024 * KIB;

/** Lengths at which the header, a read, a slab, or the way of a message changes; each with its neighbours. */
export const BOUNDARIES = [0, 1, 125, 126, 4 * KIB, 16 * KIB, 64 * KIB - 64, 64 * KIB, 128 * KIB, MIB]
  .flatMap((length) => [length - 1, length, length + 1])
  .filter((length, i, all) => length >= 0 && all.indexOf(length) === i);

/** One, two, three and four bytes of UTF-8 a character (§8.1; RFC 3629 §3), and all of them at once. */
export const ALPHABETS = {
  'one byte': 'a',
  'two bytes': 'é',
  'three bytes': '水',
  'four bytes': '🐟',
  all: 'aé水🐟',
};

export function bytesOf(length: number): Buffer<ArrayBuffer> {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + length) & 0xff;
  return bytes;
}

/** A message, told apart without keeping it: what it is and a digest of it. */
export function digest(data: string | Uint8Array): string {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  const kind = typeof data === 'string' ? 'text' : 'binary';
  return `${kind} of ${bytes.length} bytes ${createHash('sha1').update(bytes).digest('hex')}`;
}

/** Keeps the digests of what comes; `are(n)` resolves when n messages have come, or the connection has ended. */
export class Inbox {
  readonly digests: string[] = [];
  #wanted = 0;
  #resolve = (): void => {};

  readonly options: ConnectOptions = {
    onMessage: (message) => {
      this.digests.push(digest(message.isText ? message.text() : message.bytes));
      if (this.digests.length === this.#wanted) this.#resolve();
    },
    onClose: () => this.#resolve(),
  };

  are(count: number): Promise<void> {
    if (this.digests.length >= count) return Promise.resolve();
    this.#wanted = count;
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }
}
