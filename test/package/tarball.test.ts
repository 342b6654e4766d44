/** The tarball that npm makes: what is in it, and what the tools that judge packages say of it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { type Installed, install, root } from './installed.js';

const run = promisify(execFile);

let installed: Installed;
let home: string;

before(async () => {
  installed = await install();
  home = join(installed.project, 'node_modules', 'heartwire');
});

after(() => installed.remove());

/** The modules behind the package's exports. */
const entries = ['index', 'whatwg'];

/** What they lead to, themselves included: by `import` and `export … from`, at once or late. */
function reached(ending: string): string[] {
  const found = new Set<string>();
  const follow = (file: string): void => {
    if (found.has(file)) return;
    found.add(file);
    const code = readFileSync(join(home, file), 'utf8');
    for (const [, path] of code.matchAll(/(?:\bfrom |\bimport\(|^import )['"](\.[^'"]+)\.js['"]/gm)) {
      follow(posix.join(posix.dirname(file), `${path}${ending}`));
    }
  };
  for (const entry of entries) follow(`dist/${entry}${ending}`);
  return [...found].sort();
}

describe('npm pack', () => {
  test('takes code, its types, and what people read; no tests, no sources, no source maps', () => {
    const others = installed.files.filter((file) => !/^dist\/.+\.(?:js|d\.ts)$/.test(file));
    assert.deepEqual(others, [
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'docs/errors.md',
      'docs/switching-from-ws.md',
      'package.json',
    ]);
  });

  test('takes the modules that the exports load, and no other', () => {
    const packed = installed.files.filter((file) => file.endsWith('.js'));
    assert.deepEqual(packed, reached('.js'), 'a stale file in dist/?');
  });

  test('takes the types that the exports lead to, and no other', () => {
    const packed = installed.files.filter((file) => file.endsWith('.d.ts'));
    assert.deepEqual(packed, reached('.d.ts'), '"files" in package.json must list these');
  });

  test('takes nothing that points to where it was built', () => {
    for (const file of installed.files) {
      const content = readFileSync(join(home, file), 'utf8');
      assert.ok(!content.includes(root), file);
      assert.ok(!content.includes('sourceMappingURL'), file);
    }
  });
});

describe('npm install', () => {
  test('adds this package alone, and runs nothing', () => {
    const folders = readdirSync(join(installed.project, 'node_modules')).filter(
      (name) => !name.startsWith('.'),
    );
    assert.deepEqual(folders, ['heartwire']);
    const { scripts } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    for (const script of ['preinstall', 'install', 'postinstall']) assert.ok(!(script in scripts), script);
  });
});

describe('what the tools say', () => {
  test('publint: nothing, not even a suggestion', async () => {
    const { buffer, byteOffset, length } = readFileSync(installed.tarball);
    const tarball = (buffer as ArrayBuffer).slice(byteOffset, byteOffset + length);
    const { messages } = await publint({ pack: { tarball }, level: 'suggestion', strict: true });
    assert.deepEqual(messages, []);
  });

  /**
   * It knows one problem, that `require` finds an ES module, "which is an error in Node": it was, before `require`
   * could load one (20.19, 22.12). consumers.test.ts does what it says cannot be done, from JavaScript and from
   * TypeScript. A CommonJS build beside this one would silence it, at the price of two copies of every class and two
   * WebAssembly memories in a program that loads both. The profile `esm-only` would silence more: all that concerns
   * CommonJS, and TypeScript's old resolution, for which package.json has `main` and `types`.
   */
  test('@arethetypeswrong/cli: nothing but that', async () => {
    const attw = join(root, 'node_modules', '@arethetypeswrong', 'cli', 'dist', 'index.js');
    // It ends with 1, because of that one problem.
    const { stdout } = await run(process.execPath, [attw, installed.tarball, '--format', 'json']).catch(
      (failed: { stdout: string }) => failed,
    );
    const { analysis, problems } = JSON.parse(stdout) as {
      analysis: { types: { kind: string }; entrypoints: Record<string, unknown> };
      problems: Record<string, unknown[]>;
    };
    assert.equal(analysis.types.kind, 'included');
    assert.ok('.' in analysis.entrypoints);
    assert.deepEqual(Object.keys(problems), ['CJSResolvesToESM']);
  });
});
