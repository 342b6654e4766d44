/**
 * `connect()`: a way to the server, the opening handshake on it, and the connection that takes over. One
 * deadline covers all of it, redirects included; whatever goes wrong closes what was opened and rejects with a
 * typed error.
 */

import type { Duplex } from 'node:stream';
import { sharedCodec } from './codec/codec.js';
import { Connection } from './connection.js';
import { type FailedResponse, HandshakeError, HeartwireError, UsageError } from './errors.js';
import { type HeartbeatOptions, type HeartbeatSettings, heartbeatSettings } from './heartbeat/settings.js';
import type { ConnectionHandlers, ConnectionLimits, DropIn } from './options.js';
import { formatExtensions } from './protocol/extensions.js';
import { type OpeningRequest, openingRequest, verifyResponse } from './protocol/opening-handshake.js';
import {
  checkDeflateOptions,
  deflateAgreement,
  deflateOffer,
  type PerMessageDeflateOptions,
} from './protocol/permessage-deflate.js';
import { type Response, ResponseReader } from './protocol/response-reader.js';
import { retryAfter } from './protocol/retry-after.js';
import type { HandshakeReport, Redirect } from './report.js';
import type { CreateConnection } from './transport/foreign-stream.js';
import { Route } from './transport/route.js';
import { checkSocketOptions, type SocketOptions } from './transport/socket-options.js';
import type { TlsOptions } from './transport/tls-client.js';
import { Transport, type TransportHandlers } from './transport/transport.js';

export interface ConnectOptions extends ConnectionHandlers, Partial<ConnectionLimits> {
  /** Subprotocols to offer, the preferred one first. */
  protocols?: string | readonly string[];
  /** More fields for the request; an array gives several lines. */
  headers?: Record<string, string | readonly string[]>;
  /** ms for name resolution, TCP, TLS and the response together. Default 10_000. */
  handshakeTimeout?: number;
  /**
   * How many redirects (301, 302, 303, 307, 308) to follow. Default 0. Never from `wss:` to `ws:`. Another origin
   * is told neither the URL's user information nor any of `headers` but Accept, Accept-Language, Cache-Control,
   * Origin, Pragma and User-Agent, nor is it shown the client certificate of `tls`; and once another origin has
   * had a say, neither is the first. Subprotocols are offered everywhere.
   */
  maxRedirects?: number;
  /** Gives up connecting. Once the promise has settled it has no effect. */
  signal?: AbortSignal;
  socket?: SocketOptions;
  /** Finds out that the link is dead while nothing is sent or received. Default: on, see `HeartbeatOptions`. */
  heartbeat?: false | HeartbeatOptions;
  /** For `wss:`: `ca`, `cert`, `key`, `servername`, `rejectUnauthorized` and the rest of `tls.connect`. */
  tls?: TlsOptions;
  /**
   * An HTTP proxy, by its `http:` or `https:` URL, user information included; or `'env'`: what `HTTPS_PROXY`
   * (for `wss:`), `HTTP_PROXY` (for `ws:`) and `NO_PROXY` say. Default: none, whatever the environment says. The
   * server is then reached through the proxy (CONNECT) or not at all.
   */
  proxy?: string | URL;
  /**
   * Makes the stream that the connection runs on: a Unix socket, a tunnel, any Duplex. Over it TLS is spoken for
   * `wss:`, unless it is a `TLSSocket`. Reads and writes are copied.
   */
  createConnection?: CreateConnection;
  /**
   * Offer permessage-deflate (RFC 7692): `true` offers it bare. Default false. docs/compression.md says when it pays.
   * When all of this thread's windows are taken it is not offered, and `handshake.notApplied` says so.
   */
  perMessageDeflate?: boolean | PerMessageDeflateOptions;
}

/** Below, in bytes, compressing a message saves no packet. */
const DEFAULT_THRESHOLD = 1024;
const MAX_TIMEOUT = 2 ** 31 - 1;
const MAX_MESSAGE_SIZE = 2 ** 32 - 1;

