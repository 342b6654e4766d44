/**
 * One attempt, from dialling to its end: one connection, one epoch. It connects, authenticates, subscribes and then
 * serves; whatever goes wrong ends it, once, and from then on it is silent: what its socket or its timers still do
 * reaches nobody. A persistent connection owns one leg at a time, and could own several.
 */

import { connect } from '../connect.js';
import { type Connection, ReadyState } from '../connection.js';
import { HandshakeError, HeartwireError } from '../errors.js';
import type { SendOptions } from '../options.js';
import { rethrow } from '../protocol/callback.js';
import type { Message } from '../protocol/message.js';
import type { Payload } from '../protocol/payload.js';
import type { CloseInfo } from '../report.js';
import type { AddressRotation } from './address-rotation.js';
import type { Channels } from './channels.js';
import type { Clock } from './clock.js';
import type { ContinuityKeeper } from './continuity.js';
import { deferred } from './deferred.js';
import type { DesiredSet, Entry } from './desired-set.js';
import { type FailureKind, kindOfClose, kindOfError } from './failure.js';
import { Pacer, type Source } from './pacer.js';
import type { PersistentConnection } from './persistent-connection.js';
import type {
  Attempt,
  AttemptOptions,
  MessageRate,
  PersistentOptions,
  RecoverySession,
} from './persistent-options.js';
import { Subscriber } from './subscriber.js';

export type LegPhase = 'connecting' | 'authenticating' | 'subscribing' | 'ready' | 'ended';

/** What ended a leg. */
export interface LegEnd {
  readonly kind: FailureKind;
  readonly error?: Error;
  readonly close?: CloseInfo;
  readonly retryAfter?: number;
}

/** What a leg shares with its owner. */
export interface LegHost {
  readonly clock: Clock;
  readonly options: PersistentOptions;
  /** For `onMessage`. */
  readonly feed: PersistentConnection;
  readonly messageRate: MessageRate | undefined;
  readonly desired: DesiredSet;
  readonly channels: Channels;
  readonly continuity: ContinuityKeeper;
  readonly rotation: AddressRotation;
  /** Messages that were queued while there was no leg to send them; for the leg in use. */
  heldFor(leg: Leg): Source;
  /** Reading is to stop, whoever reads. */
  readonly isPaused: boolean;
  /** True while a message may acknowledge one of ours. */
  readonly awaitsOutcomes: boolean;
  /** Every message is given to `takes` before it is delivered. */
  readonly takesAll: boolean;
  /** True: it is delivered elsewhere, at its time, or has been. */
  takes(leg: Leg, message: Message, channel: string | undefined): boolean;
  onPhase(leg: Leg, phase: LegPhase): void;
  /** The first message of a channel since the leg was ready. */
  onData(leg: Leg): void;
  onAcknowledged(key: string): void;
  onSubscribed(leg: Leg, entry: Entry): void;
  onUnsubscribed(leg: Leg, key: string): void;
  onRefused(leg: Leg, entry: Entry): void;
  onEnded(leg: Leg, end: LegEnd): void;
  /** It has no connection any more, for whatever reason. */
  onOver(leg: Leg): void;
}

interface Expectation {
  match(message: Message): unknown;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

interface SessionMessage {
  data: Payload;
  options: SendOptions | undefined;
  resolve(): void;
  reject(error: unknown): void;
}

const AUTHENTICATION_TIMEOUT = 10_000;

export class Leg implements Attempt {
  readonly epoch: number;
  readonly url: string;
  connection: Connection | undefined;
  /** The server's, while and after there is a connection. */
  address: string | undefined;
  /** When the opening handshake was done, in ms of the clock. */
  openedAt = 0;
  /** It has been ready. */
  wasReady = false;
  readonly pacer: Pacer;
  readonly #host: LegHost;
  readonly #subscriber: Subscriber | undefined;
  readonly #over = new AbortController();
  readonly #expectations = new Set<Expectation>();
  /** What `RecoverySession.send` has been given. */
  readonly #ofSession: SessionMessage[] = [];
  #phase: LegPhase = 'connecting';
  #awaitsData = false;
  #closing = false;
  /** Are messages looked at before they are delivered? */
  readonly #attention = { needed: false, look: (message: Message) => this.#look(message) };

  constructor(epoch: number, url: string, host: LegHost) {
    this.epoch = epoch;
    this.url = url;
    this.#host = host;
    const { subscriptions } = host.options;
    const sources: Source[] = [this.#sessionSource, host.heldFor(this)];
    if (subscriptions !== undefined) {
      this.#subscriber = new Subscriber(host.clock, subscriptions, host.desired, {
        send: (payload) => this.connection!.send(payload),
        wake: () => this.pacer.wake(),
        onAttention: () => this.attend(),
        onSubscribed: (entry) => host.onSubscribed(this, entry),
        onUnsubscribed: (key) => host.onUnsubscribed(this, key),
        onRefused: (entry) => host.onRefused(this, entry),
        onComplete: () => this.#ready(),
        onFailed: (error) => this.fail('subscription', error),
        isPaused: () => this.connection?.isPaused ?? false,
      });
      sources.push(this.#subscriber);
    }
    this.pacer = new Pacer(host.clock, host.messageRate, this.#gated(sources), (thrown) =>
      this.#cannotSend(thrown),
    );
  }

