/** The package as npm packs it, installed by npm into a folder that held nothing, without a network. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

export interface Installed {
  tarball: string;
  /** Paths of the files in the tarball. */
  files: string[];
  /** Holds `node_modules/heartwire` and nothing that was not made by installing it. */
  project: string;
  /** Holds nothing. */
  elsewhere: string;
  remove(): void;
}

/** `npm test` tells its children, by the environment, about the project it runs in. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.toLowerCase().startsWith('npm_')),
);

export async function install(): Promise<Installed> {
  const folder = mkdtempSync(join(tmpdir(), 'heartwire-installed-'));
  const [project, elsewhere, cache] = ['project', 'elsewhere', 'cache'].map((name) => join(folder, name));
  mkdirSync(project);
  mkdirSync(elsewhere);

  /** Scripts are ignored: packing would build, and what is built is what is tested. The cache is a new one. */
  const npm = async (cwd: string, ...args: string[]): Promise<string> => {
    const options = ['--ignore-scripts', '--offline', '--no-audit', '--no-fund', '--cache', cache];
    const { stdout } = await run('npm', [...args, ...options], { cwd, env: environment });
    return stdout;
  };
  const [packed] = JSON.parse(await npm(root, 'pack', '--json', '--pack-destination', folder)) as [
    { filename: string; files: { path: string }[] },
  ];
  const tarball = join(folder, packed.filename);
  // The prefix: or npm would look for a project in the folders above.
  await npm(project, 'install', tarball, '--prefix', project);
  return {
    tarball,
    files: packed.files.map(({ path }) => path).sort(),
    project,
    elsewhere,
    remove: () => rmSync(folder, { recursive: true }),
  };
}
