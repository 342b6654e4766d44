/**
 * One contender on one transport, in a process of its own: it is told to prepare a case, to measure rounds of it
 * when its turn comes, and to leave it.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import { answer } from './child.js';
import type { Link } from './contender.js';
import { Inbox } from './inbox.js';
import { contender as load, workloads } from './registry.js';
import { quantile } from './statistics.js';
import type { Player } from './workload.js';

export interface Preparation {
  workload: string;
  index: number;
  /** The server's base URL, and the certificate to trust. */
  url: string;
  ca: string;
  /** How long a round should take, and for how many messages or how long, whichever ends first, to warm up. */
  milliseconds: number;
  warmUp: { messages: number; milliseconds: number };
}

export interface Sample {
  messages: number;
  seconds: number;
  /** User and system time of all the process's threads. */
  cpuMicroseconds: number;
  collections: number;
  collectionMilliseconds: number;
  /** Round trip times in microseconds, where they are the metric. */
  latency?: { p50: number; p99: number; p999: number; max: number };
  latencies?: Float64Array;
}

export type ContenderCalls = {
  about(argument: undefined): { subject: string; note: string };
  prepare(preparation: Preparation): Promise<{ steps: number }>;
  measure(argument: undefined): Promise<Sample>;
  leave(argument: undefined): void;
};

interface Stage {
  link: Link;
  player: Player;
  messagesPerStep: number;
  steps: number;
  leadIn: number;
  latencies: Float64Array | undefined;
}

const contender = await load(process.argv[2]);
const known = await workloads();
let stage: Stage | undefined;

let collections = 0;
let collectionMilliseconds = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    collections += 1;
    collectionMilliseconds += entry.duration;
  }
}).observe({ entryTypes: ['gc'] });

/** Collections are reported one turn of the event loop after they happened. */
async function collectionsReported(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
}

answer<ContenderCalls>({
  about: () => ({ subject: contender.subject, note: contender.note }),

  async prepare({ workload: name, index, url, ca, milliseconds, warmUp }) {
    const workload = known.find((candidate) => candidate.name === name)!;
    const { messagesPerStep, play } = workload.cases[index];
    const inbox = new Inbox();
    const link = await contender.open({ url: `${url}/${name}/${index}`, ca }, inbox);
    const player = play(link, inbox);

    // Rounds twice as long each time, until the code is optimised and two long rounds have told the speed.
    const begin = performance.now();
    let steps = 1;
    let messages = 0;
    let longRounds = 0;
    let rate = 0;
    for (;;) {
      const start = performance.now();
      await player.round(steps);
      const elapsed = performance.now() - start;
      const warming = performance.now() - begin;
      messages += steps * messagesPerStep;
      // Short rounds flatter, interrupted ones belittle: the better of the long ones counts.
      if (elapsed > warmUp.milliseconds / 5) {
        longRounds += 1;
        rate = Math.max(rate, steps / elapsed);
      }
      const warm = messages >= warmUp.messages || warming > 3 * warmUp.milliseconds;
      if (warm && longRounds >= 2 && warming > warmUp.milliseconds) break;
      steps = Math.max(steps, Math.ceil(Math.min(2 * steps, (steps / elapsed) * warmUp.milliseconds)));
    }
    steps = Math.max(1, Math.round(rate * milliseconds));
    const latencies = workload.metric === 'latency' ? new Float64Array(steps) : undefined;
    stage = { link, player, messagesPerStep, steps, leadIn: Math.ceil(steps / 20), latencies };
    return { steps };
  },

  async measure() {
    const { player, messagesPerStep, steps, leadIn, latencies } = stage!;
    // Caches, clock and branch predictors have served somebody else since the last turn.
    await player.round(leadIn);
    await collectionsReported();
    const collectionsBefore = collections;
    const pauseBefore = collectionMilliseconds;
    const cpuBefore = process.cpuUsage();
    const start = performance.now();
    await player.round(steps, latencies);
    const seconds = (performance.now() - start) / 1000;
    const cpu = process.cpuUsage(cpuBefore);
    await collectionsReported();
    const sample: Sample = {
      messages: steps * messagesPerStep,
      seconds,
      cpuMicroseconds: cpu.user + cpu.system,
      collections: collections - collectionsBefore,
      collectionMilliseconds: collectionMilliseconds - pauseBefore,
    };
    if (latencies !== undefined) {
      const sorted = latencies.map((milliseconds) => milliseconds * 1000).sort();
      sample.latencies = sorted;
      sample.latency = {
        p50: quantile(sorted, 0.5),
        p99: quantile(sorted, 0.99),
        p999: quantile(sorted, 0.999),
        max: sorted[sorted.length - 1],
      };
    }
    return sample;
  },

  leave() {
    stage?.link.close();
    stage = undefined;
  },
});
