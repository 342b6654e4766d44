/** What a persistent connection tells, by event. */

import type { HeartwireError } from '../errors.js';
import type { CloseInfo } from '../report.js';
import type { ConsumerStats } from './consumer-policy.js';
import type { Failure, RetryDecision } from './failure.js';
import type { Gap } from './gap.js';
import type { HeldMessage } from './held-messages.js';
import type { UnknownOutcome } from './outcomes.js';
import type { Resynced, ResyncFailure } from './resync.js';
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
  /** Messages were missed, or may have been. Told before the first message after the gap is delivered. */
  gap: Gap;
  /** A subscription's deadline has passed without data, and what is done about it. */
  stale: {
    readonly key: string;
    readonly epoch: number;
    /** ms. */
    readonly deadline: number;
    /** ms without data, as far as it was awaited. */
    readonly silence: number;
    /** In ms of the clock; undefined: there never was data. */
    readonly lastDataAt: number | undefined;
    readonly action: 'resubscribe' | 'reconnect';
  };
  /** A stale subscription has data again, after `silence` ms. */
  live: { readonly key: string; readonly epoch: number; readonly silence: number };
  /** A channel has its snapshot; told before the held updates that follow it are delivered. */
  resynced: Resynced;
  'resync-failed': ResyncFailure;
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
  /** Subscriptions that are stale. */
  readonly stale: number;
  /** `gap` events so far. */
  readonly gaps: number;
  /** Messages that were left out because the ids say that they, or later ones, had been here before. */
  readonly late: number;
  /** Updates that wait for a snapshot. */
  readonly held: number;
  /** The loops of `messages()`. */
  readonly consumers: readonly ConsumerStats[];
}
