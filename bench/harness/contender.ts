/** What a benchmarked client is to the harness. Every file of `bench/contenders/` exports one as `contender`. */
export type Payload = Buffer | string;

/** Where a contender delivers: every message once, in order; binary as bytes at an offset, text as a string. */
export interface Mailbox {
  binary(bytes: Uint8Array, offset: number, byteLength: number): void;
  text(text: string): void;
  /** The connection is lost, or did what it must not do. */
  fail(error: Error): void;
}

export interface Target {
  url: string;
  /** The certificate to trust, for wss: URLs. */
  ca: string;
  /** Offer permessage-deflate (RFC 7692), with context takeover. */
  compressed: boolean;
}

export interface Contender {
  /** Name and version of the thing measured, for the report. */
  readonly subject: string;
  /** What is special about the way it takes part; printed under the results. */
  readonly note: string;
  /** Why it cannot take part here, where it cannot. */
  readonly unsupported?: string;
  /** The statement that brings it into a fresh process, in JavaScript with top-level await. */
  readonly load: string;
  /**
   * Opens one connection, whose messages all reach `inbox`. `inbox.fail` hears of one that ends without `close()`.
   */
  open(target: Target, inbox: Mailbox): Promise<Link>;
}

export interface Link {
  /** Sends one message now: a string as text, bytes as binary. */
  send(payload: Payload): void;
  /** Sends many messages within this tick, by the fastest way that the public API offers. */
  sendAll(payloads: readonly Payload[]): void;
  /** The closing handshake (RFC 6455 §7.1.2): resolves when the connection is closed. */
  close(): Promise<void>;
}
