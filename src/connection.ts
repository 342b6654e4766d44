/**
 * One WebSocket connection, open: the protocol core on a transport. `connect()` makes it.
 */

import { isUtf8 } from 'node:buffer';
import type { Duplex } from 'node:stream';
import { aborted, unlessAborted } from './abort.js';
import { sharedCodec } from './codec/codec.js';
import { ConnectionLostError, HeartwireError, type ProtocolError, UsageError } from './errors.js';
import { Heartbeat, type HeartbeatLink } from './heartbeat/heartbeat.js';
import type { HeartbeatSettings } from './heartbeat/settings.js';
import { Inbound } from './inbound.js';
import type { MessageIterator } from './message-iterator.js';
import type {
  ConnectionHandlers,
  ConnectionLimits,
  DropIn,
  IterateOptions,
  SendOptions,
  StreamSendOptions,
  WaitOptions,
} from './options.js';
import { type Deflation, Outbound } from './outbound.js';
import { rethrow } from './protocol/callback.js';
import { CloseCode, type CloseStatus, closePayload } from './protocol/closing-handshake.js';
import type { Extension } from './protocol/extensions.js';
import type { Message } from './protocol/message.js';
import { Opcode } from './protocol/opcode.js';
import { OutstandingPings } from './protocol/outstanding-pings.js';
import { type Payload, payloadBytes } from './protocol/payload.js';
import { Receiver, type ReceiverEvents } from './protocol/receiver.js';
import type { CloseInfo, ConnectionStats, Established, HandshakeReport } from './report.js';
import { type FragmentSink, type MessageSource, sendFragments } from './streamed-message.js';
import { type DuplexOptions, duplexOf, readableOf, writableOf } from './streams.js';
import type { SocketReport } from './transport/socket-options.js';
import type { Transport, TransportHandlers } from './transport/transport.js';

export const ReadyState = { connecting: 0, open: 1, closing: 2, closed: 3 } as const;

const HANDLERS = ['onPing', 'onPong', 'onRtt', 'onDrain', 'onClose'] as const;
type Handlers = Pick<ConnectionHandlers, (typeof HANDLERS)[number]>;

const NO_HANDLERS: Handlers = {};
/** By what makes them: the drop-in class has the same for all its connections. */
const dropInHandlers = new WeakMap<DropIn, Handlers>();

function handlersOf(given: ConnectionHandlers, dropIn: DropIn | undefined): Handlers {
  const shared = dropIn === undefined ? NO_HANDLERS : dropInHandlers.get(dropIn);
  if (shared !== undefined && HANDLERS.every((name) => shared[name] === given[name])) return shared;
  const { onPing, onPong, onRtt, onDrain, onClose } = given;
  const handlers: Handlers = { onPing, onPong, onRtt, onDrain, onClose };
  if (dropIn !== undefined) dropInHandlers.set(dropIn, handlers);
  return handlers;
}

/** Made for those who use one of them. */
class Streams {
  readable: ReadableStream<string | Buffer> | undefined;
  writable: WritableStream<Payload> | undefined;
  /** Ends the wait for the next chunk of a message that `sendStream` sends in fragments; nothing may come between. */
  stop: AbortController | undefined;
}

/** What is known of a connection's end. Made when it begins, or is waited for: an idle connection does without. */
class Ending {
  closeSent = false;
  closeReceived: CloseStatus | undefined;
  peerEnded = false;
  error: HeartwireError | undefined;
  closeTimer: NodeJS.Timeout | undefined;
  /** Of `closed`, which is made when somebody asks for it; and what it resolves with, when that is known. */
  closed: Promise<CloseInfo> | undefined;
  resolveClosed: ((info: CloseInfo) => void) | undefined;
  info: CloseInfo | undefined;
}

export class Connection implements ConnectionHandlers {
  /** Distinguishes the connections of this process in logs and errors. */
  readonly id: number;
  /** The URL that was connected to, without user information. */
  readonly url: string;
  /** The subprotocol the server chose; '' when none. */
  readonly protocol: string;
  /** The extensions in use. */
  readonly extensions: readonly Extension[];
  readonly handshake: HandshakeReport;
  /** What the socket has been set to, as the system answered. */
  readonly socketOptions: SocketReport;

