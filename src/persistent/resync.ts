/**
 * One channel that has to begin anew from a snapshot. Its updates are held, bounded, until the snapshot is there;
 * those that it contains already are left out, and those that follow it are delivered, in order. Until then nothing
 * of the channel is delivered: what is built on it is either right or waiting.
 */

import { Kind } from '../codec/layout.js';
import { HeartwireError } from '../errors.js';
import { Message } from '../protocol/message.js';
import type { Clock } from './clock.js';
import type { Gap } from './gap.js';
import type { SequenceMark, SequenceTracker } from './sequence.js';

/** What is asked for. */
export interface ResyncRequest {
  readonly channel: string;
  /** What made it necessary; undefined: the subscription has begun, or begun anew. */
  readonly gap: Gap | undefined;
  /** 1 for the first, and one more for each that failed. */
  readonly attempt: number;
  /** Aborts when the answer is of no use any more. */
  readonly signal: AbortSignal;
}

export interface ResyncOptions {
  /**
   * Fetches a snapshot and takes it in, and returns the id of the last update that it contains; undefined where
   * updates have no ids. Called when the channel is subscribed, and after every gap. `'resubscribe'`: the venue sends
   * one, marked as `reset`, to who subscribes anew; then it is called for only after a gap.
   */
  snapshot: 'resubscribe' | ((request: ResyncRequest) => Promise<number | undefined> | number | undefined);
  /** ms for a snapshot; then another is asked for. Default 10_000. */
  timeout?: number;
  /** Updates that are held; with more, another snapshot is asked for. Default 10_000. */
  maxMessages?: number;
  /** Default 16 MiB. */
  maxBytes?: number;
}

/** A resync that is over. */
export interface Resynced {
  readonly channel: string;
  readonly gap: Gap | undefined;
  /** The id of the snapshot: everything up to it was in it. */
  readonly snapshot: number | undefined;
  /** Held updates that the snapshot contained, and that were left out. */
  readonly covered: number;
  /** Held updates that follow it, and are delivered now. */
  readonly replayed: number;
  readonly attempts: number;
}

/** A snapshot that did not come, or came too late; another is asked for after `delay` ms. */
export interface ResyncFailure {
  readonly channel: string;
  readonly attempt: number;
  readonly delay: number;
  readonly error: Error;
}

interface HeldUpdate {
  readonly isText: boolean;
  readonly data: Buffer;
  readonly receivedAt: number;
  readonly mark: SequenceMark | undefined;
}

export interface ResyncOwner {
  /** Delivery is to stop. */
  readonly isPaused: boolean;
  /** Subscribes anew; false: it cannot be done now. */
  resubscribe(): boolean;
  /** What the numbers would say from this snapshot on. */
  trackerFrom(snapshot: number | undefined): SequenceTracker;
  /** From this snapshot the ids go on. */
  begin(snapshot: number | undefined): void;
  /** A held update is delivered like any other, unless it was late, or a gap before it makes `begin` necessary. */
  deliver(message: Message, mark: SequenceMark | undefined): void;
  onResynced(resynced: Resynced): void;
  onFailed(failure: ResyncFailure): void;
}

const FIRST_DELAY = 250;
const LONGEST_DELAY = 30_000;

