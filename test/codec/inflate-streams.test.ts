/**
 * Streams made by hand: each breaks one sentence of RFC 1951, or is unusual and legal. Hexadecimal; what was inflated
 * before the wrong bit is part of the case.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compareInflated, inflateHere } from '../reference/inflate-differential.js';

type Case = [what: string, stream: string, output: string];

// biome-ignore format: a table
const ILLEGAL: readonly Case[] = [
  ['a block of type 3 (§3.2.3)', '07', ''],
  ['a stored block whose length and its complement differ (§3.2.4)', '010500fbff', ''],
  ['literal/length symbol 286 in a fixed block (§3.2.6)', '1b0300', ''],
  ['literal/length symbol 287 in a fixed block (§3.2.6)', '1b0700', ''],
  ['distance symbol 30 in a fixed block (§3.2.6)', '4b043e0000', '61'],
  ['distance symbol 31 in a fixed block (§3.2.6)', '4b047e0000', '61'],
  ['a distance from the very start (§2)', '030200', ''],
  ['a distance of 2 behind one byte (§2)', '4b044200', '61'],
  ['287 literal/length codes (§3.2.7)', 'f5e00109000000802000', ''],
  ['31 distance codes (§3.2.7)', '05fe0109000000802000', ''],
  ['32 distance codes (§3.2.7)', '05ff0109000000802000', ''],
  ['code lengths in a code with too many codes (§3.2.2, §3.2.7)', '05e08104000000001000', ''],
  ['code lengths in a code with too few codes (§3.2.7)', '05e00109000000002000', ''],
  ['code lengths in a code of one symbol (§3.2.7)', '05e00100000000001000', ''],
  ['code lengths in a code of no symbols (§3.2.7)', '05e001000000000000000000000000000000000000000000000000000000000000000000000000000000000000', ''],
  ['a repeated length before there is one (§3.2.7)', '05e0270900000000301c', ''],
  ['a repeated length beyond the last code (§3.2.7)', '05e027090000000030f46fbd03', ''],
  ['three zeros where one code is left (§3.2.7)', '05e027090000000030f46f3d01', ''],
  ['eleven zeros where one code is left (§3.2.7)', '05e027090000000030f46fbd00', ''],
  ['no code for the end of the block (§3.2.7)', '05e0010900000080206cf5ff0801', ''],
  ['more literal/length codes than their bits tell apart (§3.2.2)', '05e0010900000080206cd5ff2314', ''],
  ['fewer literal/length codes than their bits tell apart (§3.2.2)', '05e0010900000080206cadff2312', ''],
  ['one literal/length code, of two bits (§3.2.2)', '05e001090000008020fc7f9d', ''],
  ['the unused code beside the only literal/length code (§3.2.2)', '05e001090000008020fc7fad0100', ''],
  ['more distance codes than their bits tell apart (§3.2.2)', '05e2010900000080206cf5ff0955', ''],
  ['fewer distance codes than their bits tell apart (§3.2.7)', '05e1010900000080206cf5ff090b', ''],
  ['one distance code, of two bits (§3.2.7)', '05e0010900000080206cf5ff0903', ''],
  ['the unused code beside the only distance code (§3.2.7)', '15e0010900000080206cedff894a0a00', '61'],
  ['a length where there are no distance codes (§3.2.7)', '15e0010900000080206cedff890a0200', '61'],
];

const hex = (text: string): string => Buffer.from(text, 'latin1').toString('hex');

// biome-ignore format: a table
const LEGAL: readonly Case[] = [
  ['an empty message (RFC 7692 §7.2.3.6)', '00', ''],
  ['no bytes at all, which can only mean an empty message', '', ''],
  ['"Hello" (RFC 7692 §7.2.3.1)', 'f248cdc9c90700', hex('Hello')],
  ['"Hello" in a stored block (RFC 7692 §7.2.3.3)', '000500faff48656c6c6f00', hex('Hello')],
  ['"Hello" in a last block (RFC 7692 §7.2.3.4)', 'f348cdc9c9070000', hex('Hello')],
  ['"Hello" in two blocks (RFC 7692 §7.2.3.5)', 'f24805000000ffffcac9c90700', hex('Hello')],
  ['the end of the message right behind a last block', 'f348cdc9c90700', hex('Hello')],
  ['a second stream behind a last block, with the history of the first', 'f348cdc9c90700031300', hex('HelloHello')],
  ['a last stored block without its removed end', '01', ''],
  ['one distance code, of one bit', '15e0010900000080206cedff894a22', hex('aaaa')],
  ['no distance codes, and none needed', '0de0010900000080206cedff89a406', hex('aa')],
  ['nothing but the end of the block', '05e001090000008020fc7f2d00', ''],
  ['all 286 literal/length and 30 distance codes', 'edfd012010300c000000000000000000000000000000000000000000000000000000000000505555555555555555555555555555b5fdffffffffffffffffffbf84e57f7804', hex('H'.padEnd(260, 'i'))],
];

// biome-ignore format: a table
const UNFINISHED: readonly Case[] = [
  ['within a block', 'f248cdc9c9', hex('Hell')],
  ['behind a block that is not the last, with the removed bytes still there', '000500faff48656c6c6f000000ffff', hex('Hello')],
  ['within the length of a stored block', '000500fa', ''],
  ['within a stored block', '000500faff48656c6c', hex('Hell')],
  ['within the code lengths of a dynamic block', '05e001090000008020fc7f', ''],
  ['one bit before a block type', 'f348cdc9c90700f3', hex('Hello')],
];

function check(cases: readonly Case[], outcome: string): void {
  for (const [what, stream, output] of cases) {
    test(what, () => {
      const bytes = Buffer.from(stream, 'hex');
      assert.equal(compareInflated(bytes), outcome);
      assert.equal(inflateHere(bytes).output.toString('hex'), output);
      // Byte by byte the wrong bit is found no later, and nothing is found before.
      assert.equal(compareInflated(bytes, { pieces: [1] }), outcome);
    });
  }
}

describe('illegal DEFLATE data is refused (RFC 1951)', () => check(ILLEGAL, 'corrupt'));
describe('unusual, and legal', () => check(LEGAL, 'complete'));
describe('a message must not end', () => check(UNFINISHED, 'incomplete'));
