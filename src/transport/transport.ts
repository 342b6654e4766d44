/** A tcp or TLS socket whose reads land where its owner says, with no stream in between. */

import { connect as connectTcp, isIP, type OnReadOpts, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { ConnectionOptions as NodeTlsOptions } from 'node:tls';
import { applySocketOptions, type SocketOptions } from './socket-options.js';

/** Options of `tls.connect` that concern trust and the client's identity. */
export type TlsOptions = Omit<
  NodeTlsOptions,
  'host' | 'port' | 'path' | 'socket' | 'onread' | 'lookup' | 'timeout' | 'highWaterMark' | 'pskCallback'
>;

export interface Target {
  secure: boolean;
  /** A name or an address, IPv6 without brackets. */
  host: string;
  port: number;
}

/**
 * Who the socket serves: the opening handshake first, the connection after it. One set of functions serves all
 * sockets of a kind; `owner` tells them apart.
 */
export interface TransportHandlers<Owner> {
  /** Where the next read may land: asked at the start, and whenever `received` has returned. */
  readTarget(owner: Owner): Uint8Array;
  received(owner: Owner, count: number): void;
  /** The peer sent FIN. */
  onEnd(owner: Owner): void;
  onError(owner: Owner, error: Error): void;
  /** The socket is gone. */
  onClosed(owner: Owner): void;
}

/** How far the connecting socket has come. */
export interface TransportProgress {
  /** The name has been resolved; not called for an address. */
  onLookup(): void;
  /** TCP is connected. */
  onConnect(): void;
  /** The request may be written: behind TLS, if that is wanted. */
  onReady(): void;
}

export class Transport {
  readonly secure: boolean;
  #socket!: Socket;
  #handlers!: TransportHandlers<unknown>;
  #owner: unknown;
  /** Only while the socket connects: what outlives that must not hold the opening handshake. */
  #progress: TransportProgress | undefined;

  private constructor(secure: boolean) {
    this.secure = secure;
  }

  /** Starts to connect. What fails afterwards comes as `onError` and `onClosed`; bad options reject. */
  static async open<Owner>(
    target: Target,
    options: { socket?: SocketOptions; tls?: TlsOptions },
    handlers: TransportHandlers<Owner>,
    owner: Owner,
    progress: TransportProgress,
  ): Promise<Transport> {
    // Loaded when first needed: plain connections do without.
    const tls = target.secure ? await import('node:tls') : undefined;
    const transport = new Transport(target.secure);
    transport.serve(handlers, owner);
    transport.#progress = progress;
    transport.#connect(target, options.socket ?? {}, options.tls, tls);
    return transport;
  }

  #connect(
    target: Target,
    tuning: SocketOptions,
    tlsOptions: TlsOptions | undefined,
    tls: typeof import('node:tls') | undefined,
  ): void {
    const onread: OnReadOpts = {
      buffer: () => this.#handlers.readTarget(this.#owner),
      callback: (count) => {
        this.#handlers.received(this.#owner, count);
        return true;
      },
    };
    const address: TcpNetConnectOpts & { onread: OnReadOpts } = {
      host: target.host,
      port: target.port,
      family: tuning.family,
      localAddress: tuning.localAddress,
      lookup: tuning.lookup,
      autoSelectFamily: tuning.family === undefined,
      autoSelectFamilyAttemptTimeout: tuning.connectionAttemptTimeout ?? 1_000,
      onread,
    };
    const socket =
      tls === undefined
        ? connectTcp(address)
        : tls.connect({
            // For SNI and the certificate check; an address is not a name (RFC 6066 §3).
            servername: isIP(target.host) ? undefined : target.host,
            ALPNProtocols: ['http/1.1'],
            ...tlsOptions,
            ...address,
          });
    this.#socket = socket;

    socket.once('lookup', (error) => {
      if (!error) this.#progress?.onLookup();
    });
    socket.once('connect', () => {
      applySocketOptions(socket, tuning);
      this.#progress?.onConnect();
      if (!this.secure) this.#progress?.onReady();
    });
    if (this.secure) socket.once('secureConnect', () => this.#progress?.onReady());
    socket.on('end', () => this.#handlers.onEnd(this.#owner));
    socket.on('error', (error) => this.#handlers.onError(this.#owner, error));
    socket.on('close', () => this.#handlers.onClosed(this.#owner));
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** From now on the socket serves `owner`. */
  serve<Owner>(handlers: TransportHandlers<Owner>, owner: Owner): void {
    this.#handlers = handlers as TransportHandlers<unknown>;
    this.#owner = owner;
    this.#progress = undefined;
  }

  /** At once: RST over tcp; over TLS, where Node has no way to send one, the socket is closed. */
  reset(): void {
    if (this.secure) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }
}
