/**
 * How long a message may be used: the cursor until its callback returns; `bytes` of a large message for as long as
 * the application likes.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Codec, sharedCodec } from '../../src/codec/codec.js';
import { UsageError } from '../../src/errors.js';
import type { Message } from '../../src/protocol/message.js';
import { Receiver, type ReceiverEvents } from '../../src/protocol/receiver.js';
import { encodeFrame } from '../reference/frame.js';
import { turns } from '../server/scripted-server.js';
import {
  binary,
  contentOf,
  hasRead,
  link,
  links,
  patterned,
  print,
  soon,
  TRANSPORTS,
  text,
  until,
} from './link.js';

/** Everything that can be asked of a message. */
const QUESTIONS: readonly ((message: Message) => unknown)[] = [
  (message) => message.isText,
  (message) => message.byteLength,
  (message) => message.byteOffset,
  (message) => message.buffer,
  (message) => message.bytes,
  (message) => message.text(),
  (message) => message.json(),
  (message) => message.copy(),
  (message) => message.receivedAt,
  (message) => message.isLastInRead,
];

/** Nothing of the message can be had any more. */
function assertExpired(message: Message): void {
  for (const question of QUESTIONS) {
    assert.throws(
      () => question(message),
      (error) => error instanceof UsageError && error.code === 'ERR_MESSAGE_EXPIRED',
      String(question),
    );
  }
}