  get phase(): LegPhase {
    return this.#phase;
  }

  /** Authenticated, and not over: messages may be sent. */
  get isOpen(): boolean {
    return (this.#phase === 'subscribing' || this.#phase === 'ready') && this.#isLive;
  }

  get subscriber(): Subscriber | undefined {
    return this.#subscriber;
  }

  // --------------------------------------------------------------------------------------------- recovery

  /** Connect, authenticate, subscribe, in this order. Never rejects. */
  async begin(): Promise<void> {
    const connection = await this.#connect();
    if (connection === undefined) return;
    this.connection = connection;
    this.address = connection.remoteAddress;
    this.openedAt = this.#host.clock.now();
    if (this.#host.isPaused) connection.pause();

    this.#enter('authenticating');
    if (!(await this.#authenticate(connection))) return;

    this.#enter('subscribing');
    if (!this.#isLive) return;
    this.pacer.wake();
    if (this.#subscriber === undefined) this.#ready();
    else this.#subscriber.begin();
  }

  async #connect(): Promise<Connection | undefined> {
    const { options, messageRate, rotation } = this.#host;
    let attempt: AttemptOptions & { url?: string };
    try {
      attempt = typeof options.connect === 'function' ? await options.connect(this) : (options.connect ?? {});
    } catch (thrown) {
      this.fail('application', thrown);
      return undefined;
    }
    if (this.#isOver) return undefined;
    const { onPing, onPong, socket, url = this.url, ...rest } = attempt;
    try {
      const connection = await connect(url, {
        ...rest,
        socket: { ...socket, lookup: rotation.lookup(socket?.lookup) },
        signal: this.#over.signal,
        onMessage: this.#messageHandler(),
        onPing: counted(onPing, messageRate?.countsPongs && (() => this.pacer.spend())),
        onPong: counted(onPong, messageRate?.countsPings && (() => this.pacer.spend())),
        onDrain: () => this.pacer.drained(),
        onClose: (info) => this.#end({ kind: kindOfClose(info), close: info, error: info.error }),
      });
      // It may have ended between the response and this line.
      if (!this.#isOver) return connection;
      connection.terminate();
      return undefined;
    } catch (error) {
      const { retryAfter, attempts = [] } = error instanceof HandshakeError ? error : {};
      for (const { address } of attempts) rotation.failed(address);
      this.#end({ kind: kindOfError(error), error: error as Error, retryAfter });
      return undefined;
    }
  }

  async #authenticate(connection: Connection): Promise<boolean> {
    const { authenticate, authenticationTimeout = AUTHENTICATION_TIMEOUT } = this.#host.options;
    if (authenticate === undefined || !this.#isLive) return this.#isLive;
    let cancel = (): void => {};
    const wait = (): void => {
      cancel = this.#host.clock.after(authenticationTimeout, () => {
        if (connection.isPaused) wait();
        else this.fail('authentication', late(authenticationTimeout));
      });
    };
    wait();
    try {
      await authenticate(this.#session(connection));
    } catch (thrown) {
      this.fail('authentication', thrown);
    } finally {
      cancel();
    }
    return this.#isLive;
  }

  #session(connection: Connection): RecoverySession {
    const { epoch, url } = this;
    return {
      epoch,
      url,
      connection,
      signal: this.#over.signal,
      send: (data, options) =>
        new Promise((resolve, reject) => {
          if (!this.#isLive) throw over();
          this.#ofSession.push({ data, options, resolve, reject });
          this.pacer.wake();
        }),
      reply: <T>(match: (message: Message) => T | undefined) => {
        const { promise, resolve, reject } = deferred<T>();
        // Who loses interest, or sends first, leaves nobody to handle it.
        promise.catch(() => {});
        if (!this.#isLive) reject(over());
        else this.#expectations.add({ match, resolve: resolve as (value: unknown) => void, reject });
        this.attend();
        return promise;
      },
    };
  }

  readonly #sessionSource: Source = ((leg: Leg): Source => ({
    get hasNext() {
      return leg.#ofSession.length > 0;
    },
    sendNext() {
      const { data, options, resolve, reject } = leg.#ofSession.shift()!;
      try {
        const hasRoom = leg.connection!.send(data, options);
        resolve();
        return hasRoom;
      } catch (thrown) {
        reject(thrown);
        return true;
      }
    },
  }))(this);

  /** Before authentication only the session may send. */
  #gated([ofSession, ...others]: readonly Source[]): Source[] {
    const isOpen = (): boolean => this.isOpen;
    const gated = others.map(
      (source): Source => ({
        get hasNext() {
          return isOpen() && source.hasNext;
        },
        sendNext: () => source.sendNext(),
      }),
    );
    return [ofSession, ...gated];
  }

  #ready(): void {
    if (!this.#isLive) return;
    this.wasReady = true;
    this.#awaitsData = this.#host.options.channelOf !== undefined;
    this.attend();
    this.#enter('ready');
  }

  #enter(phase: LegPhase): void {
    if (!this.#isLive) return;
    this.#phase = phase;
    this.#host.onPhase(this, phase);
  }

  // -------------------------------------------------------------------------------------------- receiving

  /**
   * What the connection calls for every message: where nothing waits for messages, a test and a call. A local function
   * without private names, because that is small enough for the compiler to put the application's callback into it
   * (bench: receive, 16 B).
   */
  #messageHandler(): (message: Message) => void {
    const { feed, options } = this.#host;
    const { onMessage } = options;
    const attention = this.#attention;
    if (onMessage === undefined) return (message) => void (attention.needed && attention.look(message));
    return (message) => {
      if (attention.needed && !attention.look(message)) return;
      return onMessage(message, feed);
    };
  }

  /** Something has begun, or ceased, to wait for messages. */
  attend(): void {
    const { awaitsOutcomes, channels, continuity, takesAll } = this.#host;
    this.#attention.needed =
      this.#isOver ||
      this.#awaitsData ||
      this.#expectations.size > 0 ||
      this.#subscriber?.isAttentive === true ||
      awaitsOutcomes ||
      continuity.isNeeded ||
      takesAll ||
      !channels.isEmpty;
  }

  /** False: nobody is to have it, or not yet. */
  #look(message: Message): boolean {
    if (this.#isOver) return false;
    const { acknowledges, channelOf } = this.#host.options;
    try {
      for (const expectation of this.#expectations) this.#try(expectation, message);
      if (this.#subscriber?.isAttentive) this.#subscriber.received(message);
      if (acknowledges !== undefined && this.#host.awaitsOutcomes) {
        const key = acknowledges(message);
        if (key !== undefined) this.#host.onAcknowledged(key);
      }
      const channel = channelOf?.(message);
      if (channel !== undefined && this.#awaitsData) {
        this.#awaitsData = false;
        this.#host.onData(this);
        this.attend();
      }
      const { channels, continuity } = this.#host;
      if (this.#host.takesAll && this.#host.takes(this, message, channel)) return false;
      if (continuity.isNeeded && !continuity.admit(this, message, channel)) return false;
      channels.deliver(message, channel);
    } catch (thrown) {
      // A matcher of the application's failed; the message is delivered all the same.
      rethrow(thrown);
    }
    return true;
  }

  #try(expectation: Expectation, message: Message): void {
    const { match, resolve, reject } = expectation;
    try {
      const found = match(message);
      if (found === undefined) return;
      resolve(found);
    } catch (thrown) {
      reject(thrown);
    }
    this.#expectations.delete(expectation);
    this.attend();
  }

  // ----------------------------------------------------------------------------------------------- ending

  get #isOver(): boolean {
    return this.#phase === 'ended';
  }

  /** Nothing but messages happens to a leg that is being closed. */
  get #isLive(): boolean {
    return this.#phase !== 'ended' && !this.#closing;
  }

  /** It is of no use any more. */
  fail(kind: FailureKind, thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    this.#end({ kind, error });
  }

  /** Nobody wants it any more: it ends without a word to its owner. */
  abandon(): void {
    this.#silence();
    this.connection?.terminate();
  }

  /** The closing handshake, for good. */
  async close(code: number | undefined, reason: string | undefined): Promise<CloseInfo | undefined> {
    this.#closing = true;
    this.#stop();
    const info = await this.connection?.close(code, reason);
    this.#silence();
    return info;
  }

  #end(end: LegEnd): void {
    if (!this.#isLive) return;
    this.#host.rotation.failed(this.address);
    this.#silence();
    this.connection?.terminate();
    this.#host.onEnded(this, end);
  }

  #silence(): void {
    if (this.#isOver) return;
    this.#phase = 'ended';
    // For `#look` to hold back what still comes.
    this.#attention.needed = true;
    this.#stop();
    this.#host.onOver(this);
  }

  /** Recovery and sending. */
  #stop(): void {
    this.pacer.stop();
    this.#subscriber?.stop();
    this.#over.abort();
    for (const { reject } of [...this.#expectations, ...this.#ofSession.splice(0)]) reject(over());
    this.#expectations.clear();
  }

  #cannotSend(thrown: unknown): void {
    // It is ending, and `onClose` will say why; or it is full, and `onDrain` follows.
    if (this.connection!.readyState !== ReadyState.open) return;
    if (thrown instanceof HeartwireError && thrown.code === 'ERR_SEND_BUFFER_FULL') return;
    this.fail('application', thrown);
  }
}

/** A handler of frames that count as messages. */
function counted<Arguments extends unknown[]>(
  handler: ((...args: Arguments) => void) | undefined,
  count: (() => void) | false | undefined,
): ((...args: Arguments) => void) | undefined {
  if (!count) return handler;
  return (...args) => {
    count();
    handler?.(...args);
  };
}

function over(): HeartwireError {
  return new HeartwireError('ERR_ABORTED', 'The attempt is over');
}

function late(ms: number): HeartwireError {
  return new HeartwireError('ERR_AUTHENTICATION_TIMEOUT', `Not authenticated within ${ms} ms`);
}
