/** `toDuplex()`: the connection as a stream of Node’s, of bytes or of messages. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type Duplex, Readable, Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, type TestContext, test } from 'node:test';
import { createGunzip, createGzip } from 'node:zlib';
import { type Connection, type ConnectOptions, connect, type DuplexOptions } from '../../src/index.js';
import { frameLines, GUARD, receivedLines } from '../connection/wire.js';
import { binary, ended, link, patterned, TRANSPORTS, text, until } from '../leases/link.js';
import { encodeFrame } from '../reference/frame.js';
import { echoServer } from '../server/echo-server.js';
import { turns } from '../server/scripted-server.js';

const MIB = 1024 * 1024;
const NEVER = 2 ** 31 - 1;

function closeFrame(code: number): Buffer {
  return encodeFrame({ opcode: 8, payload: Buffer.of(code >> 8, code & 0xff) });
}

/** As a file is read: 64 KiB at a time, of which no two places look alike. */
function fileLike(bytes: Buffer): Readable {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 65_536) pieces.push(bytes.subarray(at, at + 65_536));
  return Readable.from(pieces, { objectMode: false });
}

/** Digests what it is written; `slowly`: takes a turn or more over each chunk. */
function digesting(slowly = false): { sink: Writable; digest: () => string; length: () => number } {
  const hash = createHash('sha1');
  let length = 0;
  const sink = new Writable({
    write(chunk: Buffer, _encoding, callback) {
      hash.update(chunk);
      length += chunk.length;
      if (slowly) void turns(3).then(() => callback());
      else callback();
    },
  });
  return { sink, digest: () => hash.digest('hex'), length: () => length };
}

function sha1(bytes: Buffer): string {
  return createHash('sha1').update(bytes).digest('hex');
}

/** A connection to `ws`, which echoes. */
async function toEcho(t: TestContext, tls: boolean, options: ConnectOptions = {}): Promise<Connection> {
  const server = await echoServer({ tls });
  t.after(() => server.close());
  return connect(server.url, { tls: server.tls, ...options });
}

/** The stream's events from now on, with the codes of errors. */
function events(stream: Duplex): string[] {
  const seen: string[] = [];
  for (const name of ['end', 'finish', 'close']) stream.on(name, () => void seen.push(name));
  stream.on(
    'error',
    (error: Error & { code?: string }) => void seen.push(`error ${error.code ?? error.message}`),
  );
  return seen;
}

