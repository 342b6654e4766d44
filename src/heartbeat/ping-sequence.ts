/**
 * A heartbeat's own Pings: numbered, so that each Pong (RFC 6455 §5.5.3) tells which Ping it answers. Only numbers are
 * kept: ten thousand connections have one each.
 */

/** What a Pong is to a heartbeat. */
export const PongKind = {
  /** Not the form of ours: a Ping of the application's may have asked for it. */
  other: 0,
  /** It answers the latest Ping. */
  answer: 1,
  /** It answers one before the latest. */
  late: 2,
  /** It answers one that has been answered. */
  duplicate: 3,
  /** It has our form, and answers none that this connection has sent. */
  foreign: 4,
} as const;

const LENGTH = 8;
/** Pings whose answers are remembered, the latest included. */
const REMEMBERED = 32;

/** All connections write their payloads here: the frame is a copy. */
const payload = Buffer.alloc(LENGTH);

export class PingSequence {
  /** Four bytes that tell our Pongs from those that belong to another connection. */
  readonly #tag: number;
  #last = 0;
  /** Bit n: the Ping before the last by n has been answered. */
  #answered = 0;

  /** Pongs that were not what was waited for. */
  late = 0;
  duplicate = 0;
  foreign = 0;
  unsolicited = 0;

  constructor(tag: number) {
    this.#tag = tag >>> 0;
  }

  /** How many there have been. */
  get count(): number {
    return this.#last;
  }

  /** The latest one has not been answered. */
  get isOpen(): boolean {
    return this.#last > 0 && (this.#answered & 1) === 0;
  }

  /** The payload of the next Ping; valid until the next call on any connection. */
  next(): Buffer {
    this.#last++;
    this.#answered <<= 1;
    payload.writeUInt32BE(this.#tag, 0);
    payload.writeUInt32BE(this.#last >>> 0, 4);
    return payload;
  }

  /** Judges a Pong, and remembers it. */
  answeredBy(pong: Buffer): number {
    if (pong.length !== LENGTH) return PongKind.other;
    if (pong.readUInt32BE(0) !== this.#tag) return PongKind.other;
    const before = (this.#last >>> 0) - pong.readUInt32BE(4);
    if (before < 0 || before >= this.#last) return PongKind.foreign;
    if (before >= REMEMBERED) return PongKind.late;
    const bit = 1 << before;
    if (this.#answered & bit) return PongKind.duplicate;
    this.#answered |= bit;
    return before === 0 ? PongKind.answer : PongKind.late;
  }
}
