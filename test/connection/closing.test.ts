/** How connections end: the closing handshake of RFC 6455 §7, failing a connection, and everything less orderly. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { ConnectOptions } from '../../src/connect.js';
import { type Connection, ReadyState } from '../../src/connection.js';
import { ConnectionLostError, ProtocolError } from '../../src/errors.js';
import type { CloseInfo } from '../../src/report.js';
import { ended, type Link, link, TRANSPORTS, text, until } from '../leases/link.js';
import { encodeFrame } from '../reference/frame.js';
import { turns } from '../server/scripted-server.js';
import { frameLines, GUARD, receivedLines } from './wire.js';

/** A Close frame; without a code, an empty one. */
function close(code?: number, reason: string | Uint8Array = ''): Buffer {
  const payload =
    code === undefined ? [] : [Buffer.of(code >> 8, code & 0xff), Buffer.from(reason as string)];
  return encodeFrame({ opcode: 8, payload: Buffer.concat(payload) });
}

const ping = (payload: string): Buffer => encodeFrame({ opcode: 9, payload: Buffer.from(payload) });

/** Longer than any test runs: what ends a connection then is not the deadline. */
const NEVER = 2 ** 31 - 1;

/** How the connection ended, the error as its code. */
async function outcome({ connection }: Link): Promise<Omit<CloseInfo, 'error'> & { error?: string }> {
  const { error, ...rest } = await ended(connection);
  return error === undefined ? rest : { ...rest, error: error.code };
}

