/** Servers whose TLS stalls, breaks off, or proves another identity than theirs. */
import assert from 'node:assert/strict';
import { connect as connectTcp, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type ConnectOptions, connect, HandshakeError } from '../../src/index.js';
import { type Failing, relay } from '../faults/relay.js';
import { soon } from '../leases/link.js';
import { authority } from '../server/authority.js';
import { type Certificate, certificate } from '../server/certificate.js';
import { type EchoServer, echoServer } from '../server/echo-server.js';
import { leavesNothingOpen } from '../server/resources.js';
import { accepting, readRequest } from '../server/scripted-server.js';
import { rawServer } from './raw-server.js';

const trusted = authority();

let echo: EchoServer;
before(async () => {
  echo = await echoServer({ tls: true });
});
after(() => echo.close());

/** The rejection; afterwards nothing is open, and a right server can be reached. */
async function refusal(
  url: string,
  options: ConnectOptions,
  close: () => Promise<void>,
): Promise<HandshakeError> {
  let refused: unknown;
  await leavesNothingOpen(async () => {
    refused = await soon(connect(url, options)).then(
      () => assert.fail('it was opened'),
      (error: unknown) => error,
    );
  }, close);
  const unrelated = await connect(echo.url, { tls: echo.tls });
  assert.equal((await unrelated.close()).wasClean, true);
  assert.ok(refused instanceof HandshakeError, String(refused));
  return refused;
}

describe('a server that stalls in TLS: ERR_HANDSHAKE_TIMEOUT', () => {
  const options = { handshakeTimeout: 250, tls: { rejectUnauthorized: false } };

  test('it accepts TCP, and never speaks', async () => {
    const server = await rawServer((socket) => socket.resume());
    const url = server.url.replace('ws:', 'wss:');
    const error = await refusal(url, options, () => server.close());
    assert.deepEqual([error.code, error.phase], ['ERR_HANDSHAKE_TIMEOUT', 'TLS handshake']);
  });

  test('it does not even read', async () => {
    const server = await rawServer((socket) => socket.pause());
    const url = server.url.replace('ws:', 'wss:');
    const error = await refusal(url, options, () => server.close());
    assert.equal(error.code, 'ERR_HANDSHAKE_TIMEOUT');
  });

  for (const bytes of [1, 5, 40, 600]) {
    test(`after ${bytes} bytes of its ServerHello and what follows`, async () => {
      const link = await relay(echo.port, { failing: 'stall', after: { bytes, towards: 'client' } });
      const error = await refusal(`wss://127.0.0.1:${link.port}/`, options, () => link.close());
      assert.deepEqual([error.code, error.phase], ['ERR_HANDSHAKE_TIMEOUT', 'TLS handshake']);
    });
  }

  test('behind its TLS handshake', async () => {
    const server = await rawServer((socket) => socket.resume(), { tls: true });
    const error = await refusal(server.url, options, () => server.close());
    assert.deepEqual([error.code, error.phase], ['ERR_HANDSHAKE_TIMEOUT', 'waiting for the response']);
  });
});

describe('a server that breaks TLS off: ERR_TLS', () => {
  const endings: Failing[] = ['RST', 'FIN', 'corruption'];
  for (const failing of endings) {
    for (const bytes of [0, 5, 40, 300]) {
      test(`by ${failing}, after ${bytes} bytes`, async () => {
        const link = await relay(echo.port, { failing, after: { bytes, towards: 'client' } });
        const options = { handshakeTimeout: 2_000, tls: echo.tls };
        const error = await refusal(`wss://127.0.0.1:${link.port}/`, options, () => link.close());
        // A wrong length makes TLS wait for what never comes.
        const expected = failing === 'corruption' ? /^ERR_(TLS|HANDSHAKE_TIMEOUT)$/ : /^ERR_TLS$/;
        assert.match(error.code, expected);
      });
    }
  }

  for (const [title, bytes] of [
    ['plain HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['an alert', '\x15\x03\x03\x00\x02\x02\x28'],
    ['records of no length', '\x16\x03\x03\x00\x00'.repeat(1_000)],
    ['bytes of 0xff', '\xff'.repeat(100_000)],
  ]) {
    test(`by ${title}`, async () => {
      const server = await rawServer((socket) => {
        socket.resume();
        socket.write(Buffer.from(bytes, 'latin1'));
      });
      const url = server.url.replace('ws:', 'wss:');
      const error = await refusal(url, { handshakeTimeout: 2_000 }, () => server.close());
      assert.equal(error.code, 'ERR_TLS');
    });
  }
});

describe('a server with a certificate that is not trusted: ERR_TLS_CERTIFICATE, and no request is sent', () => {
  const unknown = authority('Nobody knows this one');
  const bad: [title: string, issue: () => Certificate, reason: RegExp][] = [
    ['expired', () => trusted.issue({ name: 'localhost', from: -3, to: -1 }), /has expired/],
    ['not valid yet', () => trusted.issue({ name: 'localhost', from: 1, to: 2 }), /not valid yet/],
    [
      'for another host',
      () => trusted.issue({ name: 'elsewhere.test', alternativeNames: 'DNS:elsewhere.test' }),
      /another name/,
    ],
    [
      'for the host in its subject only',
      () => trusted.issue({ name: '127.0.0.1', alternativeNames: 'DNS:elsewhere.test' }),
      /another name/,
    ],
    ['of an unknown authority', () => unknown.issue({ name: 'localhost' }), /authority that is not trusted/],
  ];

  const check = async (shown: Certificate, reason: RegExp, tls: { ca?: string }): Promise<void> => {
    let requests = 0;
    const server = await rawServer(
      (socket: Socket) => {
        readRequest(socket, (request) => {
          requests++;
          socket.write(accepting(request));
        });
      },
      { tls: shown },
    );
    const error = await refusal(server.url, { tls }, () => server.close());
    assert.equal(error.code, 'ERR_TLS_CERTIFICATE');
    assert.match(error.message, reason);
    assert.equal(requests, 0);
  };

  for (const [title, issue, reason] of bad) test(title, () => check(issue(), reason, { ca: trusted.cert }));

  test('self-signed', async () => {
    await check(certificate(), /self-signed/, {});
  });
});

describe('RFC 6455 §7.1.5 TLS that breaks when the connection is open', () => {
  test('a record that TLS cannot read: ERR_CONNECTION_LOST, and its cause', async () => {
    let near: Socket | undefined;
    const server = await rawServer((socket) => {
      near = socket;
      const far = connectTcp({ host: '127.0.0.1', port: echo.port });
      far.on('error', () => {});
      socket.pipe(far).pipe(socket);
      socket.on('close', () => far.destroy());
    });
    await leavesNothingOpen(
      async () => {
        const connection = await connect(server.url.replace('ws:', 'wss:'), { tls: echo.tls });
        near!.write(Buffer.concat([Buffer.from('1703030020', 'hex'), Buffer.alloc(32)]));
        const { code, error } = await soon(connection.closed);
        assert.deepEqual([code, error?.code], [1006, 'ERR_CONNECTION_LOST']);
        assert.match(String((error?.cause as NodeJS.ErrnoException)?.code), /^ERR_SSL_/);
      },
      () => server.close(),
    );
  });
});
