// Prefix codes of DEFLATE, RFC 1951 §3.2: from code lengths to tables that decode a symbol with one or two loads.
//
// A table is indexed by the next bits of the input, first bit lowest. An entry says what they mean:
//   bits 0–5    how many bits to take, extra bits included
//   bits 8–11   how many of them are the code
//   bits 16–30  the value: a literal, or what the extra bits are added to, for a length or a distance
//   bit  31     a literal
//   bit  15     none of these: bit 14 the end of the block, bit 13 a longer code, or a code that means nothing.
// For a longer code bits 16–30 are the index of its own table, behind this one, and bits 8–11 the bits that index it.

import { INFLATE_TABLES } from './layout';

export const LITERAL: u32 = 0x8000_0000;
export const SPECIAL: u32 = 0x8000;
export const END_OF_BLOCK: u32 = 0x4000;
export const LONGER: u32 = 0x2000;
const VALUE: u32 = 16;
const CODE_LENGTH: u32 = 8;
const UNUSED_CODE: u32 = SPECIAL | (1 << CODE_LENGTH) | 1;

/** How many code lengths the block has, of either kind. */
const LITERALS_READ: u32 = INFLATE_TABLES + 0x38;
const DISTANCES_READ: u32 = INFLATE_TABLES + 0x3c;
/** The code lengths of a dynamic block: literals and lengths, then distances; a run may be written past their end. */
export const LENGTHS: u32 = INFLATE_TABLES + 0x40;
const LENGTHS_SIZE: u32 = 0x1c0;

const LITERALS: u32 = 288;
const DISTANCES: u32 = 32;
const LONGEST_CODE: u32 = 15;

/** Every symbol's entry, yet without the length of its code. */
const LITERAL_SYMBOLS: u32 = LENGTHS + LENGTHS_SIZE;
const DISTANCE_SYMBOLS: u32 = LITERAL_SYMBOLS + LITERALS * 4;

/** For building: codes of each length, where they begin among the sorted symbols, and these. */
const COUNTS: u32 = DISTANCE_SYMBOLS + DISTANCES * 4;
const POSITIONS: u32 = COUNTS + 0x40;
const SORTED: u32 = POSITIONS + 0x40;

/** The code that the code lengths are written in: seven bits to a byte, the symbol above the length of its code. */
const LENGTH_CODE: u32 = SORTED + LITERALS * 4;
const LENGTH_CODE_BITS: u32 = 7;

/** Tables with the ones of longer codes behind them: 1 334 entries are the most that 10 bits can need, 402 that 8 can. */
export const LITERAL_TABLE: u32 = INFLATE_TABLES + 0x2000;
export const LITERAL_TABLE_BITS: u32 = 10;
export const DISTANCE_TABLE: u32 = INFLATE_TABLES + 0x4000;
export const DISTANCE_TABLE_BITS: u32 = 8;

/** The tables of fixed blocks (§3.2.6). */
export const FIXED_LITERAL_TABLE: u32 = INFLATE_TABLES + 0x5000;
export const FIXED_LITERAL_BITS: u32 = 9;
export const FIXED_DISTANCE_TABLE: u32 = INFLATE_TABLES + 0x6000;
export const FIXED_DISTANCE_BITS: u32 = 5;

/** How 16 bytes repeat the first 1 to 15 of them, as a swizzle; and how many of the 16 are whole repetitions. */
export const REPETITIONS: u32 = INFLATE_TABLES + 0x7000;
export const WHOLE_REPETITIONS: u32 = REPETITIONS + 0x100;

