/**
 * The start of a frame whose end has not arrived: moved out of scratch when a read has been parsed, and put back in
 * front of the next one.
 */

import type { Codec } from '../codec/codec.js';

const NONE = Buffer.alloc(0);

export class Tail {
  readonly #codec: Codec;
  /** Where the bytes are: in a slab or, when none was free, in a Buffer. */
  #slab = 0;
  #spill: Buffer = NONE;

  length = 0;
  /** How many bytes of the frame's payload have been validated. */
  processed = 0;

  constructor(codec: Codec) {
    this.#codec = codec;
  }

  /** Keeps [start, end) of linear memory, in place of what was kept. */
  keep(start: number, end: number, processed: number): void {
    const { memory, slabs } = this.#codec;
    if (start === end) {
      this.release();
      return;
    }
    this.length = end - start;
    this.processed = processed;
    if (this.#slab === 0) this.#slab = slabs.take();
    if (this.#slab !== 0) {
      memory.copyWithin(this.#slab, start, end);
    } else {
      // Slabs have run out: an ordinary Buffer costs an allocation, nothing else.
      if (this.#spill.length < this.length) this.#spill = Buffer.allocUnsafeSlow(this.length);
      memory.copy(this.#spill, 0, start, end);
    }
  }

  /** Puts the bytes back, in front of `start`. Returns where they begin. */
  putBefore(start: number): number {
    const { memory } = this.#codec;
    const joined = start - this.length;
    if (this.#slab !== 0) memory.copyWithin(joined, this.#slab, this.#slab + this.length);
    else this.#spill.copy(memory, joined, 0, this.length);
    return joined;
  }

  release(): void {
    if (this.#slab !== 0) this.#codec.slabs.give(this.#slab);
    this.#slab = 0;
    this.#spill = NONE;
    this.length = 0;
    this.processed = 0;
  }
}