describe('RFC 6455 §7.1.2: close()', GUARD, () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`sends a Close frame, waits for the server’s, and for the server to close TCP, over ${over}`, async (t) => {
      const made = await link(t, tls, { closeTimeout: NEVER });
      const { connection, peer } = made;
      let closed = false;
      const closing = connection.close(1000, 'done');
      void closing.then(() => (closed = true));
      assert.equal(connection.readyState, ReadyState.closing);
      assert.deepEqual(await receivedLines(peer, 1), ['close 1000 done']);

      let ended = false;
      void peer.ended.then(() => (ended = true));
      await peer.write(close(1000, 'bye'));
      await turns(20);
      assert.deepEqual(
        { closed, ended },
        { closed: false, ended: false },
        '§7.1.1: the server closes TCP first',
      );
      assert.equal(connection.readyState, ReadyState.closing);

      peer.end();
      assert.deepEqual(await closing, { code: 1000, reason: 'bye', wasClean: true });
      assert.equal(connection.readyState, ReadyState.closed);
      await peer.closed;
      assert.deepEqual(
        frameLines(peer.received),
        ['close 1000 done'],
        'one Close frame, and nothing behind it',
      );
    });
  }

  test('sends code 1000 when none is given', async (t) => {
    const { connection, peer } = await link(t, false);
    void connection.close();
    await peer.receives(8);
    assert.equal(peer.frames()[0].payload.toString('hex'), '03e8');
  });

  test('RFC 6455 §7.4: sends the codes that may be sent', async (t) => {
    const codes = [
      1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
    ];
    for (const code of codes) {
      const { connection, peer } = await link(t, false);
      void connection.close(code, `because of ${code}`);
      assert.deepEqual(await receivedLines(peer, 1), [`close ${code} because of ${code}`]);
      connection.terminate();
    }
  });

  test('RFC 6455 §7.4, §5.5: refuses other codes and longer reasons; the connection stays open', async (t) => {
    const { connection, peer } = await link(t, false);
    for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535, -1, 1.5, Number.NaN]) {
      assert.throws(() => connection.close(code), { name: 'UsageError', code: 'ERR_CLOSE_CODE' });
    }
    for (const reason of ['x'.repeat(124), `${'€'.repeat(41)}x`]) {
      assert.throws(() => connection.close(1000, reason), { name: 'UsageError', code: 'ERR_CLOSE_REASON' });
    }
    assert.equal(connection.readyState, ReadyState.open);
    connection.send('still here');
    void connection.close(1000, '€'.repeat(41));
    assert.deepEqual(await receivedLines(peer, 2), ['text still here', `close 1000 ${'€'.repeat(41)}`]);
  });

  test('twice gives the same promise and sends one Close frame', async (t) => {
    const { connection, peer } = await link(t, false);
    const first = connection.close(1000, 'first');
    const second = connection.close(1001, 'second');
    assert.equal(first, second);
    assert.equal(first, connection.closed);
    assert.deepEqual(await receivedLines(peer, 1), ['close 1000 first']);
    await peer.write(close(1000));
    peer.end();
    await first;
    assert.equal(connection.close(), first, 'a closed connection as well');
    await peer.closed;
    assert.deepEqual(frameLines(peer.received), ['close 1000 first']);
  });

  test('leaves behind everything that was sent before', async (t) => {
    const { connection, peer } = await link(t, false, { maxBufferedAmount: 64 * 1024 * 1024 });
    peer.pause();
    const message = Buffer.alloc(1_000_000, 'x');
    for (let i = 0; i < 12; i++) connection.send(message);
    assert.ok(connection.bufferedAmount > 0, 'the kernel took everything: the test shows nothing');
    connection.send('last');
    const closing = connection.close();
    peer.resume();
    await peer.receives(12 * 1_000_014 + 10 + 8);
    assert.deepEqual(frameLines(peer.received.subarray(12 * 1_000_014)), ['text last', 'close 1000']);
    await peer.write(close(1000));
    peer.end();
    assert.equal((await closing).wasClean, true);
  });

  test('messages that come before the server’s Close frame are delivered', async (t) => {
    const messages: string[] = [];
    const { connection, peer } = await link(t, false, {
      onMessage: (message) => void messages.push(message.text()),
    });
    const closing = connection.close();
    await peer.write(text('a'), Buffer.concat([text('b'), text('c'), close(1001)]));
    peer.end();
    assert.deepEqual(await closing, { code: 1001, reason: '', wasClean: true });
    assert.deepEqual(messages, ['a', 'b', 'c']);
  });

  test('in onMessage: the rest of the read is delivered, the handshake completes', async (t) => {
    const messages: string[] = [];
    const { connection, peer } = await link(t, false, {
      onMessage(message, receiving) {
        messages.push(message.text());
        if (messages.length === 1) void receiving.close(4000, 'enough');
      },
    });
    await peer.write(Buffer.concat([text('a'), text('b'), text('c')]));
    assert.deepEqual(await receivedLines(peer, 1), ['close 4000 enough']);
    await peer.write(Buffer.concat([text('d'), close(4000)]));
    peer.end();
    assert.deepEqual(await connection.closed, { code: 4000, reason: '', wasClean: true });
    assert.deepEqual(messages, ['a', 'b', 'c', 'd']);
  });

  test('with nobody to take the messages that wait: they are dropped, the handshake completes', async (t) => {
    const made = await link(t, false, { closeTimeout: NEVER });
    const { connection, peer } = made;
    await peer.write(text('a'), text('b'));
    await until(() => connection.stats().bytesReceived > 0);
    void connection.close();
    await receivedLines(peer, 1);
    await peer.write(text('c'), close(1000));
    peer.end();
    assert.deepEqual(await outcome(made), { code: 1000, reason: '', wasClean: true });
  });

  test('by Symbol.asyncDispose: closes with 1000 and waits for the end', async (t) => {
    const { connection, peer } = await link(t, false);
    let disposed = false;
    const disposing = connection[Symbol.asyncDispose]().then(() => (disposed = true));
    assert.deepEqual(await receivedLines(peer, 1), ['close 1000']);
    assert.equal(disposed, false);
    await peer.write(close(1000));
    peer.end();
    await disposing;
    assert.equal(connection.readyState, ReadyState.closed);
    await connection[Symbol.asyncDispose]();
  });
});

