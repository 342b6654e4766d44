/**
 * Whether data still comes, by subscription. A link that answers Pings says nothing about it: only messages of the
 * channel itself count here. A subscription is watched from its acknowledgement on; when its deadline passes without
 * a message, it is asked for anew, and if that does not help, the connection is given up.
 */

import type { Clock } from './clock.js';

/** One subscription with a deadline. */
export class Watched {
  readonly key: string;
  /** ms. */
  readonly deadline: number;
  /** When data came last, on whatever connection; in ms of the clock. */
  lastDataAt: number | undefined;
  isStale = false;
  /** Since when data is awaited; undefined: it is not, for there is no acknowledged subscription. */
  since: number | undefined;
  /** Messages since then: the first may be a snapshot that an idle publisher's cache gives to everybody. */
  messages = 0;
  /** Asked for anew, in vain so far. */
  renewed = false;
  /** How many deadlines it is given: a channel that is dead for good must not have everything reconnect all day. */
  patience = 1;

  constructor(key: string, deadline: number) {
    this.key = key;
    this.deadline = deadline;
  }

  /** When it is stale; undefined: never. */
  get due(): number | undefined {
    if (this.since === undefined) return undefined;
    return Math.max(this.since, this.lastDataAt ?? 0) + this.deadline * this.patience;
  }
}

export interface WatchdogOwner {
  /** What is not read while reading is paused is not missing. */
  readonly isPaused: boolean;
  /** Its deadline has passed. It is not watched any more, until `arm`. */
  onStale(watched: Watched, action: 'resubscribe' | 'reconnect', silence: number): void;
  onLive(watched: Watched, silence: number): void;
}

const MOST_PATIENCE = 16;

export class DataWatchdog {
  readonly #clock: Clock;
  readonly #owner: WatchdogOwner;
  readonly #watched = new Set<Watched>();
  #cancelTimer: (() => void) | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, owner: WatchdogOwner) {
    this.#clock = clock;
    this.#owner = owner;
  }

  /** It is subscribed. */
  arm(watched: Watched): void {
    watched.since = this.#clock.now();
    watched.messages = 0;
    this.#watched.add(watched);
    this.#schedule();
  }

  disarm(watched: Watched): void {
    watched.since = undefined;
    if (this.#watched.delete(watched) && this.#watched.size === 0) this.#cancel();
  }

  disarmAll(): void {
    for (const watched of [...this.#watched]) this.disarm(watched);
  }

  /** Data has come. */
  heard(watched: Watched, now: number): void {
    const silence = now - (watched.lastDataAt ?? watched.since ?? now);
    watched.lastDataAt = now;
    if (++watched.messages === 2) {
      watched.renewed = false;
      watched.patience = 1;
    }
    if (!watched.isStale) return;
    watched.isStale = false;
    this.#owner.onLive(watched, silence);
  }

  /** Reading goes on after a pause: everybody has their whole deadline again. */
  resumed(): void {
    const now = this.#clock.now();
    for (const watched of this.#watched) watched.since = now;
  }

  #schedule(): void {
    let first = Number.POSITIVE_INFINITY;
    for (const watched of this.#watched) first = Math.min(first, watched.due!);
    if (first >= this.#timerAt || first === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer?.();
    this.#timerAt = first;
    this.#cancelTimer = this.#clock.after(Math.max(0, first - this.#clock.now()), () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#cancelTimer = undefined;
      if (this.#overdue().length === 0) this.#schedule();
      // A loop that stood still has data unread in the kernel: two check phases later it has been read.
      else setImmediate(() => setImmediate(() => this.#judge()));
    });
  }

  #cancel(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #overdue(): Watched[] {
    const now = this.#clock.now();
    return [...this.#watched].filter((watched) => watched.due! <= now);
  }

  #judge(): void {
    if (this.#owner.isPaused) this.resumed();
    for (const watched of this.#overdue()) {
      // What was done about another one may have ended this one's connection.
      if (watched.since === undefined) continue;
      const silence = this.#clock.now() - Math.max(watched.since, watched.lastDataAt ?? 0);
      const action = watched.renewed ? 'reconnect' : 'resubscribe';
      watched.renewed = !watched.renewed;
      if (action === 'reconnect') watched.patience = Math.min(MOST_PATIENCE, watched.patience * 2);
      watched.isStale = true;
      this.disarm(watched);
      this.#owner.onStale(watched, action, silence);
    }
    this.#schedule();
  }
}
