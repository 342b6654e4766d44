/**
 * Make before break: another connection takes over from one that is still good, before its venue ends it. The new one
 * connects, logs in and subscribes beside the old one; both deliver, through one `Merge`; then sending passes to the
 * new one, and the old one is read to its end. Until that moment a failure of the new one costs nothing, and a loss of
 * the old one no more than it would have.
 */

import { HeartwireError, UsageError } from '../errors.js';
import { rethrow } from '../protocol/callback.js';
import type { Message } from '../protocol/message.js';
import { Backoff } from './backoff.js';
import type { Clock } from './clock.js';
import type { Turn } from './connection-budget.js';
import { arrivalsFor } from './deduplication.js';
import { type Deferred, deferred } from './deferred.js';
import type { Failure } from './failure.js';
import type { Leg, LegEnd, LegPhase } from './leg.js';
import { Merge, MergedLeg, type MergeOwner } from './merge.js';
import type { PersistentOptions } from './persistent-options.js';
import type { RotationOptions, RotationStep } from './rotation-options.js';

/** What its owner knows and does. */
export interface RotationOwner extends MergeOwner {
  readonly clock: Clock;
  /** The connection in use. */
  readonly leg: Leg | undefined;
  readonly isReady: boolean;
  /** The venue's cap leaves room for one connection more. */
  hasRoom(url: string): boolean;
  request(url: string, begin: () => void): Turn;
  makeLeg(url: string): Leg;
  /** The new connection has all subscriptions that the one in use has. */
  isInLine(leg: Leg): boolean;
  /** This is the connection in use. */
  promote(leg: Leg): void;
  /** Where to try next, and after how long. */
  afterFailure(failure: Failure, backoff: () => number): { url: string; delay: number };
  /** Something that was sent on this connection waits for its acknowledgement. */
  awaitsOutcomes(epoch: number): boolean;
  /** The connection is gone: what became of what was sent on it? */
  lose(epoch: number, failure: Failure | undefined): void;
  onStep(step: RotationStep): void;
}

type Phase = 'idle' | 'waiting' | 'preparing' | 'overlapping' | 'draining';

const DEFAULTS = { jitter: 0.04, overlap: 1_000, drain: 3_000 };
/** ms for the old connection's closing handshake. */
const CLOSING = 2_000;

export class Rotation {
  readonly #owner: RotationOwner;
  readonly #options: PersistentOptions;
  readonly #settings: RotationOptions & typeof DEFAULTS;
  readonly #backoff: Backoff;
  readonly #random: () => number;
  #phase: Phase = 'idle';
  #reason = '';
  /** It was not asked for by `rotate()`: it is tried again. */
  #repeats = false;
  #failures = 0;
  #url: string | undefined;
  #result: Deferred<void> | undefined;
  #turn: Turn | undefined;
  #merge: Merge | undefined;
  readonly #parts = new Map<Leg, MergedLeg>();
  #candidate: Leg | undefined;
  /** The one that is left. */
  #old: Leg | undefined;
  #closing = false;
  #cancelAge: (() => void) | undefined;
  #cancelStep: (() => void) | undefined;
  #cancelLinger: (() => void) | undefined;

  /** @throws UsageError `ERR_INVALID_OPTION` */
  constructor(options: PersistentOptions, owner: RotationOwner) {
    this.#owner = owner;
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#backoff = new Backoff(options.backoff ?? {}, this.#random);
    const lifetime = options.venue?.lifetime?.value.maxAge;
    const { maxAge = lifetime && (lifetime * 23) / 24, notice, ...times } = options.rotation ?? {};
    this.#settings = { ...DEFAULTS, ...times, maxAge, notice };
    if (options.rotation !== undefined) this.#assertPossible();
    if (options.deduplication !== undefined) arrivalsFor(options.deduplication);
  }

  /** Messages are looked at before they are delivered. */
  get isAttentive(): boolean {
    return this.#merge !== undefined || this.#settings.notice !== undefined;
  }

