/**
 * Our readers against their references, for as long as one likes: the receiver of frames against the plain one of
 * test/reference/, the reader of the server's answer against Node's own.
 *
 *     npm run fuzz -- --seconds 600 --seed 1
 *
 * 60 seconds by default, and a seed of its own choosing, which it prints. On a disagreement it prints the smallest
 * case that shows it, keeps it in test/corpus/, where the test suite replays it, and ends with 1.
 */
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { compressed } from './arbitraries/compressed.js';
import { answer, faultyAnswer, piecesOf } from './arbitraries/response.js';
import { flow, scenario } from './arbitraries/scenario.js';
import { split } from './arbitraries/wire.js';
import { type Case, hex, keep, replay, streamOf } from './corpus/case.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
});
const seconds = Number(values.seconds);
const firstSeed = Number(values.seed);
if (!(seconds > 0) || !Number.isInteger(firstSeed)) {
  console.error('usage: npm run fuzz -- [--seconds N] [--seed N]');
  process.exit(2);
}

/** One kind of comparison, and how many of it are made with one seed. */
interface Kind {
  name: string;
  numRuns: number;
  cases: fc.Arbitrary<Case>;
}

const large = scenario({ large: true, maxActs: 4 });
const note = '';

const frames = (scenarios: typeof large): fc.Arbitrary<Case> =>
  scenarios.map((one) => ({ note, kind: 'frames', stream: streamOf(one) }));

const paused = (scenarios: typeof large): fc.Arbitrary<Case> =>
  fc
    .tuple(scenarios, flow)
    .map(([one, itsFlow]) => ({ note, kind: 'frames', stream: streamOf(one), flow: itsFlow }));

const inTurns = (scenarios: typeof large): fc.Arbitrary<Case> =>
  fc
    .array(scenarios, { minLength: 2, maxLength: 5 })
    .map((several) => ({ note, kind: 'frames in turns', streams: several.map(streamOf) }));

const KINDS: readonly Kind[] = [
  { name: 'frames in any pieces', numRuns: 1_000, cases: frames(scenario({ maxActs: 10 })) },
  { name: 'large messages', numRuns: 50, cases: frames(large) },
  { name: 'paused and resumed', numRuns: 200, cases: paused(scenario()) },
  { name: 'large messages, paused and resumed', numRuns: 30, cases: paused(large) },
  { name: 'connections in turns', numRuns: 100, cases: inTurns(scenario()) },
  { name: 'compressed', numRuns: 500, cases: frames(compressed({ maxActs: 10 })) },
  { name: 'compressed, large messages', numRuns: 50, cases: frames(compressed({ large: true, maxActs: 4 })) },
  { name: 'compressed, paused and resumed', numRuns: 100, cases: paused(compressed()) },
  { name: 'compressed connections in turns', numRuns: 50, cases: inTurns(compressed()) },
  {
    name: 'answers to the opening handshake',
    numRuns: 1_000,
    cases: fc
      .record({ stream: fc.oneof(answer, faultyAnswer), how: split })
      .map((one) => ({ note, kind: 'answer', pieces: hex(piecesOf(one)) })),
  },
];

console.log(`fuzz: seed ${firstSeed}, ${seconds} s`);
const until = performance.now() + seconds * 1_000;
const runs = new Map(KINDS.map(({ name }) => [name, 0]));
let seed = firstSeed;
for (; performance.now() < until; seed++) {
  for (const { name, numRuns, cases } of KINDS) {
    const details = await fc.check(fc.asyncProperty(cases, replay), { seed, numRuns });
    runs.set(name, runs.get(name)! + details.numRuns);
    if (!details.failed || details.counterexample === null) continue;
    const found = { ...details.counterexample[0], note: `"${name}", --seed ${seed}` };
    console.log(`\nDisagreement in "${name}", --seed ${seed}; the smallest case is kept in ${keep(found)}:`);
    console.log(JSON.stringify(found).slice(0, 4_000));
    const { errorInstance: error } = details;
    console.log(`\n${error instanceof Error ? error.stack : String(error)}`);
    process.exit(1);
  }
}
for (const [name, count] of runs) console.log(`${String(count).padStart(9)} ${name}`);
console.log(`fuzz: no disagreement from seed ${firstSeed} to ${seed - 1}`);
