/**
 * The class beside `ws`: each story is played with both, against the same server, and what an application can see must
 * be the same. (ws 8.23; where the two differ on purpose, docs/switching-from-ws.md says so, and other tests hold it.)
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import Reference, { type WebSocket as Peer, WebSocketServer } from 'ws';
import { WebSocket } from '../../src/index.js';
import { encodeFrame } from '../reference/frame.js';
import { certificate } from '../server/certificate.js';
import { echoServer } from '../server/echo-server.js';
import { accepting, scriptedServer } from '../server/scripted-server.js';

/** As much as both have; the types of both are held by test/types/. */
type Ctor = typeof WebSocket;
const CONTENDERS: [string, Ctor][] = [
  ['ws', Reference as unknown as Ctor],
  ['heartwire', WebSocket],
];

type Log = unknown[][];
type Story = (Class: Ctor, log: (...entry: unknown[]) => void) => Promise<void>;

async function played(Class: Ctor, story: Story): Promise<Log> {
  const log: Log = [];
  await story(Class, (...entry) => log.push(entry));
  return log;
}

function same(title: string, story: Story, least = 1): void {
  test(title, { timeout: 20_000 }, async () => {
    const [expected, actual] = [await played(CONTENDERS[0][1], story), await played(CONTENDERS[1][1], story)];
    assert.ok(expected.length >= least, `the story with ws has only ${expected.length} entries`);
    assert.deepEqual(actual, expected);
  });
}

function shown(data: unknown): unknown {
  if (Array.isArray(data)) return data.map(shown);
  if (Buffer.isBuffer(data)) return `Buffer ${data.toString('hex')}`;
  if (data instanceof ArrayBuffer) return `ArrayBuffer ${Buffer.from(data).toString('hex')}`;
  return data;
}

/** All that the emitter says, until the end. */
function followed(socket: WebSocket, log: (...entry: unknown[]) => void): Promise<unknown> {
  socket.on('open', () => log('open', socket.readyState));
  socket.on('message', (data, isBinary) => log('message', shown(data), isBinary));
  socket.on('ping', (data) => log('ping', shown(data)));
  socket.on('pong', (data) => log('pong', shown(data)));
  socket.on('error', (error) => {
    const { name, message, code } = error as NodeJS.ErrnoException;
    log('error', name, message, code, socket.readyState);
  });
  socket.on('close', (code, reason) => log('close', code, shown(reason), socket.readyState));
  return new Promise((resolve) => socket.once('close', () => setImmediate(resolve)));
}

/** Not `once` of node:events, which listens for errors as well. */
function closed(socket: WebSocket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

type Log1 = (...entry: unknown[]) => void;

/** Against ws's server. What the server hears of the end is part of the story. */
function withServer(
  title: string,
  body: (socket: WebSocket, log: Log1, Class: Ctor) => void,
  onPeer: (peer: Peer, request: IncomingMessage) => void = (peer) =>
    peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary })),
  options?: object | ((url: string) => object),
): void {
  same(title, async (Class, log) => {
    let ended: Promise<unknown> = Promise.resolve();
    const server = await echoServer({
      onConnection(peer, request) {
        ended = once(peer, 'close').then(([code, reason]) => log('server: close', code, String(reason)));
        onPeer(peer, request);
      },
    });
    try {
      const given = typeof options === 'function' ? options(server.url) : options;
      const socket = new Class(server.url, given as never);
      const over = followed(socket, log);
      body(socket, log, Class);
      await over;
      await ended;
    } finally {
      await server.close();
    }
  });
}

/** Frames of a server's that need not be right. */
function withFrames(title: string, frames: Buffer[], options?: object): void {
  same(title, async (Class, log) => {
    const server = await scriptedServer({
      onConnection: (peer) => {
        void peer.write(Buffer.concat(frames));
        // The client's Close frame, then the server's end.
        void peer.receives(4).then(() => peer.end());
      },
    });
    try {
      const socket = new Class(server.url, { perMessageDeflate: false, ...options } as never);
      await followed(socket, log);
      const close = server.peers[0].frames().find(({ firstByte }) => firstByte === 0x88);
      log('the Close frame sent', close?.payload.subarray(0, 2).toString('hex'));
    } finally {
      await server.close();
    }
  });
}

/** Answers to the opening handshake that need not be right. */
function withAnswer(
  title: string,
  answer: (request: string) => string,
  options: object = {},
  protocols?: string[],
): void {
  same(title, async (Class, log) => {
    const server = await scriptedServer({ answer, onConnection: (peer) => peer.end() });
    try {
      const socket = new Class(
        server.url,
        protocols as never,
        { perMessageDeflate: false, ...options } as never,
      );
      await followed(socket, log);
    } finally {
      await server.close();
    }
  });
}

