/**
 * What the sender writes, RFC 6455 §5: masking keys are random, so a frame is compared without its key, header
 * as hex and payload unmasked.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Codec } from '../../src/codec/codec.js';
import { SEND_BLOCK_SIZE } from '../../src/codec/layout.js';
import { Opcode } from '../../src/protocol/opcode.js';
import { type Outlet, Sender } from '../../src/protocol/sender.js';
import { bytes, payloadLength, pseudoRandomBytes } from '../arbitraries/payload.js';
import { decodeHeader, encodeFrame } from '../reference/frame.js';
import { mask } from '../reference/mask.js';

/** How the outlet treats blocks, and whether there are any to lease. */
type Conditions = 'written at once' | 'kept back' | 'no block free';
const CONDITIONS: readonly Conditions[] = ['written at once', 'kept back', 'no block free'];

const codecs: Record<Conditions, Codec> = {
  'written at once': new Codec(),
  'kept back': new Codec(),
  'no block free': new Codec(),
};
while (codecs['no block free'].sendBlocks.take() !== 0);

/** Takes what a sender writes, and spoils a block as soon as it may be used again. */
class Wire implements Outlet {
  readonly codec: Codec;
  readonly sender: Sender;
  readonly writes: Buffer[] = [];
  readonly #keepsBack: boolean;
  readonly #kept: { block: number; bytes: Buffer }[] = [];

  constructor(conditions: Conditions) {
    this.codec = codecs[conditions];
    this.#keepsBack = conditions === 'kept back';
    this.sender = new Sender(this.codec, this);
  }

