/** When rotation begins and how long it takes, and what it tells. */

import type { HeartwireError } from '../errors.js';
import type { Message } from '../protocol/message.js';

export interface RotationOptions {
  /** ms that a connection is used at most. Default: 23/24 of what the venue allows; without a venue, no limit. */
  maxAge?: number;
  /** The share of `maxAge` by which it may be rotated earlier, at random. Default 0.04. */
  jitter?: number;
  /** True for the message by which the venue says that it will end the connection. Called for every message. */
  notice?: (message: Message) => boolean;
  /** ms that sending waits, once the new connection is ready, for its messages to meet the old one's. Default 1_000. */
  overlap?: number;
  /** ms that the old connection waits for acknowledgements of what was sent on it. Default 3_000. */
  drain?: number;
}

export interface RotationStep {
  readonly step: /** It waits for its turn to connect, if it must. */
    | 'begun'
    /** The new connection is ready; both deliver. */
    | 'overlapping'
    /** What is sent from now on is sent on the new one. */
    | 'switched'
    /** The old one has been read to its end. */
    | 'done'
    /** The old one stays, or both are gone. */
    | 'failed';
  readonly reason: string;
  /** The epoch of the connection that is left, and of the one that takes over, when it has one. */
  readonly from: number;
  readonly to: number | undefined;
  readonly error?: HeartwireError;
  /** When it has failed: ms until it is tried again, if it is. */
  readonly delay?: number;
}
