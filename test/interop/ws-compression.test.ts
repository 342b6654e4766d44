/** Compression with `ws` (RFC 7692): what each side makes of the other's, for all parameters that can be negotiated. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import { constants } from 'node:zlib';
import { WebSocket, type PerMessageDeflateOptions as WsDeflateOptions } from 'ws';
import { type CloseInfo, type Connection, connect, HandshakeError } from '../../src/index.js';
import { type Echo, type EchoServer, echoServer } from '../server/echo-server.js';
import { converse, type EchoingServer, nameOf, parameterSets } from './compression.js';

interface WsServer extends EchoServer, EchoingServer {}

/** `ws`, which compresses whatever it sends unless told otherwise; ends with the test. */
async function wsServer(t: TestContext, options: WsDeflateOptions = {}, echo: Echo = {}): Promise<WsServer> {
  const perMessageDeflate = { threshold: 0, ...options };
  const server = await echoServer({ ...echo, ws: { ...echo.ws, perMessageDeflate } });
  t.after(() => server.close());
  return { ...server, connect: (given) => connect(server.url, { tls: server.tls, ...given }) };
}

const agreed = (connection: Connection): Record<string, string | true> =>
  Object.fromEntries(
    connection.extensions.flatMap(({ parameters }) => parameters).map(({ name, value }) => [name, value]),
  );

describe('a conversation with ws', () => {
  for (const [over, tls] of [
    ['tcp', false],
    ['TLS', true],
  ] as const) {
    test(`${over}: the bare offer`, async (t) => {
      const connection = await converse(await wsServer(t, {}, { tls }), {});
      assert.deepEqual(connection.extensions, [{ name: 'permessage-deflate', parameters: [] }]);
      assert.deepEqual(connection.handshake.notApplied, []);
      assert.equal((await connection.close()).wasClean, true);
    });
  }

  for (const options of parameterSets()) {
    test(`offered: ${nameOf(options)}`, async (t) => {
      // ws answers what it is asked for.
      const connection = await converse(await wsServer(t), options);
      const answer = agreed(connection);
      const { serverNoContextTakeover, serverMaxWindowBits } = options;
      assert.equal(answer.server_no_context_takeover === true, serverNoContextTakeover);
      if (serverMaxWindowBits !== undefined)
        assert.equal(answer.server_max_window_bits, String(serverMaxWindowBits));
      assert.equal((await connection.close()).wasClean, true);
    });
  }

  const answers: [string, WsDeflateOptions, Record<string, string | true>][] = [
    ['server_no_context_takeover', { serverNoContextTakeover: true }, { server_no_context_takeover: true }],
    ['client_no_context_takeover', { clientNoContextTakeover: true }, { client_no_context_takeover: true }],
    ['server_max_window_bits', { serverMaxWindowBits: 9 }, { server_max_window_bits: '9' }],
  ];
  for (const bits of [8, 9, 10, 15]) {
    answers.push([
      `client_max_window_bits ${bits}`,
      { clientMaxWindowBits: bits },
      { client_max_window_bits: `${bits}` },
    ]);
  }
  for (const [what, ws, expected] of answers) {
    test(`ws asks for ${what}`, async (t) => {
      const connection = await converse(await wsServer(t, ws), { clientMaxWindowBits: true });
      const { client_max_window_bits: ignored, ...others } = agreed(connection);
      const { client_max_window_bits: wanted = ignored, ...rest } = expected;
      assert.deepEqual([others, ignored], [rest, wanted]);
    });
  }

  test('ws compresses at every level and with every strategy', async (t) => {
    const { Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED } = constants;
    for (const strategy of [Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED]) {
      for (const level of [0, 1, 6, 9]) {
        const server = await wsServer(t, { zlibDeflateOptions: { level, strategy } });
        const connection = await converse(server, {});
        await connection.close();
      }
    }
  });

  test('ws sends fragments, with pings between them', async (t) => {
    const text = 'aé水🐟'.repeat(5_000);
    const server = await wsServer(
      t,
      {},
      {
        onConnection: (socket) => {
          for (const parts of [1, 2, 3, 50]) {
            const bytes = Buffer.from(text);
            for (let i = 0; i < parts; i++) {
              const part = bytes.subarray((i * bytes.length) / parts, ((i + 1) * bytes.length) / parts);
              socket.send(part, { binary: false, fin: i === parts - 1 });
              socket.ping();
            }
          }
        },
      },
    );
    let pings = 0;
    const texts: string[] = [];
    await new Promise<void>((resolve, reject) => {
      const connecting = server.connect({
        perMessageDeflate: true,
        onMessage: (message) => void texts.push(message.text()),
        onPing: () => {
          pings++;
          if (pings === 56) resolve();
        },
        onClose: ({ error }) => reject(error),
      });
      connecting.catch(reject);
    });
    assert.deepEqual(texts, [text, text, text, text]);
  });

  test('ws does not compress: nothing is agreed, and `compress` means nothing', async (t) => {
    const server = await echoServer();
    t.after(() => server.close());
    const connection = await converse({ connect: (options) => connect(server.url, options) }, {});
    assert.deepEqual(connection.extensions, []);
    assert.deepEqual(connection.handshake.notApplied, []);
  });

  test('not asked for, nothing is offered', async (t) => {
    let offered: string | undefined = 'nothing yet';
    const server = await wsServer(
      t,
      {},
      {
        onConnection: (_, request) => {
          offered = request.headers['sec-websocket-extensions'];
        },
      },
    );
    for (const options of [{}, { perMessageDeflate: false }]) {
      const connection = await server.connect(options);
      assert.deepEqual([connection.extensions, offered], [[], undefined]);
      await connection.close();
    }
  });
});

