/** When a heartbeat pings, when it declares a link dead, and when it does not: on a clock that the tests move. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type ConnectionLostError, HeartbeatTimeoutError } from '../../src/errors.js';
import { Schedule } from '../../src/heartbeat/schedule.js';
import { FakeClock } from './fake-clock.js';
import { FakeLink } from './fake-link.js';

/** Within what the schedule rounds to, and one more look. */
const near = (actual: number, expected: number, what: string): void =>
  assert.ok(actual >= expected && actual <= expected + 20, `${what}: ${actual}, not ${expected}`);

function timeoutOf({ failure }: FakeLink): HeartbeatTimeoutError {
  assert.ok(failure instanceof HeartbeatTimeoutError, `not dead, or otherwise: ${failure}`);
  return failure;
}

const SECOND = { interval: 1_000, timeout: 500 };

describe("mode 'idle'", () => {
  test('pings after interval ms of silence, by default 15 s, and not before', () => {
    const link = new FakeLink({}).answering(1);
    link.clock.pass(14_990);
    assert.deepEqual(link.asked, []);
    link.clock.pass(20);
    assert.equal(link.asked.length, 1);
    link.clock.pass(15_000);
    assert.equal(link.asked.length, 2);
    near(link.asked[1] - link.asked[0], 15_000, 'between two');
  });

  test('any byte that arrives puts it off', () => {
    const link = new FakeLink(SECOND).answering(1);
    for (let i = 0; i < 20; i++) {
      link.arrives(0);
      link.clock.pass(900);
    }
    assert.deepEqual(link.asked, []);
    link.clock.pass(200);
    assert.equal(link.asked.length, 1);
  });

  test('costs a wake-up now and then, not one for each byte', () => {
    const link = new FakeLink({ interval: 10_000, timeout: 500 }).answering(1);
    let looks = 0;
    const { onDue } = link.heartbeat;
    link.heartbeat.onDue = (now) => {
      looks++;
      onDue.call(link.heartbeat, now);
    };
    for (let i = 0; i < 2_000; i++) {
      link.arrives(0);
      link.clock.pass(50);
    }
    assert.ok(looks <= 11, `${looks} looks in 100 s`);
  });
});

describe("mode 'always'", () => {
  test('pings every interval, whatever arrives, so that the round trip is known', () => {
    const link = new FakeLink({ ...SECOND, mode: 'always' }).answering(3);
    for (let i = 0; i < 100; i++) {
      link.arrives(0);
      link.clock.pass(100);
    }
    assert.ok(link.asked.length === 9 || link.asked.length === 10, `${link.asked.length} in 10 s`);
    assert.ok(link.roundTrips.every((roundTrip) => roundTrip === 3) && link.roundTrips.length >= 9);
  });

  test('pings every interval although the timeout is longer', () => {
    const link = new FakeLink({ mode: 'always', interval: 1_000, timeout: 5_000 }).answering(3);
    link.clock.pass(10_100);
    assert.ok(link.asked.length >= 9, `${link.asked.length} in 10 s`);
    assert.equal(link.failure, undefined);
  });
});

describe("mode 'listen'", () => {
  test('sends nothing, and gives its verdict after timeout ms of silence', () => {
    const link = new FakeLink({ mode: 'listen', timeout: 2_000 });
    link.clock.pass(1_500);
    link.arrives(0);
    link.clock.pass(1_990);
    assert.equal(link.failure, undefined);
    link.clock.pass(30);
    assert.deepEqual(link.asked, []);
    near(link.failedAt, 3_500, 'after the last byte');
    const failure = timeoutOf(link);
    assert.deepEqual([failure.code, failure.silence], ['ERR_HEARTBEAT_TIMEOUT', 'unknown']);
  });

  test('lives on what arrives', () => {
    const link = new FakeLink({ mode: 'listen', timeout: 1_000 });
    for (let i = 0; i < 50; i++) {
      link.arrives(0);
      link.clock.pass(950);
    }
    assert.equal(link.failure, undefined);
  });

  test('a loop that stood still reads what has arrived before the verdict', () => {
    const link = new FakeLink({ mode: 'listen', timeout: 1_000 });
    for (let i = 0; i < 10; i++) {
      link.arrives(500);
      link.clock.jump(8_000);
    }
    assert.equal(link.failure, undefined);
  });
});

