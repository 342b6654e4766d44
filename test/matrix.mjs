// The whole test suite on every supported major version of Node. The binaries come from the npm registry, so
// nothing but npm is needed; this takes as many minutes as there are versions.
import { spawnSync } from 'node:child_process';

const VERSIONS = process.argv.length > 2 ? process.argv.slice(2) : ['20.19', '22', '24', '26'];
const binary = `node-${process.platform}-${process.arch}`;

const failed = [];
for (const version of VERSIONS) {
  console.log(`\n=== Node ${version} ===`);
  const { status } = spawnSync('npx', ['--yes', '-p', `${binary}@${version}`, '--', 'node', 'test/run.mjs'], {
    stdio: 'inherit',
    env: { ...process.env, npm_config_loglevel: 'error' },
  });
  if (status !== 0) failed.push(version);
}
console.log(
  failed.length === 0 ? `\nGreen on Node ${VERSIONS.join(', ')}` : `\nFailed on Node ${failed.join(', ')}`,
);
process.exit(failed.length === 0 ? 0 : 1);
