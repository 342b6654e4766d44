/** One case, all contenders: prepared one after the other, then measured in turns. */
import type { Child } from './child.js';
import type { ContenderCalls, Sample } from './contender-process.js';
import { cpuSecondsOfAll } from './machine.js';
import type { ServerCalls } from './server-process.js';
import type { Workload } from './workload.js';

/** Longer than any step takes on a slow machine, short enough not to be taken for a hang. */
export const PATIENCE = 30_000;

export interface Outcome {
  samples: Sample[];
  /** Per round, the share of a core that the server used. */
  serverBusy: number[];
  /** Seconds that the rounds took, and CPU seconds that neither client nor server used meanwhile. */
  elapsed: number;
  foreign: number;
  failure?: string;
}

export interface Scene {
  workload: Workload;
  index: number;
  url: string;
  ca: string;
  quick: boolean;
}

export async function takeTurns(
  contenders: ReadonlyMap<string, Child<ContenderCalls>>,
  server: Child<ServerCalls>,
  { workload, index, url, ca, quick }: Scene,
): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  const milliseconds = quick ? workload.milliseconds / 3 : workload.milliseconds;
  const rounds = quick ? 3 : workload.rounds;
  // So many small messages, for V8 to optimise; large ones take their time anyway.
  const messages = workload.cases[index].byteLength > 1024 ? 0 : quick ? 20_000 : 100_000;
  const warmUp = { messages, milliseconds: quick ? 50 : 120 };

  for (const [name, child] of contenders) {
    const outcome: Outcome = { samples: [], serverBusy: [], elapsed: 0, foreign: 0 };
    outcomes.set(name, outcome);
    await attempt(outcome, () =>
      child.call('prepare', { workload: workload.name, index, url, ca, milliseconds, warmUp }, PATIENCE),
    );
  }
  for (let round = 0; round < rounds; round++) {
    // Whoever went first goes last the next time, so that a drift of the machine favours nobody.
    const order = [...contenders];
    if (round % 2 === 1) order.reverse();
    for (const [name, child] of order) {
      const outcome = outcomes.get(name)!;
      await attempt(outcome, async () => {
        const serverBefore = await server.call('cpu', undefined, PATIENCE);
        const allBefore = cpuSecondsOfAll();
        const start = performance.now();
        const sample = await child.call('measure', undefined, PATIENCE);
        const elapsed = (performance.now() - start) / 1000;
        const all = cpuSecondsOfAll() - allBefore;
        const serverUsed = ((await server.call('cpu', undefined, PATIENCE)) - serverBefore) / 1e6;
        outcome.samples.push(sample);
        outcome.serverBusy.push(serverUsed / elapsed);
        outcome.elapsed += elapsed;
        // The lead-in before the round costs the client a little as well.
        outcome.foreign += all - serverUsed - (sample.cpuMicroseconds / 1e6) * (elapsed / sample.seconds);
      });
    }
  }
  for (const [name, child] of contenders) {
    await attempt(outcomes.get(name)!, () => child.call('leave', undefined, PATIENCE));
  }
  return outcomes;
}

/** A contender that fails sits out the rest of the case; the others go on. */
async function attempt(outcome: Outcome, action: () => Promise<unknown>): Promise<void> {
  if (outcome.failure !== undefined) return;
  try {
    await action();
  } catch (error) {
    outcome.failure = error instanceof Error ? error.message : String(error);
  }
}
