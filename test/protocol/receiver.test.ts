/**
 * The receiver's own promises, beside what the bytes mean (receiver-differential.test.ts tells that): order, the
 * end of a read, flow, memory, and what its errors say.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Codec } from '../../src/codec/codec.js';
import type { ProtocolError } from '../../src/errors.js';
import { type MessageListener, Receiver, type ReceiverEvents } from '../../src/protocol/receiver.js';
import { encodeFrame, type Frame } from '../reference/frame.js';

const codec = new Codec();

/** What the receiver reports, one line for each. */
interface Log {
  lines: string[];
  errors: ProtocolError[];
}

const EVENTS: ReceiverEvents<Log> = {
  answerPing: ({ lines }, payload) => void lines.push(`answer ${payload}`.trim()),
  onPing: ({ lines }, payload) => void lines.push(`ping ${payload}`.trim()),
  onPong: ({ lines }, payload) => void lines.push(`pong ${payload}`.trim()),
  onClose: ({ lines }, { code, reason }) => void lines.push(`close ${code} ${reason}`.trim()),
  onError({ lines, errors }, error) {
    lines.push(`error ${error.closeCode}`);
    errors.push(error);
  },
  onBlocked: ({ lines }) => void lines.push('blocked'),
  onCaughtUp: ({ lines }) => void lines.push('caught up'),
};

const shown = (text: string): string => (text.length > 20 ? `${text.length} bytes` : text);

const logMessage: MessageListener<Log> = (message, { lines }) => {
  lines.push(`message ${shown(message.text())}${message.isLastInRead ? ' (last)' : ''}`);
};

function receiver({ maxMessageSize = 2 ** 30 } = {}): { receiver: Receiver<Log>; log: Log; lines: string[] } {
  const log: Log = { lines: [], errors: [] };
  return { receiver: new Receiver<Log>(codec, log, EVENTS, { maxMessageSize }), log, lines: log.lines };
}

/** One read: the bytes arrive where the receiver wants them. */
function arrive({ receiver: one }: { receiver: Receiver<Log> }, bytes: Uint8Array, receivedAt = 1): void {
  const target = one.readTarget();
  assert.ok(bytes.length <= target.length, 'more than one read');
  target.set(bytes);
  one.received(bytes.length, receivedAt);
}

const text = (payload: string): Frame => ({ opcode: 1, payload: Buffer.from(payload) });
const begin = (payload: string): Frame => ({ opcode: 1, fin: false, payload: Buffer.from(payload) });
const more = (payload: string): Frame => ({ opcode: 0, fin: false, payload: Buffer.from(payload) });
const end = (payload: string): Frame => ({ opcode: 0, payload: Buffer.from(payload) });
const ping = (payload = ''): Frame => ({ opcode: 9, payload: Buffer.from(payload) });
const pong = (payload = ''): Frame => ({ opcode: 10, payload: Buffer.from(payload) });
const close = (code = 1000): Frame => ({ opcode: 8, payload: Buffer.of(code >> 8, code & 0xff) });
const large: Frame = { opcode: 2, payload: Buffer.alloc(70_000, 'x') };

const wire = (...frames: (Frame | string)[]): Buffer =>
  Buffer.concat(
    frames.map((each) => (typeof each === 'string' ? Buffer.from(each, 'hex') : encodeFrame(each))),
  );

/** What one listener hears of these reads. */
function heard(reads: readonly Buffer[], options?: { maxMessageSize?: number }): string[] {
  const one = receiver(options);
  one.receiver.listen(logMessage);
  for (const bytes of reads) arrive(one, bytes);
  one.receiver.stop();
  return one.lines;
}