for (const { over, tls } of TRANSPORTS) {
  describe(`toDuplex(), over ${over}`, GUARD, () => {
    test('pipeline() from a file-like source of 8 MiB through an echo, bytes for bytes', async (t) => {
      const connection = await toEcho(t, tls);
      const bytes = patterned(8 * MIB + 123, 1);
      const { sink, digest, length } = digesting();
      await pipeline(fileLike(bytes), connection.toDuplex(), sink);
      assert.equal(length(), bytes.length);
      assert.equal(digest(), sha1(bytes));
      assert.deepEqual(await connection.closed, { code: 1000, reason: '', wasClean: true });
    });

    test('pipeline() whose sink is slow: nothing is lost when the source ends first', async (t) => {
      const connection = await toEcho(t, tls, { closeTimeout: NEVER });
      const bytes = patterned(6 * MIB, 1);
      const { sink, digest, length } = digesting(true);
      await pipeline(fileLike(bytes), connection.toDuplex(), sink);
      assert.equal(length(), bytes.length);
      assert.equal(digest(), sha1(bytes));
    });

    test('a reader that does not read stops the server; then all of it comes', async (t) => {
      const { connection, peer } = await link(t, tls);
      const duplex = connection.toDuplex();
      const payload = patterned(50_000, 1);
      const count = 500;
      for (let i = 0; i < count; i++) peer.socket.write(binary(payload));
      await until(() => connection.stats().bytesReceived >= MIB);
      await turns(50);
      const { bytesReceived } = connection.stats();
      assert.ok(bytesReceived < MIB + 512 * 1024, `${bytesReceived} bytes were read`);
      assert.ok(peer.socket.writableLength > 8 * MIB, `${peer.socket.writableLength} bytes wait`);
      const hash = createHash('sha1');
      let length = 0;
      for await (const chunk of duplex) {
        hash.update(chunk as Buffer);
        length += (chunk as Buffer).length;
        if (length === count * payload.length) break;
      }
      assert.equal(hash.digest('hex'), sha1(Buffer.concat(Array<Buffer>(count).fill(payload))));
    });

    test('a server that does not read makes the source wait', async (t) => {
      const { connection, peer } = await link(t, tls);
      peer.pause();
      const duplex = connection.toDuplex();
      const chunk = patterned(65_536, 1);
      let pulled = 0;
      const endless = new Readable({
        read() {
          pulled++;
          this.push(chunk);
        },
      });
      endless.pipe(duplex);
      await until(() => connection.bufferedAmount > MIB / 2 && duplex.writableNeedDrain);
      await turns(100);
      const { bufferedAmount } = connection;
      assert.ok(bufferedAmount < 2 * MIB, `${bufferedAmount} bytes wait`);
      const before = pulled;
      await turns(100);
      assert.equal(pulled, before, 'the source is asked for no more');
      peer.resume();
      await until(() => pulled > before + 10);
      endless.unpipe(duplex);
      duplex.destroy();
    });

    test('end() sends Close 1000 behind everything written; “finish” when the connection is closed', async (t) => {
      const { connection, peer } = await link(t, tls, { closeTimeout: NEVER });
      const duplex = connection.toDuplex();
      const seen = events(duplex);
      duplex.resume();
      duplex.write('a');
      duplex.end(Buffer.from('b'));
      assert.deepEqual(await receivedLines(peer, 3), ['text a', 'binary b', 'close 1000']);
      await turns(5);
      assert.equal(seen.length, 0);
      await peer.write(closeFrame(1000));
      peer.end();
      await until(() => seen.includes('close'));
      assert.deepEqual(seen.sort(), ['close', 'end', 'finish']);
      assert.deepEqual(await connection.closed, { code: 1000, reason: '', wasClean: true });
    });

    test('what the server sends after end(), before its Close frame, is still read', async (t) => {
      const { connection, peer } = await link(t, tls, { closeTimeout: NEVER });
      const duplex = connection.toDuplex();
      duplex.end();
      assert.deepEqual(await receivedLines(peer, 1), ['close 1000']);
      await peer.write(
        binary(Buffer.from('late')),
        Buffer.concat([binary(Buffer.from('r')), closeFrame(1000)]),
      );
      peer.end();
      const chunks: Buffer[] = [];
      for await (const chunk of duplex) chunks.push(chunk as Buffer);
      assert.equal(Buffer.concat(chunks).toString(), 'later');
    });

    test('destroy() ends the connection at once, without a Close frame', async (t) => {
      const { connection, peer } = await link(t, tls);
      const duplex = connection.toDuplex();
      const seen = events(duplex);
      duplex.destroy();
      assert.equal((await ended(connection)).error?.code, 'ERR_TERMINATED');
      await peer.closed;
      assert.equal(peer.receivedLength, 0);
      await until(() => seen.length > 0);
      assert.deepEqual(seen, ['close']);
    });
  });
}

