/** The option perMessageDeflate from the request to the end: what is offered, what is held, and what is given back. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { constants, inflateRawSync } from 'node:zlib';
import { sharedCodec } from '../../src/codec/codec.js';
import { type ConnectOptions, connect, HandshakeError, UsageError } from '../../src/index.js';
import { CONTENTS } from '../arbitraries/deflate.js';
import { ended, link, TRANSPORTS, until } from '../leases/link.js';
import { readFrames } from '../reference/frame-reader.js';
import { accepting, type ScriptedServer, scriptedServer, turns } from '../server/scripted-server.js';
import { GUARD } from './wire.js';

const { windows, deflateBlocks } = sharedCodec();

/** A server that answers every offer with these extensions; it ends with the test. */
async function answering(t: TestContext, extensions?: string): Promise<ScriptedServer> {
  const fields = extensions === undefined ? [] : [`Sec-WebSocket-Extensions: ${extensions}`];
  const server = await scriptedServer({ answer: (request) => accepting(request, fields) });
  t.after(() => server.close());
  return server;
}

/** Runs `body`; then as many windows and histories are free as before. */
async function givesAllBack(body: () => Promise<void>): Promise<void> {
  const before = [windows.available, deflateBlocks.available];
  await body();
  await until(() => windows.available === before[0] && deflateBlocks.available === before[1]);
}

/** While all windows are taken. */
async function withoutWindows<T>(body: () => Promise<T>): Promise<T> {
  const taken: number[] = [];
  for (let window = windows.take(); window !== 0; window = windows.take()) taken.push(window);
  try {
    return await body();
  } finally {
    for (const window of taken.reverse()) windows.give(window);
  }
}

const offerIn = (request: string): string | undefined =>
  /^sec-websocket-extensions: *(.+)$/im.exec(request)?.[1].trim();

describe('RFC 7692 §7.1: what is offered', () => {
  const offers: [ConnectOptions['perMessageDeflate'], string | undefined][] = [
    [undefined, undefined],
    [false, undefined],
    [true, 'permessage-deflate'],
    [{}, 'permessage-deflate'],
    [{ threshold: 10, serverMaxWindowBits: 10 }, 'permessage-deflate; server_max_window_bits=10'],
  ];
  for (const [perMessageDeflate, expected] of offers) {
    test(`${JSON.stringify(perMessageDeflate)}`, GUARD, async (t) => {
      const server = await answering(t);
      const options = perMessageDeflate === undefined ? {} : { perMessageDeflate };
      const connection = await connect(server.url, options);
      assert.equal(offerIn(server.peers[0].request), expected);
      assert.deepEqual(connection.extensions, []);
      connection.terminate();
    });
  }

  test('a wrong option is refused before anything is sent', async () => {
    const { available } = windows;
    await assert.rejects(
      connect('ws://127.0.0.1:1', { perMessageDeflate: { serverMaxWindowBits: 7 } }),
      (error) => error instanceof UsageError && error.code === 'ERR_INVALID_OPTION',
    );
    assert.equal(windows.available, available);
  });

  test('`extensions` shows what was agreed on', GUARD, async (t) => {
    const server = await answering(
      t,
      'permessage-deflate; server_max_window_bits="12"; client_no_context_takeover',
    );
    const connection = await connect(server.url, { perMessageDeflate: true });
    assert.deepEqual(connection.extensions, [
      {
        name: 'permessage-deflate',
        parameters: [
          { name: 'server_max_window_bits', value: '12' },
          { name: 'client_no_context_takeover', value: true },
        ],
      },
    ]);
    connection.terminate();
  });

  test(
    'when all windows are taken nothing is offered, and `handshake.notApplied` says so',
    GUARD,
    async (t) => {
      const server = await answering(t);
      const connection = await withoutWindows(() => connect(server.url, { perMessageDeflate: true }));
      assert.equal(offerIn(server.peers[0].request), undefined);
      assert.deepEqual([connection.extensions, connection.handshake.notApplied], [[], ['perMessageDeflate']]);
      connection.terminate();
    },
  );

  test('unless the server is asked to keep none: then none is needed here', GUARD, async (t) => {
    const { available } = windows;
    const server = await answering(t, 'permessage-deflate; server_no_context_takeover');
    const perMessageDeflate = { serverNoContextTakeover: true };
    const connection = await withoutWindows(() => connect(server.url, { perMessageDeflate }));
    assert.deepEqual([connection.extensions.length, connection.handshake.notApplied], [1, []]);
    connection.terminate();
    await ended(connection);
    assert.equal(windows.available, available);
  });
});