describe('RFC 6455 §5.5.1: the server’s Close frame', GUARD, () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`is answered with its code, then the server closes TCP, over ${over}`, async (t) => {
      const made = await link(t, tls, { closeTimeout: NEVER });
      const { connection, peer } = made;
      await peer.write(close(1001, 'going away'));
      assert.deepEqual(await receivedLines(peer, 1), ['close 1001']);
      assert.equal(connection.readyState, ReadyState.closing);
      assert.throws(() => connection.send('late'), { code: 'ERR_NOT_OPEN' });
      let ended = false;
      void peer.ended.then(() => (ended = true));
      await turns(20);
      assert.equal(ended, false, '§7.1.1');
      peer.end();
      assert.deepEqual(await outcome(made), { code: 1001, reason: 'going away', wasClean: true });
    });
  }

  test('RFC 6455 §7.4: every code that may be on the wire is echoed', async (t) => {
    for (const code of [1000, 1003, 1007, 1011, 1014, 3000, 4000, 4999]) {
      const made = await link(t, false);
      await made.peer.write(close(code, 'é€😀'));
      assert.deepEqual(await receivedLines(made.peer, 1), [`close ${code}`]);
      made.peer.end();
      assert.deepEqual(await outcome(made), { code, reason: 'é€😀', wasClean: true });
    }
  });

  test('RFC 6455 §7.1.5: an empty one is answered by an empty one, and is 1005', async (t) => {
    const made = await link(t, false);
    await made.peer.write(close());
    assert.deepEqual(await receivedLines(made.peer, 1), ['close']);
    made.peer.end();
    assert.deepEqual(await outcome(made), { code: 1005, reason: '', wasClean: true });
  });

  test('RFC 6455 §5.5.1: what comes behind it is ignored', async (t) => {
    const messages: string[] = [];
    const made = await link(t, false, { onMessage: (message) => void messages.push(message.text()) });
    const { peer } = made;
    await peer.write(
      Buffer.concat([text('a'), close(1000), text('b'), ping('1'), Buffer.from('ffff', 'hex')]),
      Buffer.concat([text('c'), ping('2'), close(1001)]),
    );
    peer.end();
    assert.deepEqual(await outcome(made), { code: 1000, reason: '', wasClean: true });
    assert.deepEqual(messages, ['a']);
    await peer.closed;
    assert.deepEqual(frameLines(peer.received), ['close 1000']);
  });

  test('RFC 6455 §7.1.2: both sides at once: one Close frame each, and both are content', async (t) => {
    const made = await link(t, false);
    const { connection, peer } = made;
    await peer.write(close(1001, 'server'));
    // The server's frame is in our kernel, unread.
    const closing = connection.close(4000, 'client');
    await receivedLines(peer, 1);
    peer.end();
    assert.deepEqual(await closing, { code: 1001, reason: 'server', wasClean: true });
    await peer.closed;
    assert.deepEqual(frameLines(peer.received), ['close 4000 client']);
  });

  test('RFC 6455 §7.4: a code that may not be on the wire is a protocol error, answered with 1002', async (t) => {
    for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]) {
      const made = await link(t, false);
      await made.peer.write(close(code, 'x'));
      assert.deepEqual(await receivedLines(made.peer, 1), ['close 1002']);
      made.peer.end();
      assert.deepEqual(await outcome(made), {
        code: 1006,
        reason: '',
        wasClean: false,
        error: 'ERR_CLOSE_CODE',
      });
    }
  });

  test('behind messages that waited for a listener: the handshake completes when they have been taken', async (t) => {
    const made = await link(t, false, { closeTimeout: NEVER });
    const { connection, peer } = made;
    const messages: string[] = [];
    await peer.write(Buffer.concat([text('a'), text('b'), close(1001)]));
    await until(() => connection.stats().bytesReceived > 0);
    await turns(3);
    connection.onMessage = (message) => void messages.push(message.text());
    assert.deepEqual(await receivedLines(peer, 1), ['close 1001']);
    peer.end();
    assert.deepEqual(await outcome(made), { code: 1001, reason: '', wasClean: true });
    assert.deepEqual(messages, ['a', 'b']);
  });

  test('behind a message at which delivery was paused: the handshake completes after resume()', async (t) => {
    const made = await link(t, false, {
      closeTimeout: NEVER,
      onMessage: (_, connection) => connection.pause(),
    });
    const { connection, peer } = made;
    await peer.write(Buffer.concat([text('a'), close(1001)]));
    await until(() => connection.isPaused);
    await turns(3);
    connection.resume();
    assert.deepEqual(await receivedLines(peer, 1), ['close 1001']);
    peer.end();
    assert.deepEqual(await outcome(made), { code: 1001, reason: '', wasClean: true });
  });
});