describe('ws: constructor', () => {
  for (const [title, args] of [
    ['no URL', ['nonsense']],
    ['another scheme', ['ftp://a']],
    ['a fragment', ['ws://a/#b']],
    ['an empty Unix path', ['ws+unix:']],
    ['an invalid subprotocol', ['ws://a', 'a b']],
    ['a subprotocol that is no string', ['ws://a', [1]]],
    ['null for a subprotocol', ['ws://a', null]],
    ['a duplicated subprotocol', ['ws://a', ['a', 'a']]],
    ['an unknown protocol version', ['ws://a', { protocolVersion: 1000 }]],
  ] as [string, unknown[]][]) {
    same(title, async (Class, log) => {
      try {
        new (Class as new (...args: unknown[]) => WebSocket)(...args);
      } catch (error) {
        const { name, message } = error as Error;
        log(name, message, error instanceof SyntaxError, error instanceof RangeError);
      }
    });
  }

  for (const address of [
    'ws://localhost:1',
    'HTTP://LOCALHOST:1/a b',
    'https://localhost:1/?q=1',
    'wss://u:p@localhost:1/x',
    'ws+unix:/tmp/none:/path',
    'ws://localhost:1/#',
  ]) {
    same(`url of ${address}`, async (Class, log) => {
      for (const given of [address, new URL(address)]) {
        const socket = new Class(given);
        socket.on('error', () => {});
        log(
          socket.url,
          socket.readyState,
          socket.binaryType,
          socket.protocol,
          socket.extensions,
          socket.bufferedAmount,
        );
        log(socket.isPaused, socket.onopen, socket.onmessage);
        socket.terminate();
        await closed(socket);
      }
    });
  }

  same('constants', async (Class, log) => {
    for (const target of [Class, Class.prototype]) {
      for (const name of ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED']) {
        log(name, Object.getOwnPropertyDescriptor(target, name));
      }
    }
    for (const name of [
      'binaryType',
      'bufferedAmount',
      'extensions',
      'isPaused',
      'protocol',
      'readyState',
      'url',
    ]) {
      const { enumerable, get } = Object.getOwnPropertyDescriptor(Class.prototype, name)!;
      log(name, enumerable, typeof get);
    }
  });
});

