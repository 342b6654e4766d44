/** What was missed, or may have been: between which messages, and why. */

import type { Failure } from './failure.js';

export type GapReason =
  /** Messages are missing on a connection that stands: the ids say so. */
  | 'sequence'
  /** The connection was lost, and there was another. */
  | 'outage'
  /** The subscription was given back and asked for anew: it was stale, or not acknowledged. */
  | 'resubscribed'
  /** The ids went back and go on from there: a venue that has restarted without a word. */
  | 'restart'
  /** A loop was too slow, and its policy has dropped what it had not taken. */
  | 'slow-consumer';

/** A message next to a gap. */
export interface GapBound {
  /** Its id, where the stream is numbered; of a range, the one next to the gap. */
  readonly id?: number;
  /** When it came, in ms of the clock. */
  readonly at: number;
}

export interface Gap {
  /** The key of the subscription; undefined: any channel, because the connection numbers its messages as a whole. */
  readonly channel: string | undefined;
  readonly reason: GapReason;
  /** The last message before; undefined: there was none. */
  readonly before: GapBound | undefined;
  /** The first message after; undefined: there will be none. */
  readonly after: GapBound | undefined;
  /** How many messages, where the ids tell; 0 after an outage: nothing was missed. */
  readonly missed?: number;
  /** The connection of the message after, or the last one. */
  readonly epoch: number;
  /** What the connection was lost by. */
  readonly failure?: Failure;
}

/** A gap of which the end is not known yet. */
export type OpenGap = Pick<Gap, 'reason' | 'before' | 'failure'>;

/** By channel, the gaps that are still open: each begins with the first interruption and ends with the next message. */
export class OpenGaps {
  readonly #open = new Map<string, OpenGap>();

  open(channel: string, gap: OpenGap): void {
    // What interrupts an interruption adds nothing to its beginning.
    if (!this.#open.has(channel)) this.#open.set(channel, gap);
  }

  /** Ends it, if there is one. */
  close(channel: string): OpenGap | undefined {
    const gap = this.#open.get(channel);
    if (gap !== undefined) this.#open.delete(channel);
    return gap;
  }

  has(channel: string): boolean {
    return this.#open.has(channel);
  }

  channels(): string[] {
    return [...this.#open.keys()];
  }
}