/**
 * Opens a WebSocket connection (RFC 6455 §4.1).
 *
 * With `onMessage`, messages that came with the server's response may be delivered before the promise resolves.
 *
 * @param url `ws:` or `wss:`, without a fragment; user information becomes an `Authorization` field
 * @throws UsageError (as a rejection) for a bad URL or option, before anything is sent; HandshakeError
 *   `ERR_HANDSHAKE_…` for a server that does not answer as it must, `ERR_CONNECT`, `ERR_TLS`,
 *   `ERR_TLS_CERTIFICATE`, `ERR_PROXY`, `ERR_REDIRECT`, `ERR_TOO_MANY_REDIRECTS`, `ERR_HANDSHAKE_TIMEOUT`,
 *   `ERR_ABORTED`; HeartwireError `ERR_WASM_MEMORY`
 */
export async function connect(url: string | URL, options: ConnectOptions = {}): Promise<Connection> {
  return new Opening(url, options).run();
}

let lastId = 0;

const NO_REPORT: HandshakeReport = {
  status: 101,
  headers: {},
  timings: { connect: 0, open: 0 },
  attempts: [],
  redirects: [],
  notApplied: [],
};

let lastUrl = '';

/** Many connections go to the same place. */
function sharedUrl(url: string): string {
  if (url !== lastUrl) lastUrl = url;
  return lastUrl;
}

let lastLimits: ConnectionLimits | undefined;

/** Most connections have the limits of the one before. */
function sharedLimits(limits: ConnectionLimits): ConnectionLimits {
  const names = Object.keys(limits) as (keyof ConnectionLimits)[];
  if (lastLimits === undefined || names.some((name) => limits[name] !== lastLimits![name]))
    lastLimits = Object.freeze(limits);
  return lastLimits;
}

/** The same fields, still without a prototype, in a quarter of the memory: an object is not a hash table then. */
function compact(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.setPrototypeOf({ ...headers }, null);
}

/** @internal What the drop-in class asks of an opening besides. It has no deadline unless one is given. */
export interface DropInOpening {
  readonly connection: DropIn;
  /** A 101 has come; it has not been looked at. */
  onUpgrade(response: Response): void;
  /** Called before anything is received. */
  onOpen(connection: Connection): void;
}

/** @internal */
export class Opening {
  readonly #id = ++lastId;
  readonly #options: ConnectOptions;
  readonly #dropIn: DropInOpening | undefined;
  readonly #limits: ConnectionLimits;
  readonly #heartbeat: HeartbeatSettings | undefined;
  readonly #handshakeTimeout: number;
  readonly #maxRedirects: number;
  readonly #codec = sharedCodec();
  readonly #startedAt = performance.now();
  #failure: HeartwireError | undefined;
  #opened = false;

  /** What is offered of permessage-deflate, and the block that is kept free for it until the server has answered. */
  readonly #deflate: PerMessageDeflateOptions | undefined;
  readonly #deflateIsOffered: boolean;
  #window = 0;

  /** One hop: what is asked, of whom, on which way, and what is answered. */
  #request: OpeningRequest;
  #route: Route;
  #reader = new ResponseReader();
  #answered!: (answer: Connection | Response) => void;
  #reject: ((error: unknown) => void) | undefined;
  #transport: Transport | undefined;

  /** Loaded only for those who follow. */
  #redirection: typeof import('./protocol/redirect.js') | undefined;
  readonly #redirects: Redirect[] = [];
  /** What the next origin is told of the options and of the URL. */
  #told: ConnectOptions;
  #userInfo: { username: string; password: string } | undefined;

