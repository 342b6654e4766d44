/** What the codec finds wrong with a frame, as the error the user sees and the status code the peer sees. */

import { InflateError } from '../codec/inflater.js';
import { FrameError } from '../codec/layout.js';
import { ProtocolError } from '../errors.js';
import { CloseCode } from './closing-handshake.js';

type Description = readonly [code: string, message: string, section: string, closeCode: number];

const DESCRIPTIONS: Readonly<Record<number, Description>> = {
  [FrameError.reservedBits]: [
    'ERR_RESERVED_BITS',
    'A frame has a reserved bit set that no extension defines',
    '5.2',
    1002,
  ],
  [FrameError.reservedOpcode]: ['ERR_RESERVED_OPCODE', 'A frame has a reserved opcode', '5.2', 1002],
  [FrameError.controlFragmented]: ['ERR_CONTROL_FRAGMENTED', 'A control frame is fragmented', '5.5', 1002],
  [FrameError.unexpectedContinuation]: [
    'ERR_UNEXPECTED_CONTINUATION',
    'A continuation frame has no message to continue',
    '5.4',
    1002,
  ],
  [FrameError.expectedContinuation]: [
    'ERR_EXPECTED_CONTINUATION',
    'A new message begins while a fragmented one is unfinished',
    '5.4',
    1002,
  ],
  [FrameError.maskBit]: ['ERR_MASKED_FRAME', 'A frame from the server is masked', '5.1', 1002],
  [FrameError.controlTooLong]: [
    'ERR_CONTROL_TOO_LONG',
    'A control frame is longer than 125 bytes',
    '5.5',
    1002,
  ],
  [FrameError.lengthNotMinimal]: [
    'ERR_LENGTH_NOT_MINIMAL',
    'A payload length is not encoded in the fewest bytes',
    '5.2',
    1002,
  ],
  [FrameError.lengthInvalid]: [
    'ERR_LENGTH_INVALID',
    'A payload length has its most significant bit set',
    '5.2',
    1002,
  ],
  [FrameError.messageTooLarge]: ['ERR_MESSAGE_TOO_LARGE', 'A message exceeds maxMessageSize', '10.4', 1009],
  [FrameError.invalidUtf8]: ['ERR_INVALID_UTF8', 'A text message is not valid UTF-8', '8.1', 1007],
};

/** What the inflater finds wrong with a message. */
export function inflateError(error: number): ProtocolError {
  if (error === InflateError.tooLarge) return frameError(FrameError.messageTooLarge);
  if (error === InflateError.invalidUtf8) return frameError(FrameError.invalidUtf8);
  const message = 'A compressed message cannot be inflated';
  return new ProtocolError('ERR_COMPRESSED_DATA', message, '7.2.2', 1007, 7692);
}

export function frameError(error: number): ProtocolError {
  const [code, message, section, closeCode] = DESCRIPTIONS[error];
  return new ProtocolError(code, message, section, closeCode);
}

/** `maxMessageSize` allows the message, but there is not so much memory. */
export function noMemory(bytes: number): ProtocolError {
  const message = `There is no memory for a message of ${bytes} bytes or more`;
  return new ProtocolError('ERR_MESSAGE_TOO_LARGE', message, '10.4', CloseCode.messageTooBig);
}

/** What the codec does not count. */
export function tooManyFragments(): ProtocolError {
  return new ProtocolError('ERR_TOO_MANY_FRAGMENTS', 'A message comes in too many frames', '10.4', 1008);
}
