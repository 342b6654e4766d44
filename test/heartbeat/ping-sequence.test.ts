/** A heartbeat's own Pings and what a Pong is to them, RFC 6455 §5.5.3. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PingSequence, PongKind } from '../../src/heartbeat/ping-sequence.js';

const { answer, duplicate, foreign, late, other } = PongKind;

/** The payloads of the first `count` pings. */
function sent(pings: PingSequence, count: number): Buffer[] {
  return Array.from({ length: count }, () => Buffer.from(pings.next()));
}

describe('the pings of a heartbeat', () => {
  test('carry a tag and a number, and none like another', () => {
    const [one, two] = [new PingSequence(1), new PingSequence(0xfffffffe)];
    assert.deepEqual(
      [...sent(one, 2), ...sent(two, 1)].map((payload) => payload.toString('hex')),
      ['0000000100000001', '0000000100000002', 'fffffffe00000001'],
    );
    assert.deepEqual([one.count, two.count], [2, 1]);
  });

  test('RFC 6455 §5.5.3: the latest is answered, an earlier one late, and each once', () => {
    const pings = new PingSequence(5);
    const [first, second, third] = sent(pings, 3);
    assert.ok(pings.isOpen);
    assert.equal(pings.answeredBy(second), late);
    assert.ok(pings.isOpen, 'the latest waits');
    assert.equal(pings.answeredBy(third), answer);
    assert.ok(!pings.isOpen);
    assert.deepEqual(
      [second, third, third, first, first].map((payload) => pings.answeredBy(payload)),
      [duplicate, duplicate, duplicate, late, duplicate],
    );
  });

  test('a number that was not sent yet is foreign', () => {
    const pings = new PingSequence(5);
    const [, second] = sent(new PingSequence(5), 2);
    assert.equal(pings.answeredBy(second), foreign, 'none was sent');
    sent(pings, 1);
    assert.equal(pings.answeredBy(second), foreign);
    sent(pings, 1);
    assert.equal(pings.answeredBy(second), answer);
  });

  test('number 0 is none', () => {
    const pings = new PingSequence(5);
    sent(pings, 3);
    assert.equal(pings.answeredBy(Buffer.from('0000000500000000', 'hex')), foreign);
  });

  test('other payloads, and those of another connection, are not ours', () => {
    const pings = new PingSequence(5);
    const [payload] = sent(pings, 1);
    const another = sent(new PingSequence(6), 1)[0];
    for (const pong of [Buffer.alloc(0), payload.subarray(1), Buffer.concat([payload, payload]), another]) {
      assert.equal(pings.answeredBy(pong), other, pong.toString('hex'));
    }
    assert.ok(pings.isOpen);
  });

  test('an answer is remembered over 32 pings; beyond, it is late', () => {
    const pings = new PingSequence(5);
    const payloads = sent(pings, 1);
    assert.equal(pings.answeredBy(payloads[0]), answer);
    payloads.push(...sent(pings, 31));
    assert.equal(pings.answeredBy(payloads[0]), duplicate);
    payloads.push(...sent(pings, 1));
    assert.equal(pings.answeredBy(payloads[0]), late);
    assert.equal(pings.answeredBy(payloads[32]), answer);
    assert.equal(pings.answeredBy(payloads[1]), late);
    assert.equal(pings.answeredBy(payloads[1]), duplicate);
  });
});
