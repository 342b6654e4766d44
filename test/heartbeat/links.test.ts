/** Heartbeats over real sockets: what a server is sent, and how connections to silent servers end. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Connection, type ConnectOptions, connect, HeartbeatTimeoutError } from '../../src/index.js';
import { GUARD, receivedLines } from '../connection/wire.js';
import { ended, fill, type Link, link, links, TRANSPORTS, text, until } from '../leases/link.js';
import { encodeFrame } from '../reference/frame.js';
import { echoServer } from '../server/echo-server.js';
import { leavesNothingOpen } from '../server/resources.js';
import { type Peer, scriptedServer } from '../server/scripted-server.js';

const QUICK = { interval: 100, timeout: 150 };
const LINUX = process.platform === 'linux';

const pong = (payload: Uint8Array): Buffer => encodeFrame({ opcode: 10, payload });

/** Answers pings as `answer` says: Pongs in a test's own way. */
function answerPings(peer: Peer, answer: (payload: Buffer) => void): void {
  let seen = 0;
  const look = (): void => {
    const pings = peer.frames().filter(({ firstByte }) => firstByte === 0x89);
    for (const { payload } of pings.slice(seen)) answer(Buffer.from(payload));
    seen = pings.length;
  };
  look();
  peer.socket.on('data', look);
}

