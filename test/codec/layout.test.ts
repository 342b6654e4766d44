/** The map of linear memory, written twice: for the module in assembly/, for its host in src/codec/layout.ts. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Codec } from '../../src/codec/codec.js';
import * as layout from '../../src/codec/layout.js';

const PAGE = 0x1_0000;

/** A constant's value: numbers, names of earlier constants, parentheses, + - * / << | in 32 bits as the module has them. */
function evaluate(expression: string, known: ReadonlyMap<string, number>): number {
  const tokens: string[] = expression.match(/0x[0-9a-f]+|\d+|\w+|<<|[-+*/()|]/gi) ?? [];
  const binary = (operators: string[], operand: () => number): number => {
    let value = operand();
    while (operators.includes(tokens[0])) {
      const operator = tokens.shift();
      const right = operand();
      if (operator === '+') value += right;
      else if (operator === '-') value -= right;
      else if (operator === '*') value *= right;
      else if (operator === '/') value = Math.trunc(value / right);
      else if (operator === '<<') value <<= right;
      else value |= right;
    }
    return value;
  };
  const product = (): number => binary(['*', '/'], atom);
  const shift = (): number => binary(['<<'], () => binary(['+', '-'], product));
  const whole = (): number => binary(['|'], shift);
  const atom = (): number => {
    const token = tokens.shift() ?? assert.fail(`"${expression}" ends early`);
    if (token === '-') return -atom();
    if (token === '(') {
      const value = whole();
      assert.equal(tokens.shift(), ')');
      return value;
    }
    return /^\d/.test(token) ? Number(token) : (known.get(token) ?? assert.fail(`"${token}" is not known`));
  };
  const value = whole();
  assert.deepEqual(tokens, [], expression);
  return value;
}

/** The constants of a file of assembly/, in order. */
function constantsOf(file: string): ReadonlyMap<string, number> {
  const source = readFileSync(new URL(`../../assembly/${file}`, import.meta.url), 'utf8');
  const constants = new Map<string, number>();
  for (const [, name, expression] of source.matchAll(/^(?:export )?const (\w+): [iu]32 = ([^;]+);/gm)) {
    constants.set(name, evaluate(expression, constants));
  }
  return constants;
}

/** `pendingLengthHigh` as the module writes it: `PENDING_LENGTH_HIGH`. */
const upperCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();

/** The names of an enum and their values; the object also leads from values to names. */
const members = (list: Record<string, string | number>): [name: string, value: number][] =>
  Object.entries(list).filter((member): member is [string, number] => typeof member[1] === 'number');

