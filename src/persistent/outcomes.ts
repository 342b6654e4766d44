/**
 * Messages that were written and that the other side has not acknowledged yet, by keys of the application's: order
 * ids, mostly. When the connection is lost, nobody here can know what became of them: they are handed back as of
 * unknown outcome, for the application to ask the venue. Nothing is ever sent again from here.
 */

import { HeartwireError, UsageError } from '../errors.js';
import type { Failure } from './failure.js';

export interface UnknownOutcome {
  readonly key: string;
  /** When it was sent, in ms of the clock. */
  readonly sentAt: number;
  /** On which attempt's connection. */
  readonly epoch: number;
  /** What the connection was lost by; undefined when it was closed on our side. */
  readonly failure?: Failure;
}

interface Written {
  readonly sentAt: number;
  readonly epoch: number;
}

export class Outcomes {
  readonly #limit: number;
  readonly #written = new Map<string, Written>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#written.size;
  }

  /** The keys that wait for their acknowledgement, oldest first. */
  keys(): string[] {
    return [...this.#written.keys()];
  }

  has(key: string): boolean {
    return this.#written.has(key);
  }

  /** Something that was written on this attempt's connection waits. */
  hasOf(epoch: number): boolean {
    for (const written of this.#written.values()) if (written.epoch === epoch) return true;
    return false;
  }

  /** @throws UsageError `ERR_KEY_IN_USE`; HeartwireError `ERR_TOO_MANY_UNACKNOWLEDGED` */
  assertFree(key: string): void {
    if (this.#written.has(key)) {
      throw new UsageError(
        'ERR_KEY_IN_USE',
        `Nothing was sent: the key ${key} waits for its acknowledgement`,
      );
    }
    if (this.#written.size < this.#limit) return;
    throw new HeartwireError(
      'ERR_TOO_MANY_UNACKNOWLEDGED',
      `Nothing was sent: ${this.#limit} messages wait for their acknowledgement`,
    );
  }

  written(key: string, sentAt: number, epoch: number): void {
    this.#written.set(key, { sentAt, epoch });
  }

  /** False: nothing is known of this key. */
  acknowledge(key: string): boolean {
    return this.#written.delete(key);
  }

  /** The connection of `epoch` is gone: what became of these? */
  lose(epoch: number, failure: Failure | undefined): UnknownOutcome[] {
    const lost = [...this.#written].filter(([, written]) => written.epoch === epoch);
    for (const [key] of lost) this.#written.delete(key);
    return lost.map(([key, { sentAt }]) => ({ key, sentAt, epoch, ...(failure && { failure }) }));
  }
}
