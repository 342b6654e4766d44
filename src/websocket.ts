/**
 * The `WebSocket` class: `ws`'s client and the browser's class at once, on a `Connection`. What it says and when follows
 * `ws`; `heartwire/whatwg` has the same class in the standard's ways (https://websockets.spec.whatwg.org/).
 */

import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { sharedCodec } from './codec/codec.js';
import { Opening } from './connect.js';
import type { Connection } from './connection.js';
import { type HandshakeError, HeartwireError, type ProtocolError } from './errors.js';
import type { ConnectionHandlers, DropIn } from './options.js';
import { rethrow } from './protocol/callback.js';
import { formatExtensions } from './protocol/extensions.js';
import type { Message } from './protocol/message.js';
import { Opcode } from './protocol/opcode.js';
import type { Response } from './protocol/response-reader.js';
import type { CloseInfo } from './report.js';
import { checkProtocols, type Given, parseAddress, STATE_NAMES, sorted } from './websocket/address.js';
import type {
  ClientOptions,
  PerMessageDeflateOptions as DeflateOptions,
  FinishRequestCallback as FinishRequest,
  ClientOptions as WebSocketOptions,
} from './websocket/client-options.js';
import { checkStandardClose, closePayload, standardClosePayload } from './websocket/close-payload.js';
import type * as Types from './websocket/event-types.js';
import { HttpOpening, incomingMessage } from './websocket/http-opening.js';
import { emitEvent, wantsEventsOnly } from './websocket/listeners.js';
import { Listening } from './websocket/listening.js';
import {
  type BinaryType,
  binaryData,
  bufferOf,
  convertedTo,
  isBinaryType,
} from './websocket/message-data.js';
import { behaviour, connectOptions, needsHttp, withoutUser } from './websocket/options.js';
import { notConnected, Outgoing } from './websocket/outgoing.js';
import { type BufferLike, NOTHING, type SendCallback, type SendFrameOptions } from './websocket/payload.js';
import { createWebSocketStream } from './websocket/stream.js';
import { queueTask } from './websocket/task-queue.js';
import { openingError, receivingError } from './websocket/ws-error.js';

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

const CLOSED_EARLY = 'WebSocket was closed before the connection was established';

export class WebSocket extends Listening {
  declare static readonly CONNECTING: 0;
  declare static readonly OPEN: 1;
  declare static readonly CLOSING: 2;
  declare static readonly CLOSED: 3;
  declare readonly CONNECTING: 0;
  declare readonly OPEN: 1;
  declare readonly CLOSING: 2;
  declare readonly CLOSED: 3;
  static readonly WebSocket = WebSocket;
  static readonly createWebSocketStream = createWebSocketStream;

  #url = '';
  #readyState = CONNECTING;
  #binaryType: BinaryType;
  /** Each event in a turn of its own. */
  #deferred = false;
  #opening: Opening | HttpOpening | undefined;
  #connection: Connection | undefined;
  /** Made with the first message that needs it. */
  #outgoing: Outgoing | undefined;

  /**
   * @param address `ws:`, `wss:`, `http:`, `https:` or `ws+unix:`
   * @param protocols subprotocols to offer, or the options
   * @throws SyntaxError for a URL or subprotocol that cannot be
   */
  constructor(address: string | URL, options?: ClientOptions);
  constructor(address: string | URL, protocols?: string | readonly string[], options?: ClientOptions);
  constructor(
    address: string | URL,
    protocols?: string | readonly string[] | ClientOptions,
    options?: ClientOptions,
  ) {
    super();
    const { given, wanted } = sorted(protocols, options);
    const url = parseAddress(address, this.isStandard);
    this.#url = url.href;
    const offered = checkProtocols(wanted, this.isStandard);
    this.#binaryType = this.isStandard ? 'blob' : 'nodebuffer';
    this.#deferred = given.allowSynchronousEvents === false;
    this.#open(url, given, offered);
  }

  // --------------------------------------------------------------------------------------------- attributes

  /** The URL as it was parsed. */
  get url(): string {
    return this.#url;
  }

  get readyState(): 0 | 1 | 2 | 3 {
    return this.#readyState as 0 | 1 | 2 | 3;
  }

  /** The subprotocol that the server chose. */
  get protocol(): string {
    return this.#connection?.protocol ?? '';
  }

  /** The extensions in use. */
  get extensions(): string {
    const extensions = this.#connection?.extensions ?? [];
    return this.isStandard ? formatExtensions(extensions) : extensions.map(({ name }) => name).join();
  }

  get isPaused(): boolean {
    return this.#connection?.isPaused ?? false;
  }

  /** What the data of binary messages is. */
  get binaryType(): WebSocket.BinaryType {
    return this.#binaryType as WebSocket.BinaryType;
  }

