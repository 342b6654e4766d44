/**
 * One stream out of several connections that bring the same messages, each in its order: every message once, in
 * order, from whichever connection brings it first.
 *
 * A connection that joins later brings messages that come after some which it never had. They are held until the
 * two streams have met: until a message has come on both. What it brought before that one is older, and has been
 * delivered; what it brought after follows. From then on neither can overtake what is missing of the other, because
 * nothing is missing. A connection that leaves something out (which only numbers show) is held in the same way,
 * while another may bring it.
 *
 * Where they do not meet, because a channel is quiet or the other connection is ill, holding ends after `maxHold`
 * ms, or when no connection is left that could bring what is missing.
 */

import { Kind } from '../codec/layout.js';
import type { KeptMessage } from '../message-queue.js';
import { rethrow } from '../protocol/callback.js';
import { Message } from '../protocol/message.js';
import type { Clock } from './clock.js';
import { type Arrivals, arrivalsFor, type DeduplicationOptions, type Key, NOBODY } from './deduplication.js';
import { Lateness } from './lateness.js';

interface Held extends KeptMessage {
  readonly key: Key;
  readonly channel: string | undefined;
}

/** One connection's part. Its figures go on over reconnections, if it is used again. */
export class MergedLeg {
  readonly index: number;
  /** Messages that it brought first, and those that another had brought. */
  first = 0;
  late = 0;
  /** Before the others' copies, of those that it brought first; and behind, of those it did not. */
  readonly lead = new Lateness();
  readonly lag = new Lateness();
  /** @internal It is with the others on every channel, but those in `joined` that it is not. */
  incumbent = false;
  /** @internal */
  readonly joined = new Map<string, boolean>();
  /** @internal */
  readonly held = new Map<string, { readonly since: number; readonly messages: Held[] }>();
  /** @internal Since when it has all that is sent. */
  completeSince = Number.POSITIVE_INFINITY;

  constructor(index: number) {
    this.index = index;
  }

  /** On every channel that the other one has brought messages of, this one is known to miss nothing. */
  hasMet(other: MergedLeg): boolean {
    if (this.held.size > 0) return false;
    for (const [channel, joined] of other.joined) if (joined && !this.isJoined(channel)) return false;
    return true;
  }

  /** @internal */
  isJoined(channel: string): boolean {
    return this.joined.get(channel) ?? this.incumbent;
  }
}

export interface MergeOwner {
  /** Reading is to stop. */
  readonly isPaused: boolean;
  deliver(message: Message, channel: string | undefined): void;
}

/** Messages and bytes that are held at most; then what is held the longest is let go. */
const MAX_HELD = 10_000;
const MAX_HELD_BYTES = 16 * 1024 * 1024;

export class Merge {
  /** Messages that no connection brought, as far as numbers show it. */
  leftOut = 0;
  readonly #clock: Clock;
  readonly #owner: MergeOwner;
  readonly #maxHold: number;
  readonly #identify: (message: Message) => Key | undefined;
  readonly #arrivals: Arrivals;
  readonly #legs = new Set<MergedLeg>();
  readonly #cursor = new Message(Buffer.alloc(0));
  /** What is delivered next, in order. */
  #outbox: Held[] = [];
  #calling = false;
  #held = 0;
  #heldBytes = 0;
  #cancelTimer: (() => void) | undefined;

  /**
   * @param maxHold ms that a message may wait for what another connection may bring
   * @throws UsageError `ERR_INVALID_OPTION`
   */
  constructor(clock: Clock, options: DeduplicationOptions, maxHold: number, owner: MergeOwner) {
    this.#clock = clock;
    this.#owner = owner;
    this.#maxHold = maxHold;
    this.#arrivals = arrivalsFor(options);
    this.#identify = (message) => (options.key ?? options.sequence)!.call(options, message);
  }

  /** Messages that are held. */
  get heldMessages(): number {
    return this.#held;
  }

  /** Something that is to be delivered waits for the application. */
  get isBlocked(): boolean {
    return this.#outbox.length > 0;
  }

  /** A connection that begins to bring messages. The first one has nobody to meet. */
  add(leg: MergedLeg): void {
    leg.incumbent = this.#legs.size === 0;
    leg.completeSince = Number.POSITIVE_INFINITY;
    leg.joined.clear();
    this.#legs.add(leg);
  }

  /** It is subscribed to everything. */
  complete(leg: MergedLeg): void {
    leg.completeSince = this.#clock.now();
  }

