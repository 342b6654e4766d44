/** The sender and compressed messages, RFC 7692 §6.1 and §7.2.1: which frames there are, and what they hold. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { constants, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { Codec } from '../../src/codec/codec.js';
import { Opcode } from '../../src/protocol/opcode.js';
import { type Outlet, Sender } from '../../src/protocol/sender.js';
import { CONTENTS, type Content } from '../arbitraries/deflate.js';
import { decodeHeader } from '../reference/frame.js';
import { mask } from '../reference/mask.js';

const codec = new Codec();
const TAIL = Buffer.of(0, 0, 0xff, 0xff);
const JSON_TEXT = CONTENTS.json(3_000, 1).toString();

interface Sent {
  fin: boolean;
  rsv1: boolean;
  opcode: number;
  payload: Buffer;
}

/** A sender, and the frames that it has written. */
class Wire implements Outlet {
  readonly sender: Sender;
  readonly #writes: Buffer[] = [];

  constructor(takeover = true, windowBits = 15) {
    this.sender = new Sender(codec, this, { deflation: { takeover, windowBits } });
  }

  write(block: number, length: number): boolean {
    this.#writes.push(Buffer.from(codec.memory.subarray(block, block + length)));
    codec.memory.fill(0xee, block, block + length);
    return true;
  }

