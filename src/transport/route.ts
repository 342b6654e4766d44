/**
 * The way to a server: dialled directly, through a proxy's tunnel, or over a stream of the user's; with TLS at
 * its end where the URL asks for it. It knows nothing of WebSocket.
 */

import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  type ConnectionAttempt,
  type FailedResponse,
  HandshakeError,
  type HeartwireError,
} from '../errors.js';
import type { CreateConnection } from './foreign-stream.js';
import type { HttpProxy, TunnelAnswer } from './proxy-tunnel.js';
import { applySocketOptions, type SocketOptions, type SocketReport } from './socket-options.js';
import type { TlsFailure, TlsOptions, TlsReport } from './tls-client.js';
import { hasEnded, type Target, Transport, type TransportHandlers } from './transport.js';

export interface RouteOptions {
  socket?: SocketOptions;
  tls?: TlsOptions;
  proxy?: string | URL;
  createConnection?: CreateConnection;
}

export interface RouteTarget extends Target {
  readonly url: URL;
}

/** Phases in ms from the start. */
export interface RouteTimings {
  lookup?: number;
  connect: number;
  tunnel?: number;
  tls?: number;
}

/** What a connection that is dialled goes through. */
interface Phases {
  readonly lookup: string;
  readonly connect: string;
  readonly tls: string;
}

const TO_SERVER: Phases = {
  lookup: 'resolving the name',
  connect: 'connecting',
  tls: 'TLS handshake',
};
const TO_PROXY: Phases = {
  lookup: "resolving the proxy's name",
  connect: 'connecting to the proxy',
  tls: 'TLS handshake with the proxy',
};
const TUNNEL = "waiting for the proxy's answer";
const STREAM = 'createConnection';
/** The way is there; what goes wrong from here on is not its fault. */
const RESPONSE = 'waiting for the response';

export class Route {
  readonly #target: RouteTarget;
  readonly #options: RouteOptions;
  readonly #now: () => number;
  /** Where the answer to CONNECT lands. */
  readonly #scratch: Buffer;

  #transport: Transport | undefined;
  /** What the transport is laid over, or will be. */
  #beneath: { destroy(): unknown } | undefined;
  #proxy: HttpProxy | undefined;
  #tunnelAnswer: TunnelAnswer | undefined;
  #phase: string;
  /** Ends the wait under way. */
  #reject: ((error: unknown) => void) | undefined;
  #tunnelOpen: (() => void) | undefined;
  #ended: HeartwireError | undefined;

  readonly timings: RouteTimings = { connect: 0 };
  /** The addresses that were tried: the server's, or its proxy's. */
  attempts: readonly ConnectionAttempt[] = [];
  #socketReport: SocketReport | undefined;
  #foreignTls: TlsReport | undefined;

  /** `now` gives the ms since the start of what is timed. */
  constructor(target: RouteTarget, options: RouteOptions, scratch: Buffer, now: () => number) {
    this.#target = target;
    this.#options = options;
    this.#scratch = scratch;
    this.#now = now;
    this.#phase = isIP(target.host) ? TO_SERVER.connect : TO_SERVER.lookup;
  }

