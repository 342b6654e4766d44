/** Messages that nobody has taken yet, and who comes for them: a listener that is set later, or `for await`. */
import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { WebSocket } from 'ws';
import {
  type Connection,
  type ConnectOptions,
  connect,
  type IterateOptions,
  type Message,
  ReadyState,
} from '../../src/index.js';
import { GUARD, receivedLines } from '../connection/wire.js';
import {
  binary,
  contentOf,
  ended,
  hasRead,
  type Link,
  link,
  links,
  patterned,
  print,
  TRANSPORTS,
  text,
  until,
} from '../leases/link.js';
import { encodeFrame } from '../reference/frame.js';
import { echoServer } from '../server/echo-server.js';
import { scriptedServer, turns } from '../server/scripted-server.js';

const MIB = 1024 * 1024;

/** Longer than any test runs: what ends a connection then is not the deadline. */
const NEVER = 2 ** 31 - 1;

function closeFrame(code: number): Buffer {
  return encodeFrame({ opcode: 8, payload: Buffer.of(code >> 8, code & 0xff) });
}

function ping(payload: string): Buffer {
  return encodeFrame({ opcode: 9, payload: Buffer.from(payload) });
}

/** The numbers from `from` up to, not including, `to`. */
function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => String(from + i));
}

/** A text message for each of them. */
function numbered(from: number, to: number): Buffer {
  return Buffer.concat(numbers(from, to).map(text));
}

type Iterator = AsyncIterator<string | Buffer, undefined>;

async function take(iterator: Iterator, count: number): Promise<(string | Buffer)[]> {
  const taken: (string | Buffer)[] = [];
  while (taken.length < count) {
    const { done, value } = await iterator.next();
    assert.ok(!done, `it ended after ${taken.length} of ${count} messages`);
    taken.push(value);
  }
  return taken;
}

/** Everything a loop sees, and the code of the error that it ends with. */
async function loop(
  messages: AsyncIterable<string | Buffer>,
): Promise<{ seen: (string | Buffer)[]; error?: string }> {
  const seen: (string | Buffer)[] = [];
  try {
    for await (const message of messages) seen.push(message);
  } catch (error) {
    return { seen, error: (error as { code: string }).code };
  }
  return { seen };
}

/** A connection to a server that is `ws`, and the server's end of it. */
async function linkToWs(
  t: TestContext,
  tls: boolean,
  options: ConnectOptions = {},
): Promise<{ connection: Connection; socket: WebSocket; closedWith: Promise<number> }> {
  const sockets: WebSocket[] = [];
  const server = await echoServer({ tls, onConnection: (socket) => void sockets.push(socket) });
  t.after(() => server.close());
  const connection = await connect(server.url, { tls: server.tls, ...options });
  await until(() => sockets.length === 1);
  const [socket] = sockets;
  return { connection, socket, closedWith: once(socket, 'close').then(([code]) => code as number) };
}

