/**
 * Every error this package gives its users. One class per question a caller asks: "what failed?" is answered
 * by the class, "why, exactly?" by the stable `code`, "what did the peer see?" by `closeCode`.
 */

/** The base of all errors thrown, or given to `closed`, by this package. */
export class HeartwireError extends Error {
  /** Stable, for programs to branch on; the message is for people and may change. */
  readonly code: string;
  /** The status code of the Close frame that was sent because of this error, where one is sent. */
  declare readonly closeCode?: number;

  constructor(code: string, message: string, options?: { cause?: unknown; closeCode?: number }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    if (options?.closeCode !== undefined) this.closeCode = options.closeCode;
  }
}

/** The caller's mistake: a bad URL, option, header, payload or status code. Nothing was sent. */
export class UsageError extends HeartwireError {}

/** The peer broke RFC 6455, or a limit of ours: the connection is failed as §7.1.7 says. */
export class ProtocolError extends HeartwireError {
  /** Section of RFC 6455 that the peer broke. */
  readonly section: string;

  constructor(code: string, message: string, section: string, closeCode: number) {
    super(code, `${message} (RFC 6455 §${section})`, { closeCode });
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
export class ConnectionLostError extends HeartwireError {}
