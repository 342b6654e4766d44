// Frames, RFC 6455 §5.2: the batch reader and the header writer.

import { FRAME_TABLE, REGISTERS } from './layout';
import { mask } from './mask';
import { isAscii, UTF8_INVALID, UTF8_MISSING, UTF8_NON_ASCII, UTF8_START, validateUtf8 } from './utf8';

// The first byte of a frame.
const FIN: u32 = 0x80;
const RESERVED: u32 = 0x70;
const RSV1: u32 = 0x40;
const OPCODE: u32 = 0x0f;
const CONTROL: u32 = 0x08;

const CONTINUATION: u32 = 0x0;
const TEXT: u32 = 0x1;
const BINARY: u32 = 0x2;
const CLOSE: u32 = 0x8;
const PONG: u32 = 0xa;

// The second byte.
const MASK: u32 = 0x80;
const LENGTH: u32 = 0x7f;
const LENGTH_16: u32 = 126;
const LENGTH_64: u32 = 127;

// The frame table's second word: the payload's length, and above it what the frame is, so that the common case
// is told by two bits. A frame that is not a whole message is told by its first byte.
const KIND_SHIFT: u32 = 20;
const KIND_BINARY: u32 = 1;
const KIND_TEXT: u32 = 2;
const KIND_ASCII: u32 = 3;
const FIRST_BYTE_SHIFT: u32 = 22;
const WHOLE_BINARY: u32 = ((FIN | BINARY) << FIRST_BYTE_SHIFT) | (KIND_BINARY << KIND_SHIFT);

/** `mode`: frames must be masked (we read as a server would). */
const MASKED: u32 = 0x01;
/** `mode`: text is passed on unseen. */
const UNVALIDATED: u32 = 0x02;
/** `mode`: RSV1 is negotiated (RFC 7692 §6). */
const RSV1_NEGOTIATED: u32 = RSV1;

// Registers, mirrored in src/codec/layout.ts.
const CONSUMED: u32 = 0;
const FRAGMENT: u32 = 4;
const UTF8: u32 = 8;
const PROCESSED: u32 = 12;
const ERROR: u32 = 16;
const PENDING_HEADER: u32 = 20;
const PENDING_FIRST_BYTE: u32 = 24;
const PENDING_LENGTH: u32 = 28;
const PENDING_KEY: u32 = 32;
const LAST_MESSAGE: u32 = 36;
const CONTROLS: u32 = 40;
const AHEAD: u32 = 44;

// Errors, mirrored in src/codec/layout.ts.
const NONE: i32 = 0;
const RESERVED_BITS: i32 = 1;
const RESERVED_OPCODE: i32 = 2;
const CONTROL_FRAGMENTED: i32 = 3;
const UNEXPECTED_CONTINUATION: i32 = 4;
const EXPECTED_CONTINUATION: i32 = 5;
const MASK_BIT: i32 = 6;
const CONTROL_TOO_LONG: i32 = 7;
const LENGTH_NOT_MINIMAL: i32 = 8;
const LENGTH_INVALID: i32 = 9;
const INVALID_UTF8: i32 = 10;
const MESSAGE_TOO_LARGE: i32 = 11;

function set(register: u32, value: u32): void {
  store<u32>(REGISTERS + register, value);
}

/** What is wrong with a frame's first byte, given the fragmented message it comes in (0: none). §5.2, §5.4, §5.5 */
function firstByteError(byte: u32, fragment: u32, mode: u32): i32 {
  const opcode = byte & OPCODE;
  const starts = opcode == TEXT || opcode == BINARY;
  const allowed: u32 = starts ? mode & RSV1_NEGOTIATED : 0;
  if (byte & RESERVED & ~allowed) return RESERVED_BITS;
  if (opcode & CONTROL) {
    if (opcode > PONG) return RESERVED_OPCODE;
    return byte & FIN ? NONE : CONTROL_FRAGMENTED;
  }
  if (opcode == CONTINUATION) return fragment ? NONE : UNEXPECTED_CONTINUATION;
  if (opcode > BINARY) return RESERVED_OPCODE;
  return fragment ? EXPECTED_CONTINUATION : NONE;
}

