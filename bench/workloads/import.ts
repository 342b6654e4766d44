/** Loading the package in a process that has loaded nothing else: no tsx, no harness. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Workload } from '../harness/workload.js';

/** CPU time in µs: while loading, and of the process since its start. */
interface Loading {
  milliseconds: number;
  cpu: number;
  processCpu: number;
}

function script(load: string): string {
  return `
    const sum = ({ user, system }) => user + system;
    const before = process.cpuUsage();
    const start = performance.now();
    ${load};
    const milliseconds = performance.now() - start;
    const cpu = sum(process.cpuUsage(before));
    console.log(JSON.stringify({ milliseconds, cpu, processCpu: sum(process.cpuUsage()) }));`;
}

async function loadFresh(load: string): Promise<Loading> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '--eval', script(load)],
    // What would make the process another one than a user's.
    { env: { ...process.env, NODE_OPTIONS: undefined, NODE_COMPILE_CACHE: undefined } },
  );
  return JSON.parse(stdout);
}

export const workload: Workload = {
  name: 'import',
  metric: 'cost',
  transports: ['none'],
  cast: 'everybody',
  rounds: 15,
  round: { steps: 1 },
  warmUp: { messages: 0, milliseconds: 0 },
  cases: [
    {
      label: 'in a fresh process',
      messagesPerStep: 1,
      serve() {},
      play({ contender }) {
        let cpu = 0;
        let processCpu = 0;
        return {
          async round(steps, latencies) {
            cpu = 0;
            processCpu = 0;
            for (let done = 0; done < steps; done++) {
              const loading = await loadFresh(contender.load);
              if (latencies !== undefined) latencies[done] = loading.milliseconds;
              cpu += loading.cpu;
              processCpu += loading.processCpu;
            }
          },
          elsewhere: () => ({ measured: cpu, altogether: processCpu }),
        };
      },
    },
  ],
};