describe('a Duplex of bytes', GUARD, () => {
  test('what was written as a string is sent as text, bytes as binary; one message a write', async (t) => {
    const { connection, peer } = await link(t, false);
    const duplex = connection.toDuplex();
    duplex.write('a€');
    duplex.write(Buffer.from('b'));
    duplex.write(Uint8Array.of(0x63));
    duplex.write('');
    duplex.write('d');
    const lines = await receivedLines(peer, 4);
    assert.deepEqual(
      lines.filter((line) => line !== 'text'),
      ['text a€', 'binary b', 'binary c', 'text d'],
    );
  });

  test('text: true sends everything as text', async (t) => {
    const { connection, peer } = await link(t, false);
    const duplex = connection.toDuplex({ text: true });
    duplex.write('a');
    duplex.write(Buffer.from('€'));
    assert.deepEqual(await receivedLines(peer, 2), ['text a', 'text €']);
  });

  test('text: true: a character that is cut between two chunks, as a file’s reading cuts it', async (t) => {
    const { connection, peer } = await link(t, false, { closeTimeout: NEVER });
    const duplex = connection.toDuplex({ text: true });
    duplex.on('error', () => {});
    const bytes = Buffer.from('aé水🐟!');
    for (const byte of bytes) duplex.write(Buffer.of(byte));
    duplex.end();
    await until(() => duplex.destroyed || frameLines(peer.received).includes('close 1000'));
    const lines = frameLines(peer.received);
    assert.equal(lines.pop(), 'close 1000');
    assert.equal(lines.map((line) => line.replace(/^text ?/, '')).join(''), 'aé水🐟!');
  });

  test('text: true: bytes that are not UTF-8 destroy it with ERR_INVALID_PAYLOAD', async (t) => {
    const { connection } = await link(t, false);
    const duplex = connection.toDuplex({ text: true });
    const seen = events(duplex);
    duplex.write(Buffer.of(0x61, 0xff, 0x62));
    await turns(10);
    assert.deepEqual(seen, ['error ERR_INVALID_PAYLOAD', 'close']);
  });

  test('a string in another encoding is the bytes it stands for', async (t) => {
    const { connection, peer } = await link(t, false);
    const duplex = connection.toDuplex();
    duplex.write('00ff10', 'hex');
    duplex.write('AP8Q', 'base64');
    duplex.write('\xe9', 'latin1');
    await until(() => peer.frames().length === 3);
    assert.deepEqual(
      peer.frames().map(({ payload }) => payload.toString('hex')),
      ['00ff10', '00ff10', 'e9'],
    );
  });

  test('text is read as its UTF-8; empty messages are nothing', async (t) => {
    const { connection, peer } = await link(t, false);
    const empty = Buffer.concat([text(''), binary(Buffer.alloc(0))]);
    const many = Buffer.concat(Array<Buffer>(300).fill(empty));
    await peer.write(
      Buffer.concat([many, text('é'), many, binary(Buffer.of(0, 255)), many, closeFrame(1000)]),
    );
    peer.end();
    const chunks: Buffer[] = [];
    for await (const chunk of connection.toDuplex()) chunks.push(chunk as Buffer);
    assert.equal(Buffer.concat(chunks).toString('hex'), 'c3a900ff');
  });

  test('setEncoding() and readline work on it', async (t) => {
    const { connection, peer } = await link(t, false);
    const duplex = connection.toDuplex();
    for (const byte of Buffer.from('one é\ntwo 水\n')) peer.socket.write(binary(Buffer.of(byte)));
    peer.socket.write(closeFrame(1000));
    peer.end();
    const lines: string[] = [];
    for await (const line of createInterface({ input: duplex })) lines.push(line);
    assert.deepEqual(lines, ['one é', 'two 水']);
  });

  test('pipeline() with transforms on both sides', async (t) => {
    const connection = await toEcho(t, false);
    const bytes = patterned(2 * MIB, 1);
    const { sink, digest } = digesting();
    await pipeline(fileLike(bytes), createGzip({ level: 1 }), connection.toDuplex(), createGunzip(), sink);
    assert.equal(digest(), sha1(bytes));
  });
});

describe('a Duplex of messages, objectMode', GUARD, () => {
  const objectMode: DuplexOptions = { objectMode: true };

  test('one chunk a message, both ways: strings and Buffers, empty ones too', async (t) => {
    const connection = await toEcho(t, false);
    const duplex = connection.toDuplex(objectMode);
    const messages = ['a', '', Buffer.alloc(0), Buffer.of(1), '€😀', 'z'.repeat(100_000)];
    for (const message of messages) duplex.write(message);
    const seen: unknown[] = [];
    for await (const message of duplex) {
      seen.push(message);
      if (seen.length === messages.length) break;
    }
    assert.deepEqual(seen, messages);
  });

  test('ArrayBuffers and views of all kinds are sent; text: true sends them as text', async (t) => {
    const { connection, peer } = await link(t, false);
    const duplex = connection.toDuplex({ objectMode: true, text: true });
    const bytes = Uint8Array.from([0x61, 0x62]);
    for (const chunk of [bytes.buffer, new DataView(bytes.buffer, 1), new Uint16Array(bytes.buffer), 'c']) {
      duplex.write(chunk);
    }
    assert.deepEqual(await receivedLines(peer, 4), ['text ab', 'text b', 'text ab', 'text c']);
  });

  test('a chunk that cannot be sent destroys it with ERR_INVALID_PAYLOAD', async (t) => {
    const { connection } = await link(t, false);
    const duplex = connection.toDuplex(objectMode);
    const seen = events(duplex);
    duplex.write({ not: 'a payload' });
    await until(() => seen.length === 2);
    assert.deepEqual(seen, ['error ERR_INVALID_PAYLOAD', 'close']);
    assert.equal((await ended(connection)).error?.code, 'ERR_TERMINATED');
  });

  test('pipeline() through a transform of messages, and back', async (t) => {
    const { connection, peer } = await link(t, false, { closeTimeout: NEVER });
    const duplex = connection.toDuplex(objectMode);
    const answer = new Transform({
      objectMode: true,
      transform: (message: string, _encoding, callback) => callback(null, message.toUpperCase()),
    });
    const running = pipeline(duplex, answer, duplex);
    await peer.write(text('a'), text('b'));
    assert.deepEqual(await receivedLines(peer, 2), ['text A', 'text B']);
    await peer.write(closeFrame(1000));
    peer.end();
    await running;
  });
});