  /** The new connection, until it is the one in use. */
  get candidate(): Leg | undefined {
    return this.#candidate;
  }

  /** All that are not the one in use. */
  get others(): Leg[] {
    return [this.#candidate, this.#old].filter((leg) => leg !== undefined);
  }

  // ------------------------------------------------------------------------------------------------- begin

  /** A connection is ready, and in use: it may be used so long. */
  serves(leg: Leg): void {
    this.#cancelAge?.();
    this.#cancelAge = undefined;
    const { maxAge, jitter } = this.#settings;
    if (maxAge === undefined || this.#options.rotation === undefined) return;
    const age = this.#owner.clock.now() - leg.openedAt;
    const left = maxAge * (1 - jitter * this.#random()) - age;
    this.#cancelAge = this.#owner.clock.after(Math.max(0, left), () => this.#automatically('maxAge'));
  }

  /** See `PersistentConnection.rotate`. */
  rotate(reason: string): Promise<void> {
    this.#assertPossible();
    if (this.#phase === 'idle') {
      this.#result = result();
      if (this.#owner.isReady) this.#begin(reason, false);
      else this.#result.reject(new HeartwireError('ERR_NOT_READY', 'There is no connection to rotate'));
    }
    return this.#result!.promise;
  }

  #automatically(reason: string): void {
    if (this.#phase !== 'idle' || !this.#owner.isReady) return;
    this.#result = result();
    this.#begin(reason, true);
  }

  #begin(reason: string, repeats: boolean): void {
    this.#cancelStep?.();
    this.#phase = 'waiting';
    this.#reason = reason;
    this.#repeats = repeats;
    this.#url ??= this.#owner.leg!.url;
    const url = this.#url;
    this.#tell('begun');
    if (this.#phase !== 'waiting') return;
    const turn = this.#owner.request(url, () => this.#dial(url));
    if (this.#phase === 'waiting') this.#turn = turn;
  }

  #dial(url: string): void {
    this.#turn = undefined;
    if (!this.#owner.hasRoom(url)) {
      const message = `No room for one connection more to ${new URL(url).host}, by the venue's cap`;
      this.#fail(new HeartwireError('ERR_CONNECTION_CAP', message), undefined);
      return;
    }
    this.#phase = 'preparing';
    if (this.#merge === undefined) this.#makeMerge();
    this.#part(this.#owner.leg!);
    this.#owner.leg!.attend();
    const candidate = this.#owner.makeLeg(url);
    this.#candidate = candidate;
    this.#part(candidate);
    void candidate.begin();
  }

  // ----------------------------------------------------------------------------------------------- overlap

  /** What a connection that is not the one in use has come to. */
  onPhase(leg: Leg, phase: LegPhase): void {
    if (leg !== this.#candidate || phase !== 'ready') return;
    this.#phase = 'overlapping';
    this.#merge!.complete(this.#part(leg));
    this.#after(this.#settings.overlap, () => this.#switch());
    this.#tell('overlapping');
    this.look();
  }

  /** Has the new connection met the old one, and everything that it must have? */
  look(): void {
    const candidate = this.#candidate;
    const { leg } = this.#owner;
    if (this.#phase !== 'overlapping' || candidate === undefined || leg === undefined) return;
    const part = this.#part(candidate);
    // Not within a read: what is decided here closes connections.
    if (part.first + part.late > 0 && part.hasMet(this.#part(leg))) queueMicrotask(() => this.#switch());
  }

  /** True: it is delivered, or will be, or has been. */
  takes(leg: Leg, message: Message, channel: string | undefined): boolean {
    if (leg === this.#owner.leg && this.#phase === 'idle') this.#heed(message);
    if (this.#merge === undefined) return false;
    this.#merge.offer(this.#part(leg), message, channel);
    if (this.#phase === 'overlapping') this.look();
    return true;
  }

  #heed(message: Message): void {
    try {
      if (this.#settings.notice?.(message)) queueMicrotask(() => this.#automatically('notice'));
    } catch (thrown) {
      rethrow(thrown);
    }
  }

  /** The moment from which on everything is sent on the new connection. */
  #switch(): void {
    const candidate = this.#candidate;
    if (this.#phase !== 'overlapping' || candidate === undefined) return;
    if (this.#owner.isPaused || !this.#owner.isInLine(candidate)) {
      this.#after(this.#settings.overlap, () => this.#switch());
      return;
    }
    this.#old = this.#owner.leg;
    this.#take(candidate);
    this.#tell('switched', candidate);
    if (this.#old !== undefined) this.#drain(this.#old);
  }

  #take(candidate: Leg): void {
    this.#phase = 'draining';
    this.#candidate = undefined;
    this.#url = undefined;
    this.#failures = 0;
    this.#backoff.reset();
    this.#cancelStep?.();
    this.#owner.promote(candidate);
    this.serves(candidate);
    this.#result?.resolve();
  }

  // ------------------------------------------------------------------------------------------------- drain

  #drain(old: Leg): void {
    this.#closing = false;
    if (this.#owner.awaitsOutcomes(old.epoch)) this.#after(this.#settings.drain, () => this.#close(old));
    else this.#close(old);
  }

  /** Something was acknowledged. */
  acknowledged(): void {
    const old = this.#old;
    if (old === undefined || this.#closing || this.#owner.awaitsOutcomes(old.epoch)) return;
    this.#closing = true;
    queueMicrotask(() => this.#close(old));
  }

  /** Messages that are under way come before the server's Close frame: the old one is left when all have come. */
  #close(old: Leg): void {
    if (old !== this.#old) return;
    if (this.#owner.isPaused) {
      this.#after(this.#settings.overlap, () => this.#close(old));
      return;
    }
    this.#closing = true;
    this.#after(CLOSING, () => {
      old.abandon();
      this.#done(old, undefined);
    });
    void old.close(1000, 'rotated').then(() => this.#done(old, undefined));
  }

  #done(old: Leg, failure: Failure | undefined): void {
    if (old !== this.#old) return;
    this.#old = undefined;
    this.#owner.lose(old.epoch, failure);
    this.#leave(old);
    this.#tell('done', this.#owner.leg, old.epoch);
  }

  /** One connection is left. */
  #leave(leg: Leg): void {
    this.#cancelStep?.();
    this.#phase = 'idle';
    const part = this.#parts.get(leg);
    this.#parts.delete(leg);
    if (part === undefined) return;
    this.#merge?.remove(part);
    this.#linger(-1);
  }

  /** What is left may be behind what is gone: copies are kept off until none has come for a while. */
  #linger(late: number): void {
    this.#cancelLinger?.();
    this.#cancelLinger = this.#owner.clock.after(this.#settings.overlap, () => {
      if (this.#phase !== 'idle') return;
      const now = [...this.#parts.values()].reduce((sum, part) => sum + part.late, 0);
      if (now !== late || this.#owner.isPaused || this.#merge?.isBlocked) this.#linger(now);
      else this.end();
    });
  }

  /** Messages pass as if there had been no rotation. */
  end(): void {
    this.#cancelLinger?.();
    this.#merge?.end();
    this.#merge = undefined;
    this.#parts.clear();
    this.#owner.leg?.attend();
  }

  /** The application takes messages again. */
  resumed(): void {
    this.#merge?.resumed();
  }

  // ------------------------------------------------------------------------------------------------- loss

  /** A connection that is not the one in use has ended. */
  onEnded(leg: Leg, end: LegEnd): void {
    if (leg === this.#old) {
      this.#done(leg, failureOf(leg, end, 1));
    } else if (leg === this.#candidate) {
      this.#candidate = undefined;
      this.#leave(leg);
      this.#failures++;
      const failure = failureOf(leg, end, this.#failures);
      const message = `The new connection failed (${end.kind}); the old one stays`;
      this.#fail(new HeartwireError('ERR_ROTATION', message, { cause: end.error }), failure, leg);
    }
  }

  /**
   * The connection in use has ended. `true`: the new one has taken its place. A leg: it is under way, and can be
   * waited for.
   */
  onLoss(leg: Leg, failure: Failure): true | Leg | undefined {
    this.#cancelAge?.();
    const candidate = this.#candidate;
    if (this.#phase === 'overlapping' && candidate !== undefined) {
      this.#take(candidate);
      this.#old = leg;
      this.#tell('switched', candidate, leg.epoch);
      this.#done(leg, failure);
      return true;
    }
    const error = new HeartwireError('ERR_ROTATION', 'The old connection was lost first', {
      cause: failure.error,
    });
    this.#stop(error, leg);
    return candidate;
  }

  /** Nothing is to be rotated any more. */
  stop(): void {
    const candidate = this.#candidate;
    this.#cancelAge?.();
    this.#stop(new HeartwireError('ERR_ABORTED', 'The connection was closed'), undefined);
    this.#cancelLinger?.();
    candidate?.abandon();
  }

  #stop(error: HeartwireError, lost: Leg | undefined): void {
    this.#turn?.cancel();
    this.#turn = undefined;
    this.#cancelStep?.();
    this.#url = undefined;
    this.#result?.reject(error);
    const old = this.#old;
    const candidate = this.#candidate;
    const wasUnderWay = this.#phase === 'waiting' || candidate !== undefined;
    this.#candidate = undefined;
    this.#old = undefined;
    if (old !== undefined) {
      old.abandon();
      this.#owner.lose(old.epoch, undefined);
    }
    for (const leg of [lost, old, candidate]) if (leg !== undefined) this.#leave(leg);
    if (this.#phase === 'waiting') this.#phase = 'idle';
    if (wasUnderWay) this.#tell('failed', candidate, lost?.epoch, { error });
  }

  #fail(error: HeartwireError, failure: Failure | undefined, candidate?: Leg): void {
    if (this.#phase === 'waiting') this.#phase = 'idle';
    const backoff = (): number => this.#backoff.next();
    const next = failure && this.#owner.afterFailure(failure, backoff);
    this.#url = next?.url;
    const delay = this.#repeats ? (next?.delay ?? backoff()) : undefined;
    this.#result?.reject(error);
    this.#tell('failed', candidate, undefined, { error, delay });
    const reason = this.#reason;
    if (delay !== undefined && this.#phase === 'idle') this.#after(delay, () => this.#automatically(reason));
  }

  // ------------------------------------------------------------------------------------------------- parts

  #makeMerge(): void {
    const { overlap, drain } = this.#settings;
    const maxHold = overlap + drain + CLOSING;
    this.#merge = new Merge(this.#owner.clock, this.#options.deduplication!, maxHold, this.#owner);
  }

  #part(leg: Leg): MergedLeg {
    let part = this.#parts.get(leg);
    if (part === undefined) {
      // Of so few at a time, no two have the same.
      part = new MergedLeg(leg.epoch % 128);
      this.#parts.set(leg, part);
      this.#merge!.add(part);
    }
    return part;
  }

  #after(ms: number, act: () => void): void {
    this.#cancelStep?.();
    this.#cancelStep = this.#owner.clock.after(ms, act);
  }

  #tell(
    step: RotationStep['step'],
    to: Leg | undefined = this.#candidate,
    from: number = this.#old?.epoch ?? this.#owner.leg?.epoch ?? 0,
    about: { error?: HeartwireError; delay?: number } = {},
  ): void {
    this.#owner.onStep({ step, reason: this.#reason, from, to: to?.epoch, ...about });
  }

  #assertPossible(): void {
    if (this.#options.deduplication !== undefined) return;
    throw new UsageError('ERR_INVALID_OPTION', 'Rotation needs the option `deduplication`');
  }
}

function failureOf(leg: Leg, end: LegEnd, attempts: number): Failure {
  return { ...end, epoch: leg.epoch, url: leg.url, attempts };
}

/** Need not be handled. */
function result(): Deferred<void> {
  const made = deferred<void>();
  made.promise.catch(() => {});
  return made;
}
