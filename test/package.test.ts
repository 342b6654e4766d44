/** The package as it is installed: what is built, how it is imported, what its types say, and what it costs. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { text } from './leases/link.js';
import { type ScriptedServer, scriptedServer } from './server/scripted-server.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = promisify(execFile);
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, unknown>;

/** Paths below `folder`, without their ending. */
function modules(folder: string, ending: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending))
    .map((file) => file.slice(0, -ending.length))
    .sort();
}

/** What the compiler reads, without what people read. */
function declarations(module: string): string {
  const source = readFileSync(join(root, 'dist', `${module}.d.ts`), 'utf8');
  return source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '');
}

/** A project with nothing but this package in it, as `npm install` would put it there. */
let project: string;
let server: ScriptedServer;

before(async () => {
  project = mkdtempSync(join(tmpdir(), 'heartwire-package-'));
  const installed = join(project, 'node_modules', 'heartwire');
  mkdirSync(installed, { recursive: true });
  for (const file of ['dist', 'package.json'])
    cpSync(join(root, file), join(installed, file), { recursive: true });
  server = await scriptedServer({ onConnection: (peer) => void peer.write(text('hello')) });
});

after(async () => {
  rmSync(project, { recursive: true });
  await server.close();
});

/** Runs a script in that project and returns what it printed, as JSON. */
async function inProject(script: string, type: 'module' | 'commonjs' = 'module'): Promise<unknown> {
  const { stdout } = await run(process.execPath, [`--input-type=${type}`, '-e', script, server.url], {
    cwd: project,
    timeout: 20_000,
  });
  return JSON.parse(stdout);
}

const NAMES = [
  'Connection',
  'ConnectionLostError',
  'HandshakeError',
  'HeartwireError',
  'Message',
  'ProtocolError',
  'ReadyState',
  'UsageError',
  'WebSocket',
  'connect',
  'createWebSocketStream',
  'default',
];

