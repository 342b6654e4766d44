/**
 * Every error this package gives its users. One class per question a caller asks: "what failed?" is answered
 * by the class, "why, exactly?" by the stable `code`, "what did the peer see?" by `closeCode`.
 */

import type { EventLoopLag } from './heartbeat/loop-lag.js';
import type { SilenceCause } from './heartbeat/report.js';
import type { RttSummary } from './heartbeat/rtt.js';

/** Of which connection, where and when. */
export interface Circumstances {
  /** `connection.id`. It is given when `connect()` is called, so an attempt that fails has one too. */
  readonly connectionId: number;
  /** Host, and port where it is not the scheme's own, of the URL. */
  readonly host: string;
  /** What was under way: `connecting`, `TLS handshake`, `waiting for the response`, …; `open`, `closing`, `closed`. */
  readonly phase: string;
  /** ms since `connect()` was called. */
  readonly duration: number;
}

/** The base of all errors thrown, or given to `closed`, by this package. */
export class HeartwireError extends Error {
  // Spelt out: what minifies a bundle renames classes.
  override readonly name: string = 'HeartwireError';
  /** Stable, for programs to branch on; the message is for people and may change. */
  readonly code: string;
  /** The status code of the Close frame that was sent because of this error, where one is sent. */
  declare readonly closeCode?: number;
  /** Absent where no connection is concerned: from options that `connect()` refuses, and expired messages. */
  declare readonly connectionId?: number;
  declare readonly host?: string;
  declare readonly phase?: string;
  declare readonly duration?: number;

  constructor(code: string, message: string, options?: { cause?: unknown; closeCode?: number }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    if (options?.closeCode !== undefined) this.closeCode = options.closeCode;
  }

  /** @internal What is said first, and so nearest to the cause, stays. */
  in(circumstances: Circumstances): this {
    return this.connectionId === undefined ? Object.assign(this, circumstances) : this;
  }
}

/** The caller's mistake: a bad URL, option, header, payload or status code. Nothing was sent. */
export class UsageError extends HeartwireError {
  override readonly name = 'UsageError';
}

/** The peer broke RFC 6455 or 7692, or a limit of ours: the connection is failed as RFC 6455 §7.1.7 says. */
export class ProtocolError extends HeartwireError {
  override readonly name = 'ProtocolError';
  /** Section that the peer broke, of RFC 6455 unless the message says otherwise. */
  readonly section: string;

  constructor(code: string, message: string, section: string, closeCode: number, rfc = 6455) {
    super(code, `${message} (RFC ${rfc} §${section})`, { closeCode });
    this.section = section;
  }
}

/** What is known of a failed opening handshake's response. */
export interface FailedResponse {
  statusCode?: number;
  /** Names in lower case. A name that came several times holds its values in order, joined by `, `. */
  headers?: Readonly<Record<string, string>>;
  /** The first 64 KiB of the response's body. */
  body?: Buffer;
  /** The `Retry-After` header, in ms from the moment the response was read. */
  retryAfter?: number;
  /** Section of RFC 6455 that the response broke, where it did. */
  section?: string;
  cause?: unknown;
}

/** One address that was tried. */
export interface ConnectionAttempt {
  readonly address: string;
  readonly port: number;
  readonly family: 4 | 6;
  /** Why it failed. Undefined: it answered, or was still being tried when something else ended the attempt. */
  error?: Error;
}

/** The connection could not be opened: the network, TLS, a deadline, or an answer that is not the 101 it must be. */
export class HandshakeError extends HeartwireError {
  override readonly name = 'HandshakeError';
  declare readonly statusCode?: number;
  declare readonly headers?: Readonly<Record<string, string>>;
  declare readonly body?: Buffer;
  declare readonly retryAfter?: number;
  declare readonly section?: string;
  /** Every address that was tried before, in that order: the server's, or its proxy's. */
  attempts: readonly ConnectionAttempt[] = [];

  constructor(code: string, message: string, response: FailedResponse = {}) {
    const { cause, section, ...rest } = response;
    super(code, section === undefined ? message : `${message} (RFC 6455 §${section})`, { cause });
    Object.assign(this, rest);
    if (section !== undefined) this.section = section;
  }
}

/** An open connection ended without a complete closing handshake (§7.1.5: code 1006). */
export class ConnectionLostError extends HeartwireError {
  override readonly name: string = 'ConnectionLostError';
  /** How well this process kept up: a server ends what a stalled one does not answer. Absent without a heartbeat. */
  declare readonly eventLoopLag?: EventLoopLag;
}

/** What was known when the heartbeat's verdict was given. Times are `performance.now()`, durations ms. */
export interface Silence {
  readonly silence: SilenceCause;
  readonly lastReceivedAt: number;
  /** 0: none has come. */
  readonly lastPongAt: number;
  /** Undefined when nothing was ever answered. */
  readonly rtt: RttSummary | undefined;
  /** For how long of the wait this thread's event loop stood still. */
  readonly stalledFor: number;
  readonly eventLoopLag: EventLoopLag;
}

/** Nothing came from the server, though it was asked: the socket was destroyed (§7.1.5: code 1006). */
export class HeartbeatTimeoutError extends ConnectionLostError implements Silence {
  override readonly name = 'HeartbeatTimeoutError';
  declare readonly silence: SilenceCause;
  declare readonly lastReceivedAt: number;
  declare readonly lastPongAt: number;
  declare readonly rtt: RttSummary | undefined;
  declare readonly stalledFor: number;
  declare readonly eventLoopLag: EventLoopLag;

  constructor(code: string, message: string, known: Silence) {
    super(code, message);
    Object.assign(this, known);
  }
}