export class ChannelResync {
  readonly #channel: string;
  readonly #clock: Clock;
  readonly #options: Required<ResyncOptions>;
  readonly #owner: ResyncOwner;
  readonly #message = new Message(Buffer.alloc(0));
  #held: HeldUpdate[] = [];
  #bytes = 0;
  /** Left out so far: the next snapshot contains them. */
  #covered = 0;
  #gap: Gap | undefined;
  #attempt = 0;
  #isHolding: boolean;
  /** The snapshot is in; the rest of what was held waits for delivery to go on. */
  #isReplaying = false;
  #asked: AbortController | undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(channel: string, options: ResyncOptions, clock: Clock, owner: ResyncOwner) {
    const { maxBytes = 16 * 1024 * 1024, maxMessages = 10_000, snapshot, timeout = 10_000 } = options;
    this.#channel = channel;
    this.#options = { maxBytes, maxMessages, snapshot, timeout };
    this.#clock = clock;
    this.#owner = owner;
    this.#isHolding = !this.isOfVenue;
  }

  /** The venue sends its snapshots in the stream. */
  get isOfVenue(): boolean {
    return this.#options.snapshot === 'resubscribe';
  }

  /** Nothing of the channel is delivered. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  /** Updates that wait. */
  get length(): number {
    return this.#held.length;
  }

  /** A snapshot is needed: after a gap, or because the subscription has begun. */
  begin(gap: Gap | undefined): void {
    this.#isHolding = true;
    this.#isReplaying = false;
    this.#gap = gap ?? this.#gap;
    if (this.#asked === undefined && this.#cancelTimer === undefined) this.#ask();
  }

  /** An update, while there is no snapshot yet. */
  hold(message: Message, mark: SequenceMark | undefined): void {
    const { maxBytes, maxMessages } = this.#options;
    // The venue's snapshot comes behind these, in the same stream: they are in it.
    if (this.isOfVenue) {
      this.#covered++;
      return;
    }
    const data = Buffer.from(
      message.buffer.subarray(message.byteOffset, message.byteOffset + message.byteLength),
    );
    this.#held.push({ isText: message.isText, data, receivedAt: message.receivedAt, mark });
    this.#bytes += data.length;
    if (this.#held.length <= maxMessages && this.#bytes <= maxBytes) return;
    this.#covered += this.#held.length;
    this.#held = [];
    this.#bytes = 0;
    if (this.#isReplaying) this.begin(this.#gap);
    else if (this.#asked !== undefined) this.#failed(tooMany(this.#channel, maxMessages, maxBytes));
  }

  /** The venue's snapshot has come, and is delivered like any message. */
  arrived(snapshot: number): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#asked = undefined;
    this.#isHolding = false;
    this.#done(snapshot, 0);
  }

  /** Delivery may go on. */
  resumed(): void {
    if (this.#isReplaying) queueMicrotask(() => this.#replay());
  }

  /** The subscription is gone, and with it what was held: the snapshot of the next one contains it. */
  cancel(): void {
    this.#asked?.abort();
    this.#asked = undefined;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#held = [];
    this.#bytes = 0;
    this.#isReplaying = false;
    this.#isHolding = !this.isOfVenue;
    this.#gap = undefined;
    this.#attempt = 0;
    this.#covered = 0;
  }

  #ask(): void {
    const { snapshot, timeout } = this.#options;
    const asked = new AbortController();
    this.#asked = asked;
    const attempt = ++this.#attempt;
    this.#cancelTimer = this.#clock.after(timeout, () => this.#failed(late(this.#channel, timeout)));
    if (snapshot === 'resubscribe') {
      if (!this.#owner.resubscribe()) this.#failed(late(this.#channel, 0));
      return;
    }
    const request = { channel: this.#channel, gap: this.#gap, attempt, signal: asked.signal };
    const ask = async (): Promise<number | undefined> => snapshot(request);
    ask().then(
      (id) => this.#asked === asked && this.#takenIn(id),
      (thrown) => this.#asked === asked && this.#failed(thrown),
    );
  }

  #failed(thrown: unknown): void {
    this.#asked?.abort();
    this.#asked = undefined;
    this.#cancelTimer?.();
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    const attempt = this.#attempt;
    const delay = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1));
    this.#cancelTimer = this.#clock.after(delay, () => {
      this.#cancelTimer = undefined;
      this.#ask();
    });
    this.#owner.onFailed({ channel: this.#channel, attempt, delay, error });
  }

  #takenIn(snapshot: number | undefined): void {
    this.#asked = undefined;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const tracker = this.#owner.trackerFrom(snapshot);
    const follows = this.#held.filter(({ mark }) => mark === undefined || !tracker.isLate(mark));
    const mark = follows.find((held) => held.mark !== undefined)?.mark;
    if (snapshot !== undefined && mark !== undefined && tracker.missing(mark) !== 0 && !mark.reset) {
      this.#failed(tooOld(this.#channel, snapshot, mark.from ?? mark.id));
      return;
    }
    this.#owner.begin(snapshot);
    this.#covered += this.#held.length - follows.length;
    this.#held = follows;
    this.#bytes = follows.reduce((sum, { data }) => sum + data.length, 0);
    this.#isReplaying = true;
    this.#done(snapshot, this.#held.length);
    this.#replay();
  }

  #done(snapshot: number | undefined, replayed: number): void {
    const resynced = { channel: this.#channel, gap: this.#gap, snapshot, covered: this.#covered, replayed };
    const attempts = this.#attempt;
    this.#gap = undefined;
    this.#attempt = 0;
    this.#covered = 0;
    this.#owner.onResynced({ ...resynced, attempts });
  }

  #replay(): void {
    let next = 0;
    while (this.#isReplaying && !this.#owner.isPaused && next < this.#held.length) {
      const { data, isText, mark, receivedAt } = this.#held[next];
      this.#message.read(data, receivedAt);
      this.#message.pointElsewhere(isText ? Kind.text : Kind.binary, data, data.length, true);
      if (next === this.#held.length - 1) this.#message.markLast();
      this.#owner.deliver(this.#message, mark);
      this.#message.expire();
      // There was a gap before it, and it stays for another snapshot; or all of them are gone.
      if (!this.#isReplaying) break;
      this.#bytes -= data.length;
      next++;
    }
    this.#held.splice(0, next);
    if (!this.#isReplaying || this.#held.length > 0) return;
    this.#isReplaying = false;
    this.#isHolding = false;
  }
}

function late(channel: string, ms: number): HeartwireError {
  return new HeartwireError('ERR_SNAPSHOT_TIMEOUT', `No snapshot of ${channel} within ${ms} ms`);
}

function tooOld(channel: string, snapshot: number, first: number): HeartwireError {
  const message = `The snapshot of ${channel} ends with ${snapshot}, and the updates begin with ${first}`;
  return new HeartwireError('ERR_SNAPSHOT_TOO_OLD', message);
}

function tooMany(channel: string, messages: number, bytes: number): HeartwireError {
  const message = `More than ${messages} updates of ${channel}, or ${bytes} bytes, wait for a snapshot`;
  return new HeartwireError('ERR_TOO_MANY_UPDATES', message);
}