for (const { over, tls } of TRANSPORTS) {
  describe(`without a consumer, messages are kept from the first byte on, over ${over}`, GUARD, () => {
    const first = [text('a'), binary(Buffer.of(1, 2)), text('')];
    const later = [text('€😀'), binary(Buffer.alloc(0)), text('\ufeffb')];
    const expected = ['a', Buffer.of(1, 2), '', '€😀', Buffer.alloc(0), '\ufeffb'];

    test('for await: what came in the segment of the 101, and what came later, in order', async (t) => {
      const wire = Buffer.concat([...first, ...later]);
      // The response’s segment ends inside a character.
      const cut = Buffer.concat(first).length + 4;
      const [one] = await links(t, tls, [{}], wire.subarray(0, cut));
      await one.peer.write(wire.subarray(cut));
      await hasRead(one, wire.length);
      assert.deepEqual(await take(one.connection.iterate(), 6), expected);
    });

    test('an iterator that waits before they come gets them as they come', async (t) => {
      const [one] = await links(t, tls, [{}]);
      const messages = one.connection[Symbol.asyncIterator]();
      const taking = take(messages, 6);
      await one.peer.write(...first, ...later);
      assert.deepEqual(await taking, expected);
    });

    test('onMessage set later: the same, through the cursor, and never from within the assignment', async (t) => {
      const wire = Buffer.concat(first);
      const [one] = await links(t, tls, [{}], wire);
      await hasRead(one, wire.length);
      const setAt = performance.now();
      const seen: string[] = [];
      const early: boolean[] = [];
      const cursors: Message[] = [];
      one.connection.onMessage = (message, connection) => {
        seen.push(contentOf(message));
        assert.equal(message.text(), message.copy().toString());
        early.push(message.receivedAt <= setAt);
        cursors.push(message);
        assert.equal(connection, one.connection);
        // A cursor is valid until its callback returns, whichever way the message came.
        if (cursors.length > 1) assert.equal(cursors[cursors.length - 2], message);
      };
      assert.equal(seen.length, 0, 'within the assignment');
      await turns(1);
      assert.equal(seen.length, 3);
      assert.throws(() => cursors[0].text(), { code: 'ERR_MESSAGE_EXPIRED' });
      one.connection.onMessage = (message) => {
        seen.push(contentOf(message));
        early.push(message.receivedAt <= setAt);
      };
      await one.peer.write(Buffer.concat(later));
      await until(() => seen.length === 6);
      const contents = expected.map((message) =>
        typeof message === 'string' ? print(Buffer.from(message), true) : print(message),
      );
      assert.deepEqual(seen, contents);
      assert.deepEqual(early, [true, true, true, false, false, false], 'receivedAt');
    });

    test('pause() inside the delivery of what was kept stops it; resume() goes on, reads after it', async (t) => {
      const [one] = await links(t, tls, [{}], numbered(0, 7));
      const { connection, peer } = one;
      await hasRead(one, numbered(0, 7).length);
      const seen: string[] = [];
      connection.onMessage = (message) => {
        seen.push(message.text());
        if (seen.length % 3 === 0) connection.pause();
      };
      await turns(2);
      assert.deepEqual(seen, numbers(0, 3));
      await peer.write(numbered(7, 12));
      for (const count of [6, 9]) {
        connection.resume();
        assert.equal(seen.length, count - 3, 'resume() delivers nothing itself');
        await until(() => connection.isPaused);
        await turns(5);
        assert.deepEqual(seen, numbers(0, count));
      }
      connection.resume();
      await until(() => seen.length === 12);
      assert.deepEqual(seen, numbers(0, 12));
    });

    test('a flood is stopped by TCP at 1 MiB; memory is bounded; all of it comes when somebody takes it', async (t) => {
      const one = await link(t, tls);
      const { connection, peer } = one;
      const big = binary(patterned(16 * 1024, 1));
      const count = 2_000;
      const { arrayBuffers } = process.memoryUsage();
      // One buffer for all: what memory grows by is the client’s.
      for (let i = 0; i < count; i++) {
        peer.socket.write(text(String(i)));
        peer.socket.write(big);
      }
      await until(() => connection.stats().bytesReceived >= MIB);
      await turns(100);
      const { bytesReceived } = connection.stats();
      assert.ok(bytesReceived < MIB + 256 * 1024, `${bytesReceived} bytes were read`);
      const waiting = peer.socket.writableLength;
      assert.ok(waiting > 16 * MIB, `${waiting} bytes of 32 MiB wait at the server`);
      const growth = process.memoryUsage().arrayBuffers - arrayBuffers;
      assert.ok(growth < 8 * MIB, `memory grew by ${growth} bytes`);
      await turns(50);
      assert.equal(connection.stats().bytesReceived, bytesReceived, 'reading has stopped');

      const messages = connection.iterate();
      for (let i = 0; i < count; i++) {
        assert.equal((await messages.next()).value, String(i));
        const { value } = await messages.next();
        assert.ok(big.subarray(4).equals(value as Buffer), `message ${i}`);
      }
    });

    test('RFC 6455 §5.5.3: pings are answered until a message has to wait: the 1 025th', async (t) => {
      const one = await link(t, tls);
      const { connection, peer } = one;
      const kept = Buffer.concat([numbered(0, 1_024), ping('full')]);
      await peer.write(kept);
      assert.deepEqual(await receivedLines(peer, 1), ['pong full']);
      await peer.write(ping('still'));
      assert.deepEqual(await receivedLines(peer, 2), ['pong full', 'pong still']);

      await peer.write(text('1024'));
      await hasRead(one, kept.length + ping('still').length + text('1024').length);
      await peer.write(ping('later'), text('1025'));
      await turns(20);
      assert.equal(peer.frames().length, 2);

      const messages = connection.iterate();
      assert.deepEqual(await take(messages, 511), numbers(0, 511));
      await turns(20);
      assert.equal(peer.frames().length, 2, 'reads go on when half has been taken, not before');
      assert.deepEqual(await take(messages, 1), ['511']);
      assert.deepEqual(await receivedLines(peer, 3), ['pong full', 'pong still', 'pong later']);
      assert.deepEqual(await take(messages, 514), numbers(512, 1_026));
    });

    test('one message larger than the bound passes, and the next one', async (t) => {
      const one = await link(t, tls);
      const large = patterned(3 * MIB, 1);
      const long = `${'a'.repeat(2 * MIB - 1)}€`;
      await one.peer.write(Buffer.concat([binary(large), text(long), text('small')]));
      await until(() => one.connection.stats().bytesReceived > 3 * MIB);
      const messages = one.connection.iterate();
      assert.ok(large.equals((await messages.next()).value as Buffer));
      assert.ok((await messages.next()).value === long);
      assert.deepEqual(await take(messages, 1), ['small']);
    });
  });

  describe(`how a loop ends, over ${over}`, GUARD, () => {
    test('after a clean close by the server, when everything kept has been taken', async (t) => {
      const one = await link(t, tls);
      await one.peer.write(Buffer.concat([numbered(0, 3), closeFrame(1001)]));
      one.peer.end();
      assert.equal((await ended(one.connection)).code, 1001);
      const messages = one.connection.iterate();
      assert.deepEqual(await loop(messages), { seen: numbers(0, 3) });
      assert.deepEqual(await messages.next(), { done: true, value: undefined });
    });

    test('the server’s Close frame, and TCP’s end, wait behind messages: all are taken before the end', async (t) => {
      const one = await link(t, tls);
      const wire = Buffer.concat([numbered(0, 3_000), closeFrame(1000)]);
      await one.peer.write(wire);
      one.peer.end();
      await until(() => one.connection.stats().bytesReceived > 1_024 * 5);
      await turns(20);
      assert.equal(one.connection.readyState, ReadyState.open);
      assert.deepEqual(await loop(one.connection), { seen: numbers(0, 3_000) });
    });

    test('TCP’s end without a Close frame waits behind messages: all are taken before the error', async (t) => {
      const one = await link(t, tls);
      await one.peer.write(numbered(0, 3_000));
      one.peer.end();
      await until(() => one.connection.stats().bytesReceived > 1_024 * 5);
      await turns(20);
      const { seen, error } = await loop(one.connection);
      assert.equal(seen.length, 3_000);
      assert.equal(error, 'ERR_CONNECTION_LOST');
    });

    test('when the server closed together with the 101', async (t) => {
      const [one] = await links(t, tls, [{}], Buffer.concat([numbered(0, 2), closeFrame(1000)]));
      one.peer.end();
      assert.deepEqual(await loop(one.connection), { seen: numbers(0, 2) });
    });

    test('RFC 6455 §7.1.5: TCP ends without a Close frame: ConnectionLostError, behind what came before, once', async (t) => {
      for (const how of ['end', 'reset'] as const) {
        const one = await link(t, tls);
        await one.peer.write(numbered(0, 3));
        await hasRead(one, numbered(0, 3).length);
        one.peer[how]();
        const messages = one.connection.iterate();
        assert.deepEqual(await take(messages, 3), numbers(0, 3));
        await assert.rejects(messages.next(), {
          name: 'ConnectionLostError',
          code: 'ERR_CONNECTION_LOST',
        });
        assert.deepEqual(await messages.next(), { done: true, value: undefined });
      }
    });

    test('RFC 6455 §7.1.7: the server breaks the protocol: ProtocolError, behind what came before', async (t) => {
      const one = await link(t, tls);
      await one.peer.write(Buffer.concat([numbered(0, 3), Buffer.from('8380', 'hex'), text('unread')]));
      assert.deepEqual(await receivedLines(one.peer, 1), ['close 1002']);
      one.peer.end();
      const messages = one.connection.iterate();
      assert.deepEqual(await take(messages, 3), numbers(0, 3));
      await assert.rejects(messages.next(), (error: Error) => {
        assert.equal(error.name, 'ProtocolError');
        assert.equal((error as { section?: string }).section, '5.2');
        return true;
      });
      assert.deepEqual(await messages.next(), { done: true, value: undefined });
    });
  });

  describe(`leaving the loop, over ${over}`, GUARD, () => {
    const thrown = new Error('thrown in the loop');
    const leave: Record<string, (messages: AsyncIterable<unknown>) => Promise<void>> = {
      async break(messages) {
        for await (const _ of messages) break;
      },
      async return(messages) {
        for await (const _ of messages) return;
      },
      async throw(messages) {
        for await (const _ of messages) throw thrown;
      },
    };
    for (const [how, left] of Object.entries(leave)) {
      test(`by ${how} closes the connection, and waits for that: ws sees 1000`, async (t) => {
        const { connection, socket, closedWith } = await linkToWs(t, tls);
        socket.send('a');
        socket.send('b');
        if (how === 'throw') await assert.rejects(left(connection), (error) => error === thrown);
        else await left(connection);
        assert.equal(connection.readyState, ReadyState.closed);
        assert.equal(await closedWith, 1000);
      });

      test(`by ${how} with preventClose does not, and the next consumer gets what follows`, async (t) => {
        const { connection, socket, closedWith } = await linkToWs(t, tls);
        for (const message of ['a', 'b', 'c']) socket.send(message);
        const leaving = left(connection.iterate({ preventClose: true }));
        if (how === 'throw') await assert.rejects(leaving, (error) => error === thrown);
        else await leaving;
        assert.equal(connection.readyState, ReadyState.open);
        socket.send('d');
        const messages = connection.iterate();
        assert.deepEqual(await take(messages, 3), ['b', 'c', 'd']);
        await messages.return();
        assert.equal(await closedWith, 1000);
      });
    }

    test('while the server floods: what is kept, and what comes, is dropped, so that its Close is seen', async (t) => {
      const one = await link(t, tls, { closeTimeout: NEVER });
      const frame = binary(patterned(50_000, 1));
      for (let i = 0; i < 100; i++) one.peer.socket.write(frame);
      for await (const _ of one.connection) {
        await until(() => one.connection.stats().bytesReceived >= MIB);
        void receivedLines(one.peer, 1).then(() => {
          one.peer.socket.write(closeFrame(1000));
          one.peer.end();
        });
        break;
      }
      assert.deepEqual(await one.connection.closed, { code: 1000, reason: '', wasClean: true });
      assert.equal(one.connection.stats().bytesReceived, 100 * frame.length + 4);
    });
  });
}

