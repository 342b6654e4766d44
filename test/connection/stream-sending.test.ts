/** `sendStream()`: one message from a source of chunks, as fragments (RFC 6455 §5.4), at the pace the peer takes. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { Readable } from 'node:stream';
import { describe, type TestContext, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { connect, type Payload, ReadyState } from '../../src/index.js';
import { ended, link, patterned, TRANSPORTS, until } from '../leases/link.js';
import { encodeFrame } from '../reference/frame.js';
import { echoServer } from '../server/echo-server.js';
import { turns } from '../server/scripted-server.js';
import { frameLines, GUARD, receivedLines, sentFrames } from './wire.js';

const MIB = 1024 * 1024;
const NEVER = 2 ** 31 - 1;
const reason = new Error('enough');

type Source = Parameters<Awaited<ReturnType<typeof connect>>['sendStream']>[0];

function closeFrame(code: number): Buffer {
  return encodeFrame({ opcode: 8, payload: Buffer.of(code >> 8, code & 0xff) });
}

function ping(payload: string): Buffer {
  return encodeFrame({ opcode: 9, payload: Buffer.from(payload) });
}

/** What a promise has come to so far. */
function watched(promise: Promise<unknown>): { state: string; code?: string } {
  const outcome: { state: string; code?: string } = { state: 'pending' };
  promise.then(
    () => {
      outcome.state = 'fulfilled';
    },
    (error: { code?: string } | undefined) => {
      outcome.state = 'rejected';
      outcome.code = error?.code;
    },
  );
  return outcome;
}

/** A source that the test drives: `give` yields a chunk to whoever waits, `finish` ends it. */
class DrivenSource implements AsyncIterableIterator<Payload> {
  pulled = 0;
  returned = 0;
  #resolve: ((result: IteratorResult<Payload, undefined>) => void) | undefined;