/** The loop stands still. */
function stall(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

function timeoutOf(error: unknown): HeartbeatTimeoutError {
  assert.ok(error instanceof HeartbeatTimeoutError, `${error}`);
  return error;
}

/** A server that answers pings, in this process, and a connection to it. */
async function answered(t: TestContext, tls: boolean, options: ConnectOptions): Promise<Connection> {
  const server = await echoServer({ tls });
  t.after(() => server.close());
  const connection = await connect(server.url, { tls: server.tls, onMessage: () => {}, ...options });
  t.after(() => connection.terminate());
  return connection;
}

for (const { over, tls } of TRANSPORTS) {
  describe(`a heartbeat over ${over}`, GUARD, () => {
    test('RFC 6455 §5.5.2: pings a silent server, and each Pong is matched and timed', async (t) => {
      const roundTrips: number[] = [];
      const connection = await answered(t, tls, {
        heartbeat: { ...QUICK, timeout: 5_000, mode: 'always' },
        onRtt(roundTrip, of) {
          assert.equal(of.id > 0, true);
          roundTrips.push(roundTrip);
        },
      });
      await until(() => roundTrips.length >= 5);
      const { heartbeatsSent, lastPongAt, pongsForeign, pongsReceived, rtt } = connection.stats();
      assert.ok(heartbeatsSent >= 5, `${heartbeatsSent} sent`);
      assert.deepEqual([rtt?.count, pongsReceived, pongsForeign], [roundTrips.length, roundTrips.length, 0]);
      assert.equal(rtt?.last, roundTrips.at(-1));
      assert.ok(lastPongAt > 0 && lastPongAt <= performance.now());
      for (const roundTrip of roundTrips) assert.ok(roundTrip > 0 && roundTrip < 5_000, `${roundTrip}`);
      assert.ok(rtt!.p50 > 0 && rtt!.p99 >= rtt!.p50);
    });

    test('a server that ignores pings: ERR_PING_NEVER_ANSWERED, code 1006, the socket destroyed', async (t) => {
      const { connection, peer } = await link(t, tls, { heartbeat: QUICK, onMessage: () => {} });
      await peer.write(text('one message'));
      const start = performance.now();
      const info = await ended(connection);
      assert.ok(performance.now() - start >= 240, 'not too early');
      assert.deepEqual([info.code, info.wasClean], [1006, false]);
      const error = timeoutOf(info.error);
      assert.equal(error.code, 'ERR_PING_NEVER_ANSWERED');
      assert.equal(error.silence, 'never-answered');
      assert.equal(error.connectionId, connection.id);
      assert.equal(error.phase, 'open');
      assert.equal(error.lastReceivedAt, connection.stats().lastReceivedAt);
      assert.equal(error.lastPongAt, 0);
      assert.equal(error.rtt, undefined);
      await peer.closed;
      assert.deepEqual(
        peer.frames().map(({ firstByte, payload }) => [firstByte, payload.length]),
        [[0x89, 8]],
        'one Ping, and no closing handshake with the dead',
      );
    });

    test('a server that falls silent: ERR_HEARTBEAT_TIMEOUT, and on Linux that its system still answers', async (t) => {
      const { connection, peer } = await link(t, tls, { heartbeat: QUICK, onMessage: () => {} });
      let left = 3;
      answerPings(peer, (payload) => {
        if (left-- > 0) void peer.write(pong(payload));
      });
      const { code, error } = await ended(connection);
      assert.equal(code, 1006);
      const { lastPongAt, lastReceivedAt, message, rtt, silence } = timeoutOf(error);
      assert.equal(error!.code, 'ERR_HEARTBEAT_TIMEOUT');
      assert.equal(silence, LINUX ? 'server-silent' : 'unknown');
      assert.equal(rtt?.count, 3);
      assert.equal(lastPongAt, lastReceivedAt);
      assert.match(
        message,
        /^The server has sent nothing for \d+ ms, and nothing within \d+ ms of a heartbeat: /,
      );
    });

    test('is on by default, off with false, and then the link may be silent', async (t) => {
      const made = await links(t, tls, [{ heartbeat: false }, { heartbeat: QUICK, onMessage: () => {} }]);
      await ended(made[1].connection);
      await delay(200);
      assert.equal(made[0].connection.readyState, 1);
      assert.equal(made[0].connection.stats().eventLoopLag, undefined);
      assert.equal(made[0].peer.receivedLength, 0);
      const [{ connection }] = await links(t, tls, [{}]);
      assert.ok(connection.stats().eventLoopLag !== undefined, 'it is watched');
    });

    test('data, and nothing else, keeps it alive', async (t) => {
      const { connection, peer } = await link(t, tls, { heartbeat: QUICK, onMessage: () => {} });
      const start = performance.now();
      while (performance.now() - start < 600) {
        await peer.write(text('tick'));
        await delay(20);
      }
      assert.equal(connection.readyState, 1);
    });

    test('a Ping behind a backlog that is being taken is no verdict; behind one that is not, it is', async (t) => {
      const heartbeat = { interval: 100, timeout: 200 };
      const made = await link(t, tls, { heartbeat, onMessage: () => {}, maxBufferedAmount: 2 ** 30 });
      const { connection, peer } = made;
      // The server takes little by little, and says nothing.
      await fill(made, 4 * 1024 * 1024);
      const start = performance.now();
      let taken = peer.receivedLength;
      while (
        performance.now() - start < 1_500 &&
        connection.readyState === 1 &&
        connection.bufferedAmount > 0
      ) {
        peer.resume();
        const before = taken;
        await until(() => peer.receivedLength >= before + 100_000 || connection.bufferedAmount === 0);
        peer.pause();
        taken = peer.receivedLength;
        await delay(50);
      }
      assert.equal(connection.readyState, 1, 'what is taken shows that it lives');
      peer.pause();
      const { error } = await ended(connection);
      assert.notEqual(timeoutOf(error).silence, 'link-dead', 'its kernel lives');
    });

    test('stalls of the event loop, with the Pong in the kernel, are no verdict', async (t) => {
      const heartbeat = { interval: 60, timeout: 180, mode: 'always' } as const;
      const server = await scriptedServer({
        tls,
        onConnection: (peer) => answerPings(peer, (payload) => void peer.write(pong(payload))),
      });
      t.after(() => server.close());
      const stalls = { message: 0, immediate: 0 };
      const connections = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          connect(server.url, {
            tls: server.tls,
            heartbeat,
            onMessage: () => {
              if (i > 0) return;
              stalls.message++;
              stall(200);
            },
          }),
        ),
      );
      for (const connection of connections) t.after(() => connection.terminate());
      for (let i = 0; i < 6; i++) {
        await delay(70);
        // In a callback of one of them; then where nothing is read, twice as long.
        void server.peers[0].write(text('stall'));
        await delay(70);
        await new Promise<void>((resolve) =>
          setImmediate(() => {
            stalls.immediate++;
            stall(i === 5 ? 1_500 : 250);
            resolve();
          }),
        );
      }
      await delay(200);
      assert.ok(stalls.message === 6 && stalls.immediate === 6, 'it did stall');
      assert.deepEqual(
        connections.map(({ readyState }) => readyState),
        connections.map(() => 1),
      );
      const { longest, total } = connections[0].stats().eventLoopLag!;
      assert.ok(longest > 1_300 && total > 2_500, `${longest}, ${total}`);
    });

    test('a stalled loop comes to its verdict on a dead link as well, and tells of the stall', async (t) => {
      const { connection } = await link(t, tls, { heartbeat: { interval: 100, timeout: 300 } });
      await until(() => connection.stats().heartbeatsSent === 1);
      stall(1_000);
      const { error } = await ended(connection);
      const { eventLoopLag, message, stalledFor } = timeoutOf(error);
      assert.ok(stalledFor > 800, `${stalledFor}`);
      assert.ok(eventLoopLag.longest >= stalledFor - 100);
      assert.match(message, /the event loop stood still for \d+ ms of it/);
    });

    test('paused by the user: no Ping, no verdict, pausedFor tells; resumed, it beats again', async (t) => {
      const connection = await answered(t, tls, { heartbeat: QUICK });
      await until(() => connection.stats().rtt !== undefined);
      connection.pause();
      const { heartbeatsSent } = connection.stats();
      await delay(600);
      assert.equal(connection.readyState, 1);
      assert.equal(connection.stats().heartbeatsSent, heartbeatsSent);
      assert.ok(connection.stats().pausedFor >= 590, `${connection.stats().pausedFor}`);
      connection.resume();
      await until(() => connection.stats().heartbeatsSent > heartbeatsSent + 1);
      assert.equal(connection.stats().pausedFor, 0);
      assert.equal(connection.readyState, 1);
    });

    test('paused because nobody takes messages: no verdict either, and the link goes on', async (t) => {
      const { connection, peer } = await link(t, tls, { heartbeat: QUICK });
      answerPings(peer, (payload) => void peer.write(pong(payload)));
      // More than is kept for whoever comes.
      for (let i = 0; i < 20; i++) await peer.write(text('x'.repeat(100_000)));
      await until(() => connection.stats().pausedFor > 0);
      await delay(500);
      assert.equal(connection.readyState, 1);
      let seen = 0;
      connection.onMessage = () => void seen++;
      await until(() => seen === 20);
      const { heartbeatsSent } = connection.stats();
      await until(() => connection.stats().heartbeatsSent > heartbeatsSent + 1);
      assert.equal(connection.readyState, 1);
    });

    test('maxPause: ERR_MAX_PAUSE, though the interval is longer', async (t) => {
      const { connection } = await link(t, tls, { heartbeat: { maxPause: 150 } });
      const start = performance.now();
      connection.pause();
      const { code, error } = await ended(connection);
      assert.ok(performance.now() - start >= 149, 'not too early');
      assert.deepEqual([code, error?.code, error?.name], [1006, 'ERR_MAX_PAUSE', 'ConnectionLostError']);
    });

    test('closing ends it: no Ping follows the Close frame, and no timer is left', async () => {
      const server = await scriptedServer({ tls });
      await leavesNothingOpen(
        async () => {
          const connection = await connect(server.url, { tls: server.tls, heartbeat: QUICK });
          const peer = await server.peer();
          await until(() => connection.stats().heartbeatsSent === 1);
          void connection.close();
          await delay(400);
          assert.deepEqual(
            peer.frames().map(({ firstByte }) => firstByte),
            [0x89, 0x88],
          );
          peer.end();
          await ended(connection);
          assert.equal(connection.stats().heartbeatsSent, 1);
        },
        () => server.close(),
      );
    });
  });
}

