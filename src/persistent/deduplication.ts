/**
 * Which messages have come already, so that of the copies that several connections bring the first one counts: by a
 * key of the application's, or by the number that each message of a channel has. What is remembered is bounded.
 */

import { UsageError } from '../errors.js';
import type { Message } from '../protocol/message.js';

export type Key = string | number;

/** What makes messages of two connections the same: `key` or `sequence`, one of them. */
export interface DeduplicationOptions {
  /**
   * A message's key, different for every message of its channel. undefined: it is its connection's own (a reply, an
   * acknowledgement, a heartbeat), and is delivered whoever else has one like it.
   */
  key?: (message: Message) => Key | undefined;
  /**
   * Instead of a key, a number that is one more with each message of its channel, and never begins anew. It takes
   * less memory, and shows when a connection has left something out that another can bring.
   */
  sequence?: (message: Message) => number | undefined;
  /** Keys that are remembered, of all channels together; the oldest are forgotten. Default 65_536. */
  maxKeys?: number;
}

/** How a message stands to what has come before. */
export type Place =
  /** It has come before. */
  | 'known'
  /** It follows what has come last. */
  | 'next'
  /** Something may be missing before it. */
  | 'ahead';

/** Nobody, or: counted already. */
export const NOBODY = 255;

export interface Arrivals {
  /** `isJoined`: its connection is known to have brought all that came before on this channel. */
  place(channel: string, key: Key, isJoined: boolean): Place;
  /** It has come, at `at` (`performance.now()`), by the connection with this number. Gives how many were left out. */
  record(channel: string, key: Key, at: number, leg: number): number;
  /** Where `at` and `leg` have what is known of its first arrival; -1: nothing any more. */
  find(channel: string, key: Key): number;
  readonly at: Float64Array;
  readonly leg: Uint8Array;
}

/** @throws UsageError `ERR_INVALID_OPTION` */
export function arrivalsFor({ key, sequence, maxKeys = 65_536 }: DeduplicationOptions): Arrivals {
  if ((key === undefined) === (sequence === undefined))
    throw new UsageError('ERR_INVALID_OPTION', '`deduplication` needs either `key` or `sequence`');
  if (!Number.isInteger(maxKeys) || maxKeys < 1)
    throw new UsageError('ERR_INVALID_OPTION', `maxKeys is a whole number above 0, not ${maxKeys}`);
  return sequence === undefined ? new KeyArrivals(maxKeys) : new SequenceArrivals();
}

/** A ring of keys: the newest takes the place of the oldest. */
export class KeyArrivals implements Arrivals {
  readonly at: Float64Array;
  readonly leg: Uint8Array;
  readonly #slots = new Map<string, Map<Key, number>>();
  readonly #keys: Key[] = [];
  readonly #channels: string[] = [];
  readonly #limit: number;
  #next = 0;

  constructor(limit: number) {
    this.#limit = limit;
    this.at = new Float64Array(limit);
    this.leg = new Uint8Array(limit);
  }

  /** Keys that are remembered. */
  get size(): number {
    return this.#keys.length;
  }

  place(channel: string, key: Key, isJoined: boolean): Place {
    if (this.#slots.get(channel)?.has(key)) return 'known';
    return isJoined ? 'next' : 'ahead';
  }

  record(channel: string, key: Key, at: number, leg: number): number {
    const slot = this.#next;
    if (this.#keys.length === this.#limit) this.#forget(slot);
    this.#next = (slot + 1) % this.#limit;
    let slots = this.#slots.get(channel);
    if (slots === undefined) {
      slots = new Map();
      this.#slots.set(channel, slots);
    }
    slots.set(key, slot);
    this.#keys[slot] = key;
    this.#channels[slot] = channel;
    this.at[slot] = at;
    this.leg[slot] = leg;
    return 0;
  }

  find(channel: string, key: Key): number {
    return this.#slots.get(channel)?.get(key) ?? -1;
  }

  #forget(slot: number): void {
    const channel = this.#channels[slot];
    const slots = this.#slots.get(channel);
    slots?.delete(this.#keys[slot]);
    if (slots?.size === 0) this.#slots.delete(channel);
  }
}

/** Channels whose last number is remembered; beyond, the one that was heard of first is forgotten. */
const MAX_CHANNELS = 65_536;
/** Arrivals that are remembered for their times, of all channels together: a power of two. */
const TIMES = 65_536;

interface LastOf {
  id: number;
  /** Where the times of this channel begin; others may overwrite them. */
  readonly base: number;
}

/** The last number of each channel says it all; the rest is for the times only. */
export class SequenceArrivals implements Arrivals {
  readonly at = new Float64Array(TIMES);
  readonly leg = new Uint8Array(TIMES);
  readonly #last = new Map<string, LastOf>();
  readonly #owners: (LastOf | undefined)[] = [];
  readonly #ids = new Float64Array(TIMES);

  place(channel: string, key: Key, isJoined: boolean): Place {
    const last = this.#last.get(channel);
    const id = Number(key);
    if (last === undefined) return isJoined ? 'next' : 'ahead';
    if (id <= last.id) return 'known';
    return id === last.id + 1 ? 'next' : 'ahead';
  }

  record(channel: string, key: Key, at: number, leg: number): number {
    const id = Number(key);
    let last = this.#last.get(channel);
    const leftOut = last === undefined ? 0 : Math.max(0, id - last.id - 1);
    if (last === undefined) {
      if (this.#last.size === MAX_CHANNELS) this.#last.delete(this.#last.keys().next().value!);
      last = { id, base: (this.#last.size * 7_919) % TIMES };
      this.#last.set(channel, last);
    }
    const slot = (last.base + id) % TIMES;
    last.id = id;
    this.#owners[slot] = last;
    this.#ids[slot] = id;
    this.at[slot] = at;
    this.leg[slot] = leg;
    return leftOut;
  }

  find(channel: string, key: Key): number {
    const last = this.#last.get(channel);
    if (last === undefined) return -1;
    const id = Number(key);
    const slot = (last.base + id) % TIMES;
    return this.#owners[slot] === last && this.#ids[slot] === id ? slot : -1;
  }
}
