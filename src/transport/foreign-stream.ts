/**
 * Streams of the user's own, from `createConnection`: Unix sockets, SOCKS, pipes, anything that is a Duplex. They
 * are read and written as streams; only speed is lost.
 */

import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { UsageError } from '../errors.js';

/** What `createConnection` is asked for. */
export interface ConnectionTarget {
  /** The scheme is `wss:`: TLS is laid over the stream, unless it is a `TLSSocket` already. */
  readonly secure: boolean;
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** Without user information. */
  readonly url: string;
}

export type CreateConnection = (target: ConnectionTarget) => Duplex | Promise<Duplex>;

/**
 * @throws UsageError `ERR_INVALID_OPTION` for what is no stream of bytes
 */
export function byteStream(given: unknown): Duplex {
  const stream = given as Partial<Duplex> | null | undefined;
  for (const method of ['read', 'write', 'end', 'destroy', 'on'] as const) {
    if (typeof stream?.[method] !== 'function') refuse('a Duplex stream');
  }
  const { readableObjectMode, writableObjectMode, readableEncoding } = stream as Duplex;
  if (readableObjectMode || writableObjectMode || readableEncoding) refuse('a stream of bytes');
  // There are moments when nobody listens yet, or any more; what is lost then shows otherwise.
  return (stream as Duplex).on('error', () => {});
}

function refuse(what: string): never {
  throw new UsageError('ERR_INVALID_OPTION', `createConnection must return ${what}, or a promise of one`);
}

/** `encrypted` is what Node documents for telling a TLSSocket. */
export function isTlsSocket(stream: Duplex): stream is TLSSocket {
  return stream instanceof Socket && (stream as Partial<TLSSocket>).encrypted === true;
}

/** Calls back when the stream can be written to, at once if that is now; or with what ended it before. */
export function whenOpen(stream: Duplex, onOpen: () => void, onFailed: (error: Error) => void): void {
  if (stream.destroyed || stream.readableEnded || !stream.writable) {
    onFailed(stream.errored ?? new Error('the stream had ended before it was used'));
    return;
  }
  const awaited = openingEvent(stream);
  if (awaited === undefined) {
    onOpen();
    return;
  }
  const stop = (): void => {
    stream.off(awaited, opened).off('error', failed).off('close', closed);
  };
  const opened = (): void => {
    stop();
    onOpen();
  };
  const failed = (error: Error): void => {
    stop();
    onFailed(error);
  };
  const closed = (): void => failed(new Error('the stream was closed before it was open'));
  stream.on(awaited, opened).on('error', failed).on('close', closed);
}

function openingEvent(stream: Duplex): string | undefined {
  // Not a documented property, so it may be missing: then a TLSSocket counts as what it is beneath.
  if (isTlsSocket(stream) && (stream as { secureConnecting?: boolean }).secureConnecting)
    return 'secureConnect';
  return stream instanceof Socket && stream.connecting ? 'connect' : undefined;
}