  /**
   * Resolves with a transport that can be written to, and awaits its owner.
   * @throws UsageError; HandshakeError `ERR_CONNECT`, `ERR_TLS`, `ERR_TLS_CERTIFICATE`, `ERR_PROXY`; what `end`
   *   was given; and whatever Node throws for options that make no socket
   */
  async open(): Promise<Transport> {
    const { createConnection, proxy, tls } = this.#options;
    if (createConnection !== undefined) await this.#overStream(createConnection);
    else if (proxy !== undefined) await this.#throughProxy(proxy);
    else await this.#dial(this.#target, tls, TO_SERVER);
    // Lost while something was being loaded.
    if (this.#ended !== undefined) throw this.#ended;
    this.#phase = RESPONSE;
    return this.#transport!;
  }

  /** Closes what has been opened, and ends the wait for the rest. */
  end(error: HeartwireError): void {
    this.#fail(error);
  }

  destroy(): void {
    this.#transport?.destroy();
    this.#beneath?.destroy();
  }

  /** What the socket, ours or the proxy's, has been set to. There is one when `open` has resolved. */
  get socketReport(): SocketReport {
    return (this.#socketReport ?? this.#transport?.socketReport)!;
  }

  /** For people: what is under way. */
  get phase(): string {
    return this.#phase;
  }

  /** The proxy's URL without credentials, where one is in use. */
  get proxy(): string | undefined {
    return this.#proxy?.origin;
  }

  /** Of TLS with the server; TLS with a proxy is the proxy's affair. */
  get tls(): TlsReport | undefined {
    return this.#target.secure ? (this.#foreignTls ?? this.#transport?.tls) : undefined;
  }

  /** A refusal of the proxy of which more was to come. */
  get refusal(): HandshakeError | undefined {
    return this.#tunnelAnswer?.refusal;
  }

  /** `response` is what the server had said until then. */
  failure(code: string, message: string, response: FailedResponse = {}): HandshakeError {
    const { host, port } = this.#target;
    const via = this.#proxy === undefined ? '' : ` through ${this.#proxy.origin}`;
    const { statusCode } = response;
    const status = statusCode === undefined ? '' : `; the server had answered ${statusCode}`;
    return new HandshakeError(code, `${host}:${port}${via}: ${message}${status}`, response);
  }

  /** Why a socket that has come this far was lost. */
  loss(cause: Error, response?: FailedResponse): HandshakeError {
    const inTls = this.#phase === TO_SERVER.tls || this.#phase === TO_PROXY.tls;
    const ofTls = inTls ? this.#transport?.explain(cause) : alert(cause);
    const toProxy = this.#proxy !== undefined && this.#phase !== TO_SERVER.tls && this.#phase !== RESPONSE;
    const code = toProxy ? 'ERR_PROXY' : (ofTls?.code ?? 'ERR_CONNECT');
    const phase = this.#phase[0].toUpperCase() + this.#phase.slice(1);
    const reason = ofTls?.reason ?? reasonOf(cause);
    return this.failure(code, `${phase} failed: ${reason}`, { ...response, cause });
  }

  // ---------------------------------------------------------------------------------------------- waiting

  #wait<T = void>(
    begin: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) throw this.#ended;
      this.#reject = reject;
      begin(resolve, reject);
    });
  }

  #fail(error: HeartwireError): void {
    this.#ended ??= error;
    this.#reject?.(error);
    this.destroy();
  }

  /** A transport on its way. When the wait for it is over already, it must go. */
  #use(transport: Transport): void {
    this.#transport = transport;
    if (this.#ended !== undefined) transport.destroy();
  }

  static readonly #handlers: TransportHandlers<Route> = {
    readTarget: (route) => route.#scratch,
    received: (route, count) => route.#received(route.#scratch.subarray(0, count)),
    onEnd: (route) => route.#readAnswer((answer) => answer.end()),
    onError: (route, error) => route.#fail(route.loss(error)),
    onClosed: (route) => route.#fail(route.loss(new Error('the socket was closed'))),
  };

  // ---------------------------------------------------------------------------------------------- dialling

  #dial(target: Target, tls: TlsOptions | undefined, phases: Phases): Promise<void> {
    this.#phase = isIP(target.host) ? phases.connect : phases.lookup;
    return this.#wait((resolve, reject) => {
      const progress = {
        onLookup: () => {
          this.timings.lookup = this.#now();
          this.#phase = phases.connect;
        },
        onConnect: () => {
          this.timings.connect = this.#now();
          if (target.secure) this.#phase = phases.tls;
        },
        onReady: () => {
          if (target.secure && phases === TO_SERVER) this.timings.tls = this.#now();
          resolve();
        },
      };
      const options = { socket: this.#options.socket, tls };
      Transport.open(target, options, Route.#handlers, this as Route, progress).then((transport) => {
        this.attempts = transport.attempts;
        this.#use(transport);
      }, reject);
    });
  }

  /** TLS with the server, over what has been opened so far. */
  #secure(stream: Duplex): Promise<void> {
    this.#phase = TO_SERVER.tls;
    return this.#wait((resolve, reject) => {
      const progress = {
        onLookup() {},
        onConnect() {},
        onReady: () => {
          this.timings.tls = this.#now();
          resolve();
        },
      };
      const { tls } = this.#options;
      Transport.secure(stream, this.#target, tls, Route.#handlers, this as Route, progress).then(
        (transport) => this.#use(transport),
        (error) => reject(hasEnded(stream) ? this.loss(error) : error),
      );
    });
  }

  // --------------------------------------------------------------------------------------------- a proxy

  async #throughProxy(option: string | URL): Promise<void> {
    // Loaded when first needed, like all that few connections need.
    const { connectRequest, proxyFor, proxyTls, TunnelAnswer } = await import('./proxy-tunnel.js');
    const { tls } = this.#options;
    const proxy = proxyFor(option, this.#target);
    // Only the environment can say so: what names a proxy never leads past it.
    if (proxy === undefined) return this.#dial(this.#target, tls, TO_SERVER);

    this.#proxy = proxy;
    await this.#dial(proxy, proxyTls(tls), TO_PROXY);
    const tunnel = this.#transport!;
    this.#socketReport = tunnel.socketReport;
    this.#phase = TUNNEL;
    await this.#wait((resolve) => {
      this.#tunnelAnswer = new TunnelAnswer(proxy, this.#target);
      this.#tunnelOpen = resolve;
      tunnel.socket.write(connectRequest(proxy, this.#target));
    });
    this.timings.tunnel = this.#now();
    // Without TLS, frames are read from the tunnel's socket as from any other: where they are parsed.
    if (!this.#target.secure) return;
    tunnel.release();
    this.#beneath = tunnel;
    await this.#secure(tunnel.socket);
  }

  #received(bytes: Uint8Array): void {
    if (this.#tunnelAnswer !== undefined) {
      this.#readAnswer((answer) => {
        if (!answer.feed(bytes)) return;
        this.#tunnelAnswer = undefined;
        this.#tunnelOpen!();
      });
      return;
    }
    // No right answer can be given before the request's key is known.
    const message = `${bytes.length} bytes came before anything was asked`;
    this.#fail(this.failure('ERR_HANDSHAKE_MALFORMED', message));
  }

  #readAnswer(read: (answer: TunnelAnswer) => void): void {
    if (this.#tunnelAnswer === undefined) return;
    try {
      read(this.#tunnelAnswer);
    } catch (error) {
      this.#fail(error as HandshakeError);
    }
  }

  // --------------------------------------------------------------------------------- a stream of the user's

  async #overStream(createConnection: CreateConnection): Promise<void> {
    const { byteStream, isTlsSocket, whenOpen } = await import('./foreign-stream.js');
    const { secure, host, port, url } = this.#target;
    this.#phase = STREAM;
    const stream = await this.#wait<Duplex>((resolve, reject) => {
      const refused = (thrown: unknown): void => reject(this.#noStream(thrown));
      const made = (given: unknown): void => {
        try {
          const stream = byteStream(given);
          this.#beneath = stream;
          if (this.#ended !== undefined) stream.destroy();
          else whenOpen(stream, () => resolve(stream), refused);
        } catch (error) {
          reject(error);
        }
      };
      try {
        Promise.resolve(createConnection({ secure, host, port, url: url.href })).then(made, refused);
      } catch (thrown) {
        refused(thrown);
      }
    });
    this.timings.connect = this.#now();
    this.#socketReport = applySocketOptions(stream, this.#options.socket ?? {});
    if (secure && !isTlsSocket(stream)) return this.#secure(stream);
    this.#transport = Transport.over(stream, Route.#handlers, this as Route);
    if (!isTlsSocket(stream)) return;
    const { tlsReport } = await import('./tls-client.js');
    // It may have been lost meanwhile, and has nothing to report then.
    if (!stream.destroyed) this.#foreignTls = tlsReport(stream);
  }

  #noStream(thrown: unknown): HandshakeError {
    return this.failure('ERR_CONNECT', `createConnection failed: ${reasonOf(thrown)}`, { cause: thrown });
  }
}

/** In TLS 1.3 a server refuses a client certificate when the handshake is over for the client (RFC 8446 §4.4.2.4). */
function alert(cause: Error): TlsFailure | undefined {
  const isOfTls = (cause as NodeJS.ErrnoException).code?.startsWith('ERR_SSL_');
  return isOfTls ? { code: 'ERR_TLS', reason: cause.message } : undefined;
}

/** Node reports several addresses that failed as an AggregateError without a message. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