describe('Pongs', GUARD, () => {
  const counts = ({ connection }: Link): number[] => {
    const { pongsDuplicate, pongsForeign, pongsLate, pongsUnsolicited } = connection.stats();
    return [pongsLate, pongsDuplicate, pongsForeign, pongsUnsolicited];
  };

  test('RFC 6455 §5.5.3: late, twice, foreign and unsolicited: counted, and none ends the connection', async (t) => {
    const made = await link(t, false, { heartbeat: { mode: 'always', interval: 50, timeout: 5_000 } });
    const { connection, peer } = made;
    await peer.write(pong(Buffer.from('unsolicited')));
    await until(() => connection.stats().pongsReceived === 1);
    assert.deepEqual(counts(made), [0, 0, 0, 1]);

    // Two pings wait: data keeps the link alive, so that a second one is sent.
    const payloads: Buffer[] = [];
    answerPings(peer, (payload) => {
      payloads.push(payload);
      if (payloads.length < 3) void peer.write(text('data'));
    });
    connection.onMessage = () => {};
    await until(() => payloads.length === 3);
    await peer.write(pong(payloads[0]), pong(payloads[2]), pong(payloads[2]), pong(Buffer.from('what?')));
    await until(() => connection.stats().pongsReceived >= 5);
    const [late, duplicate, foreign, unsolicited] = counts(made);
    assert.deepEqual([late, duplicate, foreign + unsolicited], [1, 1, 2]);
    assert.equal(connection.stats().rtt?.count, 1);
  });

  test('the application’s own pings and the heartbeat’s do not confuse each other', async (t) => {
    const connection = await answered(t, false, {
      heartbeat: { mode: 'always', interval: 20, timeout: 5_000 },
    });
    for (let i = 0; i < 30; i++) {
      const roundTrip = await connection.ping(i % 2 ? `${i}` : undefined);
      assert.ok(roundTrip > 0, `${roundTrip}`);
    }
    await until(() => connection.stats().heartbeatsSent >= 3);
    const { pongsDuplicate, pongsForeign, pongsLate, pongsUnsolicited, rtt } = connection.stats();
    assert.deepEqual([pongsLate, pongsDuplicate, pongsForeign, pongsUnsolicited], [0, 0, 0, 0]);
    assert.ok(rtt!.count >= 32, `${rtt!.count}`);
  });
});