describe('ws: messages', () => {
  for (const perMessageDeflate of [false, true]) {
    withServer(
      `what callbacks are called with, ${perMessageDeflate ? 'compressed' : 'plain'}`,
      async (socket, log) => {
        await once(socket, 'open');
        const done = (title: string) =>
          new Promise<void>((resolve) => {
            const callback = (...args: unknown[]) => {
              log(title, args);
              resolve();
            };
            if (title === 'send') socket.send('a', callback);
            else if (title === 'large') socket.send('a'.repeat(100_000), { compress: true }, callback);
            else if (title === 'Blob') socket.send(new Blob(['a']), callback);
            else if (title === 'ping') socket.ping('a', true, callback);
            else socket.pong(callback);
          });
        for (const title of ['send', 'large', 'Blob', 'ping', 'pong']) await done(title);
        await Promise.all(['send', 'send', 'ping'].map(done));
        socket.close();
      },
      (peer) => peer.resume(),
      { perMessageDeflate },
    );
  }

  const payloads: [string, unknown, object?][] = [
    ['a string', 'grüße 🌍'],
    ['an empty string', ''],
    ['a lone surrogate', 'a\ud800b'],
    ['a number', 42],
    ['zero', 0],
    ['null', null],
    ['undefined', undefined],
    ['a Buffer', Buffer.from([1, 2, 3])],
    ['an array', [1, 2, 3]],
    ['an ArrayBuffer', new Uint8Array([1, 2, 3]).buffer],
    ['a view', new Uint16Array([1, 2, 3]).subarray(1)],
    ['a DataView', new DataView(new Uint8Array([1, 2, 3]).buffer, 1)],
    ['an object with a value', { valueOf: () => 'text' }],
    ['a Blob', new Blob(['abc', new Uint8Array([255])])],
    ['a string as binary', 'text', { binary: true }],
    ['a Buffer as text', Buffer.from('text'), { binary: false }],
    ['a large string', 'x'.repeat(200_000)],
    ['a large Buffer', Buffer.alloc(200_000, 7)],
  ];
  for (const [title, data, options] of payloads) {
    withServer(`send: ${title}`, (socket) => {
      socket.on('open', () => socket.send(data as never, options as never));
      socket.once('message', () => socket.close());
    });
  }

  same('send: what is refused', async (Class, log) => {
    const server = await echoServer();
    const socket = new Class(server.url);
    await once(socket, 'open');
    for (const data of [{}, true, Symbol.iterator]) {
      try {
        socket.send(data as never);
      } catch (error) {
        log((error as Error).name);
      }
    }
    socket.terminate();
    await server.close();
  });

  withServer('send: fragments, of whatever type is said', (socket) => {
    socket.on('open', () => {
      socket.send('a', { fin: false });
      socket.send(Buffer.from('b'), { fin: false });
      socket.ping('between');
      socket.send('c');
      socket.send(Buffer.from([1]), { fin: false, binary: true });
      socket.send('d', { fin: true });
      socket.send('done');
    });
    socket.on('message', (data) => String(data) === 'done' && socket.close());
  });

  withServer('send: callbacks come in order, later, without an error', (socket, log) => {
    socket.on('open', () => {
      let inside = true;
      for (const name of ['a', 'b', 'c'])
        socket.send(name, (error) => log('sent', name, error ?? undefined, inside));
      socket.send('d', { binary: true }, () => log('sent d'));
      socket.ping('e', true, () => log('sent e'));
      socket.pong('f', () => {
        log('sent f');
        setTimeout(() => socket.close(), 50);
      });
      inside = false;
    });
  });

  withServer('send: behind a Blob everything keeps its order', (socket) => {
    socket.on('open', () => {
      socket.send(new Blob(['1']));
      socket.send('2');
      socket.send(new Blob(['3']));
      socket.send(Buffer.from('4'));
      socket.ping('5');
      socket.send('6');
      socket.close(1000, 'after all');
    });
  });

  same(
    'send, ping and pong before it is open throw',
    async (Class, log) => {
      const socket = new Class('ws://localhost:1');
      socket.on('error', () => {});
      for (const name of ['send', 'ping', 'pong'] as const) {
        try {
          socket[name]('a');
        } catch (error) {
          log((error as Error).name, (error as Error).message);
        }
      }
      socket.terminate();
      await closed(socket);
    },
    3,
  );

  withServer(
    'send, ping and pong after close(): an error for the callback, and bufferedAmount grows',
    (socket, log) => {
      socket.on('open', () => {
        socket.close();
        log(socket.readyState, socket.bufferedAmount > 0);
        const before = socket.bufferedAmount;
        socket.send('grüße', (error) => log(error?.name, error?.message));
        socket.ping('12', false, (error) => log(error?.message));
        socket.pong(Buffer.alloc(3), (error) => log(error?.message));
        socket.send(new Blob(['1234']));
        socket.send('no callback');
        log(socket.bufferedAmount - before);
      });
      socket.on('close', () => socket.send('a', (error) => log(error?.message)));
    },
  );

  withServer(
    'ping and pong: payloads',
    (socket, log) => {
      socket.on('open', () => {
        for (const data of [undefined, 'grüße', 42, Buffer.from([1]), new Uint8Array([2]).buffer, [3], null])
          socket.ping(data as never);
        try {
          socket.ping('x'.repeat(126));
        } catch (error) {
          log((error as Error).name, (error as Error).message);
        }
        socket.send('done');
      });
      socket.on('message', () => socket.close());
    },
    (peer) => {
      peer.on('ping', (data) => peer.send(`ping ${data.toString('hex')}`));
      peer.on('message', () => peer.send('end'));
    },
  );

  for (const binaryType of ['nodebuffer', 'arraybuffer', 'fragments', 'nonsense'] as const) {
    withServer(
      `binaryType ${binaryType}`,
      (socket, log) => {
        socket.binaryType = binaryType as never;
        log(socket.binaryType);
        let count = 0;
        socket.on('message', () => ++count === 5 && socket.close());
      },
      (peer) => {
        peer.send(Buffer.from([1, 2]));
        peer.send('text');
        peer.send(Buffer.from([3]), { fin: false });
        peer.send(Buffer.alloc(0), { fin: false });
        peer.send(Buffer.from([4, 5]), { fin: true });
        peer.send(Buffer.alloc(100_000, 6));
        peer.send(Buffer.alloc(0));
      },
    );
  }

  test('binaryType blob gives Blobs', async () => {
    const server = await echoServer({ onConnection: (peer) => peer.send(Buffer.from([1, 2, 3])) });
    const socket = new WebSocket(server.url);
    socket.binaryType = 'blob' as never;
    const [data, isBinary] = (await once(socket, 'message')) as [unknown, boolean];
    assert.ok(data instanceof Blob && isBinary, 'a Blob');
    assert.deepEqual(Buffer.from(await data.arrayBuffer()), Buffer.from([1, 2, 3]));
    socket.terminate();
    await server.close();
  });

  // From 61 on ws takes it for an attack (maxPendingAutoPongs).
  for (const count of [1, 50]) {
    withServer(
      `${count} pings of the server's are answered, and told`,
      () => {},
      (peer) => {
        let pongs = 0;
        peer.on('pong', () => ++pongs === count && peer.close(4000, 'all'));
        for (let i = 0; i < count; i++) peer.ping(String(i));
      },
    );
  }

  withServer(
    'autoPong false: they are told only',
    (socket) => socket.on('ping', (data) => setTimeout(() => socket.pong(`mine ${data}`), 20)),
    (peer) => {
      peer.ping('a');
      peer.on('pong', (data) => peer.close(1000, String(data)));
    },
    { autoPong: false },
  );

  withServer(
    'pause() and resume()',
    (socket, log) => {
      socket.pause();
      log(socket.isPaused);
      socket.on('open', () => {
        socket.pause();
        log(socket.isPaused);
        setTimeout(() => {
          log('resume');
          socket.resume();
          log(socket.isPaused);
        }, 80);
      });
      socket.on('close', () => {
        socket.pause();
        log(socket.isPaused);
      });
    },
    (peer) => {
      peer.send('a');
      peer.send('b', () => peer.close());
    },
  );
});