describe('a verdict', () => {
  test('is given when nothing arrives within the timeout of a ping', () => {
    const link = new FakeLink(SECOND).answering(1);
    link.clock.pass(3_600);
    const last = link.lastReceivedAt;
    link.onPing = () => {};
    link.clock.pass(5_000);
    near(link.failedAt, last - link.start + 1_500, 'after the last byte');
    const error = timeoutOf(link);
    assert.equal(error.code, 'ERR_HEARTBEAT_TIMEOUT');
    assert.equal(error.silence, 'unknown', 'without a kernel to ask');
    assert.equal(error.lastReceivedAt, last);
    assert.equal(error.lastPongAt, last);
    assert.equal(error.rtt?.count, 3);
    assert.deepEqual(error.rtt?.recent, [1, 1, 1]);
    assert.equal(error.stalledFor, 0);
    assert.equal(error.eventLoopLag.total, 0);
    assert.match(error.message, /nothing for 15\d\d ms/);
    assert.equal(link.schedule.size, 0);
    assert.equal(link.clock.timers, 0);
  });

  test('ERR_PING_NEVER_ANSWERED names the remedy, when no ping was ever answered', () => {
    const link = new FakeLink(SECOND);
    link.clock.pass(2_000);
    assert.equal(link.failure?.code, 'ERR_PING_NEVER_ANSWERED');
    assert.match(
      link.failure.message,
      /ignore Ping frames.*heartbeat\.application.*listen.*heartbeat: false/,
    );
    assert.equal((link.failure as HeartbeatTimeoutError).silence, 'never-answered');
  });

  test("is ERR_HEARTBEAT_TIMEOUT when a ping of the application's was answered", () => {
    const link = new FakeLink(SECOND);
    const answered = link.users.sent(link.users.payload('mine'), link.clock.time);
    link.arrives(5, Buffer.from('mine'));
    link.clock.pass(2_000);
    assert.equal(timeoutOf(link).code, 'ERR_HEARTBEAT_TIMEOUT');
    return answered.then((roundTrip) => assert.equal(roundTrip, 5));
  });

  test('any byte after the ping withdraws it, be it no Pong', () => {
    const link = new FakeLink(SECOND);
    link.onPing = () => link.arrives(490);
    link.clock.pass(60_000);
    assert.equal(link.failure, undefined);
    assert.ok(link.asked.length > 30, `${link.asked.length} pings`);
  });

  test('DESIGN fact 14: is not given while the Pong lies in the kernel, however long the loop stood still', () => {
    for (const stall of [600, 1_499, 1_500, 1_501, 2_000, 8_000, 60_000]) {
      for (const after of [1, 499, 501, 900]) {
        const link = new FakeLink(SECOND).answering(after < 500 ? after : 499);
        for (let i = 0; i < 20; i++) {
          link.clock.pass(after);
          link.clock.jump(stall);
        }
        assert.equal(link.failure, undefined, `stall ${stall}, every ${after}`);
      }
    }
  });

  test('property: a link that answers within the timeout lives through stalls and pauses of any length', () => {
    const event = fc.oneof(
      fc.record({ pass: fc.integer({ min: 0, max: 3_000 }) }),
      fc.record({ stall: fc.integer({ min: 0, max: 20_000 }) }),
      fc.record({ pause: fc.integer({ min: 0, max: 20_000 }) }),
      fc.record({ data: fc.integer({ min: 0, max: 100 }) }),
    );
    const mode = fc.constantFrom('idle' as const, 'always' as const);
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 40 }),
        fc.integer({ min: 0, max: 480 }),
        mode,
        (events, after, mode) => {
          const link = new FakeLink({ ...SECOND, mode }).answering(after);
          for (const each of events) {
            if ('pass' in each) link.clock.pass(each.pass);
            else if ('stall' in each) link.clock.jump(each.stall);
            else if ('data' in each) link.arrives(each.data);
            else {
              link.pause();
              link.clock.pass(each.pause);
              link.resume();
            }
          }
          link.clock.pass(5_000);
          assert.equal(link.failure, undefined);
        },
      ),
    );
  });

  test('property: a link that dies is found out within interval + timeout, plus what the loop stood still', () => {
    const step = fc.record({
      pass: fc.integer({ min: 0, max: 400 }),
      stall: fc.integer({ min: 0, max: 3_000 }),
    });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5_000 }), fc.array(step, { maxLength: 10 }), (alive, steps) => {
        const link = new FakeLink(SECOND).answering(2);
        link.clock.pass(alive);
        link.onPing = () => {};
        link.clock.pass(3);
        const last = link.lastReceivedAt - link.start;
        let stalled = 0;
        for (const { pass, stall } of steps) {
          if (link.failure !== undefined) break;
          link.clock.pass(pass);
          if (link.failure !== undefined) break;
          link.clock.jump(stall);
          stalled += stall;
        }
        link.clock.pass(10_000);
        assert.ok(link.failure !== undefined, 'it is dead');
        assert.ok(
          link.failedAt <= last + 1_750 + stalled,
          `${link.failedAt}, last ${last}, stalled ${stalled}`,
        );
        assert.ok(link.failedAt >= last + 1_490, `${link.failedAt}, last ${last}: too early`);
      }),
    );
  });

  test('property: so is one whose last answer came later than the next ping would have been due', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 4_900 }),
        fc.constantFrom('idle' as const, 'always' as const),
        (after, mode) => {
          const link = new FakeLink({ mode, interval: 1_000, timeout: 5_000 });
          let pings = 0;
          link.onPing = (payload) => {
            if (++pings <= 2) link.arrives(after, payload);
          };
          link.clock.pass(30_000);
          const last = link.lastReceivedAt - link.start;
          assert.ok(last > 0 && link.failure !== undefined);
          assert.ok(link.failedAt <= last + 6_030, `${link.failedAt}, last ${last}`);
        },
      ),
    );
  });

  test('time in which this thread did not run is not counted: a Pong that comes just after counts', () => {
    const link = new FakeLink(SECOND).answering(1);
    link.clock.pass(2_500);
    // The machine is suspended while a Ping is under way; its Pong arrives some time after.
    link.onPing = (payload) => {
      link.arrives(60_100, payload);
    };
    link.clock.pass(600);
    link.onPing = (payload) => link.arrives(1, payload);
    link.clock.jump(60_000);
    assert.equal(link.failure, undefined);
    link.clock.pass(10_000);
    assert.equal(link.failure, undefined);
  });

  test('a loop that is always late comes to a verdict as well', () => {
    const link = new FakeLink(SECOND);
    for (let i = 0; i < 40 && link.failure === undefined; i++) link.clock.jump(70);
    assert.ok(link.failure !== undefined, 'it is dead');
    assert.ok(link.failedAt < 2_200, `${link.failedAt}`);
  });

  test('tells how long this process stood still, and blames it when nothing else is known', () => {
    const link = new FakeLink(SECOND).answering(1);
    link.clock.pass(2_030);
    link.onPing = () => {};
    link.clock.pass(1_050);
    link.clock.jump(4_000);
    link.clock.pass(2_000);
    const error = timeoutOf(link);
    assert.equal(error.silence, 'own-stall');
    assert.ok(error.stalledFor > 3_800 && error.stalledFor <= 4_000, `${error.stalledFor}`);
    assert.ok(error.eventLoopLag.longest > 3_800, `${error.eventLoopLag.longest}`);
    assert.match(error.message, /stood still for \d{4} ms of it/);
  });

  test('what waits in front of the Ping is leaving: that proves the link, until it stops', () => {
    const link = new FakeLink(SECOND);
    link.queued = 10_000_000;
    for (let i = 0; i < 50; i++) {
      link.clock.pass(300);
      link.sent += 1_000;
    }
    assert.equal(link.failure, undefined);
    assert.equal(link.asked.length, 1, 'one Ping waits among the rest');
    link.clock.pass(1_200);
    assert.ok(link.failure !== undefined, 'nothing moves any more');
  });

  test('of fifty links that die at once, all are found out within the bound', () => {
    const clock = new FakeClock();
    const schedule = new Schedule(clock);
    const links = Array.from({ length: 50 }, () => new FakeLink(SECOND, clock, schedule));
    clock.pass(2_000);
    for (const link of links) near(link.failedAt, 1_500, 'after the last byte');
    assert.equal(clock.timers, 0);
  });
});

