// A DEFLATE compressor (RFC 1951) for what a client sends: made for messages of some hundred bytes to some KiB, where
// its time counts and a tenth more of bytes does not. One fixed Huffman block a piece (§3.2.6), matches found through
// a hash table, the first that is found taken.
//
// The bytes to compress stand in memory behind what the receiver still has of earlier ones. Whatever the hash table
// holds, a match is compared byte by byte, and lies within the history that the caller names: the table is never
// cleared.

import { DEFLATE_CODES, DEFLATE_TABLE_SIZE } from './layout';

/** The hash table has 2^13 offsets, u16 each, relative to its own start, which is its block's. */
const HASH_BITS: u32 = 13;

const LEAST_MATCH: u32 = 4;
const MOST_MATCH: u32 = 258;

// What is written for a literal, a length and a distance's code: the bits, and above them how many they are.
const LITERALS: u32 = DEFLATE_CODES;
const LENGTHS: u32 = LITERALS + 256 * 4;
const DISTANCES: u32 = LENGTHS + 259 * 4;
const COUNT_SHIFT: u32 = 24;
const BITS_MASK: u32 = 0xffffff;

function reversed(code: u32, bits: u32): u32 {
  let result: u32 = 0;
  for (let i: u32 = 0; i < bits; i++) result |= ((code >> i) & 1) << (bits - 1 - i);
  return result;
}

/** Fills the tables of codes; once, before anything is compressed. */
export function prepareDeflate(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    // §3.2.6: literals 0–143 are 8 bits from 00110000, 144–255 are 9 bits from 110010000.
    const short = byte < 144;
    const bits: u32 = short ? 8 : 9;
    const code = short ? 0x30 + byte : 0x190 + byte - 144;
    store<u32>(LITERALS + (byte << 2), (bits << COUNT_SHIFT) | reversed(code, bits));
  }
  for (let length: u32 = 3; length <= MOST_MATCH; length++) {
    // §3.2.5: four codes for each number of extra bits, and 285 for the longest.
    const from = length - 3;
    const extra: u32 = from < 8 || length == MOST_MATCH ? 0 : 29 - clz<u32>(from);
    const symbol: u32 =
      length == MOST_MATCH ? 285 : from < 8 ? 257 + from : 257 + (extra << 2) + (from >> extra);
    const bits: u32 = symbol < 280 ? 7 : 8;
    const code = symbol < 280 ? symbol - 256 : 0xc0 + symbol - 280;
    const value = reversed(code, bits) | ((from & ((1 << extra) - 1)) << bits);
    store<u32>(LENGTHS + (length << 2), ((bits + extra) << COUNT_SHIFT) | value);
  }
  for (let code: u32 = 0; code < 30; code++) store<u32>(DISTANCES + (code << 2), reversed(code, 5));
}

/**
 * Compresses [start, end), which stands behind history from `history` on, to `out`: a block, and an empty stored one
 * that brings it to a byte's border, whose `00 00 ff ff` is written as well (RFC 7692 §7.2.1 removes it at the end of a
 * message). `reach` is the greatest distance. `table` is the hash table, at the start of a block of 64 KiB in which
 * [history, end) lies too. At most 9/8 of the length and 16 bytes are written, and up to 8 bytes behind them.
 *
 * Returns where the output ends.
 */
export function deflate(table: u32, history: u32, start: u32, end: u32, out: u32, reach: u32): u32 {
  // BFINAL 0, BTYPE 01.
  let buffer: u64 = 2;
  let count: u64 = 3;
  let at = start;
  // The last bytes are too few to be looked up.
  const last = end - LEAST_MATCH;

  while (<i32>at <= <i32>last) {
    const word = load<u32>(at);
    const entry = table + (((word * 0x9e3779b1) >> (32 - HASH_BITS)) << 1);
    const candidate = table + load<u16>(entry);
    store<u16>(entry, at - table);
    const distance = at - candidate;
    // A candidate behind `at` is of bytes that were here before; its distance wraps and is too great.
    if (distance - 1 < reach && candidate >= history && load<u32>(candidate) == word) {
      let length = LEAST_MATCH;
      const most = min<u32>(end - at, MOST_MATCH);
      while (length < most) {
        const difference = load<u64>(at + length) ^ load<u64>(candidate + length);
        if (difference != 0) {
          length += <u32>(ctz<u64>(difference) >> 3);
          break;
        }
        length += 8;
      }
      length = min<u32>(length, most);

      const code = load<u32>(LENGTHS + (length << 2));
      buffer |= (<u64>(code & BITS_MASK)) << count;
      count += code >> COUNT_SHIFT;
      const from = distance - 1;
      let symbol = from;
      let extra: u32 = 0;
      if (from >= 4) {
        const top = 31 - clz<u32>(from);
        extra = top - 1;
        symbol = (top << 1) + ((from >> extra) & 1);
      }
      buffer |= (<u64>(load<u32>(DISTANCES + (symbol << 2)) | ((from & ((1 << extra) - 1)) << 5))) << count;
      count += 5 + extra;
      store<u64>(out, buffer);
      out += <u32>(count >> 3);
      buffer >>= count & ~7;
      count &= 7;

      // What lies within the match may be matched later.
      const next = at + length;
      at++;
      const stop = min<u32>(next, last);
      while (at < stop) {
        store<u16>(table + (((load<u32>(at) * 0x9e3779b1) >> (32 - HASH_BITS)) << 1), at - table);
        at++;
      }
      at = next;
      continue;
    }
    const code = load<u32>(LITERALS + ((word & 0xff) << 2));
    buffer |= (<u64>(code & BITS_MASK)) << count;
    count += code >> COUNT_SHIFT;
    if (count >= 32) {
      store<u32>(out, <u32>buffer);
      out += 4;
      buffer >>= 32;
      count -= 32;
    }
    at++;
  }
  while (at < end) {
    const code = load<u32>(LITERALS + ((<u32>load<u8>(at)) << 2));
    buffer |= (<u64>(code & BITS_MASK)) << count;
    count += code >> COUNT_SHIFT;
    at++;
    if (count >= 32) {
      store<u32>(out, <u32>buffer);
      out += 4;
      buffer >>= 32;
      count -= 32;
    }
  }

  // The end of the block is 7 zero bits, the header of the stored one 3, and so is what fills its byte.
  count += 10;
  store<u64>(out, buffer);
  out += <u32>((count + 7) >> 3);
  store<u32>(out, 0xffff0000);
  return out + 4;
}

/** The history has moved `shift` bytes towards the block's start: so does what `table` says. What fell out becomes 0. */
export function slideDeflate(table: u32, shift: u32): void {
  const by = i16x8.splat(<i16>shift);
  const end = table + DEFLATE_TABLE_SIZE;
  for (let at = table; at < end; at += 16) v128.store(at, i16x8.sub_sat_u(v128.load(at), by));
}
