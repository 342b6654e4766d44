/**
 * A market-data feed in bursts, open loop: the server sends when it is time to, whether or not the client keeps up,
 * and each message carries the time it was made. What a slow client leaves in the buffers in front of it therefore
 * counts as its latency (the mistake of leaving it out is known as coordinated omission).
 */
import { monotonic } from '../harness/monotonic.js';
import { frame, headerLength, TEXT } from './frames.js';
import type { Peer } from './peer.js';

/** 20 000 messages a second. */
export const BURST = 200;
const EVERY = 10;

/** `{"s":100042,"t":1000034567890123,"p":"xxxx"}`: a number, and a time in µs, of a fixed width each. */
const NUMBER_AT = 5;
const NUMBER_DIGITS = 6;
const FIRST_NUMBER = 100_000;
const TIME_AT = 16;
const TIME_DIGITS = 16;
const FIRST_TIME = 10 ** (TIME_DIGITS - 1);
const BYTES = 200;
const END = '"}';

/** Is it whole, and number `number` of its burst? */
export function isNumber(text: string, number: number): boolean {
  const found = digits(text, NUMBER_AT, NUMBER_DIGITS) - FIRST_NUMBER;
  return found === number && text.length === BYTES && text.endsWith(END);
}

/** When the message was made, in ms of the clock that processes share. */
export function timeOf(text: string): number {
  return (digits(text, TIME_AT, TIME_DIGITS) - FIRST_TIME) / 1000;
}

/** Sends `messages` of them, numbered from 0 within each burst. */
export function stream(peer: Peer, messages: number): void {
  const start = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = Math.min(messages, (Math.floor((performance.now() - start) / EVERY) + 1) * BURST);
    for (; sent < due; sent += BURST) peer.write(burst(Math.min(BURST, messages - sent)));
    if (sent >= messages) clearInterval(timer);
  }, 1);
}

const SPACING = headerLength(BYTES) + BYTES;
const template = Buffer.concat(
  Array.from({ length: BURST }, (_, number) => {
    const head = `{"s":${FIRST_NUMBER + number},"t":${FIRST_TIME},"p":"`;
    return frame(TEXT, Buffer.from(head.padEnd(BYTES - END.length, 'x') + END));
  }),
);

function burst(messages: number): Buffer {
  const bytes = Buffer.from(template.subarray(0, messages * SPACING));
  const time = String(FIRST_TIME + Math.round(monotonic() * 1000));
  for (let at = headerLength(BYTES) + TIME_AT; at < bytes.length; at += SPACING)
    bytes.write(time, at, 'latin1');
  return bytes;
}

function digits(text: string, at: number, count: number): number {
  let number = 0;
  for (let i = at; i < at + count; i++) number = number * 10 + text.charCodeAt(i) - 0x30;
  return number;
}
