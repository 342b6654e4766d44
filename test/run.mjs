// Runs every test file below this folder (or those whose path holds an argument), and fails when fewer tests
// ran than there are known to be: Node 20 expands no globs, and a run of nothing is green.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const MINIMUM = 4_500;

const here = fileURLToPath(new URL('.', import.meta.url));
const wanted = process.argv.slice(2);
const files = readdirSync(here, { recursive: true })
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => relative(process.cwd(), join(here, file)))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();

const folder = mkdtempSync(join(tmpdir(), 'heartwire-test-'));
const tap = join(folder, 'result.tap');
const { status } = spawnSync(
  process.execPath,
  [
    '--import=tsx',
    '--test',
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    '--test-reporter=tap',
    `--test-reporter-destination=${tap}`,
    ...files,
  ],
  { stdio: 'inherit' },
);
const passed = Number(/^# pass (\d+)$/m.exec(readFileSync(tap, 'utf8'))?.[1] ?? 0);
rmSync(folder, { recursive: true });

if (status !== 0) process.exit(status ?? 1);
if (wanted.length === 0 && passed < MINIMUM) {
  console.error(`${passed} tests passed, but at least ${MINIMUM} were expected: some were not run`);
  process.exit(1);
}