  declare onPing: ConnectionHandlers['onPing'];
  declare onPong: ConnectionHandlers['onPong'];
  declare onRtt: ConnectionHandlers['onRtt'];
  declare onDrain: ConnectionHandlers['onDrain'];
  declare onClose: ConnectionHandlers['onClose'];

  /** Those five; shared where nobody has set one of them. */
  #handlers: Handlers;

  static {
    for (const name of HANDLERS) {
      Object.defineProperty(Connection.prototype, name, {
        enumerable: true,
        get(this: Connection) {
          return this.#handlers[name];
        },
        set(this: Connection, handler: undefined) {
          this.#handlers = { ...this.#handlers, [name]: handler };
        },
      });
    }
  }

  /** @internal Whom this connection belongs to, when the drop-in class has made it. */
  owner: unknown;

  readonly #dropIn: DropIn | undefined;
  readonly #startedAt: number;
  readonly #transport: Transport;
  readonly #limits: ConnectionLimits;
  readonly #receiver: Receiver<Connection>;
  /** Where compression was negotiated. */
  readonly #deflation: Deflation | undefined;
  /** Made with the first thing it is needed for, where none was asked for. */
  #beat: Heartbeat<Connection> | undefined;
  /** Made for those whose messages are not simply passed on to a listener. */
  #consumer: Inbound<Connection> | undefined;
  /** Made with the first frame, and the first Ping: most of many connections only listen. */
  #sending: Outbound | undefined;
  #outstandingPings: OutstandingPings | undefined;
  #streams: Streams | undefined;
  #endingState: Ending | undefined;

  #readyState: number = ReadyState.open;

  #bytesReceived = 0;
  #pingsReceived = 0;
  #pongsReceived = 0;
  #receivedAt = performance.now();

