/**
 * Where the time of one contender in one case goes:
 *   node --import tsx bench/profile.ts --contender heartwire --case "receive binary 16 B" --transport tcp
 * Prints the functions by their own time, per message, and leaves the profile in bench/results/ for a viewer
 * (the performance panel of a Chromium, or of an editor).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Child } from './harness/child.js';
import type { ContenderCalls } from './harness/contender-process.js';
import { cores } from './harness/machine.js';
import { workloads } from './harness/registry.js';
import type { ServerCalls } from './harness/server-process.js';
import { PATIENCE } from './harness/turns.js';
import { transports } from './harness/workload.js';

/** The part of a .cpuprofile that is read here. */
interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  samples: number[];
  timeDeltas: number[];
}

const LISTED = 25;
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: {
    contender: { type: 'string', default: 'heartwire' },
    case: { type: 'string', default: 'receive binary 16 B' },
    transport: { type: 'string', default: 'tcp' },
    seconds: { type: 'string', default: '3' },
  },
});
const titles = (await workloads()).flatMap((workload) =>
  workload.cases.map(({ label }, index) => ({ title: `${workload.name} ${label}`, workload, index })),
);
const found = titles.find(({ title }) => title === values.case);
const transport = transports.find((name) => name === values.transport);

if (found === undefined || transport === undefined) {
  console.error(
    `no such case or transport; there are ${transports.join(', ')} and:\n  ${titles.map(({ title }) => title).join('\n  ')}`,
  );
  process.exitCode = 1;
} else {
  const seconds = Number(values.seconds);
  const directory = `${ROOT}bench/results/profile-${Date.now()}`;
  const server = new Child<ServerCalls>('server', 'harness/server-process.ts', { core: cores?.server });
  const address = await server.call('listen', undefined, PATIENCE);
  const child = new Child<ContenderCalls>(values.contender, 'harness/contender-process.ts', {
    core: cores?.contender,
    arguments: [values.contender],
    node: ['--cpu-prof', '--cpu-prof-interval', '100', '--cpu-prof-dir', directory],
  });
  const warmUp = { messages: 100_000, milliseconds: 300 };
  const scene = {
    workload: found.workload.name,
    index: found.index,
    url: address[transport],
    ca: address.ca,
  };
  await child.call('prepare', { ...scene, round: { milliseconds: seconds * 1000 }, warmUp }, PATIENCE);
  const sample = await child.call('measure', undefined, PATIENCE + seconds * 10_000);
  await child.stop();
  await server.stop();
  console.log(
    `${values.contender}, ${found.title} ${transport}: ${sample.messages} messages in ${sample.seconds.toFixed(2)} s, ` +
      `${((sample.cpuMicroseconds * 1000) / sample.messages).toFixed(1)} ns of CPU each, ${sample.collections} collections`,
  );
  // The main thread's; the other is that of the module loader.
  for (const file of readdirSync(directory).filter((name) => /\.0\.\d+\.cpuprofile$/.test(name))) {
    const profile: Profile = JSON.parse(readFileSync(`${directory}/${file}`, 'utf8'));
    console.log(`${relative(ROOT, `${directory}/${file}`)}\n`);
    list(profile, sample.seconds * 1e6, sample.messages);
  }
}

/** Own time by function, waiting apart, in the last `microseconds` only: what came before is start-up and warming up. */
function list({ nodes, samples, timeDeltas }: Profile, microseconds: number, messages: number): void {
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      `${functionName || '(anonymous)'} ${url.startsWith('file:') ? relative(ROOT, fileURLToPath(url)) : url}:${lineNumber + 1}`,
    ]),
  );
  const own = new Map<string, number>();
  let total = 0;
  let busy = 0;
  for (let i = samples.length - 1; i >= 0 && total < microseconds; i--) {
    total += timeDeltas[i];
    const name = names.get(samples[i])!;
    if (name.startsWith('(idle)')) continue;
    own.set(name, (own.get(name) ?? 0) + timeDeltas[i]);
    busy += timeDeltas[i];
  }
  console.log('  share   ns/message');
  for (const [name, time] of [...own].sort((a, b) => b[1] - a[1]).slice(0, LISTED)) {
    const share = `${((time / busy) * 100).toFixed(1)} %`;
    console.log(`${share.padStart(7)} ${((time * 1000) / messages).toFixed(2).padStart(12)}   ${name}`);
  }
}
