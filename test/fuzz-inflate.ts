/**
 * Our DEFLATE decoder against zlib, for as long as one likes:
 *
 *     npm run fuzz:inflate -- [seconds] [seed]
 *
 * Prints the seed; on a disagreement the smallest stream that shows it, and ends with 1.
 */
import fc from 'fast-check';
import { mutatedStream } from './arbitraries/deflate.js';
import { compareInflated, type How } from './reference/inflate-differential.js';

const seconds = Number(process.argv[2] ?? 60);
const firstSeed = Number(process.argv[3] ?? Date.now() % 2 ** 31);
if (!(seconds > 0) || !Number.isInteger(firstSeed)) {
  console.error('usage: npm run fuzz:inflate -- [seconds] [seed]');
  process.exit(2);
}

const lengths = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 4 });
/** Whole messages most of the time: there the output is compared after the last byte, otherwise after each piece. */
const how: fc.Arbitrary<How> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({}) },
  { weight: 2, arbitrary: fc.record({ pieces: lengths, disturbed: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ windowBits: fc.integer({ min: 8, max: 14 }) }) },
);

console.log(`fuzz: seed ${firstSeed}, ${seconds} s`);
const until = performance.now() + seconds * 1_000;
const seen = { complete: 0, incomplete: 0, corrupt: 0 };
for (let seed = firstSeed; performance.now() < until; seed++) {
  const property = fc.property(mutatedStream, how, (stream, each) => {
    seen[compareInflated(stream, each)]++;
  });
  const details = fc.check(property, { seed, numRuns: 5_000 });
  if (!details.failed) continue;
  const [stream, each] = details.counterexample ?? [];
  console.log(`\nDisagreement, seed ${seed}. The smallest stream:`);
  console.log(`  ${stream?.toString('hex')} ${JSON.stringify(each)}`);
  console.log(
    `\n${details.errorInstance instanceof Error ? details.errorInstance.stack : details.errorInstance}`,
  );
  process.exit(1);
}
console.log(`fuzz: no disagreement in ${JSON.stringify(seen)}`);
