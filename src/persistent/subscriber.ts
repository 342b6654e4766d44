/**
 * Brings one connection in line with the desired set: asks for what is wanted and not there, gives back what is
 * there and not wanted, waits for the acknowledgements, asks again. Whatever changes meanwhile, in whatever state
 * a key is, it converges: a request under way is awaited, then the key is looked at again.
 */

import { HeartwireError } from '../errors.js';
import type { Message } from '../protocol/message.js';
import type { Payload } from '../protocol/payload.js';
import type { Clock } from './clock.js';
import type { DesiredSet, Entry } from './desired-set.js';
import type { Source } from './pacer.js';
import type { Acknowledgement, SubscriptionProtocol, SubscriptionRequest } from './subscription-protocol.js';

/** What the connection's owner is told, and does. */
export interface SubscriberEvents {
  send(payload: Payload): boolean;
  /** Something may be sent. */
  wake(): void;
  /** Requests wait for acknowledgements, or none does any more. */
  onAttention(): void;
  onSubscribed(entry: Entry): void;
  onUnsubscribed(key: string): void;
  onRefused(entry: Entry): void;
  /** All that was wanted at `begin` has been answered. */
  onComplete(): void;
  onFailed(error: HeartwireError): void;
  /** While the connection is paused, what is not read is not late. */
  isPaused(): boolean;
}

interface Request {
  readonly id: number;
  readonly isSubscribe: boolean;
  /** Without an answer yet. */
  readonly keys: Set<string>;
  cancelTimer: () => void;
}

/** How a key stands on this connection; a key that is not there has no record. */
interface OnConnection {
  readonly request: SubscriptionRequest;
  state: 'asked' | 'subscribed' | 'refused' | 'given back' | 'postponed' | 'doubtful';
}

const DEFAULTS = { batchSize: 50, timeout: 10_000, retries: 1 };

let lastId = 0;

export class Subscriber implements Source {
  readonly #clock: Clock;
  readonly #protocol: SubscriptionProtocol & typeof DEFAULTS;
  readonly #desired: DesiredSet;
  readonly #events: SubscriberEvents;
  readonly #keys = new Map<string, OnConnection>();
  readonly #toSubscribe = new Set<string>();
  readonly #toUnsubscribe = new Set<string>();
  readonly #requests = new Map<number, Request>();
  /** Of keys that are asked for again. */
  readonly #repeats = new Map<string, number>();
  readonly #timers = new Set<() => void>();
  /** What `onComplete` waits for. */
  #awaited: Set<string> | undefined;
  #begun = false;
  #stopped = false;

