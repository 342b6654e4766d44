/**
 * One WebSocket connection, open: the protocol core on a transport. `connect()` makes it.
 */

import { isUtf8 } from 'node:buffer';
import { sharedCodec } from './codec/codec.js';
import {
  type ConnectionAttempt,
  ConnectionLostError,
  type HeartwireError,
  type ProtocolError,
  UsageError,
} from './errors.js';
import { rethrow } from './protocol/callback.js';
import { CloseCode, type CloseStatus, closePayload } from './protocol/closing-handshake.js';
import type { Extension } from './protocol/extensions.js';
import type { Message } from './protocol/message.js';
import { Opcode } from './protocol/opcode.js';
import { OutstandingPings } from './protocol/outstanding-pings.js';
import { type Payload, payloadBytes } from './protocol/payload.js';
import { Receiver, type ReceiverEvents } from './protocol/receiver.js';
import { frameSize, Sender } from './protocol/sender.js';
import { SendQueue } from './transport/send-queue.js';
import { atTickEnd } from './transport/tick.js';
import type { TlsReport } from './transport/tls-client.js';
import type { Transport, TransportHandlers } from './transport/transport.js';

/** How a connection ended. */
export interface CloseInfo {
  /** The status code of the peer's Close frame; 1005 when it held none, 1006 when none came (RFC 6455 §7.1.5). */
  code: number;
  reason: string;
  /** Both sides have sent and received a Close frame (§7.1.4). */
  wasClean: boolean;
  /** What ended the connection, when it was not a Close frame. */
  error?: HeartwireError;
}

export interface SendOptions {
  /** Send as a binary message, or (false) as text. Default: strings are text, everything else is binary. */
  binary?: boolean;
  /** False: a fragment, more of the message follows with the next `send` (RFC 6455 §5.4). Default true. */
  fin?: boolean;
}

export interface ConnectionHandlers {
  /**
   * Called for every message, in the turn in which it is read. The message is valid until the callback
   * returns. Without it, messages wait: the socket is not read, so pings stay unanswered as well.
   */
  onMessage?: (message: Message, connection: Connection) => void;
  /** A Ping has come; it has been answered already. The payload is a copy. */
  onPing?: (payload: Buffer, connection: Connection) => void;
  /** A Pong has come, solicited or not. */
  onPong?: (payload: Buffer, connection: Connection) => void;
  /** After `send()` returned false: half of `highWaterMark` or less is buffered again. */
  onDrain?: (connection: Connection) => void;
  /** The connection has ended and its socket is gone. */
  onClose?: (info: CloseInfo, connection: Connection) => void;
}

export interface ConnectionLimits {
  /** Most bytes of one received message, up to 2^32 - 1. Default 64 MiB. */
  maxMessageSize: number;
  /** `send()` returns false above this many buffered bytes. Default 1 MiB. */
  highWaterMark: number;
  /** `send()` throws rather than buffer more than this many bytes. Default 16 MiB. */
  maxBufferedAmount: number;
  /** ms for the closing handshake. Default 5_000. */
  closeTimeout: number;
}

/** What the opening handshake told. Phases are in ms from the start of `connect()`. */
export interface HandshakeReport {
  readonly status: number;
  /** The response's fields, names in lower case, several of one name joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  readonly timings: {
    /** The name was resolved; undefined for an address. */
    readonly lookup?: number;
    readonly connect: number;
    /** The proxy opened its tunnel. */
    readonly tunnel?: number;
    /** The TLS handshake was complete. */
    readonly tls?: number;
    /** The response was complete: the connection is open. */
    readonly open: number;
  };
  /** What the TLS handshake agreed on; undefined for `ws:`. */
  readonly tls?: TlsReport;
  /** The proxy's URL, without credentials, where one is in use. */
  readonly proxy?: string;
  /** Every address that was tried, the server's or its proxy's, with what failed. The last one answered. */
  readonly attempts: readonly ConnectionAttempt[];
  /** The redirects that were followed, in their order. */
  readonly redirects: readonly Redirect[];
  /** Socket options that were asked for, and that this version of Node cannot set: `typeOfService`. */
  readonly notApplied: readonly string[];
}