describe('what was kept, given to a listener', GUARD, () => {
  async function kept(t: TestContext, count: number, options: ConnectOptions = {}): Promise<Link> {
    const one = await link(t, false, options);
    await one.peer.write(numbered(0, count));
    await hasRead(one, numbered(0, count).length);
    return one;
  }

  test('isLastInRead marks the last of them', async (t) => {
    const { connection } = await kept(t, 3);
    const last: boolean[] = [];
    connection.onMessage = (message) => void last.push(message.isLastInRead);
    await turns(1);
    assert.deepEqual(last, [false, false, true]);
  });

  test('a new message waits until all of them have been delivered', async (t) => {
    const { connection, peer } = await kept(t, 3);
    const seen: string[] = [];
    connection.onMessage = (message) => {
      seen.push(message.text());
      if (seen.length === 1) connection.pause();
    };
    await turns(1);
    await peer.write(numbered(3, 5));
    await turns(10);
    assert.deepEqual(seen, numbers(0, 1));
    connection.resume();
    await until(() => seen.length === 5);
    assert.deepEqual(seen, numbers(0, 5));
  });

  test('a pause() at the last of them holds back what is read later', async (t) => {
    const { connection, peer } = await kept(t, 2);
    const seen: string[] = [];
    connection.onMessage = (message) => {
      seen.push(message.text());
      if (seen.length === 2) connection.pause();
    };
    await turns(1);
    await peer.write(numbered(2, 4));
    await turns(10);
    assert.deepEqual(seen, numbers(0, 2));
    connection.resume();
    await until(() => seen.length === 4);
    assert.deepEqual(seen, numbers(0, 4));
  });

  test('set before a pause() ends, it gets them only then', async (t) => {
    const { connection } = await kept(t, 2);
    connection.pause();
    const seen: string[] = [];
    connection.onMessage = (message) => void seen.push(message.text());
    await turns(5);
    assert.deepEqual(seen, []);
    connection.resume();
    assert.deepEqual(seen, [], 'resume() delivers nothing itself');
    await turns(1);
    assert.deepEqual(seen, numbers(0, 2));
  });

  test('another listener set meanwhile gets the rest; none: the rest is kept', async (t) => {
    const { connection } = await kept(t, 7);
    const seen: string[][] = [[], []];
    const second = (message: Message): void => {
      seen[1].push(message.text());
      if (seen[1].length === 3) connection.onMessage = undefined;
    };
    connection.onMessage = (message) => {
      seen[0].push(message.text());
      if (seen[0].length === 2) connection.onMessage = second;
    };
    await turns(3);
    assert.deepEqual(seen, [numbers(0, 2), numbers(2, 5)]);
    assert.deepEqual(await take(connection.iterate(), 2), numbers(5, 7));
  });

  test('a listener taken away before its first call is never called; an iterator gets them', async (t) => {
    const { connection } = await kept(t, 2);
    connection.onMessage = () => assert.fail('it was called');
    connection.onMessage = undefined;
    const messages = connection.iterate();
    await turns(2);
    assert.deepEqual(await take(messages, 2), numbers(0, 2));
  });

  test('lease rule 5: an exception of the listener’s reaches the process, and the others are delivered', async (t) => {
    const caught: unknown[] = [];
    process.setUncaughtExceptionCaptureCallback((error) => void caught.push(error));
    t.after(() => process.setUncaughtExceptionCaptureCallback(null));
    const { connection, peer } = await kept(t, 3);
    const seen: string[] = [];
    connection.onMessage = (message) => {
      seen.push(message.text());
      throw new Error(`thrown at ${message.text()}`);
    };
    await peer.write(text('3'));
    await until(() => caught.length === 4);
    assert.deepEqual(seen, numbers(0, 4));
    assert.deepEqual(
      caught.map((error) => (error as Error).message),
      seen.map((message) => `thrown at ${message}`),
    );
  });

  test('lease rule 6: nothing is delivered after terminate() in it', async (t) => {
    const { connection } = await kept(t, 5);
    const seen: string[] = [];
    connection.onMessage = (message) => {
      seen.push(message.text());
      if (seen.length === 2) connection.terminate();
    };
    await ended(connection);
    assert.deepEqual(seen, numbers(0, 2));
  });

  test('close() in it: those behind are still delivered, and what comes before the server’s Close', async (t) => {
    const { connection, peer } = await kept(t, 3);
    const seen: string[] = [];
    connection.onMessage = (message) => {
      seen.push(message.text());
      if (seen.length === 1) void connection.close();
    };
    assert.deepEqual(await receivedLines(peer, 1), ['close 1000']);
    await peer.write(Buffer.concat([numbered(3, 5), closeFrame(1000)]));
    peer.end();
    assert.equal((await ended(connection)).wasClean, true);
    assert.deepEqual(seen, numbers(0, 5));
  });

  test('a listener that returns a promise is warned of, as it is when messages are read', async (t) => {
    const warnings: string[] = [];
    const note = (warning: Error & { code?: string }): void => void warnings.push(warning.code ?? '');
    process.on('warning', note);
    t.after(() => process.off('warning', note));
    const { connection } = await kept(t, 1);
    let called = false;
    connection.onMessage = async () => {
      called = true;
    };
    await until(() => called);
    await turns(5);
    assert.deepEqual(warnings, ['ERR_ASYNC_ON_MESSAGE']);
  });

  test('the connection has ended meanwhile: they are still delivered', async (t) => {
    const { connection, peer } = await kept(t, 3);
    await peer.write(closeFrame(1000));
    peer.end();
    await ended(connection);
    const seen: string[] = [];
    connection.onMessage = (message) => void seen.push(message.text());
    await turns(1);
    assert.deepEqual(seen, numbers(0, 3));
  });
});

