/** Several connections, one stream: every message once, in order, whichever connection brings it first. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Kind } from '../../src/codec/layout.js';
import { HeartwireError } from '../../src/index.js';
import type { DeduplicationOptions } from '../../src/persistent/deduplication.js';
import { arrivalsFor, KeyArrivals, SequenceArrivals } from '../../src/persistent/deduplication.js';
import { Merge, MergedLeg } from '../../src/persistent/merge.js';
import { Message } from '../../src/protocol/message.js';
import { FakeClock } from './fake-clock.js';

/** `A7`: message 7 of channel A. Others have no key. */
const numberOf = (message: Message): number | undefined => Number(message.text().slice(1)) || undefined;
const channelOf = (text: string): string => text[0];
const BY_KEY: DeduplicationOptions = { key: numberOf };
const BY_SEQUENCE: DeduplicationOptions = { sequence: numberOf };

function rig(options: DeduplicationOptions, legs = 2, maxHold = 1_000) {
  const clock = new FakeClock();
  const delivered: string[] = [];
  const state = { isPaused: false };
  const merge = new Merge(clock, options, maxHold, {
    get isPaused() {
      return state.isPaused;
    },
    deliver: (message) => void delivered.push(message.text()),
  });
  const cursor = new Message(Buffer.alloc(0));
  const all = Array.from({ length: legs }, (_, i) => new MergedLeg(i));
  const offer = (leg: MergedLeg, ...texts: string[]): void => {
    for (const text of texts) {
      const data = Buffer.from(text);
      cursor.read(data, clock.now());
      cursor.pointElsewhere(Kind.text, data, data.length, false);
      merge.offer(leg, cursor, channelOf(text));
      cursor.expire();
      data.fill(0);
    }
  };
  return { clock, delivered, state, merge, legs: all, offer };
}

