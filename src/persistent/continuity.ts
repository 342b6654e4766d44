/**
 * What a row of connections makes of its channels: whether their data is live, what was missed between two messages,
 * and what has to begin anew because of that. Only channels with a deadline, a numbering or a snapshot are looked at
 * message by message; of the others it is known when their connection was lost and when they were subscribed again.
 */

import { UsageError } from '../errors.js';
import { rethrow } from '../protocol/callback.js';
import type { Message } from '../protocol/message.js';
import type { Clock } from './clock.js';
import { DataWatchdog, Watched } from './data-watchdog.js';
import type { DesiredSet, Entry } from './desired-set.js';
import type { Failure } from './failure.js';
import { type Gap, type GapBound, type GapReason, OpenGaps } from './gap.js';
import type { PersistentEvents } from './persistent-events.js';
import type { Continuity, PersistentOptions } from './persistent-options.js';
import { ChannelResync } from './resync.js';
import { type Sequence, type SequenceMark, SequenceTracker } from './sequence.js';

/** What its owner does and is told. */
export interface ContinuityOwner {
  readonly epoch: number;
  readonly isPaused: boolean;
  emit<Name extends keyof PersistentEvents>(name: Name, event: PersistentEvents[Name]): void;
  /** Gives the key back and subscribes to it anew. False: it is not subscribed to. */
  resubscribe(key: string): boolean;
  /** This connection is of no use. */
  reconnect(key: string, silence: number): void;
  /** To the application: a message that was held. */
  deliver(message: Message, channel: string): void;
}

interface Track {
  readonly entry: Entry;
  readonly sequence: Sequence | undefined;
  readonly tracker: SequenceTracker;
  readonly watched: Watched | undefined;
  resync: ChannelResync | undefined;
  /** The last message that was delivered, and its numbers. */
  last: GapBound | undefined;
  mark: SequenceMark | undefined;
}

/** The numbering of one connection as a whole. */
interface Numbering {
  readonly tracker: SequenceTracker;
  last: GapBound | undefined;
}

export class ContinuityKeeper {
  readonly #clock: Clock;
  readonly #options: PersistentOptions;
  readonly #desired: DesiredSet;
  readonly #owner: ContinuityOwner;
  readonly #watchdog: DataWatchdog;
  readonly #tracks = new Map<string, Track>();
  readonly #open = new OpenGaps();
  /** By connection. */
  #numberings = new WeakMap<object, Numbering>();
  /** Messages that had been here before, and were left out. */
  late = 0;
  gaps = 0;