describe('the map of linear memory', () => {
  const map = constantsOf('layout.ts');
  const frame = constantsOf('frame.ts');
  const utf8 = constantsOf('utf8.ts');
  const inflate = constantsOf('inflate.ts');
  const mirror = new Map(Object.entries(layout).filter(([, value]) => typeof value === 'number'));

  test('every region and size of assembly/layout.ts is the same in src/codec/layout.ts', () => {
    assert.ok(map.size >= 12, 'the constants were found');
    for (const [name, value] of map) assert.equal(mirror.get(name), value, name);
  });

  test('every constant of src/codec/layout.ts has its counterpart in assembly/', () => {
    const shift = (name: string): number => frame.get(name) ?? assert.fail(name);
    const counterparts = new Map([
      ...map,
      ...utf8,
      ['READ_UNVALIDATED', shift('UNVALIDATED')],
      ['KIND_SHIFT', shift('KIND_SHIFT')],
      ['FIRST_BYTE_SHIFT', shift('FIRST_BYTE_SHIFT')],
      // Each field of a frame table's word reaches up to the next.
      ['LENGTH_MASK', 2 ** shift('KIND_SHIFT') - 1],
      ['KIND_MASK', 2 ** (shift('FIRST_BYTE_SHIFT') - shift('KIND_SHIFT')) - 1],
    ]);
    for (const [name, value] of mirror) assert.equal(value, counterparts.get(name), name);
    for (const [name, value] of members(layout.Entry)) {
      assert.equal(value, counterparts.get(upperCase(name)), name);
    }
  });

  test('registers, errors and kinds have the same numbers on both sides', () => {
    for (const [name, index] of members(layout.Register)) {
      assert.equal(frame.get(upperCase(name)), index * 4, name);
    }
    for (const [name, value] of members(layout.FrameError)) {
      assert.equal(frame.get(upperCase(name)), value, name);
    }
    const { none, binary, text, asciiText } = layout.Kind;
    assert.deepEqual(
      [none, binary, text, asciiText],
      [0, frame.get('KIND_BINARY'), frame.get('KIND_TEXT'), frame.get('KIND_ASCII')],
    );
    for (const [name, index] of Object.entries(layout.InflateState)) {
      assert.equal(inflate.get(upperCase(name)), index * 4, name);
    }
    for (const [name, value] of Object.entries(layout.InflateResult)) {
      assert.equal(inflate.get(upperCase(name)), value, name);
    }
    for (const name of ['start', 'restore'] as const) {
      assert.equal(inflate.get(upperCase(name)), layout.InflateResume[name], name);
    }
    for (const [name, kind] of members(layout.Kind)) assert.equal(kind & layout.Entry.kindMask, kind, name);
  });

  test('the memory the module was compiled for is the one that is made', () => {
    const { options } = JSON.parse(readFileSync(new URL('../../asconfig.json', import.meta.url), 'utf8'));
    assert.equal(options.initialMemory, layout.MEMORY_PAGES);
    assert.equal(options.maximumMemory, layout.MEMORY_PAGES);
    assert.equal(new Codec().memory.length, layout.MEMORY_PAGES * PAGE);
  });

  test('regions do not overlap, and the last page stays free for loads past a payload', () => {
    const regions: [name: string, start: number, size: number][] = [
      ['registers', layout.REGISTERS, members(layout.Register).length * 4],
      ['masking keys', layout.MASKING_KEYS, layout.MASKING_KEYS_SIZE],
      ['deflate codes', layout.DEFLATE_CODES, layout.DEFLATE_CODES_SIZE],
      ['frame table', layout.FRAME_TABLE, layout.FRAME_TABLE_SIZE],
      ['scratch', layout.SCRATCH, layout.SLAB_SIZE + layout.READ_SIZE],
      ['send blocks', layout.SEND_BLOCKS, layout.SEND_BLOCK_SIZE * layout.SEND_BLOCK_COUNT],
      ['slabs', layout.SLABS, layout.SLAB_SIZE * layout.SLAB_COUNT],
      ['inflate tables', layout.INFLATE_TABLES, layout.INFLATE_TABLES_SIZE],
      ['inflate input', layout.INFLATE_INPUT, layout.INFLATE_INPUT_SIZE],
      ['workspace', layout.WORKSPACE, layout.WORKSPACE_SIZE],
      ['windows', layout.WINDOWS, layout.WINDOW_BLOCK_SIZE * layout.WINDOW_COUNT],
      ['deflate blocks', layout.DEFLATE_BLOCKS, layout.DEFLATE_BLOCK_SIZE * layout.DEFLATE_BLOCK_COUNT],
      ['last page', (layout.MEMORY_PAGES - 1) * PAGE, PAGE],
    ];
    for (const [i, [name, start, size]] of regions.entries()) {
      assert.equal(start % 16, 0, `${name} is aligned`);
      assert.ok(size > 0, name);
      const end = regions[i + 1]?.[1] ?? layout.MEMORY_PAGES * PAGE;
      assert.ok(start + size <= end, `${name} ends before what follows`);
    }
    assert.ok(layout.SLAB_COUNT >= 1);
  });

  test('what a slab kept fits in front of a read, and the shortest frames of both in the frame table', () => {
    assert.equal(layout.SCRATCH_READ, layout.SCRATCH + layout.SLAB_SIZE);
    assert.ok(layout.FRAME_TABLE_SIZE / 8 >= (layout.SLAB_SIZE + layout.READ_SIZE) / 2);
    assert.ok(layout.PEEK_SIZE <= layout.READ_SIZE);
    const { scratch, peek } = new Codec();
    assert.deepEqual([scratch.byteOffset, scratch.length], [layout.SCRATCH_READ, layout.READ_SIZE]);
    assert.deepEqual([peek.byteOffset, peek.length], [layout.SCRATCH_READ, layout.PEEK_SIZE]);
    // The length of a frame that lies in scratch, its kind and its first byte have room in one word.
    assert.ok(layout.SLAB_SIZE + layout.READ_SIZE <= layout.Entry.lengthMask);
    assert.ok(layout.Entry.firstByteShift + 8 <= 32);
  });

  test('an inflated message has room for its history and what is written behind it; positions in bits fit a word', () => {
    const { WINDOW_BLOCK_SIZE, WORKSPACE_SIZE, INFLATE_OVERRUN, LONGEST_WINDOW } = layout;
    assert.ok(WINDOW_BLOCK_SIZE - INFLATE_OVERRUN > LONGEST_WINDOW);
    assert.ok(WORKSPACE_SIZE - INFLATE_OVERRUN > 64 * 1024 + 300, 'a message that is handed over in place');
    assert.ok(layout.MEMORY_PAGES * PAGE * 8 < 2 ** 32);
  });

  test("the module's own data lies below the registers", () => {
    const { memory } = new Codec();
    const above = memory.subarray(layout.REGISTERS, layout.WINDOWS);
    assert.ok(above.every((byte) => byte === 0));
  });
});
