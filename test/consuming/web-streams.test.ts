/** `connection.readable` and `connection.writable`: the shape of the WebSocketStream proposal. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { ConnectionLostError, connect, type Payload, ReadyState } from '../../src/index.js';
import { GUARD, receivedLines, sentFrames } from '../connection/wire.js';
import { binary, ended, hasRead, link, links, patterned, TRANSPORTS, text, until } from '../leases/link.js';
import { encodeFrame } from '../reference/frame.js';
import { echoServer } from '../server/echo-server.js';
import { turns } from '../server/scripted-server.js';

const MIB = 1024 * 1024;
const NEVER = 2 ** 31 - 1;

function closeFrame(code: number): Buffer {
  return encodeFrame({ opcode: 8, payload: Buffer.of(code >> 8, code & 0xff) });
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

async function readAll<T>(stream: ReadableStream<T>): Promise<T[]> {
  const chunks: T[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

/** Promises that nobody handles, until the test ends: none of them may be ours. */
function unhandled(t: TestContext): unknown[] {
  const rejections: unknown[] = [];
  const note = (error: unknown): void => void rejections.push(error);
  const others = process.rawListeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', note);
  t.after(() => {
    process.off('unhandledRejection', note);
    for (const other of others) process.on('unhandledRejection', other as NodeJS.UnhandledRejectionListener);
  });
  return rejections;
}

for (const { over, tls } of TRANSPORTS) {
  describe(`readable and writable, over ${over}`, GUARD, () => {
    test('round trip through ws: text as strings, bytes as Buffers, one chunk a message, empty ones too', async (t) => {
      const server = await echoServer({ tls });
      t.after(() => server.close());
      const { readable, writable } = await connect(server.url, { tls: server.tls });
      const large = patterned(2 * MIB, 1);
      const chunks: Payload[] = [
        'a',
        '',
        '€😀',
        Buffer.of(1),
        new ArrayBuffer(3),
        large,
        'z'.repeat(100_000),
      ];
      const writer = writable.getWriter();
      for (const chunk of chunks) void writer.write(chunk);
      const reader = readable.getReader();
      for (const chunk of chunks) {
        const { value } = await reader.read();
        if (typeof chunk === 'string') assert.ok(value === chunk);
        else assert.ok(Buffer.from(chunk as Uint8Array).equals(value as Buffer));
      }
      await writer.close();
      assert.deepEqual(await reader.read(), { done: true, value: undefined });
      await reader.closed;
    });

    test('a reader that does not read stops the server; then all of it comes', async (t) => {
      const { connection, peer } = await link(t, tls);
      const reader = connection.readable.getReader();
      const frame = binary(patterned(50_000, 1));
      const count = 600;
      for (let i = 0; i < count; i++) peer.socket.write(frame);
      await until(() => connection.stats().bytesReceived >= MIB);
      await turns(50);
      const { bytesReceived } = connection.stats();
      assert.ok(bytesReceived < MIB + 256 * 1024, `${bytesReceived} bytes were read`);
      assert.ok(peer.socket.writableLength > 10 * MIB, `${peer.socket.writableLength} bytes wait`);
      for (let i = 0; i < count; i++) {
        const { value } = await reader.read();
        assert.ok(frame.subarray(4).equals(value as Buffer), `message ${i}`);
      }
    });

    test('a server that does not read makes write() wait; then all of it arrives', async (t) => {
      const { connection, peer } = await link(t, tls);
      peer.pause();
      const writer = connection.writable.getWriter();
      const chunk = patterned(100_000, 1);
      const written: { state: string }[] = [];
      // What `ready` is for: a producer that heeds it holds one chunk.
      while (written.length < 1_000) {
        written.push(watched(writer.write(chunk)));
        await turns(3);
        if (writer.desiredSize === 0) break;
      }
      await turns(20);
      assert.equal(written.at(-1)?.state, 'pending');
      const { bufferedAmount } = connection;
      assert.ok(bufferedAmount > 0 && bufferedAmount <= MIB + 100_014, `${bufferedAmount} bytes wait`);
      const ready = watched(writer.ready);
      await turns(5);
      assert.equal(ready.state, 'pending');

      peer.resume();
      await writer.ready;
      await connection.flushed();
      await until(() => peer.receivedLength === written.length * 100_014);
      for (const { payload } of sentFrames(peer.received)) assert.ok(payload.equals(chunk));
    });

    test('pipeTo: everything from one connection to another, at the pace of the slower one; then it is closed', async (t) => {
      const [from, to] = await links(t, tls, [{}, {}]);
      const payloads = Array.from({ length: 200 }, (_, i) => patterned(100_000, i % 7));
      to.peer.pause();
      const piping = from.connection.readable.pipeTo(to.connection.writable);
      for (const payload of payloads) from.peer.socket.write(binary(payload));
      from.peer.socket.write(closeFrame(1000));
      from.peer.socket.end();
      await until(() => to.connection.bufferedAmount > MIB / 2);
      await turns(50);
      assert.ok(to.connection.bufferedAmount < 2 * MIB, 'what the slower one holds is bounded');
      assert.ok(from.peer.socket.writableLength > MIB, 'the faster one’s server waits');
      to.peer.resume();
      await to.peer.receives(200 * 100_014 + 8);
      const sent = sentFrames(to.peer.received);
      assert.equal(sent.length, 201);
      for (const [i, payload] of payloads.entries()) assert.ok(payload.equals(sent[i].payload), `${i}`);
      assert.equal(sent[200].opcode, 8);
      await to.peer.write(closeFrame(1000));
      to.peer.end();
      await piping;
      assert.equal(to.connection.readyState, ReadyState.closed);
    });
  });
}

