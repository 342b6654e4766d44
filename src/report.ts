/** What a connection tells of itself. */

import type { ConnectionAttempt, HeartwireError } from './errors.js';
import type { EventLoopLag } from './heartbeat/loop-lag.js';
import type { HeartbeatStats } from './heartbeat/report.js';
import type { Extension } from './protocol/extensions.js';
import type { DeflateAgreement } from './protocol/permessage-deflate.js';
import type { SocketReport } from './transport/socket-options.js';
import type { TlsReport } from './transport/tls-client.js';

/** How a connection ended. */
export interface CloseInfo {
  /** The status code of the peer's Close frame; 1005 when it held none, 1006 when none came (RFC 6455 §7.1.5). */
  code: number;
  reason: string;
  /** Both sides have sent and received a Close frame (§7.1.4). */
  wasClean: boolean;
  /** What ended the connection, when it was not a Close frame. */
  error?: HeartwireError;
  /**
   * How well this process kept up until then: a server closes what does not answer it in time. Undefined where the
   * connection had no heartbeat. Not enumerable, so that logs stay short.
   */
  readonly eventLoopLag?: EventLoopLag;
}

/** What the opening handshake told. Phases are in ms from the start of `connect()`. */
export interface HandshakeReport {
  readonly status: number;
  /** The response's fields, names in lower case, several of one name joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  readonly timings: {
    /** The name was resolved; undefined for an address. */
    readonly lookup?: number;
    readonly connect: number;
    /** The proxy opened its tunnel. */
    readonly tunnel?: number;
    /** The TLS handshake was complete. */
    readonly tls?: number;
    /** The response was complete: the connection is open. */
    readonly open: number;
  };
  /** What the TLS handshake agreed on; undefined for `ws:`. */
  readonly tls?: TlsReport;
  /** The proxy's URL, without credentials, where one is in use. */
  readonly proxy?: string;
  /** Every address that was tried, the server's or its proxy's, with what failed. The last one answered. */
  readonly attempts: readonly ConnectionAttempt[];
  /** The redirects that were followed, in their order. */
  readonly redirects: readonly Redirect[];
  /**
   * What was asked for and could not be had: socket options that this version of Node cannot set (see
   * `connection.socketOptions`); `perMessageDeflate`, which was not offered because all windows are taken.
   */
  readonly notApplied: readonly string[];
}

export interface Redirect {
  readonly status: number;
  /** The URL that was connected to next, without user information. */
  readonly location: string;
}

/** What `connect()` knows of a connection it has opened. */
export interface Established {
  id: number;
  /** `performance.now()` when `connect()` was called. */
  startedAt: number;
  url: string;
  protocol: string;
  extensions: readonly Extension[];
  deflate: DeflateAgreement | undefined;
  /** The block of the codec's windows that was taken for it; the connection's from now on. */
  window: number;
  /** From how many bytes on messages are compressed. */
  threshold: number;
  handshake: HandshakeReport;
  socketOptions: SocketReport;
}

export interface ConnectionStats extends HeartbeatStats {
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly pingsReceived: number;
  readonly pongsReceived: number;
  /** Pings that were not answered one by one, because the peer did not read the answers (§5.5.3). */
  readonly pongsSkipped: number;
  /** `performance.now()` of the last read and the last write. */
  readonly lastReceivedAt: number;
  readonly lastSentAt: number;
  /** ms for which nothing has been read, because delivery is paused or nobody takes messages; 0 while we read. */
  readonly pausedFor: number;
}