  set binaryType(type: WebSocket.BinaryType) {
    if (!isBinaryType(type, this.isStandard)) return;
    this.#binaryType = type;
    this.#connection?.collectFragments((type as BinaryType) === 'fragments');
  }

  /** Bytes that have been sent and are not with the kernel yet; in the standard's way, without frame headers. */
  get bufferedAmount(): number {
    const queued = this.#outgoing?.waiting ?? 0;
    return this.isStandard ? queued : queued + (this.#connection?.bufferedAmount ?? 0);
  }

  /** @internal How the connection ended. */
  get closedCleanly(): boolean {
    return this.#connection?.closedCleanly ?? false;
  }

  /** The socket below; null until the connection is open. */
  get _socket(): Duplex | null {
    return this.#connection?.socket ?? null;
  }

  // ------------------------------------------------------------------------------------------------ opening

  #open(url: URL, options: Given, offered: readonly string[]): void {
    const dropIn = behaviour(options, WebSocket.#failures);
    const events = {
      connection: dropIn,
      onUpgrade: (response: Response, message?: IncomingMessage) => this.#onUpgrade(response, message),
      onOpen: (connection: Connection) => this.#onOpen(connection, offered),
      onFailed: (error: unknown) => this.#onRefused(error, options, offered),
      onRedirect: (target: URL, request: ClientRequest) => {
        this.emit('redirect', target.href, request);
      },
    };
    const beginHttp = (): void => {
      const opening = new HttpOpening(this, url, options, offered, events);
      this.#opening = opening;
      opening.begin(url);
    };
    if (needsHttp(url, options)) {
      beginHttp();
      return;
    }
    const connect = connectOptions(url, options, offered);
    const opening = new Opening(withoutUser(url), { ...connect, ...this.handlers }, events);
    this.#opening = opening;
    // What these events hand out, only Node's HTTP client has; they are listened for from this turn on.
    process.nextTick(() => {
      if (this.#readyState !== CONNECTING) return;
      if (this.listenerCount('unexpected-response') > 0) {
        beginHttp();
        return;
      }
      opening
        .run()
        .then(undefined, (error: unknown) =>
          process.nextTick(() => this.#onRefused(error, options, offered)),
        );
    });
  }

  /** @internal Where a redirect leads. */
  redirected(location: string, from: URL): URL {
    let url: URL;
    try {
      url = new URL(location, from);
    } catch {
      throw new SyntaxError(`Invalid URL: ${location}`);
    }
    this.#url = url.href.replace(/^http/, 'ws');
    return parseAddress(url, this.isStandard);
  }

  #onUpgrade(response: Response, message: IncomingMessage | undefined): void {
    if (this.listenerCount('upgrade') === 0) return;
    guarded(() => void this.emit('upgrade', message ?? incomingMessage(response, null)));
  }

  #onOpen(connection: Connection, offered: readonly string[]): void {
    if (offered.length > 0 && connection.protocol === '') {
      connection.destroy();
      const error = new Error('Server sent no subprotocol');
      process.nextTick(() => this.#onRefused(error, {}, offered));
      return;
    }
    this.#opening = undefined;
    this.#connection = connection;
    connection.owner = this;
    // Two strings of the same characters are one too many.
    if (connection.url === this.#url) this.#url = connection.url;
    if (this.#binaryType === 'fragments') connection.collectFragments(true);
    this.#readyState = OPEN;
    guarded(() => this.fire('open'));
  }

  /** The opening handshake has failed. */
  #onRefused(error: unknown, options: Given, offered: readonly string[]): void {
    if (this.#readyState === CLOSED || this.#opening === undefined) return;
    const failure = error as HandshakeError;
    const { statusCode } = failure;
    this.#opening = undefined;
    if (failure.code === 'ERR_HANDSHAKE_STATUS' && this.listenerCount('unexpected-response') > 0) {
      // It was listened for too late to be asked for with a request of Node's: there is none to be shown.
      const rawHeaders = Object.entries(failure.headers ?? {});
      const body = failure.body ?? NOTHING;
      const response = incomingMessage({ statusCode: statusCode!, statusText: '', rawHeaders, body }, null);
      this.emit('unexpected-response', undefined, response);
    }
    const offersDeflate = Boolean(options.perMessageDeflate ?? true);
    const shown = error instanceof HeartwireError ? openingError(error, offered, offersDeflate) : error;
    this.#endUnopened(shown as Error);
  }

  /** `close()` or `terminate()` came first. */
  #abort(): void {
    const opening = this.#opening;
    this.#opening = undefined;
    this.#readyState = CLOSING;
    const error = new Error(CLOSED_EARLY);
    const reason = new HeartwireError('ERR_ABORTED', CLOSED_EARLY);
    if (opening instanceof HttpOpening) opening.abort(reason);
    else opening?.giveUp(reason);
    process.nextTick(() => this.#endUnopened(error));
  }

  #endUnopened(error: Error): void {
    this.#readyState = CLOSING;
    try {
      if (this.isStandard) this.#readyState = CLOSED;
      this.fireError(error);
    } finally {
      this.#readyState = CLOSED;
      this.fire('close', 1006, NOTHING);
    }
  }

  // ---------------------------------------------------------------------------------------------- receiving

  /** @internal Served to all connections of the class alike. */
  get handlers(): ConnectionHandlers {
    return WebSocket.#handlers;
  }

  static readonly #handlers: ConnectionHandlers = {
    onMessage: (message, connection) => (connection.owner as WebSocket).#onMessage(message, connection),
    onPing: (payload, { owner }) => (owner as WebSocket).#emitSoon('ping', payload),
    onPong: (payload, { owner }) => (owner as WebSocket).#emitSoon('pong', payload),
    onClose: (info, { owner }) => {
      if (owner !== undefined) (owner as WebSocket).#onClose(info);
    },
  };

  static readonly #failures: Pick<DropIn, 'onFailure' | 'onClosing'> = {
    onFailure: (error, evidence, { owner }) => (owner as WebSocket).#onFailure(error, evidence),
    onClosing: ({ owner }) => (owner as WebSocket).#onClosing(),
  };

  #onMessage(message: Message, connection: Connection): void {
    // The emitter's own record: to ask for it in public makes an array for each message.
    const listeners = (this as unknown as { _events: { message?: unknown } })._events.message;
    if (this.isStandard) {
      const { isText } = message;
      // What bytes become is decided by binaryType when their task has its turn.
      const data = isText ? message.text() : bufferOf(message, sharedCodec());
      queueTask(deliverTask, this, 'message', data, !isText);
      return;
    }
    if (listeners === undefined && !this.#deferred) return;
    const isBinary = !message.isText;
    let data: unknown;
    if (isBinary) data = binaryData(this.#binaryType, message, connection.fragmentEnds);
    else if (this.hasListeners && !this.#deferred && wantsEventsOnly(listeners)) data = message.text();
    else data = bufferOf(message, sharedCodec());
    if (this.#deferred) setImmediate(deliverTask, this, 'message', data, isBinary);
    else if (this.hasListeners) emitEvent(this, 'message', data, isBinary);
    else this.emit('message', data, isBinary);
  }

  /** @internal A task of this socket's has its turn. */
  runTask(type: string, first: unknown, second: unknown): void {
    if (type === 'message') {
      // After close() the standard drops what still comes; ws does not.
      if (this.isStandard && this.#readyState !== OPEN) return;
      const data = second && this.isStandard ? convertedTo(this.#binaryType, first as Buffer) : first;
      const listeners = (this as unknown as { _events: { message?: unknown } })._events.message;
      if (listeners === undefined) return;
      const shown = typeof data === 'string' && !wantsEventsOnly(listeners) ? Buffer.from(data) : data;
      emitEvent(this, 'message', shown, second);
    } else if (type === 'closing') {
      if (this.#readyState === OPEN) this.#readyState = CLOSING;
    } else if (type === 'close') {
      this.#closed(first as CloseInfo);
    } else {
      this.emit(type, first);
    }
  }

  #emitSoon(type: 'ping' | 'pong', payload: Buffer): void {
    if (this.isStandard) queueTask(deliverTask, this, type, payload);
    else if (this.#deferred) setImmediate(deliverTask, this, type, payload, undefined);
    else this.emit(type, payload);
  }

  // ------------------------------------------------------------------------------------------------- sending

  /**
   * @param data a string is sent as text, everything else as binary
   * @param callback called when the data is with the kernel, or with the error that prevented it
   * @throws Error while connecting (in the standard's way an InvalidStateError)
   */
  send(data: BufferLike, callback?: SendCallback): void;
  send(data: BufferLike, options: SendFrameOptions | undefined, callback?: SendCallback): void;
  send(data: BufferLike, options?: SendFrameOptions | SendCallback, callback?: SendCallback): void {
    if (this.#readyState === CONNECTING) throw notConnected(this.isStandard);
    this.#sent.send(data, options, callback);
  }

  get #sent(): Outgoing {
    this.#outgoing ??= new Outgoing(this, this.#connection);
    return this.#outgoing;
  }

  /** @throws Error while connecting; RangeError above 125 bytes */
  ping(
    data?: BufferLike | SendCallback | null,
    mask?: boolean | SendCallback,
    callback?: SendCallback,
  ): void {
    if (this.#readyState === CONNECTING) throw notConnected(false);
    this.#sent.control(Opcode.ping, data, mask, callback);
  }

  /** @throws Error while connecting; RangeError above 125 bytes */
  pong(
    data?: BufferLike | SendCallback | null,
    mask?: boolean | SendCallback,
    callback?: SendCallback,
  ): void {
    if (this.#readyState === CONNECTING) throw notConnected(false);
    this.#sent.control(Opcode.pong, data, mask, callback);
  }

  // ------------------------------------------------------------------------------------------------- closing

  /**
   * Starts the closing handshake; what has been sent before arrives before.
   * @param code a code that a Close frame may carry; in the standard's way 1000 or 3000 to 4999
   * @param reason at most 123 bytes of UTF-8
   */
  close(code?: number, reason?: string | Buffer): void {
    if (this.isStandard) checkStandardClose(code, reason as string | undefined);
    if (this.#readyState === CONNECTING) {
      this.#abort();
    } else if (this.#readyState === OPEN) {
      const payload = this.isStandard ? standardClosePayload(code, reason) : closePayload(code, reason);
      this.#readyState = CLOSING;
      if (this.#outgoing === undefined) this.#connection!.startClosing(payload);
      else this.#outgoing.close(payload);
    }
  }

  /** Ends the connection at once, without the closing handshake. */
  terminate(): void {
    if (this.#readyState === CONNECTING) {
      this.#abort();
    } else if (this.#readyState !== CLOSED && this.#connection !== undefined) {
      this.#readyState = CLOSING;
      this.#connection.destroy();
    }
  }

  /** Stops reading: the server is slowed down by TCP. */
  pause(): void {
    if (this.#readyState === CONNECTING || this.#readyState === CLOSED) return;
    this.#connection!.pause();
  }

  resume(): void {
    if (this.#readyState === CONNECTING || this.#readyState === CLOSED) return;
    this.#connection!.resume();
  }

  #onFailure(error: ProtocolError, evidence: readonly number[]): void {
    // In the standard's way the error is an event at the end.
    if (this.isStandard) {
      queueTask(deliverTask, this, 'closing');
      return;
    }
    this.#readyState = CLOSING;
    this.fireError(receivingError(error, evidence));
  }

  #onClosing(): void {
    if (this.isStandard) queueTask(deliverTask, this, 'closing');
    else this.#readyState = CLOSING;
  }

  #onClose(info: CloseInfo): void {
    if (this.isStandard) queueTask(deliverTask, this, 'close', info);
    else if (this.#deferred) setImmediate(deliverTask, this, 'close', info, undefined);
    else this.#closed(info);
  }

  #closed({ code, reason, wasClean, error }: CloseInfo): void {
    this.#readyState = CLOSED;
    const failed = this.isStandard && !wasClean;
    if (failed) this.fireError(error ?? new Error('The connection was lost'));
    this.fire('close', code, reason === '' ? NOTHING : Buffer.from(reason));
  }
}

/** No exception of the application's crosses the opening handshake. */
function guarded(body: () => void): void {
  try {
    body();
  } catch (thrown) {
    rethrow(thrown);
  }
}

function deliverTask(socket: WebSocket, type: string, first: unknown, second: unknown): void {
  socket.runTask(type, first, second);
}

for (const target of [WebSocket, WebSocket.prototype]) {
  for (const [value, name] of STATE_NAMES.entries()) {
    Object.defineProperty(target, name, { value, enumerable: true });
  }
}

Object.defineProperty(WebSocket.prototype, 'isStandard', { value: false });
// What bundles the package may rename the class.
Object.defineProperty(WebSocket, 'name', { value: 'WebSocket' });

// As in the browser's class, and in ws: attributes are enumerable.
for (const name of [
  'binaryType',
  'bufferedAmount',
  'extensions',
  'isPaused',
  'protocol',
  'readyState',
  'url',
]) {
  Object.defineProperty(WebSocket.prototype, name, { enumerable: true });
}

/** The names that `@types/ws` has for the client's types. */
export declare namespace WebSocket {
  type BinaryType = 'nodebuffer' | 'arraybuffer' | 'fragments';
  type RawData = Buffer | ArrayBuffer | Buffer[];
  type Data = string | Buffer | ArrayBuffer | Buffer[];
  type CertMeta = string | string[] | Buffer | Buffer[];
  type ClientOptions = WebSocketOptions;
  type PerMessageDeflateOptions = DeflateOptions;
  type FinishRequestCallback = FinishRequest;
  type Event = Types.Event;
  type ErrorEvent = Types.ErrorEvent;
  type CloseEvent = Types.CloseEvent;
  type MessageEvent = Types.MessageEvent;
  type WebSocketEventMap = Types.WebSocketEventMap;
  type EventListenerOptions = Types.EventListenerOptions;
}