describe('closeTimeout', GUARD, () => {
  /** Lets the deadline pass, once the connection has read `count` bytes; until then no time passes. */
  async function expire(t: TestContext, { connection }: Link, count: number): Promise<void> {
    await until(() => connection.stats().bytesReceived === count);
    await turns(5);
    assert.notEqual(connection.readyState, ReadyState.closed);
    t.mock.timers.tick(CLOSE_TIMEOUT);
  }

  const CLOSE_TIMEOUT = 5_000;

  async function stopped(t: TestContext, options: ConnectOptions = {}): Promise<Link> {
    const made = await link(t, false, options);
    t.mock.timers.enable({ apis: ['setTimeout'] });
    t.after(() => t.mock.timers.reset());
    return made;
  }

  test('ends the wait for the server’s Close frame: 1006, ERR_CLOSE_TIMEOUT', async (t) => {
    const made = await stopped(t);
    void made.connection.close();
    await expire(t, made, 0);
    assert.deepEqual(await outcome(made), {
      code: 1006,
      reason: '',
      wasClean: false,
      error: 'ERR_CLOSE_TIMEOUT',
    });
    await made.peer.closed;
    assert.deepEqual(frameLines(made.peer.received), ['close 1000']);
  });

  test('is an option', async (t) => {
    const made = await link(t, false, { closeTimeout: 1 });
    void made.connection.close();
    assert.deepEqual(await outcome(made), {
      code: 1006,
      reason: '',
      wasClean: false,
      error: 'ERR_CLOSE_TIMEOUT',
    });
  });

  test('while paused: the error says that the answer may lie unread', async (t) => {
    const { connection, peer } = await link(t, false, { closeTimeout: 50 });
    connection.pause();
    await peer.write(close(1000));
    void connection.close();
    const { code, error } = await ended(connection);
    assert.deepEqual([code, error?.code], [1006, 'ERR_CLOSE_TIMEOUT']);
    assert.match(error!.message, /within 50 ms; its answer may lie unread, since the connection is paused/);
    // Then there is nothing to pause any more.
    connection.resume();
    connection.pause();
    assert.equal(connection.isPaused, false);
  });

  test('RFC 6455 §7.1.1: ends the wait for the server to close TCP: the handshake was clean', async (t) => {
    const made = await stopped(t);
    void made.connection.close();
    await made.peer.write(close(1000, 'bye'));
    await expire(t, made, 7);
    assert.deepEqual(await outcome(made), { code: 1000, reason: 'bye', wasClean: true });
  });

  test('RFC 6455 §7.1.1: ends the wait for the server to close TCP after a Close frame of its own, too', async (t) => {
    const made = await stopped(t);
    await made.peer.write(close(1001));
    await expire(t, made, 4);
    assert.deepEqual(await outcome(made), { code: 1001, reason: '', wasClean: true });
  });

  test('RFC 6455 §7.1.7: ends the wait for the server to close TCP when it broke the protocol', async (t) => {
    const made = await stopped(t);
    // It does not even read our FIN.
    made.peer.pause();
    await made.peer.write(Buffer.from('8300', 'hex'));
    await expire(t, made, 2);
    assert.deepEqual(await outcome(made), {
      code: 1006,
      reason: '',
      wasClean: false,
      error: 'ERR_RESERVED_OPCODE',
    });
  });

  test('ends a handshake that a peer who does not read cannot complete', async (t) => {
    const made = await stopped(t, { maxBufferedAmount: 64 * 1024 * 1024 });
    made.peer.pause();
    for (let i = 0; i < 12; i++) made.connection.send(Buffer.alloc(1_000_000));
    assert.ok(made.connection.bufferedAmount > 0);
    void made.connection.close();
    await expire(t, made, 0);
    assert.deepEqual(await outcome(made), {
      code: 1006,
      reason: '',
      wasClean: false,
      error: 'ERR_CLOSE_TIMEOUT',
    });
  });
});

