/** What can be set on the socket below a connection. */

import { isIP, type LookupFunction, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { UsageError } from '../errors.js';

export interface SocketOptions {
  /** Nagle's algorithm off: small messages leave at once. Default true. */
  noDelay?: boolean;
  /**
   * TCP keep-alive, in whole seconds: ms of silence before the first probe (default 30_000), ms between probes that
   * are not answered (1_000), and how many of those end the connection (10). The latter two can be set from Node 24.19
   * and 26.4 on; earlier versions have these defaults.
   */
  keepAlive?: false | { initialDelay?: number; interval?: number; count?: number };
  /**
   * The IP header's field of this name, 0 to 255: the DSCP in its upper six bits (RFC 2474 §3). Where Node
   * cannot set it, `connection.socketOptions` and `handshake.notApplied` say so.
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
  const { initialDelay, interval, count } = options.keepAlive || {};
  if (initialDelay !== undefined && !isMilliseconds(initialDelay))
    refuse('keepAlive.initialDelay', 'is a number of ms, at least 1000', initialDelay);
  if (interval !== undefined && !isMilliseconds(interval))
    refuse('keepAlive.interval', 'is a number of ms, at least 1000', interval);
  if (count !== undefined && !(Number.isInteger(count) && count >= 1))
    refuse('keepAlive.count', 'is an integer, at least 1', count);
  if (family !== undefined && family !== 4 && family !== 6) refuse('family', 'is 4 or 6', family);
  if (localAddress !== undefined && isIP(localAddress) === 0)
    refuse('localAddress', 'is an IP address', localAddress);
  if (lookup !== undefined && typeof lookup !== 'function') refuse('lookup', 'is a function', lookup);
  if (tos !== undefined && !(Number.isInteger(tos) && tos >= 0 && tos <= 255))
    refuse('typeOfService', 'is an integer from 0 to 255', tos);
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout >= 1 && timeout < 2 ** 31))
    refuse('connectionAttemptTimeout', 'is a number of ms, at least 1', timeout);
}

function isMilliseconds(given: unknown): boolean {
  return typeof given === 'number' && given >= 1_000 && given < 2 ** 31;
}

function refuse(name: string, what: string, given: unknown): never {
  throw new UsageError('ERR_INVALID_OPTION', `socket.${name} ${what}, not ${String(given)}`);
}

/** What the socket below a connection has been set to. */
export interface SocketReport {
  /** Undefined, as all of these, where there is no tcp socket that we could set: a stream of `createConnection`. */
  readonly noDelay: boolean | undefined;
  /** In ms, and probes; false: off. */
  readonly keepAlive: false | { initialDelay: number; interval: number; count: number } | undefined;
  /** Undefined: not asked for, or not to be set here. */
  readonly typeOfService: number | undefined;
  /** What was asked for and could not be set: `typeOfService`, `keepAlive.interval`, `keepAlive.count`, … */
  readonly notApplied: readonly string[];
}

/**
 * The native side of a socket. Its methods return what the system answered, 0 for success; Node's own drop that. A
 * stream that is no tcp socket lacks them, and `setTypeOfService` is there from Node 24 on.
 */
interface NativeSocket {
  /** Beneath TLS. */
  readonly _parent?: NativeSocket;
  setNoDelay?: unknown;
  setKeepAlive?(on: boolean, initialDelay: number, interval?: number, count?: number): number;
  setTypeOfService?(value: number): number;
}

/** From Node 24.19 and 26.4 on the method takes interval and count as well. */
const SETS_PROBES = Socket.prototype.setKeepAlive.length > 2;

/** What libuv sets for these where it is told nothing, on every version of Node: s, and a number of probes. */
const PROBE_INTERVAL = 1;
const PROBE_COUNT = 10;

const USUAL = {
  noDelay: true,
  keepAlive: { initialDelay: 30_000, interval: 1_000 * PROBE_INTERVAL, count: PROBE_COUNT },
  typeOfService: undefined,
  notApplied: [],
} satisfies SocketReport;

/** Many sockets share what they have in common. */
const WITHOUT_KEEP_ALIVE: SocketReport = { ...USUAL, keepAlive: false };

/** Sets them, once the socket is connected: as options of `tls.connect` they are ignored on Node 20. */
export function applySocketOptions(stream: Duplex, options: SocketOptions): SocketReport {
  const { typeOfService } = options;
  const handle = (stream as unknown as { _handle?: NativeSocket | null })._handle;
  const native = handle?._parent ?? handle ?? {};
  const isTcp = stream instanceof Socket && native.setNoDelay !== undefined;
  if (isTcp) stream.setNoDelay(options.noDelay ?? true);

  const notApplied: string[] = [];
  const keepAlive = isTcp ? applyKeepAlive(stream, native, options.keepAlive, notApplied) : undefined;
  const isMarked = typeOfService !== undefined && succeeds(() => native.setTypeOfService?.(typeOfService));
  if (typeOfService !== undefined && !isMarked) notApplied.push('typeOfService');
  if (!isTcp) {
    if (options.noDelay !== undefined) notApplied.push('noDelay');
    if (options.keepAlive !== undefined) notApplied.push('keepAlive');
  }
  const isPlain = isTcp && options.noDelay !== false && !isMarked && notApplied.length === 0;
  if (isPlain && keepAlive === USUAL.keepAlive) return USUAL;
  if (isPlain && keepAlive === false) return WITHOUT_KEEP_ALIVE;
  return {
    noDelay: isTcp ? (options.noDelay ?? true) : undefined,
    keepAlive,
    typeOfService: isMarked ? typeOfService : undefined,
    notApplied,
  };
}

function applyKeepAlive(
  socket: Socket,
  native: NativeSocket,
  wanted: SocketOptions['keepAlive'],
  notApplied: string[],
): SocketReport['keepAlive'] {
  if (wanted === undefined) {
    socket.setKeepAlive(true, USUAL.keepAlive.initialDelay);
    return USUAL.keepAlive;
  }
  if (wanted === false) {
    socket.setKeepAlive(false);
    return false;
  }
  const { initialDelay, interval, count } = probes(wanted, notApplied);
  socket.setKeepAlive(true, 1_000 * initialDelay, interval && 1_000 * interval, count);
  // There are values that the system refuses, and Node does not say so: it is asked once more.
  if (!succeeds(() => native.setKeepAlive?.(true, initialDelay, interval, count))) {
    notApplied.push('keepAlive');
    return undefined;
  }
  return {
    initialDelay: 1_000 * initialDelay,
    interval: 1_000 * (interval ?? PROBE_INTERVAL),
    count: count ?? PROBE_COUNT,
  };
}

/** As the system takes them: in s. */
function probes(
  keepAlive: { initialDelay?: number; interval?: number; count?: number },
  notApplied: string[],
): { initialDelay: number; interval?: number; count?: number } {
  const initialDelay = Math.floor((keepAlive.initialDelay ?? 30_000) / 1_000);
  const interval = Math.floor((keepAlive.interval ?? 1_000 * PROBE_INTERVAL) / 1_000);
  const count = keepAlive.count ?? PROBE_COUNT;
  if (SETS_PROBES) return { initialDelay, interval, count };
  if (interval !== PROBE_INTERVAL) notApplied.push('keepAlive.interval');
  if (count !== PROBE_COUNT) notApplied.push('keepAlive.count');
  return { initialDelay };
}

/** None of these is worth a connection. */
function succeeds(set: () => number | undefined): boolean {
  try {
    return set() === 0;
  } catch {
    return false;
  }
}
