// DEFLATE, RFC 1951, as permessage-deflate uses it (RFC 7692 §7.2.2): decoded where it lies, behind its history.
//
// Positions in the input are counted in bits, in one word: an address in linear memory times 8 fits. Nothing is
// consumed but whole symbols, so the position is all that must be known to go on when more input has come or the
// output has been emptied, besides the state below and, in a dynamic block, the code lengths.

import {
  buildTables,
  DISTANCE_TABLE,
  END_OF_BLOCK,
  FIXED_DISTANCE_BITS,
  FIXED_DISTANCE_TABLE,
  FIXED_LITERAL_BITS,
  FIXED_LITERAL_TABLE,
  ILLEGAL,
  INCOMPLETE,
  LITERAL,
  LITERAL_TABLE,
  LONGER,
  REPETITIONS,
  readLengths,
  SPECIAL,
  WHOLE_REPETITIONS,
} from './huffman';
import { INFLATE_TABLES } from './layout';

export { prepareInflate } from './huffman';

// The state, mirrored in src/codec/layout.ts.
const POSITION: u32 = 0;
const OUTPUT: u32 = 4;
const MODE: u32 = 8;
const STORED_LEFT: u32 = 12;
const MAY_END: u32 = 16;
const LITERAL_BITS: u32 = 20;
const DISTANCE_BITS: u32 = 24;

/** `MODE`: what comes next. */
const BLOCK: u32 = 0;
const STORED_LENGTH: u32 = 1;
const STORED: u32 = 2;
const FIXED: u32 = 3;
const DYNAMIC: u32 = 4;

// Results, mirrored in src/codec/layout.ts.
/** The input ends where a message may. */
const ENDED: i32 = 0;
/** The input ends elsewhere. */
const NEEDS_INPUT: i32 = 1;
const NEEDS_ROOM: i32 = 2;
const CORRUPT: i32 = 3;
/** Of `decode` only. */
const BLOCK_ENDED: i32 = 4;

/** `resume`, mirrored too: the message begins; it goes on; it goes on after others, with its state put back. */
const START: u32 = 0;
const RESTORE: u32 = 2;

function set(word: u32, value: u32): void {
  store<u32>(INFLATE_TABLES + word, value);
}

function get(word: u32): u32 {
  return load<u32>(INFLATE_TABLES + word);
}

/**
 * Inflates [input, inputEnd), of a message without the `00 00 ff ff` that its sender removed, to `output`, until that
 * reaches `outputEnd`; up to 260 bytes more may come, and what lies up to 320 bytes behind is overwritten. 16 bytes
 * behind the input are looked at. A distance may reach `window` bytes back, but not below `floor`.
 *
 * Returns why it stopped. `POSITION` says where in the input, in bits, and `OUTPUT` where the output ends.
 */
