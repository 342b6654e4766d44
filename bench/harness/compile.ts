/**
 * The processes that measure run plain JavaScript: tsx would wrap their functions to keep their names, and on
 * Node 20 its hooks make each `import()` of a client 100 µs longer, even one of a module that is loaded.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

let directory: string | undefined;

/** `entry` is a file of bench/. */
export function compiled(entry: string): string {
  directory ??= compileAll();
  return join(directory, 'bench', entry.replace(/\.ts$/, '.js'));
}

/** Inside the package, where its own name and those of its dependencies are found; for this run only. */
function compileAll(): string {
  const build = join(ROOT, 'build');
  mkdirSync(build, { recursive: true });
  const outdir = mkdtempSync(join(build, 'bench-'));
  process.on('exit', () => rmSync(outdir, { recursive: true }));
  buildSync({
    absWorkingDir: ROOT,
    // The micro-benchmarks reach past the package's exports.
    entryPoints: ['bench/**/*.ts', 'src/codec/*.ts', 'src/errors.ts', 'src/protocol/assembly.ts'],
    outbase: '.',
    outdir,
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
  });
  return outdir;
}