describe('heartbeats in messages', GUARD, () => {
  test('a server that ignores pings and answers "ping" by "pong" keeps the link, and tells the round trip', async (t) => {
    const seen: string[] = [];
    const { connection, peer } = await link(t, false, {
      heartbeat: { ...QUICK, timeout: 5_000, application: { request: 'ping', isReply: { text: 'pong' } } },
      onMessage: (message) => void seen.push(message.text()),
    });
    let answeredCount = 0;
    peer.socket.on('data', () => {
      const asked = peer.frames().filter(({ firstByte }) => firstByte === 0x81).length;
      for (; answeredCount < asked; answeredCount++) void peer.write(text('pong'));
    });
    await until(() => connection.stats().rtt?.count === 3);
    assert.deepEqual(seen, ['pong', 'pong', 'pong'], 'delivered as well');
    assert.ok(
      peer.frames().every(({ firstByte, payload }) => firstByte === 0x81 && payload.toString() === 'ping'),
    );
  });

  test('deliver: false: the listener does not see them, nor does an iterator', async (t) => {
    const application = { request: 'ping', isReply: { text: 'pong' }, deliver: false };
    const { connection, peer } = await link(t, false, { heartbeat: { ...QUICK, application } });
    const messages = connection.iterate({ preventClose: true });
    await receivedLines(peer, 1);
    await peer.write(Buffer.concat([text('a'), text('pong'), text('b')]));
    assert.deepEqual([(await messages.next()).value, (await messages.next()).value], ['a', 'b']);
    await messages.return();
    const seen: string[] = [];
    connection.onMessage = (message) => void seen.push(message.text());
    await receivedLines(peer, 2);
    await peer.write(Buffer.concat([text('pong'), text('c')]));
    await until(() => seen.length > 0);
    assert.deepEqual(seen, ['c']);
  });

  test("the server's own request is answered in the turn of its read, before its listener is called", async (t) => {
    const order: string[] = [];
    const { connection, peer } = await link(t, false, {
      heartbeat: {
        application: {
          isRequest: { parts: ['"test_request"'], maxLength: 200 },
          reply: () => {
            order.push('reply');
            return '{"method":"public/test"}';
          },
        },
      },
      onMessage: (message) => void order.push(message.text()),
    });
    const asked = '{"params":{"type":"test_request"}}';
    await peer.write(Buffer.concat([text('before'), text(asked)]));
    assert.deepEqual(await receivedLines(peer, 1), ['text {"method":"public/test"}']);
    await until(() => order.length === 3);
    assert.deepEqual(order, ['before', 'reply', asked]);
    assert.equal(connection.readyState, 1);
  });

  test('a message in fragments is finished first (RFC 6455 §5.4)', async (t) => {
    const { connection, peer } = await link(t, false, {
      heartbeat: { ...QUICK, timeout: 5_000, application: { request: 'ping' } },
    });
    connection.send('one ', { fin: false });
    await delay(400);
    connection.send('message');
    assert.deepEqual((await receivedLines(peer, 3)).slice(0, 3), [
      '…text one',
      'continuation message',
      'text ping',
    ]);
  });
});

