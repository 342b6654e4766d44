/** What an application tells a persistent connection. Everything that is the venue's own comes from here. */

import type { ConnectOptions } from '../connect.js';
import type { Connection } from '../connection.js';
import type { SendOptions } from '../options.js';
import type { Message } from '../protocol/message.js';
import type { Payload } from '../protocol/payload.js';
import type { BackoffOptions } from './backoff.js';
import type { Clock } from './clock.js';
import type { ConnectionBudget } from './connection-budget.js';
import type { DeduplicationOptions } from './deduplication.js';
import type { Failure, RetryDecision } from './failure.js';
import type { HeldLimits } from './held-messages.js';
import type { PersistentConnection } from './persistent-connection.js';
import type { ResyncOptions } from './resync.js';
import type { RotationOptions } from './rotation-options.js';
import type { Sequence } from './sequence.js';
import type { SubscriptionProtocol } from './subscription-protocol.js';
import type { Rate } from './token-bucket.js';
import type { Venue } from './venues.js';

/** What `connect()` is given for each attempt; `onMessage` and the rest of the life cycle are this layer's. */
export type AttemptOptions = Omit<ConnectOptions, 'onMessage' | 'onClose' | 'onDrain' | 'signal'>;

export interface Attempt {
  readonly epoch: number;
  readonly url: string;
}

/** What `authenticate` works with: one attempt's connection, open and not yet anybody else's. */
export interface RecoverySession extends Attempt {
  readonly connection: Connection;
  /** Aborts when this attempt is over, whatever ended it. */
  readonly signal: AbortSignal;
  /** As `Connection.send`, within the venue's message rate. Resolves when the message has been sent. */
  send(data: Payload, options?: SendOptions): Promise<void>;
  /**
   * Resolves with what `match` returns for the first message for which it returns something. Call it before what
   * causes the reply is sent. Rejects when the attempt is over.
   */
  reply<T>(match: (message: Message) => T | undefined): Promise<T>;
}

/** How many messages a venue takes. */
export interface MessageRate extends Rate {
  /** The venue counts Pings, and Pongs, as messages. Default false. */
  countsPings?: boolean;
  countsPongs?: boolean;
}

/** How one subscription is watched over. Needs `channelOf`, which must give its key. */
export interface Continuity {
  /** ms without a message of the channel, after which it is stale. Default: none, for channels that may be quiet. */
  deadline?: number;
  /** How its messages are numbered. Default: they are not. */
  sequence?: Sequence;
  /** How it begins anew after a gap. Default: it goes on with the next message. */
  resync?: ResyncOptions | ResyncOptions['snapshot'];
}

export interface PersistentOptions {
  /**
   * Options of every attempt, or a function that makes them afresh: signed headers, a URL with a token. What it
   * throws is a failure of kind `application`.
   */
  connect?:
    | AttemptOptions
    | ((
        attempt: Attempt,
      ) => (AttemptOptions & { url?: string }) | Promise<AttemptOptions & { url?: string }>);
  /**
   * Called for every message, in the turn of its read; valid until it returns. Every message comes here, replies
   * and acknowledgements too, but those that `continuity` holds back or finds late.
   */
  onMessage?: (message: Message, feed: PersistentConnection) => void;
  /** Logs in, anew on every connection. What it throws, or rejects with, fails the attempt. */
  authenticate?: (session: RecoverySession) => unknown;
  /** ms for `authenticate`. Default 10_000. */
  authenticationTimeout?: number;
  /** How one subscribes. Without it there is no `subscribe()`. */
  subscriptions?: SubscriptionProtocol;
  /** The channel that a message belongs to: the key of its subscription; undefined for what is no data. */
  channelOf?: (message: Message) => string | undefined;
  /** What is known of the data of a subscription: its deadline, its numbers, its snapshots. Of all, or by key. */
  continuity?: Continuity | ((key: string, params: unknown) => Continuity | undefined);
  /** The numbers of all messages of a connection, where the venue does not number each channel. */
  connectionSequence?: Sequence;
  /** The key of the message of ours that a message acknowledges (`send(…, { key })`); undefined for others. */
  acknowledges?: (message: Message) => string | undefined;
  /** What makes messages of two connections the same: for rotation, and for `RedundantConnection`. */
  deduplication?: DeduplicationOptions;
  /** Another connection takes over before the venue ends this one. Needs `deduplication`. */
  rotation?: RotationOptions;
  /**
   * Connections that the venue allows at a time: rotation needs one more, and does not begin without. All of this
   * process count that share a connection budget's name. Default: the venue's, or no limit.
   */
  maxConnections?: number;
  /** What the venue allows on one connection. Default: the venue's, or no limit. */
  messageRate?: MessageRate;
  /**
   * How often this process may connect to a host. By default 300 times a minute, 100 of them at once, per host, or
   * what the venue allows. `key`: the name under which several hosts count as one. false: no limit.
   */
  connectionBudget?: false | ConnectionBudget | (Rate & { key?: string });
  /** A venue's limits, from `venues` or of one's own. */
  venue?: Venue;
  backoff?: BackoffOptions;
  /** ms after which a connection that is ready counts as stable: only then the backoff begins anew. Default 30_000. */
  stableAfter?: number;
  /** Attempts that may fail in a row; then it closes for good. Default: no limit. */
  maxAttempts?: number;
  /** The last word on what follows a failure. `decision` is what this layer would do. */
  retry?: (failure: Failure, decision: RetryDecision) => RetryDecision;
  /** Of messages sent with `whenDown: 'queue'`. */
  queue?: HeldLimits;
  /** Messages with a `key` that may wait for their acknowledgement. Default 10_000. */
  maxUnacknowledged?: number;
  /** Closes for good when it aborts. */
  signal?: AbortSignal;
  /** For tests. Default: `performance.now()` and `setTimeout`. */
  clock?: Clock;
  /** For tests: from 0 to below 1. Default `Math.random`. */
  random?: () => number;
}

export interface PersistentSendOptions {
  /** As for `Connection.send`. */
  binary?: boolean;
  /**
   * What happens when it cannot be sent now, because there is no authenticated connection or the venue's message
   * rate is used up. `'reject'` (the default): `send` throws, and it is never sent. `'queue'`: it waits, in order, and
   * is sent once, or reported with the event `dropped`.
   */
  whenDown?: 'reject' | 'queue';
  /** ms that it may wait in the queue. Default: `queue.timeToLive`. */
  timeToLive?: number;
  /** The outcome tracker's: until `acknowledge(key)`, a loss makes it an `unknown-outcome`. */
  key?: string;
}