export function inflate(
  input: u32,
  inputEnd: u32,
  output: u32,
  outputEnd: u32,
  floor: u32,
  window: u32,
  resume: u32,
): i32 {
  const end = inputEnd << 3;
  let cursor = input << 3;
  let out = output;
  let mode = BLOCK;
  // A message of no bytes at all is taken for an empty one.
  let mayEnd: u32 = 1;
  let result = ENDED;
  if (resume != START) {
    cursor += get(POSITION) & 7;
    mode = get(MODE);
    mayEnd = get(MAY_END);
    if (resume == RESTORE && mode == DYNAMIC) buildDynamic();
  }

  while (true) {
    if (mode == BLOCK) {
      if (cursor + 3 > end) {
        result = cursor == end && mayEnd ? ENDED : NEEDS_INPUT;
        break;
      }
      // One byte may hold the header's end, and the next its beginning.
      const header = <u32>load<u16>(cursor >> 3) >> (cursor & 7);
      const type = (header >> 1) & 3;
      if (type == 0) {
        cursor = (cursor + 3 + 7) & ~7;
        mode = STORED_LENGTH;
      } else if (type == 1) {
        cursor += 3;
        mode = FIXED;
      } else if (type == 2) {
        const behind = readLengths(cursor + 3, end);
        if (behind == INCOMPLETE) {
          result = NEEDS_INPUT;
          break;
        }
        if (behind == ILLEGAL || !buildDynamic()) {
          result = CORRUPT;
          break;
        }
        cursor = behind;
        mode = DYNAMIC;
      } else {
        result = CORRUPT;
        break;
      }
      mayEnd = header & 1;
    }

    if (mode >= FIXED) {
      set(POSITION, cursor);
      set(OUTPUT, out);
      result =
        mode == FIXED
          ? decode(
              FIXED_LITERAL_TABLE,
              (1 << FIXED_LITERAL_BITS) - 1,
              FIXED_DISTANCE_TABLE,
              (1 << FIXED_DISTANCE_BITS) - 1,
              inputEnd,
              outputEnd,
              floor,
              window,
            )
          : decode(
              LITERAL_TABLE,
              (1 << get(LITERAL_BITS)) - 1,
              DISTANCE_TABLE,
              (1 << get(DISTANCE_BITS)) - 1,
              inputEnd,
              outputEnd,
              floor,
              window,
            );
      cursor = get(POSITION);
      out = get(OUTPUT);
      if (result != BLOCK_ENDED) break;
    } else {
      const at = cursor >> 3;
      if (mode == STORED_LENGTH) {
        // Here the sender of a message removed the rest of an empty block (RFC 7692 §7.2.1).
        if (inputEnd - at < 4) {
          result = inputEnd == at ? ENDED : NEEDS_INPUT;
          break;
        }
        const length: u32 = load<u16>(at);
        if ((length ^ 0xffff) != <u32>load<u16>(at, 2)) {
          result = CORRUPT;
          break;
        }
        cursor += 32;
        set(STORED_LEFT, length);
        mode = STORED;
        continue;
      }
      const left = get(STORED_LEFT);
      const room = out < outputEnd ? outputEnd - out : 0;
      const length = min(min(left, inputEnd - at), room);
      memory.copy(out, at, length);
      out += length;
      cursor += length << 3;
      set(STORED_LEFT, left - length);
      if (length < left) {
        result = length == room ? NEEDS_ROOM : NEEDS_INPUT;
        break;
      }
    }

    // Behind the last block, DEFLATE starts again at the next byte, with the history kept (RFC 7692 §7.2.3.4–5).
    if (mayEnd) cursor = (cursor + 7) & ~7;
    mode = BLOCK;
  }

  set(POSITION, cursor);
  set(OUTPUT, out);
  set(MODE, mode);
  set(MAY_END, mayEnd);
  return result;
}

function buildDynamic(): bool {
  const bits = buildTables();
  set(LITERAL_BITS, bits >> 8);
  set(DISTANCE_BITS, bits & 0xff);
  return bits != 0;
}

/**
 * A compressed block's symbols (§3.2.3) from `POSITION`, to `OUTPUT`.
 *
 * The first loop may take up to 56 bits before it looks whether there are more, so it ends 8 bytes early; the second
 * one looks before each symbol.
 */
