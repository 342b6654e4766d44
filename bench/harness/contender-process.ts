/**
 * One contender on one transport, in a process of its own: it is told to prepare a case, to measure rounds of it
 * when its turn comes, and to leave it.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import { answer } from './answer.js';
import { Inbox } from './inbox.js';
import { contender as load, workloads } from './registry.js';
import { type Quantiles, quantiles } from './statistics.js';
import type { Player, WarmUp, Workload } from './workload.js';

export interface Preparation {
  workload: string;
  index: number;
  /** The server's base URL, and the certificate to trust. */
  url: string;
  ca: string;
  /** How long a round should take or how many steps it has, and how much to warm up. */
  round: Workload['round'];
  warmUp: WarmUp;
}

export interface Sample {
  messages: number;
  seconds: number;
  /** User and system time of all the process's threads; where others did the work, theirs while they did it. */
  cpuMicroseconds: number;
  /** All that was spent for it on the client's side. */
  cpuMicrosecondsAltogether: number;
  collections: number;
  collectionMilliseconds: number;
  /** The process's, before the case was prepared and after the round. */
  residentBytes: { before: number; after: number };
  /** Of it the JavaScript heap that is in use, after the round. */
  heapBytes: number;
  /** Times of the steps in microseconds, unless the metric is a rate. */
  latency?: Quantiles;
  latencies?: Float64Array;
}

export type ContenderCalls = {
  about(argument: undefined): { subject: string; note: string; unsupported?: string };
  prepare(preparation: Preparation): Promise<{ steps: number }>;
  measure(argument: undefined): Promise<Sample>;
  leave(argument: undefined): void;
};

/** The case that is played. */
interface Play {
  player: Player;
  messagesPerStep: number;
  steps: number;
  leadIn: number;
  residentBefore: number;
  latencies: Float64Array | undefined;
}

const contender = await load(process.argv[2]);
const known = await workloads();
let current: Play | undefined;

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
  about: () => {
    const { subject, note, unsupported } = contender;
    return { subject, note, unsupported };
  },

  async prepare({ workload: name, index, url, ca, round, warmUp }) {
    const workload = known.find((candidate) => candidate.name === name)!;
    const { messagesPerStep, play } = workload.cases[index];
    const inbox = new Inbox();
    const target = { url: `${url}/${name}/${index}`, ca, compressed: workload.compressed ?? false };
    const residentBefore = process.memoryUsage.rss();
    const player = await play({ contender, inbox, open: (own = inbox) => contender.open(target, own) });
    const rate = await warmed(player, messagesPerStep, warmUp);
    const steps = 'steps' in round ? round.steps : Math.max(1, Math.round(rate * round.milliseconds));
    const times = workload.metric === 'fleet' ? steps * messagesPerStep : steps;
    const latencies = workload.metric === 'rate' ? undefined : new Float64Array(times);
    const leadIn = Math.round(steps / 20);
    current = { player, messagesPerStep, steps, leadIn, residentBefore, latencies };
    return { steps };
  },

  async measure() {
    const { player, messagesPerStep, steps, leadIn, residentBefore, latencies } = current!;
    // Caches, clock and branch predictors have served somebody else since the last turn.
    if (leadIn > 0) await player.round(leadIn);
    await collectionsReported();
    const collectionsBefore = collections;
    const pauseBefore = collectionMilliseconds;
    const cpuBefore = process.cpuUsage();
    const start = performance.now();
    await player.round(steps, latencies);
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(cpuBefore);
    const elsewhere = player.elsewhere?.();
    await collectionsReported();
    const { rss, heapUsed } = process.memoryUsage();
    const sample: Sample = {
      messages: steps * messagesPerStep,
      seconds,
      cpuMicroseconds: elsewhere?.measured ?? user + system,
      cpuMicrosecondsAltogether: user + system + (elsewhere?.altogether ?? 0),
      collections: collections - collectionsBefore,
      collectionMilliseconds: collectionMilliseconds - pauseBefore,
      residentBytes: { before: residentBefore, after: rss },
      heapBytes: heapUsed,
    };
    if (latencies !== undefined) {
      const sorted = latencies.map((milliseconds) => milliseconds * 1000).sort();
      sample.latencies = sorted;
      sample.latency = quantiles(sorted);
    }
    return sample;
  },

  leave() {
    void current?.player.link?.close();
    current = undefined;
  },
});

/** Rounds twice as long each time, until the code is optimised and two long rounds have told the speed, in steps a ms. */
async function warmed(player: Player, messagesPerStep: number, warmUp: WarmUp): Promise<number> {
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
    if (warm && longRounds >= 2 && warming > warmUp.milliseconds) return rate;
    steps = Math.max(steps, Math.ceil(Math.min(2 * steps, (steps / elapsed) * warmUp.milliseconds)));
  }
}
