/** The socket below a connection: where its reads land, whom it serves, and how it is reset. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type LookupFunction, type Server, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { SocketOptions } from '../../src/transport/socket-options.js';
import { Transport, type TransportHandlers } from '../../src/transport/transport.js';
import { GUARD } from '../connection/wire.js';
import { TRANSPORTS, until } from '../leases/link.js';
import { certificate } from '../server/certificate.js';

/** Keeps what it is told; its reads land at a place of its own, farther behind each time. */
class Owner {
  readonly memory = Buffer.alloc(4096, '.');
  readonly log: string[] = [];
  at = 0;
}

const HANDLERS: TransportHandlers<Owner> = {
  readTarget({ memory, at, log }) {
    log.push(`target ${at}`);
    return memory.subarray(at);
  },
  received(owner, count) {
    owner.log.push(`received ${owner.memory.toString('latin1', owner.at, owner.at + count)}`);
    owner.at += count;
  },
  onEnd: ({ log }) => void log.push('end'),
  onError: ({ log }, error) => void log.push(`error ${(error as NodeJS.ErrnoException).code}`),
  onClosed: ({ log }) => void log.push('closed'),
};

async function listening(
  t: TestContext,
  tls: boolean,
): Promise<{ server: Server; port: number; accepted: Promise<Socket> }> {
  const server = tls ? createTlsServer({ ...certificate(), ALPNProtocols: ['http/1.1'] }) : createServer();
  server.on('tlsClientError', () => {});
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, tls ? 'secureConnection' : 'connection').then(([socket]) => {
    t.after(() => (socket as Socket).destroy());
    (socket as Socket).on('error', () => {}).setNoDelay(true);
    return socket as Socket;
  });
  return { server, port: (server.address() as { port: number }).port, accepted };
}

/** A transport to a server of this test, and the server's end of it. */
async function opened(
  t: TestContext,
  tls: boolean,
  { host = '127.0.0.1', socket }: { host?: string; socket?: SocketOptions } = {},
): Promise<{ transport: Transport; far: Socket; owner: Owner; phases: string[] }> {
  const { port, accepted } = await listening(t, tls);
  const owner = new Owner();
  const phases: string[] = [];
  let onReady = (): void => {};
  const ready = new Promise<void>((resolve) => (onReady = resolve));
  const transport = await Transport.open(
    { secure: tls, host, port },
    { socket, tls: { ca: certificate().cert } },
    HANDLERS,
    owner,
    {
      onLookup: () => void phases.push('lookup'),
      onConnect: () => void phases.push('connect'),
      onReady() {
        phases.push('ready');
        onReady();
      },
    },
  );
  t.after(() => transport.socket.destroy());
  const [far] = await Promise.all([accepted, ready]);
  return { transport, far, owner, phases };
}

/** `localhost` at the address where the servers of this file are, whatever the machine's own tables say. */
const lookup: LookupFunction = (_, options, callback) => {
  process.nextTick(() => {
    if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }]);
    else callback(null, '127.0.0.1', 4);
  });
};

for (const { over, tls } of TRANSPORTS) {
  describe(`a transport over ${over}`, GUARD, () => {
    test('reads land where the owner said when its last read was done', async (t) => {
      const { far, owner } = await opened(t, tls);
      for (const [i, bytes] of ['one', 'two', 'three'].entries()) {
        far.write(bytes);
        await until(() => owner.log.filter((line) => line.startsWith('received')).length > i);
      }
      assert.deepEqual(
        owner.log.filter((line) => line !== 'target 0'),
        ['received one', 'target 3', 'received two', 'target 6', 'received three', 'target 11'],
      );
      assert.equal(owner.log[0], 'target 0');
      assert.equal(owner.memory.toString('latin1', 0, 13), 'onetwothree..');
    });

    test('an owner that takes over in a read has the next one', async (t) => {
      const { transport, far, owner } = await opened(t, tls);
      const heir = new Owner();
      const first: TransportHandlers<Owner> = {
        ...HANDLERS,
        received(who, count) {
          HANDLERS.received(who, count);
          transport.serve(HANDLERS, heir);
        },
      };
      transport.serve(first, owner);
      far.write('one');
      await until(() => heir.log.length > 0);
      far.write('two');
      await until(() => heir.log.length > 1);
      far.end();
      await until(() => heir.log.includes('end'));
      transport.socket.end();
      await until(() => heir.log.includes('closed'));
      assert.deepEqual(owner.log.slice(-1), ['received one']);
      assert.deepEqual(heir.log, ['target 0', 'received two', 'target 3', 'end', 'closed']);
    });

    test('tells the phases of connecting; an address is not looked up', async (t) => {
      assert.deepEqual((await opened(t, tls)).phases, ['connect', 'ready']);
      const named = await opened(t, tls, { host: 'localhost', socket: { lookup } });
      assert.deepEqual(named.phases, ['lookup', 'connect', 'ready']);
    });

    test('tells of FIN; when the owner has ended its side too, that the socket is gone', async (t) => {
      const { transport, far, owner } = await opened(t, tls);
      far.end();
      await until(() => owner.log.includes('end'));
      assert.ok(transport.socket.writable);
      transport.socket.end();
      await until(() => owner.log.includes('closed'));
      assert.deepEqual(owner.log.slice(-2), ['end', 'closed']);
    });

    test('reset() ends both ends at once', async (t) => {
      const { transport, far, owner } = await opened(t, tls);
      const errors: (string | undefined)[] = [];
      far.on('error', ({ code }: NodeJS.ErrnoException) => errors.push(code));
      far.resume();
      transport.reset();
      await until(() => far.closed && owner.log.includes('closed'));
      // RST over tcp. Over TLS, where Node has no way to send one, a TCP connection that simply ends.
      if (!tls) assert.deepEqual(errors, ['ECONNRESET']);
    });
  });
}

describe('a transport over TLS', GUARD, () => {
  test('RFC 6066 §3: names the host for SNI when it is a name, and not when it is an address', async (t) => {
    const named = await opened(t, true, { host: 'localhost', socket: { lookup } });
    assert.equal((named.far as TLSSocket).servername, 'localhost');
    const addressed = await opened(t, true);
    assert.equal((addressed.far as TLSSocket).servername, false);
  });

  test('RFC 7301: speaks HTTP/1.1, which is the protocol that can be upgraded', async (t) => {
    const { far } = await opened(t, true);
    assert.equal((far as TLSSocket).alpnProtocol, 'http/1.1');
  });
});