/**
 * Parses [start, end), one call per read. Every complete frame becomes an entry of the frame table: payload
 * address, then length, kind (a whole message: binary, text, or text that is pure ASCII; 0: not a whole message)
 * and first byte in one word. Masked payloads are unmasked in place, text is validated.
 *
 * `limit` is the most bytes an uncompressed message may have, of which `assembled` have come in earlier fragments. `fragment` is
 * the opcode of the fragmented message in progress (0: none; RSV1 kept above it), `utf8` its
 * validation state, `processed` how many payload bytes of the frame at `start` an earlier call has already
 * unmasked and validated. The registers give all three for the next call, and tell what stopped this one: a
 * wrong byte (`ERROR`), or a frame whose end is missing (`CONSUMED` is its address; `PENDING_…` its header,
 * when that is complete). A wrong byte is found as soon as it is there, in an unfinished frame too; what stands
 * behind it, or behind a Close frame, is not looked at.
 *
 * Returns the number of entries.
 */
export function readFrames(
  start: u32,
  end: u32,
  mode: u32,
  limit: u32,
  assembled: u32,
  fragment: u32,
  utf8: i32,
  processed: u32,
): i32 {
  let at = start;
  let entry = FRAME_TABLE;
  let lastMessage: u32 = <u32>-1;
  let controls: u32 = 0;
  let error = NONE;
  let pendingHeader: u32 = 0;
  let ahead: u32 = 0;

  while (at < end) {
    // Binary messages in a row, the commonest case, take one load and five comparisons each. All that is said
    // below holds for them (bench: micro, header parse: 6 ns a frame without this loop, under 2 with it).
    if ((fragment | processed | (mode & MASKED)) == 0) {
      const first = entry;
      while (true) {
        const header: u32 = load<u32>(at);
        let length: u32 = (header >> 8) & 0xff;
        let payload = at + 2;
        if (length >= LENGTH_16) {
          if (length != LENGTH_16) break;
          length = ((header >> 8) & 0xff00) | (header >> 24);
          payload = at + 4;
          if (length < LENGTH_16) break;
        }
        if ((header & 0xff) != (FIN | BINARY) || payload + length > end || length > limit) break;
        store<u64>(entry, <u64>payload | ((<u64>(length | WHOLE_BINARY)) << 32));
        entry += 8;
        // Each header is found through the one before it, so each would wait for the cache. Messages in a row are
        // mostly of one length: a look at where the eighth from here should begin has it there in time (bench:
        // receive, 128 B: 0.72 of the floor without, 0.80 with). What lies there does not matter, but it is memory.
        ahead += load<u8>(payload + (length << 3));
        at = payload + length;
      }
      if (entry != first) lastMessage = ((entry - FRAME_TABLE) >> 3) - 1;
      if (at >= end) break;
    }

    const available = end - at;
    const firstByte: u32 = load<u8>(at);
    const opcode = firstByte & OPCODE;
    error = firstByteError(firstByte, fragment, mode);
    if (error) break;
    if (available < 2) break;

    const secondByte: u32 = load<u8>(at, 1);
    const masked = secondByte & MASK;
    if ((masked != 0) != ((mode & MASKED) != 0)) {
      error = MASK_BIT;
      break;
    }

    let length: u32 = secondByte & LENGTH;
    let lengthHigh: u32 = 0;
    let header: u32 = 2;
    if (length >= LENGTH_16) {
      if (opcode & CONTROL) {
        error = CONTROL_TOO_LONG;
        break;
      }
      if (length == LENGTH_16) {
        if (available < 4) break;
        length = bswap<u16>(load<u16>(at, 2));
        header = 4;
        if (length < 126) {
          error = LENGTH_NOT_MINIMAL;
          break;
        }
      } else {
        if (available >= 3 && load<u8>(at, 2) & 0x80) {
          error = LENGTH_INVALID;
          break;
        }
        if (available < 10) break;
        lengthHigh = bswap<u32>(load<u32>(at, 2));
        length = bswap<u32>(load<u32>(at, 6));
        header = 10;
        if (lengthHigh == 0 && length <= 0xffff) {
          error = LENGTH_NOT_MINIMAL;
          break;
        }
      }
    }

    let key: u32 = 0;
    if (masked) {
      if (available < header + 4) break;
      key = load<u32>(at + header);
      header += 4;
    }

    if ((opcode & CONTROL) == 0) {
      if (opcode != CONTINUATION) assembled = 0;
      // What a compressed message has inflated to is for the inflater to say.
      const compressed = (opcode == CONTINUATION ? fragment : firstByte) & RSV1;
      if (lengthHigh != 0 || (!compressed && <u64>assembled + <u64>length > <u64>limit)) {
        error = MESSAGE_TOO_LARGE;
        break;
      }
      assembled += length;
    }

    const payload = at + header;
    const arrived = available - header;
    const complete = lengthHigh == 0 && length <= arrived;
    const present = complete ? length : arrived;

    if (masked) mask(payload + processed, payload + present, key, processed);

    let kind: u32 = 0;
    if (firstByte == (FIN | BINARY)) kind = KIND_BINARY;
    else if (firstByte == (FIN | TEXT)) kind = KIND_TEXT;
    const starts = (opcode == TEXT || opcode == BINARY) && processed == 0;
    if (starts) utf8 = UTF8_START;
    // Text is validated where it lies, unless it is compressed: then after inflating.
    const message = opcode == CONTINUATION ? fragment : firstByte & (OPCODE | RSV1);
    if (message == TEXT && (mode & UNVALIDATED) == 0) {
      if (complete && kind == KIND_TEXT && processed == 0 && isAscii(payload, length)) {
        kind = KIND_ASCII;
      } else {
        utf8 = validateUtf8(payload + processed, payload + present, utf8);
        // In the last frame of a message, a character that is cut short is wrong as well (§8.1).
        if (utf8 == UTF8_INVALID || (complete && firstByte & FIN && utf8 & UTF8_MISSING)) {
          error = INVALID_UTF8;
        } else if (kind == KIND_TEXT && !(utf8 & UTF8_NON_ASCII)) {
          kind = KIND_ASCII;
        }
      }
    }

    if (error) break;
    if (!complete) {
      pendingHeader = header;
      set(PENDING_FIRST_BYTE, firstByte);
      set(PENDING_LENGTH, length);
      set(PENDING_KEY, key);
      processed = present;
      break;
    }

    store<u32>(entry, payload);
    store<u32>(entry, (firstByte << FIRST_BYTE_SHIFT) | (kind << KIND_SHIFT) | length, 4);
    if (opcode & CONTROL) {
      controls++;
      if (opcode == CLOSE) end = payload + length;
    } else if (firstByte & FIN) {
      lastMessage = (entry - FRAME_TABLE) >> 3;
      fragment = 0;
    } else if (opcode != CONTINUATION) {
      fragment = message;
    }
    entry += 8;
    processed = 0;
    at = payload + length;
  }

  set(CONSUMED, at);
  set(FRAGMENT, fragment);
  set(UTF8, utf8);
  set(PROCESSED, processed);
  set(ERROR, error);
  set(PENDING_HEADER, pendingHeader);
  set(LAST_MESSAGE, lastMessage);
  set(CONTROLS, controls);
  // What was looked at ahead means nothing; stored, it is not optimised away.
  set(AHEAD, ahead);
  return (entry - FRAME_TABLE) >> 3;
}