for (const { over, tls } of TRANSPORTS) {
  describe(`RFC 6455 §7.1.5: a connection that is lost is 1006, over ${over}`, GUARD, () => {
    const before: Record<string, Buffer> = {
      '': Buffer.alloc(0),
      ' in the middle of a frame': Buffer.from('810561', 'hex'),
      ' in the middle of a message': Buffer.from('010161', 'hex'),
    };
    for (const [when, bytes] of Object.entries(before)) {
      test(`FIN without a Close frame${when}`, async (t) => {
        const messages: string[] = [];
        const made = await link(t, tls, { onMessage: (message) => void messages.push(message.text()) });
        await made.peer.write(text('a'), bytes);
        made.peer.end();
        const info = await ended(made.connection);
        assert.ok(info.error instanceof ConnectionLostError);
        assert.deepEqual(await outcome(made), {
          code: 1006,
          reason: '',
          wasClean: false,
          error: 'ERR_CONNECTION_LOST',
        });
        assert.deepEqual(messages, ['a']);
      });
    }

    test('RST: the cause tells', async (t) => {
      const made = await link(t, tls, { onMessage: () => {} });
      made.peer.reset();
      const { error, ...rest } = await ended(made.connection);
      assert.deepEqual(rest, { code: 1006, reason: '', wasClean: false });
      assert.ok(error instanceof ConnectionLostError);
      assert.equal(error.code, 'ERR_CONNECTION_LOST');
      assert.equal((error.cause as NodeJS.ErrnoException).code, 'ECONNRESET');
    });

    test('RST while delivery is paused: the error counts what was read and is lost', async (t) => {
      const messages: string[] = [];
      const { connection, peer } = await link(t, tls, {
        onMessage(message, own) {
          messages.push(message.text());
          own.pause();
        },
      });
      await peer.write(Buffer.concat([text('a'), text('bc'), text('d')]));
      await until(() => messages.length === 1);
      peer.reset();
      // A socket that is paused tells of it only when it is written to.
      await until(() => connection.readyState !== ReadyState.open || !connection.send('x'));
      const { error } = await ended(connection);
      assert.equal(error?.code, 'ERR_CONNECTION_LOST');
      assert.match(error!.message, /; 7 bytes read while delivery waited are lost$/);
      assert.deepEqual(messages, ['a']);
    });

    test('FIN, or RST, instead of an answer to our Close frame', async (t) => {
      for (const end of ['end', 'reset'] as const) {
        const made = await link(t, tls);
        void made.connection.close();
        await receivedLines(made.peer, 1);
        made.peer[end]();
        assert.deepEqual(await outcome(made), {
          code: 1006,
          reason: '',
          wasClean: false,
          error: 'ERR_CONNECTION_LOST',
        });
      }
    });

    test('RST behind the server’s Close frame takes nothing from anybody: the handshake was clean', async (t) => {
      const made = await link(t, tls);
      await made.peer.write(close(1000, 'bye'));
      await receivedLines(made.peer, 1);
      made.peer.reset();
      assert.deepEqual(await outcome(made), { code: 1000, reason: 'bye', wasClean: true });
    });
  });
}

