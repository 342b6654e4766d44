/**
 * The sequences of the Unicode decoder stress test (Markus Kuhn), built from their rules, by the groups it has. Whether
 * one is valid, and which byte is the first wrong one, the grammar of RFC 3629 §4 in test/reference/utf8.ts says.
 */
import { hex } from './frames.js';

export interface Sequence {
  name: string;
  bytes: Buffer;
}

const named = (name: string, digits: string): Sequence => ({
  name: `${name} ${digits}`.trim(),
  bytes: hex(digits),
});

/** `first`, then so many continuation bytes. */
const run = (first: number, byte: number, count: number): Buffer =>
  Buffer.concat([Buffer.of(first), Buffer.alloc(count, byte)]);

const list = (name: string, all: readonly Buffer[]): Sequence[] =>
  all.map((one) => named(name, one.toString('hex')));

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** UTF-8 of a code point as the rule of its length gives it, surrogates and all, shortest form or longer. */
function encoded(codePoint: number, length: number): Buffer {
  const bytes: number[] = [];
  for (let i = 0; i < length - 1; i++) {
    bytes.unshift(0x80 | (codePoint & 0x3f));
    codePoint >>>= 6;
  }
  const lead = length === 1 ? 0 : (0xff00 >> length) & 0xff;
  return Buffer.of(lead | codePoint, ...bytes);
}

export const SEQUENCES: Readonly<Record<string, Sequence[]>> = {
  '1 correct text': [named('κόσμε', 'cebae1bdb9cf83cebcceb5'), named('ASCII', '48656c6c6f')],
  '2.1 the first sequence of each length': [
    named('U+0000', '00'),
    named('U+0080', 'c280'),
    named('U+0800', 'e0a080'),
    named('U+10000', 'f0908080'),
    named('5 bytes', 'f888808080'),
    named('6 bytes', 'fc8480808080'),
  ],
  '2.2 the last sequence of each length': [
    named('U+007F', '7f'),
    named('U+07FF', 'dfbf'),
    named('U+FFFF', 'efbfbf'),
    named('U+1FFFFF', 'f7bfbfbf'),
    named('5 bytes', 'fbbfbfbfbf'),
    named('6 bytes', 'fdbfbfbfbfbf'),
  ],
  '2.3 other boundaries': [
    named('U+D7FF', 'ed9fbf'),
    named('U+E000', 'ee8080'),
    named('U+FFFD', 'efbfbd'),
    named('U+10FFFF', 'f48fbfbf'),
    named('U+110000', 'f4908080'),
  ],
  '3.1 continuation bytes that continue nothing': [
    ...list(
      'a run',
      range(2, 7).map((count) => Buffer.from(range(0, count - 1).map((i) => (i % 2 ? 0xbf : 0x80)))),
    ),
    ...list(
      'alone',
      range(0x80, 0xbf).map((byte) => Buffer.of(byte)),
    ),
    ...list('all', [Buffer.from(range(0x80, 0xbf))]),
  ],
  '3.2 first bytes that nothing continues': list(
    'before a space',
    range(0xc0, 0xfd).map((byte) => Buffer.of(byte, 0x20)),
  ),
  '3.3 sequences whose last byte is missing': [
    ...list(
      'low',
      [0xc0, 0xe0, 0xf0, 0xf8, 0xfc].map((first, i) => run(first, 0x80, i)),
    ),
    ...list(
      'high',
      [0xdf, 0xef, 0xf7, 0xfb, 0xfd].map((first, i) => run(first, 0xbf, i)),
    ),
    ...list('that could go on', [hex('c3'), hex('e282'), hex('f0'), hex('f09f'), hex('f09f98')]),
  ],
  '3.4 such sequences one behind the other': list('', [
    Buffer.concat([
      ...[0xc0, 0xe0, 0xf0, 0xf8, 0xfc].map((first, i) => run(first, 0x80, i)),
      ...[0xdf, 0xef, 0xf7, 0xfb, 0xfd].map((first, i) => run(first, 0xbf, i)),
    ]),
    hex('c3 e282 f09f98'),
  ]),
  '3.5 bytes that never occur': list('', [hex('fe'), hex('ff'), hex('fefeffff')]),
  '4.1 overlong “/”': list(
    '',
    range(2, 6).map((length) => encoded(0x2f, length)),
  ),
  '4.2 the largest overlong sequences': list(
    '',
    [0x7f, 0x7ff, 0xffff, 0x1f_ffff, 0x3ff_ffff].map((codePoint, i) => encoded(codePoint, i + 2)),
  ),
  '4.3 overlong NUL': list(
    '',
    range(2, 6).map((length) => encoded(0, length)),
  ),
  '5.1 single surrogates': list(
    '',
    [0xd800, 0xdb7f, 0xdb80, 0xdbff, 0xdc00, 0xdf80, 0xdfff].map((codePoint) => encoded(codePoint, 3)),
  ),
  '5.2 surrogates in pairs': list(
    '',
    [0xd800, 0xdb7f, 0xdb80, 0xdbff].flatMap((high) =>
      [0xdc00, 0xdfff].map((low) => Buffer.concat([encoded(high, 3), encoded(low, 3)])),
    ),
  ),
  '5.3 code points that are no characters': list('', [
    ...[0xfffe, 0xffff, 0xfdd0, 0xfdef].map((codePoint) => encoded(codePoint, 3)),
    ...range(1, 16).flatMap((plane) => [0xfffe, 0xffff].map((low) => encoded(plane * 0x1_0000 + low, 4))),
  ]),
};
