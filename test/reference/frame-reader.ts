/**
 * A reader of frames without regard to what messages they make: the rules of RFC 6455 §5.2–§5.5 and §8.1 that
 * can be told from the frames alone, for both ends of a connection. A Close frame ends it, right or wrong.
 */
import { mask } from './mask.js';
import { Utf8Reference } from './utf8.js';

export interface ReaderOptions {
  /** §5.1: what a client sends is masked, what a server sends is not. */
  masked: boolean;
  /** RFC 7692 §6: RSV1 may stand on the first frame of a message, whose payload then is no text yet. */
  rsv1: boolean;
  /** §10.4: the most bytes an uncompressed message may have; without it, what 32 bits can tell. */
  limit?: number;
}

export interface ReadFrame {
  firstByte: number;
  payloadStart: number;
  /** Unmasked. */
  payload: Buffer;
  /** What message the frame is by itself, named as `Kind` of the codec; 'none' for a fragment, a compressed
   * message or a control frame. */
  kind: 'none' | 'binary' | 'text' | 'asciiText';
}

export interface Reading {
  frames: ReadFrame[];
  /** The name of what was wrong first, as `FrameError` of the codec names it. */
  error: string | undefined;
  /** Where the frame begins that is not complete, or wrong. */
  consumed: number;
}

/** Frames from the first byte to the last, or to the first wrong one. */
export function readFrames(bytes: Uint8Array, { masked, rsv1, limit = 0xffff_ffff }: ReaderOptions): Reading {
  const frames: ReadFrame[] = [];
  // The message in fragments: its bytes so far; whether it is text to be judged, and how far that text has come.
  let fragmented: { size: bigint; text: Utf8Reference | undefined; compressed: boolean } | undefined;
  let start = 0;
  for (;;) {
    const stop = (error?: string): Reading => ({ frames, error, consumed: start });
    const available = bytes.length - start;
    const at = (index: number): number => bytes[start + index];

    if (available < 1) return stop();
    const firstByte = at(0);
    const fin = (firstByte & 0x80) !== 0;
    const opcode = firstByte & 0x0f;
    const startsMessage = opcode === 1 || opcode === 2;
    const isControl = opcode >= 8;
    const reserved = firstByte & 0x70;
    if (reserved !== 0 && !(rsv1 && startsMessage && reserved === 0x40)) return stop('reservedBits');
    if ((opcode > 2 && opcode < 8) || opcode > 10) return stop('reservedOpcode');
    if (isControl && !fin) return stop('controlFragmented');
    if (opcode === 0 && !fragmented) return stop('unexpectedContinuation');
    if (startsMessage && fragmented) return stop('expectedContinuation');

    if (available < 2) return stop();
    if (at(1) >= 0x80 !== masked) return stop('maskBit');
    const shortLength = at(1) & 0x7f;
    if (isControl && shortLength > 125) return stop('controlTooLong');
    if (shortLength === 127 && available > 2 && at(2) >= 0x80) return stop('lengthInvalid');
    const lengthOctets = shortLength === 127 ? 8 : shortLength === 126 ? 2 : 0;
    if (available < 2 + lengthOctets) return stop();
    let length = lengthOctets === 0 ? BigInt(shortLength) : 0n;
    for (let i = 0; i < lengthOctets; i++) length = length * 256n + BigInt(at(2 + i));
    if (lengthOctets === 2 && length < 126n) return stop('lengthNotMinimal');
    if (lengthOctets === 8 && length < 65_536n) return stop('lengthNotMinimal');

    const headerLength = 2 + lengthOctets + (masked ? 4 : 0);
    if (available < headerLength) return stop();
    const compressed = startsMessage ? reserved !== 0 : (fragmented?.compressed ?? false);
    if (!isControl) {
      // A compressed message's size is not told by its frames; their lengths must be told by 32 bits all the same.
      const size = compressed ? length : (startsMessage ? 0n : fragmented!.size) + length;
      if (size > BigInt(compressed ? 0xffff_ffff : limit)) return stop('messageTooLarge');
    }
    const key = masked ? [0, 1, 2, 3].map((i) => at(2 + lengthOctets + i)) : [0, 0, 0, 0];
    const payloadStart = start + headerLength;
    const arrived = BigInt(bytes.length - payloadStart);
    const isComplete = length <= arrived;
    const present = Number(isComplete ? length : arrived);
    const payload = Buffer.from(mask(bytes.subarray(payloadStart, payloadStart + present), key, 0));

    const isText = opcode === 1 && reserved === 0;
    const message = startsMessage
      ? { size: 0n, text: isText ? new Utf8Reference() : undefined, compressed }
      : fragmented;
    const text = isControl ? undefined : message?.text;
    if (text !== undefined) {
      for (const byte of payload) if (!text.push(byte)) return stop('invalidUtf8');
      if (isComplete && fin && !text.complete) return stop('invalidUtf8');
    }
    if (!isComplete) return stop();
    frames.push({
      firstByte,
      payloadStart,
      payload,
      kind: !fin || !startsMessage || reserved !== 0 ? 'none' : isText ? kindOfText(payload) : 'binary',
    });
    start = payloadStart + payload.length;
    if (opcode === 8) return stop();
    if (isControl) continue;
    message!.size += length;
    fragmented = fin ? undefined : message;
  }
}

/** Text without a byte above 0x7F is also ASCII. */
function kindOfText(payload: Uint8Array): 'text' | 'asciiText' {
  return payload.every((byte) => byte < 0x80) ? 'asciiText' : 'text';
}
