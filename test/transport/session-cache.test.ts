/** TLS sessions that are kept and resumed (RFC 8446 §2.2, RFC 5246 §7.3), as the server sees it too. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import {
  createSecureContext,
  connect as nodeConnect,
  type TlsOptions as ServerOptions,
  TLSSocket,
} from 'node:tls';
import fc from 'fast-check';
import { type ConnectOptions, connect } from '../../src/connect.js';
import type { Connection } from '../../src/connection.js';
import { HandshakeError } from '../../src/errors.js';
import { SessionCache } from '../../src/transport/session-cache.js';
import type { TlsOptions } from '../../src/transport/tls-client.js';
import { certificate } from '../server/certificate.js';
import { leavesNothingOpen } from '../server/resources.js';
import { type TlsServer, tlsServer } from '../server/tls-server.js';

const ticket = (name: string): Buffer => Buffer.from(name);

describe('the session cache', () => {
  test('RFC 8446 C.4: gives a session out once, the newest first; but keeps the last', () => {
    const cache = new SessionCache();
    cache.keep('a', ticket('1'));
    cache.keep('a', ticket('2'));
    assert.deepEqual(cache.take('a'), ticket('2'));
    assert.deepEqual(cache.take('a'), ticket('1'));
    assert.deepEqual(cache.take('a'), ticket('1'));
    cache.keep('a', ticket('3'));
    assert.deepEqual(cache.take('a'), ticket('3'), 'one that was not used is preferred');
  });

  test('keeps two of a key, the latest', () => {
    const cache = new SessionCache();
    for (const name of ['1', '2', '3']) cache.keep('a', ticket(name));
    assert.deepEqual(cache.take('a'), ticket('3'));
    assert.deepEqual(cache.take('a'), ticket('2'));
    assert.deepEqual(cache.take('a'), ticket('2'));
  });

  test('forgets all of a key', () => {
    const cache = new SessionCache();
    for (const name of ['1', '2']) cache.keep('a', ticket(name));
    cache.forget('a');
    assert.equal(cache.take('a'), undefined);
    assert.equal(cache.size, 0);
  });

  test('keys have nothing to do with each other', () => {
    const cache = new SessionCache();
    cache.keep('a', ticket('1'));
    assert.equal(cache.take('b'), undefined);
    assert.deepEqual(cache.take('a'), ticket('1'));
  });

  test('holds 256 keys; the one that was kept longest ago goes', () => {
    const cache = new SessionCache();
    for (let i = 0; i < 256; i++) cache.keep(`${i}`, ticket(`${i}`));
    cache.keep('0', ticket('0 again'));
    cache.keep('one more', ticket('!'));
    assert.equal(cache.size, 256);
    assert.equal(cache.take('1'), undefined);
    assert.deepEqual(cache.take('0'), ticket('0 again'));
  });

  test('whatever is done with it, it gives out the newest of that key that was not given, else the last', () => {
    const step = fc.record({
      do: fc.constantFrom('keep', 'keep', 'take', 'take', 'forget'),
      key: fc.constantFrom('a', 'b', 'c'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const cache = new SessionCache();
        const expected = new Map<string, string[]>();
        for (const [i, { do: what, key }] of steps.entries()) {
          const kept = expected.get(key) ?? [];
          if (what === 'keep') {
            cache.keep(key, ticket(`${key} ${i}`));
            expected.set(key, [...kept, `${key} ${i}`].slice(-2));
          } else if (what === 'forget') {
            cache.forget(key);
            expected.delete(key);
          } else {
            assert.equal(cache.take(key)?.toString(), kept.length > 1 ? kept.pop() : kept[0]);
          }
        }
      }),
    );
  });
});

/** A server that tells, and trust in it. */
async function serving(t: TestContext, options: ServerOptions = {}): Promise<TlsServer> {
  const server = await tlsServer(options);
  t.after(() => server.close());
  return server;
}

const trust: TlsOptions = { ca: certificate().cert };