  get frames(): Sent[] {
    this.sender.flush();
    const wire = Buffer.concat(this.#writes);
    const frames: Sent[] = [];
    for (let at = 0; at < wire.length; ) {
      const header = decodeHeader(wire, at);
      assert.ok(header?.maskingKey !== undefined, 'a whole header, masked');
      assert.ok(!header.rsv2 && !header.rsv3, 'RSV2 and RSV3 mean nothing');
      const start = at + header.headerLength;
      at = start + Number(header.payloadLength);
      const payload = Buffer.from(mask(wire.subarray(start, at), header.maskingKey, 0));
      frames.push({ fin: header.fin, rsv1: header.rsv1, opcode: header.opcode, payload });
    }
    return frames;
  }
}

interface Received {
  isText: boolean;
  compressed: boolean;
  data: Buffer;
}

/** The messages in the frames, as a server reads them whose zlib keeps all history, or none. */
function messagesIn(frames: readonly Sent[], takeover: boolean): Received[] {
  const messages: Received[] = [];
  let history = Buffer.alloc(0);
  let pieces: Sent[] = [];
  for (const frame of frames) {
    if (frame.opcode >= 8) {
      assert.equal(frame.rsv1, false, 'RFC 7692 §6.1: no control frame is compressed');
      continue;
    }
    assert.equal(frame.opcode === 0, pieces.length > 0, 'RFC 6455 §5.4');
    assert.ok(!frame.rsv1 || pieces.length === 0, 'RFC 7692 §6.1: RSV1 stands on the first frame only');
    pieces.push(frame);
    if (!frame.fin) continue;
    const [{ rsv1: compressed, opcode }] = pieces;
    let data = Buffer.concat(pieces.map(({ payload }) => payload));
    pieces = [];
    if (compressed) {
      const dictionary = takeover && history.length > 0 ? { dictionary: history } : {};
      data = inflateRawSync(Buffer.concat([data, TAIL]), {
        finishFlush: constants.Z_SYNC_FLUSH,
        ...dictionary,
      });
      history = Buffer.concat([history, data]).subarray(-32_768);
    }
    messages.push({ isText: opcode === 1, compressed, data });
  }
  assert.deepEqual(pieces, [], 'every message is complete');
  return messages;
}

describe('a compressed message', () => {
  test('RFC 7692 §6.1: is one frame with RSV1, and smaller', () => {
    const wire = new Wire();
    wire.sender.message(JSON_TEXT, true, true, true);
    const [frame, ...others] = wire.frames;
    assert.deepEqual(others, []);
    assert.deepEqual([frame.fin, frame.rsv1, frame.opcode], [true, true, 1]);
    assert.ok(frame.payload.length < JSON_TEXT.length / 2, `${frame.payload.length} bytes`);
    assert.notEqual(frame.payload.toString('hex').slice(-8), '0000ffff', '§7.2.1: the tail is left out');
  });

  test('is not, unless it is asked for and was negotiated', () => {
    const wire = new Wire();
    wire.sender.message(JSON_TEXT, true, true, false);
    wire.sender.message(JSON_TEXT, true, true);
    assert.deepEqual(
      wire.frames.map(({ rsv1 }) => rsv1),
      [false, false],
    );
    const writes: Buffer[] = [];
    const sender = new Sender(codec, {
      write: (block) => {
        writes.push(Buffer.of(codec.memory[block]));
        return true;
      },
    });
    sender.message(JSON_TEXT, true, true, true);
    sender.flush();
    assert.deepEqual(writes, [Buffer.of(0x81)]);
  });

  for (const takeover of [true, false]) {
    test(`what does not get smaller is sent as it is, ${takeover ? 'with' : 'without'} takeover`, () => {
      const wire = new Wire(takeover);
      const messages = [
        Buffer.alloc(0),
        Buffer.from('a'),
        CONTENTS.random(100, 1),
        CONTENTS.json(400, 1),
        CONTENTS.random(20_000, 2),
        CONTENTS.json(400, 2),
        CONTENTS.random(200_000, 3),
        CONTENTS.json(400, 3),
      ];
      for (const message of messages) wire.sender.message(message, false, true, true);
      for (const message of ['', 'é', 'x']) wire.sender.message(message, true, true, true);
      const { frames } = wire;
      const received = messagesIn(frames, takeover);
      assert.deepEqual(
        received.map(({ data }) => data.toString('hex')),
        [...messages, Buffer.alloc(0), Buffer.from('é'), Buffer.from('x')].map((data) =>
          data.toString('hex'),
        ),
      );
      const compressed = received.map((message) => message.compressed);
      assert.deepEqual(compressed.slice(0, 8), [false, false, false, true, false, true, false, true]);
      assert.deepEqual(compressed.slice(8), [false, false, false]);
      wire.sender.end();
    });
  }

  test('RFC 7692 §7.2.3.6: an empty fragment at the end is one octet', () => {
    const wire = new Wire();
    wire.sender.message(JSON_TEXT, true, false, true);
    wire.sender.message('', true, true);
    const [first, last] = wire.frames;
    assert.equal(first.payload.toString('hex').slice(-8), '0000ffff', 'only the last one loses its tail');
    assert.deepEqual([last.rsv1, last.payload.toString('hex')], [false, '00']);
    assert.equal(messagesIn(wire.frames, true)[0].data.toString(), JSON_TEXT);
  });

  test('RFC 7692 §6.1: the first fragment decides for all, whatever the others are told', () => {
    const wire = new Wire();
    const { sender } = wire;
    sender.message(JSON_TEXT, true, false, true);
    sender.control(Opcode.ping, Buffer.from('between'));
    sender.message(JSON_TEXT, true, false, false);
    sender.message(JSON_TEXT, true, true, false);
    sender.message(JSON_TEXT, true, false, false);
    sender.message(JSON_TEXT, true, true, true);
    const { frames } = wire;
    assert.deepEqual(
      frames.map(({ rsv1, fin, opcode }) => [rsv1, fin, opcode]),
      [
        [true, false, 1],
        [false, true, 9],
        [false, false, 0],
        [false, true, 0],
        [false, false, 1],
        [false, true, 0],
      ],
    );
    assert.deepEqual(messagesIn(frames, true), [
      { isText: true, compressed: true, data: Buffer.from(JSON_TEXT.repeat(3)) },
      { isText: true, compressed: false, data: Buffer.from(JSON_TEXT.repeat(2)) },
    ]);
  });

  test('`unflushed` counts what is on its way: the compressed bytes', () => {
    const wire = new Wire();
    wire.sender.message(JSON_TEXT, true, true, true);
    const { unflushed } = wire.sender;
    const [{ payload }] = wire.frames;
    assert.equal(unflushed, payload.length + 8);
  });

  test('any messages in any fragments, for every window', () => {
    const kinds = Object.keys(CONTENTS) as Content[];
    const part = fc.record({
      kind: fc.constantFrom(...kinds),
      length: fc.oneof(fc.nat(20), fc.nat(300), fc.nat(3_000), fc.nat(70_000)),
      seed: fc.nat(3),
    });
    const message = fc.record({
      parts: fc.oneof(
        { weight: 3, arbitrary: fc.array(part, { minLength: 1, maxLength: 1 }) },
        { weight: 1, arbitrary: fc.array(part, { minLength: 2, maxLength: 4 }) },
      ),
      isText: fc.boolean(),
      compress: fc.oneof(
        { weight: 4, arbitrary: fc.constant(true) },
        { weight: 1, arbitrary: fc.constant(false) },
      ),
      ping: fc.boolean(),
    });
    const agreement = fc.record({ takeover: fc.boolean(), windowBits: fc.integer({ min: 8, max: 15 }) });
    fc.assert(
      fc.property(agreement, fc.array(message, { maxLength: 8 }), ({ takeover, windowBits }, messages) => {
        const wire = new Wire(takeover, windowBits);
        const expected: unknown[] = [];
        for (const { parts, isText, compress, ping } of messages) {
          const whole: Buffer[] = [];
          for (const [i, { kind, length, seed }] of parts.entries()) {
            const bytes = CONTENTS[kind](length, seed);
            const text = isText ? bytes.toString('latin1') : bytes;
            wire.sender.message(text, isText, i === parts.length - 1, compress);
            if (ping) wire.sender.control(Opcode.ping, Buffer.from('?'));
            whole.push(Buffer.from(text as string));
          }
          expected.push([isText, Buffer.concat(whole).toString('base64')]);
        }
        const received = messagesIn(wire.frames, takeover);
        assert.deepEqual(
          received.map(({ isText, data }) => [isText, data.toString('base64')]),
          expected,
        );
        for (const [i, { compressed }] of received.entries())
          assert.ok(!compressed || messages[i].compress, 'asked');
        wire.sender.end();
      }),
      { numRuns: 200 },
    );
  });

  test('the history is given back at the end, once', () => {
    const { available } = codec.deflateBlocks;
    const wire = new Wire();
    wire.sender.message(JSON_TEXT, true, true, true);
    assert.equal(codec.deflateBlocks.available, available - 1);
    wire.sender.end();
    wire.sender.end();
    assert.equal(codec.deflateBlocks.available, available);
  });

  test('without a free send block messages are compressed all the same', () => {
    const taken: number[] = [];
    for (let block = codec.sendBlocks.take(); block !== 0; block = codec.sendBlocks.take()) taken.push(block);
    const wire = new Wire();
    for (const length of [1_000, 3_000, 16_384, 100_000]) {
      wire.sender.message(CONTENTS.text(length, 1), false, true, true);
    }
    const messages = messagesIn(wire.frames, true);
    assert.deepEqual(
      messages.map(({ data, compressed }) => [data.equals(CONTENTS.text(data.length, 1)), compressed]),
      [
        [true, true],
        [true, true],
        [true, true],
        [true, true],
      ],
    );
    wire.sender.end();
    for (const block of taken) codec.sendBlocks.give(block);
  });
});
