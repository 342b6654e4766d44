/** What the kernel tells of a socket: /proc/self/net/tcp, as Linux writes it, and asked of sockets that are there. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { heartbeatSettings } from '../../src/heartbeat/settings.js';
import { parseTcpTable, queueOf, type TcpQueue, tcpQueue } from '../../src/heartbeat/tcp-queue.js';
import { causeOf, Evidence, weigh } from '../../src/heartbeat/verdict.js';
import { Watchdog } from '../../src/heartbeat/watchdog.js';
import { until } from '../leases/link.js';

const HEADING =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
/** Written after the kernel's format; addresses of both families. */
const LISTENING =
  '   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100\n';
const IDLE =
  '   1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 02:000A1B2C 00000000     0        0 2 2 0 20\n';
const DEAD =
  '   2: 0100007F:C351 0100007F:1F90 01 00001A2B:00000003 01:00000014 00000004  1000        0 3 3 0 20\n';
const FULL =
  '  10: 0100007F:C352 0100007F:1F90 01 00100000:00000000 04:00000014 00000000  1000        1 4 3 0 20\n';
const GONE =
  ' 110: 0100007F:C353 0100007F:1F90 01 00100000:00000000 04:00000014 00000000  1000        5 5 3 0 20\n';
const TWICE =
  ' 111: 0200007F:C350 0200007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 6 2 0 20\n';
const CLOSED =
  ' 112: 0100007F:C355 0100007F:1F90 06 00000000:00000000 03:000014A8 00000000     0        0 0 3 0000000000000000\n';
const V6 =
  '   0: 00000000000000000000000001000000:C354 00000000000000000000000001000000:1F90 01 00000001:00000002 01:00000014 00000001  1000        0 7 3 0 20\n';

const QUIET: TcpQueue = { unacknowledged: 0, unread: 0, retries: 0, windowClosed: false };

describe("the kernel's table", () => {
  const at = (text: string, local: number) => queueOf(parseTcpTable(HEADING + text), { local, remote: 8080 });

  test('gives what is not acknowledged, what is not read, and how often the kernel has tried', () => {
    const all = LISTENING + CLOSED + IDLE + DEAD + FULL + GONE;
    assert.equal(at(all, 0xc355), undefined, 'closed sockets, of which there may be many, are passed over');
    assert.deepEqual(at(all, 0xc350), QUIET);
    assert.deepEqual(at(all, 0xc351), { unacknowledged: 0x1a2b, unread: 3, retries: 4, windowClosed: false });
    assert.deepEqual(at(all, 0xc352), {
      unacknowledged: 0x100000,
      unread: 0,
      retries: 0,
      windowClosed: true,
    });
    assert.deepEqual(at(all, 0xc353), {
      unacknowledged: 0x100000,
      unread: 0,
      retries: 4,
      windowClosed: true,
    });
  });

  test('of both families', () => {
    const table = parseTcpTable(HEADING + V6, parseTcpTable(HEADING + IDLE));
    assert.deepEqual(queueOf(table, { local: 0xc350, remote: 8080 }), QUIET);
    const { unacknowledged, unread } = queueOf(table, { local: 0xc354, remote: 8080 })!;
    assert.deepEqual([unacknowledged, unread], [1, 2]);
  });

  test('does not know other ports, and is not sure of two sockets alike', () => {
    assert.equal(at(IDLE, 0xc351), undefined);
    assert.equal(queueOf(parseTcpTable(HEADING + IDLE), { local: 8080, remote: 0xc350 }), undefined);
    assert.equal(at(IDLE + TWICE, 0xc350), undefined);
    assert.equal(at(IDLE + TWICE + IDLE, 0xc350), undefined);
    assert.equal(at('', 1), undefined);
  });
});

describe('what it means', () => {
  const dead = { ...QUIET, unacknowledged: 14, retries: 1 };
  test('not acknowledged and tried again: the link is dead', () => {
    assert.equal(weigh(dead, 0, 14), Evidence.dead);
  });
  test('all is acknowledged: the server is silent', () => {
    assert.equal(weigh(QUIET, 14, 14), Evidence.silent);
  });
  test('bytes lie unread: it is we who are slow', () => {
    assert.equal(weigh({ ...dead, unread: 1 }, 0, 14), Evidence.unread);
  });
  test('not acknowledged and not tried again: on its way, unless that is what was sent after the ping', () => {
    const flying = { ...QUIET, unacknowledged: 100 };
    assert.equal(weigh(flying, 900, 914), Evidence.underWay);
    assert.equal(weigh(flying, 914, 914), Evidence.silent);
  });
  test('much in front of the ping: that is looked at again, though the kernel has lost patience', () => {
    assert.equal(weigh({ ...dead, unacknowledged: 100_000 }, 0, 100_000), Evidence.behind);
    assert.equal(weigh({ ...dead, unacknowledged: 100_000 }, 900, 914), Evidence.dead);
  });

  test('each cause has its conditions', () => {
    const known = { asked: true, answered: true, stalled: 0, timeout: 500 };
    assert.equal(causeOf(Evidence.dead, { ...known, answered: false, stalled: 9_000 }), 'link-dead');
    assert.equal(causeOf(Evidence.silent, known), 'server-silent');
    assert.equal(causeOf(Evidence.silent, { ...known, stalled: 9_000 }), 'server-silent');
    assert.equal(causeOf(Evidence.silent, { ...known, answered: false }), 'never-answered');
    assert.equal(causeOf(undefined, known), 'unknown');
    assert.equal(causeOf(undefined, { ...known, answered: false }), 'never-answered');
    assert.equal(causeOf(undefined, { ...known, stalled: 500 }), 'own-stall');
    assert.equal(causeOf(undefined, { ...known, stalled: 499 }), 'unknown');
    assert.equal(causeOf(Evidence.silent, { ...known, asked: false }), 'unknown');
  });
});