/** Connects, checks that both ends say the same of resumption, and closes. */
async function resumes(server: TlsServer, options: ConnectOptions = {}): Promise<boolean> {
  const connection = await connect(server.url, { tls: trust, ...options });
  const { resumed } = connection.handshake.tls!;
  assert.equal(server.resumed.at(-1), resumed, 'client and server disagree');
  await connection.close();
  return resumed;
}

describe('RFC 8446 §2.2: a second connection resumes the session of the first', () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`${version}: both ends say so`, async (t) => {
      const server = await serving(t, { minVersion: version, maxVersion: version });
      assert.equal(await resumes(server), false);
      assert.equal(await resumes(server), true);
      assert.deepEqual(server.resumed, [false, true]);
    });
  }

  test('TLS 1.3: every one after the first, although Node’s server gives no ticket on a resumed one', async (t) => {
    const server = await serving(t);
    assert.equal(await resumes(server), false);
    for (let i = 0; i < 4; i++) assert.equal(await resumes(server), true);
    const connections = await Promise.all([1, 2, 3].map(() => connect(server.url, { tls: trust })));
    for (const { handshake } of connections) assert.equal(handshake.tls?.resumed, true);
    await Promise.all(connections.map((connection) => connection.close()));
  });

  test('TLS 1.2: one session serves them all', async (t) => {
    const server = await serving(t, { maxVersion: 'TLSv1.2' });
    await resumes(server);
    for (let i = 0; i < 4; i++) assert.equal(await resumes(server), true);
  });

  test('frames go both ways over a resumed connection', async (t) => {
    const server = await serving(t);
    await resumes(server);
    const echoes: string[] = [];
    const connection = await connect(server.url, {
      tls: trust,
      onMessage: (message) => void echoes.push(message.text()),
    });
    assert.equal(connection.handshake.tls?.resumed, true);
    connection.send('over a resumed connection');
    await connection.close();
    assert.deepEqual(echoes, ['over a resumed connection']);
  });
});

describe('what a session was verified for is part of its key', () => {
  const verifier = (): undefined => undefined;
  const otherVerifier = (): undefined => undefined;
  const other = certificate();
  const variants: Record<string, TlsOptions> = {
    'another authority as well': { ca: [certificate().cert, certificate().cert] },
    'no verification': { ...trust, rejectUnauthorized: false },
    'another check of the name': { ...trust, checkServerIdentity: verifier },
    'yet another check of the name': { ...trust, checkServerIdentity: otherVerifier },
    'another name': { ...trust, servername: 'localhost' },
    'another ALPN': { ...trust, ALPNProtocols: ['http/1.1', 'x'] },
    'a client certificate': { ...trust, cert: other.cert, key: other.key },
    'a context of the user’s': { secureContext: createSecureContext({ ca: certificate().cert }) },
  };

  for (const [title, tls] of Object.entries(variants)) {
    test(title, async (t) => {
      const server = await serving(t);
      assert.equal(await resumes(server), false);
      assert.equal(await resumes(server, { tls }), false, 'a session of other trust was used');
      assert.equal(await resumes(server, { tls }), true, 'its own was not kept');
    });
  }

  test('another port', async (t) => {
    const [one, two] = [await serving(t), await serving(t)];
    await resumes(one);
    assert.equal(await resumes(two), false);
  });

  test('a session without verification is not used with it', async (t) => {
    const server = await serving(t);
    await resumes(server, { tls: { rejectUnauthorized: false } });
    const error = await connect(server.url, { tls: {} }).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof HandshakeError);
    assert.equal(error.code, 'ERR_TLS_CERTIFICATE');
  });

  test('the same options in another order, and other buffers of the same bytes, are the same', async (t) => {
    const server = await serving(t);
    const bytes = (): Buffer => Buffer.from(certificate().cert);
    await resumes(server, { tls: { ca: bytes(), minVersion: 'TLSv1.2' } });
    assert.equal(await resumes(server, { tls: { minVersion: 'TLSv1.2', ca: bytes() } }), true);
  });
});