describe('messages have one consumer', GUARD, () => {
  const consumers: Record<string, (connection: Connection) => unknown> = {
    onMessage: (connection) => {
      connection.onMessage = () => {};
    },
    'for await': (connection) => connection[Symbol.asyncIterator](),
    'iterate()': (connection) => connection.iterate({ preventClose: true }),
    readable: (connection) => connection.readable,
    'toDuplex()': (connection) => connection.toDuplex(),
  };
  const refused = { name: 'UsageError', code: 'ERR_ALREADY_CONSUMED' };
  /** A listener may be replaced, and `readable` is the same stream each time. */
  const repeatable = ['onMessage', 'readable'];

  for (const [first, consume] of Object.entries(consumers)) {
    for (const [second, consumeToo] of Object.entries(consumers)) {
      if (first === second && repeatable.includes(first)) continue;
      test(`${first}, then ${second}: ERR_ALREADY_CONSUMED`, async (t) => {
        const { connection } = await link(t, false);
        consume(connection);
        assert.throws(() => consumeToo(connection), refused);
        assert.throws(() => consumeToo(connection), refused, 'the refused one has changed nothing');
      });
    }
  }

  test('the first is not disturbed by those that are refused', async (t) => {
    const { connection, peer } = await link(t, false);
    const messages = connection.iterate();
    const taking = take(messages, 2);
    await peer.write(text('0'));
    for (const consume of Object.values(consumers)) assert.throws(() => consume(connection), refused);
    await peer.write(text('1'));
    assert.deepEqual(await taking, numbers(0, 2));
  });

  test('onMessage given to connect() is a consumer; set to undefined, it is none', async (t) => {
    const seen: string[] = [];
    const one = await link(t, false, { onMessage: (message) => void seen.push(message.text()) });
    assert.throws(() => one.connection.iterate(), refused);
    await one.peer.write(text('0'));
    await hasRead(one, 3);
    one.connection.onMessage = undefined;
    await one.peer.write(text('1'));
    await hasRead(one, 6);
    assert.deepEqual(seen, ['0']);
    assert.deepEqual(await take(one.connection.iterate(), 1), ['1']);
  });

  test('onMessage = undefined does not disturb an iterator', async (t) => {
    const { connection, peer } = await link(t, false);
    const messages = connection.iterate();
    connection.onMessage = undefined;
    await peer.write(numbered(0, 2));
    assert.deepEqual(await take(messages, 1), ['0']);
    connection.onMessage = undefined;
    assert.deepEqual(await take(messages, 1), ['1']);
  });

  for (const [next, consume] of Object.entries(consumers)) {
    test(`after preventClose, ${next} is allowed`, async (t) => {
      const { connection } = await link(t, false);
      await connection.iterate({ preventClose: true }).return();
      consume(connection);
      assert.throws(() => connection.iterate(), refused);
    });
  }

  test('a second return() of the first iterator does not take the second one’s place', async (t) => {
    const { connection, peer } = await link(t, false);
    const first = connection.iterate({ preventClose: true });
    await first.return();
    const second = connection.iterate();
    await first.return();
    assert.deepEqual(await first.next(), { done: true, value: undefined });
    assert.throws(() => connection.iterate(), refused);
    await peer.write(text('0'));
    assert.deepEqual(await take(second, 1), ['0']);
  });

  test('property: whoever comes and goes, each message is delivered once, in order', async (t) => {
    const server = await scriptedServer();
    t.after(() => server.close());
    const step = fc.record({
      send: fc.nat(8),
      consumer: fc.constantFrom('nobody', 'iterator', 'listener', 'pausing listener'),
      take: fc.integer({ min: 1, max: 8 }),
      turns: fc.nat(2),
    });
    let connections = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const connection = await connect(server.url);
        const peer = await server.peer(connections++);
        const seen: (string | Buffer)[] = [];
        let sent = 0;
        for (const { send, consumer, take: wanted, turns: count } of steps) {
          if (send > 0) peer.socket.write(numbered(sent, sent + send));
          sent += send;
          await turns(count);
          const goal = Math.min(sent, seen.length + wanted);
          if (goal === seen.length || consumer === 'nobody') continue;
          if (consumer === 'iterator') {
            for await (const message of connection.iterate({ preventClose: true })) {
              seen.push(message);
              if (seen.length === goal) break;
            }
            continue;
          }
          connection.onMessage = (message) => {
            seen.push(message.text());
            if (seen.length !== goal) return;
            if (consumer === 'pausing listener') connection.pause();
            connection.onMessage = undefined;
          };
          await until(() => seen.length >= goal);
          connection.resume();
        }
        peer.socket.write(numbered(sent, sent + 1));
        connection.onMessage = (message) => void seen.push(message.text());
        await until(() => seen.length > sent);
        assert.deepEqual(seen, numbers(0, sent + 1));
        connection.terminate();
      }),
      { numRuns: 60 },
    );
  });
});

