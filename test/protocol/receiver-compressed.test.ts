/**
 * The receiver and compressed messages (RFC 7692): whatever zlib made of the messages, and in whatever pieces it
 * arrives, the receiver tells what it tells of the plain ones; and what is wrong ends the connection, within bounds.
 */
import assert from 'node:assert/strict';
import { PerformanceObserver } from 'node:perf_hooks';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { constants, deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { Codec } from '../../src/codec/codec.js';
import { READ_SIZE } from '../../src/codec/layout.js';
import type { ProtocolError } from '../../src/errors.js';
import { Receiver, type ReceiverEvents } from '../../src/protocol/receiver.js';
import {
  Compressor,
  compressed,
  compressedScenario,
  type ServerContext,
  type Treatment,
} from '../arbitraries/compressed.js';
import { pseudoRandomBytes, pseudoRandomText } from '../arbitraries/payload.js';
import { flow } from '../arbitraries/scenario.js';
import { encodeStream } from '../arbitraries/wire.js';
import { compare, compareInTurns, compareStopped, compareWithPauses } from '../reference/differential.js';
import { encodeFrame, type Frame } from '../reference/frame.js';
import type { Event } from '../reference/receiver.js';

const USUAL: Treatment = {
  compressed: true,
  level: 6,
  strategy: constants.Z_DEFAULT_STRATEGY,
  final: false,
  pieces: 1,
};
const PLAIN: Treatment = { ...USUAL, compressed: false };
const TAKEOVER: ServerContext = { takeover: true, windowBits: 15 };
const NO_TAKEOVER: ServerContext = { takeover: false, windowBits: 15 };

const QUOTE = '{"e":"trade","s":"BTCUSDT","p":"97123.45","q":"0.01200"}';

/** Frames of one message, and the event it makes. */
function message(
  data: Buffer,
  isText: boolean,
  cuts: readonly number[] = [],
): { frames: Frame[]; event: Event } {
  const edges = [0, ...cuts, data.length];
  const frames = edges.slice(1).map((end, i) => ({
    fin: i === cuts.length,
    opcode: i > 0 ? 0 : isText ? 1 : 2,
    payload: data.subarray(edges[i], end),
  }));
  return { frames, event: { type: 'message', isText, data } };
}

/** A few messages, whole and in fragments, with a ping between two of these. */
function conversation(): { frames: Frame[]; events: Event[] } {
  const ping: Frame = { opcode: 9, payload: Buffer.from('between') };
  const parts = [
    message(Buffer.from(QUOTE), true),
    message(Buffer.from(QUOTE.replace('45', '46').repeat(2)), true, [30, 31, 90]),
    message(Buffer.alloc(0), true),
    message(pseudoRandomBytes(60, 1), false),
    message(Buffer.from('aé水🐟'.repeat(6)), true, [2, 4, 5, 8]),
    message(Buffer.alloc(0), false, [0, 0]),
  ];
  const [first, ...others] = parts[1].frames;
  const frames = parts.flatMap((part, i) => (i === 1 ? [first, ping, ...others] : part.frames));
  const events = parts.map(({ event }) => event);
  events.splice(1, 0, { type: 'ping', data: Buffer.from('between') });
  return { frames, events };
}

describe('compressed messages mean what the plain ones mean', () => {
  for (const context of [
    TAKEOVER,
    NO_TAKEOVER,
    { takeover: true, windowBits: 8 },
    { takeover: true, windowBits: 10 },
  ]) {
    for (const [what, treatments] of [
      ['every message', [USUAL]],
      ['every other one', [PLAIN, USUAL]],
      ['BFINAL set', [{ ...USUAL, final: true }]],
      ['several blocks each', [{ ...USUAL, pieces: 3 }]],
      ['BFINAL set several times', [{ ...USUAL, final: true, pieces: 3 }]],
      ['stored', [{ ...USUAL, level: 0 }]],
      ['fixed codes', [{ ...USUAL, strategy: constants.Z_FIXED }]],
    ] as const) {
      const { takeover, windowBits } = context;
      const how = `${takeover ? 'with' : 'without'} context takeover, ${windowBits} bits`;
      test(`RFC 7692 §7.2.2: ${what}, ${how}: cut at every place, and byte by byte`, () => {
        const rest = { way: 'read', slabs: 'free' } as const;
        const whole = compressedScenario(conversation(), treatments, context, {
          ...rest,
          how: 'all at once',
        });
        for (const way of ['read', 'feed'] as const) {
          for (const slabs of ['free', 'taken'] as const) {
            compare({ ...whole, way, slabs });
            compare({ ...whole, way, slabs, how: 'one byte at a time' });
            for (let offset = 0; offset < whole.stream.bytes.length; offset++) {
              compare({ ...whole, way, slabs, how: [{ frame: undefined, offset }] });
            }
          }
        }
      });
    }
  }

  test('RFC 7692 §7: any messages, any of them compressed in any way, in any pieces', () => {
    fc.assert(fc.property(compressed(), compare), { numRuns: 1_000 });
  });

  test('RFC 7692 §7: large messages', () => {
    fc.assert(fc.property(compressed({ large: true, maxActs: 3 }), compare), { numRuns: 150 });
  });

  test('RFC 7692 §7.1.1: each connection has its own context, when several are read in turns', () => {
    const several = fc.array(compressed(), { minLength: 2, maxLength: 4 });
    fc.assert(fc.property(several, compareInTurns), { numRuns: 150 });
    const large = fc.array(compressed({ large: true, maxActs: 2 }), { minLength: 2, maxLength: 3 });
    fc.assert(fc.property(large, compareInTurns), { numRuns: 30 });
  });

  test('lease rule 3: what waits while delivery is paused is inflated when it is delivered, in order', async () => {
    await fc.assert(fc.asyncProperty(compressed(), flow, compareWithPauses), { numRuns: 300 });
    const large = compressed({ large: true, maxActs: 3 });
    await fc.assert(fc.asyncProperty(large, flow, compareWithPauses), { numRuns: 60 });
  });

  test('lease rule 6: after stop() in a callback nothing is delivered, and nothing is kept', () => {
    fc.assert(fc.property(compressed(), fc.nat(3), compareStopped), { numRuns: 300 });
  });

  test('RFC 7692 §7.1.1: 3 MiB of messages, every one with reference to earlier ones', () => {
    const messages = Array.from({ length: 3_000 }, (_, i) => {
      const data = Buffer.from(
        JSON.stringify({ n: i, quotes: Array.from({ length: 15 }, (_, j) => QUOTE + ((i * j) % 91)) }),
      );
      return message(data, true, i % 50 === 0 ? [100, 700] : []);
    });
    const stream = {
      frames: messages.flatMap(({ frames }) => frames),
      events: messages.map(({ event }) => event),
    };
    for (const context of [TAKEOVER, NO_TAKEOVER]) {
      const rest = { how: 'all at once', way: 'read', slabs: 'free' } as const;
      compare(compressedScenario(stream, [{ ...USUAL, level: 1 }], context, rest));
    }
  });
});

// ----------------------------------------------------------------------------------------------- what is wrong

interface Told {
  messages: number;
  errors: ProtocolError[];
}

const codec = new Codec();
const EVENTS: ReceiverEvents<Told> = {
  answerPing: () => {},
  onPing: () => {},
  onPong: () => {},
  onClose: () => {},
  onError: ({ errors }, error) => void errors.push(error),
  onBlocked: () => {},
  onCaughtUp: () => {},
};

/** What a connection tells of these bytes, which come in reads of `readSize`. */
function told(
  bytes: Uint8Array,
  { maxMessageSize = 2 ** 26, readSize = 65_536, context = TAKEOVER } = {},
): Told {
  const result: Told = { messages: 0, errors: [] };
  const { available } = codec.windows;
  const inflation = { ...context, window: codec.windows.take() };
  const receiver = new Receiver<Told>(codec, result, EVENTS, { maxMessageSize }, undefined, inflation);
  receiver.listen(() => void result.messages++);
  for (let at = 0; at < bytes.length; at += readSize) {
    receiver.readTarget().set(bytes.subarray(at, at + readSize));
    receiver.received(Math.min(readSize, bytes.length - at), 1);
  }
  receiver.stop();
  receiver.stop();
  assert.equal(codec.windows.available, available, 'the window is given back, once');
  return result;
}

const compressedFrame = (payload: Uint8Array, rest: Partial<Frame> = {}): Buffer =>
  encodeFrame({ opcode: 1, rsv1: true, payload, ...rest });

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('RFC 7692 §6: RSV1', () => {
  const hello = hex('f248cdc9c90700');
  const wrong: [string, Buffer][] = [
    ['on a Ping', encodeFrame({ opcode: 9, rsv1: true })],
    ['on a Pong', encodeFrame({ opcode: 10, rsv1: true })],
    ['on a Close frame', encodeFrame({ opcode: 8, rsv1: true })],
    [
      'on a continuation of a compressed message',
      Buffer.concat([
        compressedFrame(hello.subarray(0, 3), { fin: false }),
        encodeFrame({ opcode: 0, rsv1: true, payload: hello.subarray(3) }),
      ]),
    ],
    [
      'on a continuation of a plain message',
      Buffer.concat([
        encodeFrame({ opcode: 1, fin: false, payload: Buffer.from('a') }),
        encodeFrame({ opcode: 0, rsv1: true, payload: hello }),
      ]),
    ],
    ['with RSV2', compressedFrame(hello, { rsv2: true })],
    ['with RSV3', compressedFrame(hello, { rsv3: true })],
  ];
  for (const [where, bytes] of wrong) {
    test(`${where} is refused with 1002`, () => {
      const { errors } = told(bytes);
      assert.deepEqual(
        errors.map(({ code, closeCode }) => [code, closeCode]),
        [['ERR_RESERVED_BITS', 1002]],
      );
    });
  }

  test('is refused where nothing was negotiated', () => {
    const result: Told = { messages: 0, errors: [] };
    const receiver = new Receiver<Told>(codec, result, EVENTS, { maxMessageSize: 100 });
    receiver.listen(() => void result.messages++);
    receiver.feed(compressedFrame(hello), 1);
    assert.deepEqual(
      result.errors.map(({ code }) => code),
      ['ERR_RESERVED_BITS'],
    );
    assert.equal(result.messages, 0);
  });

  // The octets of §7.2.3.1 to §7.2.3.6.
  for (const [what, payload] of [
    ['one compressed block', 'f248cdc9c90700'],
    ['a stored block', '000500faff48656c6c6f00'],
    ['a block with BFINAL set', 'f348cdc9c9070000'],
    ['two blocks', 'f248050000 00ffff cac9c90700'],
    ['an empty message', '00'],
    ['an empty message of no octets at all', ''],
  ]) {
    test(`§7.2.3: ${what}`, () => {
      assert.deepEqual(told(compressedFrame(hex(payload))), { messages: 1, errors: [] });
    });
  }

  test('§7.2.3.2: the second of two equal messages refers to the first, which needs context takeover', () => {
    const twice = Buffer.concat([compressedFrame(hello), compressedFrame(hex('f200110000'))]);
    assert.deepEqual(told(twice), { messages: 2, errors: [] });
    const { messages, errors } = told(twice, { context: NO_TAKEOVER });
    assert.equal(messages, 1);
    assert.deepEqual(
      errors.map(({ code }) => code),
      ['ERR_COMPRESSED_DATA'],
    );
  });
});

describe('RFC 7692 §7.2.2: data that cannot be inflated', () => {
  const long = pseudoRandomText(200_000, 1);
  const stored = new Compressor(TAKEOVER).compress(long, { ...USUAL, level: 0 });
  const wrong: [string, Uint8Array][] = [
    ['a reserved block type', hex('06')],
    ['a stored block whose length is not confirmed', hex('000500fafe48656c6c6f00')],
    ['a distance that reaches before the first byte', hex('f200110000')],
    ['a block that does not end', hex('f248cdc9')],
    ['octets behind a final block that are no block', hex('f348cdc9c9070006')],
    [
      'a wrong byte behind 150 000 right ones',
      Buffer.concat([stored.subarray(0, 150_000), Buffer.alloc(60_000, 6)]),
    ],
  ];
  for (const [what, payload] of wrong) {
    test(`${what}: 1007, and the messages before it are delivered`, () => {
      const before = compressedFrame(Buffer.of(0));
      for (const readSize of [65_536, 1_000, 7]) {
        const bytes = Buffer.concat([before, compressedFrame(payload), before]);
        const { messages, errors } = told(bytes, { readSize });
        assert.deepEqual([messages, errors.length], [1, 1]);
        const [{ code, closeCode, section, message: text }] = errors;
        assert.deepEqual([code, closeCode, section], ['ERR_COMPRESSED_DATA', 1007, '7.2.2']);
        assert.match(text, /RFC 7692 §7\.2\.2/);
      }
      const inFragments = Buffer.concat([
        compressedFrame(payload.subarray(0, 1), { fin: false }),
        encodeFrame({ opcode: 9 }),
        encodeFrame({ opcode: 0, payload: payload.subarray(1) }),
        before,
      ]);
      const { messages, errors } = told(inFragments);
      assert.deepEqual([messages, errors.map(({ code }) => code)], [0, ['ERR_COMPRESSED_DATA']]);
    });
  }

  test('a wrong byte in a frame longer than 32 KiB fails the connection before the frame is complete', () => {
    const header = encodeFrame({
      opcode: 2,
      rsv1: true,
      declaredLength: 10_000_000,
      payload: Buffer.alloc(0),
    });
    const { errors } = told(Buffer.concat([header, Buffer.alloc(100_000, 6)]));
    assert.deepEqual(
      errors.map(({ code }) => code),
      ['ERR_COMPRESSED_DATA'],
    );
  });

  test('RFC 6455 §8.1: text is validated after inflating', () => {
    const compress = (data: Buffer) => new Compressor(TAKEOVER).compress(data, USUAL);
    const invalid = [
      Buffer.concat([Buffer.from('a'), hex('c328')]),
      hex('e282'),
      Buffer.concat([pseudoRandomText(70_000, 1), hex('ff'), pseudoRandomText(70_000, 2)]),
      Buffer.concat([pseudoRandomText(140_000, 1), hex('f09f98')]),
    ];
    for (const data of invalid) {
      for (const readSize of [65_536, 5_000]) {
        const payload = compress(data);
        const whole = told(compressedFrame(payload), { readSize });
        assert.deepEqual(
          whole.errors.map(({ code, closeCode }) => [code, closeCode]),
          [['ERR_INVALID_UTF8', 1007]],
        );
        const binary = told(compressedFrame(payload, { opcode: 2 }), { readSize });
        assert.deepEqual(binary, { messages: 1, errors: [] });
      }
    }
  });

  test('spoilt streams: what zlib inflates is delivered as it is, and the rest ends the connection', () => {
    const spoilt = fc.record({ at: fc.nat(), bits: fc.integer({ min: 1, max: 255 }), isText: fc.boolean() });
    fc.assert(
      fc.property(compressed({ maxActs: 4 }), spoilt, (scenario, { at, bits }) => {
        const bytes = Buffer.from(scenario.stream.bytes);
        if (bytes.length === 0) return;
        bytes[at % bytes.length] ^= bits;
        const { takeover, windowBits } = scenario.compression!;
        const results = [65_536, 1 + (at % 50)].map((readSize) =>
          told(bytes, { context: { takeover, windowBits }, readSize }),
        );
        assert.deepEqual(results[0].messages, results[1].messages);
        assert.deepEqual(
          results[0].errors.map(({ code }) => code),
          results[1].errors.map(({ code }) => code),
        );
      }),
      { numRuns: 1_500 },
    );
  });
});

describe('RFC 6455 §10.4: maxMessageSize counts what has been inflated', () => {
  const bomb = deflateRawSync(Buffer.alloc(64 * 2 ** 20), {
    level: 9,
    finishFlush: constants.Z_SYNC_FLUSH,
  }).subarray(0, -4);

  for (const readSize of [65_536, 4_000]) {
    test(`64 MiB out of ${bomb.length} bytes, in reads of ${readSize}: 1009, and memory stays within the limit`, () => {
      const before = process.memoryUsage().arrayBuffers;
      for (const maxMessageSize of [0, 1, 1_000, 65_536, 2 ** 20]) {
        const { messages, errors } = told(compressedFrame(bomb, { opcode: 2 }), { maxMessageSize, readSize });
        assert.equal(messages, 0);
        assert.deepEqual(
          errors.map(({ code, closeCode }) => [code, closeCode]),
          [['ERR_MESSAGE_TOO_LARGE', 1009]],
        );
      }
      const grown = process.memoryUsage().arrayBuffers - before;
      assert.ok(grown < 16 * 2 ** 20, `${grown} bytes more`);
    });
  }

  test('exactly the limit is delivered, whatever its compressed form is; one byte more is not', () => {
    for (const length of [0, 1, 2, 100, 1_000, 32_768, 65_536, 65_537, 200_000]) {
      for (const level of [0, 6]) {
        const compress = (bytes: number) =>
          new Compressor(TAKEOVER).compress(pseudoRandomBytes(bytes, 1), { ...USUAL, level });
        // Random bytes grow when they are compressed: it is not the frame's length that counts.
        const right = told(compressedFrame(compress(length), { opcode: 2 }), { maxMessageSize: length });
        assert.deepEqual(right, { messages: 1, errors: [] }, `${length} bytes`);
        const wrong = told(compressedFrame(compress(length + 1), { opcode: 2 }), { maxMessageSize: length });
        assert.deepEqual(
          [wrong.messages, wrong.errors.map(({ code }) => code)],
          [0, ['ERR_MESSAGE_TOO_LARGE']],
        );
      }
    }
  });

  test('over all fragments, and uncompressed messages beside them as ever', () => {
    const payload = new Compressor(TAKEOVER).compress(Buffer.alloc(1_000, 'a'), USUAL);
    const frames: Frame[] = [
      { opcode: 2, payload: Buffer.alloc(1_000) },
      { opcode: 2, rsv1: true, fin: false, payload: payload.subarray(0, 3) },
      { opcode: 0, payload: payload.subarray(3) },
      { opcode: 2, fin: false, payload: Buffer.alloc(600) },
      { opcode: 0, payload: Buffer.alloc(401) },
    ];
    const { bytes } = encodeStream(frames);
    const result = told(bytes, { maxMessageSize: 1_000 });
    assert.deepEqual(
      [result.messages, result.errors.map(({ code }) => code)],
      [2, ['ERR_MESSAGE_TOO_LARGE']],
    );
  });

  test('frames that inflate to nothing cost no memory, however many they are', () => {
    const empty = encodeFrame({ opcode: 0, fin: false, payload: hex('000000ffff'.repeat(2_000)) });
    const first = compressedFrame(Buffer.alloc(0), { opcode: 2, fin: false });
    const bytes = Buffer.concat([
      first,
      ...Array(200).fill(empty),
      encodeFrame({ opcode: 0, payload: Buffer.of(0) }),
    ]);
    const before = process.memoryUsage().arrayBuffers;
    assert.deepEqual(told(bytes, { maxMessageSize: 10 }), { messages: 1, errors: [] });
    const grown = process.memoryUsage().arrayBuffers - before;
    assert.ok(grown < 4 * 2 ** 20, `${grown} bytes more`);
  });
});

describe('memory', () => {
  for (const context of [TAKEOVER, NO_TAKEOVER]) {
    const how = context.takeover ? 'with' : 'without';
    test(`receiving compressed messages ${how} context takeover allocates nothing for each`, async () => {
      const compressor = new Compressor(NO_TAKEOVER);
      const frames = Array.from({ length: 300 }, (_, i) =>
        compressedFrame(
          compressor.compress(Buffer.from(QUOTE.replace('123', `${i}`).repeat(1 + (i % 9))), USUAL),
        ),
      );
      const read = Buffer.concat(frames);
      assert.ok(read.length < READ_SIZE, 'one read');
      const inflation = { ...context, window: codec.windows.take() };
      const result: Told = { messages: 0, errors: [] };
      const receiver = new Receiver<Told>(
        codec,
        result,
        EVENTS,
        { maxMessageSize: 10_000 },
        undefined,
        inflation,
      );
      let sum = 0;
      receiver.listen((message, owner) => {
        owner.messages++;
        sum += message.buffer[message.byteOffset + message.byteLength - 1];
      });
      const receive = (messages: number): void => {
        const { scratch } = codec;
        for (const until = result.messages + messages; result.messages < until; ) {
          receiver.readTarget();
          scratch.set(read);
          receiver.received(read.length, 1);
        }
      };
      receive(60_000);
      let collections = 0;
      const observer = new PerformanceObserver((list) => {
        collections += list.getEntries().length;
      });
      await setImmediate();
      observer.observe({ entryTypes: ['gc'] });
      const before = process.memoryUsage().heapUsed;
      receive(120_000);
      const grown = process.memoryUsage().heapUsed - before;
      // Collections are reported some turns after they happened.
      for (let turn = 0; turn < 5; turn++) await setImmediate();
      observer.disconnect();
      receiver.stop();
      assert.ok(sum > 0, 'read');
      // The smallest object has 12 bytes: one for each message would be 1.4 MB, or have been collected.
      assert.ok(grown < 1_000_000, `${grown} bytes`);
      assert.ok(collections <= 1, `${collections} collections`);
      assert.deepEqual(result.errors, []);
    });
  }
});
