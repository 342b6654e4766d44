/** A span of byte values, both ends included. */
type Span = readonly [low: number, high: number];

const TAIL: Span = [0x80, 0xbf];

/**
 * The grammar of RFC 3629 §4, a line for each of its alternatives: what the first byte may be, and what must
 * follow it. What is not here (C0, C1, F5–FF, a tail without its head) begins nothing.
 */
const SEQUENCES: readonly { first: Span; rest: readonly Span[] }[] = [
  { first: [0x00, 0x7f], rest: [] },
  { first: [0xc2, 0xdf], rest: [TAIL] },
  { first: [0xe0, 0xe0], rest: [[0xa0, 0xbf], TAIL] },
  { first: [0xe1, 0xec], rest: [TAIL, TAIL] },
  { first: [0xed, 0xed], rest: [[0x80, 0x9f], TAIL] },
  { first: [0xee, 0xef], rest: [TAIL, TAIL] },
  { first: [0xf0, 0xf0], rest: [[0x90, 0xbf], TAIL, TAIL] },
  { first: [0xf1, 0xf3], rest: [TAIL, TAIL, TAIL] },
  { first: [0xf4, 0xf4], rest: [[0x80, 0x8f], TAIL, TAIL] },
];

const isIn = (byte: number, [low, high]: Span): boolean => low <= byte && byte <= high;

/** Judges a text byte by byte; it knows a wrong byte when it sees it, whatever may follow. */
export class Utf8Reference {
  #expected: readonly Span[] = [];
  #failed = false;

  /** False at the first byte that no text can have at this place, and ever after. */
  push(byte: number): boolean {
    if (this.#failed) return false;
    if (this.#expected.length > 0) {
      this.#failed = !isIn(byte, this.#expected[0]);
      this.#expected = this.#expected.slice(1);
    } else {
      const sequence = SEQUENCES.find(({ first }) => isIn(byte, first));
      this.#failed = sequence === undefined;
      this.#expected = sequence?.rest ?? [];
    }
    return !this.#failed;
  }

  /** Whether the text may end here: nothing wrong so far, and no sequence cut short. */
  get complete(): boolean {
    return !this.#failed && this.#expected.length === 0;
  }
}

/** The index of the first wrong byte, or -1. A sequence cut short is no wrong byte. */
export function firstWrongByte(bytes: Uint8Array): number {
  const text = new Utf8Reference();
  return bytes.findIndex((byte) => !text.push(byte));
}

/** Whether these bytes are a whole text. */
export function isUtf8(bytes: Uint8Array): boolean {
  const text = new Utf8Reference();
  return bytes.every((byte) => text.push(byte)) && text.complete;
}