  /** @internal */
  constructor(
    transport: Transport,
    established: Established,
    limits: ConnectionLimits,
    handlers: ConnectionHandlers,
    heartbeat: HeartbeatSettings | undefined,
    dropIn?: DropIn,
  ) {
    this.#dropIn = dropIn;
    this.id = established.id;
    this.url = established.url;
    this.#startedAt = established.startedAt;
    this.protocol = established.protocol;
    this.extensions = established.extensions;
    this.handshake = established.handshake;
    this.socketOptions = established.socketOptions;
    this.#transport = transport;
    this.#limits = limits;
    const { deflate, window, threshold } = established;
    this.#deflation = deflate && {
      takeover: !deflate.clientNoContextTakeover,
      windowBits: deflate.clientMaxWindowBits,
      threshold,
    };
    const inflation = deflate && {
      window,
      takeover: !deflate.serverNoContextTakeover,
      windowBits: deflate.serverMaxWindowBits,
    };
    this.#receiver = new Receiver<Connection>(
      sharedCodec(),
      this,
      Connection.#receiverEvents,
      limits,
      dropIn,
      inflation,
    );
    if (handlers.onMessage === undefined) this.#consumer = this.#makeInbound();
    else this.#receiver.listen(handlers.onMessage);
    if (heartbeat !== undefined) this.#beat = this.#makeHeartbeat(heartbeat);
    this.#handlers = handlersOf(handlers, dropIn);
  }

  /** @internal Takes over the socket. `leftover` came behind the response head, in the same read. */
  begin(leftover: Uint8Array): void {
    this.#transport.serve(Connection.#transportHandlers, this);
    this.#beat?.start();
    this.#transport.forgetAttempts();
    this.#bytesReceived = leftover.length;
    this.#receiver.feed(leftover, this.#receivedAt);
  }

  /** Resolves when the connection has ended, whatever ended it; never rejects. */
  get closed(): Promise<CloseInfo> {
    this.#ending.closed ??=
      this.#endingState?.info === undefined
        ? new Promise((resolve) => {
            this.#ending.resolveClosed = resolve;
          })
        : Promise.resolve(this.#endingState?.info);
    return this.#ending.closed;
  }

  /** Of the server, or of its proxy; undefined where the stream has none. */
  get remoteAddress(): string | undefined {
    return this.#transport.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#transport.remotePort;
  }

  /** 1 open, 2 closing, 3 closed, as in the WebSocket API. */
  get readyState(): number {
    return this.#readyState;
  }

  /** Bytes accepted by `send()` and not yet handed to the kernel, as they will leave: compressed, with frame headers. */
  get bufferedAmount(): number {
    return this.#sending?.buffered ?? 0;
  }

  // ---------------------------------------------------------------------------------------------- sending

  get #outbound(): Outbound {
    this.#sending ??= new Outbound(
      sharedCodec(),
      this.#transport,
      this.#limits,
      () => this.#call(this.onDrain, this),
      { deflation: this.#deflation, maskingKey: this.#dropIn?.maskingKey },
    );
    return this.#sending;
  }

  get #ending(): Ending {
    this.#endingState ??= new Ending();
    return this.#endingState;
  }

  get #used(): Streams {
    this.#streams ??= new Streams();
    return this.#streams;
  }

  get #heartbeat(): Heartbeat<Connection> {
    this.#beat ??= this.#makeHeartbeat(undefined);
    return this.#beat;
  }

  #makeHeartbeat(settings: HeartbeatSettings | undefined): Heartbeat<Connection> {
    return new Heartbeat<Connection>(settings, Connection.#heartbeatLink, this, this.#pings, this.id);
  }

  get #pings(): OutstandingPings {
    this.#outstandingPings ??= new OutstandingPings();
    return this.#outstandingPings;
  }

  /**
   * Sends a message. The first send of a tick leaves at once; those that follow are joined and leave, in one
   * write, when the current callback and its microtasks are over. The data is copied: it may be changed at once.
   *
   * @returns false when more than `highWaterMark` bytes are buffered: accepted, but wait for `onDrain`
   * @throws UsageError `ERR_NOT_OPEN`; `ERR_SEND_BUFFER_FULL` when more than `maxBufferedAmount` bytes would be
   *   buffered (nothing is queued); `ERR_INVALID_PAYLOAD`; `ERR_FRAGMENT_TYPE`; `ERR_MESSAGE_UNFINISHED` while
   *   `sendStream` is sending
   */
  send(data: Payload, options?: SendOptions): boolean {
    if (this.#readyState !== ReadyState.open || this.#streams?.stop !== undefined)
      throw this.#cannotSend('send()');
    try {
      return this.#send(data, options?.binary, options?.fin ?? true, options?.compress);
    } catch (error) {
      throw this.#in(error);
    }
  }

  /**
   * Sends everything that `body` sends, on this connection, in one write (per 64 KiB) when `body` returns or
   * throws. Nests: the outermost cork writes.
   */
  cork(body: () => void): void {
    this.#outbound.cork(body);
  }

  /**
   * Resolves when everything sent so far has been handed to the kernel. Rejects with a `ConnectionLostError`
   * when the connection ends before. Need not be handled.
   */
  flushed(options?: WaitOptions): Promise<void> {
    const flushed = this.#wait(
      this.#outbound.flushed(),
      options?.signal,
      'waiting for what was sent to leave',
    );
    flushed.catch(() => {});
    return flushed;
  }

  /**
   * Sends one message from a source of chunks, as fragments (RFC 6455 §5.4), at the pace the peer takes them:
   * strings make a text message, bytes a binary one. A Blob is sent as a binary message. Until it is done, `send()`
   * throws. When the source fails the message cannot be finished, and the connection is closed with 1011. Whether it is
   * compressed is decided before its first fragment leaves.
   *
   * @throws UsageError (as a rejection) `ERR_NOT_OPEN`, `ERR_MESSAGE_UNFINISHED`, `ERR_INVALID_PAYLOAD`; whatever
   *   the source throws; HeartwireError `ERR_ABORTED`; ConnectionLostError
   */
  async sendStream(source: MessageSource, options?: StreamSendOptions): Promise<void> {
    this.#assertOpen('sendStream()');
    if (this.#streams?.stop !== undefined || this.#outbound.unfinished)
      throw this.#cannotSend('sendStream()');
    const stop = new AbortController();
    this.#used.stop = stop;
    const { signal } = options ?? {};
    const onAbort = () => stop.abort(signal?.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    const sink: FragmentSink = {
      fragment: (payload, isText, fin) => {
        this.#assertOpen('sendStream()');
        return this.#outbound.message(payload, isText, fin, options?.compress);
      },
      hasRoom: (payload) => this.#outbound.buffered === 0 || this.#outbound.hasRoom(payload),
      flushed: () => this.#outbound.flushed(),
    };
    try {
      await sendFragments(source, sink, stop.signal);
    } catch (error) {
      const byEnd = stop.signal.aborted && !signal?.aborted && isAbort(error);
      const reason = byEnd ? this.#endedFirst() : this.#in(error);
      // What has begun cannot be finished.
      if (this.#readyState === ReadyState.open && this.#outbound.unfinished)
        void this.close(CloseCode.internalError);
      throw reason;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#used.stop = undefined;
    }
  }

  /**
   * Sends a Ping and resolves with its round trip in ms when the Pong is read. Need not be handled.
   * @param payload at most 125 bytes; by default a sequence number
   * @throws UsageError (as a rejection) `ERR_NOT_OPEN`, `ERR_PING_PAYLOAD`, `ERR_TOO_MANY_PINGS`;
   *   ConnectionLostError when the connection ends first; HeartwireError `ERR_ABORTED`
   */
  ping(payload?: string | Uint8Array, options?: WaitOptions): Promise<number> {
    const answered = this.#ping(payload, options?.signal);
    answered.catch(() => {});
    return answered;
  }

  async #ping(payload: string | Uint8Array | undefined, signal: AbortSignal | undefined): Promise<number> {
    try {
      this.#assertOpen('ping()');
      if (signal?.aborted) throw aborted(signal, 'about to send a Ping');
      const bytes = this.#pings.payload(payload);
      const sentAt = performance.now();
      this.#outbound.control(Opcode.ping, bytes);
      const answered = this.#pings.sent(bytes, Math.max(sentAt, this.#outbound.sentAt));
      return await unlessAborted(answered, signal, 'waiting for a Pong');
    } catch (error) {
      throw this.#in(error);
    }
  }

  #send(data: Payload, binary: boolean | undefined, fin: boolean, compress: boolean | undefined): boolean {
    let payload = typeof data === 'string' ? data : payloadBytes(data);
    let isText = typeof payload === 'string';
    if (binary === isText) {
      isText = !isText;
      if (isText) assertText(payload as Uint8Array, fin);
      else payload = Buffer.from(payload as string, 'utf8');
    }
    return this.#outbound.message(payload, isText, fin, compress);
  }

  #assertOpen(what: string): void {
    if (this.#readyState !== ReadyState.open) throw this.#cannotSend(what);
  }

  #cannotSend(what: string): UsageError {
    return this.#in(
      this.#readyState === ReadyState.open
        ? new UsageError(
            'ERR_MESSAGE_UNFINISHED',
            `${what}: a message in fragments is unfinished (RFC 6455 §5.4)`,
          )
        : new UsageError('ERR_NOT_OPEN', `${what}: connection ${this.id} to ${this.#host} is ${this.#phase}`),
    );
  }

  #wait<T>(promise: Promise<T>, signal: AbortSignal | undefined, what: string): Promise<T> {
    if (signal === undefined) return promise;
    return unlessAborted(promise, signal, what).catch((error: unknown) => {
      throw this.#in(error);
    });
  }

  // ----------------------------------------------------------------------------------------------- errors

  /** The same error; it now tells of which connection it is, if it is one of ours. */
  #in<T>(error: T): T {
    if (error instanceof HeartwireError) {
      const duration = performance.now() - this.#startedAt;
      error.in({ connectionId: this.id, host: this.#host, phase: this.#phase, duration });
    }
    return error;
  }

  get #host(): string {
    return new URL(this.url).host;
  }

  get #phase(): string {
    return this.#readyState === ReadyState.open
      ? 'open'
      : this.#readyState === ReadyState.closing
        ? 'closing'
        : 'closed';
  }

  /** For who waited for something. */
  #endedFirst(): ConnectionLostError {
    const message = `Connection ${this.id} to ${this.#host} ended first`;
    return this.#in(
      new ConnectionLostError('ERR_CONNECTION_LOST', message, { cause: this.#endingState?.error }),
    );
  }

  /** What came first is what ended the connection. */
  #end(error: HeartwireError): void {
    if (this.#endingState?.error !== undefined) return;
    const { eventLoopLag } = this.#heartbeat;
    if (error instanceof ConnectionLostError && eventLoopLag) Object.assign(error, { eventLoopLag });
    this.#ending.error = this.#in(error);
  }

  // -------------------------------------------------------------------------------------------- receiving

  get #inbound(): Inbound<Connection> {
    this.#consumer ??= this.#makeInbound();
    return this.#consumer;
  }

  #makeInbound(): Inbound<Connection> {
    const inbound = new Inbound<Connection>(this.#receiver, this, this.#receiver.listener);
    if (this.#endingState?.info !== undefined)
      inbound.end(this.#endingState?.info.wasClean ? undefined : this.#endingState?.error);
    return inbound;
  }

  /**
   * Called for every message, in the turn of its read. Set later, it is first called for what was kept.
   * @throws UsageError `ERR_ALREADY_CONSUMED` while an iterator takes the messages
   */
  get onMessage(): ConnectionHandlers['onMessage'] {
    const consumer = this.#consumer ?? this.#receiver;
    return consumer.listener as ConnectionHandlers['onMessage'];
  }

  set onMessage(listener: ConnectionHandlers['onMessage']) {
    try {
      this.#inbound.listener = listener;
    } catch (error) {
      throw this.#in(error);
    }
  }

  /**
   * `for await (const message of connection)`: strings and Buffers. Messages are kept from the first byte on, up
   * to 1 MiB and 1 024 messages; then the socket pauses. Leaving the loop closes the connection. The loop ends with
   * a clean close, and throws what else ended the connection.
   * @throws UsageError `ERR_ALREADY_CONSUMED`
   */
  [Symbol.asyncIterator](): MessageIterator {
    return this.iterate();
  }

  /** The same with options: `preventClose` to leave the loop and keep the connection, `signal`. */
  iterate(options: IterateOptions = {}): MessageIterator {
    try {
      return this.#inbound.iterate(
        options,
        () => this.close(),
        (error) => this.#in(error),
      );
    } catch (error) {
      throw this.#in(error);
    }
  }

  /** The messages as a web stream, one chunk each, as in the WebSocketStream proposal. Consumes them. */
  get readable(): ReadableStream<string | Buffer> {
    this.#used.readable ??= readableOf(this);
    return this.#used.readable;
  }

  /** A web stream that sends each chunk as a message, at the pace the peer takes them; closing it closes us. */
  get writable(): WritableStream<Payload> {
    this.#used.writable ??= writableOf(this);
    return this.#used.writable;
  }

  /** The connection as a Node stream: bytes, or with `objectMode` messages. Consumes them. */
  toDuplex(options: DuplexOptions = {}): Duplex {
    return duplexOf(this, options);
  }

  /**
   * Stops delivery, and reading: the server is slowed down by TCP. What has been read is kept. While paused,
   * nothing the server sends is seen: no Ping is answered, and its end goes unnoticed.
   */
  pause(): void {
    if (this.#readyState === ReadyState.closed) return;
    this.#receiver.pause();
    this.#stopReading();
  }

  /** Goes on, first with what was kept; never delivers from within this call. */
  resume(): void {
    this.#receiver.resume();
    this.#consumer?.resume();
  }

  #stopReading(): void {
    this.#transport.pause();
    this.#beat?.paused(this.#transport.pausedSince);
  }

  get isPaused(): boolean {
    return this.#receiver.paused;
  }

  stats(): ConnectionStats {
    const { pausedSince } = this.#transport;
    return {
      ...this.#heartbeat.stats(),
      bytesReceived: this.#bytesReceived,
      bytesSent: this.#sending?.sent ?? 0,
      pingsReceived: this.#pingsReceived,
      pongsReceived: this.#pongsReceived,
      pongsSkipped: this.#sending?.pongsSkipped ?? 0,
      lastReceivedAt: this.#receivedAt,
      lastSentAt: this.#sending?.sentAt ?? this.#startedAt + this.handshake.timings.open,
      pausedFor: pausedSince > 0 ? performance.now() - pausedSince : 0,
    };
  }

  static readonly #receiverEvents: ReceiverEvents<Connection> = {
    answerPing(connection, payload) {
      connection.#pingsReceived++;
      // After a Close frame nothing may follow (§5.5.1).
      const answers = connection.#endingState?.closeSent !== true && connection.#dropIn?.autoPong !== false;
      if (answers) connection.#outbound.pong(payload);
    },
    onPing(connection, payload) {
      if (connection.onPing) connection.#call(connection.onPing, Buffer.from(payload), connection);
    },
    onPong(connection, payload) {
      connection.#pongsReceived++;
      connection.#heartbeat.pong(payload, connection.#receivedAt, connection.#transport.resumedAt);
      if (connection.onPong) connection.#call(connection.onPong, Buffer.from(payload), connection);
    },
    onClose: (connection, status) => connection.#onCloseFrame(status),
    onError: (connection, error, evidence) => connection.#fail(error, evidence),
    onBlocked: (connection) => connection.#stopReading(),
    onCaughtUp(connection) {
      if (connection.#endingState?.peerEnded) connection.#endAfterPeer();
      else connection.#transport.resume();
    },
  };

  static readonly #heartbeatLink: HeartbeatLink<Connection> = {
    see(connection, sight) {
      const transport = connection.#transport;
      const outbound = connection.#outbound;
      sight.lastReceivedAt = connection.#receivedAt;
      sight.pausedSince = transport.pausedSince;
      sight.resumedAt = transport.resumedAt;
      sight.sent = outbound.sent;
      sight.queued = outbound.sent + outbound.buffered;
      sight.taken = transport.taken;
      sight.sentAt = outbound.sentAt;
    },
    ping(connection, payload) {
      connection.#outbound.control(Opcode.ping, payload);
    },
    send(connection, payload) {
      const outbound = connection.#outbound;
      if (connection.#streams?.stop !== undefined || outbound.unfinished || !outbound.hasRoom(payload))
        return false;
      outbound.message(payload, typeof payload === 'string', true, undefined);
      return true;
    },
    watch: (connection, wanted) => connection.#inbound.watch(wanted ? Connection.#showHeartbeat : undefined),
    ports: (connection) => connection.#transport.ports,
    onRtt(connection, roundTrip) {
      if (connection.onRtt) connection.#call(connection.onRtt, roundTrip, connection);
    },
    fail(connection, error) {
      connection.#end(error);
      connection.#readyState = ReadyState.closing;
      connection.#receiver.stop();
      connection.#transport.reset();
    },
  };

  static readonly #showHeartbeat = (message: Message, connection: Connection): boolean =>
    connection.#heartbeat.look(message, connection.#transport.resumedAt);

  /** No exception of the user's crosses a read (lease rule 5). */
  #call<Arguments extends unknown[]>(
    callback: ((...args: Arguments) => void) | undefined,
    ...args: Arguments
  ): void {
    try {
      callback?.(...args);
    } catch (thrown) {
      rethrow(thrown);
    }
  }

  // ------------------------------------------------------------------------------- for the drop-in class

  /** @internal It has ended, by a complete closing handshake. */
  get closedCleanly(): boolean {
    return this.#endingState?.info?.wasClean ?? false;
  }

  /** @internal */
  get socket(): Duplex {
    return this.#transport.socket;
  }

  /** @internal Sends a frame of a message, whatever is in it. */
  sendFrame(
    payload: string | Uint8Array,
    isText: boolean,
    fin: boolean,
    masked: boolean,
    compress: boolean,
  ): void {
    this.#outbound.message(payload, isText, fin, compress ? undefined : false, masked);
  }

  /** @internal Sends a Ping or a Pong. */
  sendControl(opcode: number, payload: Uint8Array, masked: boolean): void {
    this.#outbound.control(opcode, payload, masked);
  }

  /** @internal Calls back, never from within this call, when all that has been sent is with the kernel, or lost. */
  whenFlushed(done: (error?: Error) => void): void {
    this.#outbound.whenFlushed(done);
  }

  /** @internal Starts the closing handshake with a Close frame that `close()` would not send. */
  startClosing(payload: Buffer): void {
    if (this.#readyState === ReadyState.open) this.#sendClose(payload);
  }

  /** @internal `terminate()` by FIN: what has been written still arrives. */
  destroy(): void {
    if (this.#discard()) this.#transport.destroy();
  }

  /** @internal */
  collectFragments(wanted: boolean): void {
    this.#receiver.collectFragments(wanted);
  }

  /** @internal */
  get fragmentEnds(): readonly number[] | undefined {
    return this.#receiver.fragmentEnds;
  }

  // ---------------------------------------------------------------------------------------------- closing

  /**
   * Starts the closing handshake (RFC 6455 §7.1.2) after everything sent before. Messages that arrive until the
   * server's Close frame are still delivered. The server closes TCP; after `closeTimeout` we do.
   *
   * @param code 1000 (the default) to 1003, 1007 to 1014, or 3000 to 4999
   * @param reason at most 123 bytes of UTF-8
   * @throws UsageError `ERR_CLOSE_CODE`, `ERR_CLOSE_REASON`
   */
  close(code: number = CloseCode.normal, reason = ''): Promise<CloseInfo> {
    let payload: Buffer;
    try {
      payload = closePayload(code, reason);
    } catch (error) {
      throw this.#in(error);
    }
    if (this.#readyState === ReadyState.open) {
      this.#sendClose(payload);
      this.#consumer?.closing();
    }
    return this.closed;
  }

  /** Ends the connection at once, without a closing handshake: RST over tcp. What is undelivered or unsent is lost. */
  terminate(): void {
    if (this.#discard()) this.#transport.reset();
  }

  #discard(): boolean {
    if (this.#readyState === ReadyState.closed) return false;
    this.#end(new ConnectionLostError('ERR_TERMINATED', 'terminate() was called'));
    this.#readyState = ReadyState.closing;
    this.#beat?.stop();
    this.#receiver.stop();
    this.#consumer?.discard();
    return true;
  }

  /** `await using connection = await connect(…)` closes it at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #sendClose(payload: Buffer): void {
    this.#readyState = ReadyState.closing;
    this.#beat?.stop();
    if (!this.#endingState?.closeSent) {
      this.#ending.closeSent = true;
      this.#outbound.forgetPong();
      this.#outbound.control(Opcode.close, payload);
      this.#outbound.writeNow();
    }
    this.#startCloseTimer();
  }

  /** Whatever the peer does, the socket is gone after `closeTimeout`. */
  #startCloseTimer(): void {
    this.#ending.closeTimer ??= setTimeout(() => {
      if (this.#endingState?.closeReceived === undefined) {
        const unread = this.isPaused ? '; its answer may lie unread, since the connection is paused' : '';
        const message = `The closing handshake was not complete within ${this.#limits.closeTimeout} ms${unread}`;
        this.#end(new ConnectionLostError('ERR_CLOSE_TIMEOUT', message));
      }
      this.#transport.destroy();
    }, this.#limits.closeTimeout);
  }

  /** §5.5.1: the answer echoes the status code. §7.1.1: then the server closes TCP first. */
  #onCloseFrame(status: CloseStatus): void {
    this.#ending.closeReceived = status;
    const dropIn = this.#dropIn;
    if (dropIn !== undefined) this.#call(dropIn.onClosing, this);
    // The frame may have waited while the socket was paused; the server's FIN must still be seen.
    this.#transport.resume();
    const code = status.code === CloseCode.noStatus ? undefined : status.code;
    this.#sendClose(closePayload(code, dropIn && status.reason));
    // Servers that wait for the client to end first are ws's to bear with.
    if (this.#endingState?.peerEnded || dropIn !== undefined) this.#transport.socket.end();
  }

  /** _Fail the WebSocket Connection_, §7.1.7: say why, end our side, take nothing more. */
  #fail(error: ProtocolError, evidence: readonly number[]): void {
    this.#end(error);
    this.#sendClose(closePayload(error.closeCode));
    if (this.#dropIn !== undefined) this.#call(this.#dropIn.onFailure, error, evidence, this);
    this.#transport.socket.end();
    this.#transport.resume();
  }

  static readonly #transportHandlers: TransportHandlers<Connection> = {
    readTarget: (connection) => connection.#receiver.readTarget(),
    received(connection, count) {
      const now = performance.now();
      connection.#receivedAt = now;
      connection.#bytesReceived += count;
      connection.#receiver.received(count, now);
    },
    onEnd(connection) {
      connection.#ending.peerEnded = true;
      // Over TLS the end is seen although reading was paused: what came before it is delivered first.
      if (connection.#receiver.heldBytes === 0) connection.#endAfterPeer();
    },
    onError(connection, error) {
      // A reset after the closing handshake takes nothing from anybody.
      if (connection.#endingState?.closeReceived !== undefined) return;
      connection.#lost(`The connection was lost: ${error.message}`, error);
    },
    onClosed: (connection) => connection.#onClosed(),
  };

  /** The peer's FIN has come, and everything in front of it has been delivered. */
  #endAfterPeer(): void {
    if (this.#endingState?.closeReceived === undefined)
      this.#lost('The server closed TCP without a Close frame');
    // Nothing can be sent behind our FIN.
    this.#readyState = ReadyState.closing;
    this.#transport.socket.end();
    this.#startCloseTimer();
  }

  #lost(message: string, cause?: Error): void {
    const undelivered = this.#receiver.heldBytes;
    const loss = undelivered > 0 ? `; ${undelivered} bytes read while delivery waited are lost` : '';
    const stall = this.#heartbeat.recentStall;
    const ours = stall > 0 ? `; this process's event loop had just stood still for ${stall} ms` : '';
    this.#end(new ConnectionLostError('ERR_CONNECTION_LOST', `${message}${loss}${ours}`, { cause }));
  }

  #onClosed(): void {
    const ending = this.#ending;
    clearTimeout(ending.closeTimer);
    this.#beat?.stop();
    const wasClean = ending.closeSent && ending.closeReceived !== undefined;
    if (!wasClean) this.#lost('The socket was closed');
    this.#readyState = ReadyState.closed;
    this.#receiver.stop();
    const { code, reason } = ending.closeReceived ?? { code: CloseCode.abnormal, reason: '' };
    const info: CloseInfo = { code, reason, wasClean };
    if (ending.error !== undefined) info.error = ending.error;
    const { eventLoopLag } = this.#heartbeat;
    Object.defineProperty(info, 'eventLoopLag', { value: eventLoopLag });

    // Most connections end with nobody waiting: the error, and its stack, are made only for who will see them.
    const lost = () => this.#endedFirst();
    this.#outstandingPings?.abandon(lost);
    this.#sending?.end(lost);
    this.#streams?.stop?.abort();
    this.#consumer?.end(wasClean ? undefined : ending.error);
    ending.info = info;
    ending.resolveClosed?.(info);
    this.#call(this.onClose, info, this);
  }
}

/** Bytes sent as text must be text; a fragment may end inside a character, so fragments are given as strings. */
function assertText(bytes: Uint8Array, fin: boolean | undefined): void {
  if (fin !== false && isUtf8(bytes)) return;
  throw new UsageError(
    'ERR_INVALID_PAYLOAD',
    fin === false
      ? 'Fragments of a text message are given as strings'
      : 'Bytes to be sent as text are not valid UTF-8 (RFC 6455 §8.1)',
  );
}

function isAbort(error: unknown): boolean {
  return error instanceof HeartwireError && error.code === 'ERR_ABORTED';
}
