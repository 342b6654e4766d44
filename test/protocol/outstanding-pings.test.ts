/** Pings of ours and the Pongs that answer them, RFC 6455 §5.5.2 and §5.5.3. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HeartwireError } from '../../src/errors.js';
import { OutstandingPings } from '../../src/protocol/outstanding-pings.js';

const LOST = new HeartwireError('ERR_TEST', 'lost');

/** What has become of a promise once all microtasks have run. */
async function state(promise: Promise<number>): Promise<number | 'pending' | HeartwireError> {
  return Promise.race([promise, new Promise<'pending'>((resolve) => setImmediate(resolve, 'pending'))]).catch(
    (error) => error as HeartwireError,
  );
}

describe('the payload of a ping', () => {
  test('RFC 6455 §5.5.2: is a sequence number where none is given', () => {
    const pings = new OutstandingPings();
    const payloads = [pings.payload(undefined), pings.payload(undefined), pings.payload(undefined)];
    assert.deepEqual(
      payloads.map((payload) => payload.toString('hex')),
      ['00000000', '00000001', '00000002'],
    );
  });

  test('RFC 6455 §5.5: has at most 125 bytes', () => {
    const pings = new OutstandingPings();
    for (const given of ['', 'é'.repeat(62), Buffer.alloc(125), new Uint8Array(0)]) {
      assert.deepEqual(pings.payload(given), Buffer.from(given as string));
    }
    for (const given of ['é'.repeat(63), Buffer.alloc(126)]) {
      assert.throws(() => pings.payload(given), { name: 'UsageError', code: 'ERR_PING_PAYLOAD' });
    }
  });

  test('is a string or bytes, nothing else', () => {
    const pings = new OutstandingPings();
    for (const given of [1, null, {}, [1], true, new ArrayBuffer(1)]) {
      assert.throws(() => pings.payload(given as string), { name: 'UsageError', code: 'ERR_PING_PAYLOAD' });
    }
  });

  test('is a copy: what the caller does with the bytes later does not change what is waited for', async () => {
    const pings = new OutstandingPings();
    const given = Buffer.from('before');
    const answered = pings.sent(pings.payload(given), 0);
    given.write('behind');
    assert.equal(pings.answeredBy(Buffer.from('behind'), 1), false);
    assert.equal(pings.answeredBy(Buffer.from('before'), 2), true);
    assert.equal(await answered, 2);
  });

  test('1024 may be unanswered', async () => {
    const pings = new OutstandingPings();
    for (let i = 0; i < 1024; i++) pings.sent(pings.payload(undefined), 0);
    for (const given of [undefined, 'one more']) {
      assert.throws(() => pings.payload(given), { name: 'UsageError', code: 'ERR_TOO_MANY_PINGS' });
    }
    pings.answeredBy(Buffer.alloc(4), 1);
    assert.equal(pings.payload(undefined).toString('hex'), '00000400');
  });
});

describe('a Pong', () => {
  test('RFC 6455 §5.5.3: answers the ping whose payload it carries, with the time between', async () => {
    const pings = new OutstandingPings();
    const [first, second] = ['first', 'second'].map((payload, i) =>
      pings.sent(pings.payload(payload), 10 * i),
    );
    assert.equal(pings.answeredBy(Buffer.from('first'), 12.5), true);
    assert.equal(await first, 12.5);
    assert.equal(await state(second), 'pending');
    assert.equal(pings.answeredBy(Buffer.from('second'), 13), true);
    assert.equal(await second, 3);
  });

  test('RFC 6455 §5.5.3: answers all pings before its own as well', async () => {
    const pings = new OutstandingPings();
    const sent = ['a', 'b', 'c'].map((payload, i) => pings.sent(pings.payload(payload), i));
    assert.equal(pings.answeredBy(Buffer.from('b'), 5), true);
    assert.deepEqual([await sent[0], await sent[1], await state(sent[2])], [5, 4, 'pending']);
    assert.equal(pings.answeredBy(Buffer.from('a'), 6), false, 'that one has been answered');
  });

  test('RFC 6455 §5.5.3: answers the oldest of several pings alike', async () => {
    const pings = new OutstandingPings();
    const sent = [0, 1, 2].map((at) => pings.sent(pings.payload('same'), at));
    pings.answeredBy(Buffer.from('same'), 10);
    assert.deepEqual([await state(sent[0]), await state(sent[1])], [10, 'pending']);
    pings.answeredBy(Buffer.from('same'), 20);
    assert.deepEqual([await state(sent[1]), await state(sent[2])], [19, 'pending']);
  });

  test('RFC 6455 §5.5.3: may come unsolicited: it answers nothing', async () => {
    const pings = new OutstandingPings();
    assert.equal(pings.answeredBy(Buffer.alloc(0), 1), false);
    const sent = pings.sent(pings.payload('mine'), 0);
    for (const other of ['', 'min', 'mine!', 'MINE'])
      assert.equal(pings.answeredBy(Buffer.from(other), 1), false);
    assert.equal(await state(sent), 'pending');
  });

  test('RFC 6455 §5.5.2: an empty ping is answered by an empty pong', async () => {
    const pings = new OutstandingPings();
    const sent = pings.sent(pings.payload(''), 1);
    assert.equal(pings.answeredBy(Buffer.alloc(0), 3), true);
    assert.equal(await sent, 2);
  });
});

describe('when no Pong will come', () => {
  test('every ping rejects with the reason, and none has to be handled', async () => {
    const pings = new OutstandingPings();
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', onUnhandled);
    const sent = pings.sent(pings.payload(undefined), 0);
    pings.sent(pings.payload(undefined), 0);
    pings.abandon(() => LOST);
    assert.equal(await state(sent), LOST);
    process.off('unhandledRejection', onUnhandled);
    assert.deepEqual(unhandled, []);
  });

  test('a ping that was answered stays answered', async () => {
    const pings = new OutstandingPings();
    const sent = pings.sent(pings.payload('x'), 0);
    pings.answeredBy(Buffer.from('x'), 1);
    pings.abandon(() => LOST);
    assert.equal(await sent, 1);
  });
});