describe('isLastInRead is true exactly once in a read that holds a complete message', () => {
  const reads: Record<string, { of: Buffer[]; hears: string[]; maxMessageSize?: number }> = {
    'one message': { of: [wire(text('a'))], hears: ['message a (last)'] },
    'several messages': {
      of: [wire(text('a'), text('b'), text('c'))],
      hears: ['message a', 'message b', 'message c (last)'],
    },
    'control frames behind the last': {
      of: [wire(text('a'), text('b'), ping(), pong())],
      hears: ['answer', 'message a', 'message b (last)', 'ping', 'pong'],
    },
    'a fragment behind the last': {
      of: [wire(text('a'), text('b'), begin('c'), more('d')), wire(end('e'), text('f'))],
      hears: ['message a', 'message b (last)', 'message cde', 'message f (last)'],
    },
    'half a frame behind the last': {
      of: [wire(text('a'), text('b')), wire(text('cd'))].flatMap((bytes, i) =>
        i === 0 ? [Buffer.concat([bytes, wire(text('x')).subarray(0, 2)])] : [wire('78'), bytes],
      ),
      hears: ['message a', 'message b (last)', 'message x (last)', 'message cd (last)'],
    },
    'half a header behind the last': {
      of: [wire(text('a'), '82'), wire('0178', text('b'))],
      hears: ['message a (last)', 'message x', 'message b (last)'],
    },
    'the last in fragments': {
      of: [wire(text('a'), begin('b'), ping(), end('c'))],
      hears: ['answer', 'message a', 'ping', 'message bc (last)'],
    },
    'a large message, in reads of its own': {
      of: [wire(large).subarray(0, 60_000), wire(large).subarray(60_000)],
      hears: ['message 70000 bytes (last)'],
    },
    'the end of a large message, messages behind it': {
      of: [
        wire(large).subarray(0, 65_000),
        Buffer.concat([wire(large).subarray(65_000), wire('8101')]),
        wire('61'),
      ],
      hears: ['message 70000 bytes (last)', 'message a (last)'],
    },
    'the end of a large text message, messages behind it in the same read': {
      of: [
        wire({ ...large, opcode: 1 }).subarray(0, 65_000),
        Buffer.concat([
          wire({ ...large, opcode: 1 }).subarray(65_000),
          wire(text('a'), ping(), text('b'), pong()),
        ]),
      ],
      hears: ['answer', 'message 70000 bytes', 'message a', 'ping', 'message b (last)', 'pong'],
    },
    'the beginning of a large message behind the last': {
      of: [
        Buffer.concat([wire(text('a')), wire(large).subarray(0, 30_000)]),
        wire(large).subarray(30_000),
      ].flatMap((bytes, i) => (i === 0 ? [bytes] : [bytes.subarray(0, 20_000), bytes.subarray(20_000)])),
      hears: ['message a (last)', 'message 70000 bytes (last)'],
    },
    'no message': {
      of: [wire(ping('1'), begin('a')), wire(pong()), wire(end(''))],
      hears: ['answer 1', 'ping 1', 'pong', 'message a (last)'],
    },
    'a Close frame behind the last': {
      of: [wire(text('a'), text('b'), close())],
      hears: ['message a', 'message b (last)', 'close 1000'],
    },
    'a message behind the Close frame, which nobody hears of': {
      of: [wire(text('a'), text('b'), close(), text('c'))],
      hears: ['message a', 'message b (last)', 'close 1000'],
    },
    'a message that is refused behind the last': {
      of: [wire(text('a'), text('b'), text('too large'))],
      maxMessageSize: 8,
      hears: ['message a', 'message b (last)', 'error 1009'],
    },
    'a wrong frame behind the last': {
      of: [wire(text('a'), text('b'), { opcode: 3 })],
      hears: ['message a', 'message b (last)', 'error 1002'],
    },
    'a wrong Close frame behind the last, a message behind that': {
      of: [wire(text('a'), text('b'), close(999), text('c'))],
      hears: ['message a', 'message b (last)', 'error 1002'],
    },
  };
  for (const [title, { of, hears, maxMessageSize }] of Object.entries(reads)) {
    test(title, () => assert.deepEqual(heard(of, { maxMessageSize }), hears));
  }
});

describe('Pings', () => {
  test('RFC 6455 §5.5.2: are answered before the messages of the same read are delivered', () => {
    const frames = [text('a'), ping('1'), text('b'), pong('x'), ping('2'), begin('c'), ping('3'), end('d')];
    assert.deepEqual(heard([wire(...frames)]), [
      'answer 1',
      'answer 2',
      'answer 3',
      'message a',
      'ping 1',
      'message b',
      'pong x',
      'ping 2',
      'ping 3',
      'message cd (last)',
    ]);
  });

  test('RFC 6455 §5.5.1: are not answered behind a Close frame', () => {
    assert.deepEqual(heard([wire(ping('1'), close(), ping('2'))]), ['answer 1', 'ping 1', 'close 1000']);
  });

  test('RFC 6455 §5.5.2: are answered while nobody listens yet, up to the first message, then in the order read', async () => {
    const one = receiver();
    arrive(one, wire(ping('1'), pong('x')));
    assert.deepEqual(one.lines.splice(0), ['answer 1', 'ping 1', 'pong x']);
    arrive(one, wire(text('a'), ping('2')));
    assert.deepEqual(one.lines.splice(0), ['answer 2', 'blocked']);
    one.receiver.listen(logMessage);
    await setImmediate();
    assert.deepEqual(one.lines, ['message a (last)', 'ping 2', 'caught up']);
    one.receiver.stop();
  });

  test('RFC 6455 §5.5.2: each is answered once, however often its bytes are parsed again', async () => {
    const one = receiver();
    arrive(one, wire(text('a'), ping('1'), text('b'), ping('2'), text('c'), ping('3')));
    let count = 0;
    one.receiver.listen((message, log) => {
      logMessage(message, log);
      one.receiver.pause();
      count++;
    });
    for (let i = 0; i < 3; i++) {
      one.receiver.resume();
      await setImmediate();
    }
    one.receiver.resume();
    await setImmediate();
    assert.equal(count, 3);
    assert.deepEqual(
      one.lines.filter((line) => line.startsWith('answer')),
      ['answer 1', 'answer 2', 'answer 3'],
    );
    assert.deepEqual(
      one.lines.filter((line) => line.startsWith('ping')),
      ['ping 1', 'ping 2', 'ping 3'],
    );
    one.receiver.stop();
  });
});