describe('the end of a connection', GUARD, () => {
  test('tells that this process had just stood still: a server may have given up on it', async (t) => {
    const { connection, peer } = await link(t, false, { heartbeat: {}, onMessage: () => {} });
    await delay(150);
    peer.reset();
    stall(400);
    const info = await ended(connection);
    assert.equal(info.error?.code, 'ERR_CONNECTION_LOST');
    assert.match(info.error.message, /event loop had just stood still for \d+ ms/);
    assert.ok(info.eventLoopLag!.last >= 250, `${info.eventLoopLag!.last}`);
    const { eventLoopLag } = info.error as HeartbeatTimeoutError;
    assert.ok(eventLoopLag.last >= 250, `${eventLoopLag.last}`);
  });
});

describe('a flood', GUARD, () => {
  test('of a million pings leaves memory flat and the connection alive; every one counted', async (t) => {
    const { connection, peer } = await link(t, false, { onMessage: () => {} });
    const count = 1_000_000;
    const chunk = Buffer.alloc(2 * 10_000, Buffer.from('8900', 'hex'));
    // What comes back is not kept.
    let pongBytes = 0;
    peer.socket.removeAllListeners('data');
    peer.socket.on('data', (data: Buffer) => {
      pongBytes += data.length;
    });
    const before = process.memoryUsage();
    let most = 0;
    for (let sent = 0; sent < count; sent += 10_000) {
      await peer.write(chunk);
      await until(() => connection.stats().pingsReceived >= sent - 50_000);
      most = Math.max(most, process.memoryUsage().rss - before.rss, connection.bufferedAmount);
    }
    await until(() => connection.stats().pingsReceived === count);
    const { pongsSkipped } = connection.stats();
    await until(() => pongBytes === 6 * (count - pongsSkipped));
    assert.equal(connection.readyState, 1);
    assert.ok(most < 64 * 1024 * 1024, `${most} bytes more`);
  });
});
