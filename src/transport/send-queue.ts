/**
 * Blocks of frames on their way into the kernel. A block may be used again only when its bytes have left it:
 * over tcp that is so when `writableLength` is 0 after `write()`, over TLS when the write's callback comes.
 * Reusing one earlier sends the next message's bytes in place of this one's.
 */

import type { Duplex } from 'node:stream';
import type { Codec } from '../codec/codec.js';
import type { Outlet } from '../protocol/sender.js';

/** A connection whose peer does not read may hold this many blocks; beyond, its backlog lies in Buffers of its own. */
const MAX_LEASED_BLOCKS = 4;

interface Write {
  /** 0 when the bytes were copied. */
  block: number;
  length: number;
}

export class SendQueue<Owner> implements Outlet {
  readonly #codec: Codec;
  readonly #socket: Duplex;
  /** Plain tcp: `writableLength` tells when the kernel has everything. */
  readonly #tcp: boolean;
  /** False: a stream that keeps what it is given, and is given Buffers of its own (its callbacks promise nothing). */
  readonly #lends: boolean;
  readonly #onProgress: (owner: Owner) => void;
  readonly #owner: Owner;

  #inFlight: Write[] = [];
  #leased = 0;
  /** Callbacks still to come for writes that are known to be done. */
  #settled = 0;

  /** Bytes handed to the kernel, and bytes given to `write` that are not yet known to be there. */
  sent = 0;
  pending = 0;

  /** `onProgress` is called when bytes that had to wait have left. */
  constructor(
    codec: Codec,
    socket: Duplex,
    tcp: boolean,
    onProgress: (owner: Owner) => void,
    owner: Owner,
    lends = true,
  ) {
    this.#codec = codec;
    this.#socket = socket;
    this.#tcp = tcp;
    this.#onProgress = onProgress;
    this.#owner = owner;
    this.#lends = lends;
  }

  write(block: number, length: number): boolean {
    const mayLease = this.#lends && block !== this.#codec.stagingBlock && this.#leased < MAX_LEASED_BLOCKS;
    const view = this.#codec.memory.subarray(block, block + length);

    // Over tcp the kernel nearly always takes the bytes at once; only a backlog needs them to stay.
    if (this.#tcp && this.pending === 0 && mayLease) {
      this.#socket.write(view, this.#onWritten);
      if (this.#socket.writableLength === 0) {
        this.#settled++;
        this.sent += length;
        return true;
      }
    } else {
      this.#give(mayLease ? view : Buffer.from(view));
    }
    this.pending += length;
    if (mayLease) this.#leased++;
    this.#inFlight.push({ block: mayLease ? block : 0, length });
    return !mayLease;
  }

  /** A stream of the user's may throw where it should call back: what sends is not to blame. */
  #give(bytes: Buffer): void {
    try {
      this.#socket.write(bytes, this.#onWritten);
    } catch (thrown) {
      this.#socket.destroy(thrown as Error);
    }
  }

  readonly #onWritten = (): void => {
    if (this.#settled > 0) {
      this.#settled--;
      return;
    }
    const done = this.#inFlight.shift();
    if (done === undefined) return;
    if (done.block !== 0) {
      this.#leased--;
      this.#codec.sendBlocks.give(done.block);
    }
    this.pending -= done.length;
    // What a destroyed socket still held has gone nowhere.
    if (this.#socket.destroyed) return;
    this.sent += done.length;
    this.#onProgress(this.#owner);
  };
}