export interface Redirect {
  readonly status: number;
  /** The URL that was connected to next, without user information. */
  readonly location: string;
}

export interface Established {
  url: string;
  protocol: string;
  extensions: readonly Extension[];
  handshake: HandshakeReport;
}

export interface ConnectionStats {
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly pingsReceived: number;
  readonly pongsReceived: number;
  /** Pings that were not answered one by one, because the peer did not read the answers (§5.5.3). */
  readonly pongsSkipped: number;
  /** `performance.now()` of the last read and the last write. */
  readonly lastReceivedAt: number;
  readonly lastSentAt: number;
}

export const ReadyState = { connecting: 0, open: 1, closing: 2, closed: 3 } as const;

/** Above this many unsent bytes only the latest of the peer's pings is answered (§5.5.3 allows it). */
const PONG_BACKLOG = 64 * 1024;

interface FlushWaiter {
  target: number;
  resolve: () => void;
  reject: (error: Error) => void;
}

let lastId = 0;

export class Connection implements ConnectionHandlers {
  /** Distinguishes the connections of this process in logs and errors. */
  readonly id: number = ++lastId;
  /** The URL that was connected to, without user information. */
  readonly url: string;
  /** The subprotocol the server chose; '' when none. */
  readonly protocol: string;
  /** The extensions in use. */
  readonly extensions: readonly Extension[];
  readonly handshake: HandshakeReport;
  /** Resolves when the connection has ended, whatever ended it; never rejects. */
  readonly closed: Promise<CloseInfo>;

  onPing: ConnectionHandlers['onPing'];
  onPong: ConnectionHandlers['onPong'];
  onDrain: ConnectionHandlers['onDrain'];
  onClose: ConnectionHandlers['onClose'];
  #onMessage: ConnectionHandlers['onMessage'];

  readonly #transport: Transport;
  readonly #limits: ConnectionLimits;
  readonly #receiver: Receiver<Connection>;
  readonly #sender: Sender;
  readonly #queue: SendQueue<Connection>;

  #readyState: number = ReadyState.open;
  #closeSent = false;
  #closeReceived: CloseStatus | undefined;
  #error: HeartwireError | undefined;
  #closeTimer: NodeJS.Timeout | undefined;
  #resolveClosed!: (info: CloseInfo) => void;

  /** The first send of this tick has gone out; those that follow are joined until the tick ends. */
  #joining = false;
  #corks = 0;
  #drainWanted = false;
  #flushWaiters: FlushWaiter[] = [];

  readonly #pings = new OutstandingPings();
  /** The latest Ping that could not be answered yet. */
  #latePong: Buffer | undefined;

  #bytesReceived = 0;
  #pingsReceived = 0;
  #pongsReceived = 0;
  #pongsSkipped = 0;
  #receivedAt = performance.now();
  #sentAt = performance.now();

