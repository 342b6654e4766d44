/** What the types promise: programs are compiled, and none is run. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);
let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'heartwire-types-'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
});
after(() => rmSync(folder, { recursive: true }));

/** What the compiler says of the program. */
async function compiled(program: string, lib: string[]): Promise<string> {
  const compilerOptions = {
    target: 'ES2022',
    lib,
    module: 'NodeNext',
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: false,
    noEmit: true,
    skipLibCheck: true,
    paths: {
      heartwire: [join(root, 'src/index.ts')],
      'heartwire/whatwg': [join(root, 'src/whatwg.ts')],
    },
  };
  writeFileSync(join(folder, 'program.ts'), program);
  // Sources are compiled here; who installs the package compiles its declarations, which have no such need.
  const files = ['program.ts', join(root, 'src/codec/webassembly.d.ts')].slice(
    0,
    lib.includes('DOM') ? 1 : 2,
  );
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { stdout } = await run(process.execPath, [compiler, '-p', folder]).catch(
    (error: { stdout: string }) => error,
  );
  return stdout;
}

const source = (name: string): string => readFileSync(new URL(`${name}.ts.txt`, import.meta.url), 'utf8');
const NODE = ['ES2023', 'ESNext.Disposable'];

describe('a client written for @types/ws', () => {
  for (const name of ['ws', 'heartwire']) {
    test(`compiles with ${name}`, async () => {
      assert.equal(await compiled(source('client').replaceAll('PACKAGE', name), NODE), '');
    });
  }

  test('compiles with heartwire where lib.dom is loaded too', async () => {
    assert.equal(await compiled(source('client').replaceAll('PACKAGE', 'heartwire'), [...NODE, 'DOM']), '');
  });
});

describe('heartwire/whatwg in the place of the standard’s class', () => {
  test('as lib.dom has it', async () => {
    assert.equal(await compiled(source('standard'), [...NODE, 'DOM']), '');
  });

  test('as Node’s types have it', async () => {
    assert.equal(await compiled(source('standard'), NODE), '');
  });
});