describe('readable', GUARD, () => {
  test('is the same stream each time, and writable too', async (t) => {
    const { connection } = await link(t, false);
    assert.ok(connection.readable instanceof ReadableStream);
    assert.equal(connection.readable, connection.readable);
    assert.ok(connection.writable instanceof WritableStream);
    assert.equal(connection.writable, connection.writable);
  });

  test('writable consumes nothing', async (t) => {
    const { connection, peer } = await link(t, false);
    await connection.writable.getWriter().write('a');
    assert.deepEqual(await receivedLines(peer, 1), ['text a']);
    assert.doesNotThrow(() => connection.iterate());
  });

  test('has what came in the segment of the 101', async (t) => {
    const [{ connection }] = await links(t, false, [{}], Buffer.concat([text('a'), text('b')]));
    const reader = connection.readable.getReader();
    assert.deepEqual([(await reader.read()).value, (await reader.read()).value], ['a', 'b']);
  });

  test('cancel() closes with 1000, and waits for that; a read() that waits ends', async (t) => {
    const rejections = unhandled(t);
    const { connection, peer } = await link(t, false, { closeTimeout: NEVER });
    const reader = connection.readable.getReader();
    const reading = reader.read();
    await turns(1);
    const cancelled = reader.cancel('enough');
    assert.deepEqual(await reading, { done: true, value: undefined });
    assert.deepEqual(await receivedLines(peer, 1), ['close 1000']);
    const outcome = watched(cancelled);
    await turns(5);
    assert.equal(outcome.state, 'pending');
    await peer.write(Buffer.concat([text('late'), closeFrame(1000)]));
    peer.end();
    await cancelled;
    assert.equal(connection.readyState, ReadyState.closed);
    assert.deepEqual(rejections, []);
  });

  test('leaving for await closes with 1000', async (t) => {
    const server = await echoServer({ onConnection: (socket) => socket.send('a') });
    t.after(() => server.close());
    const connection = await connect(server.url);
    for await (const message of connection.readable) {
      assert.equal(message, 'a');
      break;
    }
    assert.deepEqual(await connection.closed, { code: 1000, reason: '', wasClean: true });
  });

  test('ends after a clean close, behind what was kept', async (t) => {
    const { connection, peer } = await link(t, false);
    await peer.write(Buffer.concat([text('a'), text('b'), closeFrame(1001)]));
    peer.end();
    await ended(connection);
    assert.deepEqual(await readAll(connection.readable), ['a', 'b']);
  });

  test('fails with what ended the connection, behind what was kept', async (t) => {
    for (const [how, name] of [
      ['lost', 'ConnectionLostError'],
      ['wrong', 'ProtocolError'],
    ]) {
      const { connection, peer } = await link(t, false);
      await peer.write(Buffer.concat([text('a'), how === 'wrong' ? Buffer.of(0x83, 0) : text('b')]));
      peer.end();
      const { error } = await ended(connection);
      const reader = connection.readable.getReader();
      assert.equal((await reader.read()).value, 'a');
      if (how === 'lost') assert.equal((await reader.read()).value, 'b');
      await assert.rejects(reader.read(), (thrown) => thrown === error);
      await assert.rejects(reader.closed, { name });
    }
  });

  test('pipeThrough(TextDecoderStream): characters that are cut between messages', async (t) => {
    const { connection, peer } = await link(t, false);
    const bytes = Buffer.from('aé水🐟!');
    for (const byte of bytes) peer.socket.write(binary(Buffer.of(byte)));
    peer.socket.write(closeFrame(1000));
    peer.socket.end();
    const bytesOnly = connection.readable as ReadableStream<Buffer<ArrayBuffer>>;
    const decoded = await readAll(bytesOnly.pipeThrough(new TextDecoderStream()));
    assert.equal(decoded.join(''), 'aé水🐟!');
  });

  test('pipeThrough back into writable: an echo', async (t) => {
    const { connection, peer } = await link(t, false, { closeTimeout: NEVER });
    const shout = new TransformStream<string | Buffer, Payload>({
      transform: (chunk, controller) => controller.enqueue(`${chunk}!`),
    });
    const piping = connection.readable.pipeThrough(shout).pipeTo(connection.writable);
    await peer.write(text('a'), text('b'));
    assert.deepEqual(await receivedLines(peer, 2), ['text a!', 'text b!']);
    await peer.write(closeFrame(1000));
    peer.end();
    await piping;
  });
});