  next(): Promise<IteratorResult<Payload, undefined>> {
    this.pulled++;
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  return(): Promise<IteratorResult<Payload, undefined>> {
    this.returned++;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async give(chunk: Payload): Promise<void> {
    await until(() => this.#resolve !== undefined);
    const resolve = this.#resolve!;
    this.#resolve = undefined;
    resolve({ done: false, value: chunk });
  }

  async finish(): Promise<void> {
    await until(() => this.#resolve !== undefined);
    this.#resolve!({ done: true, value: undefined });
  }
}

async function* generator<T>(...chunks: T[]): AsyncGenerator<T> {
  for (const chunk of chunks) {
    await null;
    yield chunk;
  }
}

/** Each message that `ws` gets, as one line. */
async function wsServer(
  t: TestContext,
  tls: boolean,
): Promise<{
  url: string;
  tls: { ca: string } | undefined;
  messages: { data: Buffer; isBinary: boolean }[];
}> {
  const messages: { data: Buffer; isBinary: boolean }[] = [];
  const server = await echoServer({
    tls,
    onConnection: (socket) =>
      socket.on('message', (data, isBinary) => void messages.push({ data: data as Buffer, isBinary })),
  });
  t.after(() => server.close());
  return { url: server.url, tls: server.tls, messages };
}

for (const { over, tls } of TRANSPORTS) {
  describe(`sendStream(), over ${over}`, GUARD, () => {
    test('ws gets one message, whatever the source', async (t) => {
      const server = await wsServer(t, tls);
      const connection = await connect(server.url, { tls: server.tls });
      const shared = new Uint8Array(new SharedArrayBuffer(3));
      shared.set([0x61, 0x62, 0x63]);
      const { buffer } = Uint8Array.from([0x61, 0x62, 0x63, 0x64]);
      const bytes = patterned(300_000, 1);
      const many = Array.from({ length: 5_000 }, (_, i) => `${i};`);
      const sources: [source: Source, text: boolean, expected: string | Buffer][] = [
        [['a', 'é', '水', '🐟'], true, 'aé水🐟'],
        [generator('a', '', 'b'), true, 'ab'],
        [new Set(['a', 'b']), true, 'ab'],
        [ReadableStream.from(['a', 'b']), true, 'ab'],
        [Readable.from(['a', 'b']), true, 'ab'],
        [['one'], true, 'one'],
        [many, true, many.join('')],
        [generator(...many), true, many.join('')],
        [[], false, ''],
        [generator<Payload>(), false, ''],
        [[''], true, ''],
        [[Buffer.alloc(0)], false, ''],
        [new Blob(['aé', Buffer.of(0x62)]), false, 'aéb'],
        [new Blob([Uint8Array.from(bytes)]), false, bytes],
        [new Blob([]), false, ''],
        [[bytes.subarray(0, 100_000), bytes.subarray(100_000)], false, bytes],
        [[buffer, new DataView(buffer, 1, 2), new Uint16Array(buffer, 2, 1)], false, 'abcdbccd'],
        [[shared, shared.buffer], false, 'abcabc'],
        [Readable.from(bytes, { objectMode: false }), false, bytes],
      ];
      for (const [source] of sources) await connection.sendStream(source);
      connection.send('end');
      await until(() => server.messages.length === sources.length + 1);
      for (const [i, [, isText, expected]] of sources.entries()) {
        const { data, isBinary } = server.messages[i];
        assert.equal(isBinary, !isText, `source ${i}`);
        assert.ok(Buffer.from(expected).equals(data), `source ${i}`);
      }
    });

    test('RFC 6455 §5.4: each chunk a fragment, and the last frame with FIN', async (t) => {
      const { connection, peer } = await link(t, tls);
      await connection.sendStream(generator('a', 'b', 'c'));
      await connection.sendStream([Buffer.from('d')]);
      await connection.sendStream([]);
      connection.send('whole');
      const lines = ['…text a', '…continuation b', '…continuation c', 'continuation'];
      lines.push('…binary d', 'continuation', 'binary', 'text whole');
      assert.deepEqual(await receivedLines(peer, lines.length), lines);
    });

    test('the source is not pulled while the peer does not read; memory is bounded; then all of it arrives', async (t) => {
      const { connection, peer } = await link(t, tls);
      peer.pause();
      const chunk = patterned(100_000, 1);
      let pulled = 0;
      const sending = connection.sendStream(
        (async function* () {
          for (; pulled < 300; pulled++) yield chunk;
        })(),
      );
      const outcome = watched(sending);
      await until(() => connection.bufferedAmount > MIB);
      await turns(100);
      const { bufferedAmount } = connection;
      assert.ok(bufferedAmount <= MIB + chunk.length + 14, `${bufferedAmount} bytes wait`);
      const before = pulled;
      assert.ok(before < 250, `${before} of 300 chunks were pulled`);
      await turns(100);
      assert.deepEqual({ pulled, state: outcome.state }, { pulled: before, state: 'pending' });

      peer.resume();
      await sending;
      await connection.flushed();
      await until(() => peer.receivedLength === 300 * 100_014 + 6);
      const frames = sentFrames(peer.received);
      assert.deepEqual(
        frames.map(({ fin, opcode }) => `${fin} ${opcode}`),
        ['false 2', ...Array<string>(299).fill('false 0'), 'true 0'],
      );
      for (const { payload } of frames.slice(0, -1)) assert.ok(payload.equals(chunk));
    });

    test('RFC 6455 §5.4: pings and pongs pass between the fragments', async (t) => {
      const { connection, peer } = await link(t, tls);
      const source = new DrivenSource();
      const sending = connection.sendStream(source);
      await source.give('a');
      await receivedLines(peer, 1);
      await peer.write(ping('theirs'));
      await receivedLines(peer, 2);
      const answered = connection.ping('ours');
      await receivedLines(peer, 3);
      await peer.write(encodeFrame({ opcode: 10, payload: Buffer.from('ours') }));
      await answered;
      await source.give('b');
      await source.finish();
      await sending;
      assert.deepEqual(await receivedLines(peer, 5), [
        '…text a',
        'pong theirs',
        'ping ours',
        '…continuation b',
        'continuation',
      ]);
    });

    test('the connection is lost while the peer does not read: rejects with ERR_CONNECTION_LOST', async (t) => {
      const { connection, peer } = await link(t, tls);
      peer.pause();
      let left = false;
      const outcome = watched(
        connection.sendStream(
          (async function* () {
            try {
              for (;;) yield patterned(100_000, 1);
            } finally {
              left = true;
            }
          })(),
        ),
      );
      await until(() => connection.bufferedAmount > MIB);
      peer.reset();
      await until(() => outcome.state !== 'pending');
      assert.deepEqual(outcome, { state: 'rejected', code: 'ERR_CONNECTION_LOST' });
      assert.equal(left, true);
    });
  });
}

describe('sendStream() and maxBufferedAmount', GUARD, () => {
  test('a chunk that would exceed it now waits until it does not', async (t) => {
    const limits = { highWaterMark: 300_000, maxBufferedAmount: 500_000 };
    const { connection, peer } = await link(t, false, limits);
    peer.pause();
    const small = patterned(50_000, 1);
    const large = patterned(450_000, 2);
    let length = 0;
    let last = false;
    const sending = connection.sendStream(
      (async function* () {
        for (; connection.bufferedAmount < 100_000; length += small.length) yield small;
        last = true;
        length += large.length;
        yield large;
      })(),
    );
    const outcome = watched(sending);
    await until(() => last);
    await turns(20);
    assert.deepEqual(outcome, { state: 'pending' });
    peer.resume();
    await sending;
    await connection.flushed();
    await until(() => peer.receivedLength === connection.stats().bytesSent);
    const payloads = sentFrames(peer.received).map(({ payload }) => payload);
    assert.equal(Buffer.concat(payloads).length, length);
    assert.ok(payloads.at(-2)?.equals(large));
  });
});

describe('RFC 6455 §5.4: while sendStream() sends', GUARD, () => {
  test('send(), sendStream() and corked sends are ERR_MESSAGE_UNFINISHED; afterwards they are not', async (t) => {
    const { connection, peer } = await link(t, false);
    const refused = { name: 'UsageError', code: 'ERR_MESSAGE_UNFINISHED' };
    const source = new DrivenSource();
    const sending = connection.sendStream(source);
    // From the start, not from the first chunk on.
    assert.throws(() => connection.send('x'), refused);
    await source.give('a');
    await receivedLines(peer, 1);
    assert.throws(() => connection.send('x'), refused);
    assert.throws(() => connection.send('x', { fin: false }), refused);
    assert.throws(() => connection.send(Buffer.of(1)), refused);
    connection.cork(() => assert.throws(() => connection.send('x'), refused));
    const other = new DrivenSource();
    await assert.rejects(connection.sendStream(other), refused);
    assert.deepEqual({ pulled: other.pulled, returned: other.returned }, { pulled: 0, returned: 0 });

    await source.give('b');
    await source.finish();
    await sending;
    connection.send('c');
    await connection.sendStream(['d']);
    assert.deepEqual(await receivedLines(peer, 6), [
      '…text a',
      '…continuation b',
      'continuation',
      'text c',
      '…text d',
      'continuation',
    ]);
  });

  test('a message that send({ fin: false }) has begun is not continued by sendStream(): ERR_MESSAGE_UNFINISHED', async (t) => {
    const { connection, peer } = await link(t, false);
    connection.send('a', { fin: false });
    const source = new DrivenSource();
    const outcome = watched(connection.sendStream(source));
    await turns(2);
    assert.deepEqual(outcome, { state: 'rejected', code: 'ERR_MESSAGE_UNFINISHED' });
    assert.equal(source.pulled, 0);
    connection.send('b');
    assert.deepEqual(await receivedLines(peer, 2), ['…text a', 'continuation b']);
  });

  test('messages of the server’s are delivered', async (t) => {
    const { connection, peer } = await link(t, false);
    const source = new DrivenSource();
    const sending = connection.sendStream(source);
    await source.give('a');
    const messages = connection.iterate();
    await peer.write(encodeFrame({ opcode: 1, payload: Buffer.from('b') }));
    assert.equal((await messages.next()).value, 'b');
    await source.finish();
    await sending;
  });

  test('a chunk may be changed as soon as the next one is asked for', async (t) => {
    const { connection, peer } = await link(t, false);
    const chunk = Buffer.alloc(4);
    await connection.sendStream(
      (async function* () {
        for (let i = 0; i < 3; i++) {
          chunk.fill(0x61 + i);
          yield chunk;
        }
      })(),
    );
    const lines = await receivedLines(peer, 4);
    assert.deepEqual(lines.slice(0, 3), ['…binary aaaa', '…continuation bbbb', '…continuation cccc']);
  });
});

describe('a message that sendStream() cannot finish', GUARD, () => {
  test('the source throws: rejects with its error, and the connection is closed with 1011', async (t) => {
    const sources: Record<string, () => Source> = {
      'an async generator': async function* () {
        yield 'a';
        throw reason;
      },
      'a generator': function* () {
        yield 'a';
        throw reason;
      },
      'a ReadableStream': () => {
        let chunks = 0;
        return new ReadableStream<string>({
          pull(controller) {
            if (chunks++ === 0) controller.enqueue('a');
            else controller.error(reason);
          },
        });
      },
      promises: () => ['a', Promise.reject(reason)] as string[],
    };
    for (const [title, source] of Object.entries(sources)) {
      const { connection, peer } = await link(t, false, { closeTimeout: NEVER });
      await assert.rejects(connection.sendStream(source()), (error) => error === reason, title);
      assert.equal(connection.readyState, ReadyState.closing);
      assert.deepEqual(await receivedLines(peer, 2), ['…text a', 'close 1011'], title);
      await peer.write(closeFrame(1011));
      peer.end();
      assert.equal((await connection.closed).wasClean, true);
    }
  });

  test('chunks of both types: ERR_INVALID_PAYLOAD, 1011, and the source is told to return', async (t) => {
    for (const [first, second] of [
      ['a', Buffer.from('b')],
      [Buffer.from('a'), 'b'],
    ]) {
      const { connection, peer } = await link(t, false);
      const source = new DrivenSource();
      const sending = connection.sendStream(source);
      void source.give(first).then(() => source.give(second));
      await assert.rejects(sending, { name: 'UsageError', code: 'ERR_INVALID_PAYLOAD' });
      assert.equal(source.returned, 1);
      const type = typeof first === 'string' ? 'text' : 'binary';
      assert.deepEqual(await receivedLines(peer, 2), [`…${type} a`, 'close 1011']);
    }
  });

  test('a chunk that cannot be sent: ERR_INVALID_PAYLOAD, 1011, and the source is told to return', async (t) => {
    for (const wrong of [7, null, undefined, {}, new Blob(['b'])]) {
      const { connection, peer } = await link(t, false);
      const source = new DrivenSource();
      const sending = connection.sendStream(source);
      void source.give(Buffer.from('a')).then(() => source.give(wrong as unknown as Payload));
      await assert.rejects(sending, { name: 'UsageError', code: 'ERR_INVALID_PAYLOAD' });
      assert.equal(source.returned, 1);
      assert.deepEqual(await receivedLines(peer, 2), ['…binary a', 'close 1011']);
    }
  });

  test('what is no source at all is refused as the caller’s mistake; the connection goes on', async (t) => {
    for (const wrong of [7, null, undefined, {}, new ArrayBuffer(3), Uint8Array.of(1, 2)]) {
      const { connection, peer } = await link(t, false);
      await assert.rejects(connection.sendStream(wrong as unknown as Source), {
        name: 'UsageError',
        code: 'ERR_INVALID_PAYLOAD',
      });
      connection.send('next');
      assert.deepEqual(await receivedLines(peer, 1), ['text next']);
    }
  });

  test('a source whose return() throws too: the first error is the one that is told', async (t) => {
    const chunks: Payload[] = ['a', Buffer.from('b')];
    const source: IterableIterator<Payload> = {
      next: () => ({ done: false, value: chunks.shift() ?? '' }),
      return() {
        throw reason;
      },
      [Symbol.iterator]: () => source,
    };
    const { connection } = await link(t, false);
    await assert.rejects(connection.sendStream(source), { code: 'ERR_INVALID_PAYLOAD' });
  });

  test('close() meanwhile: rejects with ERR_NOT_OPEN, the source is told to return, nothing follows the Close', async (t) => {
    const { connection, peer } = await link(t, false, { closeTimeout: NEVER });
    const source = new DrivenSource();
    const sending = connection.sendStream(source);
    await source.give('a');
    await receivedLines(peer, 1);
    void connection.close();
    void source.give('b');
    await assert.rejects(sending, { name: 'UsageError', code: 'ERR_NOT_OPEN' });
    assert.equal(source.returned, 1);
    await turns(5);
    assert.deepEqual(await receivedLines(peer, 2), ['…text a', 'close 1000']);
  });

  test('RFC 6455 §5.5.1: the server closes, then the source ends: nothing follows our Close frame, and it rejects', async (t) => {
    const { connection, peer } = await link(t, false, { closeTimeout: NEVER });
    const source = new DrivenSource();
    const outcome = watched(connection.sendStream(source));
    await source.give('a');
    await receivedLines(peer, 1);
    await peer.write(closeFrame(1001));
    await receivedLines(peer, 2);
    await source.finish();
    await turns(5);
    assert.deepEqual(frameLines(peer.received), ['…text a', 'close 1001']);
    assert.equal(outcome.state, 'rejected');
  });

  test('the connection ends, then the source: it rejects', async (t) => {
    const { connection } = await link(t, false);
    const source = new DrivenSource();
    const outcome = watched(connection.sendStream(source));
    await source.give('a');
    await turns(2);
    connection.terminate();
    await ended(connection);
    await source.finish();
    await turns(5);
    assert.equal(outcome.state, 'rejected');
  });

  test('the connection ends while the source hangs: it rejects, and the source is told to return', async (t) => {
    for (const clean of [true, false]) {
      const { connection, peer } = await link(t, false);
      const source = new DrivenSource();
      const outcome = watched(connection.sendStream(source));
      await source.give('a');
      await receivedLines(peer, 1);
      if (clean) await peer.write(closeFrame(1000));
      peer.end();
      await ended(connection);
      await turns(5);
      assert.equal(outcome.state, 'rejected');
      assert.equal(source.returned, 1);
    }
  });

  test('on a connection that is not open: ERR_NOT_OPEN, and the source is not touched', async (t) => {
    const { connection } = await link(t, false);
    connection.terminate();
    const source = new DrivenSource();
    await assert.rejects(connection.sendStream(source), { name: 'UsageError', code: 'ERR_NOT_OPEN' });
    await assert.rejects(connection.sendStream(new Blob(['a'])), { code: 'ERR_NOT_OPEN' });
    assert.equal(source.pulled, 0);
  });
});

describe('sendStream(source, { signal })', GUARD, () => {
  const abortedBy = { name: 'HeartwireError', code: 'ERR_ABORTED', cause: reason };
  const listening = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

  test('an abort while the source hangs: ERR_ABORTED, 1011, and the source is told to return', async (t) => {
    const { connection, peer } = await link(t, false);
    const controller = new AbortController();
    const source = new DrivenSource();
    const sending = connection.sendStream(source, { signal: controller.signal });
    await source.give('a');
    await receivedLines(peer, 1);
    await turns(2);
    controller.abort(reason);
    await assert.rejects(sending, abortedBy);
    assert.equal(source.returned, 1);
    assert.equal(listening(controller.signal), 0);
    assert.deepEqual(await receivedLines(peer, 2), ['…text a', 'close 1011']);
  });

  test('an abort cancels a ReadableStream that hangs', async (t) => {
    const { connection } = await link(t, false);
    const controller = new AbortController();
    let cancelled = false;
    const stream = new ReadableStream<string>({
      cancel() {
        cancelled = true;
      },
    });
    const sending = connection.sendStream(stream, { signal: controller.signal });
    await turns(2);
    controller.abort(reason);
    await assert.rejects(sending, abortedBy);
    await turns(2);
    assert.equal(cancelled, true);
  });

  for (const { over, tls } of TRANSPORTS) {
    test(`an abort while the peer does not read, over ${over}`, async (t) => {
      const { connection, peer } = await link(t, tls, { closeTimeout: NEVER });
      peer.pause();
      const controller = new AbortController();
      let left = false;
      const sending = connection.sendStream(
        (async function* () {
          try {
            for (;;) yield patterned(100_000, 1);
          } finally {
            left = true;
          }
        })(),
        { signal: controller.signal },
      );
      await until(() => connection.bufferedAmount > MIB);
      await turns(10);
      controller.abort(reason);
      await assert.rejects(sending, abortedBy);
      await turns(2);
      assert.equal(left, true);
      assert.equal(listening(controller.signal), 0);
      peer.resume();
      await until(() => peer.received.subarray(-8, -6).equals(Buffer.of(0x88, 0x82)));
      assert.deepEqual(frameLines(peer.received.subarray(-8)), ['close 1011']);
    });
  }

  test('an abort after the end changes nothing, and nothing listens any more', async (t) => {
    const { connection, peer } = await link(t, false);
    const controller = new AbortController();
    await connection.sendStream(['a', 'b'], { signal: controller.signal });
    await connection.sendStream(generator('c'), { signal: controller.signal });
    await turns(1);
    assert.equal(listening(controller.signal), 0);
    controller.abort(reason);
    connection.send('d');
    const lines = await receivedLines(peer, 6);
    assert.equal(lines[5], 'text d');
  });

  test('aborted before: ERR_ABORTED; the source is not pulled, nothing is sent, the connection goes on', async (t) => {
    const { connection, peer } = await link(t, false);
    const source = new DrivenSource();
    await assert.rejects(connection.sendStream(source, { signal: AbortSignal.abort(reason) }), abortedBy);
    assert.equal(source.pulled, 0);
    connection.send('next');
    assert.deepEqual(await receivedLines(peer, 1), ['text next']);
  });

  test('a slow source that heeds no signal may go on by itself: no rejection is left unhandled', async (t) => {
    const rejections: unknown[] = [];
    const note = (error: unknown): void => void rejections.push(error);
    const others = process.rawListeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', note);
    t.after(() => {
      process.off('unhandledRejection', note);
      for (const other of others)
        process.on('unhandledRejection', other as NodeJS.UnhandledRejectionListener);
    });
    const { connection } = await link(t, false);
    const controller = new AbortController();
    const sending = connection.sendStream(
      (async function* () {
        yield 'a';
        await turns(3);
        throw new Error('too late');
      })(),
      { signal: controller.signal },
    );
    await turns(1);
    controller.abort(reason);
    await assert.rejects(sending, abortedBy);
    await turns(8);
    assert.deepEqual(rejections, []);
  });
});

describe('a long-lived connection', GUARD, () => {
  test('keeps nothing of a streamed message that was sent, with a long-lived signal or without', async (t) => {
    const server = await echoServer({ onConnection: () => {} });
    t.after(() => server.close());
    const connection = await connect(server.url);
    const { signal } = new AbortController();
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const heapAfter = async (count: number): Promise<number> => {
      for (let i = 0; i < count; i++)
        await connection.sendStream(['a'], i % 2 === 0 ? { signal } : undefined);
      await turns(5);
      collectGarbage();
      // What was held weakly goes with the second one.
      await turns(5);
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    const before = await heapAfter(500);
    const growth = (await heapAfter(5_000)) - before;
    assert.ok(growth < 2 * MIB, `the heap grew by ${growth} bytes`);
  });
});

describe('send()', GUARD, () => {
  test('a Blob is refused, because its bytes come later: the message names sendStream()', async (t) => {
    const { connection, peer } = await link(t, false);
    assert.throws(() => connection.send(new Blob(['a']) as unknown as Payload), {
      name: 'UsageError',
      code: 'ERR_INVALID_PAYLOAD',
      message: /sendStream/,
    });
    connection.send('next');
    assert.deepEqual(await receivedLines(peer, 1), ['text next']);
  });
});