describe('a window is held from the offer to the end, and then given back', () => {
  test('by an open connection that compresses both ways', GUARD, async (t) => {
    await givesAllBack(async () => {
      const before = [windows.available, deflateBlocks.available];
      const { connection } = await link(t, false, { perMessageDeflate: true });
      assert.deepEqual([windows.available, deflateBlocks.available], [before[0] - 1, before[1]]);
      connection.send(CONTENTS.json(2_000, 1));
      assert.deepEqual([windows.available, deflateBlocks.available], [before[0] - 1, before[1] - 1]);
      connection.terminate();
      await ended(connection);
    });
  });

  test('not at all where the server keeps no window', GUARD, async (t) => {
    const { available } = windows;
    const { connection } = await link(t, false, { perMessageDeflate: { serverNoContextTakeover: true } });
    assert.equal(windows.available, available);
    connection.terminate();
  });

  const failures: [string, string | undefined, ConnectOptions][] = [
    ['the server declines', undefined, {}],
    ['the answer is illegal', 'permessage-deflate; client_max_window_bits=9', {}],
    ['another extension is accepted', 'foo', {}],
    ['it is accepted twice', 'permessage-deflate, permessage-deflate', {}],
    ['the answer is malformed', 'permessage-deflate; =', {}],
  ];
  for (const [what, answer, options] of failures) {
    test(`when ${what}`, GUARD, async (t) => {
      const server = await answering(t, answer);
      await givesAllBack(async () => {
        const connecting = connect(server.url, { perMessageDeflate: true, ...options });
        if (answer === undefined) (await connecting).terminate();
        else {
          await assert.rejects(
            connecting,
            (error) => error instanceof HandshakeError && error.code === 'ERR_HANDSHAKE_EXTENSION',
          );
        }
      });
    });
  }

  test('when the attempt is aborted, and when nobody answers', GUARD, async (t) => {
    const server = await scriptedServer({ answer: () => '' });
    t.after(() => server.close());
    await givesAllBack(async () => {
      const options = { perMessageDeflate: true };
      await assert.rejects(connect(server.url, { ...options, signal: AbortSignal.abort() }));
      await assert.rejects(connect(server.url, { ...options, handshakeTimeout: 30 }));
    });
  });

  test('over a redirect it stays offered', GUARD, async (t) => {
    const target = await answering(t, 'permessage-deflate');
    const server = await scriptedServer({
      answer: () => `HTTP/1.1 307 Temporary Redirect\r\nLocation: ${target.url}\r\nContent-Length: 0\r\n\r\n`,
    });
    t.after(() => server.close());
    await givesAllBack(async () => {
      const connection = await connect(server.url, { perMessageDeflate: true, maxRedirects: 1 });
      assert.equal(offerIn(target.peers[0].request), 'permessage-deflate');
      assert.equal(connection.extensions.length, 1);
      connection.terminate();
      await ended(connection);
    });
  });
});

describe('what is sent compressed', () => {
  const OPTIONS = { perMessageDeflate: true, maxBufferedAmount: 300_000, highWaterMark: 20_000 };
  const TAIL = Buffer.of(0, 0, 0xff, 0xff);

  /** The data messages in what a client has sent, inflated by zlib with one window. */
  function inflated(received: Buffer): string[] {
    const { frames, error } = readFrames(received, { masked: true, rsv1: true });
    assert.equal(error, undefined);
    let history = Buffer.alloc(0);
    return frames.map(({ firstByte, payload }) => {
      if ((firstByte & 0x40) === 0) return payload.toString();
      const dictionary = history.length > 0 ? { dictionary: history } : {};
      const options = { finishFlush: constants.Z_SYNC_FLUSH, ...dictionary };
      const data = inflateRawSync(Buffer.concat([payload, TAIL]), options);
      history = Buffer.concat([history, data]).subarray(-32_768);
      return data.toString();
    });
  }

  for (const { over, tls } of TRANSPORTS) {
    test(
      `${over}: a peer that does not read: limits count compressed bytes, and what is refused leaves no trace`,
      GUARD,
      async (t) => {
        const { connection, peer } = await link(t, tls, OPTIONS);
        peer.pause();
        const sent: string[] = [];
        let drained = false;
        connection.onDrain = () => {
          drained = true;
        };
        const text = (i: number): string => `${i} ${CONTENTS.text(30_000, i % 7)}`;
        let refused = 0;
        let waited = false;
        for (let i = 0; refused < 3; i++) {
          assert.ok(i < 5_000, 'the kernel takes no more');
          const before = connection.bufferedAmount;
          try {
            if (!connection.send(text(i))) waited = true;
            sent.push(text(i));
            assert.ok(connection.bufferedAmount - before < 20_000, 'compressed bytes are counted');
          } catch (error) {
            assert.ok(error instanceof UsageError && error.code === 'ERR_SEND_BUFFER_FULL', String(error));
            assert.equal(connection.bufferedAmount, before, 'nothing was queued');
            refused++;
            // What still fits follows, and refers to what was sent before.
            connection.send(`after ${i}`, { compress: true });
            sent.push(`after ${i}`);
          }
          // Over TLS, bytes count as buffered until the next turn, even when the kernel has taken them.
          if (i % 5 === 4) await turns(2);
        }
        assert.ok(waited, 'send() returned false');
        peer.resume();
        await connection.flushed();
        assert.equal(connection.bufferedAmount, 0);
        await until(() => drained);
        connection.send('the last one');
        sent.push('the last one');
        await connection.flushed();
        await until(() => peer.receivedLength >= connection.stats().bytesSent);
        assert.deepEqual(inflated(peer.received), sent);
      },
    );
  }
});
