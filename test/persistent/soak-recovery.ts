/** `npm run soak:recovery [-- count [seed]]`: 10 000 interruptions of recovery. */
import { interrupt } from './interruptions.js';

const [count = 10_000, seed = Math.floor(Math.random() * 2 ** 31)] = process.argv.slice(2).map(Number);
console.log(`${count} interruptions, seed ${seed}`);
const begin = performance.now();
console.log(await interrupt(count, seed));
console.log(`${((performance.now() - begin) / 1000).toFixed(0)} s`);
