/** Pacing: sources in turns, no faster than allowed, no more than the connection takes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Pacer, type Source } from '../../src/persistent/pacer.js';
import type { MessageRate } from '../../src/persistent/persistent-options.js';
import { FakeClock } from './fake-clock.js';

function pacing(rate?: MessageRate) {
  const clock = new FakeClock();
  const sent: { what: string; at: number }[] = [];
  const thrown: unknown[] = [];
  /** A source of the messages it is given; `!` fills the connection, an Error is thrown. */
  const source = (...messages: (string | Error)[]): Source & { messages: (string | Error)[] } => ({
    messages,
    get hasNext() {
      return this.messages.length > 0;
    },
    sendNext() {
      const message = this.messages.shift()!;
      if (message instanceof Error) throw message;
      sent.push({ what: message, at: clock.now() });
      return !message.endsWith('!');
    },
  });
  const make = (...sources: Source[]): Pacer =>
    new Pacer(clock, rate, sources, (error) => thrown.push(error));
  return { clock, sent, thrown, source, make };
}

const what = (sent: { what: string }[]): string => sent.map((each) => each.what).join(' ');

describe('the pacer', () => {
  test('takes one message of each source in turn', async () => {
    const { clock, sent, source, make } = pacing();
    make(source('a1', 'a2', 'a3'), source(), source('c1', 'c2')).wake();
    assert.equal(sent.length, 0, 'nothing is sent within the call');
    await clock.pass(0);
    assert.equal(what(sent), 'c1 a1 c2 a2 a3');
  });

  test('keeps to the rate, with what was spent by others', async () => {
    const { clock, sent, source, make } = pacing({ limit: 5, per: 1_000, burst: 2 });
    const pacer = make(source('a', 'b', 'c', 'd', 'e'));
    pacer.spend();
    pacer.wake();
    await clock.pass(2_000);
    // One was left of the burst, then three in a second and a tenth.
    assert.deepEqual(
      sent.map(({ at }) => at),
      [0, 367, 734, 1_100, 1_467],
    );
    assert.equal(clock.pending, 0);
  });

  test('where Pongs count, one token is left for them', async () => {
    const { clock, sent, source, make } = pacing({ limit: 5, per: 1_000, burst: 3, countsPongs: true });
    const pacer = make(source('a', 'b', 'c', 'd'));
    pacer.wake();
    await clock.pass(0);
    assert.equal(what(sent), 'a b');
    assert.equal(pacer.take(), false);
    pacer.spend();
    await clock.pass(549);
    assert.equal(what(sent), 'a b');
    await clock.pass(2_000);
    assert.equal(what(sent), 'a b c d');
  });

  test('waits while the connection is full', async () => {
    const { clock, sent, source, make } = pacing();
    const pacer = make(source('a', 'b!', 'c'));
    pacer.wake();
    await clock.pass(0);
    pacer.wake();
    await clock.pass(0);
    assert.equal(what(sent), 'a b!');
    pacer.drained();
    await clock.pass(0);
    assert.equal(what(sent), 'a b! c');
  });

  test('tells what a source throws, and waits', async () => {
    const { clock, sent, thrown, source, make } = pacing();
    const pacer = make(source('a', new Error('no'), 'b'));
    pacer.wake();
    await clock.pass(0);
    assert.equal(what(sent), 'a');
    assert.match(String(thrown), /no/);
    pacer.drained();
    await clock.pass(0);
    assert.equal(what(sent), 'a b');
  });

  test('stopped, it sends nothing and leaves no timer', async () => {
    const { clock, sent, source, make } = pacing({ limit: 2, per: 1_000 });
    const pacer = make(source('a', 'b'));
    pacer.wake();
    await clock.pass(0);
    pacer.stop();
    await clock.pass(5_000);
    assert.equal(what(sent), 'a');
    assert.equal(clock.pending, 0);
  });
});