function decode(
  literals: u32,
  literalMask: u32,
  distances: u32,
  distanceMask: u32,
  inputEnd: u32,
  outputEnd: u32,
  floor: u32,
  window: u32,
): i32 {
  const end = inputEnd << 3;
  let cursor = get(POSITION);
  let out = get(OUTPUT);

  // `bits` holds at least the next `count` bits of the input, of which `at` is the byte behind; only the lowest byte
  // of `count` means anything. Filled up, there are at least 56.
  let at = cursor >> 3;
  let bits = load<u64>(at) >> (cursor & 7);
  let count: u32 = 56 - (cursor & 7);
  at += 7;
  bits |= load<u64>(at) << count;
  at += 7 - ((count >> 3) & 7);
  count |= 56;
  let entry = load<u32>(literals + ((<u32>bits & literalMask) << 2));

  while (at <= inputEnd && out < outputEnd) {
    if (entry & LITERAL) {
      bits >>= entry;
      count -= entry;
      store<u8>(out++, entry >> 16);
      entry = load<u32>(literals + ((<u32>bits & literalMask) << 2));
      if (entry & LITERAL) {
        bits >>= entry;
        count -= entry;
        store<u8>(out++, entry >> 16);
        entry = load<u32>(literals + ((<u32>bits & literalMask) << 2));
        if (entry & LITERAL) {
          bits >>= entry;
          count -= entry;
          store<u8>(out++, entry >> 16);
          bits |= load<u64>(at) << count;
          at += 7 - ((count >> 3) & 7);
          count |= 56;
          entry = load<u32>(literals + ((<u32>bits & literalMask) << 2));
          continue;
        }
      }
      bits |= load<u64>(at) << count;
      at += 7 - ((count >> 3) & 7);
      count |= 56;
      if (at > inputEnd) break;
    }

    if (entry & SPECIAL) {
      if (entry & LONGER) entry = longer(literals, entry, bits);
      if (entry & LITERAL) {
        bits >>= entry;
        count -= entry;
        store<u8>(out++, entry >> 16);
        bits |= load<u64>(at) << count;
        at += 7 - ((count >> 3) & 7);
        count |= 56;
        entry = load<u32>(literals + ((<u32>bits & literalMask) << 2));
        continue;
      }
      if (entry & SPECIAL) break;
    }

    const length = (entry >> 16) + <u32>((bits & ~((<u64>-1) << entry)) >> (entry >> 8));
    bits >>= entry;
    count -= entry;
    let far = load<u32>(distances + ((<u32>bits & distanceMask) << 2));
    if (far & LONGER) far = longer(distances, far, bits);
    if (far & SPECIAL) {
      set(OUTPUT, out);
      return CORRUPT;
    }
    const distance = (far >> 16) + <u32>((bits & ~((<u64>-1) << far)) >> (far >> 8));
    bits >>= far;
    count -= far;
    if (distance > window || distance > out - floor) {
      set(OUTPUT, out);
      return CORRUPT;
    }
    // The next symbol is looked up first, so that it is there when the copy is done.
    bits |= load<u64>(at) << count;
    at += 7 - ((count >> 3) & 7);
    count |= 56;
    entry = load<u32>(literals + ((<u32>bits & literalMask) << 2));
    repeat(out, distance, length);
    out += length;
  }

  cursor = (at << 3) - (count & 63);
  let result = CORRUPT;
  while (true) {
    if (out >= outputEnd) {
      result = NEEDS_ROOM;
      break;
    }
    const available = cursor < end ? end - cursor : 0;
    bits = load<u64>(cursor >> 3) >> (cursor & 7);
    entry = load<u32>(literals + ((<u32>bits & literalMask) << 2));
    if (entry & LONGER) entry = longer(literals, entry, bits);
    let taken = entry & 63;
    if (taken > available) {
      result = NEEDS_INPUT;
      break;
    }
    if (entry & LITERAL) {
      store<u8>(out++, entry >> 16);
      cursor += taken;
      continue;
    }
    if (entry & SPECIAL) {
      if (entry & END_OF_BLOCK) {
        cursor += taken;
        result = BLOCK_ENDED;
      }
      break;
    }
    const length = (entry >> 16) + <u32>((bits & ~((<u64>-1) << entry)) >> (entry >> 8));
    bits >>= entry;
    let far = load<u32>(distances + ((<u32>bits & distanceMask) << 2));
    if (far & LONGER) far = longer(distances, far, bits);
    if (taken + ((far >> 8) & 15) > available) {
      result = NEEDS_INPUT;
      break;
    }
    if (far & SPECIAL) break;
    taken += far & 63;
    if (taken > available) {
      result = NEEDS_INPUT;
      break;
    }
    const distance = (far >> 16) + <u32>((bits & ~((<u64>-1) << far)) >> (far >> 8));
    if (distance > window || distance > out - floor) break;
    for (const stop = out + length; out < stop; out++) store<u8>(out, load<u8>(out - distance));
    cursor += taken;
  }
  set(POSITION, cursor);
  set(OUTPUT, out);
  return result;
}

/** The entry of a code longer than its table's index. */
function longer(table: u32, entry: u32, bits: u64): u32 {
  const index = ((entry >> 16) & 0x7fff) + (<u32>(bits >> entry) & ((1 << (entry >> 8)) - 1));
  return load<u32>(table + (index << 2));
}

/** Copies `length` bytes from `distance` bytes back, in blocks of 16 (§3.2.3: the two may overlap). */
function repeat(out: u32, distance: u32, length: u32): void {
  const stop = out + length;
  let from = out - distance;
  if (distance >= 16) {
    do {
      v128.store(out, v128.load(from));
      out += 16;
      from += 16;
    } while (out < stop);
  } else {
    const pattern = v128.swizzle(v128.load(from), v128.load(REPETITIONS + (distance << 4)));
    const step: u32 = load<u8>(WHOLE_REPETITIONS + distance);
    do {
      v128.store(out, pattern);
      out += step;
    } while (out < stop);
  }
}
