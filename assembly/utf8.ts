// UTF-8 validation, RFC 6455 §8.1 and RFC 3629: incremental, and wrong at the first wrong byte.
//
// The state between two calls is one word, so that it survives frames and reads:
//   bits 0–1    continuation bytes still missing (0: at a character's border)
//   bits 8–15   lowest, and
//   bits 16–23  highest value the next byte may have
//   bit  24     a byte above 0x7F was seen in this message
// The bounds of the next byte are what tells overlong forms, surrogates and values above U+10FFFF
// apart from legal ones: they all show in the second byte (Unicode Standard, table 3-7).

export const UTF8_START: i32 = 0;
export const UTF8_INVALID: i32 = -1;
export const UTF8_MISSING: i32 = 3;
export const UTF8_NON_ASCII: i32 = 1 << 24;

function awaiting(missing: i32, lowest: i32, highest: i32): i32 {
  return missing | (lowest << 8) | (highest << 16) | UTF8_NON_ASCII;
}

/** One byte at a time: used at the edges of a piece, where a character may be cut. */
function step(state: i32, byte: i32): i32 {
  const missing = state & UTF8_MISSING;
  if (missing == 0) {
    if (byte < 0x80) return state;
    if (byte < 0xc2) return UTF8_INVALID; // a continuation byte, or an overlong form of two bytes
    if (byte < 0xe0) return awaiting(1, 0x80, 0xbf);
    if (byte < 0xf0) return awaiting(2, byte == 0xe0 ? 0xa0 : 0x80, byte == 0xed ? 0x9f : 0xbf);
    if (byte < 0xf5) return awaiting(3, byte == 0xf0 ? 0x90 : 0x80, byte == 0xf4 ? 0x8f : 0xbf);
    return UTF8_INVALID;
  }
  if (byte < ((state >> 8) & 0xff) || byte > ((state >> 16) & 0xff)) return UTF8_INVALID;
  return missing == 1 ? UTF8_NON_ASCII : awaiting(missing - 1, 0x80, 0xbf);
}

/** Where whole blocks of 16 bytes without one above 0x7F end; `end` is not passed. */
function skipAscii(start: usize, end: usize): usize {
  let at = start;
  while (at + 64 <= end) {
    const first = v128.or(v128.load(at), v128.load(at + 16));
    const second = v128.or(v128.load(at + 32), v128.load(at + 48));
    if (i8x16.bitmask(v128.or(first, second))) break;
    at += 64;
  }
  while (at + 16 <= end && i8x16.bitmask(v128.load(at)) == 0) at += 16;
  return at;
}

/** True when [start, start + length) holds nothing above 0x7F. Looks at up to 15 bytes behind, never trusts them. */
export function isAscii(start: usize, length: u32): bool {
  const end = start + length;
  return isShortAscii(skipAscii(start, end), end);
}

/** True when [at, end) is shorter than a block and holds nothing above 0x7F. */
function isShortAscii(at: usize, end: usize): bool {
  const left = end - at;
  return left < 16 && (i8x16.bitmask(v128.load(at)) & ((1 << (<i32>left)) - 1)) == 0;
}

/**
 * Validates [start, end) as the continuation of what `state` stands for; returns the new state, or
 * `UTF8_INVALID`. A message is valid when the state after its last byte has no byte missing. Looks at up to 15 bytes
 * behind, never trusts them.
 */
export function validateUtf8(start: usize, end: usize, state: i32): i32 {
  let at = start;

  // A character cut by the piece before.
  while (at < end && (state & UTF8_MISSING) != 0) {
    state = step(state, load<u8>(at));
    if (state == UTF8_INVALID) return UTF8_INVALID;
    at++;
  }

  at = skipAscii(at, end);
  if (isShortAscii(at, end)) return state;
  if (at + 16 <= end) {
    at = validateBlocks(at, end);
    if (at == 0) return UTF8_INVALID;
    state |= UTF8_NON_ASCII;
  }

  // Fewer than 16 bytes are left, and the last character before them when the blocks' end cut it.
  while (at < end) {
    state = step(state, load<u8>(at));
    if (state == UTF8_INVALID) return UTF8_INVALID;
    at++;
  }
  return state;
}

/**
 * Whole blocks of 16 bytes, by the lookup algorithm of J. Keiser and D. Lemire, "Validating UTF-8 In Less
 * Than One Instruction Per Byte" (2021): three table lookups classify each pair of neighbouring bytes, and
 * the bits that survive their AND are errors. `start` is at a character's border.
 *
 * Returns where validated characters end (at most 3 bytes before the last block's end), or 0 on a wrong byte.
 */
function validateBlocks(start: usize, end: usize): usize {
  // Error bits: 01 too short, 02 too long, 04 overlong of 3, 08 above U+10FFFF, 10 surrogate,
  // 20 overlong of 2, 40 above U+10FFFF or overlong of 4, 80 two continuations (right when 3 or 4 bytes).
  // biome-ignore format: a table
  const byFirstHigh = i8x16(
    0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
    <i8>0x80, <i8>0x80, <i8>0x80, <i8>0x80, 0x21, 0x01, 0x15, 0x49,
  );
  // biome-ignore format: a table
  const byFirstLow = i8x16(
    <i8>0xe7, <i8>0xa3, <i8>0x83, <i8>0x83, <i8>0x8b, <i8>0xcb, <i8>0xcb, <i8>0xcb,
    <i8>0xcb, <i8>0xcb, <i8>0xcb, <i8>0xcb, <i8>0xcb, <i8>0xdb, <i8>0xcb, <i8>0xcb,
  );
  // biome-ignore format: a table
  const bySecondHigh = i8x16(
    0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
    <i8>0xe6, <i8>0xae, <i8>0xba, <i8>0xba, 0x01, 0x01, 0x01, 0x01,
  );
  const lowNibble = i8x16.splat(0x0f);
  const highBit = i8x16.splat(<i8>0x80);

  let at = start;
  let before = i8x16.splat(0);
  while (at + 16 <= end) {
    const block = v128.load(at);
    // The block moved by one, two and three bytes: what stands before each byte.
    // biome-ignore format: lanes
    const first = v128.shuffle<u8>(before, block, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
    // biome-ignore format: lanes
    const second = v128.shuffle<u8>(before, block, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29);
    // biome-ignore format: lanes
    const third = v128.shuffle<u8>(before, block, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28);

    const pair = v128.and(
      v128.and(
        v128.swizzle(byFirstHigh, i8x16.shr_u(first, 4)),
        v128.swizzle(byFirstLow, v128.and(first, lowNibble)),
      ),
      v128.swizzle(bySecondHigh, i8x16.shr_u(block, 4)),
    );
    // Where a third or fourth byte is due, "two continuations" must be set, and nowhere else.
    const due = v128.and(
      v128.or(
        i8x16.sub_sat_u(second, i8x16.splat(<i8>(0xe0 - 0x80))),
        i8x16.sub_sat_u(third, i8x16.splat(<i8>(0xf0 - 0x80))),
      ),
      highBit,
    );
    if (v128.any_true(v128.xor(due, pair))) return 0;
    before = block;
    at += 16;
  }

  // A character that the last block cuts is judged byte by byte, together with what follows.
  if (load<u8>(at - 1) >= 0xc0) return at - 1;
  if (load<u8>(at - 2) >= 0xe0) return at - 2;
  if (load<u8>(at - 3) >= 0xf0) return at - 3;
  return at;
}
