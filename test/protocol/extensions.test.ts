import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { HandshakeError } from '../../src/errors.js';
import type { Extension } from '../../src/protocol/extensions.js';
import { formatExtensions, parseExtensions } from '../../src/protocol/extensions.js';

const TCHAR = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const token = fc.string({ unit: fc.constantFrom(...TCHAR), minLength: 1, maxLength: 12 });
const extension: fc.Arbitrary<Extension> = fc.record(
  {
    name: token,
    parameters: fc.array(
      fc.record(
        { name: token, value: fc.oneof(token, fc.constant(true as const)) },
        { noNullPrototype: true },
      ),
      { maxLength: 4 },
    ),
  },
  { noNullPrototype: true },
);

function isMalformed(error: unknown): boolean {
  assert.ok(error instanceof HandshakeError);
  assert.equal(error.code, 'ERR_HANDSHAKE_EXTENSION');
  assert.equal(error.section, '9.1');
  return true;
}

describe('RFC 6455 §9.1 Sec-WebSocket-Extensions', () => {
  const wellFormed: [title: string, value: string, extensions: Extension[]][] = [
    ['one extension', 'foo', [{ name: 'foo', parameters: [] }]],
    [
      'several extensions, in order',
      'foo, bar,baz',
      [
        { name: 'foo', parameters: [] },
        { name: 'bar', parameters: [] },
        { name: 'baz', parameters: [] },
      ],
    ],
    [
      'the same extension several times',
      'foo; x, foo',
      [
        { name: 'foo', parameters: [{ name: 'x', value: true }] },
        { name: 'foo', parameters: [] },
      ],
    ],
    [
      'parameters with and without values, in order, the same one twice',
      'bar; baz=2; flag; baz=3',
      [
        {
          name: 'bar',
          parameters: [
            { name: 'baz', value: '2' },
            { name: 'flag', value: true },
            { name: 'baz', value: '3' },
          ],
        },
      ],
    ],
    ['a quoted value', 'foo; x="10"', [{ name: 'foo', parameters: [{ name: 'x', value: '10' }] }]],
    [
      'a quoted value with escapes, a token after unescaping',
      'foo; x="\\1\\0"',
      [{ name: 'foo', parameters: [{ name: 'x', value: '10' }] }],
    ],
    [
      'whitespace around every separator',
      ' \tfoo ; x = 1\t;y= "2" , bar\t',
      [
        {
          name: 'foo',
          parameters: [
            { name: 'x', value: '1' },
            { name: 'y', value: '2' },
          ],
        },
        { name: 'bar', parameters: [] },
      ],
    ],
    [
      'empty list elements, which do not count (RFC 9110 §5.6.1.2)',
      ', ,foo,, bar ,',
      [
        { name: 'foo', parameters: [] },
        { name: 'bar', parameters: [] },
      ],
    ],
    [
      'every token character',
      `${TCHAR}; ${TCHAR}=${TCHAR}`,
      [{ name: TCHAR, parameters: [{ name: TCHAR, value: TCHAR }] }],
    ],
    [
      'names that JavaScript objects have of their own',
      '__proto__; constructor=toString',
      [{ name: '__proto__', parameters: [{ name: 'constructor', value: 'toString' }] }],
    ],
  ];
  for (const [title, value, extensions] of wellFormed) {
    it(`reads ${title}`, () => assert.deepEqual(parseExtensions(value), extensions));
  }

  const malformed: [title: string, value: string][] = [
    ['nothing at all: the list has at least one element', ''],
    ['whitespace only', ' \t '],
    ['commas only', ', ,'],
    ['two names without a separator', 'foo bar'],
    ['a name that is not a token', 'f(o'],
    ['a name beyond ASCII', 'f\u00f6\u00f6'],
    ['a quoted name', '"foo"'],
    ['a parameter without an extension', '; x'],
    ['a semicolon with nothing behind it', 'foo;'],
    ['two semicolons', 'foo;; x'],
    ['a parameter without a name', 'foo; =1'],
    ['a value that is missing', 'foo; x='],
    ['a value that is missing before the next parameter', 'foo; x=; y'],
    ['a value that is not a token', 'foo; x=(1)'],
    ['two values', 'foo; x=1=2'],
    ['something behind a value', 'foo; x=1 2'],
    ['something behind a quoted value', 'foo; x="1"2'],
    ['a quoted value that does not end', 'foo; x="1'],
    ['a quoted value that ends in an escape', 'foo; x="1\\'],
    ['an empty quoted value: it is no token', 'foo; x=""'],
    ['a quoted value that is no token: a space', 'foo; x="1 2"'],
    ['a quoted value that is no token: an escaped quote', 'foo; x="\\""'],
    ['a line feed for whitespace', 'foo;\nx'],
    ['NUL', 'foo\0'],
  ];
  for (const [title, value] of malformed) {
    it(`refuses ${title}`, () => assert.throws(() => parseExtensions(value), isMalformed));
  }

  it('is written as the grammar has it', () => {
    const written = formatExtensions([
      {
        name: 'permessage-deflate',
        parameters: [
          { name: 'client_max_window_bits', value: true },
          { name: 'server_max_window_bits', value: '10' },
        ],
      },
      { name: 'foo', parameters: [] },
    ]);
    assert.equal(written, 'permessage-deflate; client_max_window_bits; server_max_window_bits=10, foo');
  });

  it('is read again as it was written, whatever the names and values', () => {
    fc.assert(
      fc.property(fc.array(extension, { minLength: 1, maxLength: 4 }), (extensions) => {
        assert.deepEqual(parseExtensions(formatExtensions(extensions)), extensions);
      }),
    );
  });

  it('whatever it holds is either refused or means the same when written again', () => {
    const anything = fc.string({ unit: fc.constantFrom(...'ab;=,"\\ \t\u00e9'), maxLength: 16 });
    fc.assert(
      fc.property(anything, (value) => {
        let extensions: Extension[];
        try {
          extensions = parseExtensions(value);
        } catch (error) {
          return isMalformed(error);
        }
        assert.deepEqual(parseExtensions(formatExtensions(extensions)), extensions);
        return true;
      }),
      { numRuns: 2_000 },
    );
  });
});
