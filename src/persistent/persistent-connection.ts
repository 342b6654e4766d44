/**
 * A connection that comes back by itself. It owns one leg at a time, and the way from one to the next: what a
 * failure calls for, how long to wait, whose turn it is. What the application wants outlives the legs: the desired
 * subscriptions, the messages that wait, the channels' queues.
 */

import type { Connection } from '../connection.js';
import { HeartwireError, UsageError } from '../errors.js';
import type { MessageIterator } from '../message-iterator.js';
import { rethrow, warnOfPromise } from '../protocol/callback.js';
import { closePayload } from '../protocol/closing-handshake.js';
import type { Payload } from '../protocol/payload.js';
import { AddressRotation } from './address-rotation.js';
import { Allowance } from './allowance.js';
import { Backoff } from './backoff.js';
import { Channels } from './channels.js';
import { type Clock, systemClock } from './clock.js';
import type { Turn } from './connection-budget.js';
import type { ConsumerOptions } from './consumer-policy.js';
import { ContinuityKeeper } from './continuity.js';
import { deferred } from './deferred.js';
import { DesiredSet, type Entry } from './desired-set.js';
import { Events } from './events.js';
import { decide, type Failure, hostOf, POLICIES, type RetryDecision } from './failure.js';
import { Leg, type LegEnd, type LegHost, type LegPhase } from './leg.js';
import { Outgoing, type OutgoingOwner } from './outgoing.js';
import type { PersistentEnd, PersistentEvents, PersistentStats } from './persistent-events.js';
import type { PersistentOptions, PersistentSendOptions } from './persistent-options.js';
import { Readiness } from './readiness.js';
import { Rotation, type RotationOwner } from './rotation.js';
import { type PersistentState, StateMachine } from './states.js';
import { Subscription } from './subscription.js';

const STABLE_AFTER = 30_000;

export class PersistentConnection {
  /** Resolves when it has ended for good; never rejects. */
  readonly closed: Promise<PersistentEnd>;

  readonly #options: PersistentOptions;
  readonly #urls: readonly string[];
  readonly #clock: Clock;
  readonly #events = new Events<PersistentEvents>();
  readonly #machine: StateMachine;
  readonly #backoff: Backoff;
  readonly #desired = new DesiredSet();
  readonly #outgoing: Outgoing;
  readonly #channels: Channels;
  readonly #continuity: ContinuityKeeper;
  readonly #host: LegHost;
  readonly #allowance: Allowance;
  readonly #addresses = new AddressRotation();
  readonly #rotation: Rotation;
  readonly #resolveClosed: (end: PersistentEnd) => void;
  readonly #readiness = new Readiness();
  #leg: Leg | undefined;
  #epoch = 0;
  /** Of the attempts, those of rotation included. */
  #lastEpoch = 0;
  #failures = 0;
  #pausedByUser = false;
  /** Ends the wait for the next attempt. */
  #turn: Turn | undefined;
  #cancelBackoff: (() => void) | undefined;
  #cancelStable: (() => void) | undefined;