describe('ws: frames that are wrong', () => {
  const good = encodeFrame({ opcode: 1, payload: Buffer.from('good') });
  const rejected: [string, Buffer, object?][] = [
    ['RSV1', Buffer.from('c100', 'hex')],
    ['RSV2', Buffer.from('a100', 'hex')],
    ['RSV3', Buffer.from('9100', 'hex')],
    ['opcode 5', Buffer.from('8500', 'hex')],
    ['opcode 11', Buffer.from('8b00', 'hex')],
    ['a continuation of nothing', Buffer.from('8000', 'hex')],
    ['a message within a message', Buffer.from('01006161', 'hex').subarray(0, 2)],
    ['a fragmented Ping', Buffer.from('0900', 'hex')],
    ['a masked frame', Buffer.from('818000000000', 'hex')],
    ['a Ping of 126 bytes', Buffer.from('897e007e', 'hex')],
    ['a Close frame of one byte', Buffer.from('880103', 'hex')],
    ['a Close frame with code 1005', Buffer.from('880203ed', 'hex')],
    ['a Close frame whose reason is not UTF-8', Buffer.from('880403e8ceba', 'hex').fill(0xff, 4)],
    ['text that is not UTF-8', Buffer.from('8102ceff', 'hex')],
    ['a message above maxPayload', encodeFrame({ opcode: 2, payload: Buffer.alloc(11) }), { maxPayload: 10 }],
    [
      'fragments above maxPayload',
      Buffer.concat([
        encodeFrame({ opcode: 2, fin: false, payload: Buffer.alloc(6) }),
        encodeFrame({ opcode: 0, payload: Buffer.alloc(6) }),
      ]),
      { maxPayload: 10 },
    ],
    [
      'more frames than maxFragments',
      Buffer.concat([
        encodeFrame({ opcode: 2, fin: false, payload: Buffer.alloc(1) }),
        encodeFrame({ opcode: 0, fin: false, payload: Buffer.alloc(1) }),
        encodeFrame({ opcode: 0, payload: Buffer.alloc(1) }),
      ]),
      { maxFragments: 2 },
    ],
  ];
  for (const [title, bytes, options] of rejected) {
    if (title === 'a message within a message') {
      withFrames(title, [good, Buffer.from('010161', 'hex'), good]);
    } else {
      withFrames(title, [good, bytes], options);
    }
  }

  same(
    'skipUTF8Validation: what is not UTF-8 is handed over',
    async (Class, log) => {
      const bytes = [
        encodeFrame({ opcode: 1, payload: Buffer.from('ceff', 'hex') }),
        encodeFrame({ opcode: 1, fin: false, payload: Buffer.from('ce', 'hex') }),
        encodeFrame({ opcode: 0, payload: Buffer.from('ff', 'hex') }),
        encodeFrame({ opcode: 1, payload: Buffer.alloc(100_000, 0xff) }),
        Buffer.from('880203e8', 'hex'),
      ];
      const server = await scriptedServer({
        onConnection: (peer) => void peer.write(Buffer.concat(bytes)).then(() => peer.end()),
      });
      const socket = new Class(server.url, { perMessageDeflate: false, skipUTF8Validation: true });
      await followed(socket, log);
      await server.close();
    },
    5,
  );
});

