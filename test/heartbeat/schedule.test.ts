/** One timer for all heartbeats of a thread: who is woken when, in which portions, and what is left afterwards. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { Schedule, type Scheduled } from '../../src/heartbeat/schedule.js';
import { FakeClock } from './fake-clock.js';

class Sleeper implements Scheduled {
  dueAt = 0;
  position = -1;
  woken: number[] = [];
  polled: number[] = [];
  onWake: () => void = () => {};

  onDue(now: number): void {
    this.woken.push(now);
    this.onWake();
  }

  onPolled(now: number): void {
    this.polled.push(now);
  }
}

function made(): { clock: FakeClock; schedule: Schedule } {
  const clock = new FakeClock();
  return { clock, schedule: new Schedule(clock) };
}

describe('the schedule', () => {
  test('wakes each at its time, rounded up to 10 ms, and once', () => {
    const { clock, schedule } = made();
    const sleepers = [25, 5, 1_000, 99.5].map((after) => {
      const sleeper = new Sleeper();
      schedule.set(sleeper, clock.time + after);
      return sleeper;
    });
    const start = clock.time;
    clock.pass(5_000);
    assert.deepEqual(
      sleepers.map(({ woken }) => woken.map((now) => now - start)),
      [[30], [10], [1_000], [100]],
    );
    assert.equal(schedule.size, 0);
  });

  test('property: whatever is set, moved and removed, the rest is woken in order, and none too early', () => {
    const step = fc.record({ who: fc.nat(19), at: fc.nat(2_000), remove: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { clock, schedule } = made();
        const sleepers = Array.from({ length: 20 }, () => new Sleeper());
        const expected = new Map<Sleeper, number>();
        const order: Sleeper[] = [];
        for (const sleeper of sleepers) sleeper.onWake = () => void order.push(sleeper);
        for (const { who, at, remove } of steps) {
          const sleeper = sleepers[who];
          if (remove) {
            schedule.remove(sleeper);
            expected.delete(sleeper);
          } else {
            schedule.set(sleeper, clock.time + at);
            expected.set(sleeper, clock.time + at);
          }
        }
        assert.equal(schedule.size, expected.size);
        clock.pass(3_000);
        assert.equal(order.length, expected.size);
        for (const [i, sleeper] of order.entries()) {
          const [now] = sleeper.woken;
          const at = expected.get(sleeper)!;
          assert.ok(now >= at && now < at + 10, `due at ${at}, woken at ${now}`);
          assert.ok(i === 0 || order[i - 1].woken[0] <= now, 'in order');
        }
        assert.equal(clock.timers, 0);
      }),
    );
  });

  test('ten thousand that are due at once are spread over turns of the event loop, which polls in between', () => {
    const { clock, schedule } = made();
    const sleepers = Array.from({ length: 10_000 }, () => new Sleeper());
    for (const sleeper of sleepers) schedule.set(sleeper, clock.time + 15_000);
    const perTurn: number[] = [];
    let before = 0;
    clock.onPoll = () => {
      const woken = sleepers.reduce((sum, sleeper) => sum + sleeper.woken.length, 0);
      if (woken > before) perTurn.push(woken - before);
      before = woken;
    };
    clock.pass(15_100);
    assert.equal(before, 10_000);
    assert.ok(Math.max(...perTurn) <= 64, `${Math.max(...perTurn)} in one turn`);
  });

  test('has one timer, however many wait, and none when nobody does', () => {
    const { clock, schedule } = made();
    assert.equal(clock.timers, 0);
    const sleepers = Array.from({ length: 100 }, () => new Sleeper());
    for (const [i, sleeper] of sleepers.entries()) schedule.set(sleeper, clock.time + 10_000 - 50 * i);
    assert.equal(clock.timers, 1);
    clock.pass(7_000);
    assert.equal(clock.timers, 1);
    for (const sleeper of sleepers) schedule.remove(sleeper);
    assert.equal(clock.timers, 0);
    const { started } = clock;
    clock.pass(10_000);
    assert.equal(clock.started, started, 'nothing goes on');
  });

  test('wakes for many together: ten thousand with times all over a second cost no more than a hundred wake-ups', () => {
    const { clock, schedule } = made();
    for (let i = 0; i < 10_000; i++) schedule.set(new Sleeper(), clock.time + 1_000 + i / 10);
    const { started } = clock;
    clock.pass(2_100);
    assert.equal(schedule.size, 0);
    assert.ok(clock.started - started <= 130, `${clock.started - started} timers`);
  });

  test('an entry may set itself, or remove others, while it is woken', () => {
    const { clock, schedule } = made();
    const [first, second, third] = [new Sleeper(), new Sleeper(), new Sleeper()];
    for (const each of [first, second, third]) schedule.set(each, clock.time + 100);
    first.onWake = () => {
      schedule.remove(second);
      if (first.woken.length < 3) schedule.set(first, clock.time + 100);
    };
    clock.pass(1_000);
    assert.deepEqual([first.woken.length, second.woken.length, third.woken.length], [3, 0, 1]);
  });

  test('an exception of one takes nothing from the others', () => {
    const { clock, schedule } = made();
    const [first, second] = [new Sleeper(), new Sleeper()];
    first.onWake = () => {
      throw new Error('a bug');
    };
    schedule.set(first, clock.time + 100);
    schedule.set(second, clock.time + 100);
    assert.throws(() => clock.pass(200), /a bug/);
    clock.pass(200);
    assert.equal(second.woken.length, 1);
  });

  test('after a jump of the clock everything due is woken once', () => {
    const { clock, schedule } = made();
    const sleepers = [100, 200, 300].map((after) => {
      const sleeper = new Sleeper();
      schedule.set(sleeper, clock.time + after);
      return sleeper;
    });
    clock.jump(3_600_000);
    assert.deepEqual(
      sleepers.map(({ woken }) => woken),
      [[clock.time], [clock.time], [clock.time]],
    );
  });
});

describe('afterPoll()', () => {
  test('DESIGN fact 14: calls back when a whole poll phase has gone by, from whichever phase it was called', () => {
    const { clock, schedule } = made();
    const sleeper = new Sleeper();
    let polls = 0;
    clock.onPoll = () => void polls++;
    // From a check phase: the next one comes after one poll, so it is the one after that.
    clock.immediate(() => schedule.afterPoll(sleeper));
    clock.pollAndCheck();
    assert.equal(sleeper.polled.length, 0);
    clock.pollAndCheck();
    assert.equal(sleeper.polled.length, 0);
    clock.pollAndCheck();
    assert.deepEqual([polls, sleeper.polled.length], [3, 1]);
    clock.turn();
    assert.equal(sleeper.polled.length, 1, 'once');
  });

  test('serves many in portions too, and not those that were removed', () => {
    const { clock, schedule } = made();
    const sleepers = Array.from({ length: 200 }, () => new Sleeper());
    for (const sleeper of sleepers) schedule.afterPoll(sleeper);
    schedule.remove(sleepers[7]);
    clock.pollAndCheck();
    schedule.remove(sleepers[9]);
    clock.pollAndCheck();
    assert.equal(sleepers.filter(({ polled }) => polled.length === 1).length, 64);
    schedule.remove(sleepers[199]);
    clock.turn();
    assert.deepEqual(
      sleepers.flatMap(({ polled }, i) => (polled.length === 1 ? [] : [i])),
      [7, 9, 199],
    );
  });
});

describe('event-loop lag', () => {
  test('is what wake-ups are late by: stalls are summed up, and the longest is kept', () => {
    const { clock, schedule } = made();
    schedule.set(new Sleeper(), clock.time + 3_600_000);
    clock.pass(60_000);
    assert.deepEqual(schedule.lag.report(), { longest: 0, last: 0, lastAt: 0, total: 0 });
    clock.jump(2_000);
    const { longest, last, lastAt } = schedule.lag.report();
    assert.ok(last >= 1_900 && last <= 2_000, `${last}`);
    assert.equal(longest, last);
    assert.equal(lastAt, clock.time);
    clock.pass(1_000);
    clock.jump(500);
    const report = schedule.lag.report();
    assert.ok(report.last >= 400 && report.last <= 500, `${report.last}`);
    assert.equal(report.longest, longest);
    assert.equal(report.total, longest + report.last);
  });

  test('a look at it before the late timer has run sees the stall, and the timer does not count it again', () => {
    const { clock, schedule } = made();
    schedule.set(new Sleeper(), clock.time + 3_600_000);
    clock.time += 2_000;
    const { total } = schedule.look();
    assert.ok(total >= 1_900 && total <= 2_000, `${total}`);
    clock.turn();
    assert.equal(schedule.lag.total, total);
  });

  test('is not watched when nobody waits', () => {
    const { clock, schedule } = made();
    const sleeper = new Sleeper();
    schedule.set(sleeper, clock.time + 1_000);
    schedule.remove(sleeper);
    clock.jump(5_000);
    schedule.set(sleeper, clock.time + 1_000);
    assert.equal(schedule.look().total, 0);
  });
});

describe('on the real clock', () => {
  test('wakes in time, and its timer does not keep the process alive', async () => {
    const schedule = new Schedule();
    const sleeper = new Sleeper();
    const start = performance.now();
    schedule.set(sleeper, start + 50);
    assert.deepEqual(
      process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout'),
      [],
    );
    while (sleeper.woken.length === 0) await delay(5);
    assert.ok(sleeper.woken[0] >= start + 50, 'not early');
  });
});