describe('what is built', () => {
  test('dist/ holds the types of every module of src/, and the code in few files: each costs time to import', () => {
    const sources = modules('src', '.ts').filter((file) => !file.endsWith('.d'));
    assert.ok(sources.includes('index'), 'src/index.ts');
    const types = modules('dist', '.d.ts');
    assert.deepEqual(
      sources.filter((file) => !types.includes(file)),
      [],
      'without types',
    );
    const code = modules('dist', '.js');
    assert.ok(code.includes('index') && code.length < 12, `${code}`);
  });

  test('the manifest names files that are there', () => {
    const { '.': main } = manifest.exports as { '.': { types: string; default: string } };
    for (const file of [main.types, main.default]) assert.ok(readFileSync(join(root, file)).length > 0);
  });

  test('there is no runtime dependency', () => {
    for (const kind of ['dependencies', 'optionalDependencies', 'peerDependencies', 'bundleDependencies']) {
      assert.equal(manifest[kind], undefined, kind);
    }
    for (const module of modules('dist', '.js')) {
      const code = readFileSync(join(root, 'dist', `${module}.js`), 'utf8');
      const imported = [...code.matchAll(/(?:from |import\(|^import )'([^']+)'/gm)].map(([, name]) => name);
      for (const name of imported) assert.match(name, /^(?:node:|\.{1,2}\/)/, `${module} imports ${name}`);
    }
  });
});

describe('how it is imported', () => {
  test('import gives the public names', async () => {
    const names = (await inProject(`
      import * as heartwire from 'heartwire';
      console.log(JSON.stringify(Object.keys(heartwire)));
    `)) as string[];
    for (const name of NAMES) assert.ok(names.includes(name), name);
  });

  test('require, where Node can require ES modules, gives the same objects', async () => {
    const same = (await inProject(
      `
      const required = require('heartwire');
      import('heartwire').then((imported) => {
        const names = Object.keys(imported).filter((name) => name !== 'default' && name !== 'module.exports');
        const same = names.map((name) => [name, required[name] === imported[name]]);
        same.push(['default', required === imported.default]);
        console.log(JSON.stringify(Object.fromEntries(same)));
      });
    `,
      'commonjs',
    )) as Record<string, boolean>;
    for (const name of NAMES) assert.equal(same[name], true, name);
    assert.ok(Object.values(same).every((each) => each));
  });

  test('require gives the WebSocket class, as ws does; heartwire/whatwg has the standard’s', async () => {
    const [code, standard, name, other] = (await inProject(
      `
      const WebSocket = require('heartwire');
      const { WebSocket: Standard } = require('heartwire/whatwg');
      const socket = new WebSocket(process.argv[1]);
      socket.on('message', (data) => socket.close(1000, String(data)));
      socket.on('close', (code) => {
        const other = new Standard(process.argv[1]);
        other.onmessage = ({ data }) => {
          console.log(JSON.stringify([code, Object.getPrototypeOf(Standard) === WebSocket, Standard.name, data]));
          other.terminate();
        };
      });
      setTimeout(() => socket.terminate(), 300).unref();
    `,
      'commonjs',
    )) as unknown[];
    assert.ok(code === 1006 || code === 1000, String(code));
    assert.deepEqual([standard, name, other], [true, 'WebSocket', 'hello']);
  });

  for (const type of ['module', 'commonjs'] as const) {
    test(`the installed package connects and receives, with nothing else installed: ${type}`, async () => {
      const load = type === 'module' ? `const { connect } = await import('heartwire');` : '';
      const script = `
        ${load}
        connect(process.argv[1], {
          onMessage(message, connection) {
            console.log(JSON.stringify(message.text()));
            connection.terminate();
          },
        });`;
      const source = type === 'module' ? script : `const { connect } = require('heartwire');${script}`;
      assert.equal(await inProject(source, type), 'hello');
    });
  }
});

describe('what importing costs', () => {
  /** Counts the memories that are made. */
  const counting = `
    let count = 0;
    const Memory = WebAssembly.Memory;
    WebAssembly.Memory = class extends Memory {
      constructor(descriptor) {
        super(descriptor);
        count++;
      }
    };`;

  test('no WebAssembly memory before the first connect, one for all connections after it', async () => {
    const counts = await inProject(`${counting}
      const { connect } = await import('heartwire');
      const counts = [count];
      for (let i = 0; i < 3; i++) {
        const connection = await connect(process.argv[1]);
        counts.push(count);
        connection.terminate();
        await connection.closed;
      }
      console.log(JSON.stringify(counts));
    `);
    assert.deepEqual(counts, [0, 1, 1, 1]);
  });

  test('ERR_WASM_MEMORY, with the remedy, when the memory cannot be made; the next connect tries again', async () => {
    const [refused, opened] = (await inProject(`
      const { Memory } = WebAssembly;
      WebAssembly.Memory = function () {
        throw new RangeError('WebAssembly.Memory(): could not allocate memory');
      };
      const { connect, HeartwireError } = await import('heartwire');
      const refused = [];
      for (let i = 0; i < 2; i++) {
        await connect(process.argv[1]).catch((error) => {
          const { code, message, cause } = error;
          refused.push({ typed: error instanceof HeartwireError, code, message, cause: cause.name });
        });
      }
      WebAssembly.Memory = Memory;
      const connection = await connect(process.argv[1]);
      console.log(JSON.stringify([refused, connection.readyState]));
      connection.terminate();
    `)) as [{ typed: boolean; code: string; message: string; cause: string }[], number];
    assert.equal(refused.length, 2);
    for (const { typed, code, message, cause } of refused) {
      assert.deepEqual({ typed, code, cause }, { typed: true, code: 'ERR_WASM_MEMORY', cause: 'RangeError' });
      assert.match(message, /ulimit -v/);
      assert.match(message, /--disable-wasm-trap-handler/);
    }
    assert.equal(opened, 1);
  });
});

describe('what the types say', () => {
  test('nothing is any', () => {
    for (const module of modules('dist', '.d.ts')) {
      assert.doesNotMatch(declarations(module), /\bany\b/, module);
    }
  });

  test('nothing that is internal shows', () => {
    let checked = 0;
    for (const module of modules('src', '.ts').filter((file) => !file.endsWith('.d'))) {
      const source = readFileSync(join(root, 'src', `${module}.ts`), 'utf8');
      // The member behind a comment that says @internal.
      const internal = source.matchAll(
        /@internal(?:(?!\*\/)[\s\S])*\*\/\s*(?:(?:export|static|readonly|async|get|set|function|class|const|interface|type)\s+)*([\w$]+)/g,
      );
      for (const [, name] of internal) {
        checked++;
        // A file may have several classes, and only some of them are made by the application.
        if (name === 'constructor' && source.split('constructor(').length > 2) continue;
        assert.doesNotMatch(
          declarations(module),
          new RegExp(`\\b${name}\\b\\s*[(:;<?=]`),
          `${module}: ${name}`,
        );
      }
    }
    assert.ok(checked >= 5, `only ${checked} members are internal: the test finds none`);
  });

  test('a program that uses them compiles, strictly', async () => {
    writeFileSync(
      join(project, 'program.ts'),
      `import { connect, type ConnectOptions, type CloseInfo, HandshakeError, type Message } from 'heartwire';
      const options: ConnectOptions = {
        protocols: ['a'],
        onMessage: (message: Message, connection) => { if (message.isText) connection.send(message.text()); },
        onClose: ({ code, reason }) => console.log(code.toFixed(), reason.trim()),
      };
      try {
        const connection = await connect('ws://127.0.0.1/', options);
        const goOn: boolean = connection.send(new Uint16Array(2), { binary: true, fin: false });
        const roundTrip: number = await connection.ping();
        const info: CloseInfo = await connection.close(1000, goOn ? 'a' : roundTrip.toFixed());
        console.log(info.error?.code.trim());
        await using disposed = connection;
        // @ts-expect-error: there is no such payload
        disposed.send(1);
      } catch (error) {
        if (error instanceof HandshakeError) console.log(error.statusCode?.toFixed(), error.body?.length.toFixed());
      }
      `,
    );
    const compilerOptions = {
      target: 'ES2022',
      lib: ['ES2023', 'ESNext.Disposable'],
      module: 'NodeNext',
      types: ['node'],
      strict: true,
      noEmit: true,
    };
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
    writeFileSync(join(project, 'package.json'), '{"type":"module"}');
    // A program in TypeScript for Node has these; the package itself needs nothing.
    for (const types of ['@types', 'undici-types']) {
      symlinkSync(join(root, 'node_modules', types), join(project, 'node_modules', types));
    }
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { stdout } = await run(process.execPath, [compiler, '-p', project]).catch(
      (error: { stdout: string }) => error,
    );
    assert.equal(stdout, '');
  });
});
