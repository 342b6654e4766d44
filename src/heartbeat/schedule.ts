/**
 * The one timer behind all heartbeats of a thread: a heap of who wants to be woken when. What is due at once is
 * spread over turns of the event loop (pinging 10 000 connections in one turn would stall it for 245 ms), and times
 * are rounded, so that many connections share a wake-up.
 */

import { type Clock, systemClock } from './clock.js';
import { LoopLag } from './loop-lag.js';

export interface Scheduled {
  /** When, and its place in the heap: the schedule's to write. -1: in none. */
  dueAt: number;
  position: number;
  onDue(now: number): void;
  /** The event loop has read all that had arrived when `afterPoll` was called. `now`: when this turn's slice began. */
  onPolled(now: number): void;
}

/** ms that times are rounded up to. */
const GRAIN = 10;
/** As many are woken in one turn: at 10 to 25 µs for a Ping, 1 ms or so. */
const SLICE = 64;
/** ms between looks at the event loop, when nothing else is due. */
const LOOK = 100;

export class Schedule {
  readonly lag = new LoopLag();
  readonly #clock: Clock;
  #heap: Scheduled[] = [];
  #timer: unknown;
  /** When the timer is due, and from when on it is late: the same, unless that has been noted already. */
  #wakeAt = Infinity;
  #expectedAt = Infinity;
  /** Slices follow in the next turns. */
  #slicing = false;

  /** Those for whom the loop has yet to poll, and those for whom it has once. */
  #beforePoll: Scheduled[] = [];
  #afterPoll: Scheduled[] = [];
  #polling = false;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  /** How many wait. */
  get size(): number {
    return this.#heap.length;
  }

  /** Looks at the event loop now: in a callback that came before the timer, a stall is not yet known. */
  look(): LoopLag {
    const now = this.#clock.now();
    this.lag.note(now, this.#expectedAt);
    if (this.#expectedAt < now) this.#expectedAt = now;
    return this.lag;
  }

  /** Wakes `entry` at `dueAt`, and not when it was to be woken before. */
  set(entry: Scheduled, dueAt: number): void {
    const at = Math.ceil(dueAt / GRAIN) * GRAIN;
    const isNew = entry.position < 0;
    if (isNew) entry.position = this.#heap.push(entry) - 1;
    const later = !isNew && at > entry.dueAt;
    entry.dueAt = at;
    if (later) this.#sink(entry);
    else this.#rise(entry);
    this.#arm();
  }

  /** Neither `onDue` nor `onPolled` is called any more. */
  remove(entry: Scheduled): void {
    this.#take(entry);
    this.#beforePoll = without(this.#beforePoll, entry);
    this.#afterPoll = without(this.#afterPoll, entry);
    if (this.#heap.length === 0) this.#disarm();
  }

  /**
   * Calls `entry.onPolled` when the event loop has been through a whole poll phase: two check phases from now, since
   * the next one may come before any poll (DESIGN.md, fact 14).
   */
  afterPoll(entry: Scheduled): void {
    this.#beforePoll.push(entry);
    this.#poll();
  }

  // --------------------------------------------------------------------------------------------- the timer

  #arm(): void {
    if (this.#slicing || this.#heap.length === 0) return;
    const now = this.#clock.now();
    const wakeAt = Math.min(this.#heap[0].dueAt, now + LOOK);
    if (this.#timer !== undefined) {
      if (this.#wakeAt <= wakeAt) return;
      this.#clock.cancel(this.#timer);
    }
    this.#wakeAt = wakeAt;
    this.#expectedAt = Math.max(wakeAt, now);
    this.#timer = this.#clock.start(this.#onTimer, Math.max(1, Math.ceil(wakeAt - now)));
  }

  #disarm(): void {
    if (this.#timer !== undefined) this.#clock.cancel(this.#timer);
    this.#timer = undefined;
    this.#wakeAt = Infinity;
    this.#expectedAt = Infinity;
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#wakeAt = Infinity;
    this.look();
    this.#wake();
  };

  /** One slice of those that are due. */
  #wake(): void {
    this.#slicing = true;
    this.#expectedAt = Infinity;
    try {
      for (let woken = 0; woken < SLICE && this.#isDue(); woken++) {
        const first = this.#heap[0];
        const now = this.#clock.now();
        this.#take(first);
        first.onDue(now);
      }
    } finally {
      this.#slicing = this.#isDue();
      if (this.#slicing) this.#clock.immediate(() => this.#wake());
      else this.#arm();
    }
  }

  #isDue(): boolean {
    return this.#heap.length > 0 && this.#heap[0].dueAt <= this.#clock.now();
  }

  // ---------------------------------------------------------------------------------------------- the polls

  #poll(): void {
    if (this.#polling) return;
    this.#polling = true;
    this.#clock.immediate(this.#onChecked);
  }

  readonly #onChecked = (): void => {
    this.#polling = false;
    const now = this.#clock.now();
    for (const entry of this.#afterPoll.splice(0, SLICE)) entry.onPolled(now);
    // Whoever waited for a first check phase has come to the second when the rest has been served.
    if (this.#afterPoll.length === 0) {
      this.#afterPoll = this.#beforePoll;
      this.#beforePoll = [];
    }
    if (this.#afterPoll.length > 0) this.#poll();
  };

  // ----------------------------------------------------------------------------------------------- the heap

  #take(entry: Scheduled): void {
    const { position } = entry;
    if (position < 0) return;
    entry.position = -1;
    const last = this.#heap.pop()!;
    if (last === entry) return;
    this.#place(last, position);
    this.#rise(last);
    this.#sink(last);
  }

  #place(entry: Scheduled, position: number): void {
    this.#heap[position] = entry;
    entry.position = position;
  }

  #rise(entry: Scheduled): void {
    while (entry.position > 0) {
      const parent = this.#heap[(entry.position - 1) >> 1];
      if (parent.dueAt <= entry.dueAt) return;
      this.#swap(parent, entry);
    }
  }

  #sink(entry: Scheduled): void {
    const heap = this.#heap;
    for (;;) {
      const left = 2 * entry.position + 1;
      if (left >= heap.length) return;
      const right = heap[left + 1];
      const child = right !== undefined && right.dueAt < heap[left].dueAt ? right : heap[left];
      if (child.dueAt >= entry.dueAt) return;
      this.#swap(entry, child);
    }
  }

  /** `child` takes the place of its parent. */
  #swap(parent: Scheduled, child: Scheduled): void {
    const { position } = parent;
    this.#place(parent, child.position);
    this.#place(child, position);
  }
}

/** Nearly always the list is empty: it holds those whose deadline is just passing. */
function without(list: Scheduled[], entry: Scheduled): Scheduled[] {
  return list.includes(entry) ? list.filter((each) => each !== entry) : list;
}

let shared: Schedule | undefined;

/** The schedule of this thread. */
export function sharedSchedule(): Schedule {
  shared ??= new Schedule();
  return shared;
}