  constructor(clock: Clock, protocol: SubscriptionProtocol, desired: DesiredSet, events: SubscriberEvents) {
    this.#clock = clock;
    const { batchSize, timeout, retries } = protocol;
    // Spread would lose methods of a prototype.
    this.#protocol = Object.assign(Object.create(protocol) as SubscriptionProtocol, {
      batchSize: batchSize ?? DEFAULTS.batchSize,
      timeout: timeout ?? DEFAULTS.timeout,
      retries: retries ?? DEFAULTS.retries,
    });
    this.#desired = desired;
    this.#events = events;
  }

  /** The connection is authenticated. */
  begin(): void {
    this.#begun = true;
    this.#awaited = new Set();
    for (const { key } of this.#desired.entries()) {
      this.#awaited.add(key);
      this.#toSubscribe.add(key);
    }
    if (this.hasNext) this.#events.wake();
    this.#completeIfDone();
  }

  /** The desired set has gained or lost this key. */
  changed(key: string): void {
    if (!this.#begun) return;
    this.#look(key);
    this.#answered(key);
  }

  /** Gives a key back and asks for it anew. False: it is not subscribed to, or being asked for already. */
  renew(key: string): boolean {
    const here = this.#keys.get(key);
    if (here?.state !== 'subscribed') return false;
    here.state = 'doubtful';
    this.#look(key);
    return true;
  }

  /** A request waits for its answer. */
  get isAttentive(): boolean {
    return this.#requests.size > 0;
  }

  get hasNext(): boolean {
    return this.#toUnsubscribe.size > 0 || this.#toSubscribe.size > 0;
  }

  sendNext(): boolean {
    const isSubscribe = this.#toUnsubscribe.size === 0;
    const waiting = isSubscribe ? this.#toSubscribe : this.#toUnsubscribe;
    const id = ++lastId;
    const request: Request = { id, isSubscribe, keys: new Set(), cancelTimer: () => {} };
    const asked: SubscriptionRequest[] = [];
    for (const key of waiting) {
      if (request.keys.size === this.#protocol.batchSize) break;
      request.keys.add(key);
      asked.push(this.#keys.get(key)?.request ?? requestOf(this.#desired.get(key)!));
    }
    const { subscribe, unsubscribe } = this.#protocol;
    const payload = (isSubscribe ? subscribe : unsubscribe).call(this.#protocol, asked, id);
    const hasRoom = this.#events.send(payload);

    for (const each of asked) {
      waiting.delete(each.key);
      this.#keys.set(each.key, { request: each, state: isSubscribe ? 'asked' : 'given back' });
    }
    this.#requests.set(id, request);
    if (this.#protocol.acknowledgement === undefined) this.#settle(request, [...request.keys], {});
    else this.#awaitAnswer(request);
    return hasRoom;
  }

  /** Reads an acknowledgement, if it is one. */
  received(message: Message): void {
    const answer = this.#protocol.acknowledgement?.(message);
    if (answer === undefined) return;
    if (answer.id !== undefined) {
      const request = this.#requests.get(answer.id);
      if (request !== undefined) this.#settle(request, answer.keys ?? [...request.keys], answer);
      return;
    }
    for (const key of answer.keys ?? []) {
      for (const request of this.#requests.values()) {
        if (!request.keys.has(key)) continue;
        this.#settle(request, [key], answer);
        break;
      }
    }
  }

  /** The keys this connection is subscribed to. */
  subscribed(): string[] {
    return [...this.#keys].filter(([, { state }]) => state === 'subscribed').map(([key]) => key);
  }

  stop(): void {
    this.#stopped = true;
    for (const { cancelTimer } of this.#requests.values()) cancelTimer();
    for (const cancel of this.#timers) cancel();
    this.#requests.clear();
    this.#toSubscribe.clear();
    this.#toUnsubscribe.clear();
  }

  /** What has to be done for this key, now that nothing is under way for it? */
  #look(key: string): void {
    if (this.#stopped) return;
    const wanted = this.#desired.get(key);
    const here = this.#keys.get(key);
    this.#toSubscribe.delete(key);
    this.#toUnsubscribe.delete(key);
    if (here === undefined) {
      if (wanted !== undefined) this.#toSubscribe.add(key);
    } else if (here.state === 'doubtful') {
      this.#toUnsubscribe.add(key);
    } else if (here.state === 'subscribed') {
      if (wanted === undefined) this.#toUnsubscribe.add(key);
      // Given back and wanted again before the venue was told.
      else if (wanted.state === 'pending') this.#events.onSubscribed(wanted);
    } else if (here.state === 'refused' || here.state === 'postponed') {
      // Wanted anew is reason enough to ask anew.
      if (wanted === undefined) this.#keys.delete(key);
    }
    if (this.hasNext) this.#events.wake();
  }

  #awaitAnswer(request: Request): void {
    const wait = (): void => {
      request.cancelTimer = this.#clock.after(this.#protocol.timeout, () => {
        if (this.#events.isPaused()) wait();
        else this.#unanswered(request);
      });
    };
    wait();
    this.#events.onAttention();
  }

  #settle(request: Request, keys: readonly string[], { refused, retryAfter }: Acknowledgement): void {
    for (const key of keys) {
      if (!request.keys.delete(key)) continue;
      if (retryAfter !== undefined) this.#postpone(key, request.isSubscribe, retryAfter);
      else if (request.isSubscribe) this.#subscribed(key, refused);
      else this.#unsubscribed(key);
      this.#look(key);
      this.#answered(key);
    }
    if (request.keys.size > 0) return;
    request.cancelTimer();
    this.#requests.delete(request.id);
    this.#events.onAttention();
  }

  #subscribed(key: string, refused: string | undefined): void {
    const here = this.#keys.get(key)!;
    const entry = this.#desired.get(key);
    this.#repeats.delete(key);
    if (refused === undefined) {
      here.state = 'subscribed';
      // Otherwise `#look` gives it back.
      if (entry !== undefined) this.#events.onSubscribed(entry);
    } else {
      here.state = 'refused';
      if (entry === undefined) return;
      entry.refusal = new HeartwireError('ERR_SUBSCRIPTION_REFUSED', `${key}: ${refused}`);
      this.#events.onRefused(entry);
    }
  }

  /** A refusal to unsubscribe says that there is nothing to unsubscribe from. */
  #unsubscribed(key: string): void {
    this.#repeats.delete(key);
    this.#keys.delete(key);
    this.#events.onUnsubscribed(key);
  }

  /** "Not now." A key that is being given back stays so, and is given back again. */
  #postpone(key: string, isSubscribe: boolean, ms: number): void {
    const here = this.#keys.get(key)!;
    if (!this.#mayRepeat(key)) {
      if (isSubscribe) this.#subscribed(key, 'not now, it was told, however often it was asked for');
      else this.#giveUp(key, isSubscribe);
      return;
    }
    if (isSubscribe) here.state = 'postponed';
    const cancel = this.#clock.after(ms, () => {
      this.#timers.delete(cancel);
      if (this.#keys.get(key) !== here) return;
      if (isSubscribe) this.#keys.delete(key);
      // It may have been given back because nobody knows whether the venue has it.
      else here.state = 'doubtful';
      this.#look(key);
    });
    this.#timers.add(cancel);
  }

  /**
   * No answer in time: has the venue heard of it or not? Asked a second time, some venues send everything twice. So
   * the key is given back first, and asked for anew when that has been acknowledged.
   */
  #unanswered({ id, isSubscribe, keys }: Request): void {
    this.#requests.delete(id);
    for (const key of keys) {
      if (!this.#mayRepeat(key)) {
        this.#giveUp(key, isSubscribe);
        return;
      }
      this.#keys.get(key)!.state = 'doubtful';
      this.#look(key);
    }
    this.#events.onAttention();
  }

  #giveUp(key: string, isSubscribe: boolean): void {
    const message = `${isSubscribe ? 'Subscribing to' : 'Unsubscribing from'} ${key} was not acknowledged`;
    this.#events.onFailed(new HeartwireError('ERR_SUBSCRIPTION_TIMEOUT', message));
  }

  #mayRepeat(key: string): boolean {
    const repeats = (this.#repeats.get(key) ?? 0) + 1;
    this.#repeats.set(key, repeats);
    return repeats <= this.#protocol.retries;
  }

  #answered(key: string): void {
    const state = this.#keys.get(key)?.state;
    const open = this.#desired.get(key) !== undefined && state !== 'subscribed' && state !== 'refused';
    if (!open && this.#awaited?.delete(key)) this.#completeIfDone();
  }

  #completeIfDone(): void {
    if (this.#awaited === undefined || this.#awaited.size > 0) return;
    this.#awaited = undefined;
    this.#events.onComplete();
  }
}

function requestOf({ key, params }: Entry): SubscriptionRequest {
  return { key, params };
}