  write(block: number, length: number): boolean {
    const bytes = Buffer.from(this.codec.memory.subarray(block, block + length));
    this.writes.push(bytes);
    // A socket lets go of its oldest write first, and keeps at most a few.
    if (this.#kept.length === 3) this.#giveBack();
    if (this.#keepsBack) {
      this.#kept.push({ block, bytes });
      return false;
    }
    this.codec.memory.fill(0xee, block, block + length);
    return true;
  }

  /** Everything written, flushed first; blocks that were kept back hold what they held, and all are free again. */
  get bytes(): Buffer {
    this.sender.flush();
    this.sender.release();
    while (this.#kept.length > 0) this.#giveBack();
    return Buffer.concat(this.writes);
  }

  #giveBack(): void {
    const { block, bytes } = this.#kept.shift()!;
    const now = this.codec.memory.subarray(block, block + bytes.length);
    assert.ok(now.equals(bytes), 'a block changed before it had left');
    this.codec.memory.fill(0xee, block, block + bytes.length);
    this.codec.sendBlocks.give(block);
  }
}

interface Sent {
  /** In hex, without the masking key. */
  header: string;
  firstByte: number;
  key: readonly number[];
  payload: Buffer;
  /** The frame as it stands on the wire. */
  wire: Buffer;
}

/** Nothing but whole, masked frames with the shortest header. */
function framesOf(wire: Buffer): Sent[] {
  const frames: Sent[] = [];
  for (let at = 0; at < wire.length; ) {
    const header = decodeHeader(wire, at);
    assert.ok(header !== undefined, `an incomplete header at ${at} of ${wire.length}`);
    const { maskingKey, headerLength, payloadLength } = header;
    assert.ok(maskingKey !== undefined, 'RFC 6455 §5.1: a client masks every frame');
    const end = at + headerLength + Number(payloadLength);
    assert.ok(end <= wire.length, 'an incomplete frame');
    const frame = wire.subarray(at, end);
    const payload = Buffer.from(mask(frame.subarray(headerLength), maskingKey, 0));
    const { fin, opcode } = header;
    assert.ok(frame.equals(encodeFrame({ fin, opcode, maskingKey, payload })), 'RFC 6455 §5.2: minimal form');
    frames.push({
      header: frame.toString('hex', 0, headerLength - 4),
      firstByte: frame[0],
      key: maskingKey,
      payload,
      wire: frame,
    });
    at = end;
  }
  return frames;
}

/** What `compose` sends, as one string a frame: the header, a space, the payload. */
function sent(compose: (sender: Sender) => void, conditions: Conditions = 'written at once'): string[] {
  const wire = new Wire(conditions);
  compose(wire.sender);
  return framesOf(wire.bytes).map(({ header, payload }) => `${header} ${payload.toString('hex')}`.trim());
}

/** The only frame that `compose` sends. */
function frame(compose: (sender: Sender) => void, conditions: Conditions = 'written at once'): Sent {
  const wire = new Wire(conditions);
  compose(wire.sender);
  const frames = framesOf(wire.bytes);
  assert.equal(frames.length, 1);
  return frames[0];
}

const HEADERS: readonly (readonly [length: number, header: string])[] = [
  [0, '80'],
  [1, '81'],
  [125, 'fd'],
  [126, 'fe007e'],
  [127, 'fe007f'],
  [65_535, 'feffff'],
  [65_536, 'ff0000000000010000'],
];

describe('a message in one frame', () => {
  for (const [length, header] of HEADERS) {
    test(`RFC 6455 §5.2: ${length} bytes, binary and text`, () => {
      const payload = pseudoRandomBytes(length, length);
      const text = 'x'.repeat(length);
      for (const conditions of CONDITIONS) {
        const binary = frame((sender) => sender.message(payload, false, true), conditions);
        assert.equal(binary.header, `82${header}`);
        assert.ok(binary.payload.equals(payload));
        const ascii = frame((sender) => sender.message(text, true, true), conditions);
        assert.equal(ascii.header, `81${header}`);
        assert.equal(ascii.payload.toString('latin1'), text);
      }
    });
  }

  test('RFC 6455 §5.6: bytes as a text message', () => {
    assert.deepEqual(
      sent((sender) => sender.message(Buffer.from('é'), true, true)),
      ['8182 c3a9'],
    );
  });

  for (const [unit, size] of [
    ['é', 2],
    ['€', 3],
    ['😀', 4],
  ] as const) {
    test(`RFC 6455 §5.2: 0 to 130 times ${unit}, where characters and bytes need headers of other sizes`, () => {
      for (let count = 0; count <= 130; count++) {
        for (const ascii of ['', 'x'.repeat(25)]) {
          const text = ascii + unit.repeat(count);
          const { header, payload } = frame((sender) => sender.message(text, true, true));
          const length = ascii.length + count * size;
          const expected =
            length < 126 ? (0x80 | length).toString(16) : `fe${length.toString(16).padStart(4, '0')}`;
          assert.equal(header, `81${expected}`);
          assert.equal(payload.toString(), text);
        }
      }
    });
  }

  test('RFC 6455 §5.2: text that barely fits into a block, and text that does not', () => {
    // 3 bytes a UTF-16 code unit and a header of 14 are reserved.
    const most = Math.floor((SEND_BLOCK_SIZE - 14) / 3);
    for (const unit of ['x', 'é', '€']) {
      for (const count of [most - 1, most, most + 1, 32_767, 32_768, 65_535, 65_536, 70_000]) {
        const text = unit.repeat(count);
        for (const conditions of CONDITIONS) {
          const { payload } = frame((sender) => sender.message(text, true, true), conditions);
          assert.ok(payload.equals(Buffer.from(text)), `${count} times ${unit}`);
        }
      }
    }
  });

  test('RFC 6455 §8.1: a lone surrogate is sent as U+FFFD, EF BF BD', () => {
    const lone: [text: string, payload: string][] = [
      ['\ud83d', 'efbfbd'],
      ['\ude00', 'efbfbd'],
      ['\ude00\ud83d', 'efbfbdefbfbd'],
      ['a\udc00b', '61efbfbd62'],
      ['\ud83d\ud83d\ude00', 'efbfbdf09f9880'],
    ];
    for (const [text, payload] of lone) {
      assert.equal(frame((sender) => sender.message(text, true, true)).payload.toString('hex'), payload);
      // Behind so much ASCII that each way of encoding gets its turn.
      for (const length of [23, 24, 25, 125, 21_000, 30_000, 70_000]) {
        const ascii = 'x'.repeat(length);
        const long = frame((sender) => sender.message(ascii + text, true, true)).payload;
        assert.equal(long.toString('hex', length), payload, `behind ${length} characters`);
      }
    }
  });

  test('RFC 6455 §5.6: U+0000, U+007F, U+0080, a BOM and non-characters are sent as they are', () => {
    const { payload } = frame((sender) => sender.message('\0\x7f\x80\ufeff\uffff', true, true));
    assert.equal(payload.toString('hex'), '007fc280efbbbfefbfbf');
  });
});

describe('a frame larger than a block', () => {
  const LENGTHS = [65_521, 65_522, 65_523, 65_536, 131_058, 131_072, 131_073, 200_001, 1_000_003];

  test('RFC 6455 §5.3: is one frame with one key, masked in the right phase in every piece', () => {
    for (const conditions of CONDITIONS) {
      for (const length of LENGTHS) {
        const payload = pseudoRandomBytes(length, length);
        // What stands in the block before it shifts where pieces begin.
        for (const before of [0, 1, 2, 3, 30_000, 65_516, 65_520]) {
          const wire = new Wire(conditions);
          wire.sender.message(payload.subarray(0, before), false, true);
          wire.sender.message(payload, false, true);
          wire.sender.message('behind', true, true);
          const frames = framesOf(wire.bytes);
          assert.equal(frames.length, 3);
          assert.ok(frames[1].payload.equals(payload), `${length} bytes behind ${before}, ${conditions}`);
          assert.equal(frames[2].payload.toString(), 'behind');
        }
      }
    }
  });

  test('leaves in pieces of at most a block', () => {
    const wire = new Wire('written at once');
    wire.sender.message(Buffer.alloc(300_000), false, true);
    const { length } = wire.bytes;
    assert.equal(length, 300_014);
    assert.ok(wire.writes.every((write) => write.length <= SEND_BLOCK_SIZE));
    assert.equal(wire.writes.length, Math.ceil(length / SEND_BLOCK_SIZE));
  });

  test('RFC 6455 §5.4: may be a fragment', () => {
    const large = pseudoRandomBytes(100_000, 1);
    const wire = new Wire('written at once');
    wire.sender.message(large, false, false);
    wire.sender.message(large, false, false);
    wire.sender.message('', false, true);
    const frames = framesOf(wire.bytes);
    assert.deepEqual(
      frames.map(({ header }) => header),
      ['02ff00000000000186a0', '00ff00000000000186a0', '8080'],
    );
    assert.ok(frames[1].payload.equals(large));
  });
});

describe('a message in fragments', () => {
  test('RFC 6455 §5.4: the first frame has the opcode, the others continue it, the last has FIN', () => {
    assert.deepEqual(
      sent((sender) => {
        sender.message('a', true, false);
        sender.message('', true, false);
        sender.message('é', true, false);
        sender.message('z', true, true);
        sender.message(Buffer.of(1), false, false);
        sender.message(Buffer.of(2), false, true);
        sender.message('whole', true, true);
      }),
      ['0181 61', '0080', '0082 c3a9', '8081 7a', '0281 01', '8081 02', '8185 77686f6c65'],
    );
  });

  test('RFC 6455 §5.4: control frames may stand between the fragments', () => {
    assert.deepEqual(
      sent((sender) => {
        sender.message('a', true, false);
        sender.control(Opcode.ping, Buffer.of(0xff));
        sender.control(Opcode.pong, Buffer.alloc(0));
        sender.message('b', true, true);
        sender.message(Buffer.of(1), false, false);
        sender.control(Opcode.close, Buffer.of(3, 0xe8));
      }),
      ['0181 61', '8981 ff', '8a80', '8081 62', '0281 01', '8882 03e8'],
    );
  });

  test('RFC 6455 §5.4: another type within a message is refused, nothing is sent, and the message can go on', () => {
    for (const isText of [true, false]) {
      const frames = sent((sender) => {
        sender.message('a', isText, false);
        for (const fin of [true, false]) {
          assert.throws(() => sender.message('b', !isText, fin), {
            name: 'UsageError',
            code: 'ERR_FRAGMENT_TYPE',
          });
        }
        sender.message('c', isText, true);
        sender.message('d', !isText, true);
      });
      assert.deepEqual(
        frames.map((each) => each.slice(0, 2)),
        isText ? ['01', '80', '82'] : ['02', '80', '81'],
      );
    }
  });
});

describe('control frames', () => {
  test('RFC 6455 §5.5: 0 to 125 bytes of payload', () => {
    for (const [opcode, firstByte] of [
      [Opcode.close, '88'],
      [Opcode.ping, '89'],
      [Opcode.pong, '8a'],
    ] as const) {
      for (let length = 0; length <= 125; length++) {
        const payload = pseudoRandomBytes(length, length);
        const one = frame((sender) => sender.control(opcode, payload));
        assert.equal(one.header, firstByte + (0x80 | length).toString(16));
        assert.ok(one.payload.equals(payload));
      }
    }
  });
});

describe('what gathers in a block', () => {
  test('leaves when it is flushed, in one write', () => {
    const wire = new Wire('written at once');
    for (let i = 0; i < 100; i++) wire.sender.message(`message ${i}`, true, true);
    assert.equal(wire.writes.length, 0);
    const { unflushed } = wire.sender;
    wire.sender.flush();
    assert.equal(wire.sender.unflushed, 0);
    assert.deepEqual(
      wire.writes.map(({ length }) => length),
      [unflushed],
    );
    wire.sender.flush();
    assert.equal(wire.writes.length, 1, 'nothing is written when nothing has gathered');
    assert.deepEqual(
      framesOf(wire.bytes).map(({ payload }) => payload.toString()),
      Array.from({ length: 100 }, (_, i) => `message ${i}`),
    );
  });

  test('leaves when the next frame has no room, whole frames only', () => {
    const wire = new Wire('written at once');
    for (let i = 0; i < 20; i++) wire.sender.message(pseudoRandomBytes(10_000, i), false, true);
    wire.sender.flush();
    assert.ok(wire.writes.length > 1);
    for (const write of wire.writes) assert.ok(framesOf(write).length > 0);
    assert.equal(framesOf(wire.bytes).length, 20);
  });

  test('leaves at once when all blocks are leased: the staging block is everybody’s', () => {
    const [one, other] = [new Wire('no block free'), new Wire('no block free')];
    for (let i = 0; i < 10; i++) {
      one.sender.message(`one ${i}`, true, true);
      assert.equal(one.sender.unflushed, 0);
      other.sender.message(pseudoRandomBytes(70_000, i), false, true);
      assert.equal(other.sender.unflushed, 0);
    }
    assert.deepEqual(
      framesOf(one.bytes).map(({ payload }) => payload.toString()),
      Array.from({ length: 10 }, (_, i) => `one ${i}`),
    );
    for (const [i, { payload }] of framesOf(other.bytes).entries()) {
      assert.ok(payload.equals(pseudoRandomBytes(70_000, i)));
    }
  });

  test('a released sender leases no block, whatever the outlet did with it', () => {
    for (const conditions of CONDITIONS) {
      const wire = new Wire(conditions);
      const { available } = wire.codec.sendBlocks;
      assert.ok(available > 0 === (conditions !== 'no block free'));
      for (const length of [0, 10, 70_000, 200_000]) {
        wire.sender.message(Buffer.alloc(length), false, true);
        wire.sender.flush();
        wire.sender.release();
      }
      assert.ok(wire.bytes.length > 270_000);
      assert.equal(wire.codec.sendBlocks.available, available, conditions);
    }
  });
});

describe('masking keys', () => {
  const KEYS = 10_000;
  const wire = new Wire('written at once');
  const plain = Buffer.from('The quick brown fox jumps over the lazy dog');
  for (let i = 0; i < KEYS; i++) wire.sender.message(plain, false, true);
  const frames = framesOf(wire.bytes);
  const keys = frames.map(({ key }) => Buffer.from(key).readUInt32BE());

  test('RFC 6455 §5.3: each frame has a fresh one', () => {
    // Of 10 000 random keys of 32 bits two meet in 1 run of 86, three pairs in 1 of 3.8 million.
    const distinct = new Set(keys).size;
    assert.ok(distinct >= KEYS - 2, `${KEYS - distinct} keys came twice`);
  });

  test('RFC 6455 §10.3: they are not predictable: every bit, and every bit against the key before', () => {
    // Six standard deviations of 10 000 coin tosses: 1 run in 8 million leaves them for any of 64 counts.
    const [least, most] = [KEYS / 2 - 300, KEYS / 2 + 300];
    for (let bit = 0; bit < 32; bit++) {
      const set = keys.filter((key) => (key >>> bit) & 1).length;
      assert.ok(set > least && set < most, `bit ${bit} is set in ${set} keys`);
      const flipped = keys.filter((key, i) => ((key ^ (i === 0 ? 0 : keys[i - 1])) >>> bit) & 1).length;
      assert.ok(flipped > least && flipped < most, `bit ${bit} differs from the key before in ${flipped}`);
    }
  });

  test('RFC 6455 §5.1: no payload is sent unmasked', () => {
    for (const { wire: bytes } of frames) assert.equal(bytes.indexOf(plain), -1);
  });
});

describe('any sequence of sends', () => {
  type Send =
    | { type: 'text'; data: string; fin: boolean }
    | { type: 'binary'; data: Buffer; fin: boolean }
    | { type: 'control'; opcode: number; data: Buffer }
    | { type: 'flush'; release: boolean };

  // `unit: 'binary'` may hold lone surrogates.
  const text = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.string({ unit: 'binary', maxLength: 140 }),
    fc.tuple(fc.constantFrom('x', 'é', '€', '😀', '\ud800'), fc.nat(200)).map(([unit, n]) => unit.repeat(n)),
    fc.tuple(fc.constantFrom('x', 'é', '€'), fc.nat(30_000)).map(([unit, n]) => unit.repeat(n)),
  );
  const send: fc.Arbitrary<Send> = fc.oneof(
    fc.record({ type: fc.constant('text' as const), data: text, fin: fc.boolean() }),
    fc.record({
      type: fc.constant('binary' as const),
      data: bytes(payloadLength({ large: true })),
      fin: fc.boolean(),
    }),
    fc.record({
      type: fc.constant('control' as const),
      opcode: fc.constantFrom(Opcode.ping, Opcode.pong),
      data: bytes(fc.integer({ min: 0, max: 125 })),
    }),
    fc.record({ type: fc.constant('flush' as const), release: fc.boolean() }),
  );

  test('RFC 6455 §5: decodes to the same messages, control frames in their places', () => {
    fc.assert(
      fc.property(fc.array(send, { maxLength: 20 }), fc.constantFrom(...CONDITIONS), (sends, conditions) => {
        const wire = new Wire(conditions);
        const { available } = wire.codec.sendBlocks;
        const expected: { firstByte: number; payload: Buffer }[] = [];
        let unfinished: 'text' | 'binary' | undefined;
        for (const one of sends) {
          if (one.type === 'flush') {
            wire.sender.flush();
            if (one.release) wire.sender.release();
          } else if (one.type === 'control') {
            wire.sender.control(one.opcode, one.data);
            expected.push({ firstByte: 0x80 | one.opcode, payload: one.data });
          } else if (unfinished === undefined || unfinished === one.type) {
            const isText = one.type === 'text';
            wire.sender.message(one.data, isText, one.fin);
            const opcode = unfinished ? Opcode.continuation : isText ? Opcode.text : Opcode.binary;
            expected.push({ firstByte: (one.fin ? 0x80 : 0) | opcode, payload: Buffer.from(one.data) });
            unfinished = one.fin ? undefined : one.type;
          } else {
            assert.throws(() => wire.sender.message(one.data, one.type === 'text', one.fin), {
              code: 'ERR_FRAGMENT_TYPE',
            });
          }
        }
        const frames = framesOf(wire.bytes);
        assert.equal(frames.length, expected.length);
        for (const [i, { firstByte, payload }] of expected.entries()) {
          assert.equal(frames[i].firstByte, firstByte);
          assert.ok(frames[i].payload.equals(payload), `payload of frame ${i}`);
        }
        assert.equal(wire.codec.sendBlocks.available, available, 'blocks given back');
      }),
      // Long messages take long to shrink.
      { numRuns: 150, interruptAfterTimeLimit: 10_000 },
    );
  });
});
