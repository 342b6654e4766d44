/** Subscriptions: whatever happens in whatever order, the venue has what is wanted, each once. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Message } from '../../src/index.js';
import { DesiredSet, type Entry } from '../../src/persistent/desired-set.js';
import { Pacer } from '../../src/persistent/pacer.js';
import { Subscriber } from '../../src/persistent/subscriber.js';
import { Subscription } from '../../src/persistent/subscription.js';
import type { Acknowledgement, SubscriptionProtocol } from '../../src/persistent/subscription-protocol.js';
import { FakeClock } from './fake-clock.js';

interface Asked {
  op: 'subscribe' | 'unsubscribe';
  id: number;
  keys: string[];
}

/** A subscriber whose requests are recorded, and answered when the test says so. */
function subscribing(options: Partial<SubscriptionProtocol> = {}) {
  const clock = new FakeClock();
  const desired = new DesiredSet();
  const asked: Asked[] = [];
  const told: string[] = [];
  const state = { paused: false, failed: undefined as string | undefined };
  const request =
    (op: Asked['op']): SubscriptionProtocol['subscribe'] =>
    (requests, id) =>
      JSON.stringify({ op, id, keys: requests.map(({ key }) => key) });
  const protocol: SubscriptionProtocol = {
    subscribe: request('subscribe'),
    unsubscribe: request('unsubscribe'),
    acknowledgement: (message) => message as unknown as Acknowledgement,
    ...options,
  };
  const subscriber = new Subscriber(clock, protocol, desired, {
    send: (payload) => {
      asked.push(JSON.parse(String(payload)) as Asked);
      return true;
    },
    wake: () => pacer.wake(),
    onAttention() {},
    onSubscribed(entry) {
      entry.state = 'subscribed';
      entry.settle();
      told.push(`+${entry.key}`);
    },
    onUnsubscribed: (key) => told.push(`-${key}`),
    onRefused(entry) {
      entry.state = 'refused';
      entry.settle();
      told.push(`!${entry.key}`);
    },
    onComplete: () => told.push('complete'),
    onFailed(error) {
      state.failed = error.code;
      subscriber.stop();
    },
    isPaused: () => state.paused,
  });
  const pacer: Pacer = new Pacer(clock, undefined, [subscriber], (thrown) => {
    throw thrown;
  });
  const release = (entry: Entry): void => {
    desired.release(entry);
    if (entry.references === 0) subscriber.changed(entry.key);
  };
  const want = (key: string): Subscription => {
    const entry = desired.add(key, undefined);
    if (entry.references === 1) subscriber.changed(key);
    return new Subscription(entry, release);
  };
  const answer = (acknowledgement: Acknowledgement): void =>
    subscriber.received(acknowledgement as unknown as Message);
  return { clock, desired, asked, told, state, subscriber, want, answer };
}

const short = (asked: readonly Asked[]): string[] =>
  asked.map(({ op, keys }) => `${op === 'subscribe' ? '+' : '-'}${keys.join()}`);

