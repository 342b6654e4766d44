/**
 * `connection.socketOptions`, held against the kernel's own answer: getsockopt on a duplicate of our socket, which
 * Linux gives to a child (`pidfd_getfd`); Node has no getsockopt. Where that cannot be had, a line says so, and the
 * report is checked by itself.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { connect as connectTcp, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, type TestContext, test } from 'node:test';
import { connect, type SocketOptions } from '../../src/index.js';
import { GUARD } from '../connection/wire.js';
import { link, TRANSPORTS } from '../leases/link.js';
import { scriptedServer } from '../server/scripted-server.js';

interface KernelOptions {
  noDelay: boolean;
  keepAlive: false | { initialDelay: number; interval: number; count: number };
  typeOfService: number;
}

const PYTHON = `
import ctypes, json, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
pidfd = libc.syscall(434, int(sys.argv[1]), 0)
fd = libc.syscall(438, pidfd, int(sys.argv[2]), 0)
if pidfd < 0 or fd < 0: sys.exit('not permitted: errno %d' % ctypes.get_errno())
s = socket.socket(fileno=fd)
tcp = lambda name: s.getsockopt(socket.IPPROTO_TCP, name)
keep = s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
print(json.dumps({
  'noDelay': tcp(socket.TCP_NODELAY) != 0,
  'keepAlive': keep and {
    'initialDelay': 1000 * tcp(socket.TCP_KEEPIDLE),
    'interval': 1000 * tcp(socket.TCP_KEEPINTVL),
    'count': tcp(socket.TCP_KEEPCNT),
  },
  'typeOfService': s.getsockopt(socket.IPPROTO_IP, socket.IP_TOS),
}))`;

const SETS_PROBES = Socket.prototype.setKeepAlive.length > 2;
const MARKS = 'setTypeOfService' in Socket.prototype;

/** What getsockopt says of our socket; undefined where it cannot be asked. */
function kernelOptions(t: TestContext, fd: number): KernelOptions | undefined {
  try {
    if (process.platform !== 'linux') throw new Error('this is not Linux');
    const output = execFileSync('python3', ['-c', PYTHON, `${process.pid}`, `${fd}`], { stdio: 'pipe' });
    return JSON.parse(output.toString()) as KernelOptions;
  } catch (error) {
    t.diagnostic(`the kernel's word could not be had, only the report is checked: ${error}`);
    return undefined;
  }
}

/** Connects, and gives the report, and the kernel's. */
async function connected(t: TestContext, tls: boolean, socket?: SocketOptions) {
  let fd = -1;
  const { setKeepAlive } = Socket.prototype;
  t.mock.method(Socket.prototype, 'setKeepAlive', function (this: Socket, ...given: []) {
    const { _handle: handle } = this as unknown as { _handle: { fd: number; _parent?: { fd: number } } };
    fd = (handle._parent ?? handle).fd;
    return setKeepAlive.apply(this, given);
  });
  const { connection } = await link(t, tls, { socket });
  assert.ok(fd > 2, `${fd} is no descriptor of a socket`);
  return {
    report: connection.socketOptions,
    notApplied: connection.handshake.notApplied,
    kernel: kernelOptions(t, fd),
  };
}

const USUAL = { initialDelay: 30_000, interval: 1_000, count: 10 };

for (const { over, tls } of TRANSPORTS) {
  describe(`connection.socketOptions, over ${over}`, GUARD, () => {
    test('by default: Nagle off, keep-alive after 30 s, ten probes a second', async (t) => {
      const { kernel, report } = await connected(t, tls);
      assert.deepEqual(report, { noDelay: true, keepAlive: USUAL, typeOfService: undefined, notApplied: [] });
      if (kernel) assert.deepEqual(kernel, { noDelay: true, keepAlive: USUAL, typeOfService: 0 });
    });

    test('what is asked for, as far as this version of Node can set it', async (t) => {
      const wanted = { initialDelay: 7_000, interval: 3_000, count: 4 };
      const { kernel, notApplied, report } = await connected(t, tls, {
        noDelay: false,
        keepAlive: wanted,
        typeOfService: 0x10,
      });
      assert.deepEqual(report.keepAlive, SETS_PROBES ? wanted : { ...USUAL, initialDelay: 7_000 });
      assert.equal(report.noDelay, false);
      assert.equal(report.typeOfService, MARKS ? 0x10 : undefined);
      assert.deepEqual(report.notApplied, [
        ...(SETS_PROBES ? [] : ['keepAlive.interval', 'keepAlive.count']),
        ...(MARKS ? [] : ['typeOfService']),
      ]);
      assert.equal(notApplied, report.notApplied);
      if (!kernel) return;
      assert.deepEqual(kernel.keepAlive, report.keepAlive);
      assert.deepEqual([kernel.noDelay, kernel.typeOfService], [false, report.typeOfService ?? 0]);
    });

    test('keep-alive off', async (t) => {
      const { kernel, report } = await connected(t, tls, { keepAlive: false });
      assert.equal(report.keepAlive, false);
      if (kernel) assert.equal(kernel.keepAlive, false);
    });

    test('ms are rounded down to s, and the report says what they became', async (t) => {
      const { kernel, report } = await connected(t, tls, { keepAlive: { initialDelay: 2_999 } });
      assert.deepEqual(report.keepAlive, { ...USUAL, initialDelay: 2_000 });
      if (kernel) assert.deepEqual(kernel.keepAlive, report.keepAlive);
    });

    test('what the system refuses is reported, and harms nothing', async (t) => {
      // Linux takes up to 32 767 s.
      const { kernel, report } = await connected(t, tls, { keepAlive: { initialDelay: 40_000_000 } });
      if (kernel === undefined) return;
      assert.equal(report.keepAlive, undefined);
      assert.deepEqual(report.notApplied, ['keepAlive']);
    });
  });
}

describe('socket.keepAlive', () => {
  for (const keepAlive of [
    { initialDelay: 999 },
    { interval: 0 },
    { count: 0 },
    { count: 1.5 },
    { interval: '1' },
  ]) {
    test(`refuses ${JSON.stringify(keepAlive)}`, async () => {
      await assert.rejects(connect('ws://127.0.0.1:1/', { socket: { keepAlive: keepAlive as object } }), {
        name: 'UsageError',
        code: 'ERR_INVALID_OPTION',
      });
    });
  }
});

test('a stream that is no socket has nothing to report', async (t) => {
  const server = await scriptedServer();
  t.after(() => server.close());
  const connection = await connect(server.url, {
    createConnection: () => {
      const socket = connectTcp(server.port, '127.0.0.1');
      return Duplex.from({ readable: socket, writable: socket } as never);
    },
    socket: { noDelay: true },
  });
  t.after(() => connection.terminate());
  const nothing = { noDelay: undefined, keepAlive: undefined, typeOfService: undefined };
  assert.deepEqual(connection.socketOptions, { ...nothing, notApplied: ['noDelay'] });
});