/** Fills what never changes. Called once, before anything is inflated. */
export function prepareInflate(): void {
  for (let i: u32 = 0; i < 256; i++) store<u32>(LITERAL_SYMBOLS + i * 4, LITERAL | (i << VALUE));
  store<u32>(LITERAL_SYMBOLS + 256 * 4, SPECIAL | END_OF_BLOCK);
  // Lengths 3–258 and distances 1–32768, §3.2.5. 258 has a code of its own; 286, 287, 30 and 31 mean nothing.
  for (let i: u32 = 0; i < 28; i++) {
    const extra: u32 = i < 8 ? 0 : (i >> 2) - 1;
    const base: u32 = 3 + (i < 8 ? i : (4 + (i & 3)) << extra);
    store<u32>(LITERAL_SYMBOLS + (257 + i) * 4, (base << VALUE) | extra);
  }
  store<u32>(LITERAL_SYMBOLS + 285 * 4, 258 << VALUE);
  store<u32>(LITERAL_SYMBOLS + 286 * 4, SPECIAL);
  store<u32>(LITERAL_SYMBOLS + 287 * 4, SPECIAL);
  for (let i: u32 = 0; i < 30; i++) {
    const extra: u32 = i < 4 ? 0 : (i >> 1) - 1;
    const base: u32 = 1 + (i < 4 ? i : (2 + (i & 1)) << extra);
    store<u32>(DISTANCE_SYMBOLS + i * 4, (base << VALUE) | extra);
  }
  store<u32>(DISTANCE_SYMBOLS + 30 * 4, SPECIAL);
  store<u32>(DISTANCE_SYMBOLS + 31 * 4, SPECIAL);

  memory.fill(LENGTHS, 8, 144);
  memory.fill(LENGTHS + 144, 9, 112);
  memory.fill(LENGTHS + 256, 7, 24);
  memory.fill(LENGTHS + 280, 8, 8);
  buildTable(LENGTHS, LITERALS, LITERAL_SYMBOLS, FIXED_LITERAL_TABLE, FIXED_LITERAL_BITS);
  memory.fill(LENGTHS, 5, DISTANCES);
  buildTable(LENGTHS, DISTANCES, DISTANCE_SYMBOLS, FIXED_DISTANCE_TABLE, FIXED_DISTANCE_BITS);

  for (let distance: u32 = 1; distance < 16; distance++) {
    for (let i: u32 = 0; i < 16; i++) store<u8>(REPETITIONS + distance * 16 + i, i % distance);
    store<u8>(WHOLE_REPETITIONS + distance, 16 - (16 % distance));
  }
}

/** The tables of a dynamic block from `LENGTHS`. Returns their two indices' bits, or 0 when a code is not legal. */
export function buildTables(): u32 {
  const literals = load<u32>(LITERALS_READ);
  const distances = load<u32>(DISTANCES_READ);
  // Without an end a block has none (§3.2.7).
  if (load<u8>(LENGTHS + 256) == 0) return 0;
  const literalBits = buildTable(LENGTHS, literals, LITERAL_SYMBOLS, LITERAL_TABLE, LITERAL_TABLE_BITS);
  if (literalBits == 0) return 0;
  const distanceBits = buildTable(
    LENGTHS + literals,
    distances,
    DISTANCE_SYMBOLS,
    DISTANCE_TABLE,
    DISTANCE_TABLE_BITS,
  );
  return distanceBits == 0 ? 0 : (literalBits << 8) | distanceBits;
}

/** The symbols among 16 that have a code, as bits; most have none. */
function coded(lengths: u32, left: u32): u32 {
  const used = <u32>i8x16.bitmask(i8x16.ne(v128.load(lengths), i8x16.splat(0)));
  return left < 16 ? used & ((1 << left) - 1) : used;
}

/** The next code of as many bits as `mask` has: codes count up, but stand in the input first bit first (§3.1.1). */
function nextCode(code: u32, mask: u32): u32 {
  const bit = <u32>0x8000_0000 >> <u32>clz<u32>(code ^ mask);
  return (code & (bit - 1)) | bit;
}

/**
 * A table of at most `mostBits` bits from the lengths of `symbols` codes (§3.2.2). Returns its bits, or 0 when the
 * lengths cannot be those of a code: more codes than bits can tell apart, or fewer, except that of a single symbol
 * (§3.2.7), or none.
 */
