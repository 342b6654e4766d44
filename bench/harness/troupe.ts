/**
 * The contenders of one case: a process each, made for it, so that none runs code that V8 has shaped for another
 * workload (a delivery loop that had seen all others was up to a third slower, and not the same in every run).
 */
import { Child } from './child.js';
import type { ContenderCalls } from './contender-process.js';
import { cores } from './machine.js';
import { PATIENCE } from './turns.js';

/** What the report says of the contenders. */
export interface Programme {
  readonly subjects: Record<string, string>;
  readonly failures: string[];
}

export type Troupe = ReadonlyMap<string, Child<ContenderCalls>>;

/** Those of `names` that can take part. */
export async function assemble(
  names: readonly string[],
  transport: string,
  programme: Programme,
): Promise<Troupe> {
  const started = await Promise.all(
    names.map(async (name) => [name, await start(name, transport, programme)] as const),
  );
  return new Map(started.flatMap(([name, child]) => (child === undefined ? [] : [[name, child] as const])));
}

export async function dismiss(troupe: Troupe): Promise<void> {
  await Promise.all([...troupe.values()].map((child) => child.stop()));
}

async function start(
  name: string,
  transport: string,
  { subjects, failures }: Programme,
): Promise<Child<ContenderCalls> | undefined> {
  const child = new Child<ContenderCalls>(`${name} (${transport})`, 'harness/contender-process.ts', {
    core: cores?.contender,
    arguments: [name],
  });
  try {
    const { subject, note, unsupported } = await child.call('about', undefined, PATIENCE);
    subjects[name] = unsupported === undefined ? `${subject}: ${note}` : `not supported: ${unsupported}`;
    if (unsupported === undefined) return child;
  } catch (error) {
    failures.push(String(error));
  }
  await child.stop();
  return undefined;
}