describe('while nothing is read', () => {
  test('no ping is sent, no deadline runs, and no verdict is given', () => {
    const link = new FakeLink(SECOND).answering(1);
    link.clock.pass(500);
    link.pause();
    link.clock.pass(3_600_000);
    assert.equal(link.failure, undefined);
    assert.deepEqual(link.asked, []);
    link.resume();
    link.clock.pass(990);
    assert.deepEqual(link.asked, []);
    link.clock.pass(1_000);
    assert.equal(link.asked.length, 1, 'an interval of silence from resume() on');
  });

  test('a pause in the wait for a Pong: the deadline starts anew when reading goes on', () => {
    const link = new FakeLink(SECOND);
    link.clock.pass(1_100);
    assert.equal(link.asked.length, 1);
    link.pause();
    link.clock.pass(200);
    link.resume();
    link.clock.pass(480);
    assert.equal(link.failure, undefined);
    link.clock.pass(50);
    near(link.failedAt, 1_800, 'timeout ms after resume()');
  });

  test('a pause that begins between the deadline and the verdict withdraws it', () => {
    const link = new FakeLink(SECOND);
    let polls = 0;
    link.clock.onPoll = () => {
      if (link.elapsed >= 1_500 && ++polls === 1) link.pause();
    };
    link.clock.pass(10_000);
    assert.ok(polls > 0);
    assert.equal(link.failure, undefined);
  });

  test('a link that died in the pause is found out after it, within interval + timeout', () => {
    const link = new FakeLink(SECOND).answering(1);
    link.clock.pass(2_500);
    link.onPing = () => {};
    link.pause();
    link.clock.pass(30_000);
    link.resume();
    link.clock.pass(5_000);
    assert.ok(link.failedAt >= 34_000 - 20 && link.failedAt <= 34_050, `${link.failedAt}`);
  });

  test('a Pong that was read only after a pause is answer enough, but no round trip', () => {
    const link = new FakeLink(SECOND);
    link.onPing = (payload) => {
      link.arrives(2, payload);
      link.pause();
    };
    link.clock.pass(1_200);
    link.resume();
    link.clock.pass(1);
    assert.equal(link.heartbeat.stats().lastPongAt, link.clock.time);
    assert.deepEqual(link.roundTrips, []);
  });

  test('ERR_MAX_PAUSE after maxPause ms, though the next look would be later', () => {
    const link = new FakeLink({ maxPause: 2_000 }).answering(1);
    link.clock.pass(1_000);
    link.pause();
    link.clock.pass(1_990);
    assert.equal(link.failure, undefined);
    link.clock.pass(30);
    const failure = link.failure as ConnectionLostError | undefined;
    assert.equal(failure?.code, 'ERR_MAX_PAUSE');
    assert.match(failure.message, /2000/);
    near(link.failedAt, 3_000, 'after the pause began');
    assert.equal(link.clock.timers, 0);
  });

  test('maxPause: pauses that end in time harm nobody, however many', () => {
    const link = new FakeLink({ ...SECOND, maxPause: 500 }).answering(1);
    for (let i = 0; i < 100; i++) {
      link.pause();
      link.clock.pass(480);
      link.resume();
      link.clock.pass(30);
    }
    assert.equal(link.failure, undefined);
  });
});

