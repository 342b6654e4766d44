/**
 * The receiver against its reference, for as long as one likes:
 *
 *     node --import tsx test/fuzz.ts --seconds 60 --seed 1
 *
 * Prints the seed; on a disagreement the smallest case that shows it, and ends with 1.
 */
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { compressed } from './arbitraries/compressed.js';
import { flow, scenario } from './arbitraries/scenario.js';
import {
  compare,
  compareInTurns,
  compareWithPauses,
  describeScenario,
  type Flow,
  type Scenario,
} from './reference/differential.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
});
const seconds = Number(values.seconds);
const firstSeed = Number(values.seed);
if (!(seconds > 0) || !Number.isInteger(firstSeed)) {
  console.error('usage: node --import tsx test/fuzz.ts [--seconds N] [--seed N]');
  process.exit(2);
}

/** One kind of comparison: does it, and says what it found. */
interface Kind {
  name: string;
  check: (seed: number) => Promise<Finding>;
}

interface Finding {
  runs: number;
  /** The smallest case of a disagreement, and how it shows. */
  disagreement?: { scenarios: readonly Scenario[]; flow?: Flow; error: unknown };
}

const large = scenario({ large: true, maxActs: 4 });

function single(name: string, numRuns: number, scenarios: fc.Arbitrary<Scenario>): Kind {
  const check = async (seed: number): Promise<Finding> => {
    const details = fc.check(fc.property(scenarios, compare), { seed, numRuns });
    if (!details.failed) return { runs: details.numRuns };
    const disagreement = { scenarios: details.counterexample ?? [], error: details.errorInstance };
    return { runs: details.numRuns, disagreement };
  };
  return { name, check };
}

function paused(name: string, numRuns: number, scenarios: fc.Arbitrary<Scenario>): Kind {
  const check = async (seed: number): Promise<Finding> => {
    const details = await fc.check(fc.asyncProperty(scenarios, flow, compareWithPauses), { seed, numRuns });
    if (!details.failed || details.counterexample === null) return { runs: details.numRuns };
    const [smallest, itsFlow] = details.counterexample;
    const disagreement = { scenarios: [smallest], flow: itsFlow, error: details.errorInstance };
    return { runs: details.numRuns, disagreement };
  };
  return { name, check };
}

function inTurns(name: string, numRuns: number, scenarios: fc.Arbitrary<Scenario>): Kind {
  const several = fc.array(scenarios, { minLength: 2, maxLength: 5 });
  const check = async (seed: number): Promise<Finding> => {
    const details = fc.check(fc.property(several, compareInTurns), { seed, numRuns });
    if (!details.failed) return { runs: details.numRuns };
    const disagreement = { scenarios: details.counterexample?.[0] ?? [], error: details.errorInstance };
    return { runs: details.numRuns, disagreement };
  };
  return { name, check };
}

const KINDS: readonly Kind[] = [
  single('any pieces', 1_000, scenario({ maxActs: 10 })),
  single('large messages', 50, large),
  paused('paused and resumed', 200, scenario()),
  paused('large messages, paused and resumed', 30, large),
  inTurns('connections in turns', 100, scenario()),
  single('compressed', 500, compressed({ maxActs: 10 })),
  single('compressed, large messages', 50, compressed({ large: true, maxActs: 4 })),
  paused('compressed, paused and resumed', 100, compressed()),
  inTurns('compressed connections in turns', 50, compressed()),
];

console.log(`fuzz: seed ${firstSeed}, ${seconds} s`);
const until = performance.now() + seconds * 1_000;
let total = 0;
for (let seed = firstSeed; performance.now() < until; seed++) {
  for (const { name, check } of KINDS) {
    const { runs, disagreement } = await check(seed);
    total += runs;
    if (disagreement === undefined) continue;
    const { scenarios, flow: itsFlow, error } = disagreement;
    console.log(`\nDisagreement in "${name}", --seed ${seed}, after ${total} runs. The smallest case:`);
    for (const each of scenarios) console.log(`  ${describeScenario(each)}`);
    if (itsFlow !== undefined) console.log(`  with ${JSON.stringify(itsFlow)}`);
    console.log(`\n${error instanceof Error ? error.stack : String(error)}`);
    process.exit(1);
  }
}
console.log(`fuzz: ${total} runs, no disagreement`);