describe('RFC 6455 §7.1.7: a server that breaks the protocol is told why', GUARD, () => {
  const failures: readonly (readonly [
    title: string,
    wire: string,
    closeCode: number,
    code: string,
    section: string,
  ])[] = [
    ['§5.2: a reserved bit', 'c10161', 1002, 'ERR_RESERVED_BITS', '5.2'],
    ['§5.1: a masked frame', '81810000000061', 1002, 'ERR_MASKED_FRAME', '5.1'],
    ['§5.4: a continuation of nothing', '8000', 1002, 'ERR_UNEXPECTED_CONTINUATION', '5.4'],
    ['§5.5.1: a Close frame of one byte', '880103', 1002, 'ERR_CLOSE_PAYLOAD', '5.5.1'],
    ['§8.1: text that is not UTF-8', '8101ff', 1007, 'ERR_INVALID_UTF8', '8.1'],
    ['§8.1: text that is not UTF-8, in an unfinished frame', '8105ff', 1007, 'ERR_INVALID_UTF8', '8.1'],
    ['§5.5.1: a close reason that is not UTF-8', '880303e8ff', 1007, 'ERR_CLOSE_REASON', '5.5.1'],
    ['§10.4: a message above maxMessageSize', '827e007e', 1009, 'ERR_MESSAGE_TOO_LARGE', '10.4'],
  ];
  for (const [title, wire, closeCode, code, section] of failures) {
    test(`${title}: Close with ${closeCode}, then FIN; nothing more is taken`, async (t) => {
      const messages: string[] = [];
      const made = await link(t, false, {
        maxMessageSize: 100,
        closeTimeout: NEVER,
        onMessage: (message) => void messages.push(message.text()),
      });
      const { connection, peer } = made;
      await peer.write(Buffer.concat([text('before'), Buffer.from(wire, 'hex'), text('behind'), ping('1')]));
      await peer.ended;
      assert.deepEqual(frameLines(peer.received), [`close ${closeCode}`]);
      const { error, ...rest } = await ended(connection);
      assert.deepEqual(rest, { code: 1006, reason: '', wasClean: false });
      assert.ok(error instanceof ProtocolError);
      assert.deepEqual([error.code, error.closeCode, error.section], [code, closeCode, section]);
      assert.deepEqual(messages, ['before']);
    });
  }

  test('over TLS', async (t) => {
    const made = await link(t, true, { closeTimeout: NEVER });
    await made.peer.write(Buffer.from('8300', 'hex'));
    await made.peer.ended;
    assert.deepEqual(frameLines(made.peer.received), ['close 1002']);
    assert.deepEqual(await outcome(made), {
      code: 1006,
      reason: '',
      wasClean: false,
      error: 'ERR_RESERVED_OPCODE',
    });
  });

  test('a Close frame that answers ours makes nothing of it undone', async (t) => {
    const made = await link(t, false, { closeTimeout: NEVER });
    await made.peer.write(Buffer.from('8300', 'hex'), close(1002));
    made.peer.end();
    assert.deepEqual(await outcome(made), {
      code: 1006,
      reason: '',
      wasClean: false,
      error: 'ERR_RESERVED_OPCODE',
    });
  });

  test('while we are closing, without a second Close frame', async (t) => {
    const made = await link(t, false, { closeTimeout: NEVER });
    void made.connection.close();
    await made.peer.write(Buffer.from('8300', 'hex'));
    await made.peer.ended;
    assert.deepEqual(frameLines(made.peer.received), ['close 1000']);
    assert.deepEqual(await outcome(made), {
      code: 1006,
      reason: '',
      wasClean: false,
      error: 'ERR_RESERVED_OPCODE',
    });
  });

  test('behind a message that waited for a listener, once it has been taken', async (t) => {
    const made = await link(t, false, { closeTimeout: NEVER });
    const { connection, peer } = made;
    await peer.write(Buffer.concat([text('a'), Buffer.from('8300', 'hex')]));
    await until(() => connection.stats().bytesReceived > 0);
    await turns(3);
    connection.onMessage = () => {};
    await peer.ended;
    assert.deepEqual(frameLines(peer.received), ['close 1002']);
    assert.deepEqual(await outcome(made), {
      code: 1006,
      reason: '',
      wasClean: false,
      error: 'ERR_RESERVED_OPCODE',
    });
  });
});

