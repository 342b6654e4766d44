/** Everybody who can load the package: by `import`, by `require`, from TypeScript, and out of an esbuild bundle. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { buildSync, type Format } from 'esbuild';
import { type EchoServer, echoServer } from '../server/echo-server.js';
import { type Installed, install, root } from './installed.js';
import { PROGRAM } from './program.js';

const run = promisify(execFile);

let installed: Installed;
let server: EchoServer;

before(async () => {
  server = await echoServer();
  installed = await install();
});

after(async () => {
  installed.remove();
  await server.close();
});

const MESSAGE = 'grüße, 世界 🌍';

/**
 * Echoes a message, and fails to connect. Following redirects, and an http proxy, are modules that are loaded when
 * first needed. Without await: CommonJS has none at the top.
 */
const BODY = `
  const [url, message] = process.argv.slice(2);
  const direct = { maxRedirects: 1 };
  const proxied = { proxy: url.replace('ws:', 'http:') };
  connect(url, {
    ...direct,
    onMessage(received, connection) {
      const text = received.text();
      connection.close();
      connection.closed.then(({ code }) =>
        connect(url, proxied).catch((error) => {
          console.log(JSON.stringify([text, code, error instanceof HandshakeError, error.name, error.code]));
        }),
      );
    },
  }).then((connection) => connection.send(message));
`;

/** Runs it in `folder`: what it prints, provided that it prints no warning. */
async function execute(folder: string, file: string): Promise<unknown> {
  const { stdout, stderr } = await run(process.execPath, [file, server.url, MESSAGE], {
    cwd: folder,
    timeout: 20_000,
  });
  assert.equal(stderr, '');
  return JSON.parse(stdout);
}

/** ws refuses a CONNECT, so as a proxy it is one that opens no tunnel. */
const EXPECTED = [MESSAGE, 1000, true, 'HandshakeError', 'ERR_PROXY'];

describe('JavaScript, in a folder with nothing else', () => {
  for (const [file, load] of [
    ['main.mjs', `import { connect, HandshakeError } from 'heartwire';`],
    ['main.cjs', `const { connect, HandshakeError } = require('heartwire');`],
  ]) {
    test(`${file} echoes a message`, async () => {
      writeFileSync(join(installed.project, file), load + BODY);
      assert.deepEqual(await execute(installed.project, file), EXPECTED);
    });
  }
});

describe('an esbuild bundle, in a folder with nothing at all', () => {
  const imported = `import { connect, HandshakeError } from 'heartwire';`;
  const required = `const { connect, HandshakeError } = require('heartwire');`;
  const bundles: [Format, string, string, boolean][] = [
    ['esm', 'bundle.mjs', imported, false],
    ['cjs', 'bundle.cjs', imported, false],
    ['cjs', 'required.cjs', required, false],
    ['esm', 'minified.mjs', imported, true],
    ['cjs', 'minified.cjs', imported, true],
  ];
  for (const [format, file, load, minify] of bundles) {
    test(`${file} echoes a message`, async () => {
      const { warnings, metafile } = buildSync({
        stdin: { contents: load + BODY, resolveDir: installed.project, loader: 'js' },
        absWorkingDir: installed.project,
        outfile: join(installed.elsewhere, file),
        bundle: true,
        platform: 'node',
        target: 'node20.19',
        format,
        minify,
        metafile: true,
        logLevel: 'silent',
      });
      assert.deepEqual(warnings, []);
      const [{ imports }] = Object.values(metafile.outputs);
      assert.ok(imports.length > 0);
      for (const { path } of imports) assert.match(path, /^node:/);
      assert.deepEqual(await execute(installed.elsewhere, file), EXPECTED);
    });
  }
});

describe('TypeScript, without skipLibCheck', () => {
  const STRICT = {
    target: 'ES2022',
    lib: ['ES2022'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    isolatedModules: true,
    verbatimModuleSyntax: true,
  };
  const NODENEXT = { ...STRICT, module: 'nodenext', moduleResolution: 'nodenext' };
  const BUNDLER = { ...STRICT, module: 'esnext', moduleResolution: 'bundler', noEmit: true };

  before(() => {
    // Whoever compiles for Node has these; the package itself needs nothing.
    for (const types of ['@types', 'undici-types']) {
      symlinkSync(join(root, 'node_modules', types), join(installed.project, 'node_modules', types));
    }
  });

  /** What the compiler says. */
  async function compile(file: string, source: string, compilerOptions: object): Promise<string> {
    writeFileSync(join(installed.project, file), source);
    const config = join(installed.project, `${file}.json`);
    writeFileSync(config, JSON.stringify({ compilerOptions, files: [file] }));
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { stdout } = await run(process.execPath, [compiler, '-p', config]).catch(
      (error: { stdout: string }) => error,
    );
    return stdout;
  }

  test('the program that uses everything uses every public name', () => {
    const index = join(installed.project, 'node_modules', 'heartwire', 'dist', 'index.d.ts');
    const exported = [...readFileSync(index, 'utf8').matchAll(/^export (?:type )?\{([^}]+)\}/gm)]
      .flatMap(([, list]) => list.split(','))
      .map((name) => name.replace('type ', '').trim())
      .filter((name) => name !== '' && !name.endsWith("as 'module.exports'"));
    assert.ok(exported.length > 20);
    const imported = /^import \{([^}]+)\} from 'heartwire'/m.exec(PROGRAM)![1].split(',');
    const used = imported.map((name) => name.replace('type ', '').trim()).filter((name) => name !== '');
    assert.deepEqual(used.sort(), exported.sort());
  });

  for (const [title, options] of [
    ['nodenext', NODENEXT],
    ['bundler', BUNDLER],
  ] as const) {
    test(`${title}: a program that uses everything compiles`, async () => {
      assert.equal(await compile(`program-${title}.mts`, PROGRAM, { ...options, noEmit: true }), '');
    });
  }

  for (const [file, output] of [
    ['echo.mts', 'echo.mjs'],
    ['echo.cts', 'echo.cjs'],
  ]) {
    test(`nodenext: ${output}, compiled from ${file}, echoes a message`, async () => {
      const load = file.endsWith('.cts')
        ? `import heartwire = require('heartwire'); const { connect, HandshakeError } = heartwire;`
        : `import { connect, HandshakeError } from 'heartwire';`;
      assert.equal(await compile(file, load + typed(BODY), NODENEXT), '');
      assert.deepEqual(await execute(installed.project, output), EXPECTED);
    });
  }

  test('nodenext: CommonJS can name the types', async () => {
    const source = `
      import type { Connection, ConnectOptions } from 'heartwire';
      import heartwire = require('heartwire');
      const options: ConnectOptions = { onMessage: (message) => void message.byteLength.toFixed() };
      const opened: Promise<Connection> = heartwire.connect('ws://127.0.0.1/', options);
      void opened;`;
    assert.equal(await compile('types.cts', source, { ...NODENEXT, noEmit: true }), '');
  });
});

/** The arguments may be missing, as far as the compiler knows. */
function typed(body: string): string {
  return body.replace('process.argv.slice(2)', 'process.argv.slice(2) as [string, string]');
}