describe('what ws sends and must not, and what it may not be sent', () => {
  test('a bomb ends the connection with 1009 at the limit', async (t) => {
    let told: Promise<unknown[]> | undefined;
    const server = await wsServer(
      t,
      {},
      {
        onConnection: (socket) => {
          told = once(socket, 'close');
          socket.send(Buffer.alloc(100 * 2 ** 20));
        },
      },
    );
    const { promise, resolve } = withResolver<CloseInfo>();
    let messages = 0;
    const connection = await server.connect({
      perMessageDeflate: true,
      maxMessageSize: 2 ** 20,
      onMessage: () => void messages++,
      onClose: resolve,
    });
    const before = process.memoryUsage().arrayBuffers;
    const { error } = await promise;
    assert.ok(process.memoryUsage().arrayBuffers - before < 50 * 2 ** 20, 'memory is bounded');
    assert.deepEqual([messages, error?.code, error?.closeCode], [0, 'ERR_MESSAGE_TOO_LARGE', 1009]);
    const [code] = (await told) as [number];
    assert.equal(code, 1009);
    assert.equal(connection.readyState, WebSocket.CLOSED);
  });

  test('what is below the threshold is not compressed, unless asked; ws hears all of it', async (t) => {
    const sizes: number[] = [];
    const server = await wsServer(t);
    const connection = await server.connect({ perMessageDeflate: { threshold: 300 }, onMessage: () => {} });
    const size = (data: string | Buffer, options?: { compress?: boolean }): void => {
      const before = connection.stats().bytesSent + connection.bufferedAmount;
      connection.send(data, options);
      sizes.push(connection.stats().bytesSent + connection.bufferedAmount - before);
    };
    const text = '{"price":"1234.5"}'.repeat(50);
    size(text.slice(0, 299));
    size(text.slice(0, 300));
    size(text.slice(0, 299), { compress: true });
    size(text.slice(0, 300), { compress: false });
    size('é'.repeat(150));
    size('é'.repeat(149));
    size(Buffer.alloc(300));
    const plain = (length: number): number => length + 8;
    assert.deepEqual(
      sizes.map((each, i) => each === plain([299, 300, 299, 300, 300, 298, 300][i])),
      [true, false, false, true, false, true, false],
    );
    await connection.close();
  });

  test('illegal answers fail the handshake, and the error carries the response', async (t) => {
    const server = await wsServer(t, {});
    server.server.on('headers', (headers) => {
      const at = headers.findIndex((line) => line.startsWith('Sec-WebSocket-Extensions'));
      headers[at] = 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10';
    });
    await assert.rejects(server.connect({ perMessageDeflate: true }), (error) => {
      assert.ok(error instanceof HandshakeError, String(error));
      assert.equal(error.code, 'ERR_HANDSHAKE_EXTENSION');
      assert.match(error.message, /client_max_window_bits was not offered/);
      assert.equal(error.statusCode, 101);
      assert.match(String(error.headers?.['sec-websocket-extensions']), /client_max_window_bits=10/);
      return true;
    });
  });
});

function withResolver<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((given) => {
    resolve = given;
  });
  return { promise, resolve };
}