  /** @throws UsageError `ERR_INVALID_OPTION` */
  constructor(clock: Clock, options: PersistentOptions, desired: DesiredSet, owner: ContinuityOwner) {
    if (options.continuity !== undefined && options.channelOf === undefined)
      throw new UsageError('ERR_INVALID_OPTION', 'The option `continuity` needs `channelOf`');
    this.#clock = clock;
    this.#options = options;
    this.#desired = desired;
    this.#owner = owner;
    this.#watchdog = new DataWatchdog(clock, {
      get isPaused() {
        return owner.isPaused;
      },
      onStale: (watched, action, silence) => this.#stale(watched, action, silence),
      onLive: ({ key }, silence) => owner.emit('live', { key, epoch: owner.epoch, silence }),
    });
  }

  /** Messages have to be looked at. */
  get isNeeded(): boolean {
    return this.#tracks.size > 0 || this.#options.connectionSequence !== undefined;
  }

  /** Subscriptions whose deadline has passed, and that have had no data since. */
  get stale(): number {
    return [...this.#tracks.values()].filter(({ watched }) => watched?.isStale).length;
  }

  /** Updates that wait for a snapshot. */
  get held(): number {
    return [...this.#tracks.values()].reduce((sum, { resync }) => sum + (resync?.length ?? 0), 0);
  }

  // ------------------------------------------------------------------------------- what becomes of a subscription

  wanted(entry: Entry): void {
    const { continuity } = this.#options;
    const settings = typeof continuity === 'function' ? continuity(entry.key, entry.params) : continuity;
    const { deadline, resync, sequence } = settings ?? {};
    if (deadline === undefined && resync === undefined && sequence === undefined) return;
    const track: Track = {
      entry,
      sequence,
      tracker: new SequenceTracker(sequence?.kind ?? 'contiguous'),
      watched: deadline === undefined ? undefined : new Watched(entry.key, deadline),
      resync: undefined,
      last: undefined,
      mark: undefined,
    };
    if (resync !== undefined) track.resync = this.#resyncOf(track, resync);
    this.#tracks.set(entry.key, track);
  }

  /** Nobody wants it any more, and so nobody misses anything. */
  released(key: string): void {
    const track = this.#tracks.get(key);
    if (track?.watched !== undefined) this.#watchdog.disarm(track.watched);
    track?.resync?.cancel();
    this.#tracks.delete(key);
    this.#open.close(key);
  }

  subscribed(key: string): void {
    const track = this.#tracks.get(key);
    if (track === undefined) {
      this.#closeGap(key, { at: this.#clock.now() });
      return;
    }
    if (track.watched !== undefined) this.#watchdog.arm(track.watched);
    if (track.resync?.isHolding) track.resync.begin(undefined);
  }

  /** The venue sends it no more, though it is wanted: it was given back, to be asked for anew. */
  interrupted(key: string): void {
    const track = this.#tracks.get(key);
    const { state } = this.#desired.get(key)!;
    if (state !== 'subscribed' && track?.entry.lastDataAt === undefined) return;
    if (track?.watched !== undefined) this.#watchdog.disarm(track.watched);
    const before = track?.sequence === undefined ? { at: this.#clock.now() } : track.last;
    this.#open.open(key, { reason: 'resubscribed', before });
    if (track?.resync?.isOfVenue === false) track.resync.cancel();
  }

  /** The connection is gone; `lastReceivedAt` is when its last byte came. */
  lost(lastReceivedAt: number, failure: Failure | undefined): void {
    this.#watchdog.disarmAll();
    for (const { key, state } of this.#desired.entries()) {
      const track = this.#tracks.get(key);
      if (state !== 'subscribed' && track?.entry.lastDataAt === undefined) continue;
      const at = Math.max(lastReceivedAt, track?.last?.at ?? 0);
      const before = track?.sequence === undefined ? { at } : track.last;
      this.#open.open(key, { reason: 'outage', before, ...(failure && { failure }) });
      track?.resync?.cancel();
    }
  }

  /** Reading goes on. */
  resumed(): void {
    this.#watchdog.resumed();
    for (const { resync } of this.#tracks.values()) resync?.resumed();
  }

  /** For good: what is missing will not come. */
  end(): void {
    this.#watchdog.disarmAll();
    for (const { resync } of this.#tracks.values()) resync?.cancel();
    this.#tracks.clear();
    for (const channel of this.#open.channels()) this.#closeGap(channel, undefined);
  }

  // ----------------------------------------------------------------------------------------- what a message says

  /**
   * False: it is not to be delivered, or not now. `connection`: anything that stands for it; undefined where messages of
   * two have become one row, whose numbers as connections say nothing.
   */
  admit(connection: object | undefined, message: Message, channel: string | undefined): boolean {
    const now = this.#clock.now();
    const { connectionSequence } = this.#options;
    if (
      connection !== undefined &&
      connectionSequence !== undefined &&
      !this.#isNumbered(connection, connectionSequence, message, now)
    )
      return false;
    const track = channel === undefined ? undefined : this.#tracks.get(channel);
    if (track === undefined) return true;
    track.entry.lastDataAt = now;
    if (track.watched !== undefined) this.#watchdog.heard(track.watched, now);
    const mark = track.sequence?.read(message);
    const { resync } = track;
    if (resync?.isHolding) {
      if (!(mark?.reset && resync.isOfVenue)) {
        if (mark !== undefined || track.sequence === undefined)
          this.#closeGap(track.entry.key, boundOf(mark, now), mark && track.tracker.missing(mark));
        resync.hold(message, mark);
        return false;
      }
      resync.arrived(mark.id);
    }
    if (this.#follows(track, mark, now)) return true;
    // Behind a gap: it waits for the snapshot, unless it was late.
    if (resync?.isHolding) resync.hold(message, mark);
    return false;
  }

  /** May it be delivered now? If not it was late, or there is a gap before it that has to be mended first. */
  #follows(track: Track, mark: SequenceMark | undefined, now: number): boolean {
    const { key } = track.entry;
    const { tracker } = track;
    if (mark === undefined) {
      // A message without a number says that data comes, not that none was missed.
      if (track.sequence !== undefined) return true;
      this.#closeGap(key, { at: now });
      track.last = { at: now };
      return true;
    }
    const missed = mark.reset ? undefined : tracker.missing(mark);
    const verdict = tracker.judge(mark, this.#open.has(key));
    if (verdict === 'late') {
      this.late++;
      return false;
    }
    const after = boundOf(mark, now)!;
    let gap = this.#closeGap(key, after, missed);
    if (gap === undefined && verdict === 'gap') gap = this.#tell(key, 'sequence', track.last, after, missed);
    if (gap === undefined && verdict === 'restart') gap = this.#tell(key, 'restart', track.last, after);
    const isBroken = gap !== undefined && gap.missed !== 0 && verdict !== 'reset';
    // A listener may have had enough of the channel, or of everything.
    if (isBroken && track.resync !== undefined && this.#tracks.get(key) === track) {
      track.resync.begin(gap);
      return false;
    }
    track.last = { id: mark.id, at: now };
    track.mark = mark;
    return true;
  }

  #isNumbered(connection: object, sequence: Sequence, message: Message, now: number): boolean {
    const mark = sequence.read(message);
    if (mark === undefined) return true;
    let numbering = this.#numberings.get(connection);
    if (numbering === undefined) {
      numbering = { tracker: new SequenceTracker(sequence.kind), last: undefined };
      this.#numberings.set(connection, numbering);
    }
    const missed = numbering.tracker.missing(mark);
    const verdict = numbering.tracker.judge(mark);
    if (verdict === 'late') {
      this.late++;
      return false;
    }
    if (verdict === 'gap' || verdict === 'restart') {
      const reason = verdict === 'gap' ? 'sequence' : 'restart';
      const gap = this.#tell(undefined, reason, numbering.last, boundOf(mark, now), missed);
      for (const { resync } of this.#tracks.values()) resync?.begin(gap);
    }
    numbering.last = { id: mark.id, at: now };
    return true;
  }

  // ------------------------------------------------------------------------------------------------ what follows

  /** The numbers of the channel's last message. */
  markOf(channel: string | undefined): SequenceMark | undefined {
    return channel === undefined ? undefined : this.#tracks.get(channel)?.mark;
  }

  /** A loop has not had what its policy dropped. */
  dropped(
    channel: string | undefined,
    before: GapBound | undefined,
    after: GapBound | undefined,
    missed: number,
  ): void {
    this.#tell(channel, 'slow-consumer', before, after, missed);
  }

  #closeGap(key: string, after: GapBound | undefined, missed?: number): Gap | undefined {
    const open = this.#open.close(key);
    return open && this.#tell(key, open.reason, open.before, after, missed, open.failure);
  }

  #tell(
    channel: string | undefined,
    reason: GapReason,
    before: GapBound | undefined,
    after: GapBound | undefined,
    missed?: number,
    failure?: Failure,
  ): Gap {
    const { epoch } = this.#owner;
    const known = missed === undefined ? {} : { missed };
    const gap: Gap = { channel, reason, before, after, epoch, ...known, ...(failure && { failure }) };
    this.gaps++;
    this.#owner.emit('gap', gap);
    return gap;
  }

  #stale({ key, deadline, lastDataAt }: Watched, wish: 'resubscribe' | 'reconnect', silence: number): void {
    const { epoch } = this.#owner;
    const renewed = wish === 'resubscribe' && this.#owner.resubscribe(key);
    const action = renewed ? 'resubscribe' : 'reconnect';
    this.#owner.emit('stale', { key, epoch, deadline, silence, lastDataAt, action });
    if (!renewed) this.#owner.reconnect(key, silence);
  }

  #resyncOf(track: Track, resync: NonNullable<Continuity['resync']>): ChannelResync {
    const { key } = track.entry;
    const { tracker } = track;
    const owner = this.#owner;
    const options = typeof resync === 'object' ? resync : { snapshot: resync };
    return new ChannelResync(key, options, this.#clock, {
      get isPaused() {
        return owner.isPaused;
      },
      resubscribe: () => owner.resubscribe(key),
      trackerFrom(snapshot) {
        const from = new SequenceTracker(track.sequence?.kind ?? 'contiguous');
        from.begin(snapshot);
        return from;
      },
      begin: (snapshot) => {
        tracker.begin(snapshot);
        track.last = boundOf(snapshot === undefined ? undefined : { id: snapshot }, this.#clock.now());
        this.#closeGap(key, track.last);
      },
      deliver: (message, mark) => {
        if (!this.#follows(track, mark, this.#clock.now())) return;
        try {
          owner.deliver(message, key);
        } catch (thrown) {
          rethrow(thrown);
        }
      },
      onResynced: (resynced) => owner.emit('resynced', resynced),
      onFailed: (failure) => owner.emit('resync-failed', failure),
    });
  }
}

/** Of a range, the end that comes first: the one next to the gap before it. */
function boundOf(mark: SequenceMark | undefined, at: number): GapBound {
  return mark === undefined ? { at } : { id: mark.from ?? mark.id, at };
}
