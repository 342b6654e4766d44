/** What an application may set on a connection. `connect()` adds what concerns the way to the server. */

import type { Connection } from './connection.js';
import type { ProtocolError } from './errors.js';
import type { Message } from './protocol/message.js';
import type { CloseInfo } from './report.js';

export interface ConnectionHandlers {
  /**
   * Called for every message, in the turn in which it is read. The message is valid until the callback returns.
   * Without it, messages are kept for whoever comes (up to 1 MiB and 1 024 messages, then the socket pauses).
   */
  onMessage?: ((message: Message, connection: Connection) => void) | undefined;
  /** A Ping has come; it has been answered already. The payload is a copy. */
  onPing?: ((payload: Buffer, connection: Connection) => void) | undefined;
  /** A Pong has come, solicited or not. */
  onPong?: ((payload: Buffer, connection: Connection) => void) | undefined;
  /** A round trip has been measured, in ms: by a Pong, or by the reply to `heartbeat.application`'s request. */
  onRtt?: ((roundTrip: number, connection: Connection) => void) | undefined;
  /** After `send()` returned false: half of `highWaterMark` or less is buffered again. */
  onDrain?: ((connection: Connection) => void) | undefined;
  /** The connection has ended and its socket is gone. */
  onClose?: ((info: CloseInfo, connection: Connection) => void) | undefined;
}

export interface ConnectionLimits {
  /** Most bytes of one received message, up to 2^32 - 1. Default 64 MiB. */
  maxMessageSize: number;
  /** `send()` returns false above this many buffered bytes. Default 1 MiB. */
  highWaterMark: number;
  /**
   * `send()` throws rather than buffer more than this many bytes, frame headers included; a message of exactly so many
   * can be sent when nothing waits. Default 16 MiB.
   */
  maxBufferedAmount: number;
  /** ms for the closing handshake. Default 5_000. */
  closeTimeout: number;
}

/** @internal What the drop-in class asks of a connection besides, and is told besides. */
export interface DropIn {
  /** False: Pings are reported, not answered. */
  readonly autoPong: boolean;
  readonly validateUtf8: boolean;
  /** Most frames of one received message. */
  readonly maxFragments: number;
  /** Instead of random ones (RFC 6455 §5.3). */
  readonly maskingKey: (() => number) | undefined;
  /** The server broke the protocol, or a limit: told at once, not at the end. */
  onFailure(error: ProtocolError, evidence: readonly number[], connection: Connection): void;
  /** The server's Close frame has been read. */
  onClosing(connection: Connection): void;
}

export interface SendOptions {
  /** Send as a binary message, or (false) as text. Default: strings are text, everything else is binary. */
  binary?: boolean;
  /** False: a fragment, more of the message follows with the next `send` (RFC 6455 §5.4). Default true. */
  fin?: boolean;
  /**
   * Compress the message, where permessage-deflate was negotiated, or (false) do not. Of a message in fragments the
   * first one decides. Default: messages of `perMessageDeflate.threshold` bytes and more are compressed. One that does
   * not get smaller is sent as it is.
   */
  compress?: boolean;
}

export interface StreamSendOptions extends WaitOptions {
  /** As for `send`. Default: compressed when the first chunk has `perMessageDeflate.threshold` bytes or more. */
  compress?: boolean;
}

export interface WaitOptions {
  /** Gives up waiting: the promise rejects with a `HeartwireError`, code `ERR_ABORTED`. */
  signal?: AbortSignal;
}

export interface IterateOptions extends WaitOptions {
  /** Leaving the loop does not close the connection: messages are kept for the next one to listen. */
  preventClose?: boolean;
}
