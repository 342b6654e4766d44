/**
 * The states of a persistent connection, and the ways between them. `docs/persistent.md` draws this table.
 */

import type { Failure } from './failure.js';

export type PersistentState =
  /** Made in this tick; nothing has been done. */
  | 'idle'
  /** The host's connection budget is used up, or the host has asked to be left alone: see `delay`. */
  | 'awaiting-budget'
  | 'connecting'
  | 'authenticating'
  | 'subscribing'
  | 'ready'
  /** What there was is lost; after `delay` comes the next attempt. */
  | 'backing-off'
  /** `close()` was called, and the closing handshake is under way. */
  | 'closing'
  /** For good. */
  | 'closed';

/** From each state, where it can lead. */
export const WAYS: Readonly<Record<PersistentState, readonly PersistentState[]>> = {
  idle: ['awaiting-budget', 'connecting', 'closed'],
  'awaiting-budget': ['connecting', 'closed'],
  connecting: ['authenticating', 'backing-off', 'closed'],
  authenticating: ['subscribing', 'backing-off', 'closing', 'closed'],
  subscribing: ['ready', 'backing-off', 'closing', 'closed'],
  ready: ['backing-off', 'closing', 'closed'],
  'backing-off': ['awaiting-budget', 'connecting', 'closed'],
  closing: ['closed'],
  closed: [],
};

/** One step from state to state. */
export interface Transition {
  readonly from: PersistentState;
  readonly to: PersistentState;
  /** The attempt: 1 for the first, and more for each that follows, those of rotation among them. */
  readonly epoch: number;
  /** When, in ms of the clock (`performance.now()`). */
  readonly at: number;
  /** In `backing-off` and `awaiting-budget`: ms until the next step, as far as is known. */
  readonly delay?: number;
  /** What led to `backing-off`, or to `closed`. */
  readonly failure?: Failure;
}

export class StateMachine {
  #current: PersistentState = 'idle';
  readonly #observe: (transition: Transition) => void;

  constructor(observe: (transition: Transition) => void) {
    this.#observe = observe;
  }

  get current(): PersistentState {
    return this.#current;
  }

  get isClosed(): boolean {
    return this.#current === 'closed';
  }

  /** Throws for a way that is not in the table: there is no such way, so the caller is wrong. */
  go(to: PersistentState, about: Omit<Transition, 'from' | 'to'>): void {
    const from = this.#current;
    if (!WAYS[from].includes(to)) throw new Error(`No way leads from ${from} to ${to}`);
    this.#current = to;
    this.#observe({ from, to, ...about });
  }
}