describe('an iterator', GUARD, () => {
  test('serves several next() in their order, each with one message', async (t) => {
    const { connection, peer } = await link(t, false);
    const messages = connection.iterate();
    const waiting = Array.from({ length: 5 }, () => messages.next());
    await peer.write(numbered(0, 2), numbered(2, 5));
    const results = await Promise.all(waiting);
    assert.deepEqual(
      results.map(({ value }) => value),
      numbers(0, 5),
    );
  });

  test('several next() when the connection is closed: all end', async (t) => {
    const { connection, peer } = await link(t, false);
    const messages = connection.iterate();
    const waiting = Array.from({ length: 3 }, () => messages.next());
    await peer.write(Buffer.concat([text('0'), closeFrame(1000)]));
    peer.end();
    const done = { done: true, value: undefined };
    assert.deepEqual(await Promise.all(waiting), [{ done: false, value: '0' }, done, done]);
  });

  test('several next() when the connection is lost: the first rejects, the others end', async (t) => {
    const { connection, peer } = await link(t, false);
    const messages = connection.iterate();
    const waiting = Array.from({ length: 4 }, () => messages.next());
    await peer.write(text('0'));
    peer.end();
    const [message, lost, ...rest] = await Promise.allSettled(waiting);
    assert.deepEqual(message, { status: 'fulfilled', value: { done: false, value: '0' } });
    assert.equal(lost.status === 'rejected' && lost.reason.code, 'ERR_CONNECTION_LOST');
    const done = { status: 'fulfilled', value: { done: true, value: undefined } };
    assert.deepEqual(rest, [done, done]);
  });

  test('return() ends those that wait, and closes; a second one closes nothing', async (t) => {
    const { connection, peer } = await link(t, false, { closeTimeout: NEVER });
    const messages = connection.iterate();
    const waiting = [messages.next(), messages.next()];
    const returned = messages.return();
    const done = { done: true, value: undefined };
    assert.deepEqual(await Promise.all(waiting), [done, done], 'before the connection is closed');
    assert.deepEqual(await messages.return(), done);
    assert.deepEqual(await receivedLines(peer, 1), ['close 1000']);
    await peer.write(closeFrame(1000));
    peer.end();
    assert.deepEqual(await returned, done);
    assert.deepEqual(await messages.next(), done);
  });

  test('gives Buffers that are one’s own: reads that follow do not change them', async (t) => {
    const { connection, peer } = await link(t, false);
    const payloads = [10, 1_000, 70_000, 300_000, 5, 30_000].map((length, i) => patterned(length, i));
    await peer.write(...payloads.map(binary), ...payloads.map((_, i) => binary(patterned(300_000, 10 + i))));
    const taken = await take(connection.iterate(), 2 * payloads.length);
    for (const [i, payload] of payloads.entries()) assert.ok(payload.equals(taken[i] as Buffer), `${i}`);
  });

  test('a fragmented message is one message (RFC 6455 §5.4)', async (t) => {
    const { connection, peer } = await link(t, false);
    const euro = Buffer.from('€');
    await peer.write(
      encodeFrame({ fin: false, opcode: 1, payload: euro.subarray(0, 1) }),
      Buffer.concat([ping('between'), encodeFrame({ fin: false, opcode: 0, payload: euro.subarray(1, 2) })]),
      encodeFrame({ opcode: 0, payload: euro.subarray(2) }),
    );
    assert.deepEqual(await take(connection.iterate(), 1), ['€']);
  });

  test('of a connection that was lost rejects again for the next who iterates', async (t) => {
    const { connection } = await link(t, false);
    connection.terminate();
    for (let i = 0; i < 2; i++)
      assert.deepEqual(await loop(connection), { seen: [], error: 'ERR_TERMINATED' });
  });

  test('RFC 6455 §7.1.1: close() inside the loop: it goes on until the server’s Close frame', async (t) => {
    const { connection, peer } = await link(t, false, { closeTimeout: NEVER });
    await peer.write(text('0'));
    const seen: (string | Buffer)[] = [];
    for await (const message of connection) {
      seen.push(message);
      if (seen.length > 1) continue;
      void connection.close(4000, 'enough');
      assert.deepEqual(await receivedLines(peer, 1), ['close 4000 enough']);
      await peer.write(text('1'), Buffer.concat([text('2'), closeFrame(4000)]));
      peer.end();
    }
    assert.deepEqual(seen, numbers(0, 3));
  });

  test('close() with more on its way than can be kept: the loop sees all of it, or ends with an error', async (t) => {
    const one = await link(t, false, { closeTimeout: NEVER });
    const { connection, peer } = one;
    const wire = numbered(0, 2_000);
    await peer.write(wire);
    await hasRead(one, wire.length);
    const messages = connection.iterate();
    assert.deepEqual(await take(messages, 1), ['0']);
    void connection.close();
    assert.deepEqual(await receivedLines(peer, 1), ['close 1000']);
    await turns(5);
    const seen = await take(messages, 1_000);
    await peer.write(Buffer.concat([numbered(2_000, 2_100), closeFrame(1000)]));
    peer.end();
    const { seen: rest, error } = await loop(messages);
    seen.push(...rest);
    const gap = seen.findIndex((message, i) => message !== String(1 + i));
    assert.equal(gap, -1, `${seen[gap - 1]} is followed by ${seen[gap]}`);
    if (error === undefined) assert.equal(seen.length, 2_099);
  });

  test('the server does not complete the closing handshake: ERR_CLOSE_TIMEOUT', async (t) => {
    const { connection, peer } = await link(t, false, { closeTimeout: 20 });
    await peer.write(text('0'));
    const messages = connection.iterate();
    assert.deepEqual(await take(messages, 1), ['0']);
    void connection.close();
    assert.deepEqual(await loop(messages), { seen: [], error: 'ERR_CLOSE_TIMEOUT' });
  });
});