  constructor(url: string | URL, options: ConnectOptions, dropIn?: DropInOpening) {
    this.#options = options;
    this.#dropIn = dropIn;
    const patience = dropIn === undefined ? 10_000 : Number.POSITIVE_INFINITY;
    this.#handshakeTimeout = amount('handshakeTimeout', options.handshakeTimeout, patience, MAX_TIMEOUT);
    this.#maxRedirects = amount('maxRedirects', options.maxRedirects, 0);
    this.#limits = sharedLimits({
      maxMessageSize: amount('maxMessageSize', options.maxMessageSize, 64 * 1024 * 1024, MAX_MESSAGE_SIZE),
      highWaterMark: amount('highWaterMark', options.highWaterMark, 1024 * 1024),
      maxBufferedAmount: amount('maxBufferedAmount', options.maxBufferedAmount, 16 * 1024 * 1024),
      closeTimeout: amount('closeTimeout', options.closeTimeout, 5_000, MAX_TIMEOUT),
    });
    this.#heartbeat = heartbeatSettings(options.heartbeat);
    checkRoute(options);
    this.#deflate = checkDeflateOptions(options.perMessageDeflate);
    const { windows } = this.#codec;
    const needsWindow = !this.#deflate?.serverNoContextTakeover;
    this.#deflateIsOffered = this.#deflate !== undefined && (!needsWindow || windows.available > 0);
    this.#request = this.#requestOf(url, options);
    this.#route = this.#routeTo(this.#request, options);
    this.#told = options;
    if (this.#maxRedirects > 0) {
      const { username, password } = new URL(url);
      this.#userInfo = { username, password };
    }
  }

  #requestOf(url: string | URL, options: ConnectOptions): OpeningRequest {
    const extensions = this.#deflateIsOffered ? formatExtensions([deflateOffer(this.#deflate!)]) : undefined;
    return openingRequest(url, { ...options, extensions });
  }

  #routeTo(request: OpeningRequest, options: ConnectOptions): Route {
    return new Route(request, options, this.#codec.scratch, () => this.#elapsed());
  }

  async run(): Promise<Connection> {
    // In the same turn as the constructor has looked for one.
    if (this.#deflateIsOffered) this.#window = this.#codec.windows.take();
    const { signal } = this.#options;
    const patience = this.#handshakeTimeout;
    const deadline =
      patience === Number.POSITIVE_INFINITY
        ? undefined
        : setTimeout(() => this.giveUp(this.#late()), patience);
    const onAbort = () => this.giveUp(this.#aborted());
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      if (signal?.aborted) throw this.#aborted();
      if (this.#maxRedirects > 0) this.#redirection = await import('./protocol/redirect.js');
      for (;;) {
        const answer = await this.#hop();
        if (answer instanceof Connection) return answer;
        this.#follow(answer);
      }
    } catch (error) {
      this.#failure ??= error as HeartwireError;
      this.#route.destroy();
      if (error instanceof HandshakeError) error.attempts = this.#route.attempts;
      throw this.#typed(error).in({
        connectionId: this.#id,
        host: this.#request.url.host,
        phase: this.#route.phase,
        duration: this.#elapsed(),
      });
    } finally {
      this.#returnWindow();
      clearTimeout(deadline);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Asks one server, and gives its answer: a connection, or where to ask instead. */
  #hop(): Promise<Connection | Response> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure;
      this.#answered = resolve;
      this.#reject = reject;
      this.#route.open().then((transport) => this.#ask(transport), reject);
    });
  }

  #ask(transport: Transport): void {
    if (this.#failure !== undefined) return;
    this.#transport = transport;
    transport.serve(Opening.#transportHandlers, this as Opening);
    // It may have been lost in the moment between its owners.
    if (transport.socket.destroyed) {
      this.#lose(new Error('the socket was closed'));
      return;
    }
    try {
      transport.socket.write(this.#request.bytes);
    } catch (thrown) {
      // A stream of the user's that throws where it should call back.
      this.#lose(thrown as Error);
      return;
    }
    // The end came in that moment, and is not told twice.
    if (transport.socket.readableEnded) Opening.#transportHandlers.onEnd(this);
  }

  static readonly #transportHandlers: TransportHandlers<Opening> = {
    readTarget: (opening) => opening.#codec.scratch,
    received: (opening, count) => opening.#received(opening.#codec.scratch.subarray(0, count)),
    onEnd(opening) {
      opening.#read((reader) => {
        reader.end();
        opening.#respond(reader.response!);
      });
    },
    onError: (opening, error) => opening.#lose(error),
    onClosed: (opening) => opening.#lose(new Error('the socket was closed')),
  };

  #received(bytes: Uint8Array): void {
    this.#read((reader) => {
      const taken = reader.feed(bytes);
      // A redirect is followed for its head; its body may never end. The drop-in class wants no body either.
      const response =
        reader.response ?? (this.#dropIn === undefined ? this.#asRedirect(reader) : reader.partial);
      // Frames may come in the same segment as the response.
      if (response !== null) this.#respond(response, bytes.subarray(taken));
    });
  }

  /** @internal What is asked, for who sends it by other means. */
  get request(): OpeningRequest {
    return this.#request;
  }

  /**
   * @internal Goes on with what others have sent and read: the stream, the answer, and what came behind it.
   * @throws HandshakeError when the answer is not what it must be
   */
  adopt(stream: Duplex, response: Response, leftover: Uint8Array): void {
    this.#answered = () => {};
    this.#transport = Transport.over(stream, Opening.#transportHandlers, this as Opening);
    if (this.#deflateIsOffered) this.#window = this.#codec.windows.take();
    try {
      this.#respond(response, leftover);
    } finally {
      this.#returnWindow();
    }
  }

  #read(read: (reader: ResponseReader) => void): void {
    if (this.#failure !== undefined) return;
    try {
      read(this.#reader);
    } catch (error) {
      this.giveUp(error as HandshakeError);
    }
  }

  #asRedirect({ partial }: ResponseReader): Response | null {
    return partial !== null && this.#redirection?.isRedirect(partial.statusCode) ? partial : null;
  }

  /** The response is complete: it opens the connection, leads elsewhere, or `verifyResponse` says what is wrong. */
  #respond(response: Response, leftover: Uint8Array = new Uint8Array(0)): void {
    if (this.#redirection?.isRedirect(response.statusCode)) {
      this.#answered(response);
      return;
    }
    const dropIn = this.#dropIn;
    if (dropIn !== undefined && response.statusCode === 101) {
      dropIn.onUpgrade(response);
      if (this.#failure !== undefined) return;
    }
    const { protocol, extensions } = verifyResponse(this.#request, response);
    const deflate = this.#deflate && deflateAgreement(this.#deflate, extensions, heardIn(response));
    if (deflate !== undefined && !deflate.serverNoContextTakeover && this.#window === 0)
      throw this.#noWindow(response);
    const connection = new Connection(
      this.#transport!,
      {
        id: this.#id,
        startedAt: this.#startedAt,
        url: sharedUrl(this.#request.url.href),
        protocol,
        extensions,
        deflate,
        window: this.#window,
        threshold: this.#deflate?.threshold ?? DEFAULT_THRESHOLD,
        // The drop-in class has nothing that would show it.
        handshake: dropIn === undefined ? this.#report(response) : NO_REPORT,
        socketOptions: this.#route.socketReport,
      },
      this.#limits,
      this.#options,
      this.#heartbeat,
      dropIn?.connection,
    );
    if (deflate !== undefined) this.#window = 0;
    this.#opened = true;
    this.#answered(connection);
    dropIn?.onOpen(connection);
    connection.begin(leftover);
  }

  /** Unless a connection has it now. */
  #returnWindow(): void {
    this.#codec.windows.give(this.#window);
    this.#window = 0;
  }

  /** Others have taken the last one since compression was offered: only where Node's HTTP client has asked. */
  #noWindow(response: Response): HandshakeError {
    const message = 'permessage-deflate was agreed on, but all windows are taken by other connections by now';
    return new HandshakeError('ERR_HANDSHAKE_EXTENSION', message, heardIn(response));
  }

  #report({ statusCode, headers }: Response): HandshakeReport {
    const { timings, tls, proxy, attempts, socketReport } = this.#route;
    return {
      status: statusCode,
      headers: compact(headers),
      timings: { ...timings, open: this.#elapsed() },
      tls,
      proxy,
      attempts,
      redirects: this.#redirects,
      notApplied:
        this.#deflate && !this.#deflateIsOffered
          ? [...socketReport.notApplied, 'perMessageDeflate']
          : socketReport.notApplied,
    };
  }

  // -------------------------------------------------------------------------------------------- redirects

  #follow(response: Response): void {
    const { harmlessHeaders, redirection, tooManyRedirects, withoutIdentity } = this.#redirection!;
    if (this.#redirects.length >= this.#maxRedirects) throw tooManyRedirects(response, this.#maxRedirects);
    const { url, sameOrigin } = redirection(this.#request.url, response);
    this.#redirects.push({ status: response.statusCode, location: url.href });
    this.#transport!.release();
    this.#route.destroy();

    // For good: where the way leads from another origin on, that origin has decided.
    if (!sameOrigin) {
      const { headers = {}, tls = {} } = this.#told;
      this.#told = { ...this.#told, headers: harmlessHeaders(headers), tls: withoutIdentity(tls) };
      this.#userInfo = undefined;
    }
    Object.assign(url, this.#userInfo);
    this.#request = this.#requestOf(url, this.#told);
    this.#reader = new ResponseReader();
    this.#route = this.#routeTo(this.#request, this.#told);
  }

  // --------------------------------------------------------------------------------------------- failures

  #typed(error: unknown): HeartwireError {
    if (error instanceof HeartwireError) return error;
    const message = `The socket could not be made: ${messageOf(error)}`;
    return new UsageError('ERR_INVALID_OPTION', message, { cause: error });
  }

  giveUp(error: HeartwireError): void {
    if (this.#failure !== undefined || this.#opened) return;
    this.#failure = error;
    this.#reject?.(error);
    this.#route.end(error);
  }

  #lose(cause: Error): void {
    this.giveUp(this.#route.loss(cause, this.#heard()));
  }

  #late(): HandshakeError {
    const message = `No connection within ${this.#handshakeTimeout} ms (${this.#route.phase})`;
    return this.#route.refusal ?? this.#route.failure('ERR_HANDSHAKE_TIMEOUT', message, this.#heard());
  }

  #aborted(): HandshakeError {
    const message = `Connecting was aborted (${this.#route.phase})`;
    const cause: unknown = this.#options.signal?.reason;
    return this.#route.failure('ERR_ABORTED', message, { ...this.#heard(), cause });
  }

  /** What the server had said until then: its status may be the reason. */
  #heard(): FailedResponse {
    const { statusCode, headers, body } = this.#reader.partial ?? {};
    return { statusCode, headers, body, retryAfter: retryAfter(headers?.['retry-after'], Date.now()) };
  }

  #elapsed(): number {
    return performance.now() - this.#startedAt;
  }
}

/** @throws UsageError `ERR_INVALID_OPTION` */
function checkRoute({ socket, proxy, createConnection }: ConnectOptions): void {
  if (socket !== undefined) checkSocketOptions(socket);
  if (createConnection === undefined) return;
  if (typeof createConnection !== 'function')
    throw new UsageError('ERR_INVALID_OPTION', 'createConnection must be a function');
  if (proxy !== undefined)
    throw new UsageError('ERR_INVALID_OPTION', 'createConnection and proxy exclude each other');
}

/**
 * A number of bytes or ms that an option gives.
 * @throws UsageError `ERR_INVALID_OPTION`
 */
function amount(
  name: string,
  given: number | undefined,
  byDefault: number,
  most = Number.MAX_SAFE_INTEGER,
): number {
  if (given === undefined) return byDefault;
  if (typeof given === 'number' && given >= 0 && given <= most) return given;
  throw new UsageError(
    'ERR_INVALID_OPTION',
    `${name} must be a number from 0 to ${most}, not ${String(given)}`,
  );
}

function heardIn({ statusCode, headers, body }: Response): FailedResponse {
  return { statusCode, headers, body };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
