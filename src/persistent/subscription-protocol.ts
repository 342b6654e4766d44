/** How one subscribes with a venue, as the application tells it. */

import type { Message } from '../protocol/message.js';
import type { Payload } from '../protocol/payload.js';

/** A key to subscribe to or to unsubscribe from, as `subscribe()` was given it. */
export interface SubscriptionRequest {
  readonly key: string;
  readonly params: unknown;
}

/** What a message of the other side's says about requests of ours. */
export interface Acknowledgement {
  /** Of the request that is answered; needed unless `keys` is given. */
  readonly id?: number;
  /** The keys that are answered. Default: all of the request's that have no answer yet. */
  readonly keys?: readonly string[];
  /** The other side says no, and this is its reason. */
  readonly refused?: string;
  /** It says "not now": ask again after so many ms. */
  readonly retryAfter?: number;
}

/** How one subscribes with the venue. */
export interface SubscriptionProtocol {
  /** The message that asks for these keys. `id` is different for every request of the process. */
  subscribe(requests: readonly SubscriptionRequest[], id: number): Payload;
  /** The message that gives them back. */
  unsubscribe(requests: readonly SubscriptionRequest[], id: number): Payload;
  /**
   * What a message acknowledges; undefined for every other message. Without this function a request counts as
   * acknowledged when it has been sent. It is called for every message while a request waits for its answer.
   */
  acknowledgement?(message: Message): Acknowledgement | undefined;
  /** Most keys in one message. Default 50. */
  batchSize?: number;
  /** ms for an acknowledgement. Default 10_000. */
  timeout?: number;
  /**
   * How often a key is given back and asked for anew that was not acknowledged in time; then the connection is given
   * up. Also how often one is asked for again that was answered with `retryAfter`; then it counts as refused.
   * Default 1.
   */
  retries?: number;
}
