/** What can be set on the socket below a connection. */

import type { LookupFunction, Socket } from 'node:net';

export interface SocketOptions {
  /** Nagle's algorithm off: small messages leave at once. Default true. */
  noDelay?: boolean;
  /** TCP keep-alive; `initialDelay` in ms before the first probe. Default `{ initialDelay: 30_000 }`. */
  keepAlive?: false | { initialDelay?: number };
  /** Only addresses of this family. */
  family?: 4 | 6;
  localAddress?: string;
  lookup?: LookupFunction;
  /** ms given to each address before the next is tried; Node's own 250 aborts live ones. Default 1_000. */
  connectionAttemptTimeout?: number;
}

/** Set by method: as options of `tls.connect` they are ignored on Node 20. */
export function applySocketOptions(socket: Socket, options: SocketOptions): void {
  socket.setNoDelay(options.noDelay ?? true);
  if (options.keepAlive === false) socket.setKeepAlive(false);
  else socket.setKeepAlive(true, options.keepAlive?.initialDelay ?? 30_000);
}
