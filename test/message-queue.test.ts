/** What is kept of messages that nobody has taken: in order, and within 1 MiB and 1 024 messages. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type KeptMessage, MessageQueue } from '../src/message-queue.js';

const MIB = 1024 * 1024;

/** `MessageQueue` looks at no byte of a message, so all of them lie in one buffer. */
const bytes = Buffer.alloc(3 * MIB);

let numbered = 0;
function message(length: number): KeptMessage {
  numbered++;
  return { isText: numbered % 2 === 0, data: bytes.subarray(0, length), receivedAt: numbered };
}

function queueOf(...lengths: number[]): MessageQueue {
  const queue = new MessageQueue();
  for (const length of lengths) queue.push(message(length));
  return queue;
}

/** What a queue says of itself. */
function state({ length, isFull, hasRoom }: MessageQueue): object {
  return { length, isFull, hasRoom };
}

describe('MessageQueue', () => {
  test('an empty queue has room, and nothing to give', () => {
    const queue = new MessageQueue();
    assert.deepEqual(state(queue), { length: 0, isFull: false, hasRoom: true });
    assert.equal(queue.shift(), undefined);
    assert.deepEqual(state(queue), { length: 0, isFull: false, hasRoom: true });
  });

  test('gives the messages themselves, oldest first', () => {
    const messages = [3, 0, 2 * MIB, 1].map(message);
    const queue = new MessageQueue();
    for (const each of messages) queue.push(each);
    for (const each of messages) assert.equal(queue.shift(), each);
    assert.equal(queue.shift(), undefined);
  });

  test('is full from 1 MiB on, not a byte earlier', () => {
    const queue = queueOf(MIB - 1);
    assert.equal(queue.isFull, false);
    queue.push(message(1));
    assert.equal(queue.isFull, true);
  });

  test('is full from 1 024 messages on, empty ones too', () => {
    const queue = queueOf(...Array<number>(1_023).fill(0));
    assert.equal(queue.isFull, false);
    queue.push(message(0));
    assert.equal(queue.isFull, true);
  });

  test('one message larger than the bound is taken in, and fills it', () => {
    const queue = queueOf(3 * MIB);
    assert.deepEqual(state(queue), { length: 1, isFull: true, hasRoom: false });
    assert.equal(queue.shift()?.data.length, 3 * MIB);
    assert.deepEqual(state(queue), { length: 0, isFull: false, hasRoom: true });
  });

  test('has room again when half of its bytes have been taken', () => {
    const queue = queueOf(MIB / 2, MIB / 2 - 1, 2);
    assert.deepEqual(state(queue), { length: 3, isFull: true, hasRoom: false });
    queue.shift();
    assert.deepEqual(state(queue), { length: 2, isFull: false, hasRoom: false }, 'one byte more than half');
    queue.shift();
    assert.deepEqual(state(queue), { length: 1, isFull: false, hasRoom: true });
  });

  test('has room again when half of its messages have been taken', () => {
    const queue = queueOf(...Array<number>(1_024).fill(1));
    for (let taken = 1; taken < 512; taken++) queue.shift();
    assert.deepEqual(state(queue), { length: 513, isFull: false, hasRoom: false });
    queue.shift();
    assert.deepEqual(state(queue), { length: 512, isFull: false, hasRoom: true });
  });

  test('property: whatever is pushed and taken, it agrees with a list', () => {
    const size = fc.oneof(fc.constantFrom(0, 1, MIB / 2, MIB), fc.nat(100_000));
    // Runs, because single steps seldom reach a bound.
    const step = fc.record({ times: fc.constantFrom(1, 2, 30, 600), push: fc.option(size) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const queue = new MessageQueue();
        const list: KeptMessage[] = [];
        for (const { times, push } of steps) {
          for (let i = 0; i < times; i++) {
            if (push === null) {
              assert.equal(queue.shift(), list.shift());
            } else {
              const each = message(push);
              queue.push(each);
              list.push(each);
            }
          }
          const total = list.reduce((sum, { data }) => sum + data.length, 0);
          assert.deepEqual(state(queue), {
            length: list.length,
            isFull: total >= MIB || list.length >= 1_024,
            hasRoom: total <= MIB / 2 && list.length <= 512,
          });
        }
      }),
      { numRuns: 100 },
    );
  });
});
