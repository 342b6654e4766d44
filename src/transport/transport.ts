/**
 * What carries a connection: a tcp or TLS socket whose reads land where its owner says, with no stream in
 * between; or, where there is no other way, a stream whose chunks are copied there.
 */

import { connect as connectTcp, type OnReadOpts, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { ConnectionAttempt } from '../errors.js';
import { Dial, type SocketMaker } from './dial.js';
import { applySocketOptions, type SocketOptions, type SocketReport } from './socket-options.js';
import type { TlsClient, TlsFailure, TlsOptions, TlsReport } from './tls-client.js';

export interface Target {
  secure: boolean;
  /** A name or an address, IPv6 without brackets. */
  host: string;
  port: number;
}

/**
 * Who the transport serves: the opening handshake first, the connection after it. One set of functions serves
 * all transports of a kind; `owner` tells them apart.
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

/**
 * Tells when written memory may be used again: tcp, when nothing waits in the socket; TLS, in the write's
 * callback; foreign, never, because nothing is known of such a stream.
 */
export type Carrier = 'tcp' | 'tls' | 'foreign';

/** Whom a transport serves that lies under another. */
const NOBODY: TransportHandlers<undefined> = {
  readTarget: () => new Uint8Array(1),
  received() {},
  onEnd() {},
  onError() {},
  onClosed() {},
};

/** The native side of a socket. */
interface NativeStream {
  /** Beneath TLS. */
  readonly _parent?: NativeStream;
  /** Bytes given to it, and those of them that the kernel has not taken. */
  readonly bytesWritten?: number;
  readonly writeQueueSize?: number;
}

const TRANSPORT = Symbol('transport');
type Watched = Duplex & { [TRANSPORT]?: Transport };

interface Making {
  readonly progress: TransportProgress;
  /** What is being dialled, until it is connected. */
  dial: Dial | undefined;
  /** Until its handshake is complete. */
  tls: TlsClient | undefined;
}

const NONE: readonly never[] = [];

export class Transport {
  readonly carrier: Carrier;
  /** The addresses that were tried, in their order; none for a stream that was there already. */
  attempts: readonly ConnectionAttempt[] = NONE;
  /** What the socket has been set to; undefined before that, and for a stream that was there already. */
  socketReport: SocketReport | undefined;

  /** Only while the transport is made: what outlives that must not hold the opening handshake. */
  #making: Making | undefined;
  #stream: Duplex | undefined;
  #remoteAddress: string | undefined;
  #remotePort: number | undefined;
  #tlsReport: TlsReport | undefined;
  #handlers!: TransportHandlers<unknown>;
  #owner: unknown;

  /** `performance.now()`, since when nothing is read (0: we read), and when reading last went on. */
  pausedSince = 0;
  resumedAt = 0;
  /** The stream's chunks are copied to where reads land; this is to happen in a moment. */
  #copies = false;
  #readScheduled = false;

  private constructor(carrier: Carrier) {
    this.carrier = carrier;
  }

  // ---------------------------------------------------------------------------------------------- making

  /** Starts to connect. What fails afterwards comes as `onError` and `onClosed`; bad options reject. */
  static async open<Owner>(
    target: Target,
    options: { socket?: SocketOptions; tls?: TlsOptions },
    handlers: TransportHandlers<Owner>,
    owner: Owner,
    progress: TransportProgress,
  ): Promise<Transport> {
    const transport = new Transport(target.secure ? 'tls' : 'tcp');
    transport.serve(handlers, owner);
    const tls = target.secure ? await tlsClient(target, options.tls) : undefined;
    transport.#making = { progress, dial: undefined, tls };
    transport.#connect(target, options.socket ?? {});
    return transport;
  }

  /** Starts TLS over a stream that is there: a tunnel, or what the user brought. */
  static async secure<Owner>(
    stream: Duplex,
    target: { host: string; port: number },
    options: TlsOptions | undefined,
    handlers: TransportHandlers<Owner>,
    owner: Owner,
    progress: TransportProgress,
  ): Promise<Transport> {
    const transport = new Transport('tls');
    transport.serve(handlers, owner);
    const tls = await tlsClient(target, options);
    if (hasEnded(stream)) throw stream.errored ?? new Error('the stream was closed');
    transport.#making = { progress, dial: undefined, tls };
    const socket = tls.connect({ socket: stream, host: target.host, port: target.port });
    transport.#copyFrom(socket);
    transport.#onceSecure(socket, tls);
    return transport;
  }

  /** A stream that is there, and open. */
  static over<Owner>(stream: Duplex, handlers: TransportHandlers<Owner>, owner: Owner): Transport {
    const transport = new Transport('foreign');
    transport.serve(handlers, owner);
    transport.#copyFrom(stream);
    transport.#noteRemote();
    return transport;
  }

  #connect(target: Target, options: SocketOptions): void {
    const onread = this.#onread();
    const making = this.#making!;
    const { tls } = making;
    const makeSocket: SocketMaker = (address) =>
      // Half open: the owner ends our side, when it has delivered what came before the peer's FIN.
      tls === undefined
        ? connectTcp({ ...address, onread, allowHalfOpen: true })
        : tls.connect({ ...address, onread, allowHalfOpen: true });

    const dial = new Dial(target, options, makeSocket, {
      onLookup: () => this.#making?.progress.onLookup(),
      onConnect: (socket) => {
        making.dial = undefined;
        this.#stream = socket;
        const { address, port } = this.attempts[this.attempts.length - 1];
        this.#remoteAddress = sharedAddress(address);
        this.#remotePort = port;
        // Half open, Node does nothing at the end; and an event with one listener needs no list of them.
        if (tls === undefined)
          for (const listener of socket.listeners('end')) socket.off('end', listener as () => void);
        this.#watch(socket);
        this.socketReport = applySocketOptions(socket, options);
        this.#making?.progress.onConnect();
        if (tls === undefined) this.#making?.progress.onReady();
        else this.#onceSecure(socket as TLSSocket, tls);
      },
      onFailed: (error) => this.#handlers.onError(this.#owner, error),
    });
    making.dial = dial;
    this.attempts = dial.attempts;
    dial.start();
  }

  /** Bound, not a closure: half the memory, and it holds nothing of the dialling for as long as the socket lives. */
  #onread(): OnReadOpts {
    const onread = Transport.#onRead.bind(this) as () => never;
    return { buffer: onread, callback: onread };
  }

  /** One function for both: asked for a buffer, it is given nothing. */
  static readonly #onRead = function (this: Transport, count?: number): unknown {
    if (count === undefined) return this.#handlers.readTarget(this.#owner);
    this.#handlers.received(this.#owner, count);
    return true;
  };

  #onceSecure(socket: TLSSocket, tls: TlsClient): void {
    socket.once('secureConnect', () => {
      if (this.#making !== undefined) this.#making.tls = undefined;
      this.#tlsReport = tls.report();
      if (this.#copies) this.#noteRemote();
      this.#making?.progress.onReady();
    });
  }

  #noteRemote(): void {
    const { remoteAddress, remotePort } = this.#stream as Partial<Socket>;
    this.#remoteAddress = remoteAddress;
    this.#remotePort = remotePort;
  }

  /** By functions that all streams share: three closures are a tenth of what a connection takes. */
  #watch(stream: Watched): void {
    stream[TRANSPORT] = this;
    stream.on('end', Transport.#onEnd).on('error', Transport.#onError).on('close', Transport.#onClose);
  }

  #gone(): void {
    this.#making?.tls?.failed();
    const handlers = this.#handlers;
    const owner = this.#owner;
    // Node's TLS handles outlive their sockets until a full collection; what they hold should be little.
    this.release();
    handlers.onClosed(owner);
  }

  static readonly #onEnd = function (this: Watched): void {
    const transport = this[TRANSPORT]!;
    transport.#handlers.onEnd(transport.#owner);
  };

  static readonly #onError = function (this: Watched, error: Error): void {
    const transport = this[TRANSPORT]!;
    transport.#making?.tls?.failed();
    transport.#handlers.onError(transport.#owner, error);
  };

  static readonly #onClose = function (this: Watched): void {
    const transport = this[TRANSPORT]!;
    transport.#making?.tls?.failed();
    const handlers = transport.#handlers;
    const owner = transport.#owner;
    // Node's TLS handles outlive their sockets until a full collection; what they hold should be little.
    transport.release();
    handlers.onClosed(owner);
  };

  // --------------------------------------------------------------------------------------- copied chunks

  #copyFrom(stream: Duplex): void {
    this.#stream = stream;
    this.#copies = true;
    this.#watch(stream);
    stream.on('readable', () => this.#readSoon());
    // A stream need not close by itself, neither when both sides have ended nor when it has failed.
    stream.on('end', () => {
      if (stream.writableFinished) this.#destroyStream();
    });
    stream.on('finish', () => {
      if (stream.readableEnded) this.#destroyStream();
    });
    stream.on('error', () => this.#destroyStream());
  }

  /**
   * Never from within the stream's own call: a stream that is all JavaScript answers a write before it
   * returns, and nothing may be delivered from within `send()` (lease rule 4).
   */
  #readSoon(): void {
    if (this.#readScheduled) return;
    this.#readScheduled = true;
    process.nextTick(() => {
      this.#readScheduled = false;
      while (this.pausedSince === 0) {
        const chunk: Uint8Array | null = this.#stream!.read();
        if (chunk === null) return;
        this.#copy(chunk);
      }
    });
  }

  #copy(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const target = this.#handlers.readTarget(this.#owner);
      const piece = chunk.subarray(at, at + target.length);
      target.set(piece);
      at += piece.length;
      this.#handlers.received(this.#owner, piece.length);
    }
  }

  // ----------------------------------------------------------------------------------------------- using

  /** What is written to. There is none before it is connected. */
  get socket(): Duplex {
    return this.#stream!;
  }

  /** What our TLS handshake agreed on, once it has. */
  get tls(): TlsReport | undefined {
    return this.#tlsReport;
  }

  get remoteAddress(): string | undefined {
    return this.#remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#remotePort;
  }

  /** Why TLS failed; undefined when it is not TLS that was under way. */
  explain(error: Error): TlsFailure | undefined {
    return this.#making?.tls?.explain(error);
  }

  /** From now on the transport serves `owner`. */
  serve<Owner>(handlers: TransportHandlers<Owner>, owner: Owner): void {
    this.#handlers = handlers as TransportHandlers<unknown>;
    this.#owner = owner;
    this.#making = undefined;
  }

  /** How the connection came about has been told. */
  forgetAttempts(): void {
    this.attempts = NONE;
  }

  /** Another transport is laid over its socket, which reads from now on. */
  release(): void {
    this.serve(NOBODY, undefined);
  }

  pause(): void {
    if (this.pausedSince === 0) this.pausedSince = performance.now();
    if (!this.#copies) this.#stream!.pause();
  }

  resume(): void {
    if (this.pausedSince === 0) return;
    this.pausedSince = 0;
    this.resumedAt = performance.now();
    if (this.#copies) this.#readSoon();
    else this.#stream!.resume();
  }

  /** Of the tcp socket; undefined where there is none, or none that is known. */
  get ports(): { local: number; remote: number } | undefined {
    const { localPort: local, remotePort: remote } = this.#stream as Partial<Socket>;
    return local === undefined || remote === undefined ? undefined : { local, remote };
  }

  /** Bytes that the kernel has taken, those of TLS included; 0 where that is not known. */
  get taken(): number {
    const handle = (this.#stream as unknown as { _handle?: NativeStream | null })._handle;
    const { bytesWritten = 0, writeQueueSize = 0 } = handle?._parent ?? handle ?? {};
    return bytesWritten - writeQueueSize;
  }

  /** Closes it, whatever it has come to. */
  destroy(): void {
    this.#making?.tls?.failed();
    this.#making?.dial?.stop();
    this.#destroyStream();
  }

  /** At once: RST over tcp; where Node has no way to send one, the stream is closed. */
  reset(): void {
    const stream = this.#stream;
    // While a FIN is on its way to the kernel, libuv refuses to reset, and Node then forgets to close.
    const ending = stream?.writableEnded && !stream.writableFinished;
    if (this.carrier === 'tcp' && !ending) (stream as Socket).resetAndDestroy();
    else this.#destroyStream();
  }

  /** A stream of the user's need not tell that it has closed (`emitClose`), nor ever be done with closing. */
  #destroyStream(): void {
    this.#stream?.destroy();
    if (this.#copies) setImmediate(() => this.#gone());
  }
}

/** Nothing will be read from it. */
export function hasEnded(stream: Duplex): boolean {
  return stream.destroyed || stream.readableEnded;
}

let lastAddress = '';

/** Most connections go where the one before went: one string serves them. */
function sharedAddress(address: string): string {
  if (address !== lastAddress) lastAddress = address;
  return lastAddress;
}

/** Loaded when first needed: plain connections do without. Kept, because even asking for it again costs time. */
let tlsModule: typeof import('./tls-client.js') | undefined;

async function tlsClient(target: { host: string; port: number }, options?: TlsOptions): Promise<TlsClient> {
  tlsModule ??= await import('./tls-client.js');
  return new tlsModule.TlsClient(target, options ?? {});
}
