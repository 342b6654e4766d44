/** The message cursor as the application sees it: what it points at, and what it says when that is over. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Codec } from '../../src/codec/codec.js';
import type { Message } from '../../src/protocol/message.js';
import { Receiver, type ReceiverEvents } from '../../src/protocol/receiver.js';
import { pseudoRandomBytes } from '../arbitraries/payload.js';
import { encodeFrame, type Frame } from '../reference/frame.js';

const codec = new Codec();
const ignore = (): void => {};
const EVENTS: ReceiverEvents<undefined> = {
  answerPing: ignore,
  onPing: ignore,
  onPong: ignore,
  onClose: ignore,
  onError: ignore,
  onBlocked: ignore,
  onCaughtUp: ignore,
};

/** Delivers what `frames` make, in one read, to `onMessage`. */
function deliver(
  frames: readonly Frame[],
  onMessage: (message: Message, receiver: Receiver<undefined>) => void,
  { receivedAt = 1, maxMessageSize = 2 ** 30 } = {},
): void {
  const receiver = new Receiver<undefined>(codec, undefined, EVENTS, { maxMessageSize });
  const thrown: unknown[] = [];
  receiver.listen((message) => {
    // What is thrown in the callback would reach the process, not the test.
    try {
      onMessage(message, receiver);
    } catch (error) {
      thrown.push(error);
    }
  });
  receiver.feed(Buffer.concat(frames.map(encodeFrame)), receivedAt);
  receiver.stop();
  for (const error of thrown) throw error;
}

const text = (payload: string): Frame => ({ opcode: 1, payload: Buffer.from(payload) });
const binary = (payload: Uint8Array): Frame => ({ opcode: 2, payload });

/** A message in fragments is put together in a buffer of its own. */
const inFragments = ({ opcode, payload = Buffer.alloc(0) }: Frame): Frame[] => {
  const middle = payload.length >> 1;
  return [
    { opcode, fin: false, payload: payload.subarray(0, middle) },
    { opcode: 0, payload: payload.subarray(middle) },
  ];
};

/** What `read` makes of the message that `frame` is: where it was read, and in a buffer of its own. */
function both<T>(frame: Frame, read: (message: Message) => T): T {
  const results: T[] = [];
  deliver([frame, ...inFragments(frame)], (message) => results.push(read(message)));
  assert.equal(results.length, 2);
  assert.deepEqual(results[0], results[1]);
  return results[0];
}

const READERS: Record<string, (message: Message) => unknown> = {
  isText: (message) => message.isText,
  byteLength: (message) => message.byteLength,
  buffer: (message) => message.buffer,
  byteOffset: (message) => message.byteOffset,
  bytes: (message) => message.bytes,
  'text()': (message) => message.text(),
  'json()': (message) => message.json(),
  'copy()': (message) => message.copy(),
  receivedAt: (message) => message.receivedAt,
  isLastInRead: (message) => message.isLastInRead,
};

const EXPIRED = { name: 'UsageError', code: 'ERR_MESSAGE_EXPIRED' };

describe('a message', () => {
  test('is `byteLength` bytes of `buffer` from `byteOffset`', () => {
    const read = both(binary(Buffer.of(1, 2, 3)), ({ buffer, byteOffset, byteLength }) => {
      assert.ok(Buffer.isBuffer(buffer));
      return [byteLength, buffer.readUIntBE(byteOffset, 3)];
    });
    assert.deepEqual(read, [3, 0x010203]);
  });

  test('RFC 6455 §5.6: is text, or binary', () => {
    for (const payload of ['', 'ascii', '€']) {
      assert.equal(
        both(text(payload), (message) => message.isText),
        true,
      );
      assert.equal(
        both(binary(Buffer.from(payload)), (message) => message.isText),
        false,
      );
    }
  });

  test('RFC 6455 §5.6: text() decodes UTF-8', () => {
    const texts = ['', 'plain', 'é', '€😀', '\ufeffBOM', '\0\x7f\x80', 'x'.repeat(300), '€'.repeat(300)];
    for (const payload of texts) {
      for (const frame of [text(payload), binary(Buffer.from(payload))]) {
        assert.equal(
          both(frame, (message) => message.text()),
          payload,
        );
      }
    }
  });

  test('text() of a binary message that is not UTF-8 has U+FFFD for what is wrong', () => {
    assert.equal(
      both(binary(Buffer.of(0x61, 0xff, 0x62)), (message) => message.text()),
      'a\ufffdb',
    );
  });

  test('json() parses the text, and throws what JSON.parse throws', () => {
    const parsed = [text('{"€":[1,null]}'), text('"x"'), binary(Buffer.from('2'))].map((frame) =>
      both(frame, (message) => message.json()),
    );
    assert.deepEqual(parsed, [{ '€': [1, null] }, 'x', 2]);
    both(text('{'), (message) => assert.throws(() => message.json(), SyntaxError));
  });

  test('bytes is a view of `buffer`', () => {
    both(binary(Buffer.of(1, 2, 3)), ({ bytes, buffer, byteOffset }) => {
      assert.deepEqual([...bytes], [1, 2, 3]);
      buffer[byteOffset] = 9;
      assert.deepEqual([...bytes], [9, 2, 3]);
    });
  });

  test('may be empty', () => {
    for (const frame of [text(''), binary(Buffer.alloc(0))]) {
      const read = both(frame, (message) => [
        message.byteLength,
        message.bytes.length,
        message.copy().length,
        message.text(),
      ]);
      assert.deepEqual(read, [0, 0, 0, '']);
    }
  });

  test('receivedAt is the time of the read', () => {
    const frames = [text('a'), ...inFragments(text('b')), binary(pseudoRandomBytes(100_000, 1))];
    const times: number[] = [];
    deliver(frames, (message) => times.push(message.receivedAt), { receivedAt: 12.5 });
    assert.deepEqual(times, [12.5, 12.5, 12.5]);
  });

  test('with the cursor as it stands, every message of a read tells its own', () => {
    const seen: unknown[] = [];
    const frames = [text('a'), binary(Buffer.from('€')), ...inFragments(text('é€')), text('€'), text('')];
    deliver(frames, ({ isText, byteLength, bytes }) =>
      seen.push([isText, byteLength, Buffer.from(bytes).toString()]),
    );
    assert.deepEqual(seen, [
      [true, 1, 'a'],
      [false, 3, '€'],
      [true, 5, 'é€'],
      [true, 3, '€'],
      [true, 0, ''],
    ]);
  });
});

