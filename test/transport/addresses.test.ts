/** Names and addresses: which are tried, in which order, for how long, and what is told of it (RFC 8305, RFC 6724). */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import type { LookupAddress } from 'node:dns';
import { EventEmitter, once } from 'node:events';
import { connect as connectTcp, type LookupFunction, Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { type ConnectOptions, connect } from '../../src/connect.js';
import { type ConnectionAttempt, HandshakeError, UsageError } from '../../src/errors.js';
import { Dial, type DialEvents } from '../../src/transport/dial.js';
import type { SocketOptions } from '../../src/transport/socket-options.js';
import { until } from '../leases/link.js';
import { certificate } from '../server/certificate.js';
import { type EchoServer, echoServer } from '../server/echo-server.js';
import { leavesNothingOpen } from '../server/resources.js';
import { scriptedServer, turns } from '../server/scripted-server.js';

async function serving(t: TestContext, tls = false): Promise<EchoServer> {
  const server = await echoServer({ tls });
  t.after(() => server.close());
  return server;
}

/** Every name has these addresses. */
function resolvesTo(...addresses: string[]): LookupFunction {
  return (_name, _options, callback) => {
    process.nextTick(() =>
      callback(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      ),
    );
  };
}

async function refusal(url: string, options: ConnectOptions): Promise<HandshakeError> {
  const outcome: unknown = await connect(url, options).catch((thrown: unknown) => thrown);
  if (!(outcome instanceof HandshakeError)) (outcome as { terminate?(): void }).terminate?.();
  assert.ok(outcome instanceof HandshakeError, `${outcome}`);
  return outcome;
}

/** Attempts with the code of their error only. */
function told(attempts: readonly ConnectionAttempt[]): string[] {
  return attempts.map(({ address, port, family, error }) => {
    assert.ok(port > 0);
    const { code } = (error ?? {}) as NodeJS.ErrnoException;
    return `${address} (${family})${error === undefined ? '' : ` ${code}`}`;
  });
}

describe('every address is tried in turn, and told', () => {
  for (const tls of [false, true]) {
    test(`${tls ? 'TLS' : 'tcp'}: the first that answers serves`, async (t) => {
      const { port } = await serving(t, tls);
      const connection = await connect(`${tls ? 'wss' : 'ws'}://server.test:${port}/`, {
        socket: { lookup: resolvesTo('127.0.0.2', '127.0.0.3', '127.0.0.1', '127.0.0.4') },
        tls: { ca: certificate().cert, servername: 'localhost' },
      });
      assert.deepEqual(told(connection.handshake.attempts), [
        '127.0.0.2 (4) ECONNREFUSED',
        '127.0.0.3 (4) ECONNREFUSED',
        '127.0.0.1 (4)',
      ]);
      assert.equal(connection.remoteAddress, '127.0.0.1');
      assert.equal(connection.remotePort, port);
      assert.ok(connection.handshake.timings.lookup! <= connection.handshake.timings.connect);
      connection.terminate();
      await connection.closed;
      assert.equal(connection.remoteAddress, '127.0.0.1', 'it is known afterwards, too');
    });
  }

  test('none answers: ERR_CONNECT lists all, and says all', async (t) => {
    const { port, close } = await serving(t);
    await close();
    await leavesNothingOpen(async () => {
      const error = await refusal(`ws://server.test:${port}/`, {
        socket: { lookup: resolvesTo('127.0.0.1', '127.0.0.2') },
      });
      assert.equal(error.code, 'ERR_CONNECT');
      assert.deepEqual(told(error.attempts), ['127.0.0.1 (4) ECONNREFUSED', '127.0.0.2 (4) ECONNREFUSED']);
      assert.ok(error.message.startsWith(`server.test:${port}: Connecting failed: `), error.message);
      for (const { address } of error.attempts) assert.ok(error.message.includes(address), error.message);
      const { cause } = error;
      assert.ok(cause instanceof AggregateError);
      assert.deepEqual(
        cause.errors,
        error.attempts.map((attempt) => attempt.error),
      );
      assert.equal((cause as NodeJS.ErrnoException).code, 'ECONNREFUSED');
    });
  });

  test('one address, refused: its error is the cause', async (t) => {
    const { port, close } = await serving(t);
    await close();
    const error = await refusal(`ws://127.0.0.1:${port}/`, {});
    assert.deepEqual(told(error.attempts), ['127.0.0.1 (4) ECONNREFUSED']);
    assert.equal(error.attempts[0].error, error.cause);
  });

  test('a server that refuses the opening handshake: the error tells where it was', async (t) => {
    const server = await scriptedServer({ answer: () => 'HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n' });
    t.after(() => server.close());
    const error = await refusal(`ws://server.test:${server.port}/`, {
      socket: { lookup: resolvesTo('127.0.0.2', '127.0.0.1') },
    });
    assert.equal(error.statusCode, 403);
    assert.deepEqual(told(error.attempts), ['127.0.0.2 (4) ECONNREFUSED', '127.0.0.1 (4)']);
  });

  test('an address that does not answer is given up after connectionAttemptTimeout', async (t) => {
    const { port } = await serving(t);
    await deafServer(t, '127.0.0.2', port);
    await leavesNothingOpen(async () => {
      const connection = await connect(`ws://server.test:${port}/`, {
        socket: { lookup: resolvesTo('127.0.0.2', '127.0.0.1'), connectionAttemptTimeout: 40 },
      });
      assert.deepEqual(told(connection.handshake.attempts), ['127.0.0.2 (4) ETIMEDOUT', '127.0.0.1 (4)']);
      assert.match(connection.handshake.attempts[0].error!.message, /no answer within 40 ms/);
      connection.terminate();
      await connection.closed;
    });
  });

  test('given up in the middle of an attempt: it is listed without an error, and no timer stays', async (t) => {
    const { port } = await serving(t);
    await deafServer(t, '127.0.0.2', port);
    for (const tls of [false, true]) {
      await leavesNothingOpen(async () => {
        const error = await refusal(`${tls ? 'wss' : 'ws'}://server.test:${port}/`, {
          socket: { lookup: resolvesTo('127.0.0.3', '127.0.0.2', '127.0.0.1') },
          handshakeTimeout: 60,
        });
        assert.equal(error.code, 'ERR_HANDSHAKE_TIMEOUT');
        assert.match(error.message, /\(connecting\)/);
        assert.deepEqual(told(error.attempts), ['127.0.0.3 (4) ECONNREFUSED', '127.0.0.2 (4)']);
      });
    }
  });
});

/** Its queue of connections is full, and nobody takes one from it: the kernel drops every SYN. */
async function deafServer(t: TestContext, host: string, port: number): Promise<void> {
  const script = `
    const server = require('node:net').createServer();
    server.listen({ port: ${port}, host: '${host}', backlog: 1 }, () => {
      require('node:fs').writeSync(1, 'listening');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const child: ChildProcess = spawn(process.execPath, ['-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  await once(child.stdout!, 'data');
  // A queue of 1 holds two. What comes behind them gets no answer.
  for (let i = 0; i < 3; i++) {
    const filler = connectTcp({ port, host });
    filler.on('error', () => {});
    t.after(() => filler.destroy());
    if (i < 2) await once(filler, 'connect');
  }
}

/** Stands for a socket that is connecting. */
class Connecting extends EventEmitter {
  readonly address: string;
  destroyed = false;

  constructor(address: string) {
    super();
    this.address = address;
  }

  destroy(): void {
    this.destroyed = true;
  }
}

interface Dialled {
  dial: Dial;
  sockets: Connecting[];
  log: string[];
}

/** Dials names without a network: each address becomes an object that does what the test tells it. */
async function dialled(found: unknown, options: SocketOptions = {}): Promise<Dialled> {
  const sockets: Connecting[] = [];
  const log: string[] = [];
  const events: DialEvents = {
    onLookup: () => void log.push('lookup'),
    onConnect: (socket) => void log.push(`connected ${(socket as unknown as Connecting).address}`),
    onFailed: (error) => void log.push(`failed: ${(error as NodeJS.ErrnoException).code ?? error.message}`),
  };
  const lookup = ((_name, _options, callback) => callback(null, found as LookupAddress[])) as LookupFunction;
  const dial = new Dial(
    { host: 'server.test', port: 443 },
    { lookup, ...options },
    ({ host }) => {
      const socket = new Connecting(host!);
      sockets.push(socket);
      return socket as unknown as Socket;
    },
    events,
  );
  dial.start();
  await until(() => log.length > 0);
  return { dial, sockets, log };
}

const refused = (): Error => Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });

describe('RFC 8305 §4: the families by turns, each in the resolver’s order', () => {
  const address = fc.oneof(
    fc.nat(250).map((n) => `192.0.2.${n}`),
    fc.nat(250).map((n) => `2001:db8::${n + 1}`),
  );

  test('whatever the resolver finds', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(address, { minLength: 1, maxLength: 9 }), async (found) => {
        const { sockets, log } = await dialled(found.map((each) => ({ address: each, family: 0 })));
        for (let i = 0; !log.some((line) => line.startsWith('failed')); i++)
          sockets[i].emit('error', refused());
        const tried = sockets.map((socket) => socket.address);

        assert.equal(tried[0], found[0]);
        assert.deepEqual([...tried].sort(), [...new Set(found)].sort(), 'each once');
        const isV6 = (text: string): boolean => text.includes(':');
        for (const six of [false, true]) {
          assert.deepEqual(
            tried.filter((each) => isV6(each) === six),
            [...new Set(found)].filter((each) => isV6(each) === six),
            'in the resolver’s order',
          );
        }
        // Two of a family stand side by side only when the other family is used up.
        const at = tried.findIndex((each, i) => i > 0 && isV6(each) === isV6(tried[i - 1]));
        if (at > 0) assert.ok(tried.slice(at).every((each) => isV6(each) === isV6(tried[at])));
      }),
    );
  });

  test('family: only its addresses, and all of them', async () => {
    const found = ['192.0.2.1', '2001:db8::1', '192.0.2.2'].map((each) => ({ address: each, family: 4 }));
    const { sockets } = await dialled(found, { family: 4 });
    sockets[0].emit('error', refused());
    sockets[1].emit('error', refused());
    assert.deepEqual(
      sockets.map((socket) => socket.address),
      ['192.0.2.1', '192.0.2.2'],
    );
  });

  test('localAddress: only addresses of its family, and all of them', async () => {
    const found = ['192.0.2.1', '2001:db8::1', '2001:db8::2'].map((each) => ({ address: each, family: 4 }));
    const { sockets } = await dialled(found, { localAddress: '::1' });
    sockets[0].emit('error', refused());
    assert.deepEqual(
      sockets.map((socket) => socket.address),
      ['2001:db8::1', '2001:db8::2'],
    );
  });
});

describe('dialling', () => {
  const two = [
    { address: '192.0.2.1', family: 4 },
    { address: '192.0.2.2', family: 4 },
  ];

  test('each address has 1 000 ms by default, the last as long as it takes', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { sockets, log, dial } = await dialled(two);
    t.mock.timers.tick(999);
    assert.equal(sockets.length, 1);
    t.mock.timers.tick(1);
    assert.equal(sockets.length, 2);
    assert.equal(sockets[0].destroyed, true);
    assert.equal((dial.attempts[0].error as NodeJS.ErrnoException).code, 'ETIMEDOUT');
    t.mock.timers.tick(100_000);
    assert.equal(sockets[1].destroyed, false);
    sockets[1].emit('connect');
    assert.deepEqual(log, ['lookup', 'connected 192.0.2.2']);
  });

  test('an address that answers, or fails, after it was given up changes nothing', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { sockets, log, dial } = await dialled(two, { connectionAttemptTimeout: 10 });
    t.mock.timers.tick(10);
    sockets[0].emit('connect');
    sockets[0].emit('error', refused());
    assert.equal((dial.attempts[0].error as NodeJS.ErrnoException).code, 'ETIMEDOUT');
    sockets[1].emit('connect');
    assert.deepEqual(log, ['lookup', 'connected 192.0.2.2']);
    assert.equal(sockets.length, 2);
  });

  test('an address that has answered has all the time in the world', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { sockets, log, dial } = await dialled(two);
    sockets[0].emit('connect');
    t.mock.timers.tick(100_000);
    assert.deepEqual(log, ['lookup', 'connected 192.0.2.1']);
    assert.equal(sockets.length, 1);
    assert.equal(sockets[0].destroyed, false);
    assert.equal(dial.attempts[0].error, undefined);
  });

  test('stop() ends it, whenever it comes', async () => {
    const { sockets, log, dial } = await dialled(two);
    dial.stop();
    assert.ok(sockets[0].destroyed);
    sockets[0].emit('error', refused());
    sockets[0].emit('connect');
    assert.deepEqual(log, ['lookup']);
    assert.equal(sockets.length, 1);
  });

  const FOUND: [title: string, found: unknown, log: string[]][] = [
    ['one address, as `all: false` gives it', '192.0.2.1', ['lookup']],
    ['none', [], ['failed: no usable address was found for server.test']],
    ['nothing', undefined, ['failed: no usable address was found for server.test']],
    [
      'what is no address',
      [{ address: 'x', family: 4 }],
      ['failed: no usable address was found for server.test'],
    ],
  ];
  for (const [title, found, expected] of FOUND) {
    test(`a lookup that finds ${title}`, async () => assert.deepEqual((await dialled(found)).log, expected));
  }
});

describe('options of the socket', () => {
  test('lookup: what it throws, or calls back with, is the cause', async () => {
    const reason = Object.assign(new Error('no such name here'), { code: 'ENOTFOUND' });
    const lookups: LookupFunction[] = [
      (_name, _options, callback) => callback(reason, ''),
      () => {
        throw reason;
      },
    ];
    for (const lookup of lookups) {
      const error = await refusal('ws://server.test/', { socket: { lookup } });
      assert.equal(error.code, 'ERR_CONNECT');
      assert.equal(error.cause, reason);
      assert.match(error.message, /^server\.test:80: Resolving the name failed: no such name here/);
      assert.deepEqual(error.attempts, []);
    }
  });

  test('lookup: what it calls back with a second time, or throws behind that, changes nothing', async (t) => {
    const { port } = await serving(t);
    const found: LookupAddress[] = [{ address: '127.0.0.1', family: 4 }];
    const connection = await connect(`ws://server.test:${port}/`, {
      socket: {
        lookup(_name, _options, callback) {
          callback(null, found);
          callback(null, [{ address: '127.0.0.9', family: 4 }]);
          callback(new Error('too late'), '');
        },
      },
    });
    assert.deepEqual(told(connection.handshake.attempts), ['127.0.0.1 (4)']);
    connection.terminate();

    const error = await refusal('ws://server.test/', {
      socket: {
        lookup(_name, _options, callback) {
          callback(new Error('the first'), '');
          callback(new Error('the second'), '');
          throw new Error('the third');
        },
      },
    });
    assert.equal((error.cause as Error).message, 'the first');
  });

  test('what node:tls refuses only when there is an address to connect to', async () => {
    const lookup = resolvesTo('127.0.0.1');
    const tls = { ALPNProtocols: [5] as unknown as string[] };
    await leavesNothingOpen(async () => {
      const error = await refusal('wss://server.test/', { socket: { lookup }, tls });
      assert.equal((error.cause as NodeJS.ErrnoException).code, 'ERR_INVALID_ARG_TYPE');
    });
  });

  test('lookup: is asked for all addresses, of the family that is wanted', async () => {
    const asked: object[] = [];
    const lookup: LookupFunction = (name, { all, family }, callback) => {
      asked.push({ name, all, family });
      callback(new Error('no'), '');
    };
    for (const socket of [
      { lookup },
      { lookup, family: 6 as const },
      { lookup, localAddress: '127.0.0.2' },
    ]) {
      await refusal('ws://server.test/', { socket });
    }
    assert.deepEqual(asked, [
      { name: 'server.test', all: true, family: 0 },
      { name: 'server.test', all: true, family: 6 },
      { name: 'server.test', all: true, family: 4 },
    ]);
  });

  test('the system’s resolver knows localhost', async (t) => {
    const { port } = await serving(t);
    const connection = await connect(`ws://localhost:${port}/`, { socket: { family: 4 } });
    assert.equal(connection.remoteAddress, '127.0.0.1');
    assert.ok(connection.handshake.timings.lookup! > 0);
    connection.terminate();
  });

  test('localAddress: one that this machine does not have', async (t) => {
    const { port } = await serving(t);
    const error = await refusal(`ws://127.0.0.1:${port}/`, { socket: { localAddress: '192.0.2.1' } });
    assert.equal(error.code, 'ERR_CONNECT');
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'EADDRNOTAVAIL');
  });

  test('what makes no sense is the user’s mistake, before anything is looked up', async () => {
    const lookup = (): void => assert.fail('it was looked up');
    for (const socket of [
      { family: 5 },
      { family: '4' },
      { localAddress: 'localhost' },
      { lookup: 'x' },
      { typeOfService: 256 },
      { typeOfService: 1.5 },
      { typeOfService: '4' },
      { connectionAttemptTimeout: 0 },
      { connectionAttemptTimeout: Number.NaN },
    ]) {
      await assert.rejects(
        connect('ws://server.test/', { socket: { lookup, ...socket } as SocketOptions }),
        (error) =>
          error instanceof UsageError &&
          error.code === 'ERR_INVALID_OPTION' &&
          error.message.includes(Object.keys(socket)[0]),
        JSON.stringify(socket),
      );
    }
  });
});

