/** Queued messages: in order, bounded, for a time; what is given up is told. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HeartwireError } from '../../src/index.js';
import { type HeldLimits, HeldMessages } from '../../src/persistent/held-messages.js';
import { FakeClock } from './fake-clock.js';

function holding(limits: HeldLimits = {}) {
  const clock = new FakeClock();
  const dropped: string[] = [];
  const held = new HeldMessages(clock, limits, ({ data }, { code }) => dropped.push(`${data} ${code}`));
  const push = (data: string, timeToLive?: number): void => held.push(data, undefined, undefined, timeToLive);
  const isFull = (error: unknown): boolean =>
    error instanceof HeartwireError && error.code === 'ERR_SEND_QUEUE_FULL';
  return { clock, dropped, held, push, isFull };
}

describe('held messages', () => {
  test('come out in the order they came in', () => {
    const { held, push } = holding();
    for (const data of ['a', 'b', 'c']) push(data);
    assert.deepEqual(
      [1, 2, 3, 4].map(() => held.shift()?.data),
      ['a', 'b', 'c', undefined],
    );
  });

  test('one that could not be sent after all is the first again', () => {
    const { held, push } = holding();
    push('a');
    push('b');
    held.unshift(held.shift()!);
    assert.equal(held.shift()?.data, 'a');
  });

  test('no more than so many messages, no more than so many bytes: the next is refused, the others stay', () => {
    const many = holding({ maxMessages: 2 });
    many.push('a');
    many.push('b');
    assert.throws(() => many.push('c'), many.isFull);
    assert.equal(many.held.length, 2);

    const large = holding({ maxBytes: 10 });
    large.push('€€');
    assert.throws(() => large.push('12345'), large.isFull);
    large.push('1234');
    large.held.shift();
    large.push('123456');
    assert.deepEqual(large.dropped, []);
  });

  test('none outlives its time, whichever came first, and each is told of', async () => {
    const { clock, dropped, held, push } = holding({ timeToLive: 1_000 });
    push('long');
    push('short', 100);
    await clock.pass(100);
    assert.deepEqual(dropped, ['short ERR_SEND_EXPIRED']);
    await clock.pass(899);
    assert.equal(held.length, 1);
    await clock.pass(1);
    assert.deepEqual(dropped, ['short ERR_SEND_EXPIRED', 'long ERR_SEND_EXPIRED']);
    assert.equal(held.length, 0);
    assert.equal(clock.pending, 0);
  });

  test('bytes are copied: the application may change them at once', () => {
    const { held } = holding();
    const bytes = new Uint8Array([1, 2, 3, 4]);
    held.push(bytes.subarray(1, 3), undefined, undefined);
    held.push(bytes.buffer, undefined, undefined);
    bytes.fill(9);
    assert.deepEqual(held.shift()?.data, Buffer.from([2, 3]));
    assert.deepEqual(held.shift()?.data, Buffer.from([1, 2, 3, 4]));
  });

  test('at the end all that is left is told of, and no timer remains', () => {
    const { clock, dropped, held, push } = holding();
    push('a');
    push('b');
    held.dropAll('closed');
    assert.deepEqual(dropped, ['a ERR_NOT_READY', 'b ERR_NOT_READY']);
    assert.equal(clock.pending, 0);
  });
});
