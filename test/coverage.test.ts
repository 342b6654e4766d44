/** The figure of `npm run test:coverage` is only as good as the list of what it leaves out. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { transformSync } from 'esbuild';

const GENERATED = 'src/codec/module-bytes.ts';

test('what .c8rc.json leaves out is generated, or types that no one runs', () => {
  const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
  const { exclude } = JSON.parse(read('.c8rc.json')) as { exclude: string[] };
  for (const path of exclude.filter((each) => each !== GENERATED)) {
    assert.equal(transformSync(read(path), { loader: 'ts' }).code, '', path);
  }
  assert.ok(exclude.includes(GENERATED), 'the list is read');
});