describe('flow', () => {
  test('messages wait for a listener, in order, and say that they do: once', async () => {
    const one = receiver();
    arrive(one, wire(text('a'), text('b')));
    arrive(one, wire(text('c')));
    assert.deepEqual(one.lines.splice(0), ['blocked']);
    assert.equal(one.receiver.heldBytes, 9);
    one.receiver.listen(logMessage);
    assert.deepEqual(one.lines, [], 'nothing is delivered from within listen()');
    await setImmediate();
    assert.deepEqual(one.lines, ['message a', 'message b (last)', 'message c (last)', 'caught up']);
    assert.equal(one.receiver.heldBytes, 0);
    one.receiver.stop();
  });

  test('resume() never delivers from within the call', async () => {
    const one = receiver();
    one.receiver.listen(logMessage);
    one.receiver.pause();
    assert.equal(one.receiver.paused, true);
    arrive(one, wire(text('a')));
    one.receiver.resume();
    assert.equal(one.receiver.paused, false);
    assert.deepEqual(one.lines, []);
    await setImmediate();
    assert.deepEqual(one.lines, ['message a (last)', 'caught up']);
    one.receiver.stop();
  });

  test('pause() in the callback keeps the messages behind it, and the time at which they were read', async () => {
    const one = receiver();
    const times: number[] = [];
    one.receiver.listen((message) => {
      times.push(message.receivedAt);
      one.receiver.pause();
    });
    arrive(one, wire(text('a'), text('b')), 10);
    arrive(one, wire(text('c')), 20);
    assert.deepEqual(times, [10]);
    for (let i = 0; i < 3; i++) {
      one.receiver.resume();
      await setImmediate();
    }
    assert.deepEqual(times, [10, 10, 20]);
    one.receiver.stop();
  });

  test('a listener that is taken away in the callback hears nothing more; the next one goes on', async () => {
    const one = receiver();
    one.receiver.listen((message, { lines }) => {
      lines.push(`first ${message.text()}`);
      one.receiver.listen(undefined);
    });
    arrive(one, wire(text('a'), text('b')));
    await setImmediate();
    assert.deepEqual(one.lines, ['first a', 'blocked']);
    one.receiver.listen(logMessage);
    await setImmediate();
    assert.deepEqual(one.lines.slice(2), ['message b (last)', 'caught up']);
    one.receiver.stop();
  });

  test('a listener that is replaced in the callback: the next message of the read goes to the new one', () => {
    const one = receiver();
    one.receiver.listen((message, { lines }) => {
      lines.push(`first ${message.text()}`);
      one.receiver.listen(logMessage);
    });
    arrive(one, wire(text('a'), text('b')));
    assert.deepEqual(one.lines, ['first a', 'message b (last)']);
    one.receiver.stop();
  });

  test('stop() in the callback discards the rest of the read, and all that comes later', async () => {
    const one = receiver();
    one.receiver.listen((message, log) => {
      logMessage(message, log);
      one.receiver.stop();
    });
    arrive(one, wire(text('a'), ping('1'), text('b'), close()));
    arrive(one, wire(text('c'), ping('2')));
    one.receiver.resume();
    one.receiver.listen(logMessage);
    await setImmediate();
    assert.deepEqual(one.lines, ['answer 1', 'message a']);
    assert.equal(one.receiver.heldBytes, 0);
  });

  test('stop() discards what waited', async () => {
    const one = receiver();
    arrive(one, wire(text('a'), text('b')));
    one.receiver.stop();
    one.receiver.listen(logMessage);
    one.receiver.resume();
    await setImmediate();
    assert.deepEqual(one.lines, ['blocked']);
    assert.equal(one.receiver.heldBytes, 0);
  });
});

