/**
 * `npm run soak [-- --seconds 300 --seed 1]`: troubles at random for minutes, with black holes where network namespaces
 * are allowed; at the end, a heap that has not grown.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import type { TestContext } from 'node:test';
import { parseArgs } from 'node:util';
import { EXCHANGE_PROCESS, RemoteExchange } from '../exchange/remote-exchange.js';
import { networkNamespace } from '../faults/network-namespace.js';
import { runCourse } from './continuity-course.js';

const { values } = parseArgs({ options: { seconds: { type: 'string' }, seed: { type: 'string' } } });
const seconds = Number(values.seconds ?? 300);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
console.log(`${seconds} s, seed ${seed}`);

const after: (() => unknown)[] = [];
/** As much of a test as the network needs. */
const context = {
  name: 'black holes',
  after: (undo: () => unknown) => void after.unshift(undo),
  skip: () => {},
} as unknown as TestContext;
try {
  const network = networkNamespace(context);
  const child =
    network?.spawn(EXCHANGE_PROCESS) ?? fork(EXCHANGE_PROCESS, [], { execArgv: ['--import=tsx'] });
  context.after(() => child.kill('SIGKILL'));
  const report = await runCourse({ exchange: new RemoteExchange(child), network, seed, seconds });
  console.log(report);
  const third = Math.floor(report.heap.length / 3);
  if (third >= 3) {
    const [begin, end] = [report.heap.slice(0, third), report.heap.slice(-third)].map((part) =>
      Math.min(...part),
    );
    console.log(`heap: ${begin} MiB in the first third, ${end} MiB in the last`);
    assert.ok(end < begin + 4, `the heap has grown from ${begin} to ${end} MiB`);
  }
} finally {
  for (const undo of after) undo();
}
