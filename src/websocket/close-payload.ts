/** What `close` takes, as the payload of a Close frame (RFC 6455 §5.5.1). */

import { isWireCode } from '../protocol/closing-handshake.js';
import { NOTHING } from './payload.js';

const MAX_REASON = 123;

/** The payload of the Close frame that `ws` would send. */
export function closePayload(code: number | undefined, reason: string | Uint8Array | undefined): Buffer {
  if (code === undefined) return NOTHING;
  if (typeof code !== 'number' || !isWireCode(code))
    throw new TypeError('First argument must be a valid error code number');
  if (reason === undefined || !reason.length) return withCode(code, NOTHING);
  if (typeof reason !== 'string' && !(reason instanceof Uint8Array))
    throw new TypeError('Second argument must be a string or a Uint8Array');
  const bytes = Buffer.from(reason as string);
  if (bytes.length > MAX_REASON) throw new RangeError('The message must not be greater than 123 bytes');
  return withCode(code, bytes);
}

function withCode(code: number, reason: Uint8Array): Buffer {
  const payload = Buffer.alloc(2 + reason.length);
  payload.writeUInt16BE(code);
  payload.set(reason, 2);
  return payload;
}

/** https://websockets.spec.whatwg.org/#dom-websocket-close, steps 1 and 2. */
export function checkStandardClose(code: unknown, reason: unknown): void {
  if (code !== undefined) {
    const value = clamped(code);
    if (value !== 1000 && !(value >= 3000 && value <= 4999)) {
      throw new DOMException(
        `The close code must be 1000 or 3000 to 4999, not ${value}`,
        'InvalidAccessError',
      );
    }
  }
  if (reason !== undefined && Buffer.byteLength(String(reason)) > MAX_REASON)
    throw new DOMException('The close reason must not be longer than 123 bytes of UTF-8', 'SyntaxError');
}

export function standardClosePayload(code: unknown, reason: unknown): Buffer {
  const bytes = reason === undefined ? NOTHING : Buffer.from(String(reason));
  if (code !== undefined) return withCode(clamped(code), bytes);
  return bytes.length > 0 ? withCode(1000, bytes) : NOTHING;
}

/** Web IDL, [Clamp] unsigned short: the nearest integer, the even one of two. */
function clamped(value: unknown): number {
  const number = Math.min(Math.max(Number(value), 0), 65_535);
  if (Number.isNaN(number)) return 0;
  const floor = Math.floor(number);
  const rest = number - floor;
  if (rest < 0.5 || (rest === 0.5 && floor % 2 === 0)) return floor;
  return floor + 1;
}
