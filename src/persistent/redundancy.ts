/**
 * Hot-hot: two or more connections at once, to one or several endpoints, that are subscribed to the same. Of every
 * message the first arrival is delivered, the others are dropped and timed. A connection that dies costs nothing
 * while another lives; one that comes back joins where the others are.
 */

import { HeartwireError, UsageError } from '../errors.js';
import type { MessageIterator } from '../message-iterator.js';
import type { WaitOptions } from '../options.js';
import { warnOfPromise } from '../protocol/callback.js';
import type { Message } from '../protocol/message.js';
import type { Payload } from '../protocol/payload.js';
import { Channels } from './channels.js';
import { systemClock } from './clock.js';
import { arrivalsFor, type DeduplicationOptions } from './deduplication.js';
import { Events } from './events.js';
import type { LatenessSummary } from './lateness.js';
import { Merge, MergedLeg } from './merge.js';
import { PersistentConnection } from './persistent-connection.js';
import type { PersistentEnd, PersistentEvents, PersistentStats } from './persistent-events.js';
import type { PersistentOptions, PersistentSendOptions } from './persistent-options.js';
import { Readiness } from './readiness.js';
import type { Subscription } from './subscription.js';

export interface RedundantOptions extends Omit<PersistentOptions, 'onMessage' | 'deduplication'> {
  /** What makes messages of two connections the same. */
  deduplication: DeduplicationOptions;
  /** Every message once, from whichever connection brings it first; replies and the like from each. */
  onMessage?: (message: Message, feed: RedundantConnection) => void;
  /**
   * What is different for the connection with this number, from 0 on: the local address, the proxy, the account. By
   * default nothing is.
   */
  leg?: (index: number) => Partial<Omit<PersistentOptions, 'onMessage' | 'deduplication' | 'channelOf'>>;
  /**
   * ms that a message waits for those before it, which another connection may bring: when a connection comes back and
   * is ahead, or has left something out. Default 1_000.
   */
  maxHold?: number;
}

/** The events of its connections, each with the number of the one it is of; `ready` and `closed` are of the whole. */
export type RedundantEvents = {
  [Name in Exclude<keyof PersistentEvents, 'ready' | 'closed'>]: PersistentEvents[Name] & {
    readonly leg: number;
  };
} & {
  /** The first connection is ready, after a time without one. */
  ready: { readonly leg: number };
  /** The last connection that was ready is lost. */
  down: { readonly leg: number };
  closed: RedundantEnd;
};

export interface RedundantEnd {
  /** Of each connection, how it ended. */
  readonly legs: readonly PersistentEnd[];
}

export interface LegStats extends PersistentStats {
  readonly url: string;
  /** Messages that it brought first, and those that another had brought before. */
  readonly first: number;
  readonly late: number;
  /** ms by which it was ahead of the next one, with those that it brought first. */
  readonly lead: LatenessSummary;
  /** ms by which it was behind the first one, with those that it did not. */
  readonly lag: LatenessSummary;
}

export interface RedundantStats {
  readonly legs: readonly LegStats[];
  /** Messages that wait for those before them. */
  readonly held: number;
  /** Messages that no connection brought, as far as sequence numbers show it. */
  readonly leftOut: number;
}

interface Part {
  readonly url: string;
  readonly feed: PersistentConnection;
  readonly merged: MergedLeg;
}

const FORWARDED = [
  'state',
  'failure',
  'subscribed',
  'unsubscribed',
  'refused',
  'unknown-outcome',
  'dropped',
  'rotation',
] as const;

const MAX_HOLD = 1_000;

export class RedundantConnection {
  /** Resolves when all its connections have ended for good; never rejects. */
  readonly closed: Promise<RedundantEnd>;
  readonly #options: RedundantOptions;
  readonly #events = new Events<RedundantEvents>();
  readonly #channels: Channels;
  readonly #merge: Merge;
  readonly #parts: readonly Part[];
  readonly #legs: readonly PersistentConnection[];
  readonly #readiness = new Readiness();
  #pausedByUser = false;

