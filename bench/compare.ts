/**
 * `npm run bench:compare A.json B.json`: two runs side by side. Speeds are compared relative to a contender that both
 * runs have measured beside Heartwire, because two machines, or two days of one machine, cannot be compared otherwise.
 * What changed beyond noise (the 95 % intervals do not touch) is marked.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { REFERENCES, type Row, type Run } from './report/rows.js';
import { threeDigits } from './report/table.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { contender: { type: 'string', default: 'heartwire' } },
});
if (positionals.length !== 2) {
  console.error('npm run bench:compare -- A.json B.json [--contender heartwire]');
  process.exit(2);
}
const [before, after] = positionals.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Run);

for (const { date, machine, quick } of [before, after]) {
  console.log(`${date}  ${machine.commit}  Node ${machine.node}  ${machine.cpu}${quick ? '  (quick)' : ''}`);
}
let faster = 0;
let slower = 0;
for (const row of after.rows) {
  if (row.contender !== values.contender) continue;
  const earlier = before.rows.find((candidate) => titleOf(candidate) === titleOf(row));
  const reference = REFERENCES.find(
    (name) => name !== row.contender && earlier?.ratio[name] && row.ratio[name],
  );
  if (earlier === undefined || reference === undefined) continue;
  const change = row.ratio[reference] / earlier.ratio[reference] - 1;
  const [low, high] = row.ratioInterval[reference];
  const [lowBefore, highBefore] = earlier.ratioInterval[reference];
  const mark = low > highBefore ? 'faster' : high < lowBefore ? 'SLOWER' : '';
  if (mark === 'faster') faster++;
  if (mark === 'SLOWER') slower++;
  const columns = [
    titleOf(row).padEnd(50),
    `× ${reference}`.padStart(9),
    threeDigits(earlier.ratio[reference]).padStart(8),
    threeDigits(row.ratio[reference]).padStart(8),
    `${change >= 0 ? '+' : ''}${(change * 100).toFixed(0)} %`.padStart(8),
    mark,
  ];
  console.log(columns.join(' '));
}
console.log(`${faster} faster, ${slower} slower beyond noise`);

function titleOf({ workload, case: label, transport, contender }: Row): string {
  return `${workload} ${label} ${transport} ${contender}`;
}
