/** What a persistent connection tells, by event. */

import type { HeartwireError } from '../errors.js';
import type { CloseInfo } from '../report.js';
import type { Failure, RetryDecision } from './failure.js';
import type { HeldMessage } from './held-messages.js';
import type { UnknownOutcome } from './outcomes.js';
import type { RotationStep } from './rotation-options.js';
import type { PersistentState, Transition } from './states.js';

export interface PersistentEvents {
  /** Every step of the state machine. */
  state: Transition;
  /** Connected, authenticated, and all that was wanted is subscribed to. */
  ready: { readonly epoch: number; readonly url: string; readonly address: string | undefined };
  /** An attempt, or a connection, has failed, and what follows. */
  failure: { readonly failure: Failure; readonly decision: RetryDecision };
  subscribed: { readonly key: string; readonly epoch: number };
  unsubscribed: { readonly key: string; readonly epoch: number };
  refused: { readonly key: string; readonly epoch: number; readonly error: HeartwireError };
  /** A message with a key was written, and its connection lost before it was acknowledged. */
  'unknown-outcome': UnknownOutcome;
  /** A message that was queued will not be sent. */
  dropped: { readonly message: HeldMessage; readonly error: HeartwireError };
  /** A step of make-before-break. */
  rotation: RotationStep;
  closed: PersistentEnd;
}

/** How it ended, for good. */
export interface PersistentEnd {
  /** `ERR_GAVE_UP`, whose `cause` is the last failure's error; undefined after `close()`. */
  readonly error?: HeartwireError;
  /** The last connection's end, when it was closed by `close()`. */
  readonly close?: CloseInfo;
}

export interface PersistentStats {
  readonly state: PersistentState;
  readonly epoch: number;
  /** Attempts that have failed in a row. */
  readonly failures: number;
  readonly desired: number;
  readonly subscribed: number;
  /** Messages in the queue of those that could not be sent yet. */
  readonly queued: number;
  readonly unacknowledged: number;
}
