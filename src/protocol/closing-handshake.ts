/** Close frames and their status codes, RFC 6455 §5.5.1 and §7.4. */

import { isUtf8 } from 'node:buffer';
import { ProtocolError, UsageError } from '../errors.js';

export const CloseCode = {
  normal: 1000,
  goingAway: 1001,
  protocolError: 1002,
  unsupportedData: 1003,
  /** Never on the wire: the Close frame held no code. */
  noStatus: 1005,
  /** Never on the wire: the connection ended without a Close frame. */
  abnormal: 1006,
  invalidPayload: 1007,
  policyViolation: 1008,
  messageTooBig: 1009,
  internalError: 1011,
} as const;

const MAX_REASON_BYTES = 123;

/** May this code stand in a Close frame (§7.4.1, §7.4.2, and the registry since: 1012–1014)? */
export function isWireCode(code: number): boolean {
  return (
    (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) ||
    (code >= 3000 && code <= 4999)
  );
}

/**
 * The payload of a Close frame we send.
 * @throws UsageError `ERR_CLOSE_CODE`, `ERR_CLOSE_REASON`
 */
export function closePayload(code: number | undefined, reason = ''): Buffer {
  if (code === undefined) {
    if (reason !== '') {
      throw new UsageError('ERR_CLOSE_CODE', 'A close reason needs a status code (RFC 6455 §5.5.1)');
    }
    return Buffer.alloc(0);
  }
  if (!Number.isInteger(code) || !isWireCode(code)) {
    throw new UsageError(
      'ERR_CLOSE_CODE',
      `${String(code)} is not a status code a Close frame may carry: 1000–1003, 1007–1014, 3000–4999 (RFC 6455 §7.4)`,
    );
  }
  if (typeof reason !== 'string' || Buffer.byteLength(reason) > MAX_REASON_BYTES) {
    throw new UsageError(
      'ERR_CLOSE_REASON',
      `A close reason is a string of at most ${MAX_REASON_BYTES} bytes of UTF-8 (RFC 6455 §5.5)`,
    );
  }
  const payload = Buffer.allocUnsafe(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code, 0);
  payload.write(reason, 2);
  return payload;
}

/** What a Close frame says: 1005 and no reason when it is empty. */
export interface CloseStatus {
  code: number;
  reason: string;
}

/** What a received Close frame says, or how it breaks the protocol: 1002, or 1007 for a reason that is not UTF-8. */
export function parseClosePayload(payload: Buffer, validate = true): CloseStatus | { error: ProtocolError } {
  if (payload.length === 0) return { code: CloseCode.noStatus, reason: '' };
  if (payload.length === 1) {
    return wrong(
      'ERR_CLOSE_PAYLOAD',
      'A Close frame has a body of one byte',
      '5.5.1',
      CloseCode.protocolError,
    );
  }
  const code = payload.readUInt16BE(0);
  if (!isWireCode(code)) {
    return wrong(
      'ERR_CLOSE_CODE',
      `A Close frame carries the status code ${code}`,
      '7.4',
      CloseCode.protocolError,
    );
  }
  const reason = payload.subarray(2);
  if (validate && !isUtf8(reason)) {
    return wrong(
      'ERR_CLOSE_REASON',
      'The reason in a Close frame is not UTF-8',
      '5.5.1',
      CloseCode.invalidPayload,
    );
  }
  return { code, reason: reason.toString() };
}

function wrong(code: string, message: string, section: string, closeCode: number): { error: ProtocolError } {
  return { error: new ProtocolError(code, message, section, closeCode) };
}