describe('a ping on its way', () => {
  const SIGHT = { lastReceivedAt: 0, pausedSince: 0, resumedAt: 0, sent: 0, queued: 0, taken: 0, sentAt: 0 };
  const watchdog = (): Watchdog => {
    const made = new Watchdog(heartbeatSettings({ interval: 1_000, timeout: 500 })!, 0);
    made.asked(1_000, SIGHT, 500);
    return made;
  };

  test('is waited for as long as what is in front of it is acknowledged, a look after the other', () => {
    const made = watchdog();
    assert.equal(made.wasUnderWay, false);
    assert.equal(made.isUnderWay(1_500, 0, 500, 200, false), true);
    assert.deepEqual([made.dueAt, made.wasUnderWay], [1_700, true]);
    assert.equal(made.isUnderWay(1_700, 20_000, 500, 200, false), true);
    assert.equal(made.dueAt, 2_200);
    assert.equal(made.isUnderWay(2_200, 20_000, 500, 200, false), false);
  });

  test('and while the kernel waits, for up to two timeouts', () => {
    const made = watchdog();
    assert.equal(made.isUnderWay(1_500, 0, 500, 200, true), true);
    assert.equal(made.isUnderWay(1_700, 0, 500, 200, true), true);
    assert.equal(made.dueAt, 1_900);
    assert.equal(made.isUnderWay(2_490, 0, 500, 200, true), true);
    assert.equal(made.isUnderWay(2_500, 0, 500, 200, true), false);
  });

  test('when it has come to the peer, that has the timeout to answer, once', () => {
    const made = watchdog();
    assert.equal(made.hasJustArrived(1_500, 500), false, 'it was never seen on its way');
    assert.equal(made.isUnderWay(1_500, 0, 500, 200, false), true);
    assert.equal(made.hasJustArrived(1_700, 500), true);
    assert.deepEqual([made.dueAt, made.wasUnderWay], [2_200, false]);
    assert.equal(made.hasJustArrived(2_200, 500), false);
  });
});

/** Two ends of a connection over the loopback. */
async function pair(t: TestContext, host: string): Promise<{ ours: Socket; theirs: Socket }> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const ours = connect((server.address() as { port: number }).port, host);
  const [[theirs]] = (await Promise.all([once(server, 'connection'), once(ours, 'connect')])) as [
    [Socket],
    [],
  ];
  t.after(() => {
    ours.destroy();
    theirs.destroy();
    server.close();
  });
  return { ours, theirs };
}

const portsOf = (socket: Socket) => ({ local: socket.localPort!, remote: socket.remotePort! });
const LINUX = process.platform === 'linux';

for (const host of ['127.0.0.1', '::1']) {
  describe(`a socket of ours to ${host}`, () => {
    test(
      LINUX ? 'is found, and what waits in it' : 'is not known on this system: it has no /proc',
      async (t) => {
        const { ours, theirs } = await pair(t, host);
        if (!LINUX) {
          assert.equal(tcpQueue(portsOf(ours), performance.now()), undefined);
          return;
        }
        assert.deepEqual(tcpQueue(portsOf(ours), performance.now()), QUIET);
        // Nobody reads on our side.
        theirs.write('unread');
        await until(() => tcpQueue(portsOf(ours), performance.now())?.unread === 6);
        // Nobody reads on theirs: the kernels' buffers fill, and the window closes.
        while (ours.write(Buffer.alloc(1024 * 1024)));
        await until(() => tcpQueue(portsOf(ours), performance.now())?.windowClosed === true);
        const { retries, unacknowledged } = tcpQueue(portsOf(ours), performance.now())!;
        assert.ok(unacknowledged > 0, 'the kernel holds what the other does not take');
        assert.equal(retries, 0, 'whose kernel answers');
      },
    );
  });
}
