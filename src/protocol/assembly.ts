/**
 * The bytes of one message that cannot be handed over where they were read: it came in fragments, or its frame in
 * several reads. They gather in one ordinary buffer, so that memory is bounded by bytes, not by the number of
 * fragments. When the size is known in advance, the buffer is the one the application gets.
 */

const SMALLEST = 1024;
const EMPTY = Buffer.alloc(0);

/** Buffers that the application did not take serve again: a fresh one costs a page fault every 4 KiB. */
const MAX_SPARE = 4 * 1024 * 1024;
let spare: Buffer | undefined;

export class Assembly {
  buffer: Buffer = EMPTY;
  length = 0;
  /** Of how many frames, so far. */
  frames = 0;
  /** Where each of them ends; undefined where nobody wants to know. */
  ends: number[] | undefined;
  readonly #limit: number;

  /** `limit`: no message is longer, in bytes. */
  constructor(limit = Number.POSITIVE_INFINITY) {
    this.#limit = limit;
  }

  /** Makes room for `bytes` more; false when there is no memory for them. `exact` when nothing will follow them. */
  reserve(bytes: number, exact: boolean): boolean {
    const needed = this.length + bytes;
    if (needed <= this.buffer.length) return true;
    const generous = Math.min(Math.max(SMALLEST, 2 * this.buffer.length), this.#limit);
    const larger = allocate(exact ? needed : Math.max(needed, generous));
    if (larger === undefined) return false;
    this.buffer.copy(larger, 0, 0, this.length);
    this.buffer = larger;
    return true;
  }

  /** Copies [start, end) of `source` behind what is there; `reserve` came before. */
  append(source: Buffer, start: number, end: number): void {
    source.copy(this.buffer, this.length, start, end);
    this.length += end - start;
  }

  /** Forgets the message. `reusable`: nobody else holds its buffer. */
  clear(reusable: boolean): void {
    if (reusable && this.buffer !== EMPTY && this.buffer.length <= MAX_SPARE) spare = this.buffer;
    this.buffer = EMPTY;
    this.length = 0;
    this.frames = 0;
    if (this.ends !== undefined) this.ends = [];
  }
}

/** A header of ten bytes can ask for gigabytes: where there are none, that is no reason to end the process. */
function allocate(capacity: number): Buffer | undefined {
  const fitting = takeSpare(capacity);
  if (fitting !== undefined) return fitting;
  try {
    return Buffer.allocUnsafeSlow(capacity);
  } catch {
    return undefined;
  }
}

/** The spare buffer, when it fits without wasting more than half. */
function takeSpare(capacity: number): Buffer | undefined {
  if (spare === undefined || spare.length < capacity || spare.length > 2 * capacity) return undefined;
  const buffer = spare;
  spare = undefined;
  return buffer;
}