describe('tls.session', () => {
  test('a session that the user gives wins over one that is kept', async (t) => {
    const server = await serving(t, { maxVersion: 'TLSv1.2' });
    const socket = nodeConnect({ host: '127.0.0.1', port: server.port, ca: certificate().cert });
    await once(socket, 'secureConnect');
    const session = socket.getSession()!;
    socket.destroy();
    assert.equal(await resumes(server, { tls: { ...trust, session } }), true);

    // One that the server does not know is offered all the same.
    const elsewhere = await serving(t, { maxVersion: 'TLSv1.2' });
    await resumes(elsewhere);
    assert.equal(await resumes(elsewhere, { tls: { ...trust, session } }), false);
  });
});

/** Passes connections on to `port`, except those that the test ends, when they have said ClientHello. */
async function relay(t: TestContext, port: number, endsNow: () => boolean) {
  const server = createServer((near) => {
    const far = connectTcp({ port, host: '127.0.0.1' });
    for (const socket of [near, far]) socket.on('error', () => {});
    near.once('data', (hello: Buffer) => {
      if (endsNow()) near.destroy();
      else far.write(hello);
      near.pipe(far).pipe(near);
    });
    const destroyOther = (one: Socket, two: Socket): void => void one.on('close', () => two.destroy());
    destroyOther(near, far);
    destroyOther(far, near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { url: `wss://127.0.0.1:${(server.address() as { port: number }).port}/` };
}

describe('a resumption that fails', () => {
  test('is not tried again: the next handshake is a full one', async (t) => {
    const server = await serving(t, { maxVersion: 'TLSv1.2' });
    let breaks = false;
    const { url } = await relay(t, server.port, () => breaks);
    const open = (): Promise<Connection> => connect(url, { tls: trust });

    await (await open()).close();
    breaks = true;
    const error = await open().catch((thrown: unknown) => thrown);
    assert.ok(error instanceof HandshakeError);
    assert.equal(error.code, 'ERR_TLS');
    breaks = false;
    const connection = await open();
    assert.equal(connection.handshake.tls?.resumed, false);
    await connection.close();
    assert.deepEqual(server.resumed, [false, false]);
  });

  test('that Node does not take costs a full handshake, and no connection', async (t) => {
    const server = await serving(t);
    await resumes(server);
    const socket = TLSSocket.prototype as TLSSocket & { setSession(session: Buffer): void };
    const { mock } = t.mock.method(socket, 'setSession', () => {
      throw new Error('not a session');
    });
    assert.equal(await resumes(server), false);
    assert.equal(mock.callCount(), 1);
  });

  test('a ticket is not spent on a server that cannot be reached', async (t) => {
    const server = await serving(t);
    await resumes(server);
    const { port } = server;
    await server.close();
    for (let i = 0; i < 3; i++) await assert.rejects(connect(server.url, { tls: trust }), HandshakeError);
    const again = await tlsServer({}, port, server.server.getTicketKeys());
    t.after(() => again.close());
    assert.equal(await resumes(again), true);
  });

  test('a server that has lost its keys gets a full handshake in the same connection', async (t) => {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const server = await serving(t, { maxVersion });
      await resumes(server);
      server.server.setTicketKeys(Buffer.alloc(48, 7));
      assert.equal(await resumes(server), false);
      assert.equal(await resumes(server), true);
    }
  });
});

test('500 connections one after the other, resumed and not, leave nothing open', async (t) => {
  const server = await serving(t);
  await leavesNothingOpen(
    async () => {
      for (let i = 0; i < 500; i++) {
        const connection = await connect(server.url, { tls: trust });
        connection.terminate();
        await connection.closed;
      }
      const resumed = server.resumed.filter(Boolean).length;
      assert.ok(resumed > 300 && resumed < 500, `${resumed} of 500 were resumed`);
    },
    () => server.close(),
  );
});
