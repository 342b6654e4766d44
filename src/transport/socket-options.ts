/** What can be set on the socket below a connection. */

import { isIP, type LookupFunction, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { UsageError } from '../errors.js';

export interface SocketOptions {
  /** Nagle's algorithm off: small messages leave at once. Default true. */
  noDelay?: boolean;
  /** TCP keep-alive; `initialDelay` in ms before the first probe. Default `{ initialDelay: 30_000 }`. */
  keepAlive?: false | { initialDelay?: number };
  /**
   * The IP header's field of this name, 0 to 255: the DSCP in its upper six bits (RFC 2474 §3). Where Node
   * cannot set it, `handshake.notApplied` says so.
   */
  typeOfService?: number;
  /** Only addresses of this family. */
  family?: 4 | 6;
  /** The address to connect from; without `family`, only addresses of its family are tried. */
  localAddress?: string;
  lookup?: LookupFunction;
  /** ms given to each address before the next is tried; Node's own 250 aborts live ones. Default 1_000. */
  connectionAttemptTimeout?: number;
}

/**
 * Wrong here is wrong whatever the server does, so it is said before anything is sent.
 * @throws UsageError `ERR_INVALID_OPTION`
 */
export function checkSocketOptions(options: SocketOptions): void {
  const { family, localAddress, lookup, typeOfService: tos, connectionAttemptTimeout: timeout } = options;
  if (family !== undefined && family !== 4 && family !== 6) refuse('family', 'is 4 or 6', family);
  if (localAddress !== undefined && isIP(localAddress) === 0)
    refuse('localAddress', 'is an IP address', localAddress);
  if (lookup !== undefined && typeof lookup !== 'function') refuse('lookup', 'is a function', lookup);
  if (tos !== undefined && !(Number.isInteger(tos) && tos >= 0 && tos <= 255))
    refuse('typeOfService', 'is an integer from 0 to 255', tos);
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout >= 1 && timeout < 2 ** 31))
    refuse('connectionAttemptTimeout', 'is a number of ms, at least 1', timeout);
}

function refuse(name: string, what: string, given: unknown): never {
  throw new UsageError('ERR_INVALID_OPTION', `socket.${name} ${what}, not ${String(given)}`);
}

const NONE: readonly string[] = [];
const UNMARKED: readonly string[] = ['typeOfService'];

/**
 * Set by method: as options of `tls.connect` they are ignored on Node 20. Returns the names of those that this
 * version of Node, or this kind of socket, cannot set.
 */
export function applySocketOptions(stream: Duplex, options: SocketOptions): readonly string[] {
  const { typeOfService } = options;
  const isMarked = typeOfService === undefined || setTypeOfService(stream, typeOfService);
  if (!(stream instanceof Socket)) return isMarked ? NONE : UNMARKED;
  stream.setNoDelay(options.noDelay ?? true);
  if (options.keepAlive === false) stream.setKeepAlive(false);
  else stream.setKeepAlive(true, options.keepAlive?.initialDelay ?? 30_000);
  return isMarked ? NONE : UNMARKED;
}

/**
 * Node has a method for it from 24 on. It tells nothing of what the kernel did, and nothing at all where the socket
 * has no such field: TLS, which must be looked beneath, and Unix sockets.
 */
interface NativeSocket {
  readonly _parent?: NativeSocket;
  setTypeOfService?(value: number): number;
}

/** A marking is never worth a connection. */
function setTypeOfService(stream: Duplex, value: number): boolean {
  const handle = (stream as unknown as { _handle?: NativeSocket | null })._handle;
  const native = handle?._parent ?? handle;
  try {
    return native?.setTypeOfService?.(value) === 0;
  } catch {
    return false;
  }
}
