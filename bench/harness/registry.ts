/** Contenders and workloads are the files of their directories: adding one is adding a file. */
import { readdirSync } from 'node:fs';
import type { Contender } from './contender.js';
import type { Workload } from './workload.js';

/** Heartwire first, the floor last. */
export const contenderNames = names('../contenders/').sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));

/** Who takes part where not everybody does, unless others are asked for. */
export const usualContenders = ['heartwire', 'ws', 'floor'];

/** Who takes part where messages are compressed: the floor cannot. */
export const inflatingContenders = ['heartwire', 'ws', 'undici'];

/** Loaded only in the process that measures it. */
export async function contender(name: string): Promise<Contender> {
  const module: { contender: Contender } = await import(`../contenders/${name}.js`);
  return module.contender;
}

export async function workloads(): Promise<Workload[]> {
  const modules: { workload: Workload }[] = await Promise.all(
    names('../workloads/').map((name) => import(`../workloads/${name}.js`)),
  );
  return modules.map(({ workload }) => workload);
}

function rank(name: string): number {
  return name === 'heartwire' ? 0 : name === 'floor' ? 2 : 1;
}

function names(directory: string): string[] {
  return (
    readdirSync(new URL(directory, import.meta.url))
      // As they are written, and as they were compiled.
      .filter((file) => /\.[jt]s$/.test(file))
      .map((file) => file.slice(0, -3))
      .sort()
  );
}
