/**
 * `npm run bench`: each contender in each workload over tcp and TLS, in turns, then the codec's operations.
 * The server, and every contender in every case, are processes of their own; this one only conducts, and is idle while they run.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Selection, selection, USAGE } from './harness/arguments.js';
import { Child } from './harness/child.js';
import { cores, machine } from './harness/machine.js';
import { Progress } from './harness/progress.js';
import { contenderNames, inflatingContenders, usualContenders, workloads } from './harness/registry.js';
import type { ServerCalls } from './harness/server-process.js';
import { assemble, dismiss, type Programme } from './harness/troupe.js';
import { PATIENCE, takeTurns } from './harness/turns.js';
import { type Transport, transports, type Workload } from './harness/workload.js';
import type { MicroCalls, MicroRow } from './micro/micro-process.js';
import { page } from './report/page.js';
import { type Row, type Run, save, summarize } from './report/rows.js';
import { heading, LEGEND, microLine, tableLine } from './report/table.js';

/** Cores used by others, below which a run is worth quoting. */
const QUIET = 0.15;
const REPORT = new URL('report.html', import.meta.url);

interface Step {
  transport: Transport;
  workload: Workload;
  index: number;
  label: string;
}

const chosen = selection();
if (chosen === undefined) console.log(USAGE);
else await run(chosen);

async function run(selected: Selection): Promise<void> {
  const begin = performance.now();
  const about = machine();
  const pinning =
    cores === undefined ? '' : `, server on core ${cores.server}, client on core ${cores.contender}`;
  console.log(`${about.cpu}, ${about.platform}, Node ${about.node}${pinning}`);

  const failures: string[] = [];
  const result = await endToEnd(selected, failures);
  const micro = await codecOperations(selected, failures);

  const seconds = (performance.now() - begin) / 1000;
  const date = new Date().toISOString();
  const found: Run = { date, machine: about, quick: selected.quick, seconds, ...result, micro };
  const file = save(found, selected.json);
  writeFileSync(REPORT, page(found));
  if (result.foreignCores > QUIET) {
    const used = result.foreignCores.toFixed(2);
    console.log(
      `\nNot a quiet machine: others used ${used} cores; speeds are too low, CPU/msg is less wrong`,
    );
  }
  console.log(`\n${seconds.toFixed(0)} s; all samples: ${file}; to look at: ${fileURLToPath(REPORT)}`);
  if (failures.length > 0) {
    console.error(`\nFAILED:\n${failures.join('\n')}`);
    process.exitCode = 1;
  }
}

async function endToEnd(
  { wanted, contenders, quick, full }: Selection,
  failures: string[],
): Promise<{ rows: Row[]; subjects: Record<string, string>; foreignCores: number }> {
  const rows: Row[] = [];
  const programme: Programme = { subjects: {}, failures };
  const { subjects } = programme;
  const plan = (await everything()).filter((step) => wanted(titleOf(step), isLong(step)));
  if (plan.length === 0) return { rows, subjects, foreignCores: 0 };

  const progress = new Progress(plan.length);
  const server = new Child<ServerCalls>('server', 'harness/server-process.ts', { core: cores?.server });
  const address = await server.call('listen', undefined, PATIENCE);
  let before: { workload: Workload; transport: Transport } | undefined;
  let elapsed = 0;
  let foreign = 0;
  for (const step of plan) {
    const { transport, workload, index, label } = step;
    if (transport !== before?.transport || workload !== before.workload) {
      progress.print(`\n${heading(workload.metric)}`);
    }
    before = step;
    progress.next(titleOf(step));
    const scene = { workload, index, url: address[transport], ca: address.ca, quick };
    const troupe = await assemble(castOf(workload, contenders, full), transport, programme);
    const outcomes = await takeTurns(troupe, server, scene);
    await dismiss(troupe);
    const about = { workload: workload.name, case: label, transport, metric: workload.metric };
    for (const row of summarize(about, outcomes)) {
      rows.push(row);
      progress.print(tableLine(row));
      const { contender, failure } = row;
      // A contender that is dead fails in the rest of its cases for the same reason.
      if (failure !== undefined && !failures.some((earlier) => earlier.endsWith(failure))) {
        failures.push(`${titleOf(step)}, ${contender}: ${failure}`);
      }
    }
    for (const outcome of outcomes.values()) {
      elapsed += outcome.elapsed;
      foreign += outcome.foreign;
    }
  }
  await server.stop();
  console.log(`\n${LEGEND}`);
  for (const [name, subject] of Object.entries(subjects)) console.log(`${name.padEnd(10)}${subject}`);
  return { rows, subjects, foreignCores: elapsed === 0 ? 0 : Math.max(0, foreign / elapsed) };
}

function castOf({ cast, compressed }: Workload, asked: string[] | undefined, full: boolean): string[] {
  if (compressed) return asked?.filter((name) => inflatingContenders.includes(name)) ?? inflatingContenders;
  if (asked !== undefined) return asked;
  return full || cast === 'everybody' ? contenderNames : usualContenders;
}

async function codecOperations({ wanted, quick, full }: Selection, failures: string[]): Promise<MicroRow[]> {
  const rows: MicroRow[] = [];
  const codec = new Child<MicroCalls>('codec', 'micro/micro-process.ts', { core: cores?.contender });
  try {
    const names = (await codec.call('names', full, PATIENCE)).filter((name) => wanted(`micro ${name}`));
    if (names.length > 0) console.log('\nOne frame or payload, and the time relative to Heartwire');
    for (const name of names) {
      const measured = await codec.call('measure', { name, quick }, PATIENCE);
      rows.push(...measured);
      for (const row of measured) console.log(microLine(row, measured[0]));
    }
  } catch (error) {
    failures.push(String(error));
  }
  await codec.stop();
  return rows;
}

async function everything(): Promise<Step[]> {
  const known = await workloads();
  return transports.flatMap((transport) =>
    known
      .filter((workload) => (workload.transports ?? ['tcp', 'tls']).includes(transport))
      .flatMap((workload) =>
        workload.cases.map(({ label }, index) => ({ transport, workload, index, label })),
      ),
  );
}

function titleOf({ workload, label, transport }: Step): string {
  return `${workload.name} ${label} ${transport}`;
}

function isLong({ workload, index, transport }: Step): boolean {
  const { long } = workload.cases[index];
  return long === true || long === transport;
}
