/**
 * `npm run bench:guard -- [commit] [--loss 5] [--only …] [--quick]`: the working tree against a commit (HEAD unless it
 * is said), in turns within one run. Fails when a case has become slower by more than `loss` percent, beyond what the
 * rounds' own scatter explains. By hand, on a quiet machine; not in CI.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { ROOT } from './harness/compile.js';
import type { Run } from './report/rows.js';

/** Where the machine itself is not the limit, and what most users do. */
const CASES =
  'receive binary 16 B,receive binary 128 B,receive binary 16 KiB,receive text 128 B,send-burst,echo 64 B';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    loss: { type: 'string', default: '5' },
    only: { type: 'string', default: CASES },
    quick: { type: 'boolean', default: false },
  },
});
const commit = positionals[0] ?? 'HEAD';
const least = 1 - Number(values.loss) / 100;

const folder = mkdtempSync(join(tmpdir(), 'heartwire-guard-'));
const tree = join(folder, 'tree');
try {
  process.exitCode = guard();
} finally {
  spawnSync('git', ['worktree', 'remove', '--force', tree], { cwd: ROOT });
  rmSync(folder, { recursive: true, force: true });
}

function guard(): number {
  const git = (...command: string[]): string => execFileSync('git', command, { cwd: ROOT, encoding: 'utf8' });
  const id = git('rev-parse', '--short', commit).trim();
  git('worktree', 'add', '--detach', tree, id);
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  for (const cwd of [ROOT, tree])
    execFileSync('npm', ['run', '--silent', 'build'], { cwd, stdio: 'inherit' });

  const result = join(folder, 'result.json');
  const options = ['--only', values.only, '--contenders', 'heartwire,baseline', '--json', result];
  if (values.quick) options.push('--quick');
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', 'bench/run.ts', ...options], {
    cwd: ROOT,
    stdio: 'inherit',
    env: {
      ...process.env,
      HEARTWIRE_BASELINE: pathToFileURL(join(tree, 'dist/index.js')).href,
      HEARTWIRE_BASELINE_COMMIT: id,
    },
  });
  if (status !== 0) return status ?? 1;

  const run: Run = JSON.parse(readFileSync(result, 'utf8'));
  const slower = run.rows.filter(
    ({ contender, ratio, ratioInterval }) =>
      contender === 'heartwire' && ratio.baseline < least && ratioInterval.baseline[1] < 1,
  );
  for (const { workload, case: label, transport, ratio, ratioInterval } of slower) {
    const [low, high] = ratioInterval.baseline.map((value) => value.toFixed(3));
    console.log(
      `SLOWER: ${workload} ${label} ${transport}: × ${ratio.baseline.toFixed(3)} (${low} to ${high})`,
    );
  }
  console.log(
    `${slower.length} of ${run.rows.length / 2} cases are more than ${values.loss} % slower than ${id}`,
  );
  return slower.length > 0 ? 1 : 0;
}
