/** Every case that a fuzzer has found, or that caught a reader broken on purpose, again. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { corpus, replay } from './case.js';

describe('the corpus: the readers agree on', () => {
  const cases = corpus();
  for (const { name, kept } of cases) test(`${name}: ${kept.note}`, () => replay(kept));

  test('cases of every kind', () => {
    const kinds = new Set(cases.map(({ kept }) => kept.kind));
    assert.deepEqual([...kinds].sort(), ['answer', 'frames', 'frames in turns']);
  });
});
