/** Numbers of messages: what they say, and where venues have them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Kind } from '../../src/codec/layout.js';
import { type SequenceFields, type SequenceMark, sequenceOf, venues } from '../../src/index.js';
import { SequenceTracker, type Verdict } from '../../src/persistent/sequence.js';
import { Message } from '../../src/protocol/message.js';

function json(value: unknown): Message {
  const data = Buffer.from(JSON.stringify(value));
  const message = new Message(data);
  message.pointElsewhere(Kind.text, data, data.length, false);
  return message;
}

function verdicts(kind: SequenceFields['kind'], marks: SequenceMark[]): Verdict[] {
  const tracker = new SequenceTracker(kind);
  return marks.map((mark) => tracker.judge(mark));
}

describe('what the numbers say', () => {
  test('contiguous ids', () => {
    const ids = [5, 6, 9, 8, 9, 10].map((id) => ({ id }));
    assert.deepEqual(verdicts('contiguous', ids), ['first', 'next', 'gap', 'late', 'late', 'next']);
  });

  test('previous links: ids jump, a link that holds is no gap even when the id falls, and one that repeats is one', () => {
    const marks = [
      { id: 100, previous: 90 },
      { id: 150, previous: 100 },
      { id: 150, previous: 150 },
      { id: 7, previous: 150 },
      { id: 9, previous: 8 },
      { id: 9, previous: 8 },
      { id: 12, previous: 8 },
    ];
    // The last one reaches from before to after the last id: as the first update after a snapshot may.
    assert.deepEqual(verdicts('previous', marks), ['first', 'next', 'next', 'next', 'gap', 'late', 'next']);
  });

  test('ranges: from the next id, or over the last one, on', () => {
    const marks = [
      { from: 1, id: 4 },
      { from: 5, id: 5 },
      { from: 4, id: 8 },
      { from: 6, id: 8 },
      { from: 10, id: 12 },
    ];
    assert.deepEqual(verdicts('range', marks), ['first', 'next', 'next', 'late', 'gap']);
  });

  test('a reset is never a gap, and the ids go on from there', () => {
    const marks = [{ id: 50 }, { id: 1, reset: true }, { id: 2 }, { id: 80, reset: true }, { id: 82 }];
    assert.deepEqual(verdicts('contiguous', marks), ['first', 'reset', 'next', 'reset', 'gap']);
  });

  test('a stream that begins anew without saying so is noticed, one that repeats itself is not mistaken for one', () => {
    const tracker = new SequenceTracker('contiguous');
    tracker.judge({ id: 1_000 });
    const of = (from: number, count: number, interrupted = false): Verdict[] =>
      Array.from({ length: count }, (_, i) => tracker.judge({ id: from + i }, interrupted));
    assert.deepEqual(new Set(of(1, 15)), new Set(['late']));
    assert.deepEqual(of(1_001, 1), ['next']);
    assert.deepEqual(
      new Set(of(500, 400, true)),
      new Set(['late']),
      'its latest history, after an interruption',
    );
    assert.deepEqual(of(1_002, 1), ['next']);
    assert.deepEqual(of(1, 17).slice(-3), ['late', 'restart', 'next']);
  });

  test('a snapshot ahead of its stream: what it contains is late, however much that is, and no restart', () => {
    const tracker = new SequenceTracker('contiguous');
    tracker.judge({ id: 10 });
    tracker.begin(500);
    const verdicts = Array.from({ length: 492 }, (_, i) => tracker.judge({ id: 11 + i }));
    assert.deepEqual(new Set(verdicts.slice(0, 490)), new Set(['late']));
    assert.deepEqual(verdicts.slice(490), ['next', 'next']);
  });

  test('of any stream, what is in order and what is missing is the whole, whatever repeats', () => {
    const drop = fc.array(fc.tuple(fc.boolean(), fc.nat(3)), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(drop, (course) => {
        const tracker = new SequenceTracker('contiguous');
        let delivered = 0;
        let missing = 0;
        let last = 0;
        tracker.begin(0);
        course.forEach(([arrives, repeats], i) => {
          const id = i + 1;
          for (let n = arrives ? repeats + 1 : 0; n > 0; n--) {
            const mark = { id };
            const missed = tracker.missing(mark)!;
            if (tracker.judge(mark) === 'late') continue;
            delivered++;
            missing += missed;
            last = id;
          }
        });
        assert.equal(delivered + missing, last);
      }),
    );
  });
});

describe('where venues have them', () => {
  const cases: [keyof typeof venues, unknown, SequenceMark][] = [
    [
      'deribit',
      { params: { data: { change_id: 9, prev_change_id: 7 } } },
      { id: 9, previous: 7, reset: false },
    ],
    [
      'deribit',
      { params: { data: { type: 'snapshot', change_id: 9 } } },
      { id: 9, previous: undefined, reset: true },
    ],
    ['binanceSpot', { e: 'depthUpdate', U: 157, u: 160 }, { id: 160, from: 157, reset: false }],
    ['binanceUsdm', { e: 'depthUpdate', U: 157, u: 160, pu: 149 }, { id: 160, previous: 149, reset: false }],
    ['okx', { data: [{ seqId: 20, prevSeqId: 10 }] }, { id: 20, previous: 10, reset: false }],
    ['okx', { data: [{ seqId: 20, prevSeqId: -1 }] }, { id: 20, previous: -1, reset: true }],
    ['bybit', { type: 'delta', data: { u: 177400507, seq: 1 } }, { id: 177400507, reset: false }],
    ['bybit', { type: 'delta', data: { u: 1 } }, { id: 1, reset: true }],
    ['coinbase', { channel: 'l2_data', sequence_num: 0 }, { id: 0, reset: false }],
    ['dydx', { message_id: '12' }, { id: 12, reset: false }],
  ];
  for (const [venue, body, mark] of cases) {
    test(`${venue}: ${JSON.stringify(body)}`, () => {
      const { sequence } = venues[venue] as { sequence?: { value: SequenceFields } };
      const read = sequenceOf(sequence!.value);
      assert.equal(read.kind, sequence!.value.kind);
      assert.deepEqual(read.read(json(body)), mark);
    });
  }

  test('a message without the number has none', () => {
    const { read } = sequenceOf(venues.okx.sequence.value);
    for (const body of [{}, { data: [] }, { data: [{ seqId: 'x' }] }, { event: 'subscribe' }])
      assert.equal(read(json(body)), undefined);
  });

  test('what else is a snapshot is the application’s to say', () => {
    const sequence = sequenceOf(venues.bybit.sequence.value, (_, { type }) => type === 'snapshot');
    assert.equal(sequence.read(json({ type: 'snapshot', data: { u: 77 } }))?.reset, true);
    assert.equal(sequence.read(json({ type: 'delta', data: { u: 78 } }))?.reset, false);
  });
});
