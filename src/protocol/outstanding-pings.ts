/**
 * Pings of ours that wait for their Pongs, RFC 6455 §5.5.2–3. A Pong carries its Ping's payload; a peer that got
 * several Pings may answer only the latest, so a Pong answers all Pings before its own as well.
 */

import { type HeartwireError, UsageError } from '../errors.js';

const MAX_OUTSTANDING = 1024;
const MAX_PAYLOAD = 125;

interface Outstanding {
  payload: Buffer;
  sentAt: number;
  resolve: (roundTrip: number) => void;
  reject: (error: HeartwireError) => void;
}

export class OutstandingPings {
  #pings: Outstanding[] = [];
  #sequence = 0;
  /** In ms, of the Ping that was answered last. */
  lastRoundTrip = 0;

  /**
   * The payload to send: a copy of the caller's, or a sequence number.
   * @throws UsageError `ERR_PING_PAYLOAD`, `ERR_TOO_MANY_PINGS`
   */
  payload(given: string | Uint8Array | undefined): Buffer {
    if (this.#pings.length >= MAX_OUTSTANDING) {
      throw new UsageError('ERR_TOO_MANY_PINGS', `${MAX_OUTSTANDING} pings have not been answered yet`);
    }
    if (given === undefined) {
      const payload = Buffer.allocUnsafe(4);
      payload.writeUInt32BE(this.#sequence++ >>> 0);
      return payload;
    }
    if (typeof given !== 'string' && !(given instanceof Uint8Array)) {
      throw new UsageError('ERR_PING_PAYLOAD', 'A ping carries a string or bytes');
    }
    const payload = typeof given === 'string' ? Buffer.from(given) : Buffer.from(given);
    if (payload.length > MAX_PAYLOAD) {
      throw new UsageError(
        'ERR_PING_PAYLOAD',
        `A ping carries at most ${MAX_PAYLOAD} bytes (RFC 6455 §5.5), not ${payload.length}`,
      );
    }
    return payload;
  }

  /** The ping has been sent. Resolves with its round trip in ms; need not be handled. */
  sent(payload: Buffer, sentAt: number): Promise<number> {
    const answered = new Promise<number>((resolve, reject) => {
      this.#pings.push({ payload, sentAt, resolve, reject });
    });
    answered.catch(() => {});
    return answered;
  }

  /** A Pong has come. False when it answers none of our pings. */
  answeredBy(payload: Buffer, receivedAt: number): boolean {
    const index = this.#pings.findIndex((ping) => ping.payload.equals(payload));
    if (index < 0) return false;
    this.lastRoundTrip = receivedAt - this.#pings[index].sentAt;
    this.#resolve(index + 1, receivedAt);
    return true;
  }

  /** A Pong has come that answers a later Ping, sent at `sentAt`. */
  answeredBefore(sentAt: number, receivedAt: number): void {
    const later = this.#pings.findIndex((ping) => ping.sentAt > sentAt);
    this.#resolve(later < 0 ? this.#pings.length : later, receivedAt);
  }

  /** How many wait. */
  get count(): number {
    return this.#pings.length;
  }

  #resolve(count: number, receivedAt: number): void {
    if (count === 0) return;
    for (const ping of this.#pings.splice(0, count)) ping.resolve(receivedAt - ping.sentAt);
  }

  /** No Pong will come. */
  abandon(error: () => HeartwireError): void {
    for (const ping of this.#pings.splice(0)) ping.reject(error());
  }
}