describe('what is kept of a message', () => {
  test('copy() of a message that lies in shared memory is a copy', () => {
    let shared: Buffer = Buffer.alloc(0);
    const copies: Buffer[] = [];
    deliver([binary(Buffer.from('first')), binary(Buffer.from('again'))], (message) => {
      shared = message.buffer;
      copies.push(message.copy());
    });
    shared.fill(0xee, codec.scratch.byteOffset, codec.scratch.byteOffset + 64);
    assert.deepEqual(copies.map(String), ['first', 'again']);
    for (const copy of copies) assert.notEqual(copy.buffer, shared.buffer);
  });

  test('copy() and bytes of a large message hand its memory over without copying', () => {
    const payload = pseudoRandomBytes(100_000, 1);
    for (const take of [(message: Message) => message.copy(), (message: Message) => message.bytes]) {
      deliver([binary(payload)], (message) => {
        assert.equal(take(message).buffer, message.buffer.buffer);
        assert.ok(payload.equals(take(message)));
      });
    }
  });

  test('a large message that was taken is never overwritten by the messages after it', () => {
    const payloads = Array.from({ length: 12 }, (_, i) => pseudoRandomBytes(90_000 + (i % 3), i));
    const taken: { index: number; bytes: Uint8Array }[] = [];
    let index = 0;
    // Taken by copy(), by bytes, or only read and therefore used again.
    deliver(payloads.map(binary), (message) => {
      assert.ok(payloads[index].equals(message.buffer.subarray(0, message.byteLength)));
      if (index % 3 === 0) taken.push({ index, bytes: message.copy() });
      else if (index % 3 === 1) taken.push({ index, bytes: message.bytes });
      index++;
    });
    assert.equal(taken.length, 8);
    for (const each of taken) assert.ok(payloads[each.index].equals(each.bytes), `message ${each.index}`);
  });
});

describe('a message expires', () => {
  for (const [name, read] of Object.entries(READERS)) {
    test(`when the callback has returned: then it refuses ${name}`, () => {
      const ends: Record<string, Frame[]> = {
        'the last of its read': [text('1')],
        'the last, in fragments': inFragments(text('1')),
        'the last, and large': [binary(Buffer.alloc(100_000, '1'))],
        'followed by a control frame': [text('1'), { opcode: 9 }],
        'followed by a Close frame': [text('1'), { opcode: 8 }],
        'followed by a fragment': [text('1'), { opcode: 1, fin: false, payload: Buffer.from('1') }],
      };
      for (const [end, frames] of Object.entries(ends)) {
        let kept: Message | undefined;
        deliver(frames, (message) => {
          kept = message;
          read(message);
        });
        assert.throws(() => read(kept!), EXPIRED, end);
      }
    });
  }

  test('when what follows it in the read is refused', () => {
    const refused: Record<string, Frame[]> = {
      'a message above the limit': [text('too large')],
      'a fragmented message above the limit': inFragments(text('too large')),
      'a reserved opcode': [{ opcode: 3 }],
      'a Close frame of one byte': [{ opcode: 8, payload: Buffer.of(3) }],
      'text that is not UTF-8': [{ opcode: 1, payload: Buffer.of(0xff) }],
    };
    for (const [what, frames] of Object.entries(refused)) {
      const kept: Message[] = [];
      deliver([text('1'), ...frames], (message) => kept.push(message), { maxMessageSize: 8 });
      assert.equal(kept.length, 1);
      assert.throws(() => kept[0].text(), EXPIRED, `followed by ${what}`);
    }
  });

  test('when the callback ends or pauses the delivery', () => {
    const endings: Record<string, (receiver: Receiver<undefined>) => void> = {
      'stop()': (receiver) => receiver.stop(),
      'pause()': (receiver) => receiver.pause(),
      'listen(undefined)': (receiver) => receiver.listen(undefined),
    };
    const behind: Record<string, Frame> = {
      'a message': text('more'),
      'a Ping': { opcode: 9 },
      'a fragment': { opcode: 1, fin: false },
    };
    for (const [ending, end] of Object.entries(endings)) {
      for (const [next, frame] of Object.entries(behind)) {
        const kept: Message[] = [];
        deliver([text('1'), frame], (message, receiver) => {
          kept.push(message);
          end(receiver);
        });
        assert.equal(kept.length, 1);
        assert.throws(() => kept[0].text(), EXPIRED, `${ending}, and ${next} follows`);
      }
    }
  });
});
