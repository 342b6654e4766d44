/** `npm run soak:redundancy [-- --seconds 300 --seed n]`: hot-hot, then rotation, each for half of the time. */
import { parseArgs } from 'node:util';
import { turnover, upheaval } from './upheaval.js';

const { values } = parseArgs({ options: { seconds: { type: 'string' }, seed: { type: 'string' } } });
const seconds = Number(values.seconds ?? 300);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
console.log(`${seconds} s, seed ${seed}, by ${seed % 2 === 0 ? 'keys' : 'sequence numbers'}`);
const { heap, stats, ...counted } = await upheaval(seconds / 2, seed);
const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
console.log(counted, `heap ${mib(heap[0])} after a quarter, ${mib(heap[1])} at the end`);
for (const { url, first, late, lead, lag } of stats.legs) console.log({ url, first, late, lead, lag });
console.log(await turnover(seconds / 2, seed));
