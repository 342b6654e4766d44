/**
 * The messages on the wire. Each carries a number, so that a lost, repeated, reordered or damaged one is found:
 * binary  uint32 little endian, filler, a marker as the last byte;
 * text    ASCII JSON, `{"s":100042,"p":"xxxx"}`, whose first number is 100 000 + the message's.
 */

export type Kind = 'binary' | 'text';

export const LAST_BYTE = 0xa5;
export const TEXT_START = 0x7b;
export const TEXT_END = 0x7d;
/** Where the six digits begin, and what they start from: a fixed width without a leading zero, as JSON asks. */
export const DIGITS_AT = 5;
const FIRST_NUMBER = 100_000;
/** Six digits reach this many messages before the numbers begin again. */
export const MAX_PERIOD = 900_000;

export function payload(kind: Kind, number: number, byteLength: number): Buffer {
  return kind === 'binary' ? binaryPayload(number, byteLength) : Buffer.from(textPayload(number, byteLength));
}

function binaryPayload(number: number, byteLength: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(byteLength);
  for (let i = 0; i < byteLength; i++) bytes[i] = i * 31;
  bytes.writeUInt32LE(number, 0);
  bytes[byteLength - 1] = LAST_BYTE;
  return bytes;
}

export function textPayload(number: number, byteLength: number): string {
  const start = `{"s":${FIRST_NUMBER + number}`;
  // Too short for a second member: white space, which JSON allows before the closing brace.
  if (byteLength < start.length + 8) return `${start.padEnd(byteLength - 1)}}`;
  return `${`${start},"p":"`.padEnd(byteLength - 2, 'x')}"}`;
}

/** Messages number 0 … `count` - 1, as a client sends them: binary as bytes, text as strings. */
export function payloads(kind: Kind, count: number, byteLength: number): (Buffer | string)[] {
  return Array.from({ length: count }, (_, number) =>
    kind === 'binary' ? binaryPayload(number, byteLength) : textPayload(number, byteLength),
  );
}

export function numberOfBinary(bytes: Uint8Array, offset: number): number {
  return bytes[offset] | (bytes[offset + 1] << 8) | (bytes[offset + 2] << 16) | (bytes[offset + 3] << 24);
}

export function numberOfText(text: string): number {
  let number = 0;
  for (let i = DIGITS_AT; i < DIGITS_AT + 6; i++) number = number * 10 + text.charCodeAt(i) - 0x30;
  return number - FIRST_NUMBER;
}