/**
 * Writes a frame header at `at` (room for 14 bytes) with the shortest length that fits; `masked` (0 or 1) adds
 * `key`. Returns the header's size.
 */
export function writeHeader(
  at: u32,
  firstByte: u32,
  length: u32,
  lengthHigh: u32,
  masked: u32,
  key: u32,
): u32 {
  store<u8>(at, firstByte);
  let size: u32;
  if (lengthHigh != 0 || length > 0xffff) {
    store<u8>(at, (masked << 7) | LENGTH_64, 1);
    store<u32>(at, bswap<u32>(lengthHigh), 2);
    store<u32>(at, bswap<u32>(length), 6);
    size = 10;
  } else if (length > 125) {
    store<u8>(at, (masked << 7) | LENGTH_16, 1);
    store<u16>(at, bswap<u16>(<u16>length), 2);
    size = 4;
  } else {
    store<u8>(at, (masked << 7) | length, 1);
    size = 2;
  }
  if (masked) {
    store<u32>(at + size, key);
    size += 4;
  }
  return size;
}

/** Writes the header of a masked frame before its payload, which is in place already, and masks it. */
export function sealFrame(at: u32, firstByte: u32, length: u32, key: u32): void {
  const payload = at + writeHeader(at, firstByte, length, 0, 1, key);
  mask(payload, payload + length, key, 0);
}