describe('typeOfService', () => {
  interface Marked {
    setTypeOfService?(value: number): unknown;
    getTypeOfService?(): number;
    _handle: { _parent?: { getTypeOfService?(): number } };
  }
  const prototype = Socket.prototype as unknown as Marked;

  for (const tls of [false, true]) {
    test(`over ${tls ? 'TLS' : 'tcp'}: as the kernel has it, or reported as not applied`, async (t) => {
      const { url } = await serving(t, tls);
      let marked: Marked | undefined;
      const { setNoDelay } = Socket.prototype;
      t.mock.method(Socket.prototype, 'setNoDelay', function (this: Socket, on?: boolean) {
        if (this.remoteAddress !== undefined) marked ??= this as unknown as Marked;
        return setNoDelay.call(this, on);
      });
      const connection = await connect(url, {
        socket: { typeOfService: 0xb8 },
        tls: { ca: certificate().cert },
      });
      if (prototype.setTypeOfService === undefined) {
        assert.deepEqual(connection.handshake.notApplied, ['typeOfService']);
      } else {
        assert.deepEqual(connection.handshake.notApplied, []);
        // Over TLS, Node's method tells what was asked for, and not what the kernel has.
        const value = tls ? marked!._handle._parent!.getTypeOfService!() : marked!.getTypeOfService!();
        assert.equal(value, 0xb8);
      }
      connection.terminate();
    });
  }

  test('not asked for, there is nothing to report', async (t) => {
    const connection = await connect((await serving(t)).url);
    assert.deepEqual(connection.handshake.notApplied, []);
    connection.terminate();
  });
});

test('500 connections one after the other, some of which fail, leave nothing open', async (t) => {
  const server = await serving(t);
  const gone = await serving(t);
  await gone.close();
  await leavesNothingOpen(
    async () => {
      for (let i = 0; i < 500; i++) {
        if (i % 10 === 0) await refusal(gone.url, {});
        const connection = await connect(server.url);
        connection.terminate();
        await connection.closed;
      }
      await turns(2);
    },
    () => server.close(),
  );
});