  /**
   * Begins to connect when the current callback is over, so that listeners added until then hear everything.
   *
   * @param urls `ws:` or `wss:`; of several, the first is tried first
   * @throws UsageError `ERR_INVALID_URL`, `ERR_INVALID_OPTION`
   */
  constructor(urls: string | URL | readonly (string | URL)[], options: PersistentOptions = {}) {
    this.#options = options;
    this.#urls = (Array.isArray(urls) ? urls : [urls]).map(href);
    if (this.#urls.length === 0) throw new UsageError('ERR_INVALID_URL', 'There is no URL');
    this.#clock = options.clock ?? systemClock;
    this.#backoff = new Backoff(options.backoff ?? {}, options.random ?? Math.random);
    this.#outgoing = new Outgoing(this.#clock, options, this.#outgoingOwner());
    this.#continuity = this.#makeContinuity();
    this.#channels = this.#makeChannels();
    this.#machine = new StateMachine((transition) => this.#events.emit('state', transition));
    const { promise, resolve } = deferred<PersistentEnd>();
    this.closed = promise;
    this.#resolveClosed = resolve;
    this.#allowance = new Allowance(options);
    this.#rotation = new Rotation(options, this.#rotationOwner());
    this.#host = this.#makeHost();
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
    queueMicrotask(() => {
      if (options.signal?.aborted) this.#onAbort();
      else if (this.state === 'idle') this.#attempt(this.#urls[0]);
    });
  }

  get state(): PersistentState {
    return this.#machine.current;
  }

  /** Resolves when it is ready, at once if it is; anew after a loss. Rejects when it has closed for good. */
  get ready(): Promise<void> {
    return this.#readiness.promise;
  }

  /** The number of the current attempt. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The connection in use, for its `stats()` and `ping()`; undefined while there is none. */
  get connection(): Connection | undefined {
    return this.#leg?.connection;
  }

  on<Name extends keyof PersistentEvents>(
    name: Name,
    listener: (event: PersistentEvents[Name]) => void,
  ): this {
    this.#events.on(name, listener);
    return this;
  }

  off<Name extends keyof PersistentEvents>(
    name: Name,
    listener: (event: PersistentEvents[Name]) => void,
  ): this {
    this.#events.off(name, listener);
    return this;
  }

  // ---------------------------------------------------------------------------------------------- sending

  /**
   * Sends a message, from `subscribing` on. It is sent at most once, and never on its own after a loss.
   *
   * @returns false: accepted, but it waits, or more than the connection's `highWaterMark` bytes do
   * @throws HeartwireError `ERR_NOT_READY`, `ERR_MESSAGE_RATE`, `ERR_SEND_QUEUE_FULL`,
   *   `ERR_TOO_MANY_UNACKNOWLEDGED`; UsageError `ERR_KEY_IN_USE`, and what `Connection.send` throws. It was not
   *   sent then, and will not be
   */
  send(data: Payload, options: PersistentSendOptions = {}): boolean {
    if (this.state === 'closing' || this.#machine.isClosed) throw this.#outgoing.notReady();
    return this.#outgoing.send(data, options);
  }

  /** The other side has acknowledged the message with this key. False: none waits. */
  acknowledge(key: string): boolean {
    const known = this.#outgoing.acknowledge(key);
    if (known) this.#rotation.acknowledged();
    return known;
  }

  /** @internal A message with this key is queued, or waits for its acknowledgement. */
  knows(key: string): boolean {
    return this.#outgoing.knows(key);
  }

  /** The keys of messages that were sent and not acknowledged yet, oldest first. */
  get unacknowledged(): string[] {
    return this.#outgoing.unacknowledged;
  }

  // ---------------------------------------------------------------------------------------- subscriptions

  /**
   * Wants to be subscribed to `key`, on this connection and all that follow, until `unsubscribe()`. A key that is
   * wanted several times is subscribed to once. In any state.
   *
   * @param params what the builder of the request needs besides; of the first who wants the key
   * @throws UsageError `ERR_INVALID_OPTION` without the option `subscriptions`; HeartwireError `ERR_NOT_READY` when
   *   it has closed for good
   */
  subscribe(key: string, params?: unknown): Subscription {
    if (this.#options.subscriptions === undefined)
      throw new UsageError('ERR_INVALID_OPTION', 'subscribe() needs the option `subscriptions`');
    if (this.#machine.isClosed) throw this.#outgoing.notReady();
    const entry = this.#desired.add(key, params);
    if (entry.references === 1) {
      try {
        this.#continuity.wanted(entry);
      } catch (thrown) {
        this.#desired.release(entry);
        throw thrown;
      }
      this.#changed(key);
    }
    return new Subscription(entry, () => {
      this.#desired.release(entry);
      if (entry.references > 0) return;
      this.#continuity.released(key);
      this.#changed(key);
    });
  }

  #changed(key: string): void {
    this.#leg?.subscriber?.changed(key);
    this.#rotation.candidate?.subscriber?.changed(key);
  }

  /** The keys that are wanted, each once. */
  get desired(): string[] {
    return Array.from(this.#desired.entries(), ({ key }) => key);
  }

  /**
   * `for await (const message of feed.messages('trades'))`: the messages of a channel, as `channelOf` tells it, or
   * of all channels, over all reconnections. Subscribes to the key of the same name until the loop is left, unless
   * `subscribe` is false. Up to 1 MiB and 1 024 messages wait for the loop, then reading pauses, unless `options` say
   * otherwise. The loop ends with `close()`, and throws what else ended the connection for good.
   *
   * @throws UsageError `ERR_INVALID_OPTION` for a channel without the option `channelOf`, and for `conflateBy` without
   *   `whenFull: 'conflate'`
   */
  messages(channel?: string, options: ConsumerOptions & { subscribe?: boolean } = {}): MessageIterator {
    if (channel !== undefined && this.#options.channelOf === undefined)
      throw new UsageError('ERR_INVALID_OPTION', 'messages(channel) needs the option `channelOf`');
    const subscribes = options.subscribe ?? this.#options.subscriptions !== undefined;
    // An option that is wrong throws here, before anybody wants anything.
    const queue = this.#channels.queue(channel, options);
    const subscription =
      channel !== undefined && subscribes && !this.#machine.isClosed ? this.subscribe(channel) : undefined;
    const iterator = this.#channels.iterate(queue, options, () => {
      subscription?.unsubscribe();
      this.#leg?.attend();
    });
    this.#leg?.attend();
    return iterator;
  }

  /** Stops delivery and reading, on this connection and those that follow: see `Connection.pause`. */
  pause(): void {
    this.#pausedByUser = true;
    this.#applyPause();
  }

  resume(): void {
    this.#pausedByUser = false;
    this.#applyPause();
  }

  #applyPause(): void {
    const { isPaused } = this.#host;
    if (!isPaused) this.#continuity.resumed();
    for (const { connection } of [...(this.#leg ? [this.#leg] : []), ...this.#rotation.others]) {
      if (isPaused) connection?.pause();
      else connection?.resume();
    }
    if (!isPaused) this.#rotation.resumed();
  }

  // ----------------------------------------------------------------------------------------- the next leg

  #attempt(url: string): void {
    const dial = (): void => {
      this.#turn = undefined;
      this.#dial(url);
    };
    const turn = this.#allowance.request(url, dial);
    if (turn.granted) return;
    this.#turn = turn;
    this.#go('awaiting-budget', { delay: turn.wait });
  }

  #dial(url: string): void {
    const leg = this.#makeLeg(url);
    this.#epoch = leg.epoch;
    this.#leg = leg;
    this.#go('connecting');
    // A listener may have closed us.
    if (this.#leg === leg) void leg.begin();
  }

  #makeLeg(url: string): Leg {
    this.#allowance.count(url, 1);
    return new Leg(++this.#lastEpoch, url, this.#host);
  }

  #onPhase(phase: LegPhase): void {
    if (phase === 'ended') return;
    const leg = this.#leg!;
    this.#go(phase);
    if (phase !== 'ready' || this.#leg !== leg) return;
    this.#watchStability(leg);
    this.#rotation.serves(leg);
    this.#readiness.keep();
    this.#events.emit('ready', { epoch: leg.epoch, url: leg.url, address: leg.address });
  }

  #watchStability(leg: Leg): void {
    const { stableAfter = STABLE_AFTER } = this.#options;
    this.#cancelStable?.();
    this.#cancelStable = this.#clock.after(stableAfter, () => {
      this.#failures = 0;
      this.#backoff.reset();
      this.#addresses.served(leg.address);
    });
  }

