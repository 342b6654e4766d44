/**
 * The reader of the server's answer against Node's own HTTP parser: where both take a head it is the same head, and
 * what only one of them takes is listed, with its reason, in test/reference/response-differential.ts. `npm run fuzz`
 * does the same for as long as one likes.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { answer, faultyAnswer, piecesOf } from '../arbitraries/response.js';
import { split } from '../arbitraries/wire.js';
import { readByNode } from '../reference/node-response.js';
import { compareWithNode, readByUs } from '../reference/response-differential.js';

/** The same cases in every run: what comes by chance is the fuzzer's business. */
const FIXED = { seed: 1 };

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('RFC 9112 what Node’s own parser reads of an answer, ours reads too', () => {
  test('right answers, in any pieces', async () => {
    const answers = fc.record({ stream: answer, how: split });
    await fc.assert(
      fc.asyncProperty(answers, (one) => compareWithNode(piecesOf(one))),
      { ...FIXED, numRuns: 1_500 },
    );
  });

  test('faulty answers, in any pieces', async () => {
    const answers = fc.record({ stream: faultyAnswer, how: split });
    await fc.assert(
      fc.asyncProperty(answers, (one) => compareWithNode(piecesOf(one))),
      { ...FIXED, numRuns: 3_000 },
    );
  });

  test('both tell a right answer, so that the comparison is one', async () => {
    const wire = bytes(
      'HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-A: 1\r\n\r\n\x81\x00',
    );
    const head = {
      httpVersion: '1.1',
      statusCode: 101,
      statusText: 'Yes',
      rawHeaders: ['Upgrade', 'websocket', 'Connection', 'Upgrade', 'X-A', '1'],
    };
    const expected = { head, behind: Buffer.of(0x81, 0) };
    assert.deepEqual(readByUs([wire]), expected);
    assert.deepEqual(await readByNode([wire]), expected);
  });
});

/** By design: a head that is read in two ways can be used to smuggle another one (RFC 9112 §11.2). */
const STRICTER: [title: string, head: string][] = [
  ['RFC 9112 §4: HTTP/2.0', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['RFC 9112 §4: a NUL in the reason phrase', 'HTTP/1.1 200 O\0K\r\n\r\n'],
  ['a ninth interim answer', `${'HTTP/1.1 103 Wait\r\n\r\n'.repeat(9)}HTTP/1.1 200 OK\r\n\r\n`],
  [
    'more than 16 KiB of interim answers',
    `${`HTTP/1.1 103 Wait\r\nX-A: ${'a'.repeat(4_000)}\r\n\r\n`.repeat(5)}HTTP/1.1 200 OK\r\n\r\n`,
  ],
];

describe('what Node takes and we refuse', () => {
  for (const [title, head] of STRICTER) {
    test(title, async () => {
      assert.equal((await readByNode([bytes(head)])).head?.statusCode, 200);
      const { head: ours, error } = readByUs([bytes(head)]);
      assert.equal(ours, undefined);
      assert.match(error ?? '', /^ERR_HANDSHAKE_(MALFORMED|HEAD_TOO_LARGE): /);
    });
  }
});