describe('an iterator’s signal', GUARD, () => {
  const reason = new Error('enough');
  const aborted = { name: 'HeartwireError', code: 'ERR_ABORTED', cause: reason };
  const listening = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

  for (const { over, tls } of TRANSPORTS) {
    test(`aborts a next() that waits: ERR_ABORTED, and ws sees 1000, over ${over}`, async (t) => {
      const { connection, socket, closedWith } = await linkToWs(t, tls);
      const controller = new AbortController();
      socket.send('0');
      const messages = connection.iterate({ signal: controller.signal });
      assert.deepEqual(await take(messages, 1), ['0']);
      const waiting = messages.next();
      await turns(2);
      controller.abort(reason);
      await assert.rejects(waiting, aborted);
      assert.equal(listening(controller.signal), 0);
      assert.deepEqual(await messages.next(), { done: true, value: undefined });
      assert.equal(await closedWith, 1000);
    });
  }

  test('with preventClose the connection stays open, and the next consumer gets what follows', async (t) => {
    const { connection, peer } = await link(t, false);
    const controller = new AbortController();
    const waiting = connection.iterate({ signal: controller.signal, preventClose: true }).next();
    controller.abort(reason);
    await assert.rejects(waiting, aborted);
    await peer.write(numbered(0, 2));
    assert.equal(connection.readyState, ReadyState.open);
    assert.deepEqual(await take(connection.iterate(), 2), numbers(0, 2));
  });

  test('several next() that wait: none is left waiting', async (t) => {
    const { connection } = await link(t, false);
    const controller = new AbortController();
    const messages = connection.iterate({ signal: controller.signal });
    const waiting = [messages.next(), messages.next(), messages.next()];
    controller.abort(reason);
    const [first] = await Promise.allSettled(waiting);
    assert.equal(first.status === 'rejected' && first.reason.code, 'ERR_ABORTED');
  });

  /** What a loop with this signal comes to, which `abort` may abort in its first round. */
  async function loopWith(
    connection: Connection,
    options: IterateOptions,
    inside: () => void = () => {},
  ): Promise<{ seen: (string | Buffer)[]; error?: unknown }> {
    const seen: (string | Buffer)[] = [];
    try {
      for await (const message of connection.iterate(options)) {
        seen.push(message);
        inside();
      }
    } catch (error) {
      return { seen, error };
    }
    return { seen };
  }

  test('aborted inside the loop’s body: the loop throws ERR_ABORTED, and what is kept stays kept', async (t) => {
    const one = await link(t, false);
    await one.peer.write(numbered(0, 3));
    await hasRead(one, 9);
    const controller = new AbortController();
    const { signal } = controller;
    const { seen, error } = await loopWith(one.connection, { signal, preventClose: true }, () =>
      controller.abort(reason),
    );
    assert.deepEqual(seen, ['0']);
    assert.equal((error as { code?: string } | undefined)?.code, 'ERR_ABORTED');
    assert.equal((error as Error).cause, reason);
    assert.equal(listening(signal), 0);
    assert.deepEqual(await take(one.connection.iterate(), 2), numbers(1, 3));
  });

  test('aborted before: the loop throws ERR_ABORTED', async (t) => {
    const one = await link(t, false);
    await one.peer.write(numbered(0, 3));
    await hasRead(one, 9);
    const signal = AbortSignal.abort(reason);
    const { seen, error } = await loopWith(one.connection, { signal, preventClose: true });
    assert.deepEqual(seen, []);
    assert.equal((error as { code?: string } | undefined)?.code, 'ERR_ABORTED');
    assert.equal(listening(signal), 0);
  });

  test('aborted before: the connection is free for another consumer', async (t) => {
    const { connection } = await link(t, false);
    const signal = AbortSignal.abort(reason);
    await loopWith(connection, { signal, preventClose: true });
    assert.doesNotThrow(() => connection.iterate());
  });

  for (const end of ['clean', 'lost', 'left']) {
    test(`nothing listens to it after the end (${end}), and an abort then changes nothing`, async (t) => {
      const { connection, peer } = await link(t, false);
      const controller = new AbortController();
      const messages = connection.iterate({ signal: controller.signal, preventClose: true });
      assert.equal(listening(controller.signal), 1);
      if (end === 'left') {
        await messages.return();
      } else {
        if (end === 'clean') await peer.write(closeFrame(1000));
        peer.end();
        await loop(messages);
      }
      assert.equal(listening(controller.signal), 0);
      const { readyState } = connection;
      controller.abort(reason);
      assert.deepEqual(await messages.next(), { done: true, value: undefined });
      assert.equal(connection.readyState, readyState);
    });
  }
});

describe('await using', GUARD, () => {
  test('connection: closes it, and waits for that: ws sees 1000', async (t) => {
    const { connection, closedWith } = await linkToWs(t, false);
    {
      await using used = connection;
      assert.equal(used.readyState, ReadyState.open);
    }
    assert.equal(connection.readyState, ReadyState.closed);
    assert.equal(await closedWith, 1000);
    await connection[Symbol.asyncDispose]();
  });

  test('iterator: closes the connection', async (t) => {
    const { connection, socket, closedWith } = await linkToWs(t, false);
    socket.send('0');
    {
      await using messages = connection.iterate();
      assert.deepEqual(await take(messages, 1), ['0']);
    }
    assert.equal(connection.readyState, ReadyState.closed);
    assert.equal(await closedWith, 1000);
  });

  test('iterator with preventClose: gives way to the next one', async (t) => {
    const { connection, peer } = await link(t, false);
    {
      await using messages = connection.iterate({ preventClose: true });
      await peer.write(numbered(0, 2));
      assert.deepEqual(await take(messages, 1), ['0']);
    }
    assert.deepEqual(await take(connection.iterate(), 1), ['1']);
  });
});
