/** Contexts that are shared, and what `tls` says of trust and identity: each against a server of Node's. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { createSecureContext, type TlsOptions as ServerOptions } from 'node:tls';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { type ConnectOptions, connect } from '../../src/connect.js';
import { HandshakeError, UsageError } from '../../src/errors.js';
import type { TlsOptions } from '../../src/transport/tls-client.js';
import { sharedContext } from '../../src/transport/tls-context.js';
import { authority } from '../server/authority.js';
import { certificate } from '../server/certificate.js';
import { leavesNothingOpen } from '../server/resources.js';
import { type TlsServer, tlsServer } from '../server/tls-server.js';

const { cert, key } = certificate();

describe('one context for each distinct set of options', () => {
  const same: [string, TlsOptions, TlsOptions][] = [
    ['no options', {}, {}],
    ['equal strings', { ca: `${cert}` }, { ca: cert.slice(0) }],
    ['equal bytes', { ca: Buffer.from(cert) }, { ca: Buffer.from(cert) }],
    ['arrays of equal elements', { ca: [cert, Buffer.from(cert)] }, { ca: [cert, Buffer.from(cert)] }],
    ['another order', { ca: cert, minVersion: 'TLSv1.3' }, { minVersion: 'TLSv1.3', ca: cert }],
    ['an option that is undefined', { ca: cert, crl: undefined }, { ca: cert }],
    [
      'what belongs to the connection',
      {
        ca: cert,
        servername: 'a',
        rejectUnauthorized: false,
        ALPNProtocols: ['x'],
        session: Buffer.alloc(1),
      },
      { ca: cert, checkServerIdentity: () => undefined, minDHSize: 2048 },
    ],
  ];
  for (const [title, a, b] of same) {
    test(`the same: ${title}`, () => assert.equal(sharedContext(a), sharedContext(b)));
  }

  const distinct: [string, TlsOptions, TlsOptions][] = [
    ['an option more', { ca: cert }, { ca: cert, maxVersion: 'TLSv1.3' }],
    ['another value', { ca: cert, maxVersion: 'TLSv1.2' }, { ca: cert, maxVersion: 'TLSv1.3' }],
    ['an array of one and its element', { ca: [cert] }, { ca: cert }],
    ['another order within an option', { ca: [cert, cert] }, { ca: [cert] }],
    ['with a client certificate, and without', { ca: cert, cert, key }, { ca: cert }],
    ['an option that Node may get one day', { ca: cert }, { ca: cert, tomorrow: true } as TlsOptions],
  ];
  for (const [title, a, b] of distinct) {
    test(`not the same: ${title}`, () => assert.notEqual(sharedContext(a), sharedContext(b)));
  }

  test('bytes that have changed in place are other bytes', () => {
    const ca = Buffer.from(`${cert}\n`);
    const before = sharedContext({ ca: [ca] });
    ca.write(' ', ca.length - 1);
    assert.notEqual(sharedContext({ ca: [ca] }), before);
  });

  test('what cannot make a context throws each time, and is not kept', () => {
    for (let i = 0; i < 2; i++) assert.throws(() => sharedContext({ key: 'no key' }));
  });

  test('32 are kept; the one that was not used for longest goes', () => {
    const numbered = (i: number): TlsOptions => ({ sessionTimeout: 1_000 + i });
    const first = sharedContext(numbered(0));
    const second = sharedContext(numbered(1));
    for (let i = 2; i < 32; i++) sharedContext(numbered(i));
    assert.equal(sharedContext(numbered(0)), first);
    sharedContext(numbered(32));
    assert.equal(sharedContext(numbered(0)), first);
    assert.notEqual(sharedContext(numbered(1)), second);
  });

  test('equal by value means the same context, whatever the values are', () => {
    const value = fc.oneof(
      fc.constantFrom('TLSv1.2', 'TLSv1.3', ''),
      fc.uint8Array({ maxLength: 3 }).map((bytes) => Buffer.from(bytes)),
      fc.array(fc.constantFrom('a', 'b'), { maxLength: 2 }),
    );
    // Names that Node does not know, so that any value makes a context.
    const options = fc.dictionary(fc.constantFrom('x', 'y'), value) as fc.Arbitrary<TlsOptions>;
    fc.assert(
      fc.property(options, options, (a, b) => {
        const equal = JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
        assert.equal(sharedContext(a) === sharedContext(b), equal);
      }),
      { numRuns: 60 },
    );
  });
});

function sorted(options: object): [string, unknown][] {
  return Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));
}

async function serving(t: TestContext, options: ServerOptions = {}): Promise<TlsServer> {
  const server = await tlsServer(options);
  t.after(() => server.close());
  return server;
}

/** Sends every name to this machine. */
const toLoopback: ConnectOptions['socket'] = {
  lookup: (_name, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
};

async function refusal(url: string, options: ConnectOptions): Promise<HandshakeError> {
  const outcome: unknown = await connect(url, options).catch((thrown: unknown) => thrown);
  assert.ok(outcome instanceof HandshakeError, `${outcome}`);
  return outcome;
}

const AUTHORITY = authority();

/** Every way a certificate can be wrong, with OpenSSL's code and a word of the message for people. */
const WRONG: Record<
  string,
  { server: ServerOptions; tls: TlsOptions; code: string; says: RegExp; host?: string }
> = {
  'has expired': {
    server: AUTHORITY.issue({ name: 'late', from: -3, to: -1 }),
    tls: { ca: AUTHORITY.cert },
    code: 'CERT_HAS_EXPIRED',
    says: /the certificate has expired/,
  },
  'is not valid yet': {
    server: AUTHORITY.issue({ name: 'early', from: 1, to: 3 }),
    tls: { ca: AUTHORITY.cert },
    code: 'CERT_NOT_YET_VALID',
    says: /the certificate is not valid yet/,
  },
  'is self-signed': {
    server: {},
    tls: {},
    code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    says: /self-signed/,
  },
  'comes from an authority that is not trusted': {
    server: AUTHORITY.issue({ name: 'orphan' }),
    tls: {},
    code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    says: /authority that is not trusted/,
  },
  'comes from another authority than the one that is trusted': {
    server: AUTHORITY.issue({ name: 'orphan' }),
    tls: { ca: authority().cert },
    code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    says: /authority that is not trusted/,
  },
  'comes with an authority that is not trusted': {
    server: withChain(AUTHORITY.issue({ name: 'chained' })),
    tls: {},
    code: 'SELF_SIGNED_CERT_IN_CHAIN',
    says: /authority that is not trusted/,
  },
  'is for another name': {
    server: AUTHORITY.issue({ name: 'elsewhere', alternativeNames: 'DNS:elsewhere.test' }),
    tls: { ca: AUTHORITY.cert },
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    says: /is for another name.*elsewhere\.test/,
    host: 'here.test',
  },
  'is for another address': {
    server: AUTHORITY.issue({ name: 'elsewhere', alternativeNames: 'IP:192.0.2.1' }),
    tls: { ca: AUTHORITY.cert },
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    says: /is for another name.*192\.0\.2\.1/,
  },
};

function withChain(leaf: { cert: string; key: string }): ServerOptions {
  return { cert: leaf.cert + AUTHORITY.cert, key: leaf.key };
}

describe('ERR_TLS_CERTIFICATE names the cause, and nothing is sent: a certificate that', () => {
  for (const [title, { server: options, tls, code, says, host }] of Object.entries(WRONG)) {
    test(title, async (t) => {
      const server = await serving(t, options);
      await leavesNothingOpen(
        async () => {
          const url = `wss://${host ?? '127.0.0.1'}:${server.port}/`;
          const error = await refusal(url, { tls, socket: host === undefined ? {} : toLoopback });
          assert.equal(error.code, 'ERR_TLS_CERTIFICATE');
          assert.equal((error.cause as NodeJS.ErrnoException).code, code);
          assert.match(error.message, says);
          assert.ok(error.message.startsWith(`${host ?? '127.0.0.1'}:${server.port}: TLS handshake failed`));
          assert.equal(server.requests, 0);
          assert.equal(error.attempts.length, 1);
        },
        () => server.close(),
      );
    });
  }

  test('is not what checkServerIdentity wants: its error is the cause', async (t) => {
    const server = await serving(t);
    const verdict = new Error('the key is not the one that is pinned');
    const asked: string[] = [];
    const error = await refusal(server.url, {
      tls: {
        ca: cert,
        checkServerIdentity(host, { subject }) {
          asked.push(`${host} ${subject.CN}`);
          return verdict;
        },
      },
    });
    assert.equal(error.code, 'ERR_TLS_CERTIFICATE');
    assert.equal(error.cause, verdict);
    assert.match(error.message, /the certificate was not accepted.*pinned/);
    assert.deepEqual(asked, ['127.0.0.1 localhost']);
    assert.equal(server.requests, 0);
  });
});

describe('what else can fail in TLS is ERR_TLS', () => {
  test('no version in common', async (t) => {
    const server = await serving(t, { minVersion: 'TLSv1.3' });
    const error = await refusal(server.url, { tls: { ca: cert, maxVersion: 'TLSv1.2' } });
    assert.equal(error.code, 'ERR_TLS');
    assert.match((error.cause as NodeJS.ErrnoException).code ?? '', /^ERR_SSL_/);
  });

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`${maxVersion}, RFC 8446 §4.4.2.4: a server that wants a client certificate, and gets none`, async (t) => {
      const server = await serving(t, { requestCert: true, ca: AUTHORITY.cert, maxVersion });
      await leavesNothingOpen(
        async () => {
          const error = await refusal(server.url, { tls: { ca: cert } });
          assert.equal(error.code, 'ERR_TLS');
          assert.equal(server.requests, 0);
        },
        () => server.close(),
      );
    });
  }

  test('options that Node refuses are the user’s mistake', async (t) => {
    const server = await serving(t);
    for (const tls of [
      { ca: 'no certificate at all', key: 'no key' },
      { minVersion: 'TLSv9' as 'TLSv1.3' },
    ]) {
      const outcome: unknown = await connect(server.url, { tls }).catch((thrown: unknown) => thrown);
      assert.ok(outcome instanceof UsageError, `${outcome}`);
      assert.equal(outcome.code, 'ERR_INVALID_OPTION');
    }
    assert.equal(server.sockets.length, 0);
  });

  test('servername that is no string: no socket is left behind, which Node would do', async (t) => {
    const server = await serving(t);
    await leavesNothingOpen(async () => {
      for (const url of [server.url, server.url.replace('127.0.0.1', 'localhost')]) {
        const tls = { servername: 5 as unknown as string };
        await assert.rejects(connect(url, { tls }), { name: 'UsageError', code: 'ERR_INVALID_OPTION' });
      }
    });
    assert.equal(server.sockets.length, 0);
  });
});