describe('how a Duplex ends', GUARD, () => {
  test('the server closes cleanly: “end” behind what was kept, then “close”', async (t) => {
    const { connection, peer } = await link(t, false);
    const duplex = connection.toDuplex();
    const seen = events(duplex);
    const chunks: Buffer[] = [];
    duplex.on('data', (chunk: Buffer) => void chunks.push(chunk));
    await peer.write(Buffer.concat([text('a'), text('b'), closeFrame(1001)]));
    peer.end();
    await ended(connection);
    await turns(10);
    assert.equal(Buffer.concat(chunks).toString(), 'ab');
    // There is no half of a WebSocket connection left to write to.
    assert.deepEqual(seen, ['end', 'finish', 'close']);
  });

  test('the connection is lost: “error” with what ended it, behind what was kept, then “close”', async (t) => {
    for (const [bytes, code] of [
      [text('a'), 'ERR_CONNECTION_LOST'],
      [Buffer.concat([text('a'), Buffer.of(0x83, 0)]), 'ERR_RESERVED_OPCODE'],
    ] as const) {
      const { connection, peer } = await link(t, false);
      const duplex = connection.toDuplex();
      const seen = events(duplex);
      const chunks: Buffer[] = [];
      duplex.on('data', (chunk: Buffer) => void chunks.push(chunk));
      await peer.write(bytes);
      peer.end();
      await until(() => seen.includes('close'));
      assert.equal(Buffer.concat(chunks).toString(), 'a');
      assert.deepEqual(seen, [`error ${code}`, 'close']);
    }
  });

  test('the connection is lost while a write waits for the server to read: “error”', async (t) => {
    const { connection, peer } = await link(t, false);
    peer.pause();
    const duplex = connection.toDuplex();
    const seen = events(duplex);
    let last: Error | null | undefined;
    for (let i = 0; connection.bufferedAmount <= MIB; i++) {
      assert.ok(i < 1_000);
      duplex.write(patterned(100_000, 1), (error) => {
        last = error;
      });
      await turns(1);
    }
    await turns(10);
    assert.equal(seen.length, 0);
    peer.reset();
    await until(() => seen.includes('close'));
    assert.deepEqual(seen, ['error ERR_CONNECTION_LOST', 'close']);
    assert.equal((last as { code?: string } | undefined)?.code, 'ERR_CONNECTION_LOST');
  });

  test('the server does not complete the closing handshake: “error” ERR_CLOSE_TIMEOUT after end()', async (t) => {
    const { connection } = await link(t, false, { closeTimeout: 20 });
    const duplex = connection.toDuplex();
    const seen = events(duplex);
    duplex.resume();
    duplex.end();
    await until(() => seen.includes('close'));
    assert.deepEqual(seen, ['error ERR_CLOSE_TIMEOUT', 'close']);
  });

  test('destroy(error) emits that error, and terminates', async (t) => {
    const { connection } = await link(t, false);
    const duplex = connection.toDuplex();
    const seen = events(duplex);
    duplex.resume();
    await turns(1);
    duplex.destroy(new Error('enough'));
    assert.equal((await ended(connection)).error?.code, 'ERR_TERMINATED');
    await turns(5);
    assert.deepEqual(seen, ['error enough', 'close']);
  });

  test('a source that fails: pipeline() rejects with its error, and the connection is terminated', async (t) => {
    const { connection, peer } = await link(t, false);
    const reason = new Error('the disk is gone');
    const source = Readable.from(
      (function* () {
        yield Buffer.from('a');
        throw reason;
      })(),
    );
    const { sink } = digesting();
    await assert.rejects(pipeline(source, connection.toDuplex(), sink), (error) => error === reason);
    assert.equal((await ended(connection)).error?.code, 'ERR_TERMINATED');
    await peer.closed;
    assert.ok(!frameLines(peer.received).some((line) => line.startsWith('close')));
  });

  test('a sink that fails: pipeline() rejects with its error, and the connection is terminated', async (t) => {
    const { connection, peer } = await link(t, false);
    const reason = new Error('the disk is full');
    const sink = new Writable({ write: (_chunk, _encoding, callback) => callback(reason) });
    const running = pipeline(connection.toDuplex(), sink);
    await peer.write(text('a'));
    await assert.rejects(running, (error) => error === reason);
    assert.equal((await ended(connection)).error?.code, 'ERR_TERMINATED');
  });

  test('leaving for await destroys it', async (t) => {
    const { connection, peer } = await link(t, false);
    const duplex = connection.toDuplex();
    await peer.write(text('a'));
    for await (const chunk of duplex) {
      assert.equal(String(chunk), 'a');
      break;
    }
    assert.equal(duplex.destroyed, true);
    assert.equal((await ended(connection)).error?.code, 'ERR_TERMINATED');
  });

  test('of a connection that has ended, it still gives what was kept', async (t) => {
    const { connection, peer } = await link(t, false);
    await peer.write(Buffer.concat([text('a'), closeFrame(1000)]));
    peer.end();
    await ended(connection);
    const duplex = connection.toDuplex();
    const chunks: Buffer[] = [];
    duplex.on('data', (chunk: Buffer) => void chunks.push(chunk));
    await once(duplex, 'end');
    assert.equal(Buffer.concat(chunks).toString(), 'a');
    duplex.on('error', () => {});
    const refused = await new Promise((resolve) => duplex.write('b', resolve));
    assert.ok(refused instanceof Error);
  });
});