describe('ws: answers that are wrong', () => {
  const field = (request: string, name: string, value: string | undefined) =>
    accepting(request).replace(
      new RegExp(`^${name}: .*\r\n`, 'm'),
      value === undefined ? '' : `${name}: ${value}\r\n`,
    );
  withAnswer(
    'status 401',
    () => 'HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno',
  );
  withAnswer('a status whose body never ends', () => 'HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nno');
  withAnswer(
    'a redirect that is not to be followed',
    () => 'HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n',
  );
  withAnswer('another Upgrade', (request) => field(request, 'Upgrade', 'foo'));
  withAnswer('no Connection', (request) => field(request, 'Connection', undefined));
  withAnswer('a wrong Sec-WebSocket-Accept', (request) =>
    field(request, 'Sec-WebSocket-Accept', 'CxYS6+NgJSBG74mdgLvGscRvpns='),
  );
  withAnswer('no Sec-WebSocket-Accept', (request) => field(request, 'Sec-WebSocket-Accept', undefined));
  withAnswer('a subprotocol that was not asked for', (request) =>
    accepting(request, ['Sec-WebSocket-Protocol: a']),
  );
  withAnswer('another subprotocol', (request) => accepting(request, ['Sec-WebSocket-Protocol: c']), {}, [
    'a',
    'b',
  ]);
  withAnswer('no subprotocol', (request) => accepting(request), {}, ['a', 'b']);
  withAnswer('an extension, none offered', (request) =>
    accepting(request, ['Sec-WebSocket-Extensions: permessage-deflate']),
  );
  withAnswer('an end instead of an answer', () => '');
  withAnswer('an end in the middle of the protocol’s name', () => 'HT');
  for (const answer of ['SSH-2.0-OpenSSH_9.9\r\n', 'HTTX/1.1 200 OK\r\n\r\n', '\0\x01\r\n', 'HTTP 1.1\r\n']) {
    withAnswer(`an answer that is not HTTP: ${JSON.stringify(answer)}`, () => answer);
  }
  test('the error for what is not HTTP has ours for its cause', async () => {
    const server = await scriptedServer({ answer: () => 'SSH-2.0-OpenSSH_9.9\r\n' });
    const socket = new WebSocket(server.url);
    const [error] = (await once(socket, 'error')) as [Error];
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'ERR_HANDSHAKE_MALFORMED');
    await server.close();
  });
  withAnswer('nothing in time', () => '', { handshakeTimeout: 100 });

  same(
    'handshakeTimeout',
    async (Class, log) => {
      const server = createServer().listen(0, '127.0.0.1');
      server.on('upgrade', () => {});
      await once(server, 'listening');
      const socket = new Class(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, {
        handshakeTimeout: 100,
      });
      await followed(socket, log);
      server.closeAllConnections();
      server.close();
    },
    2,
  );

  same('nobody listens', async (Class, log) => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    const socket = new Class(`ws://127.0.0.1:${port}`);
    socket.on('error', (error) => {
      const { code, syscall, address } = error as NodeJS.ErrnoException & { address: string };
      log(code, syscall, address);
    });
    await closed(socket);
  });

  same(
    'a certificate that is not trusted',
    async (Class, log) => {
      const server = await echoServer({ tls: true });
      await followed(new Class(server.url), log);
      await followed(
        new Class(server.url, { rejectUnauthorized: false }).on('open', function () {
          this.close();
        }),
        log,
      );
      await followed(
        new Class(server.url, { ca: certificate().cert }).on('open', function () {
          this.close();
        }),
        log,
      );
      await server.close();
    },
    4,
  );
});

describe('ws: the end', () => {
  for (const [title, args] of [
    ['without a code', []],
    ['with a code', [1001]],
    ['with a reason', [3000, 'grüße']],
    ['with a reason in a Buffer', [4999, Buffer.from('bye')]],
    ['with an empty reason', [1000, '']],
  ] as [string, [number?, (string | Buffer)?]][]) {
    withServer(`close() ${title}`, (socket, log) => {
      socket.on('open', () => {
        socket.close(...args);
        log(socket.readyState);
        socket.close(...args);
      });
    });
    withServer(
      `close() of the server's, ${title}`,
      () => {},
      (peer) => peer.close(...args),
    );
  }

  withServer('close(): what it refuses', (socket, log) => {
    socket.on('open', () => {
      for (const args of [
        [1005],
        [999],
        ['1000'],
        [1000, 'x'.repeat(124)],
        [1000, 5],
        [1000, { length: 1 }],
      ]) {
        try {
          socket.close(...(args as [number]));
          log('accepted', socket.readyState);
        } catch (error) {
          log((error as Error).name, (error as Error).message, socket.readyState);
        }
        if (socket.readyState !== 1) break;
      }
      socket.close();
    });
  });

  withServer(
    'messages after close() still come',
    (socket) => {
      socket.on('open', () => socket.close());
    },
    (peer) => {
      peer.on('close', () => {});
      peer.send('late');
    },
  );

  for (const name of ['close', 'terminate'] as const) {
    same(
      `${name}() while connecting`,
      async (Class, log) => {
        const server = await echoServer();
        const socket = new Class(server.url);
        const over = followed(socket, log);
        socket[name]();
        log(socket.readyState);
        await over;
        socket[name]();
        await server.close();
      },
      3,
    );

    same(
      `${name}() from a listener of 'upgrade'`,
      async (Class, log) => {
        const server = await echoServer();
        const socket = new Class(server.url);
        socket.on('upgrade', () => {
          log('upgrade', socket.readyState);
          socket[name]();
        });
        await followed(socket, log);
        await server.close();
      },
      3,
    );
  }

  withServer('terminate()', (socket, log) => {
    socket.on('open', () => {
      socket.terminate();
      log(socket.readyState);
    });
  });

  withServer('what was sent before terminate() arrives', (socket) => {
    socket.on('open', () => {
      socket.send('last words');
      setTimeout(() => socket.terminate(), 20);
    });
  });

  withServer(
    'the server is gone',
    () => {},
    (peer) => peer.terminate(),
  );

  withServer(
    'the server resets',
    () => {},
    (peer) => {
      const { _socket: socket } = peer as unknown as { _socket: Socket };
      socket.resetAndDestroy();
    },
  );

  same(
    'closeTimeout: a server that does not answer',
    async (Class, log) => {
      const server = await scriptedServer();
      const socket = new Class(server.url, { closeTimeout: 100, perMessageDeflate: false });
      socket.on('open', () => socket.close(1000));
      await followed(socket, log);
      await server.close();
    },
    2,
  );
});