describe('onMessage', () => {
  test('that returns a promise is a usage error, reported once', async () => {
    const warnings: (Error & { code?: string })[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const one = receiver();
    const warned = once(process, 'warning');
    one.receiver.listen(async () => {});
    arrive(one, wire(text('a'), text('b'), begin('c'), end('d')));
    await warned;
    await setImmediate();
    process.off('warning', onWarning);
    one.receiver.stop();
    assert.deepEqual(
      warnings.map(({ name, code }) => [name, code]),
      [['HeartwireWarning', 'ERR_ASYNC_ON_MESSAGE']],
    );
  });
});

describe('errors name the section that was broken and the status code to send', () => {
  const wrong: readonly (readonly [hex: string, code: string, section: string, closeCode: number])[] = [
    ['c100', 'ERR_RESERVED_BITS', '5.2', 1002],
    ['a100', 'ERR_RESERVED_BITS', '5.2', 1002],
    ['9100', 'ERR_RESERVED_BITS', '5.2', 1002],
    ['8300', 'ERR_RESERVED_OPCODE', '5.2', 1002],
    ['8f00', 'ERR_RESERVED_OPCODE', '5.2', 1002],
    ['0900', 'ERR_CONTROL_FRAGMENTED', '5.5', 1002],
    ['897e007e', 'ERR_CONTROL_TOO_LONG', '5.5', 1002],
    ['8000', 'ERR_UNEXPECTED_CONTINUATION', '5.4', 1002],
    ['01008100', 'ERR_EXPECTED_CONTINUATION', '5.4', 1002],
    ['818000000000', 'ERR_MASKED_FRAME', '5.1', 1002],
    ['827e007d', 'ERR_LENGTH_NOT_MINIMAL', '5.2', 1002],
    ['827f000000000000ffff', 'ERR_LENGTH_NOT_MINIMAL', '5.2', 1002],
    ['827f8000000000000000', 'ERR_LENGTH_INVALID', '5.2', 1002],
    ['8101ff', 'ERR_INVALID_UTF8', '8.1', 1007],
    ['810161810261c3', 'ERR_INVALID_UTF8', '8.1', 1007],
    ['827f0000000040000001', 'ERR_MESSAGE_TOO_LARGE', '10.4', 1009],
    ['880103', 'ERR_CLOSE_PAYLOAD', '5.5.1', 1002],
    ['880203ed', 'ERR_CLOSE_CODE', '7.4', 1002],
    ['880303e8ff', 'ERR_CLOSE_REASON', '5.5.1', 1007],
  ];
  for (const [hex, code, section, closeCode] of wrong) {
    test(`RFC 6455 §${section}: ${hex} is ${code}, ${closeCode}`, () => {
      const one = receiver();
      one.receiver.listen(() => {});
      arrive(one, Buffer.from(hex, 'hex'));
      assert.equal(one.log.errors.length, 1);
      const [error] = one.log.errors;
      assert.equal(error.name, 'ProtocolError');
      assert.deepEqual([error.code, error.section, error.closeCode], [code, section, closeCode]);
      assert.ok(error.message.includes(`RFC 6455 §${section}`));
    });
  }
});

describe('memory', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  /** Memory is given back in the background: it counts as used only when it stays. */
  const inUse = async (): Promise<number> => {
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 5; i++) {
      collect();
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      least = Math.min(least, heapUsed + arrayBuffers);
      await setTimeout(1);
    }
    return least;
  };

  test('RFC 6455 §5.4: half a million fragments of one byte cost bytes, not objects', async () => {
    const one = receiver();
    one.receiver.listen(logMessage);
    const count = 500_000;
    arrive(one, wire(begin('')));
    const piece = Buffer.concat(Array.from({ length: 20_000 }, () => wire(more('x'))));
    const before = await inUse();
    for (let fragments = 0; fragments < count; fragments += 20_000) arrive(one, piece);
    const grown = (await inUse()) - before;
    // The buffer doubles; one object a fragment would be 20 MB and more.
    assert.ok(grown < 3 * count, `${grown} bytes for ${count} fragments`);
    arrive(one, wire(end('')));
    assert.deepEqual(one.lines, [`message ${count} bytes (last)`]);
    one.receiver.stop();
  });

  test('an idle receiver holds neither a slab nor the memory of its last message', async () => {
    const { available } = codec.slabs;
    const message = wire({ opcode: 2, payload: Buffer.alloc(10_000_000) });
    const one = receiver();
    one.receiver.listen(() => {});
    const before = await inUse();
    // In a function of its own: what the last call used must not count as held.
    const arriveInReads = (): void => {
      for (let at = 0; at < message.length; ) {
        const count = message.copy(one.receiver.readTarget(), 0, at);
        one.receiver.received(count, 1);
        at += count;
      }
    };
    arriveInReads();
    assert.equal(codec.slabs.available, available);
    const grown = (await inUse()) - before;
    assert.ok(grown < 5_000_000, `${grown} bytes are held`);
    one.receiver.stop();
  });
});