  /**
   * @param urls of each connection one: the same twice for two connections to one endpoint
   * @throws UsageError `ERR_INVALID_URL`, `ERR_INVALID_OPTION`
   */
  constructor(urls: readonly (string | URL)[], options: RedundantOptions) {
    if (urls.length < 2 || urls.length > 64)
      throw new UsageError('ERR_INVALID_OPTION', `Redundancy takes 2 to 64 URLs, not ${urls.length}`);
    arrivalsFor(options.deduplication);
    this.#options = options;
    this.#channels = new Channels({
      markOf: () => undefined,
      onBlocked: () => this.#applyPause(),
      // All loops pause the connections, so none drops anything.
      onDropped: () => {},
      onTooSlow: () => {},
    });
    const isPaused = (): boolean => this.#pausedByUser || this.#channels.isBlocked;
    const { clock = systemClock, deduplication, maxHold = MAX_HOLD, onMessage } = options;
    this.#merge = new Merge(clock, deduplication, maxHold, {
      get isPaused() {
        return isPaused();
      },
      deliver: (message, channel) => {
        this.#channels.deliver(message, channel);
        const result: unknown = onMessage?.(message, this);
        if (result !== undefined) warnOfPromise(result);
      },
    });
    this.#parts = urls.map((url, index) => this.#part(String(url), index));
    this.#legs = this.#parts.map(({ feed }) => feed);
    this.closed = Promise.all(this.#parts.map(({ feed }) => feed.closed)).then((legs) => this.#ended(legs));
  }

  #part(url: string, index: number): Part {
    const { onMessage: _, leg, maxHold: __, ...options } = this.#options;
    const merged = new MergedLeg(index);
    const { channelOf } = options;
    const feed = new PersistentConnection(url, {
      ...options,
      ...leg?.(index),
      onMessage: (message) => this.#merge.offer(merged, message, channelOf?.(message)),
    });
    feed.on('state', ({ from, to }) => {
      // From its first subscription on it brings messages.
      if (to === 'subscribing') this.#merge.add(merged);
      else if (to === 'ready') this.#merge.complete(merged);
      else if (to === 'backing-off' || to === 'closed') this.#merge.remove(merged);
      if (from === 'ready' && !this.isReady) {
        this.#readiness.lose();
        this.#events.emit('down', { leg: index });
      }
    });
    feed.on('ready', () => {
      if (this.#parts.some((part) => part.feed !== feed && part.feed.state === 'ready')) return;
      this.#readiness.keep();
      this.#events.emit('ready', { leg: index });
    });
    for (const name of FORWARDED) {
      feed.on(name, (event) => this.#events.emit(name, { ...event, leg: index } as never));
    }
    return { url, feed, merged };
  }

  /** The connections, for what is asked of one alone. */
  get legs(): readonly PersistentConnection[] {
    return this.#legs;
  }

  /** One of them is ready. */
  get isReady(): boolean {
    return this.#parts.some(({ feed }) => feed.state === 'ready');
  }

  /** Resolves when one of them is ready; anew after a time without one. Rejects when all have ended for good. */
  get ready(): Promise<void> {
    return this.#readiness.promise;
  }

  on<Name extends keyof RedundantEvents>(name: Name, listener: (event: RedundantEvents[Name]) => void): this {
    this.#events.on(name, listener);
    return this;
  }

  off<Name extends keyof RedundantEvents>(
    name: Name,
    listener: (event: RedundantEvents[Name]) => void,
  ): this {
    this.#events.off(name, listener);
    return this;
  }

  /**
   * Sends on one connection, the first that is ready. Nothing is sent on two, nor on another after a loss: with a
   * `key` and no acknowledgement it is an `unknown-outcome` then.
   *
   * @returns and throws as `PersistentConnection.send`. With none ready and `whenDown: 'queue'` it waits for the first
   *   connection that has not given up
   */
  send(data: Payload, options: PersistentSendOptions = {}): boolean {
    const { key } = options;
    const legs = this.legs;
    // Where its key is in use it is refused.
    const leg =
      (key !== undefined && legs.find((each) => each.knows(key))) ||
      legs.find(({ state }) => state === 'ready') ||
      legs.find(({ state }) => state !== 'closed') ||
      legs[0];
    return leg.send(data, options);
  }

  /** The other side has acknowledged the message with this key. False: none waits. */
  acknowledge(key: string): boolean {
    return this.legs.some((leg) => leg.acknowledge(key));
  }

  /** The keys of messages that were sent and not acknowledged yet. */
  get unacknowledged(): string[] {
    return this.legs.flatMap((leg) => leg.unacknowledged);
  }

  /** On all connections, as `PersistentConnection.subscribe`; of each connection what that one returns. */
  subscribe(key: string, params?: unknown): RedundantSubscription {
    const legs = this.legs.filter(({ state }) => state !== 'closed');
    // With none left, the first one throws what there is to throw.
    const asked = legs.length > 0 ? legs : this.legs;
    return new RedundantSubscription(
      key,
      asked.map((leg) => leg.subscribe(key, params)),
    );
  }

  /** As `PersistentConnection.messages`, every message once. When the loop is behind, all connections pause. */
  messages(channel?: string, options: WaitOptions & { subscribe?: boolean } = {}): MessageIterator {
    if (channel !== undefined && this.#options.channelOf === undefined)
      throw new UsageError('ERR_INVALID_OPTION', 'messages(channel) needs the option `channelOf`');
    const subscribes = options.subscribe ?? this.#options.subscriptions !== undefined;
    const isOver = this.legs.every(({ state }) => state === 'closed');
    const subscription = channel !== undefined && subscribes && !isOver ? this.subscribe(channel) : undefined;
    const queue = this.#channels.queue(channel, {});
    return this.#channels.iterate(queue, { signal: options.signal }, () => subscription?.unsubscribe());
  }

  pause(): void {
    this.#pausedByUser = true;
    this.#applyPause();
  }

  resume(): void {
    this.#pausedByUser = false;
    this.#applyPause();
  }

  #applyPause(): void {
    const isPaused = this.#pausedByUser || this.#channels.isBlocked;
    for (const leg of this.legs) {
      if (isPaused) leg.pause();
      else leg.resume();
    }
    if (!isPaused) this.#merge.resumed();
  }

  /** Ends all connections for good; see `PersistentConnection.close`. */
  close(code?: number, reason?: string): Promise<RedundantEnd> {
    for (const leg of this.legs) void leg.close(code, reason);
    return this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #ended(legs: readonly PersistentEnd[]): RedundantEnd {
    // One that had given up before `close()` was called ended nothing.
    const error = legs.every((end) => end.error !== undefined) ? legs[0].error : undefined;
    this.#merge.end();
    this.#channels.end(error);
    this.#readiness.break(error ?? new HeartwireError('ERR_NOT_READY', 'The connections were closed'));
    const end = { legs };
    this.#events.emit('closed', end);
    return end;
  }

  stats(): RedundantStats {
    return {
      legs: this.#parts.map(({ url, feed, merged }) => ({
        ...feed.stats(),
        url,
        first: merged.first,
        late: merged.late,
        lead: merged.lead.summary(),
        lag: merged.lag.summary(),
      })),
      held: this.#merge.heldMessages,
      leftOut: this.#merge.leftOut,
    };
  }
}

/** A wish that all connections have. */
export class RedundantSubscription {
  readonly key: string;
  /** Of each connection one. */
  readonly legs: readonly Subscription[];

  /** @internal */
  constructor(key: string, legs: readonly Subscription[]) {
    this.key = key;
    this.legs = legs;
  }

  /** Resolves with the first acknowledgement; rejects when no connection gets one. Need not be handled. */
  get acknowledged(): Promise<void> {
    const first = Promise.any(this.legs.map(({ acknowledged }) => acknowledged)).catch(
      ({ errors }: AggregateError) => {
        throw errors[0];
      },
    );
    first.catch(() => {});
    return first;
  }

  /** As `Subscription.unsubscribe`, on all connections. */
  unsubscribe(): void {
    for (const leg of this.legs) leg.unsubscribe();
  }

  [Symbol.dispose](): void {
    this.unsubscribe();
  }
}