describe('writable', GUARD, () => {
  test('one message a chunk: strings as text, bytes of any kind as binary', async (t) => {
    const { connection, peer } = await link(t, false);
    const writer = connection.writable.getWriter();
    const shared = new Uint8Array(new SharedArrayBuffer(1)).fill(0x64);
    const chunks: Payload[] = [
      'a',
      Buffer.from('b'),
      new DataView(Buffer.from('c').buffer, 0, 0),
      shared,
      '',
    ];
    for (const chunk of chunks) await writer.write(chunk);
    assert.deepEqual(await receivedLines(peer, 5), ['text a', 'binary b', 'binary', 'binary d', 'text']);
  });

  test('close() sends Close behind everything written, and waits until the connection is closed', async (t) => {
    const { connection, peer } = await link(t, false, { closeTimeout: NEVER });
    const writer = connection.writable.getWriter();
    void writer.write('a');
    void writer.write('b');
    const closing = writer.close();
    const outcome = watched(closing);
    assert.deepEqual(await receivedLines(peer, 3), ['text a', 'text b', 'close 1000']);
    await turns(5);
    assert.equal(outcome.state, 'pending');
    await peer.write(closeFrame(1000));
    peer.end();
    await closing;
    await writer.closed;
    assert.equal(connection.readyState, ReadyState.closed);
  });

  test('close() fails when the closing handshake does', async (t) => {
    const { connection } = await link(t, false, { closeTimeout: 20 });
    const writer = connection.writable.getWriter();
    writer.closed.catch(() => {});
    await assert.rejects(writer.close(), { name: 'ConnectionLostError', code: 'ERR_CLOSE_TIMEOUT' });
  });

  test('abort() terminates: the server gets no Close frame, readable fails with ERR_TERMINATED', async (t) => {
    const { connection, peer } = await link(t, false);
    const reader = connection.readable.getReader();
    const writer = connection.writable.getWriter();
    const reading = reader.read();
    writer.closed.catch(() => {});
    await writer.abort(new Error('enough'));
    await assert.rejects(reading, { name: 'ConnectionLostError', code: 'ERR_TERMINATED' });
    await peer.closed;
    assert.equal(peer.receivedLength, 0);
    await ended(connection);
  });

  test('a chunk that cannot be sent fails the stream; the connection stays open', async (t) => {
    const { connection, peer } = await link(t, false);
    const writer = connection.writable.getWriter();
    writer.closed.catch(() => {});
    const refused = { name: 'UsageError', code: 'ERR_INVALID_PAYLOAD' };
    await assert.rejects(writer.write(7 as unknown as Payload), refused);
    await assert.rejects(writer.write('a'), refused);
    connection.send('b');
    assert.deepEqual(await receivedLines(peer, 1), ['text b']);
  });

  test('RFC 6455 §5.4: a write while sendStream() sends is ERR_MESSAGE_UNFINISHED', async (t) => {
    const { connection, peer } = await link(t, false);
    let finish!: () => void;
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const sending = connection.sendStream(
      (async function* () {
        yield 'a';
        await finished;
      })(),
    );
    await receivedLines(peer, 1);
    const writer = connection.writable.getWriter();
    writer.closed.catch(() => {});
    await assert.rejects(writer.write('b'), { code: 'ERR_MESSAGE_UNFINISHED' });
    finish();
    await sending;
    assert.deepEqual(await receivedLines(peer, 2), ['…text a', 'continuation']);
  });

  test('the connection is lost while a write() waits for the server to read: it fails', async (t) => {
    const { connection, peer } = await link(t, false);
    peer.pause();
    const writer = connection.writable.getWriter();
    writer.closed.catch(() => {});
    const writes: Promise<void>[] = [];
    while (writes.length < 1_000 && connection.bufferedAmount <= MIB) {
      writes.push(writer.write(patterned(100_000, 1)));
      await turns(1);
    }
    const waiting = watched(writes.at(-1)!);
    await turns(20);
    assert.equal(waiting.state, 'pending');
    peer.reset();
    await ended(connection);
    await turns(1);
    assert.deepEqual(waiting, { state: 'rejected', code: 'ERR_CONNECTION_LOST' });
  });

  test('a write after the connection has ended fails', async (t) => {
    for (const clean of [true, false]) {
      const { connection, peer } = await link(t, false);
      if (clean) await peer.write(closeFrame(1000));
      peer.end();
      await ended(connection);
      const writer = connection.writable.getWriter();
      writer.closed.catch(() => {});
      await assert.rejects(writer.write('a'));
    }
  });

  test('the connection is lost while nothing is written: writer.closed rejects all the same', async (t) => {
    const { connection, peer } = await link(t, false);
    const writer = connection.writable.getWriter();
    const closed = watched(writer.closed);
    peer.end();
    const { error } = await ended(connection);
    assert.ok(error instanceof ConnectionLostError);
    await turns(5);
    assert.deepEqual(closed, { state: 'rejected', code: 'ERR_CONNECTION_LOST' });
  });

  test('the connection is lost while an idle source is piped into it: the pipe ends, and the source is cancelled', async (t) => {
    const { connection, peer } = await link(t, false);
    let cancelled = false;
    const idle = new ReadableStream<string>({
      cancel() {
        cancelled = true;
      },
    });
    const piping = watched(idle.pipeTo(connection.writable));
    await turns(2);
    peer.end();
    await ended(connection);
    await turns(5);
    assert.deepEqual({ piping: piping.state, cancelled }, { piping: 'rejected', cancelled: true });
  });

  test('the server closes cleanly while an idle source is piped into it: the pipe ends, and the source is cancelled', async (t) => {
    const { connection, peer } = await link(t, false);
    let cancelled = false;
    const idle = new ReadableStream<string>({
      cancel() {
        cancelled = true;
      },
    });
    const piping = watched(idle.pipeTo(connection.writable));
    await turns(2);
    await peer.write(closeFrame(1000));
    peer.end();
    await ended(connection);
    await turns(10);
    assert.deepEqual({ piping: piping.state, cancelled }, { piping: 'rejected', cancelled: true });
  });

  test('an ended connection of which nothing was asked for leaves no rejection unhandled', async (t) => {
    const rejections = unhandled(t);
    const one = await link(t, false);
    // Both streams exist, and nobody holds a promise of theirs.
    void one.connection.readable;
    void one.connection.writable;
    await one.peer.write(text('a'));
    await hasRead(one, 3);
    one.peer.reset();
    await ended(one.connection);
    await turns(5);
    assert.deepEqual(rejections, []);
  });
});