function buildTable(lengths: u32, symbols: u32, entries: u32, table: u32, mostBits: u32): u32 {
  const zero = i8x16.splat(0);
  v128.store(COUNTS, zero);
  v128.store(COUNTS, zero, 16);
  v128.store(COUNTS, zero, 32);
  v128.store(COUNTS, zero, 48);
  for (let at: u32 = 0; at < symbols; at += 16) {
    let used = coded(lengths + at, symbols - at);
    while (used) {
      const counter = COUNTS + ((<u32>load<u8>(lengths + at + ctz(used))) << 2);
      store<u32>(counter, load<u32>(counter) + 1);
      used &= used - 1;
    }
  }

  let space: u32 = 0;
  let position: u32 = SORTED;
  let longest: u32 = 0;
  for (let length: u32 = 1; length <= LONGEST_CODE; length++) {
    const count = load<u32>(COUNTS + (length << 2));
    store<u32>(POSITIONS + (length << 2), position);
    position += count << 2;
    space += count << (LONGEST_CODE - length);
    if (count) longest = length;
  }
  for (let at: u32 = 0; at < symbols; at += 16) {
    let used = coded(lengths + at, symbols - at);
    while (used) {
      const symbol = at + ctz(used);
      const slot = POSITIONS + ((<u32>load<u8>(lengths + symbol)) << 2);
      const to = load<u32>(slot);
      store<u32>(to, load<u32>(entries + (symbol << 2)));
      store<u32>(slot, to + 4);
      used &= used - 1;
    }
  }

  if (space != 1 << LONGEST_CODE) {
    if (longest > 1 || space > 1 << LONGEST_CODE) return 0;
    store<u32>(table, longest ? load<u32>(SORTED) + ((1 << CODE_LENGTH) | 1) : UNUSED_CODE);
    store<u32>(table, UNUSED_CODE, 4);
    return 1;
  }

  // Codes by rising length. The table's first 2^length entries repeat when a bit is added, so each is written once
  // and then copied. A copy may write past its end: what lies there is yet to be written.
  const bits = min(longest, mostBits);
  let next: u32 = SORTED;
  let code: u32 = 0;
  let size: u32 = 1;
  for (let length: u32 = 1; length <= bits; length++) {
    const to = table + (size << 2);
    for (let at: u32 = 0; at < size << 2; at += 16) v128.store(to + at, v128.load(table + at));
    size <<= 1;
    const end = load<u32>(POSITIONS + (length << 2));
    const add = (length << CODE_LENGTH) | length;
    while (next < end) {
      store<u32>(table + (code << 2), load<u32>(next) + add);
      code = nextCode(code, size - 1);
      next += 4;
    }
  }
  if (longest > bits) buildLonger(table, bits, longest, next, code);
  return bits;
}

/** Codes longer than a table's bits: those that begin alike share a table behind it. */
function buildLonger(table: u32, bits: u32, longest: u32, next: u32, code: u32): void {
  const mask: u32 = (1 << bits) - 1;
  let prefix: u32 = <u32>-1;
  let index: u32 = 1 << bits;
  let own: u32 = 0;
  let ownBits: u32 = 0;
  for (let length = bits + 1; length <= longest; length++) {
    const end = load<u32>(POSITIONS + (length << 2));
    const add = (length << CODE_LENGTH) | length;
    while (next < end) {
      if ((code & mask) != prefix) {
        prefix = code & mask;
        // As many bits as it takes to make the codes that begin like this one complete.
        ownBits = length - bits;
        let filled = (end - next) >> 2;
        while (filled < 1 << ownBits) {
          ownBits++;
          filled = (filled << 1) + load<u32>(COUNTS + ((bits + ownBits) << 2));
        }
        store<u32>(
          table + (prefix << 2),
          (index << VALUE) | SPECIAL | LONGER | (ownBits << CODE_LENGTH) | bits,
        );
        own = table + (index << 2);
        index += 1 << ownBits;
      }
      const entry = load<u32>(next) + add;
      for (let i = code >> bits; i < 1 << ownBits; i += 1 << (length - bits))
        store<u32>(own + (i << 2), entry);
      code = nextCode(code, (1 << length) - 1);
      next += 4;
    }
  }
}

/** The order in which the lengths of the code for code lengths stand, §3.2.7. */
// biome-ignore format: a table
const LENGTH_ORDER = memory.data<u8>([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]);

/** What `readLengths` returns besides a position. */
export const INCOMPLETE: u32 = 0;
export const ILLEGAL: u32 = 1;

/**
 * Reads the code lengths of a dynamic block (§3.2.7) into `LENGTHS`. Positions are counted in bits, `cursor` behind
 * the block's type. Returns the position behind them; or `INCOMPLETE`, or `ILLEGAL` when the bits up to `end` tell.
 */
