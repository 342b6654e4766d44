/**
 * Heartbeats in messages: for servers that ignore Ping frames, or ask in messages of their own. Messages are looked
 * at only while a reply is awaited (or always, where the server asks), as bytes, and not parsed.
 */

import type { Message } from '../protocol/message.js';

/** A message that is exactly `text`; one of at most `maxLength` bytes that holds all of `parts`; or what a function says. */
export type MessagePattern =
  | { readonly text: string }
  | { readonly parts: readonly string[]; readonly maxLength: number }
  | ((message: Message) => boolean);

/** A string is sent as text, bytes as a binary message. */
export type HeartbeatPayload = string | Uint8Array;

export interface ApplicationHeartbeat {
  /** Sent where otherwise a Ping would be. Without it Pings are sent, or in mode `listen` nothing. */
  readonly request?: HeartbeatPayload | (() => HeartbeatPayload);
  /**
   * What answers it, and so tells the round trip. That the link lives any byte proves, with or without it. A function
   * is asked for every message until it says so; it must not keep the message.
   */
  readonly isReply?: MessagePattern;
  /** What the server asks with, and what it is answered, in the turn of the read. A function may look at the message. */
  readonly isRequest?: MessagePattern;
  readonly reply?: HeartbeatPayload | ((message: Message) => HeartbeatPayload);
  /** Whether these messages are delivered as well. Default true. */
  readonly deliver?: boolean;
}

/** Does the message, which has not expired, fit the pattern? */
export function matches(pattern: MessagePattern, message: Message): boolean {
  if (typeof pattern === 'function') return pattern(message) === true;
  const { byteLength } = message;
  if ('text' in pattern) {
    // UTF-8 takes one to three bytes for a unit of UTF-16.
    const { length } = pattern.text;
    return byteLength >= length && byteLength <= 3 * length && message.text() === pattern.text;
  }
  if (byteLength > pattern.maxLength) return false;
  const text = message.text();
  return pattern.parts.every((part) => text.includes(part));
}

export function payloadOf<Given>(
  payload: HeartbeatPayload | ((given: Given) => HeartbeatPayload),
  given: Given,
): HeartbeatPayload {
  return typeof payload === 'function' ? payload(given) : payload;
}