  /** It brings nothing any more. Who waited for it need not. */
  remove(leg: MergedLeg): void {
    if (!this.#legs.delete(leg)) return;
    for (const channel of [...leg.held.keys()]) {
      if (this.#mayCome(channel)) this.#drop(leg, channel, leg.held.get(channel)!.messages.length);
      else this.#release(leg, channel);
    }
    for (const other of this.#legs) {
      for (const channel of [...other.held.keys()])
        if (!this.#mayCome(channel)) this.#release(other, channel);
    }
    this.#appoint();
    this.#empty();
  }

  /** With nobody to meet, who has been complete the longest is the measure of the others. */
  #appoint(): void {
    const legs = [...this.#legs].sort((a, b) => a.completeSince - b.completeSince);
    if (legs.length === 0 || legs.some(({ incumbent }) => incumbent)) return;
    legs[0].incumbent = true;
    legs[0].joined.clear();
  }

  end(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#legs.clear();
  }

  /** The application takes messages again. */
  resumed(): void {
    if (this.#outbox.length > 0) process.nextTick(() => this.#empty());
  }

  /** A message has come by `leg`. */
  offer(leg: MergedLeg, message: Message, channel: string | undefined): void {
    let key: Key | undefined;
    try {
      key = this.#identify(message);
    } catch (thrown) {
      rethrow(thrown);
    }
    if (key === undefined) {
      this.#hand(message, channel);
      this.#empty();
      return;
    }
    const name = channel ?? '';
    const isJoined = leg.isJoined(name);
    switch (this.#arrivals.place(name, key, isJoined)) {
      case 'known':
        this.#late(leg, name, key, message.receivedAt);
        // What it brought before this one is older still.
        if (!isJoined) this.#join(leg, name);
        return;
      case 'ahead':
        if (!this.#waits(leg, name)) break;
        leg.joined.set(name, false);
        this.#hold(leg, name, key, message, channel);
        if (!this.#mayCome(name)) this.#releaseFirst(name);
        this.#empty();
        return;
    }
    // What it has held until now is older: it is out of turn no more.
    if (leg.held.has(name)) this.#release(leg, name);
    leg.joined.set(name, true);
    this.#first(leg, name, key, message.receivedAt);
    this.#hand(message, channel);
    this.#settle(name);
    this.#empty();
  }

  /** May another connection bring what is missing before this one's message? */
  #waits(leg: MergedLeg, name: string): boolean {
    const isNew = !leg.incumbent && !leg.joined.has(name);
    // All that it was not yet subscribed to has long come on the others.
    if (isNew && this.#clock.now() - leg.completeSince > this.#maxHold) return false;
    for (const other of this.#legs)
      if (other !== leg && (other.isJoined(name) || other.held.has(name))) return true;
    return false;
  }

  #mayCome(name: string): boolean {
    for (const leg of this.#legs) if (leg.isJoined(name)) return true;
    return false;
  }

  #join(leg: MergedLeg, name: string): void {
    leg.joined.set(name, true);
    const held = leg.held.get(name);
    if (held === undefined) return;
    for (const { key, receivedAt } of held.messages) this.#late(leg, name, key, receivedAt);
    this.#drop(leg, name, held.messages.length);
  }

  #first(leg: MergedLeg, name: string, key: Key, at: number): void {
    leg.first++;
    this.leftOut += this.#arrivals.record(name, key, at, leg.index);
  }

  #late(leg: MergedLeg, name: string, key: Key, at: number): void {
    leg.late++;
    const arrivals = this.#arrivals;
    const found = arrivals.find(name, key);
    if (found < 0) return;
    const by = arrivals.leg[found];
    if (by === leg.index) return;
    const lag = at - arrivals.at[found];
    leg.lag.add(lag);
    if (by === NOBODY) return;
    // Of three copies, the second tells the first one's lead.
    arrivals.leg[found] = NOBODY;
    for (const other of this.#legs) if (other.index === by) other.lead.add(lag);
  }

  // ---------------------------------------------------------------------------------------------- holding

  #hold(leg: MergedLeg, name: string, key: Key, message: Message, channel: string | undefined): void {
    let held = leg.held.get(name);
    if (held === undefined) {
      held = { since: this.#clock.now(), messages: [] };
      leg.held.set(name, held);
      this.#schedule();
    }
    const kept = keep(message, key, channel);
    held.messages.push(kept);
    this.#held++;
    this.#heldBytes += kept.data.length;
    if (this.#held > MAX_HELD || this.#heldBytes > MAX_HELD_BYTES) this.#releaseOldest();
  }

  /** Something new was delivered on this channel: has it met what is held? */
  #settle(name: string): void {
    for (let again = true; again; ) {
      again = false;
      for (const leg of this.#legs) if (leg.held.has(name)) again = this.#meet(leg, name) || again;
    }
  }

  /** True when something was delivered. */
  #meet(leg: MergedLeg, name: string): boolean {
    const { messages } = leg.held.get(name)!;
    let met = messages.length - 1;
    while (met >= 0 && this.#arrivals.place(name, messages[met].key, false) !== 'known') met--;
    for (const { key, receivedAt } of messages.slice(0, met + 1)) this.#late(leg, name, key, receivedAt);
    this.#drop(leg, name, met + 1);
    let delivered = false;
    while (messages.length > 0) {
      if (this.#arrivals.place(name, messages[0].key, met >= 0) !== 'next') return delivered;
      this.#deliverHeld(leg, name);
      delivered = true;
    }
    leg.joined.set(name, true);
    return delivered;
  }

  /** What is missing before them will not come, or is not waited for. */
  #release(leg: MergedLeg, name: string): void {
    const { messages } = leg.held.get(name)!;
    leg.joined.set(name, true);
    while (messages.length > 0) {
      const { key, receivedAt } = messages[0];
      if (this.#arrivals.place(name, key, true) === 'known') {
        this.#late(leg, name, key, receivedAt);
        this.#drop(leg, name, 1);
      } else {
        this.#deliverHeld(leg, name);
      }
    }
    this.#settle(name);
  }

  /** All connections wait on this channel: the one that is least ahead does so in vain. */
  #releaseFirst(name: string): void {
    const waiting = [...this.#legs].filter(({ held }) => held.has(name));
    const first = (leg: MergedLeg): Held => leg.held.get(name)!.messages[0];
    waiting.sort((a, b) => order(first(a), first(b)));
    if (waiting.length > 0) this.#release(waiting[0], name);
  }

  #releaseOldest(): void {
    let oldest: { leg: MergedLeg; name: string; since: number } | undefined;
    for (const { leg, name, since } of this.#everyHeld())
      if (oldest === undefined || since < oldest.since) oldest = { leg, name, since };
    if (oldest !== undefined) this.#release(oldest.leg, oldest.name);
  }

  *#everyHeld(): Iterable<{ leg: MergedLeg; name: string; since: number }> {
    for (const leg of this.#legs) for (const [name, { since }] of leg.held) yield { leg, name, since };
  }

  #schedule(): void {
    if (this.#cancelTimer !== undefined) return;
    const due = Math.min(...Array.from(this.#everyHeld(), ({ since }) => since + this.#maxHold));
    if (due === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer = this.#clock.after(Math.max(1, due - this.#clock.now()), () => {
      this.#cancelTimer = undefined;
      // What is not read cannot be missed.
      const until = this.#owner.isPaused ? Number.NEGATIVE_INFINITY : this.#clock.now() - this.#maxHold;
      const isDue = ({ since }: { since: number }): boolean => since <= until;
      for (const { leg, name } of [...this.#everyHeld()].filter(isDue))
        if (leg.held.has(name)) this.#release(leg, name);
      this.#empty();
      this.#schedule();
    });
  }

  /** The first so many of what is held. */
  #drop(leg: MergedLeg, name: string, count: number): void {
    const { messages } = leg.held.get(name)!;
    for (const { data } of messages.splice(0, count)) this.#heldBytes -= data.length;
    this.#held -= count;
    if (messages.length === 0) leg.held.delete(name);
  }

  // --------------------------------------------------------------------------------------------- delivery

  #deliverHeld(leg: MergedLeg, name: string): void {
    const held = leg.held.get(name)!.messages[0];
    this.#drop(leg, name, 1);
    this.#first(leg, name, held.key, held.receivedAt);
    this.#outbox.push(held);
  }

  #hand(message: Message, channel: string | undefined): void {
    if (this.#outbox.length > 0 || this.#calling) this.#outbox.push(keep(message, '', channel));
    else this.#call(message, channel);
  }

  /** Delivers what has been decided on; never from within a callback of the application's, who may end or pause us. */
  #empty(): void {
    while (this.#outbox.length > 0 && !this.#calling && !this.#owner.isPaused) {
      const { isText, data, receivedAt, channel } = this.#outbox.shift()!;
      this.#cursor.read(data, receivedAt);
      this.#cursor.pointElsewhere(isText ? Kind.text : Kind.binary, data, data.length, true);
      if (this.#outbox.length === 0) this.#cursor.markLast();
      this.#call(this.#cursor, channel);
      this.#cursor.expire();
    }
  }

  /** No exception of the application's crosses a read (lease rule 5). */
  #call(message: Message, channel: string | undefined): void {
    this.#calling = true;
    try {
      this.#owner.deliver(message, channel);
    } catch (thrown) {
      rethrow(thrown);
    }
    this.#calling = false;
  }
}

function keep(message: Message, key: Key, channel: string | undefined): Held {
  const { isText, receivedAt } = message;
  return { isText, data: message.copy(), receivedAt, key, channel };
}

/** By number; where there is none, by time. */
function order(a: Held, b: Held): number {
  return typeof a.key === 'number' && typeof b.key === 'number' ? a.key - b.key : a.receivedAt - b.receivedAt;
}