describe('ws: events of the standard’s kind', () => {
  withServer('the emitter’s listeners are given as many arguments beside the standard’s', (socket, log) => {
    const type = (data: unknown) => (Buffer.isBuffer(data) ? 'Buffer' : typeof data);
    socket.onopen = () => socket.send('a', { fin: true }, () => socket.ping('b'));
    socket.onmessage = () => {};
    socket.onclose = () => {};
    socket.onerror = () => {};
    socket.addEventListener('pong' as 'open', () => {});
    for (const name of ['open', 'message', 'pong', 'close'] as const) {
      socket.on(name, (...args: unknown[]) => log(name, args.length, ...args.map(type)));
    }
    socket.on('pong', () => socket.close(1000));
  });

  same('an error’s listener is given the error alone, beside onerror', async (Class, log) => {
    const socket = new Class('ws://127.0.0.1:1');
    socket.onerror = () => {};
    socket.on('error', (...args) => log(args.length));
    await closed(socket);
  });

  withServer('events have the names of ws’s classes, and attributes on their prototypes', (socket, log) => {
    const look = (event: object) => {
      const attributes: string[] = [];
      for (const name in event) attributes.push(name);
      const { name } = event.constructor;
      const has = (attribute: string) => attributes.includes(attribute);
      const known = ['type', 'target', 'data', 'code', 'reason', 'wasClean'].filter(has);
      log(name, Object.keys(event), known, Object.hasOwn(event, 'type'));
      assert.ok(inspect(event).startsWith(name), 'it can be shown');
    };
    socket.onopen = (event) => {
      look(event);
      socket.send('a');
    };
    socket.onmessage = (event) => {
      look(event);
      socket.close();
    };
    socket.onclose = look;
  });

  same('an error event likewise', async (Class, log) => {
    const socket = new Class('ws://127.0.0.1:1');
    socket.onerror = (event) => {
      log(event.constructor.name, Object.keys(event), 'message' in event, 'error' in event);
      assert.ok(inspect(event).startsWith('ErrorEvent'), 'it can be shown');
    };
    await closed(socket);
  });

  withServer('handlers, listeners and the emitter’s, in the order in which they came', (socket, log) => {
    socket.on('message', () => log('on'));
    socket.onmessage = ({ data, type, target }) => log('onmessage', data, type, target === socket);
    socket.addEventListener('message', ({ data }) => log('addEventListener', data));
    socket.addEventListener('message', { handleEvent: ({ data }) => log('handleEvent', data) });
    socket.addEventListener('message', () => log('once'), { once: true });
    socket.once('message', () => log('once of the emitter'));
    socket.onopen = ({ type, target }) => {
      log(type, target === socket);
      socket.send('a');
      socket.send(Buffer.from([1]));
    };
    socket.onerror = () => log('error');
    socket.onclose = ({ code, reason, wasClean, type }) => log(type, code, reason, wasClean);
    let count = 0;
    socket.on('message', () => ++count === 2 && socket.close(1000, 'done'));
  });

  same(
    'onerror is given the error, then onclose',
    async (Class, log) => {
      const socket = new Class('ws://127.0.0.1:1');
      socket.onerror = ({ error, message, type }) => log(type, error instanceof Error, message);
      await new Promise<void>((resolve) => {
        socket.onclose = ({ code, reason, wasClean }) => {
          log(code, reason, wasClean);
          resolve();
        };
      });
    },
    2,
  );

  same(
    'handlers are set, replaced and taken back; listeners added twice count once',
    async (Class, log) => {
      const socket = new Class('ws://127.0.0.1:1');
      socket.on('error', () => {});
      const listener = () => log('listener');
      socket.onopen = listener;
      log(socket.onopen === listener, socket.listenerCount('open'));
      socket.onopen = () => {};
      log(socket.onopen === listener, socket.listenerCount('open'));
      socket.onopen = null;
      log(socket.onopen, socket.listenerCount('open'));
      socket.onopen = 1 as never;
      log(socket.onopen);
      socket.addEventListener('open', listener);
      socket.addEventListener('open', listener);
      socket.onopen = listener;
      log(socket.listenerCount('open'));
      socket.removeEventListener('open', listener);
      log(socket.listenerCount('open'), socket.onopen === listener);
      socket.removeEventListener('open', () => {});
      log(socket.listenerCount('open'));
      socket.terminate();
      await closed(socket);
    },
    6,
  );

  test('an error that nobody listens for is an uncaught exception', async () => {
    const seen = once(process, 'uncaughtException') as Promise<[NodeJS.ErrnoException]>;
    const others = process.listeners('uncaughtException').slice(0, -1);
    for (const listener of others) process.off('uncaughtException', listener);
    const socket = new WebSocket('ws://127.0.0.1:1');
    const over = closed(socket);
    const [error] = await seen;
    for (const listener of others) process.on('uncaughtException', listener);
    assert.equal(error.code, 'ECONNREFUSED');
    await over;
  });
});