describe('a timeout between bounds', () => {
  const options = { interval: 1_000, timeout: { floor: 50, ceiling: 2_000 } };

  test('is the ceiling until a round trip has been measured', () => {
    const link = new FakeLink(options);
    link.clock.pass(5_000);
    near(link.failedAt, 3_000, 'interval + ceiling');
  });

  test('RFC 6298 §2.3: then follows SRTT + 4 × RTTVAR', () => {
    const link = new FakeLink(options).answering(100);
    link.clock.pass(60_000);
    link.onPing = () => {};
    const { rtt } = link.heartbeat.stats();
    const bound = rtt!.smoothed + 4 * rtt!.deviation;
    assert.ok(bound >= 100 && bound < 120, `${bound}`);
    link.clock.pass(5_000);
    near(link.failedAt, link.asked.at(-1)! + bound, 'after the last Ping');
  });

  test('is never below the floor', () => {
    const link = new FakeLink(options).answering(1);
    link.clock.pass(60_000);
    link.onPing = () => {};
    link.clock.pass(5_000);
    near(link.failedAt, link.asked.at(-1)! + 50, 'after the last Ping');
  });
});

describe('Pongs', () => {
  const counts = (link: FakeLink): number[] => {
    const { pongsLate, pongsDuplicate, pongsForeign, pongsUnsolicited } = link.heartbeat.stats();
    return [pongsLate, pongsDuplicate, pongsForeign, pongsUnsolicited];
  };

  test('RFC 6455 §5.5.3: each is matched with its Ping; late, duplicate, foreign and unsolicited ones are told apart', () => {
    const link = new FakeLink({ ...SECOND, mode: 'always' });
    const pong = (payload: Buffer): void => link.heartbeat.pong(payload, link.clock.time, 0);
    pong(Buffer.from('nobody asked'));
    assert.deepEqual(counts(link), [0, 0, 0, 1]);
    // Data keeps the link alive, so that a second Ping follows the first.
    link.onPing = () => link.arrives(5);
    link.clock.pass(2_100);
    assert.equal(link.payloads.length, 2);
    pong(Buffer.from('not that'));
    assert.deepEqual(counts(link), [0, 0, 1, 1]);
    pong(link.payloads[0]);
    assert.deepEqual(counts(link), [1, 0, 1, 1]);
    assert.deepEqual(link.roundTrips, [], 'what comes late tells no round trip');
    pong(link.payloads[1]);
    assert.deepEqual(counts(link), [1, 0, 1, 1]);
    assert.equal(link.roundTrips.length, 1);
    pong(link.payloads[1]);
    pong(link.payloads[0]);
    assert.deepEqual(counts(link), [1, 2, 1, 1]);
    const future = Buffer.from(link.payloads[1]);
    future.writeUInt32BE(9, 4);
    pong(future);
    assert.deepEqual(counts(link), [1, 2, 2, 1]);
    pong(Buffer.alloc(0));
    assert.deepEqual(counts(link), [1, 2, 2, 2]);
    assert.equal(link.heartbeat.stats().heartbeatsSent, 2);
  });

  test("RFC 6455 §5.5.3: one that answers a heartbeat answers the application's earlier pings as well", async () => {
    const link = new FakeLink(SECOND).answering(10);
    const earlier = link.users.sent(link.users.payload('a'), link.clock.time);
    link.clock.pass(1_100);
    assert.ok((await earlier) >= 1_010);
    assert.equal(link.users.count, 0);
  });

  test('one for the application is its own, and feeds the same statistics', async () => {
    const link = new FakeLink(SECOND);
    const answered = link.users.sent(link.users.payload('a'), link.clock.time);
    link.arrives(30, Buffer.from('a'));
    link.clock.pass(40);
    assert.equal(await answered, 30);
    assert.deepEqual(link.roundTrips, [30]);
    assert.deepEqual(counts(link), [0, 0, 0, 0]);
  });

  test('are told apart without a heartbeat, too', () => {
    const link = new FakeLink(SECOND);
    link.heartbeat.stop();
    link.heartbeat.pong(Buffer.from('x'), 1, 0);
    assert.deepEqual(counts(link), [0, 0, 0, 1]);
  });
});

describe('stop()', () => {
  test('ends it, whatever it is doing, and leaves no timer', () => {
    for (const at of [0, 500, 1_010, 1_200, 1_499]) {
      const link = new FakeLink(SECOND);
      link.clock.pass(at);
      link.heartbeat.stop();
      assert.equal(link.clock.timers, 0, `after ${at} ms`);
      const asked = link.asked.length;
      link.clock.pass(10_000);
      assert.equal(link.asked.length, asked);
      assert.equal(link.failure, undefined);
    }
  });

  test('between the deadline and the verdict, too', () => {
    const link = new FakeLink(SECOND);
    let polls = 0;
    link.clock.onPoll = () => {
      if (link.elapsed >= 1_500 && ++polls === 1) link.heartbeat.stop();
    };
    link.clock.pass(10_000);
    assert.ok(polls > 0);
    assert.equal(link.failure, undefined);
  });
});
