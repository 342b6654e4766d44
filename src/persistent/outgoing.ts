/** What becomes of a message that the application sends: written now, queued, or refused; never more than one of them. */

import { HeartwireError, UsageError } from '../errors.js';
import type { Payload } from '../protocol/payload.js';
import type { Clock } from './clock.js';
import type { Failure } from './failure.js';
import { type HeldMessage, HeldMessages } from './held-messages.js';
import type { Leg } from './leg.js';
import { Outcomes, type UnknownOutcome } from './outcomes.js';
import type { Source } from './pacer.js';
import type { PersistentOptions, PersistentSendOptions } from './persistent-options.js';

/** What its owner knows, and is told. */
export interface OutgoingOwner {
  readonly leg: Leg | undefined;
  /** For people. */
  readonly state: string;
  onDropped(message: HeldMessage, error: HeartwireError): void;
}

export class Outgoing {
  readonly #clock: Clock;
  readonly #owner: OutgoingOwner;
  readonly #held: HeldMessages;
  readonly #outcomes: Outcomes;

  constructor(
    clock: Clock,
    { queue = {}, maxUnacknowledged = 10_000 }: PersistentOptions,
    owner: OutgoingOwner,
  ) {
    this.#clock = clock;
    this.#owner = owner;
    this.#held = new HeldMessages(clock, queue, (message, error) => owner.onDropped(message, error));
    this.#outcomes = new Outcomes(maxUnacknowledged);
  }

  get queued(): number {
    return this.#held.length;
  }

  get unacknowledged(): string[] {
    return this.#outcomes.keys();
  }

  get unacknowledgedCount(): number {
    return this.#outcomes.size;
  }

  /** A message with this key is queued, or waits for its acknowledgement. */
  knows(key: string): boolean {
    return this.#outcomes.has(key) || this.#held.has(key);
  }

  /** A message that was sent on this attempt's connection waits for its acknowledgement. */
  awaitsOutcomes(epoch: number): boolean {
    return this.#outcomes.hasOf(epoch);
  }

  /** See `PersistentConnection.send`. */
  send(data: Payload, options: PersistentSendOptions): boolean {
    const { key, whenDown = 'reject', timeToLive } = options;
    if (key !== undefined) this.#assertFree(key);
    const { leg } = this.#owner;
    const queued = whenDown === 'queue';
    // What is queued keeps its order; what is not is sent now or never.
    if (leg?.isOpen && !(queued && this.#held.length > 0) && leg.pacer.take()) {
      return this.#write(leg, { data, options, key });
    }
    if (!queued) throw leg?.isOpen ? tooFast(leg.pacer.wait) : this.notReady();
    this.#held.push(data, options, key, timeToLive);
    leg?.pacer.wake();
    return false;
  }

  /** False: no message with this key waits for its acknowledgement. */
  acknowledge(key: string): boolean {
    const known = this.#outcomes.acknowledge(key);
    this.#owner.leg?.attend();
    return known;
  }

  /** The connection of `epoch` is gone. */
  lose(epoch: number, failure: Failure | undefined): UnknownOutcome[] {
    return this.#outcomes.lose(epoch, failure);
  }

  /** Nothing will be sent any more. */
  end(): void {
    this.#held.dropAll('the connection is closed');
  }

  notReady(): HeartwireError {
    const message = `Nothing was sent: the connection is ${this.#owner.state}`;
    return new HeartwireError('ERR_NOT_READY', message);
  }

  /** The queue, for a leg to send from while it is the one in use. */
  sourceFor(leg: Leg): Source {
    const held = this.#held;
    const owner = this.#owner;
    return {
      get hasNext() {
        return owner.leg === leg && held.length > 0;
      },
      sendNext: () => {
        const message = held.shift();
        return message === undefined || this.#sendHeld(leg, message);
      },
    };
  }

  #sendHeld(leg: Leg, message: HeldMessage): boolean {
    try {
      return this.#write(leg, message);
    } catch (thrown) {
      // What this connection cannot take now, it or the next one takes later; what none takes is given up.
      const { code } = thrown as HeartwireError;
      const isFull = code === 'ERR_SEND_BUFFER_FULL' && leg.connection!.bufferedAmount > 0;
      if (isFull || code === 'ERR_NOT_OPEN') {
        this.#held.unshift(message);
        throw thrown;
      }
      this.#owner.onDropped(message, thrown as HeartwireError);
      return true;
    }
  }

  #write(leg: Leg, { data, options, key }: HeldMessage): boolean {
    const hasRoom = leg.connection!.send(data, options);
    if (key !== undefined) {
      this.#outcomes.written(key, this.#clock.now(), leg.epoch);
      leg.attend();
    }
    return hasRoom;
  }

  #assertFree(key: string): void {
    if (this.#held.has(key))
      throw new UsageError('ERR_KEY_IN_USE', `Nothing was sent: the key ${key} is queued already`);
    this.#outcomes.assertFree(key);
  }
}

function tooFast(wait: number): HeartwireError {
  const message = `Nothing was sent: the message rate is used up for ${wait} ms`;
  return new HeartwireError('ERR_MESSAGE_RATE', message);
}