describe('ws: the request', () => {
  /** What the server was asked, without what is random or of the transport. */
  function asked(
    title: string,
    options: object | undefined,
    url: (base: string) => string = (base) => base,
    protocols?: string[],
  ): void {
    same(title, async (Class, log) => {
      let request: IncomingMessage | undefined;
      const server = await echoServer({
        onConnection(peer, given) {
          request = given;
          peer.close();
        },
        ws: { handleProtocols: (offered) => [...offered][0] },
      });
      const socket = new Class(
        url(server.url),
        protocols as never,
        { perMessageDeflate: false, ...options } as never,
      );
      await followed(socket, log);
      const {
        'sec-websocket-key': key,
        host,
        'sec-websocket-protocol': offered,
        ...headers
      } = request!.headers;
      const list = (value: string | undefined) => value?.split(',').map((each) => each.trim());
      log(request!.method, request!.url, key?.length, host?.replace(/\d+$/, 'port'), headers, list(offered));
      log(socket.protocol);
      await server.close();
    });
  }
  asked('by default', undefined);
  asked('path and query', undefined, (base) => `${base}a/b?c=d`);
  asked('headers', { headers: { 'X-A': 'b', 'x-number': 1, cookie: 'a=b', Host: 'other:1' } });
  asked('the handshake’s own headers are not overridden', {
    headers: { Upgrade: 'x', Connection: 'y', 'Sec-WebSocket-Version': '1', 'sec-websocket-key': 'z' },
  });
  asked('origin', { origin: 'https://example.com' });
  asked('auth', { auth: 'user:pass:word' });
  asked('user information', undefined, (base) => base.replace('//', '//us%65r:p%3Ass@'));
  asked('user information comes before auth', { auth: 'a:b' }, (base) => base.replace('//', '//c:d@'));
  asked('a header of one’s own comes before both', { headers: { Authorization: 'Bearer x' } }, (base) =>
    base.replace('//', '//c:d@'),
  );
  asked('subprotocols', undefined, undefined, ['a', 'b']);
  asked('protocolVersion 8', { protocolVersion: 8, origin: 'https://example.com' });
  asked('an agent', { agent: new Agent() });
  asked('http:', undefined, (base) => base.replace('ws:', 'http:'));

  same(
    'finishRequest ends the request',
    async (Class, log) => {
      const server = await echoServer({
        onConnection: (peer, { headers }) => peer.close(1000, headers.cookie),
      });
      const socket = new Class(server.url, {
        finishRequest(request, websocket) {
          setTimeout(() => {
            log(websocket === (socket as unknown), request.path);
            request.setHeader('Cookie', 'foo=bar');
            request.end();
          }, 20);
        },
      });
      await followed(socket, log);
      await server.close();
    },
    3,
  );

  same(
    'createConnection makes the socket',
    async (Class, log) => {
      const server = await echoServer({ onConnection: (peer) => peer.close() });
      const socket = new Class('ws://elsewhere.example/', {
        createConnection: (({ host, path, port }: { host: string; path: string; port: number }) => {
          log(host, path, port);
          return connectTcp({ host: '127.0.0.1', port: server.port });
        }) as never,
      });
      await followed(socket, log);
      await server.close();
    },
    3,
  );

  same(
    'ws+unix:',
    async (Class, log) => {
      const folder = mkdtempSync(join(tmpdir(), 'heartwire-'));
      const path = join(folder, 'socket');
      const http = createServer();
      const server = new WebSocketServer({ server: http });
      server.on('connection', (peer, { url, headers }) => peer.close(1000, `${url} ${headers.host}`));
      http.listen(path);
      await once(http, 'listening');
      await followed(new Class(`ws+unix:${path}:/foo?bar=bar`), log);
      await followed(new Class(`ws+unix:${path}`), log);
      server.close();
      http.close();
      rmSync(folder, { recursive: true });
    },
    4,
  );

  same(
    'lookup and family',
    async (Class, log) => {
      const server = await echoServer({ onConnection: (peer) => peer.close() });
      const socket = new Class(server.url.replace('127.0.0.1', 'some.example'), {
        family: 4,
        lookup: ((host: string, { all }: { all?: boolean }, done: (...args: unknown[]) => void) => {
          log('lookup', host);
          if (all) done(null, [{ address: '127.0.0.1', family: 4 }]);
          else done(null, '127.0.0.1', 4);
        }) as never,
      });
      await followed(socket, log);
      await server.close();
    },
    3,
  );

  same(
    'upgrade, with the response',
    async (Class, log) => {
      const server = await scriptedServer({
        answer: (request) => accepting(request, ['X-A: 1', 'X-A: 2', 'Set-Cookie: a', 'Set-Cookie: b']),
        onConnection: (peer) => peer.end(),
      });
      const socket = new Class(server.url, { perMessageDeflate: false });
      socket.on('upgrade', ({ statusCode, statusMessage, headers, httpVersion, rawHeaders }) => {
        const { 'sec-websocket-accept': accept, ...rest } = headers;
        log(statusCode, statusMessage, httpVersion, accept?.length, rest, rawHeaders.length);
      });
      await followed(socket, log);
      await server.close();
    },
    3,
  );

  same(
    'unexpected-response, with request and response',
    async (Class, log) => {
      const server = createServer((_, response) => response.writeHead(418, { 'X-A': 'b' }).end('a teapot'));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const socket = new Class(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/tea`);
      socket.on('unexpected-response', (request, response) => {
        log(request.path, response.statusCode, response.headers['x-a'], socket.readyState);
        let body = '';
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () => {
          log(body);
          socket.close();
        });
      });
      await followed(socket, log);
      server.closeAllConnections();
      server.close();
    },
    4,
  );
});

describe('ws: redirects', () => {
  function redirects(
    title: string,
    answers: Record<string, string>,
    options: object,
    start = '/',
    onSocket: (socket: WebSocket, log: Log1) => void = () => {},
  ): void {
    same(title, async (Class, log) => {
      const requests: string[] = [];
      const respond: RequestListener = ({ url, headers }, response) => {
        requests.push(`${url} ${headers.authorization ?? ''} ${headers.cookie ?? ''}`);
        const location = answers[url!];
        if (location === undefined) response.writeHead(404).end();
        else response.writeHead(302, { Location: location.replace('$port', String(port)) }).end();
      };
      const http = createServer(respond);
      const server = new WebSocketServer({ noServer: true });
      http.on('upgrade', (request, socket, head) => {
        const location = answers[request.url!];
        requests.push(
          `${request.url} ${request.headers.authorization ?? ''} ${request.headers.cookie ?? ''}`,
        );
        if (location === undefined) server.handleUpgrade(request, socket, head, (peer) => peer.close());
        else socket.end(`HTTP/1.1 302 Found\r\nLocation: ${location.replace('$port', String(port))}\r\n\r\n`);
      });
      http.listen(0, '127.0.0.1');
      await once(http, 'listening');
      const { port } = http.address() as AddressInfo;
      const hide = (text: string) => text.replaceAll(String(port), 'port');
      const socket = new Class(`ws://127.0.0.1:${port}${start}`, options as never);
      onSocket(socket, log);
      await followed(socket, (...entry) =>
        log(...entry.map((each) => (typeof each === 'string' ? hide(each) : each))),
      );
      log(requests, hide(socket.url));
      http.closeAllConnections();
      http.close();
    });
  }
  const secret = { headers: { Authorization: 'Basic x', Cookie: 'a=b' }, followRedirects: true };
  redirects('are followed', { '/': '/b', '/b': 'http://127.0.0.1:$port/c' }, secret);
  redirects('too many', { '/': '/' }, { followRedirects: true, maxRedirects: 3 });
  redirects('another host is not told secrets', { '/': 'ws://localhost:$port/b' }, secret);
  redirects('to nowhere', { '/': 'ws://' }, { followRedirects: true });
  redirects('to a URL with a fragment', { '/': 'ws://127.0.0.1:$port/#a' }, { followRedirects: true });
  redirects('are told, with the request', { '/': 'ws://localhost:$port/b' }, secret, '/', (socket, log) =>
    socket.on('redirect', (url, request) => log(url.replace(/:\d+/, ''), request.getHeader('cookie'))),
  );
});