describe('terminate()', GUARD, () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`ends the connection at once, with RST where that can be sent, over ${over}`, async (t) => {
      const made = await link(t, tls);
      const { connection, peer } = made;
      const errors: (string | undefined)[] = [];
      peer.socket.on('error', ({ code }: NodeJS.ErrnoException) => errors.push(code));
      connection.terminate();
      assert.notEqual(connection.readyState, ReadyState.open);
      assert.deepEqual(await outcome(made), {
        code: 1006,
        reason: '',
        wasClean: false,
        error: 'ERR_TERMINATED',
      });
      await peer.closed;
      assert.equal(peer.receivedLength, 0, 'no Close frame');
      if (!tls) assert.deepEqual(errors, ['ECONNRESET']);
    });
  }

  test('in onMessage, behind pause(): nothing is kept', async (t) => {
    const messages: string[] = [];
    const made = await link(t, false, {
      onMessage(message, connection) {
        messages.push(message.text());
        connection.pause();
        connection.terminate();
        connection.resume();
      },
    });
    await made.peer.write(Buffer.concat([text('a'), text('b')]));
    assert.equal((await outcome(made)).error, 'ERR_TERMINATED');
    await turns(5);
    assert.deepEqual(messages, ['a']);
  });

  test('in onMessage: the rest of the read is discarded', async (t) => {
    const messages: string[] = [];
    const made = await link(t, false, {
      onMessage(message, connection) {
        messages.push(message.text());
        connection.terminate();
      },
    });
    await made.peer.write(Buffer.concat([text('a'), text('b'), close(1000)]));
    assert.deepEqual(await outcome(made), {
      code: 1006,
      reason: '',
      wasClean: false,
      error: 'ERR_TERMINATED',
    });
    assert.deepEqual(messages, ['a']);
  });

  test('while our FIN waits to be sent: ended all the same (libuv resets nothing that is being shut down)', async (t) => {
    const made = await link(t, false, {
      closeTimeout: NEVER,
      onMessage: (_, connection) => queueMicrotask(() => connection.terminate()),
    });
    // The second frame fails the connection, which ends our side; then comes the microtask.
    await made.peer.write(Buffer.concat([text('a'), encodeFrame({ opcode: 3 })]));
    const { error } = await outcome(made);
    assert.equal(error, 'ERR_RESERVED_OPCODE');
    await made.peer.closed;
  });

  test('while closing, and twice, and when all is over', async (t) => {
    const made = await link(t, false, { closeTimeout: NEVER });
    void made.connection.close();
    await receivedLines(made.peer, 1);
    made.connection.terminate();
    made.connection.terminate();
    assert.deepEqual(await outcome(made), {
      code: 1006,
      reason: '',
      wasClean: false,
      error: 'ERR_TERMINATED',
    });
    made.connection.terminate();
    assert.equal(made.connection.readyState, ReadyState.closed);
  });
});

describe('whatever ends a connection', GUARD, () => {
  const endings: Record<string, (made: Link) => unknown> = {
    'our close()': async ({ connection, peer }) => {
      void connection.close();
      await peer.write(close(1000));
      peer.end();
    },
    'the server’s Close frame': async ({ peer }) => {
      await peer.write(close(1000));
      peer.end();
    },
    closeTimeout: ({ connection }) => void connection.close(),
    FIN: ({ peer }) => peer.end(),
    RST: ({ peer }) => peer.reset(),
    'a protocol error': ({ peer }) => peer.write(Buffer.from('8300', 'hex')),
    'terminate()': ({ connection }) => connection.terminate(),
    'terminate() in onClose': ({ peer }) => peer.end(),
  };
  for (const { over, tls } of TRANSPORTS) {
    for (const [how, end] of Object.entries(endings)) {
      test(`${how}, over ${over}: closed resolves, onClose is called once, and no timer, no handle is left`, async (t) => {
        const { made, handlesBefore } = await watched(t, tls, { closeTimeout: 30 });
        const { connection, peer, server } = made;
        const calls: [info: CloseInfo, closed: Connection, readyState: number][] = [];
        connection.onClose = (info, closed) => {
          calls.push([info, closed, closed.readyState]);
          if (how === 'terminate() in onClose') closed.terminate();
        };
        await end(made);
        const info = await ended(connection);
        assert.equal(await connection.closed, info);
        await peer.closed;
        await server.close();
        await turns(5);
        assert.equal(calls.length, 1);
        assert.equal(calls[0][0], info);
        assert.equal(calls[0][1], connection);
        assert.equal(calls[0][2], ReadyState.closed);
        assert.deepEqual(handles(), handlesBefore);
      });
    }
  }

  async function watched(t: TestContext, tls: boolean, options: ConnectOptions) {
    // What the process itself keeps open is there before.
    await turns(2);
    const handlesBefore = handles();
    return { handlesBefore, made: await link(t, tls, options) };
  }

  /** Timers and sockets that keep a process alive. */
  function handles(): string[] {
    const kinds = ['Timeout', 'TCPSocketWrap', 'TCPServerWrap', 'TLSWrap', 'TCPConnectWrap', 'WriteWrap'];
    return process
      .getActiveResourcesInfo()
      .filter((kind) => kinds.includes(kind))
      .sort();
  }
});
