/**
 * A client's receiver in the plainest form: it has all the bytes before it, and reads them from the first to
 * the last as RFC 6455 §5 tells. Every check stands where its byte is read, so the first wrong byte decides.
 */
import { isUtf8, Utf8Reference } from './utf8.js';

export type Event =
  | { type: 'message'; isText: boolean; data: Buffer }
  | { type: 'ping' | 'pong'; data: Buffer }
  | { type: 'close'; code: number; reason: string }
  | { type: 'error'; code: string; closeCode: number };

const CONTINUATION = 0x0;
const TEXT = 0x1;
const BINARY = 0x2;
const CLOSE = 0x8;
const PING = 0x9;
const PONG = 0xa;
const OPCODES = [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG];

/** What the peer broke; ends the walk. */
class Violation {
  readonly code: string;
  readonly closeCode: number;

  constructor(code: string, closeCode: number) {
    this.code = code;
    this.closeCode = closeCode;
  }
}

/** Thrown where a byte is wanted and there is none: what was read so far is all there is to tell. */
const NO_MORE_BYTES = Symbol('no more bytes');

/** The message whose final fragment is still to come. */
interface UnfinishedMessage {
  isText: boolean;
  text: Utf8Reference;
  payload: number[];
}

/** Everything a client tells of these bytes. Nothing follows an error or a close. */
export function receive(bytes: Uint8Array, options: { maxMessageSize: number }): Event[] {
  const events: Event[] = [];
  try {
    readFrames(bytes, options.maxMessageSize, events);
  } catch (reason) {
    if (reason instanceof Violation) {
      events.push({ type: 'error', code: reason.code, closeCode: reason.closeCode });
    } else if (reason !== NO_MORE_BYTES) {
      throw reason;
    }
  }
  return events;
}

function readFrames(bytes: Uint8Array, maxMessageSize: number, events: Event[]): void {
  let position = 0;
  let unfinished: UnfinishedMessage | undefined;
  const next = (): number => {
    if (position === bytes.length) throw NO_MORE_BYTES;
    return bytes[position++];
  };

  for (;;) {
    // §5.2: FIN, RSV1–3, opcode.
    const first = next();
    const fin = first >= 0x80;
    const opcode = first % 16;
    const isControl = opcode >= 0x8;
    if (first & 0b0111_0000) throw new Violation('ERR_RESERVED_BITS', 1002);
    if (!OPCODES.includes(opcode)) throw new Violation('ERR_RESERVED_OPCODE', 1002);
    // §5.5: control frames are never fragmented; §5.4: what may follow what.
    if (isControl && !fin) throw new Violation('ERR_CONTROL_FRAGMENTED', 1002);
    if (opcode === CONTINUATION && !unfinished) throw new Violation('ERR_UNEXPECTED_CONTINUATION', 1002);
    if ((opcode === TEXT || opcode === BINARY) && unfinished) {
      throw new Violation('ERR_EXPECTED_CONTINUATION', 1002);
    }

    // §5.2: MASK and the 7 bits of length. §5.1: a server does not mask.
    const second = next();
    const shortLength = second % 128;
    if (second >= 0x80) throw new Violation('ERR_MASKED_FRAME', 1002);
    if (isControl && shortLength > 125) throw new Violation('ERR_CONTROL_TOO_LONG', 1002);
    const length = readLength(shortLength, next);

    if (isControl) {
      const payload: number[] = [];
      while (payload.length < length) payload.push(next());
      const data = Buffer.from(payload);
      if (opcode === CLOSE) {
        events.push(judgeClose(data));
        return;
      }
      events.push({ type: opcode === PING ? 'ping' : 'pong', data });
      continue;
    }

    const message = unfinished ?? { isText: opcode === TEXT, text: new Utf8Reference(), payload: [] };
    unfinished = message;
    if (BigInt(message.payload.length) + length > BigInt(maxMessageSize)) {
      throw new Violation('ERR_MESSAGE_TOO_LARGE', 1009);
    }
    for (let left = Number(length); left > 0; left--) {
      const byte = next();
      // §8.1: text is UTF-8 over the whole message, wherever it was cut into fragments.
      if (message.isText && !message.text.push(byte)) throw new Violation('ERR_INVALID_UTF8', 1007);
      message.payload.push(byte);
    }
    if (fin) {
      if (message.isText && !message.text.complete) throw new Violation('ERR_INVALID_UTF8', 1007);
      events.push({ type: 'message', isText: message.isText, data: Buffer.from(message.payload) });
      unfinished = undefined;
    }
  }
}

/** §5.2: the extended payload length, in the fewest bytes that hold it, its first bit 0. */
function readLength(shortLength: number, next: () => number): bigint {
  if (shortLength < 126) return BigInt(shortLength);
  const octets = shortLength === 126 ? 2 : 8;
  let length = 0n;
  for (let i = 0; i < octets; i++) {
    length = length * 256n + BigInt(next());
    if (octets === 8 && i === 0 && length >= 0x80n) throw new Violation('ERR_LENGTH_INVALID', 1002);
  }
  if (length < (octets === 2 ? 126n : 65_536n)) throw new Violation('ERR_LENGTH_NOT_MINIMAL', 1002);
  return length;
}

/** §5.5.1, §7.1.5, §7.4: a Close frame is judged when the whole of it is there. */
function judgeClose(data: Buffer): Event {
  if (data.length === 0) return { type: 'close', code: 1005, reason: '' };
  if (data.length === 1) throw new Violation('ERR_CLOSE_PAYLOAD', 1002);
  const code = data[0] * 256 + data[1];
  if (!isAllowedCloseCode(code)) throw new Violation('ERR_CLOSE_CODE', 1002);
  const reason = data.subarray(2);
  if (!isUtf8(reason)) throw new Violation('ERR_CLOSE_REASON', 1007);
  return { type: 'close', code, reason: reason.toString('utf8') };
}

/** §7.4.1, §7.4.2 and the registry they found: the rest is reserved, or never put on the wire. */
export function isAllowedCloseCode(code: number): boolean {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}
