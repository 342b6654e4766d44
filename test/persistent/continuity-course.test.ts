/** A short form of `npm run soak`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exchangeNextDoor } from '../exchange/remote-exchange.js';
import { runCourse } from './continuity-course.js';

test('six seconds of troubles: delivered and reported is what there was, in order, once; the order book is the venue’s', {
  timeout: 60_000,
}, async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const report = await runCourse({ exchange: exchangeNextDoor(t), seed, seconds: 6, every: 2 });
  t.diagnostic(JSON.stringify(report));
  assert.ok(report.messages > 1_000, `${report.messages} messages`);
  assert.ok(report.connections > 3, `${report.connections} connections`);
  assert.ok((report.gaps.outage ?? 0) > 0 && report.resyncs > 1, 'outages and resyncs');
});