describe('the desired set on one connection', () => {
  test('is asked for in batches, each key once however often it is wanted; complete when all are answered', async () => {
    const { clock, asked, told, subscriber, want, answer } = subscribing({ batchSize: 2 });
    for (const key of ['a', 'b', 'a', 'c', 'b']) want(key);
    await clock.pass(0);
    assert.equal(asked.length, 0, 'nothing before it is authenticated');
    subscriber.begin();
    await clock.pass(0);
    assert.deepEqual(short(asked), ['+a,b', '+c']);
    answer({ id: asked[1].id });
    answer({ id: asked[0].id, keys: ['b'] });
    assert.deepEqual(told, ['+c', '+b']);
    answer({ keys: ['a'] });
    assert.deepEqual(told, ['+c', '+b', '+a', 'complete']);
    assert.deepEqual(subscriber.subscribed().sort(), ['a', 'b', 'c']);
    assert.equal(clock.pending, 0);
  });

  test('nothing wanted is complete at once', () => {
    const { told, subscriber } = subscribing();
    subscriber.begin();
    assert.deepEqual(told, ['complete']);
  });

  test('given back when the last who wanted it is gone', async () => {
    const { clock, asked, told, subscriber, want, answer } = subscribing();
    const first = want('a');
    const second = want('a');
    subscriber.begin();
    await clock.pass(0);
    answer({ id: asked[0].id });
    first.unsubscribe();
    first.unsubscribe();
    await clock.pass(0);
    assert.equal(asked.length, 1);
    second.unsubscribe();
    await clock.pass(0);
    assert.deepEqual(short(asked), ['+a', '-a']);
    answer({ id: asked[1].id });
    assert.deepEqual(told, ['+a', 'complete', '-a']);
  });

  test('changed its mind within one tick: nothing is sent', async () => {
    const { clock, asked, subscriber, want } = subscribing();
    subscriber.begin();
    want('a').unsubscribe();
    await clock.pass(0);
    assert.deepEqual(asked, []);
  });

  test('given back while the request is under way: awaited, then given back', async () => {
    const { clock, asked, told, subscriber, want, answer } = subscribing();
    const a = want('a');
    subscriber.begin();
    await clock.pass(0);
    a.unsubscribe();
    assert.deepEqual(told, ['complete'], 'what nobody wants any more is not waited for');
    await clock.pass(0);
    assert.deepEqual(short(asked), ['+a']);
    answer({ id: asked[0].id });
    await clock.pass(0);
    assert.deepEqual(short(asked), ['+a', '-a']);
    want('a');
    answer({ id: asked[1].id });
    await clock.pass(0);
    assert.deepEqual(short(asked), ['+a', '-a', '+a']);
  });

  test('a refusal is told, does not hold up the rest, and is final for this connection', async () => {
    const { clock, asked, told, subscriber, want, answer } = subscribing();
    const [a] = [want('a'), want('b')];
    const outcome = a.acknowledged.catch((error: unknown) => error);
    subscriber.begin();
    await clock.pass(0);
    answer({ id: asked[0].id, keys: ['a'], refused: 'no such channel' });
    answer({ id: asked[0].id });
    assert.deepEqual(told, ['!a', '+b', 'complete']);
    assert.match(String(await outcome), /a: no such channel/);
    assert.equal(((await outcome) as { code: string }).code, 'ERR_SUBSCRIPTION_REFUSED');
    await clock.pass(60_000);
    assert.equal(asked.length, 1);
    // Who asks anew is asked for anew.
    a.unsubscribe();
    want('a');
    await clock.pass(0);
    assert.deepEqual(short(asked), ['+a,b', '+a']);
  });

  test('"not now" is asked again after the time it names, then counts as refused', async () => {
    const { clock, asked, told, subscriber, want, answer } = subscribing({ retries: 1 });
    want('a');
    subscriber.begin();
    await clock.pass(0);
    answer({ id: asked[0].id, retryAfter: 500 });
    await clock.pass(499);
    assert.equal(asked.length, 1);
    await clock.pass(1);
    assert.equal(asked.length, 2);
    answer({ id: asked[1].id, retryAfter: 500 });
    assert.deepEqual(told, ['!a', 'complete']);
  });

  test('without an answer it is given back before it is asked for again, so that it is never there twice', async () => {
    const { clock, asked, told, subscriber, want, answer } = subscribing({ timeout: 1_000, retries: 1 });
    want('a');
    subscriber.begin();
    await clock.pass(1_000);
    assert.deepEqual(short(asked), ['+a', '-a']);
    answer({ id: asked[1].id, refused: 'not subscribed' });
    await clock.pass(0);
    assert.deepEqual(short(asked), ['+a', '-a', '+a']);
    answer({ id: asked[2].id });
    assert.deepEqual(told, ['-a', '+a', 'complete']);
    assert.equal(clock.pending, 0);
  });

  test('and if even that is not answered, the connection is given up', async () => {
    const { clock, asked, state, subscriber, want } = subscribing({ timeout: 1_000, retries: 1 });
    want('a');
    subscriber.begin();
    await clock.pass(2_000);
    assert.deepEqual(short(asked), ['+a', '-a']);
    assert.equal(state.failed, 'ERR_SUBSCRIPTION_TIMEOUT');
    assert.equal(clock.pending, 0);
  });

  test('while reading is paused, no answer is late', async () => {
    const { clock, asked, state, subscriber, want } = subscribing({ timeout: 1_000 });
    want('a');
    subscriber.begin();
    await clock.pass(0);
    state.paused = true;
    await clock.pass(30_500);
    assert.equal(asked.length, 1);
    state.paused = false;
    await clock.pass(1_000);
    assert.equal(asked.length, 2);
  });

  test('without acknowledgements, what has been sent counts', async () => {
    const { clock, told, subscriber, want } = subscribing({ acknowledgement: undefined });
    want('a');
    subscriber.begin();
    await clock.pass(0);
    assert.deepEqual(told, ['+a', 'complete']);
  });

  test('converges from any state: random wishes, answers that are late, lost, refused or "not now"', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('want' as const), key: fc.integer({ min: 0, max: 4 }) }),
      fc.record({ do: fc.constant('release' as const), key: fc.nat() }),
      fc.record({ do: fc.constant('answer' as const), how: fc.constantFrom('yes', 'lost', 'not now') }),
      fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 1_500 }) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: 1, max: 3 }),
        async (steps, batchSize) => {
          const run = subscribing({ timeout: 1_000, retries: Number.POSITIVE_INFINITY, batchSize });
          const { clock, asked, answer, desired, subscriber, want } = run;
          const venue = new Map<string, number>();
          const wishes: Subscription[] = [];
          let taken = 0;
          /** The venue takes the oldest request that it has not seen. */
          const serve = (how: 'yes' | 'lost' | 'not now'): void => {
            const request = asked[taken];
            if (request === undefined) return;
            taken++;
            if (how === 'not now') {
              answer({ id: request.id, retryAfter: 300 });
              return;
            }
            for (const key of request.keys) {
              if (request.op === 'unsubscribe') venue.delete(key);
              else venue.set(key, (venue.get(key) ?? 0) + 1);
              assert.ok((venue.get(key) ?? 0) <= 1, `${key} is there twice`);
            }
            if (how === 'yes') answer({ id: request.id });
          };
          subscriber.begin();
          for (const each of steps) {
            if (each.do === 'want') wishes.push(want(String(each.key)));
            else if (each.do === 'release')
              wishes.splice(each.key % (wishes.length || 1), 1)[0]?.unsubscribe();
            else if (each.do === 'answer') serve(each.how as 'yes');
            else await clock.pass(each.ms);
            await clock.pass(0);
          }
          // From now on the venue answers all that it is asked, and at once: who is slower than the timeout is asked for ever.
          for (let quiet = 0; quiet < 10; quiet++) {
            await clock.pass(400);
            while (taken < asked.length) {
              quiet = 0;
              serve('yes');
              await clock.pass(0);
            }
          }
          const wanted = Array.from(desired.entries(), ({ key }) => key).sort();
          assert.deepEqual([...venue.keys()].sort(), wanted);
          assert.deepEqual(subscriber.subscribed().sort(), wanted);
          assert.equal(clock.pending, 0);
        },
      ),
      {
        numRuns: 300,
        examples: [
          [
            [
              { do: 'want', key: 0 },
              { do: 'pass', ms: 1_000 },
              { do: 'answer', how: 'not now' },
              { do: 'answer', how: 'not now' },
            ],
            1,
          ],
        ],
      },
    );
  });
});
