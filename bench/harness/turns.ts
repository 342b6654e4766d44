/** One case, all contenders: prepared one after the other, then measured in turns. */
import type { Child } from './child.js';
import type { Sample } from './contender-process.js';
import { cpuSecondsOfAll } from './machine.js';
import type { ServerCalls } from './server-process.js';
import type { Troupe } from './troupe.js';
import type { WarmUp, Workload } from './workload.js';

/** Longer than any step takes on a slow machine, short enough not to be taken for a hang. */
export const PATIENCE = 30_000;

export interface Outcome {
  samples: Sample[];
  /** Per round, the share of a core that the server used. */
  serverBusy: number[];
  /** What the server says of the TLS connections that were made during the rounds. */
  tls: { handshakes: number; resumed: number };
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
  contenders: Troupe,
  server: Child<ServerCalls>,
  { workload, index, url, ca, quick }: Scene,
): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  const rounds = quick ? 3 : workload.rounds;
  const round = quick ? shortened(workload.round) : workload.round;
  const warmUp = warmUpOf(workload, index, quick);
  const preparation = { workload: workload.name, index, url, ca, round, warmUp };

  for (const [name, child] of contenders) {
    const tls = { handshakes: 0, resumed: 0 };
    const outcome: Outcome = { samples: [], serverBusy: [], tls, elapsed: 0, foreign: 0 };
    outcomes.set(name, outcome);
    await attempt(outcome, () => child.call('prepare', preparation, PATIENCE));
  }
  for (let turn = 0; turn < rounds; turn++) {
    // Whoever went first goes last the next time, so that a drift of the machine favours nobody.
    const order = [...contenders];
    if (turn % 2 === 1) order.reverse();
    for (const [name, child] of order) {
      const outcome = outcomes.get(name)!;
      await attempt(outcome, async () => {
        const serverBefore = await server.call('tally', undefined, PATIENCE);
        const allBefore = cpuSecondsOfAll();
        const start = performance.now();
        const sample = await child.call('measure', undefined, PATIENCE);
        const elapsed = (performance.now() - start) / 1000;
        const all = cpuSecondsOfAll() - allBefore;
        const serverAfter = await server.call('tally', undefined, PATIENCE);
        const serverUsed = (serverAfter.cpuMicroseconds - serverBefore.cpuMicroseconds) / 1e6;
        outcome.samples.push(sample);
        outcome.serverBusy.push(serverUsed / elapsed);
        outcome.tls.handshakes += serverAfter.tlsHandshakes - serverBefore.tlsHandshakes;
        outcome.tls.resumed += serverAfter.resumed - serverBefore.resumed;
        outcome.elapsed += elapsed;
        // The lead-in before the round costs the client a little as well.
        outcome.foreign +=
          all - serverUsed - (sample.cpuMicrosecondsAltogether / 1e6) * (elapsed / sample.seconds);
      });
    }
  }
  for (const [name, child] of contenders) {
    await attempt(outcomes.get(name)!, () => child.call('leave', undefined, PATIENCE));
  }
  return outcomes;
}

function warmUpOf(workload: Workload, index: number, quick: boolean): WarmUp {
  const { byteLength = 0 } = workload.cases[index];
  // So many small messages, for V8 to optimise; large ones take their time anyway.
  const usual = { messages: byteLength > 1024 ? 0 : 100_000, milliseconds: 120 };
  const { messages, milliseconds } = workload.warmUp ?? usual;
  return quick ? { messages: messages / 5, milliseconds: milliseconds * 0.4 } : { messages, milliseconds };
}

function shortened(round: Workload['round']): Workload['round'] {
  return 'steps' in round ? { steps: Math.ceil(round.steps / 3) } : { milliseconds: round.milliseconds / 3 };
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
