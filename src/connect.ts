/**
 * `connect()`: a socket, the opening handshake on it, and the connection that takes over. One deadline covers
 * all of it; whatever goes wrong closes the socket and rejects with a typed error.
 */

import { isIP } from 'node:net';
import { sharedCodec } from './codec/codec.js';
import {
  Connection,
  type ConnectionHandlers,
  type ConnectionLimits,
  type HandshakeReport,
} from './connection.js';
import { HandshakeError, HeartwireError, UsageError } from './errors.js';
import { type OpeningRequest, openingRequest, verifyResponse } from './protocol/opening-handshake.js';
import { ResponseReader } from './protocol/response-reader.js';
import type { SocketOptions } from './transport/socket-options.js';
import { type TlsOptions, Transport, type TransportHandlers } from './transport/transport.js';

export interface ConnectOptions extends ConnectionHandlers, Partial<ConnectionLimits> {
  /** Subprotocols to offer, the preferred one first. */
  protocols?: string | readonly string[];
  /** More fields for the request; an array gives several lines. */
  headers?: Record<string, string | readonly string[]>;
  /** ms for name resolution, TCP, TLS and the response together. Default 10_000. */
  handshakeTimeout?: number;
  /** Gives up connecting. Once the promise has settled it has no effect. */
  signal?: AbortSignal;
  socket?: SocketOptions;
  /** For `wss:`: `ca`, `cert`, `key`, `servername`, `rejectUnauthorized` and the rest of `tls.connect`. */
  tls?: TlsOptions;
}

const MAX_TIMEOUT = 2 ** 31 - 1;

/**
 * Opens a WebSocket connection (RFC 6455 §4.1).
 *
 * With `onMessage`, messages that came with the server's response may be delivered before the promise resolves.
 *
 * @param url `ws:` or `wss:`, without a fragment; user information becomes an `Authorization` field
 * @throws UsageError (as a rejection) for a bad URL or option, before anything is sent; HandshakeError
 *   `ERR_HANDSHAKE_…` for a server that does not answer as it must, `ERR_CONNECT`, `ERR_TLS`,
 *   `ERR_HANDSHAKE_TIMEOUT`, `ERR_ABORTED`; HeartwireError `ERR_WASM_MEMORY`
 */
export async function connect(url: string | URL, options: ConnectOptions = {}): Promise<Connection> {
  const opening = new Opening(openingRequest(url, options), options);
  return opening.run();
}

type Phase = 'resolving the name' | 'connecting' | 'TLS handshake' | 'waiting for the response';

class Opening {
  readonly #request: OpeningRequest;
  readonly #options: ConnectOptions;
  readonly #limits: ConnectionLimits;
  readonly #handshakeTimeout: number;

  readonly #codec = sharedCodec();
  readonly #reader = new ResponseReader();
  #transport: Transport | undefined;
  #phase: Phase;
  #settled = false;
  #resolve!: (connection: Connection) => void;
  #reject!: (error: HeartwireError) => void;

  readonly #startedAt = performance.now();
  #lookupAt: number | undefined;
  #connectAt = 0;
  #tlsAt: number | undefined;