  /** Data flows: the backoff begins anew, but not with an attempt at once, or a server that sends and closes has us spin. */
  #onData(): void {
    this.#failures = Math.min(this.#failures, 1);
    this.#backoff.reset();
  }

  #onEnded(leg: Leg, end: LegEnd): void {
    const failure: Failure = { ...end, epoch: leg.epoch, url: leg.url, attempts: this.#failures + 1 };
    const heir = this.#rotation.onLoss(leg, failure);
    if (heir === true) return;
    this.#continuity.lost(this.#lastReceivedBy(leg), failure);
    this.#leave();
    this.#failures++;
    const decided = this.#decide(failure, leg.wasReady);
    const decision = heir === undefined ? decided : { ...decided, delay: 0, url: heir.url };
    this.#allowance.holdOff(leg.url, decision.holdOff);
    const { maxAttempts = Number.POSITIVE_INFINITY } = this.#options;
    const retry = decision.retry && this.#failures < maxAttempts;

    if (retry) this.#go('backing-off', { delay: decision.delay, failure });
    this.#events.emit('failure', { failure, decision: { ...decision, retry } });
    this.#lose(leg.epoch, failure);
    // A listener may have closed us.
    const goesOn = retry && this.state === 'backing-off';
    if (!retry) this.#finish({ error: gaveUp(failure) }, failure);
    if (heir === undefined) goesOn && this.#wait(decision);
    else if (goesOn) this.#adopt(heir);
    else heir.abandon();
  }

  #lose(epoch: number, failure: Failure | undefined): void {
    for (const outcome of this.#outgoing.lose(epoch, failure)) this.#events.emit('unknown-outcome', outcome);
  }

  /** A leg that was begun by rotation, and is under way when the one in use is lost: nothing is begun anew. */
  #adopt(leg: Leg): void {
    this.#leg = leg;
    this.#epoch = leg.epoch;
    for (const phase of ['connecting', 'authenticating', 'subscribing'] as const) {
      this.#go(phase);
      if (this.#leg !== leg || leg.phase === phase) break;
    }
    if (this.#leg === leg) this.#align(leg);
  }

  /** The subscriptions are as they are on this leg, which is the one in use now. */
  #align(leg: Leg): void {
    const subscribed = new Set(leg.subscriber?.subscribed());
    for (const entry of this.#desired.entries()) {
      if (!subscribed.has(entry.key)) entry.pending();
      else if (entry.state !== 'subscribed') this.#subscribed(leg, entry);
    }
    leg.pacer.wake();
    leg.attend();
  }

  #subscribed(leg: Leg, entry: Entry): void {
    if (entry.state === 'refused') entry.pending();
    entry.state = 'subscribed';
    entry.settle();
    this.#continuity.subscribed(entry.key);
    this.#events.emit('subscribed', { key: entry.key, epoch: leg.epoch });
  }

  #propose(failure: Failure, wasReady: boolean, backoff: () => number): RetryDecision {
    const stays = wasReady && failure.attempts === 1 && POLICIES[failure.kind].stays;
    const next = this.#urls[(this.#urls.indexOf(failure.url) + (stays ? 0 : 1)) % this.#urls.length];
    const penalty = this.#options.venue?.penalty?.value ?? 0;
    return decide(failure, { next, urls: this.#urls.length, penalty, backoff });
  }

  #decide(failure: Failure, wasReady: boolean): RetryDecision {
    const decision = this.#propose(failure, wasReady, () => this.#backoff.next());
    try {
      return this.#options.retry?.(failure, decision) ?? decision;
    } catch (thrown) {
      rethrow(thrown);
      return decision;
    }
  }

  #wait({ delay, url }: RetryDecision): void {
    this.#cancelBackoff = this.#clock.after(delay, () => {
      this.#cancelBackoff = undefined;
      this.#attempt(url);
    });
  }

  /** The leg is gone, or about to go. */
  #leave(): void {
    this.#leg = undefined;
    this.#cancelStable?.();
    this.#cancelStable = undefined;
    this.#desired.lost();
    this.#readiness.lose();
  }

  #go(to: PersistentState, about: { delay?: number; failure?: Failure } = {}): void {
    this.#machine.go(to, { epoch: this.#epoch, at: this.#clock.now(), ...about });
  }

  /** What the legs work with and tell. Of those that are not ours any more, nothing is heard. */
  #makeHost(): LegHost {
    const ours = (leg: Leg): boolean => leg === this.#leg;
    const rotation = this.#rotation;
    const isPaused = (): boolean => this.#pausedByUser || this.#channels.isBlocked;
    const awaitsOutcomes = (): boolean =>
      this.#options.acknowledges !== undefined && this.#outgoing.unacknowledgedCount > 0;
    return {
      clock: this.#clock,
      options: this.#options,
      feed: this,
      messageRate: this.#options.messageRate ?? this.#options.venue?.messages?.value,
      desired: this.#desired,
      channels: this.#channels,
      continuity: this.#continuity,
      rotation: this.#addresses,
      heldFor: (leg) => this.#outgoing.sourceFor(leg),
      get isPaused() {
        return isPaused();
      },
      get awaitsOutcomes() {
        return awaitsOutcomes();
      },
      get takesAll() {
        return rotation.isAttentive;
      },
      takes: (leg, message, channel) => rotation.takes(leg, message, channel),
      onPhase: (leg, phase) => (ours(leg) ? this.#onPhase(phase) : rotation.onPhase(leg, phase)),
      onData: (leg) => void (ours(leg) && this.#onData()),
      onAcknowledged: (key) => void this.acknowledge(key),
      onSubscribed: (leg, entry) => {
        if (ours(leg)) this.#subscribed(leg, entry);
        else rotation.look();
      },
      onUnsubscribed: (leg, key) => {
        if (!ours(leg)) return;
        if (this.#desired.get(key) !== undefined) this.#continuity.interrupted(key);
        this.#events.emit('unsubscribed', { key, epoch: leg.epoch });
      },
      onRefused: (leg, entry) => {
        // A leg that has less than the one in use cannot take its place.
        if (leg === rotation.candidate && entry.state === 'subscribed')
          leg.fail('subscription', entry.refusal);
        if (!ours(leg)) return;
        entry.state = 'refused';
        entry.settle();
        this.#events.emit('refused', { key: entry.key, epoch: leg.epoch, error: entry.refusal! });
      },
      onEnded: (leg, end) => (ours(leg) ? this.#onEnded(leg, end) : rotation.onEnded(leg, end)),
      onOver: (leg) => this.#allowance.count(leg.url, -1),
    };
  }

  #rotationOwner(): RotationOwner {
    const leg = (): Leg | undefined => this.#leg;
    const state = (): PersistentState => this.state;
    const isPaused = (): boolean => this.#host.isPaused;
    const { onMessage } = this.#options;
    return {
      clock: this.#clock,
      get leg() {
        return leg();
      },
      get isReady() {
        return state() === 'ready';
      },
      get isPaused() {
        return isPaused();
      },
      hasRoom: (url) => this.#allowance.hasRoom(url),
      request: (url, begin) => this.#allowance.request(url, begin),
      makeLeg: (url) => this.#makeLeg(url),
      isInLine: ({ subscriber }) => {
        const subscribed = new Set(subscriber?.subscribed());
        for (const { key, state } of this.#desired.entries())
          if (state === 'subscribed' && !subscribed.has(key)) return false;
        return true;
      },
      promote: (next) => {
        this.#leg = next;
        this.#epoch = next.epoch;
        this.#watchStability(next);
        this.#align(next);
      },
      afterFailure: (failure, backoff) => {
        const decision = this.#propose(failure, true, backoff);
        this.#allowance.holdOff(failure.url, decision.holdOff);
        return decision;
      },
      awaitsOutcomes: (epoch) => this.#outgoing.awaitsOutcomes(epoch),
      lose: (epoch, failure) => this.#lose(epoch, failure),
      deliver: (message, channel) => {
        const continuity = this.#continuity;
        if (continuity.isNeeded && !continuity.admit(undefined, message, channel)) return;
        this.#channels.deliver(message, channel);
        const result: unknown = onMessage?.(message, this);
        if (result !== undefined) warnOfPromise(result);
      },
      onStep: (step) => this.#events.emit('rotation', step),
    };
  }

  #makeContinuity(): ContinuityKeeper {
    const isPaused = (): boolean => this.#host.isPaused;
    const epoch = (): number => this.#epoch;
    return new ContinuityKeeper(this.#clock, this.#options, this.#desired, {
      get epoch() {
        return epoch();
      },
      get isPaused() {
        return isPaused();
      },
      emit: (name, event) => this.#events.emit(name, event),
      resubscribe: (key) => this.#leg?.subscriber?.renew(key) ?? false,
      reconnect: (key, silence) =>
        this.#leg?.fail('stale', new HeartwireError('ERR_STALE_DATA', `No data of ${key} for ${silence} ms`)),
      deliver: (message, channel) => {
        this.#channels.deliver(message, channel);
        this.#options.onMessage?.(message, this);
      },
    });
  }

  #makeChannels(): Channels {
    return new Channels({
      markOf: (channel) => this.#continuity.markOf(channel),
      onBlocked: () => this.#applyPause(),
      onDropped: (...gap) => this.#continuity.dropped(...gap),
      onTooSlow: (channel) => {
        const message = `The loop over ${channel ?? 'all channels'} does not keep up`;
        this.#leg?.fail('slow-consumer', new HeartwireError('ERR_SLOW_CONSUMER', message));
      },
    });
  }

  /** By this layer's clock. */
  #lastReceivedBy({ connection }: Leg): number {
    const now = this.#clock.now();
    const lastReceivedAt = connection?.stats().lastReceivedAt;
    return lastReceivedAt === undefined ? now : now - (performance.now() - lastReceivedAt);
  }

  #outgoingOwner(): OutgoingOwner {
    const leg = (): Leg | undefined => this.#leg;
    const state = (): PersistentState => this.state;
    return {
      get leg() {
        return leg();
      },
      get state() {
        return state();
      },
      onDropped: (message, error) => this.#events.emit('dropped', { message, error }),
    };
  }

  // ---------------------------------------------------------------------------------------------- closing

  /**
   * Has another connection take over from the one in use, which delivers until then. Resolves at the moment from
   * which on everything is sent on the new one; the event `rotation` tells every step. While one is under way, it is
   * that one's promise. Need not be handled.
   *
   * @throws UsageError `ERR_INVALID_OPTION` without the option `deduplication`; HeartwireError (as a rejection)
   *   `ERR_ROTATION` when the new connection failed and the old one stays, `ERR_CONNECTION_CAP`, `ERR_NOT_READY`,
   *   `ERR_ABORTED`
   */
  rotate(reason = 'rotate() was called'): Promise<void> {
    return this.#rotation.rotate(reason);
  }

  /** Gives up the connection in use, and makes another: at once, the first time. */
  reconnect(reason = 'reconnect() was called'): void {
    this.#leg?.fail('application', new HeartwireError('ERR_RECONNECT', reason));
  }

  /**
   * Ends it for good, from every state: the open connection with the closing handshake, an attempt at once.
   * @param code as for `Connection.close`
   * @throws UsageError `ERR_CLOSE_CODE`, `ERR_CLOSE_REASON`
   */
  close(code = 1000, reason = ''): Promise<PersistentEnd> {
    closePayload(code, reason);
    if (this.state === 'closing' || this.state === 'closed') return this.closed;
    this.#turn?.cancel();
    this.#cancelBackoff?.();
    this.#rotation.stop();
    const leg = this.#leg;
    if (leg?.connection === undefined) {
      leg?.abandon();
      this.#finish({});
    } else {
      this.#cancelStable?.();
      this.#go('closing');
      void leg.close(code, reason).then((close) => {
        this.#lose(leg.epoch, undefined);
        this.#finish({ close });
      });
    }
    return this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  readonly #onAbort = (): void => {
    void this.close();
  };

  /** The last step, from whatever state. */
  #finish(end: PersistentEnd, failure?: Failure): void {
    if (this.#machine.isClosed) return;
    this.#rotation.stop();
    this.#leave();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#go('closed', { failure });
    this.#rotation.end();
    this.#outgoing.end();
    this.#continuity.end();
    const { error } = end;
    this.#channels.end(error);
    this.#readiness.break(error ?? new HeartwireError('ERR_NOT_READY', 'The connection was closed'));
    this.#events.emit('closed', end);
    this.#resolveClosed(end);
  }

  stats(): PersistentStats {
    return {
      state: this.state,
      epoch: this.#epoch,
      failures: this.#failures,
      desired: this.#desired.size,
      subscribed: this.#leg?.subscriber?.subscribed().length ?? 0,
      queued: this.#outgoing.queued,
      unacknowledged: this.#outgoing.unacknowledgedCount,
      stale: this.#continuity.stale,
      gaps: this.#continuity.gaps,
      late: this.#continuity.late,
      held: this.#continuity.held,
      consumers: this.#channels.stats(),
    };
  }
}

function href(url: string | URL): string {
  try {
    return new URL(url).href;
  } catch (cause) {
    throw new UsageError('ERR_INVALID_URL', `Not a URL: ${String(url)}`, { cause });
  }
}

function gaveUp({ attempts, kind, url, error }: Failure): HeartwireError {
  const message = `Gave up after ${attempts} failed attempts; the last one, to ${hostOf(url)}: ${kind}`;
  return new HeartwireError('ERR_GAVE_UP', message, { cause: error });
}
