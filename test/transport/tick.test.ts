/** The end of the current callback: after its microtasks, before the event loop goes on. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { atTickEnd } from '../../src/transport/tick.js';

const log = (lines: string[]): void => void lines.push('tick end');

describe('the end of a tick', () => {
  test('comes once for every call, in their order, each with its subject', async () => {
    const seen: unknown[] = [];
    const listener = (subject: unknown): void => void seen.push(subject);
    for (const subject of ['a', 'b', 'a']) atTickEnd(listener, subject);
    assert.deepEqual(seen, []);
    await turn();
    assert.deepEqual(seen, ['a', 'b', 'a']);
    await turn();
    assert.deepEqual(seen, ['a', 'b', 'a']);
  });

  test('comes after all microtasks, those that microtasks queue included', async () => {
    const lines: string[] = [];
    setImmediate(() => {
      atTickEnd(log, lines);
      let depth = 0;
      const next = (): void => {
        lines.push(`microtask ${++depth}`);
        if (depth < 100) queueMicrotask(next);
      };
      queueMicrotask(next);
    });
    await turn();
    assert.equal(lines.length, 101);
    assert.equal(lines.indexOf('tick end'), 100);
  });

  test('comes after the continuations of promises that were settled in the tick', async () => {
    const lines: string[] = [];
    const chain = async (): Promise<void> => {
      for (let i = 0; i < 10; i++) {
        await null;
        lines.push(`continuation ${i}`);
      }
    };
    setImmediate(() => {
      void chain();
      atTickEnd(log, lines);
      void chain();
    });
    await turn();
    assert.equal(lines.length, 21);
    assert.equal(lines.indexOf('tick end'), 20);
  });

  for (const [where, run] of [
    ['a microtask', (body: () => void) => queueMicrotask(body)],
    ['process.nextTick', (body: () => void) => process.nextTick(body)],
    ['setImmediate', (body: () => void) => void setImmediate(body)],
    ['a timer', (body: () => void) => void setTimeout(body, 0)],
  ] as const) {
    test(`comes before the event loop goes on, seen from ${where}`, async () => {
      const lines: string[] = [];
      await new Promise<void>((resolve) => {
        run(() => {
          atTickEnd(log, lines);
          setImmediate(() => {
            lines.push('next turn');
            resolve();
          });
        });
      });
      assert.deepEqual(lines, ['tick end', 'next turn']);
    });
  }

  test('a listener that is added at the end of a tick is called as well', async () => {
    const lines: string[] = [];
    atTickEnd((subject) => {
      subject.push('first');
      atTickEnd((inner) => void inner.push('second'), subject);
    }, lines);
    await turn();
    assert.deepEqual(lines, ['first', 'second']);
  });
});
