/** Errors as `ws` words them, with the codes that programs look for. What it has no word for stays as it is. */

import type { HandshakeError, HeartwireError, ProtocolError } from '../errors.js';

/** Why the connection could not be opened. */
export function openingError(
  error: HeartwireError,
  offered: readonly string[],
  offersDeflate: boolean,
): Error {
  switch (error.code) {
    // Node's own error: ECONNREFUSED, ENOTFOUND, DEPTH_ZERO_SELF_SIGNED_CERT, …
    case 'ERR_CONNECT':
    case 'ERR_TLS':
    case 'ERR_TLS_CERTIFICATE':
      if (lostSocket(error)) return hungUp(error);
      return error.cause instanceof Error ? error.cause : error;
    case 'ERR_HANDSHAKE_CLOSED':
      return hungUp(error);
    case 'ERR_HANDSHAKE_TIMEOUT':
      return said('Opening handshake has timed out', error);
    case 'ERR_HANDSHAKE_STATUS':
      return said(`Unexpected server response: ${(error as HandshakeError).statusCode}`, error);
    // In the words of Node's parser, where the answer does not begin with "HTTP/".
    case 'ERR_HANDSHAKE_MALFORMED':
      if (!/ at offset [0-4]\)/.test(error.message)) return error;
      return coded(said('Parse Error: Expected HTTP/, RTSP/ or ICE/', error), 'HPE_INVALID_CONSTANT');
    // Without it, HTTP does not take the answer for an upgrade.
    case 'ERR_HANDSHAKE_CONNECTION':
      return said('Unexpected server response: 101', error);
    case 'ERR_HANDSHAKE_UPGRADE':
      return said('Invalid Upgrade header', error);
    case 'ERR_HANDSHAKE_ACCEPT':
      return said('Invalid Sec-WebSocket-Accept header', error);
    case 'ERR_HANDSHAKE_PROTOCOL':
      return said(
        offered.length === 0
          ? 'Server sent a subprotocol but none was requested'
          : 'Server sent an invalid subprotocol',
        error,
      );
    case 'ERR_HANDSHAKE_EXTENSION':
      return said(extensionError(error, offersDeflate), error);
    default:
      return error;
  }
}

function said(message: string, cause: Error): Error {
  return new Error(message, { cause });
}

/** Closed without a reason of Node's. */
function lostSocket({ cause }: HeartwireError): boolean {
  return cause instanceof Error && cause.message === 'the socket was closed';
}

function hungUp(cause: Error): Error {
  return Object.assign(said('socket hang up', cause), { code: 'ECONNRESET' });
}

function extensionError(error: HeartwireError, offersDeflate: boolean): string {
  if (!offersDeflate) return 'Server sent a Sec-WebSocket-Extensions header but no extension was requested';
  if (!error.message.includes('not offered')) return 'Invalid Sec-WebSocket-Extensions header';
  return 'Server indicated an extension that was not requested';
}

/** What the server did wrong on the open connection. `evidence`: see `ReceiverEvents.onError`. */
export function receivingError(error: ProtocolError, [first, second]: readonly number[]): Error {
  const opcode = first & 0x0f;
  switch (error.code) {
    case 'ERR_RESERVED_BITS':
      return (first & 0x30) === 0
        ? invalidFrame('RSV1 must be clear', 'WS_ERR_UNEXPECTED_RSV_1', error)
        : invalidFrame('RSV2 and RSV3 must be clear', 'WS_ERR_UNEXPECTED_RSV_2_3', error);
    case 'ERR_RESERVED_OPCODE':
    case 'ERR_UNEXPECTED_CONTINUATION':
    case 'ERR_EXPECTED_CONTINUATION':
      return invalidFrame(`invalid opcode ${opcode}`, 'WS_ERR_INVALID_OPCODE', error);
    case 'ERR_CONTROL_FRAGMENTED':
      return invalidFrame('FIN must be set', 'WS_ERR_EXPECTED_FIN', error);
    case 'ERR_MASKED_FRAME':
      return invalidFrame('MASK must be clear', 'WS_ERR_UNEXPECTED_MASK', error);
    case 'ERR_CONTROL_TOO_LONG':
      return invalidPayloadLength(second & 0x7f, error);
    case 'ERR_CLOSE_PAYLOAD':
      return invalidPayloadLength(1, error);
    case 'ERR_CLOSE_CODE':
      return invalidFrame(`invalid status code ${first}`, 'WS_ERR_INVALID_CLOSE_CODE', error);
    case 'ERR_INVALID_UTF8':
    case 'ERR_CLOSE_REASON':
      return coded(
        new Error('Invalid WebSocket frame: invalid UTF-8 sequence', { cause: error }),
        'WS_ERR_INVALID_UTF8',
      );
    case 'ERR_LENGTH_INVALID':
      return coded(
        new RangeError('Unsupported WebSocket frame: payload length > 2^53 - 1', { cause: error }),
        'WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH',
      );
    case 'ERR_MESSAGE_TOO_LARGE':
      return coded(
        new RangeError('Max payload size exceeded', { cause: error }),
        'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH',
      );
    case 'ERR_TOO_MANY_FRAGMENTS':
      return coded(
        new RangeError('Too many message fragments', { cause: error }),
        'WS_ERR_TOO_MANY_BUFFERED_PARTS',
      );
    default:
      return error;
  }
}

function invalidPayloadLength(length: number, cause: Error): Error {
  return invalidFrame(`invalid payload length ${length}`, 'WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH', cause);
}

function invalidFrame(what: string, code: string, cause: Error): Error {
  return coded(new RangeError(`Invalid WebSocket frame: ${what}`, { cause }), code);
}

function coded(error: Error, code: string): Error {
  return Object.assign(error, { code });
}
