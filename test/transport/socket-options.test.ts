/** Options of the socket, as the kernel has them: what Linux tells of its timers, and what setsockopt answered. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { PassThrough } from 'node:stream';
import { after, before, describe, type TestContext, test } from 'node:test';
import { applySocketOptions, type SocketOptions } from '../../src/transport/socket-options.js';
import { GUARD } from '../connection/wire.js';
import { link, TRANSPORTS, until } from '../leases/link.js';

/** The native side of a tcp socket: its methods return what setsockopt did, 0 for success. */
interface TcpHandle {
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, seconds: number): number;
}

interface Call {
  name: string;
  /** The socket's own port. */
  port: number | undefined;
  on: boolean;
  result: number;
}

const calls: Call[] = [];
let prototype: TcpHandle;
let original: TcpHandle;

before(async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  prototype = Object.getPrototypeOf((server as unknown as { _handle: TcpHandle })._handle);
  server.close();
  original = { setNoDelay: prototype.setNoDelay, setKeepAlive: prototype.setKeepAlive };
  for (const name of ['setNoDelay', 'setKeepAlive'] as const) {
    const native = original[name] as (...args: unknown[]) => number;
    prototype[name] = function (this: object, on: boolean, ...rest: unknown[]): number {
      const result = native.call(this, on, ...rest);
      const address: { port?: number } = {};
      (this as { getsockname(into: object): number }).getsockname(address);
      calls.push({ name, port: address.port, on, result });
      return result;
    };
  }
});

after(() => void Object.assign(prototype, original));

/** One row of the kernel's table of IPv4 sockets: the timer that runs, and in how many seconds it is due. */
function kernelTimer(localPort: number, remotePort: number): { timer: number; seconds: number } {
  const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0');
  const rows = readFileSync('/proc/self/net/tcp', 'latin1').split('\n');
  const row = rows
    .map((each) => each.trim().split(/\s+/))
    .find(
      ([, local, remote]) => local?.endsWith(`:${hex(localPort)}`) && remote?.endsWith(`:${hex(remotePort)}`),
    );
  assert.ok(row !== undefined, 'the kernel does not know this socket');
  const [timer, due] = row[5].split(':').map((field) => Number.parseInt(field, 16));
  // In ticks of 10 ms, whatever the kernel counts in.
  return { timer, seconds: due / 100 };
}

const NO_TIMER = 0;
const RETRANSMISSION = 1;
const KEEP_ALIVE = 2;

/** Connects, and gives the ports of the client's socket and what the kernel says of it when nothing is under way. */
async function connected(t: TestContext, tls: boolean, socket?: SocketOptions) {
  const { connection, server, peer } = await link(t, tls, { socket });
  const localPort = peer.socket.remotePort!;
  await until(() => kernelTimer(localPort, server.port).timer !== RETRANSMISSION);
  assert.equal(connection.remotePort, server.port);
  return { localPort, ...kernelTimer(localPort, server.port) };
}

describe('typeOfService', () => {
  /** A stream with a native side as Node 24 has it. */
  const over = (handle: unknown): PassThrough => Object.assign(new PassThrough(), { _handle: handle });

  test('is set by the native method, over TLS by that of the socket beneath', () => {
    const marks: number[] = [];
    const tcp = {
      setTypeOfService(value: number) {
        marks.push(value);
        return 0;
      },
    };
    assert.deepEqual(applySocketOptions(over(tcp), { typeOfService: 0xb8 }).notApplied, []);
    assert.deepEqual(applySocketOptions(over({ _parent: tcp }), { typeOfService: 0x28 }).notApplied, []);
    assert.deepEqual(marks, [0xb8, 0x28]);
  });

  test('that cannot be set, for whatever reason, is reported and costs nothing else', () => {
    const refuses = { setTypeOfService: () => -22 };
    const throws = {
      setTypeOfService() {
        throw new Error('no such thing');
      },
    };
    for (const handle of [undefined, null, {}, refuses, throws]) {
      assert.deepEqual(applySocketOptions(over(handle), { typeOfService: 1 }).notApplied, ['typeOfService']);
    }
    assert.deepEqual(applySocketOptions(over(throws), {}).notApplied, []);
  });
});

for (const { over, tls } of TRANSPORTS) {
  describe(`over ${over}`, GUARD, () => {
    test('by default Nagle’s algorithm is off', async (t) => {
      const { localPort } = await connected(t, tls);
      const set = calls.filter(({ name, port }) => name === 'setNoDelay' && port === localPort);
      assert.deepEqual(
        set.map(({ on, result }) => ({ on, result })),
        [{ on: true, result: 0 }],
      );
    });

    test('noDelay: false leaves it on', async (t) => {
      const { localPort } = await connected(t, tls, { noDelay: false });
      assert.ok(!calls.some(({ name, port, on }) => name === 'setNoDelay' && port === localPort && on));
    });

    test('by default the first keep-alive probe is due after 30 s', async (t) => {
      const { timer, seconds } = await connected(t, tls);
      assert.equal(timer, KEEP_ALIVE);
      assert.ok(seconds > 20 && seconds <= 31, `in ${seconds} s`);
    });

    test('keepAlive.initialDelay says when it is', async (t) => {
      const { timer, seconds } = await connected(t, tls, { keepAlive: { initialDelay: 300_000 } });
      assert.equal(timer, KEEP_ALIVE);
      assert.ok(seconds > 290 && seconds <= 301, `in ${seconds} s`);
    });

    test('keepAlive: {} is the default', async (t) => {
      const { timer, seconds } = await connected(t, tls, { keepAlive: {} });
      assert.equal(timer, KEEP_ALIVE);
      assert.ok(seconds > 20 && seconds <= 31, `in ${seconds} s`);
    });

    test('keepAlive: false sends no probes', async (t) => {
      const { timer } = await connected(t, tls, { keepAlive: false });
      assert.equal(timer, NO_TIMER);
    });

    test('localAddress is the address the server sees', async (t) => {
      const { peer } = await link(t, tls, { socket: { localAddress: '127.0.0.2' } });
      assert.equal(peer.socket.remoteAddress, '127.0.0.2');
    });
  });
}