describe('trust and identity', () => {
  test('a client certificate is shown to the server that asks for it', async (t) => {
    const server = await serving(t, { requestCert: true, ca: AUTHORITY.cert });
    const client = AUTHORITY.issue({ name: 'a client of this test' });
    const connection = await connect(server.url, { tls: { ca: cert, ...client } });
    t.after(() => connection.terminate());
    assert.equal(server.sockets[0].getPeerCertificate().subject.CN, 'a client of this test');
    assert.equal(server.sockets[0].authorized, true);
  });

  test('a certificate of an authority of one’s own', async (t) => {
    const server = await serving(t, AUTHORITY.issue({ name: 'own' }));
    const connection = await connect(server.url, { tls: { ca: AUTHORITY.cert } });
    connection.terminate();
  });

  test('secureContext: one of the user’s is used as it is', async (t) => {
    const server = await serving(t);
    const secureContext = createSecureContext({ ca: cert, maxVersion: 'TLSv1.2' });
    const connection = await connect(server.url, { tls: { secureContext } });
    assert.equal(connection.handshake.tls?.protocol, 'TLSv1.2');
    connection.terminate();
  });

  test('options that are undefined are not there', async (t) => {
    const server = await serving(t);
    const tls = { ca: cert, checkServerIdentity: undefined, minDHSize: undefined, ALPNProtocols: undefined };
    const connection = await connect(server.url, { tls });
    assert.equal(connection.handshake.tls?.alpn, 'http/1.1');
    connection.terminate();
  });

  test('handshake.tls tells what the server sees', async (t) => {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const server = await serving(t, { maxVersion, ALPNProtocols: ['http/1.1'] });
      const connection = await connect(server.url, { tls: { ca: cert } });
      const [socket] = server.sockets;
      assert.deepEqual(connection.handshake.tls, {
        protocol: maxVersion,
        cipher: socket.getCipher().name,
        alpn: 'http/1.1',
        resumed: false,
      });
      connection.terminate();
    }
  });

  test('handshake.tls: a server without ALPN', async (t) => {
    const server = await serving(t, { ALPNProtocols: [] });
    const connection = await connect(server.url, { tls: { ca: cert, ALPNProtocols: [] } });
    assert.equal(connection.handshake.tls?.alpn, undefined);
    connection.terminate();
  });
});

describe('NODE_EXTRA_CA_CERTS', () => {
  const program = fileURLToPath(new URL('./connect-once.ts', import.meta.url));

  /** Node reads the variable when it starts. */
  async function inChild(url: string, extra: string | undefined): Promise<string> {
    const child = spawn(process.execPath, ['--import', 'tsx', program, url], {
      env: { ...process.env, NODE_EXTRA_CA_CERTS: extra },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    await once(child, 'close');
    return output.trim();
  }

  test('authorities in the file it names are trusted, and without it they are not', async (t) => {
    const server = await serving(t, AUTHORITY.issue({ name: 'extra' }));
    const folder = mkdtempSync(join(tmpdir(), 'heartwire-extra-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'authority.pem');
    writeFileSync(file, AUTHORITY.cert);
    assert.equal(await inChild(server.url, file), 'open');
    assert.equal(await inChild(server.url, undefined), 'ERR_TLS_CERTIFICATE UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  });
});