describe('a message expires when its callback returns', () => {
  for (const { over, tls } of TRANSPORTS) {
    for (const [what, wire] of [
      ['a small message', text('[1]')],
      ['a message whose beginning came before', text(`[${'1'.repeat(3_000)}]`)],
      ['one that took several reads', text(`[${'1'.repeat(50_000)}]`)],
      ['a large text message', text(`[${'1'.repeat(150_000)}]`)],
      ['a large binary message', binary(Buffer.from(`[${'1'.repeat(150_000)}]`))],
      [
        'a fragmented message',
        Buffer.concat([
          encodeFrame({ opcode: 1, fin: false, payload: Buffer.from('[1') }),
          encodeFrame({ opcode: 0, payload: Buffer.from(']') }),
        ]),
      ],
    ] as const) {
      test(`${over}: ${what}, after the callback and after an await`, async (t) => {
        let kept: Message | undefined;
        let within: unknown[] = [];
        let awaited: Promise<void> | undefined;
        const one = await link(t, tls, {
          onMessage: (message) => {
            kept = message;
            within = QUESTIONS.map((question) => question(message));
            awaited = (async () => {
              await null;
              assertExpired(message);
            })();
          },
        });
        await one.peer.write(wire.subarray(0, 2));
        await hasRead(one, 2);
        await one.peer.write(wire.subarray(2));
        await until(() => kept !== undefined);
        assert.equal(within.length, QUESTIONS.length);
        await soon(awaited!);
        assertExpired(kept!);
      });
    }

    test(`${over}: one that was kept says nothing of another connection's message`, async (t) => {
      let kept: Message | undefined;
      const errors: unknown[] = [];
      const [first, second] = await links(t, tls, [
        {
          onMessage: (message) => {
            kept = message;
          },
        },
        {
          onMessage: () => {
            try {
              assertExpired(kept!);
            } catch (error) {
              errors.push(error);
            }
            errors.push('asked');
          },
        },
      ]);
      await first.peer.write(text('mine'));
      await hasRead(first, 6);
      await second.peer.write(text('yours'));
      await hasRead(second, 7);
      assert.deepEqual(errors, ['asked']);
    });
  }

  // The one test of this process that returns promises: the warning comes once in a process.
  test('over tcp and TLS: an onMessage that returns promises is warned of, once', async (t) => {
    const warnings: (Error & { code?: string })[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    t.after(() => process.off('warning', onWarning));
    for (const { tls } of TRANSPORTS) {
      const seen: string[] = [];
      const one = await link(t, tls, {
        onMessage: (async (message: Message) => {
          seen.push(message.text());
          await null;
        }) as (message: Message) => void,
      });
      const wire = Buffer.concat([text('a'), text('b'), binary(patterned(100_000, 1)), text('c')]);
      await one.peer.write(wire);
      await hasRead(one, wire.length);
      assert.equal(seen.length, 4);
    }
    assert.deepEqual(
      warnings.map(({ name, code }) => ({ name, code })),
      [{ name: 'HeartwireWarning', code: 'ERR_ASYNC_ON_MESSAGE' }],
    );
  });
});

describe('where a message lies', () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`${over}: a small one in linear memory, one over 64 KiB in a buffer of its own`, async (t) => {
      const linear: [number, boolean][] = [];
      const one = await link(t, tls, {
        onMessage: ({ buffer, byteLength }) => {
          linear.push([byteLength, buffer.buffer === sharedCodec().memory.buffer]);
        },
      });
      const sizes = [0, 1, 4_000, 65_537, 300_000, 5];
      let read = 0;
      for (const size of sizes) {
        const wire = binary(patterned(size, size));
        await one.peer.write(wire);
        read += wire.length;
        await hasRead(one, read);
      }
      assert.deepEqual(
        linear,
        sizes.map((size) => [size, size <= 65_536]),
      );
    });

    for (const take of ['bytes', 'copy()'] as const) {
      test(`${over}: what ${take} gave of a large message outlives the messages after it`, async (t) => {
        const kept: Uint8Array[] = [];
        const one = await link(t, tls, {
          onMessage: (message) => void kept.push(take === 'bytes' ? message.bytes : message.copy()),
        });
        // Equal sizes, so that a buffer given back by mistake would be used again; in one frame and in several.
        const payloads = Array.from({ length: 6 }, (_, i) => patterned(200_000, i));
        const wire = Buffer.concat(
          payloads.map((payload, i) =>
            i % 2 === 0
              ? binary(payload)
              : Buffer.concat([
                  encodeFrame({ opcode: 2, fin: false, payload: payload.subarray(0, 150_000) }),
                  encodeFrame({ opcode: 0, payload: payload.subarray(150_000) }),
                ]),
          ),
        );
        await one.peer.write(wire);
        await hasRead(one, wire.length);
        assert.deepEqual(
          kept.map((bytes) => print(bytes)),
          payloads.map((payload) => print(payload)),
        );
      });
    }

    test(`${over}: a large message that was not taken leaves its memory to the next, a taken one does not`, async (t) => {
      const memory: ArrayBufferLike[] = [];
      const contents: string[] = [];
      const one = await link(t, tls, {
        onMessage: (message) => {
          contents.push(contentOf(message));
          memory.push(message.buffer.buffer);
          if (memory.length === 3) assert.equal(message.bytes.length, 200_000);
        },
      });
      const payloads = Array.from({ length: 5 }, (_, i) => patterned(200_000, i));
      for (const [i, payload] of payloads.entries()) {
        await one.peer.write(binary(payload));
        await hasRead(one, (i + 1) * 200_010);
      }
      assert.deepEqual(
        contents,
        payloads.map((payload) => print(payload)),
      );
      assert.equal(memory[1], memory[0]);
      assert.equal(memory[2], memory[0]);
      assert.notEqual(memory[3], memory[2]);
      assert.equal(memory[4], memory[3]);
    });
  }

  test('a large binary message is read straight into the buffer it is given out in, while paused too', async () => {
    const codec = new Codec();
    const nothing = (): void => {};
    const events: ReceiverEvents<undefined> = {
      answerPing: nothing,
      onPing: nothing,
      onPong: nothing,
      onClose: nothing,
      onError: (_owner, error) => assert.fail(error),
      onBlocked: nothing,
      onCaughtUp: nothing,
    };
    const receiver = new Receiver<undefined>(codec, undefined, events, { maxMessageSize: 1_000_000 });
    const memory: ArrayBufferLike[] = [];
    const contents: string[] = [];
    receiver.listen((message) => {
      memory.push(message.buffer.buffer);
      contents.push(contentOf(message));
    });
    const payload = patterned(1_000_000, 7);
    const wire = Buffer.concat([binary(payload), text('next')]);
    // What a socket does: the kernel writes to the target asked for after the last read.
    let at = 0;
    let straight = 0;
    let own: ArrayBufferLike | undefined;
    while (at < wire.length) {
      const target = receiver.readTarget();
      const piece = wire.subarray(at, at + Math.min(target.length, 100_000));
      target.set(piece);
      receiver.received(piece.length, 0);
      at += piece.length;
      if (target.buffer === codec.memory.buffer) continue;
      straight += piece.length;
      own = target.buffer;
      if (straight > 300_000) receiver.pause();
    }
    assert.ok(straight > 800_000, `${straight} bytes were read straight`);
    await turns(2);
    assert.deepEqual(contents, []);
    receiver.resume();
    await turns(2);
    assert.deepEqual(contents, [print(payload), 'text next']);
    assert.equal(memory[0], own);
  });
});
