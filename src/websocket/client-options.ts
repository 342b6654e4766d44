/** The options of `ws`'s client, as types. What they do is said in options.ts. */

import type { Agent, ClientRequest } from 'node:http';
import type { LookupFunction } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SecureContextOptions } from 'node:tls';
import type { HeartbeatOptions } from '../heartbeat/settings.js';
import type { WebSocket } from '../websocket.js';

export interface PerMessageDeflateOptions {
  serverNoContextTakeover?: boolean | undefined;
  clientNoContextTakeover?: boolean | undefined;
  serverMaxWindowBits?: number | undefined;
  clientMaxWindowBits?: boolean | number | undefined;
  /** Messages of fewer bytes are sent uncompressed. Default 1024. */
  threshold?: number | undefined;
  /** Accepted for the sake of `ws`; there is no zlib here. */
  zlibDeflateOptions?: object | undefined;
  zlibInflateOptions?: object | undefined;
  concurrencyLimit?: number | undefined;
}

/** The options of `ws`'s client; those of `tls.connect` stand beside them. */
export interface ClientOptions extends SecureContextOptions {
  protocols?: string | string[] | undefined;
  /** Numbers are written in digits; an array gives several lines. */
  headers?: { [name: string]: string | number | readonly string[] } | undefined;
  /** The request's `Origin`. */
  origin?: string | undefined;
  /** `user:password` for Basic authentication; what the URL says comes first. */
  auth?: string | null | undefined;
  /** 13 (the default) or 8. */
  protocolVersion?: number | undefined;
  /** ms for the opening handshake. Default: none. */
  handshakeTimeout?: number | undefined;
  /** The same, if `handshakeTimeout` is not given. */
  timeout?: number | undefined;
  /** ms for the closing handshake. Default 30_000. */
  closeTimeout?: number | undefined;
  /** Most bytes of a received message. Default 100 MiB; 0 for no limit. */
  maxPayload?: number | undefined;
  /** Most frames of a received message. Default 16_384; 0 for no limit. */
  maxFragments?: number | undefined;
  /** Accepted for the sake of `ws`: what is received is kept in one piece here, however it arrives. */
  maxBufferedChunks?: number | undefined;
  /** Accepted for the sake of `ws`: towards a peer that does not read, one Pong waits here, never more. */
  maxPendingAutoPongs?: number | undefined;
  /** Default true. */
  perMessageDeflate?: boolean | PerMessageDeflateOptions | undefined;
  /** Default false. */
  skipUTF8Validation?: boolean | undefined;
  /** Answer Pings. Default true. */
  autoPong?: boolean | undefined;
  /** Several events may come in one turn of the event loop. Default true; false in the standard's mode. */
  allowSynchronousEvents?: boolean | undefined;
  /** Default false. */
  followRedirects?: boolean | undefined;
  /** Default 10. */
  maxRedirects?: number | undefined;
  /** Fills in the masking key; by default it is random. */
  generateMask?(mask: Buffer): void;
  /** Makes the socket, as `http.request` would ask for it. */
  createConnection?: ((options: never, onCreated: never) => Duplex | null | undefined) | undefined;
  /** Called with the request, which it must end. */
  finishRequest?: FinishRequestCallback | undefined;
  agent?: Agent | false | null | undefined;
  /** A Unix socket to connect to; the URL then names only the resource. */
  socketPath?: string | undefined;
  family?: number | undefined;
  localAddress?: string | undefined;
  lookup?: LookupFunction | undefined;
  keepAlive?: boolean | undefined;
  keepAliveInitialDelay?: number | undefined;
  servername?: string | undefined;
  rejectUnauthorized?: boolean | undefined;
  checkServerIdentity?(servername: string, certificate: never): unknown;
  /** As in `connect()`; here it is off unless given. */
  heartbeat?: false | HeartbeatOptions | undefined;
  /** Of `http.request`; whatever `ws` overrides is without effect here too. */
  host?: string | null | undefined;
  hostname?: string | null | undefined;
  port?: number | string | null | undefined;
  path?: string | null | undefined;
  protocol?: string | null | undefined;
}

export type FinishRequestCallback = (request: ClientRequest, websocket: WebSocket) => void;