describe('text: true and characters that are cut', GUARD, () => {
  test('bytes that end inside a character send no empty message for it', async (t) => {
    const { connection, peer } = await link(t, false);
    const duplex = connection.toDuplex({ text: true });
    for (const byte of Buffer.from('水a')) duplex.write(Buffer.of(byte));
    assert.deepEqual(await receivedLines(peer, 2), ['text 水', 'text a']);
  });

  test('end() inside a character is ERR_INVALID_PAYLOAD: what was held would be lost', async (t) => {
    const { connection, peer } = await link(t, false);
    const duplex = connection.toDuplex({ text: true });
    const seen = events(duplex);
    duplex.end(Buffer.from('a水').subarray(0, 3));
    await turns(10);
    assert.deepEqual(seen, ['error ERR_INVALID_PAYLOAD', 'close']);
    assert.deepEqual(frameLines(peer.received), ['text a']);
  });

  test('a string behind a cut character is ERR_INVALID_PAYLOAD: it must not overtake what is held', async (t) => {
    const { connection, peer } = await link(t, false);
    const duplex = connection.toDuplex({ text: true });
    const seen = events(duplex);
    duplex.write(Buffer.from('水').subarray(0, 2));
    duplex.write('a');
    await turns(10);
    assert.deepEqual(seen, ['error ERR_INVALID_PAYLOAD', 'close']);
    assert.ok(!frameLines(peer.received).includes('text a'));
  });

  test('objectMode: each chunk is a whole message: a cut character is ERR_INVALID_PAYLOAD', async (t) => {
    const { connection } = await link(t, false);
    const duplex = connection.toDuplex({ objectMode: true, text: true });
    const seen = events(duplex);
    duplex.write(Buffer.from('a水').subarray(0, 3));
    await turns(10);
    assert.deepEqual(seen, ['error ERR_INVALID_PAYLOAD', 'close']);
  });
});