  constructor(request: OpeningRequest, options: ConnectOptions) {
    this.#request = request;
    this.#options = options;
    this.#phase = isIP(request.host) ? 'connecting' : 'resolving the name';
    this.#handshakeTimeout = amount('handshakeTimeout', options.handshakeTimeout, 10_000, MAX_TIMEOUT);
    this.#limits = {
      maxMessageSize: amount('maxMessageSize', options.maxMessageSize, 64 * 1024 * 1024),
      highWaterMark: amount('highWaterMark', options.highWaterMark, 1024 * 1024),
      maxBufferedAmount: amount('maxBufferedAmount', options.maxBufferedAmount, 16 * 1024 * 1024),
      closeTimeout: amount('closeTimeout', options.closeTimeout, 5_000, MAX_TIMEOUT),
    };
  }

  async run(): Promise<Connection> {
    const { signal } = this.#options;
    if (signal?.aborted) throw this.#aborted();

    const opened = new Promise<Connection>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const deadline = setTimeout(() => this.#giveUp(this.#late()), this.#handshakeTimeout);
    const onAbort = () => this.#giveUp(this.#aborted());
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      const { secure, host, port } = this.#request;
      this.#transport = await Transport.open(
        { secure, host, port },
        this.#options,
        Opening.#transportHandlers,
        this,
        this.#progress,
      );
      // Settled while the TLS module was being loaded.
      if (this.#settled) this.#transport.socket.destroy();
      return await opened;
    } catch (error) {
      if (error instanceof HeartwireError) throw error;
      this.#settled = true;
      throw new UsageError('ERR_INVALID_OPTION', `The socket could not be made: ${messageOf(error)}`, {
        cause: error,
      });
    } finally {
      clearTimeout(deadline);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  readonly #progress = {
    onLookup: (): void => {
      this.#lookupAt ??= this.#elapsed();
      this.#phase = 'connecting';
    },
    onConnect: (): void => {
      this.#connectAt = this.#elapsed();
      this.#phase = 'TLS handshake';
    },
    onReady: (): void => {
      if (this.#request.secure) this.#tlsAt = this.#elapsed();
      this.#phase = 'waiting for the response';
      this.#transport!.socket.write(this.#request.bytes);
    },
  };

  static readonly #transportHandlers: TransportHandlers<Opening> = {
    readTarget: (opening) => opening.#codec.scratch,
    received: (opening, count) => opening.#received(opening.#codec.scratch.subarray(0, count)),
    onEnd(opening) {
      try {
        opening.#reader.end();
        opening.#respond();
      } catch (error) {
        opening.#giveUp(error as HandshakeError);
      }
    },
    onError: (opening, error) => opening.#giveUp(opening.#socketError(error)),
    onClosed: (opening) => opening.#giveUp(opening.#socketError(new Error('the socket was closed'))),
  };

  #received(bytes: Uint8Array): void {
    if (this.#settled) return;
    try {
      const taken = this.#reader.feed(bytes);
      // Frames may come in the same segment as the response.
      if (this.#reader.response !== null) this.#respond(bytes.subarray(taken));
    } catch (error) {
      this.#giveUp(error as HandshakeError);
    }
  }

  /** The response is complete: it opens the connection, or `verifyResponse` says why not. */
  #respond(leftover: Uint8Array = new Uint8Array(0)): void {
    const response = this.#reader.response!;
    const { protocol, extensions } = verifyResponse(this.#request, response);
    const handshake: HandshakeReport = {
      status: response.statusCode,
      headers: response.headers,
      timings: {
        lookup: this.#lookupAt,
        connect: this.#connectAt,
        tls: this.#tlsAt,
        open: this.#elapsed(),
      },
    };
    this.#settled = true;
    const connection = new Connection(
      this.#transport!,
      { url: this.#request.url.href, protocol, extensions, handshake },
      this.#limits,
      this.#options,
    );
    this.#resolve(connection);
    connection.begin(leftover);
  }

  #giveUp(error: HeartwireError): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#reject(error);
    this.#transport?.socket.destroy();
  }

  // ----------------------------------------------------------------------------------------------- errors

  #late(): HandshakeError {
    return this.#failure(
      'ERR_HANDSHAKE_TIMEOUT',
      `No connection within ${this.#handshakeTimeout} ms (${this.#phase})`,
    );
  }

  #aborted(): HandshakeError {
    return this.#failure(
      'ERR_ABORTED',
      `Connecting was aborted (${this.#phase})`,
      this.#options.signal?.reason,
    );
  }

  #socketError(cause: Error): HandshakeError {
    const code = this.#phase === 'TLS handshake' ? 'ERR_TLS' : 'ERR_CONNECT';
    return this.#failure(code, `${capital(this.#phase)} failed: ${reasonOf(cause)}`, cause);
  }

  /** What the server had said until then is kept: its status may be the reason. */
  #failure(code: string, message: string, cause?: unknown): HandshakeError {
    const { host, port } = this.#request;
    const { statusCode, headers, body } = this.#reader.partial ?? {};
    const status = statusCode === undefined ? '' : `; the server had answered ${statusCode}`;
    return new HandshakeError(code, `${host}:${port}: ${message}${status}`, {
      cause,
      statusCode,
      headers,
      body,
    });
  }

  #elapsed(): number {
    return performance.now() - this.#startedAt;
  }
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

/** Node reports several addresses that failed as an AggregateError without a message. */
function reasonOf(error: Error): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return messageOf(error);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function capital(text: string): string {
  return text[0].toUpperCase() + text.slice(1);
}