export function readLengths(cursor: u32, end: u32): u32 {
  let bits = load<u64>(cursor >> 3) >> (cursor & 7);
  const literals = (<u32>bits & 31) + 257;
  const distances = ((<u32>bits >> 5) & 31) + 1;
  const lengthCodes = ((<u32>bits >> 10) & 15) + 4;
  cursor += 14;
  if (cursor > end) return INCOMPLETE;
  if (literals > 286 || distances > 30) return ILLEGAL;

  // 57 bits are there for sure, and 19 × 3 the most that are needed.
  bits = load<u64>(cursor >> 3) >> (cursor & 7);
  cursor += 3 * lengthCodes;
  if (cursor > end) return INCOMPLETE;
  if (!buildLengthCode(bits, lengthCodes)) return ILLEGAL;

  const total = literals + distances;
  let at: usize = cursor >> 3;
  let count: u32 = 56 - (cursor & 7);
  bits = load<u64>(at) >> (cursor & 7);
  at += 7;
  let i: u32 = 0;
  let legal = true;
  while (i < total) {
    bits |= load<u64>(at) << count;
    at += 7 - (count >> 3);
    count |= 56;
    const entry: u32 = load<u8>(LENGTH_CODE + (<u32>bits & ((1 << LENGTH_CODE_BITS) - 1)));
    const symbol = entry >> 3;
    bits >>= entry & 7;
    count -= entry & 7;
    if (symbol < 16) {
      store<u8>(LENGTHS + i, symbol);
      i++;
    } else if (symbol == 16) {
      const repeat: u32 = 3 + (<u32>bits & 3);
      bits >>= 2;
      count -= 2;
      legal = i > 0;
      store<u64>(LENGTHS + i, <u64>load<u8>(LENGTHS + i - 1) * 0x0101_0101_0101_0101);
      i += repeat;
    } else if (symbol == 17) {
      const repeat: u32 = 3 + (<u32>bits & 7);
      bits >>= 3;
      count -= 3;
      v128.store(LENGTHS + i, i8x16.splat(0));
      i += repeat;
    } else {
      const repeat: u32 = 11 + (<u32>bits & 127);
      bits >>= 7;
      count -= 7;
      for (let done: u32 = 0; done < repeat; done += 16) v128.store(LENGTHS + i + done, i8x16.splat(0));
      i += repeat;
    }
    if (!legal) break;
  }
  cursor = ((<u32>at) << 3) - count;
  if (cursor > end) return INCOMPLETE;
  if (!legal || i != total) return ILLEGAL;
  store<u32>(LITERALS_READ, literals);
  store<u32>(DISTANCES_READ, distances);
  return cursor;
}

/** The code that the code lengths are written in, from the lengths of `count` codes of three bits each. */
function buildLengthCode(bits: u64, count: u32): bool {
  v128.store(LENGTHS, i8x16.splat(0));
  v128.store(LENGTHS, i8x16.splat(0), 16);
  // How many codes have each length, a byte each.
  let counts: u64 = 0;
  let space: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const length = <u32>bits & 7;
    bits >>= 3;
    if (length == 0) continue;
    store<u8>(LENGTHS + load<u8>(LENGTH_ORDER + i), length);
    counts += (<u64>1) << (length << 3);
    space += (1 << LENGTH_CODE_BITS) >> length;
  }
  if (space != 1 << LENGTH_CODE_BITS) {
    // zlib takes no codes at all for codes that mean 0, and finds no end of block (buildTables).
    memory.fill(LENGTH_CODE, 1, 1 << LENGTH_CODE_BITS);
    return space == 0;
  }

  const ends = counts * 0x0101_0101_0101_0101;
  let positions = ends << 8;
  for (let used = coded(LENGTHS, 16) | (coded(LENGTHS + 16, 3) << 16); used; used &= used - 1) {
    const symbol = <u32>ctz(used);
    const length = <u32>load<u8>(LENGTHS + symbol);
    store<u8>(SORTED + (<u32>(positions >> (length << 3)) & 0xff), (symbol << 3) | length);
    positions += (<u64>1) << (length << 3);
  }
  let next: u32 = 0;
  let code: u32 = 0;
  let size: u32 = 1;
  for (let length: u32 = 1; length <= LENGTH_CODE_BITS; length++) {
    const to = LENGTH_CODE + size;
    for (let at: u32 = 0; at < size; at += 16) v128.store(to + at, v128.load(LENGTH_CODE + at));
    size <<= 1;
    const end = <u32>(ends >> (length << 3)) & 0xff;
    while (next < end) {
      store<u8>(LENGTH_CODE + code, load<u8>(SORTED + next));
      code = nextCode(code, size - 1);
      next++;
    }
  }
  return true;
}