for (const [how, options] of [
  ['by key', BY_KEY],
  ['by sequence number', BY_SEQUENCE],
] as const) {
  describe(`${how}`, () => {
    test('the first arrival counts, of each channel', () => {
      const { delivered, merge, legs, offer } = rig(options);
      const [a, b] = legs;
      merge.add(a);
      merge.add(b);
      offer(a, 'A1', 'B1');
      offer(b, 'A1', 'A2', 'B1', 'B2');
      offer(a, 'A2', 'A3', 'B2');
      assert.deepEqual(delivered, ['A1', 'B1', 'A2', 'B2', 'A3']);
      assert.deepEqual([a.first, a.late, b.first, b.late], [3, 2, 2, 2]);
    });

    test('late ones are timed: the lag of one is the lead of the other', async () => {
      const { clock, merge, legs, offer } = rig(options, 3);
      const [a, b, c] = legs;
      for (const leg of legs) merge.add(leg);
      offer(a, 'A1');
      await clock.pass(5);
      offer(b, 'A1');
      await clock.pass(2);
      offer(c, 'A1');
      assert.deepEqual(a.lead.summary(), { count: 1, mean: 5, max: 5, last: 5 });
      assert.deepEqual(a.lag.summary(), { count: 0, mean: 0, max: 0, last: 0 });
      assert.deepEqual(b.lag.summary(), { count: 1, mean: 5, max: 5, last: 5 });
      assert.deepEqual(b.lead.summary(), { count: 0, mean: 0, max: 0, last: 0 });
      assert.deepEqual(c.lag.summary(), { count: 1, mean: 7, max: 7, last: 7 });
    });

    test('a newcomer that is ahead is held until the other has come so far', () => {
      const { delivered, merge, legs, offer } = rig(options);
      const [a, b] = legs;
      merge.add(a);
      offer(a, 'A1', 'A2');
      merge.add(b);
      offer(b, 'A5', 'A6', 'A7');
      assert.deepEqual(delivered, ['A1', 'A2']);
      assert.equal(merge.heldMessages, 3);
      offer(a, 'A3', 'A4');
      offer(a, 'A5');
      assert.deepEqual(delivered, ['A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'A7']);
      assert.ok(b.hasMet(a), 'it has met');
      offer(a, 'B1');
      assert.ok(!b.hasMet(a), 'not on every channel');
      offer(b, 'B1');
      assert.ok(b.hasMet(a), 'on every channel');
      offer(b, 'A8');
      offer(a, 'A6', 'A7', 'A8', 'A9');
      assert.deepEqual(delivered.slice(7), ['B1', 'A8', 'A9']);
    });

    test('a newcomer that repeats what is long gone repeats it to nobody', () => {
      const { delivered, merge, legs, offer } = rig(options);
      const [a, b] = legs;
      merge.add(a);
      offer(a, 'A1', 'A2');
      merge.add(b);
      offer(b, 'A1', 'A2', 'A3', 'A4');
      offer(a, 'A3', 'A4');
      assert.deepEqual(delivered, ['A1', 'A2', 'A3', 'A4']);
    });

    test('when the other one ends, what is held follows', () => {
      const { delivered, merge, legs, offer } = rig(options);
      const [a, b] = legs;
      merge.add(a);
      offer(a, 'A1');
      merge.add(b);
      offer(b, 'A2', 'A3', 'B1');
      merge.remove(a);
      offer(b, 'A4', 'B2');
      assert.deepEqual(delivered, ['A1', 'A2', 'A3', 'B1', 'A4', 'B2']);
      assert.equal(merge.heldMessages, 0);
    });

    test('when the newcomer ends, what it held is dropped: the other brings it', () => {
      const { delivered, merge, legs, offer } = rig(options);
      const [a, b] = legs;
      merge.add(a);
      offer(a, 'A1');
      merge.add(b);
      offer(b, 'A3', 'A4');
      merge.remove(b);
      assert.equal(merge.heldMessages, 0);
      offer(a, 'A2', 'A3', 'A4');
      assert.deepEqual(delivered, ['A1', 'A2', 'A3', 'A4']);
    });

    test('nothing is held longer than maxHold, nor while reading is paused', async () => {
      const { clock, delivered, merge, legs, offer, state } = rig(options);
      const [a, b] = legs;
      merge.add(a);
      offer(a, 'A1');
      merge.add(b);
      offer(b, 'A9');
      state.isPaused = true;
      await clock.pass(5_000);
      assert.deepEqual(delivered, ['A1']);
      state.isPaused = false;
      await clock.pass(1_000);
      assert.deepEqual(delivered, ['A1', 'A9']);
      assert.equal(clock.pending, 0);
    });

    test('what a pause leaves undelivered comes first when it is over', async () => {
      const { delivered, merge, legs, offer, state } = rig(options);
      const [a, b] = legs;
      merge.add(a);
      offer(a, 'A1');
      merge.add(b);
      offer(b, 'A3', 'A4');
      state.isPaused = true;
      offer(a, 'A2', 'A3');
      assert.ok(!delivered.includes('A4'), 'what was held is not delivered while paused');
      offer(b, 'A5');
      state.isPaused = false;
      merge.resumed();
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(delivered, ['A1', 'A2', 'A3', 'A4', 'A5']);
    });

    test('without a key a message is its connection’s own', () => {
      const { delivered, merge, legs, offer } = rig(options);
      for (const leg of legs) merge.add(leg);
      for (const leg of legs) offer(leg, 'pong');
      assert.deepEqual(delivered, ['pong', 'pong']);
    });

    test('what is held is bounded', () => {
      const { delivered, merge, legs, offer } = rig(options);
      const [a, b] = legs;
      merge.add(a);
      offer(a, 'A1');
      merge.add(b);
      for (let i = 3; i < 10_004; i++) offer(b, `A${i}`);
      assert.equal(delivered.length, 10_002);
      assert.equal(merge.heldMessages, 0);
    });

    test('property: two connections that come and go, one at a time, lose nothing, repeat nothing, keep the order', () => {
      fc.assert(
        fc.property(
          fc.array(fc.record({ leg: fc.nat(1), step: fc.integer({ min: 0, max: 5 }), cut: fc.nat(19) })),
          (course) => {
            const { delivered, merge, legs, offer } = rig(options);
            let published = 0;
            const sent: number[] = [0, 0];
            const up = [true, true];
            for (const leg of legs) merge.add(leg);
            for (const { leg, step, cut } of course) {
              published += step;
              if (!up[leg]) {
                // It comes back with what is published from now on, and up to two that it repeats.
                merge.add(legs[leg]);
                up[leg] = true;
                sent[leg] = Math.max(0, published - (cut % 3));
              } else if (
                cut === 0 &&
                up[1 - leg] &&
                sent[1 - leg] <= delivered.length &&
                legs[1 - leg].held.size === 0
              ) {
                merge.remove(legs[leg]);
                up[leg] = false;
              } else {
                const to = Math.min(published, sent[leg] + 1 + (cut % 4));
                while (sent[leg] < to) offer(legs[leg], `A${++sent[leg]}`);
              }
            }
            for (const leg of [0, 1])
              while (up[leg] && sent[leg] < published) offer(legs[leg], `A${++sent[leg]}`);
            assert.deepEqual(
              delivered,
              Array.from({ length: published }, (_, i) => `A${i + 1}`),
            );
            assert.equal(merge.heldMessages, 0);
          },
        ),
        { numRuns: 500 },
      );
    });
  });
}

describe('numbers show what a connection leaves out', () => {
  test('what one leaves out the other brings, in its place', () => {
    const { delivered, merge, legs, offer } = rig(BY_SEQUENCE);
    const [a, b] = legs;
    for (const leg of legs) merge.add(leg);
    offer(a, 'A1', 'A2');
    offer(b, 'A1', 'A2');
    offer(a, 'A4', 'A5');
    assert.deepEqual(delivered, ['A1', 'A2']);
    offer(b, 'A3');
    assert.deepEqual(delivered, ['A1', 'A2', 'A3', 'A4', 'A5']);
    assert.equal(merge.leftOut, 0);
  });

  test('what both leave out is not waited for, and counted', () => {
    const { delivered, merge, legs, offer } = rig(BY_SEQUENCE);
    const [a, b] = legs;
    for (const leg of legs) merge.add(leg);
    offer(a, 'A1');
    offer(b, 'A1');
    offer(a, 'A4');
    offer(b, 'A5');
    assert.deepEqual(delivered, ['A1', 'A4', 'A5']);
    assert.equal(merge.leftOut, 2);
  });

  test('one connection alone waits for nobody', () => {
    const { delivered, merge, legs, offer } = rig(BY_SEQUENCE, 1);
    merge.add(legs[0]);
    offer(legs[0], 'A1', 'A3', 'A4');
    assert.deepEqual(delivered, ['A1', 'A3', 'A4']);
    assert.equal(merge.leftOut, 1);
  });
});

describe('what is remembered', () => {
  test('is so many keys, the newest', () => {
    const arrivals = new KeyArrivals(3);
    for (const key of ['a', 'b', 'c', 'd']) arrivals.record('A', key, 0, 0);
    assert.equal(arrivals.size, 3);
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((key) => arrivals.place('A', key, true)),
      ['next', 'known', 'known', 'known'],
    );
    assert.equal(arrivals.place('B', 'b', false), 'ahead');
  });

  test('of numbers: the last of each channel, and times of late ones', () => {
    const arrivals = new SequenceArrivals();
    for (let i = 0; i < 70_000; i++) arrivals.record(`channel ${i}`, 1, i, 0);
    assert.equal(arrivals.place('channel 69999', 1, true), 'known');
    assert.equal(arrivals.place('channel 0', 1, true), 'next');
    assert.equal(arrivals.at[arrivals.find('channel 69999', 1)], 69_999);
    assert.equal(arrivals.find('channel 69999', 2), -1);
  });

  test('options are asked for, one of two', () => {
    const wrong = (options: DeduplicationOptions): void =>
      assert.throws(
        () => arrivalsFor(options),
        (error: unknown) => error instanceof HeartwireError && error.code === 'ERR_INVALID_OPTION',
      );
    wrong({});
    wrong({ ...BY_KEY, ...BY_SEQUENCE });
    wrong({ ...BY_KEY, maxKeys: 0 });
  });
});