  /** @internal */
  constructor(
    transport: Transport,
    established: Established,
    limits: ConnectionLimits,
    handlers: ConnectionHandlers,
  ) {
    const codec = sharedCodec();
    this.url = established.url;
    this.protocol = established.protocol;
    this.extensions = established.extensions;
    this.handshake = established.handshake;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#transport = transport;
    this.#limits = limits;
    this.#queue = new SendQueue<Connection>(
      codec,
      transport.socket,
      transport.carrier === 'tcp',
      Connection.#onProgress,
      this,
      transport.carrier !== 'foreign',
    );
    this.#sender = new Sender(codec, this.#queue);
    this.#receiver = new Receiver<Connection>(codec, this, Connection.#receiverEvents, limits);
    this.onPing = handlers.onPing;
    this.onPong = handlers.onPong;
    this.onDrain = handlers.onDrain;
    this.onClose = handlers.onClose;
    this.onMessage = handlers.onMessage;
  }

  /** @internal Takes over the socket. `leftover` came behind the response head, in the same read. */
  begin(leftover: Uint8Array): void {
    this.#transport.serve(Connection.#transportHandlers, this);
    this.#bytesReceived = leftover.length;
    this.#receiver.feed(leftover, this.#receivedAt);
  }

  /** Called for every message. Setting it starts delivery of what waited for it. */
  get onMessage(): ConnectionHandlers['onMessage'] {
    return this.#onMessage;
  }

  set onMessage(listener: ConnectionHandlers['onMessage']) {
    this.#onMessage = listener;
    this.#receiver.listen(listener);
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

  /** Bytes accepted by `send()` and not yet handed to the kernel, frame headers included. */
  get bufferedAmount(): number {
    return this.#sender.unflushed + this.#queue.pending;
  }

  // ---------------------------------------------------------------------------------------------- sending

  /**
   * Sends a message. The first send of a tick leaves at once; those that follow are joined and leave, in one
   * write, when the current callback and its microtasks are over. The data is copied: it may be changed at once.
   *
   * @returns false when more than `highWaterMark` bytes are buffered: accepted, but wait for `onDrain`
   * @throws UsageError `ERR_NOT_OPEN`; `ERR_SEND_BUFFER_FULL` when more than `maxBufferedAmount` bytes would be
   *   buffered (nothing is queued); `ERR_INVALID_PAYLOAD`; `ERR_FRAGMENT_TYPE`
   */
  send(data: Payload, options?: SendOptions): boolean {
    if (this.#readyState !== ReadyState.open) throw this.#notOpen('send()');
    let payload = typeof data === 'string' ? data : payloadBytes(data);
    let isText = typeof payload === 'string';
    if (options?.binary === isText) {
      isText = !isText;
      if (isText) assertText(payload as Uint8Array, options.fin);
      else payload = Buffer.from(payload as string, 'utf8');
    }
    const limits = this.#limits;
    if (this.bufferedAmount + frameSize(payload.length * 3) > limits.maxBufferedAmount)
      this.#assertRoom(payload);

    this.#sender.message(payload, isText, options?.fin ?? true);
    this.#composed();
    if (this.bufferedAmount <= limits.highWaterMark) return true;
    this.#drainWanted = true;
    return false;
  }

  /**
   * Sends everything that `body` sends, on this connection, in one write (per 64 KiB) when `body` returns or
   * throws. Nests: the outermost cork writes.
   */
  cork(body: () => void): void {
    this.#corks++;
    try {
      body();
    } finally {
      this.#corks--;
      if (this.#corks === 0) this.#writeNow();
    }
  }

  /**
   * Resolves when everything sent so far has been handed to the kernel. Rejects with a `ConnectionLostError`
   * when the connection ends before.
   */
  flushed(): Promise<void> {
    if (this.bufferedAmount === 0) return Promise.resolve();
    const target = this.#queue.sent + this.bufferedAmount;
    const flushed = new Promise<void>((resolve, reject) => {
      this.#flushWaiters.push({ target, resolve, reject });
    });
    flushed.catch(() => {});
    return flushed;
  }

  /**
   * Sends a Ping and resolves with its round trip in ms when the Pong is read.
   * @param payload at most 125 bytes; by default a sequence number
   * @throws UsageError (as a rejection) `ERR_NOT_OPEN`, `ERR_PING_PAYLOAD`, `ERR_TOO_MANY_PINGS`;
   *   ConnectionLostError when the connection ends first
   */
  ping(payload?: string | Uint8Array): Promise<number> {
    try {
      if (this.#readyState !== ReadyState.open) throw this.#notOpen('ping()');
      const bytes = this.#pings.payload(payload);
      this.#sender.control(Opcode.ping, bytes);
      this.#composed();
      return this.#pings.sent(bytes, performance.now());
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #assertRoom(payload: string | Uint8Array): void {
    const size = frameSize(typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length);
    const { maxBufferedAmount } = this.#limits;
    if (this.bufferedAmount + size <= maxBufferedAmount) return;
    throw new UsageError(
      'ERR_SEND_BUFFER_FULL',
      `${size} bytes were not sent: with ${this.bufferedAmount} bytes buffered already they would exceed ` +
        `maxBufferedAmount (${maxBufferedAmount} bytes)`,
    );
  }

  #notOpen(what: string): UsageError {
    const state = this.#readyState === ReadyState.closing ? 'closing' : 'closed';
    return new UsageError('ERR_NOT_OPEN', `${what}: connection ${this.id} to ${this.url} is ${state}`);
  }

  /** A frame has been added to the sender's block. */
  #composed(): void {
    if (!this.#joining && this.#corks === 0) this.#writeNow();
  }

  /** Frames sent later in this tick are joined behind these. */
  #writeNow(): void {
    if (!this.#joining) {
      this.#joining = true;
      atTickEnd(Connection.#onTickEnd, this);
    }
    this.#flush();
  }

  static #onTickEnd(connection: Connection): void {
    connection.#joining = false;
    connection.#flush();
    // An idle connection holds no memory to send from.
    connection.#sender.release();
  }

  #flush(): void {
    if (this.#sender.unflushed === 0) return;
    this.#sender.flush();
    this.#sentAt = performance.now();
    if (this.#drainWanted || this.#flushWaiters.length > 0) Connection.#onProgress(this);
  }

  /** Bytes have been handed to the kernel. */
  static #onProgress(connection: Connection): void {
    const waiters = connection.#flushWaiters;
    while (waiters.length > 0 && waiters[0].target <= connection.#queue.sent) waiters.shift()!.resolve();

    if (connection.#latePong !== undefined && connection.bufferedAmount <= PONG_BACKLOG) {
      const payload = connection.#latePong;
      connection.#latePong = undefined;
      connection.#pong(payload);
    }
    if (connection.#drainWanted && connection.bufferedAmount <= connection.#limits.highWaterMark / 2) {
      connection.#drainWanted = false;
      connection.#call(connection.onDrain, connection);
    }
  }

  // -------------------------------------------------------------------------------------------- receiving

  /**
   * Stops delivery, and reading: the server is slowed down by TCP. What has been read is kept. While paused,
   * nothing the server sends is seen: no Ping is answered, and its end goes unnoticed.
   */
  pause(): void {
    if (this.#readyState === ReadyState.closed) return;
    this.#receiver.pause();
    this.#transport.pause();
  }

  /** Goes on, first with what was kept; never delivers from within this call. */
  resume(): void {
    this.#receiver.resume();
  }

  get isPaused(): boolean {
    return this.#receiver.paused;
  }

  stats(): ConnectionStats {
    return {
      bytesReceived: this.#bytesReceived,
      bytesSent: this.#queue.sent,
      pingsReceived: this.#pingsReceived,
      pongsReceived: this.#pongsReceived,
      pongsSkipped: this.#pongsSkipped,
      lastReceivedAt: this.#receivedAt,
      lastSentAt: this.#sentAt,
    };
  }

  static readonly #receiverEvents: ReceiverEvents<Connection> = {
    answerPing(connection, payload) {
      connection.#pingsReceived++;
      connection.#pong(payload);
    },
    onPing(connection, payload) {
      if (connection.onPing) connection.#call(connection.onPing, Buffer.from(payload), connection);
    },
    onPong(connection, payload) {
      connection.#pongsReceived++;
      connection.#pings.answeredBy(payload, connection.#receivedAt);
      if (connection.onPong) connection.#call(connection.onPong, Buffer.from(payload), connection);
    },
    onClose: (connection, status) => connection.#onCloseFrame(status),
    onError: (connection, error) => connection.#fail(error),
    onBlocked: (connection) => connection.#transport.pause(),
    onCaughtUp: (connection) => connection.#transport.resume(),
  };

  /** Echoes a Ping's payload; when the peer does not read, only the latest one waits (§5.5.3). */
  #pong(payload: Buffer): void {
    if (this.#closeSent || this.#readyState === ReadyState.closed) return;
    if (this.bufferedAmount > PONG_BACKLOG) {
      if (this.#latePong !== undefined) this.#pongsSkipped++;
      this.#latePong = Buffer.from(payload);
      return;
    }
    this.#sender.control(Opcode.pong, payload);
    this.#composed();
  }

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
    const payload = closePayload(code, reason);
    if (this.#readyState === ReadyState.open) {
      this.#sendClose(payload);
      // With nobody to take messages, the server's Close frame must be reached without delivering them.
      if (this.#onMessage === undefined) this.#receiver.listen(() => {});
    }
    return this.closed;
  }

  /** Ends the connection at once, without a closing handshake: RST over tcp. What is undelivered or unsent is lost. */
  terminate(): void {
    if (this.#readyState === ReadyState.closed) return;
    this.#error ??= new ConnectionLostError('ERR_TERMINATED', 'terminate() was called');
    this.#readyState = ReadyState.closing;
    this.#receiver.stop();
    this.#transport.reset();
  }

  /** `await using connection = await connect(…)` closes it at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #sendClose(payload: Buffer): void {
    this.#readyState = ReadyState.closing;
    if (!this.#closeSent) {
      this.#closeSent = true;
      this.#sender.control(Opcode.close, payload);
      this.#writeNow();
    }
    this.#closeTimer ??= setTimeout(() => {
      if (this.#closeReceived === undefined) {
        this.#error ??= new ConnectionLostError(
          'ERR_CLOSE_TIMEOUT',
          `The server did not complete the closing handshake within ${this.#limits.closeTimeout} ms`,
        );
      }
      this.#transport.socket.destroy();
    }, this.#limits.closeTimeout);
  }

  /** §5.5.1: the answer echoes the status code. §7.1.1: then the server closes TCP first. */
  #onCloseFrame(status: CloseStatus): void {
    this.#closeReceived = status;
    // The frame may have waited while the socket was paused; the server's FIN must still be seen.
    this.#transport.resume();
    this.#sendClose(closePayload(status.code === CloseCode.noStatus ? undefined : status.code));
  }

  /** _Fail the WebSocket Connection_, §7.1.7: say why, end our side, take nothing more. */
  #fail(error: ProtocolError): void {
    this.#error ??= error;
    this.#sendClose(closePayload(error.closeCode));
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
      if (connection.#closeReceived !== undefined) return;
      connection.#lost('The server closed TCP without a Close frame');
    },
    onError(connection, error) {
      // A reset after the closing handshake takes nothing from anybody.
      if (connection.#closeReceived !== undefined) return;
      connection.#lost(`The connection was lost: ${error.message}`, error);
    },
    onClosed: (connection) => connection.#onClosed(),
  };

  #lost(message: string, cause?: Error): void {
    const undelivered = this.#receiver.heldBytes;
    const loss = undelivered > 0 ? `; ${undelivered} bytes read while delivery waited are lost` : '';
    this.#error ??= new ConnectionLostError('ERR_CONNECTION_LOST', `${message}${loss}`, { cause });
  }

  #onClosed(): void {
    clearTimeout(this.#closeTimer);
    const wasClean = this.#closeSent && this.#closeReceived !== undefined;
    if (!wasClean) this.#lost('The socket was closed');
    this.#readyState = ReadyState.closed;
    this.#receiver.stop();
    this.#sender.release();

    const { code, reason } = this.#closeReceived ?? { code: CloseCode.abnormal, reason: '' };
    const info: CloseInfo = { code, reason, wasClean };
    if (this.#error !== undefined) info.error = this.#error;

    if (this.#pings.size > 0 || this.#flushWaiters.length > 0) this.#abandonWaiters(code);
    this.#resolveClosed(info);
    this.#call(this.onClose, info, this);
  }

  #abandonWaiters(code: number): void {
    const lost = new ConnectionLostError(
      'ERR_CONNECTION_LOST',
      `Connection ${this.id} to ${this.url} ended first (${code})`,
      { cause: this.#error },
    );
    this.#pings.abandon(lost);
    for (const waiter of this.#flushWaiters.splice(0)) waiter.reject(lost);
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
