/**
 * HTTP proxies: CONNECT (RFC 9110 §9.3.6) through one of the test's own, and through hostile ones.
 * Whatever a proxy does, the server is reached through it or not at all.
 */
import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { connect } from '../../src/connect.js';
import { UsageError } from '../../src/errors.js';
import { connectRequest, type HttpProxy, proxyFor, TunnelAnswer } from '../../src/transport/proxy-tunnel.js';
import { pseudoRandomBytes } from '../arbitraries/payload.js';
import { authority } from '../server/authority.js';
import { certificate } from '../server/certificate.js';
import { type ConnectProxy, connectProxy, type ProxyScript } from '../server/connect-proxy.js';
import { echoServer } from '../server/echo-server.js';
import { leavesNothingOpen } from '../server/resources.js';
import { accepting, scriptedServer } from '../server/scripted-server.js';
import { echoes, echoing, refusal } from './through-proxy.js';

const TLS = { ca: certificate().cert };

async function proxying(t: TestContext, script: ProxyScript = {}): Promise<ConnectProxy> {
  const proxy = await connectProxy(script);
  t.after(() => proxy.close());
  return proxy;
}

describe('a tunnel', () => {
  for (const secure of [false, true]) {
    for (const toProxy of ['http', 'https'] as const) {
      const scheme = secure ? 'wss' : 'ws';
      test(`${scheme}: through an ${toProxy} proxy`, async (t) => {
        const server = await echoing(t, secure);
        const proxy = await proxying(t, { tls: toProxy === 'https' ? certificate() : undefined });
        await leavesNothingOpen(
          async () => {
            const connection = await connect(server.url, { proxy: proxy.url, tls: TLS });
            await echoes(connection);
            const { handshake } = connection;
            assert.equal(handshake.proxy, proxy.url);
            assert.deepEqual(handshake.attempts, [{ address: '127.0.0.1', port: proxy.port, family: 4 }]);
            assert.equal(connection.remotePort, proxy.port);
            const { timings } = handshake;
            assert.ok(timings.connect <= timings.tunnel! && timings.tunnel! <= timings.open);
            assert.equal(timings.tls !== undefined, secure);
            assert.equal(handshake.tls !== undefined, secure);
            const info = await connection.close();
            assert.equal(info.wasClean, true);
          },
          () => Promise.all([server.close(), proxy.close()]).then(() => {}),
        );
        assert.deepEqual(proxy.heads, [
          `CONNECT 127.0.0.1:${server.port} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n`,
        ]);
        assert.equal(server.connections, 1);
      });
    }

    test(`${secure ? 'wss' : 'ws'}: the name is the proxy's to resolve`, async (t) => {
      const server = await echoing(t, secure);
      const proxy = await proxying(t);
      const lookup = (): void => assert.fail('the name was looked up here');
      const connection = await connect(`${secure ? 'wss' : 'ws'}://localhost:${server.port}/`, {
        proxy: proxy.url,
        tls: TLS,
        socket: { lookup },
      });
      assert.match(proxy.heads[0], new RegExp(`^CONNECT localhost:${server.port} `));
      connection.terminate();
    });
  }

  test('ws: reads from it land where they are parsed, wss: pass through a stream', async (t) => {
    const proxy = await proxying(t);
    let pushed = 0;
    const { push } = Socket.prototype;
    t.mock.method(Socket.prototype, 'push', function (this: Socket, chunk: Buffer | null) {
      if (this.remotePort === proxy.port) pushed += chunk?.length ?? 0;
      return push.call(this, chunk);
    });
    for (const tls of [false, true]) {
      const server = await echoing(t, tls);
      const connection = await connect(server.url, { proxy: proxy.url, tls: TLS });
      await echoes(connection);
      assert.equal(pushed > 0, tls, `${pushed} bytes`);
      connection.terminate();
    }
  });

  test('typeOfService of the way to the proxy is told as of any other', async (t) => {
    const proxy = await proxying(t);
    const socket = { typeOfService: 0xb8 };
    for (const tls of [false, true]) {
      const server = await echoing(t, tls);
      const direct = await connect(server.url, { tls: TLS, socket });
      const tunnelled = await connect(server.url, { tls: TLS, socket, proxy: proxy.url });
      assert.deepEqual(tunnelled.handshake.notApplied, direct.handshake.notApplied);
      for (const connection of [direct, tunnelled]) connection.terminate();
    }
  });

  test('RFC 8446 §2.2: TLS sessions are resumed through it', async (t) => {
    const server = await echoing(t, true);
    const proxy = await proxying(t);
    const options = { proxy: proxy.url, tls: TLS };
    const first = await connect(server.url, options);
    const second = await connect(server.url, options);
    assert.deepEqual(
      [first, second].map(({ handshake }) => handshake.tls?.resumed),
      [false, true],
    );
    for (const connection of [first, second]) connection.terminate();
  });

  test('a paused connection slows the server down, and loses nothing', async (t) => {
    for (const tls of [false, true]) {
      const chunk = pseudoRandomBytes(64 * 1024, 1);
      const server = await echoServer({
        tls,
        onConnection: (socket) => {
          for (let i = 0; i < 400; i++) socket.send(chunk);
        },
      });
      t.after(() => server.close());
      const proxy = await proxying(t);
      let messages = 0;
      let done = (): void => {};
      const all = new Promise<void>((resolve) => (done = resolve));
      const connection = await connect(server.url, {
        proxy: proxy.url,
        tls: TLS,
        onMessage(message, own) {
          assert.ok(message.copy().equals(chunk));
          if (++messages === 5) own.pause();
          if (messages === 400) done();
        },
      });
      await delay(100);
      assert.equal(messages, 5);
      const held = connection.stats().bytesReceived;
      assert.ok(held < 4_000_000, `${held} bytes were read while paused`);
      connection.resume();
      await all;
      connection.terminate();
    }
  });
});

describe('RFC 7617: credentials', () => {
  test('go to the proxy, and to nobody else', async (t) => {
    let request = '';
    const server = await scriptedServer({
      answer: (head) => {
        request = head;
        return accepting(head);
      },
    });
    t.after(() => server.close());
    const proxy = await proxying(t, { credentials: 'us er:pa:ss%' });
    const url = new URL(proxy.url);
    url.username = 'us er';
    url.password = 'pa:ss%25';
    const connection = await connect(server.url, { proxy: url });
    assert.doesNotMatch(request, /authorization/i);
    assert.equal(connection.handshake.proxy, proxy.url);
    assert.equal(url.password, 'pa%3Ass%25', 'the caller’s URL is not touched');
    connection.terminate();
  });

  for (const [title, userInfo, says] of [
    ['none', '', /wants credentials, which go into the URL/],
    ['wrong ones', 'user:wrong@', /does not accept the credentials/],
  ] as const) {
    test(`407 with ${title}: ERR_PROXY, and what the proxy said`, async (t) => {
      const server = await echoing(t, false);
      const proxy = await proxying(t, { credentials: 'user:right' });
      const error = await refusal(server.url, { proxy: proxy.url.replace('//', `//${userInfo}`) });
      assert.equal(error.code, 'ERR_PROXY');
      assert.equal(error.statusCode, 407);
      assert.equal(error.headers?.['proxy-authenticate'], 'Basic realm="test"');
      assert.equal(error.body?.toString(), 'no ticket');
      assert.match(error.message, says);
      assert.doesNotMatch(error.message, /wrong@|user:/);
      assert.equal(server.connections, 0);
    });
  }
});

/** Answers to CONNECT that open no tunnel. */
const HOSTILE: Record<
  string,
  { answer: (socket: Socket, head: string) => void; status?: number; says: RegExp; stalls?: boolean }
> = {
  'a refusal': {
    answer: (socket) =>
      void socket.end('HTTP/1.1 403 Forbidden\r\nX-Why: policy\r\nContent-Length: 2\r\n\r\nno'),
    status: 403,
    says: /refused the tunnel with 403 "Forbidden"/,
  },
  'a refusal without a reason phrase': {
    answer: (socket) => void socket.end('HTTP/1.1 403 \r\nContent-Length: 0\r\n\r\n'),
    status: 403,
    says: /refused the tunnel with 403(?! ")/,
  },
  'a refusal whose body ends with the connection': {
    answer: (socket) => void socket.end('HTTP/1.0 502 Bad Gateway\r\n\r\nno such host'),
    status: 502,
    says: /refused the tunnel with 502/,
  },
  'a refusal whose body never ends': {
    answer: (socket) => void socket.write('HTTP/1.1 503 Busy\r\nContent-Length: 99\r\n\r\nsome of it'),
    status: 503,
    says: /refused the tunnel with 503/,
    stalls: true,
  },
  'a redirect': {
    answer: (socket) =>
      void socket.end('HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n'),
    status: 302,
    says: /refused the tunnel with 302/,
  },
  'the 101 of a server': {
    answer: (socket, head) => void socket.write(accepting(head)),
    status: 101,
    says: /refused the tunnel with 101/,
  },
  garbage: {
    answer: (socket) => void socket.write(pseudoRandomBytes(100, 1)),
    says: /did not answer as it must: .*malformed/,
  },
  'TLS where none was asked for': {
    answer: (socket) => void socket.write(Buffer.from('16030100020100', 'hex')),
    says: /did not answer as it must: .*malformed/,
  },
  'a head that never ends': {
    answer: (socket) => void socket.write(`HTTP/1.1 200 OK\r\n${'X-Fill: up\r\n'.repeat(2_000)}`),
    says: /did not answer as it must: .*exceeds/,
  },
  'half an answer, then FIN': {
    answer: (socket) => void socket.end('HTTP/1.1 200 O'),
    says: /did not answer as it must: .*closed the connection in the middle/,
  },
  'no answer but FIN': {
    answer: (socket) => void socket.end(),
    says: /did not answer as it must: .*closed the connection without an answer/,
  },
  'no answer but RST': {
    answer: (socket) => void socket.resetAndDestroy(),
    says: /waiting for the proxy's answer failed: .*ECONNRESET/i,
  },
  'bytes behind its yes': {
    answer: (socket) => void socket.write('HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n'),
    status: 200,
    says: /sent 34 bytes behind its answer/,
  },
  'bytes that its yes calls a body': {
    answer: (socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'),
    status: 200,
    says: /sent 5 bytes behind its answer/,
  },
};

describe('a proxy that opens no tunnel: ERR_PROXY, and nobody is reached another way', () => {
  for (const [title, { answer, status, says, stalls }] of Object.entries(HOSTILE)) {
    for (const secure of [false, true]) {
      test(`${secure ? 'wss' : 'ws'}: ${title}`, async (t) => {
        const server = await echoing(t, secure);
        const proxy = await proxying(t, { answer });
        await leavesNothingOpen(
          async () => {
            const error = await refusal(server.url, {
              proxy: proxy.url,
              tls: TLS,
              maxRedirects: 3,
              handshakeTimeout: stalls ? 100 : 5_000,
            });
            assert.equal(error.code, 'ERR_PROXY');
            assert.equal(error.statusCode, status);
            assert.match(error.message, says);
            assert.ok(error.message.includes(`127.0.0.1:${server.port}`), error.message);
            assert.ok(error.message.includes(proxy.url), error.message);
            assert.deepEqual(
              error.attempts.map(({ port }) => port),
              [proxy.port],
            );
          },
          () => proxy.close(),
        );
        assert.equal(server.connections, 0);
        assert.equal(proxy.connections, 1);
      });
    }
  }

  test('one that cannot be reached', async (t) => {
    const server = await echoing(t, false);
    const proxy = await connectProxy();
    await proxy.close();
    const error = await refusal(server.url, { proxy: proxy.url });
    assert.equal(error.code, 'ERR_PROXY');
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'ECONNREFUSED');
    assert.match(error.message, /Connecting to the proxy failed/);
    assert.equal(error.attempts[0].error, error.cause);
    assert.equal(server.connections, 0);
  });

  test('one whose name is not known', async (t) => {
    const server = await echoing(t, false);
    const error = await refusal(server.url, {
      proxy: 'http://proxy.test:3128',
      socket: {
        lookup: (name, _, callback) =>
          callback(Object.assign(new Error(`no ${name}`), { code: 'ENOTFOUND' }), ''),
      },
    });
    assert.equal(error.code, 'ERR_PROXY');
    assert.match(error.message, /Resolving the proxy's name failed: no proxy\.test/);
    assert.equal(server.connections, 0);
  });

  test('one that says nothing: the deadline names it', async (t) => {
    const server = await echoing(t, false);
    const proxy = await proxying(t, { answer: () => {} });
    await leavesNothingOpen(
      async () => {
        const error = await refusal(server.url, { proxy: proxy.url, handshakeTimeout: 60 });
        assert.equal(error.code, 'ERR_HANDSHAKE_TIMEOUT');
        assert.match(error.message, /waiting for the proxy's answer/);
      },
      () => proxy.close(),
    );
    assert.equal(server.connections, 0);
  });

  test('half an answer, then silence; and the signal ends it', async (t) => {
    const server = await echoing(t, false);
    const controller = new AbortController();
    const proxy = await proxying(t, {
      answer: (socket) => {
        socket.write('HTTP/1.1 200 OK\r\nX-');
        setTimeout(() => controller.abort(), 20);
      },
    });
    const error = await refusal(server.url, { proxy: proxy.url, signal: controller.signal });
    assert.equal(error.code, 'ERR_ABORTED');
    assert.match(error.message, /waiting for the proxy's answer/);
    assert.equal(server.connections, 0);
  });

  test('one that opens the tunnel and speaks in the server’s place', async (t) => {
    const proxy = await proxying(t, {
      answer: (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), 20);
      },
    });
    assert.equal((await refusal('ws://127.0.0.1:9/', { proxy: proxy.url })).code, 'ERR_HANDSHAKE_STATUS');
    assert.equal((await refusal('wss://127.0.0.1:9/', { proxy: proxy.url })).code, 'ERR_TLS');
  });
});

describe('TLS with a proxy, and through it', () => {
  test('a proxy whose certificate is not trusted is not spoken to, whatever was said of the server', async (t) => {
    const server = await echoing(t, true);
    const proxy = await proxying(t, { tls: authority().issue({ name: 'proxy' }) });
    for (const tls of [{}, { rejectUnauthorized: false }, { checkServerIdentity: () => undefined }]) {
      const error = await refusal(server.url, { proxy: proxy.url, tls });
      assert.equal(error.code, 'ERR_PROXY');
      assert.equal((error.cause as NodeJS.ErrnoException).code, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
      assert.match(
        error.message,
        /TLS handshake with the proxy failed: the certificate comes from an authority/,
      );
    }
    assert.deepEqual(proxy.heads, []);
    assert.equal(server.connections, 0);
  });

  test('a server whose certificate is not trusted is the server’s failure', async (t) => {
    const server = await echoing(t, true);
    const proxy = await proxying(t);
    await leavesNothingOpen(
      async () => {
        const error = await refusal(server.url, { proxy: proxy.url });
        assert.equal(error.code, 'ERR_TLS_CERTIFICATE');
        assert.equal((error.cause as NodeJS.ErrnoException).code, 'DEPTH_ZERO_SELF_SIGNED_CERT');
      },
      () => proxy.close(),
    );
  });

  test('servername and client certificate are the server’s, not the proxy’s', async (t) => {
    const own = authority();
    const server = await scriptedServer({ tls: true });
    t.after(() => server.close());
    const proxy = await proxying(t, { tls: own.issue({ name: 'proxy' }) });
    const connection = await connect(server.url, {
      proxy: proxy.url,
      tls: { ca: [own.cert, certificate().cert], servername: 'localhost', ...own.issue({ name: 'client' }) },
    });
    assert.match(proxy.heads[0], /^CONNECT 127\.0\.0\.1:/);
    connection.terminate();
  });
});

describe("proxy: 'env'", () => {
  const NAMES = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'NO_PROXY', 'no_proxy'];

  function environment(t: TestContext, variables: Record<string, string>): void {
    const before = NAMES.map((name) => [name, process.env[name]] as const);
    for (const name of NAMES) delete process.env[name];
    Object.assign(process.env, variables);
    t.after(() => {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    });
  }

  test('is off unless asked for', async (t) => {
    const server = await echoing(t, false);
    const proxy = await proxying(t);
    environment(t, { HTTP_PROXY: proxy.url, http_proxy: proxy.url });
    const connection = await connect(server.url);
    assert.equal(proxy.connections, 0);
    assert.equal(connection.handshake.proxy, undefined);
    connection.terminate();
  });

  test('takes the proxy of the URL’s scheme', async (t) => {
    const [plain, secure] = [await proxying(t), await proxying(t)];
    environment(t, { HTTP_PROXY: plain.url, https_proxy: secure.url });
    for (const tls of [false, true]) {
      const server = await echoing(t, tls);
      const connection = await connect(server.url, { proxy: 'env', tls: TLS });
      assert.equal(connection.handshake.proxy, tls ? secure.url : plain.url);
      connection.terminate();
    }
    assert.deepEqual([plain.heads.length, secure.heads.length], [1, 1]);
  });

  test('NO_PROXY, or no variable at all, leads there directly', async (t) => {
    const server = await echoing(t, false);
    const proxy = await proxying(t);
    const exempt: Record<string, string> = { HTTP_PROXY: proxy.url, NO_PROXY: '127.0.0.0/8' };
    for (const variables of [exempt, {}]) {
      environment(t, variables);
      const connection = await connect(server.url, { proxy: 'env' });
      assert.equal(connection.handshake.proxy, undefined);
      connection.terminate();
    }
    assert.equal(proxy.connections, 0);
  });

  test('a variable that names no proxy is not passed over', async (t) => {
    const server = await echoing(t, false);
    for (const HTTP_PROXY of ['socks5://127.0.0.1:1080', 'http://', '://']) {
      environment(t, { HTTP_PROXY });
      await assert.rejects(connect(server.url, { proxy: 'env' }), {
        name: 'UsageError',
        code: 'ERR_INVALID_OPTION',
      });
    }
    assert.equal(server.connections, 0);
  });
});

describe('the option proxy', () => {
  const target = { secure: true, host: 'example.com', port: 443 };

  test('what is no URL of an HTTP proxy is the user’s mistake, and is not quoted', async () => {
    for (const proxy of [
      '',
      'proxy:3128',
      'socks5://user:secret@proxy',
      'ws://proxy',
      'ENV',
      'http://a:secret@:1',
    ]) {
      const error = await connect('ws://127.0.0.1:9/', { proxy }).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof UsageError, proxy);
      assert.equal(error.code, 'ERR_INVALID_OPTION');
      assert.doesNotMatch(error.message, /secret/);
    }
  });

  test('and createConnection exclude each other', async () => {
    const createConnection = (): never => assert.fail('it was called');
    await assert.rejects(connect('ws://127.0.0.1:9/', { proxy: 'env', createConnection }), UsageError);
  });

  test('has the port of its scheme by default', () => {
    assert.deepEqual(
      ['http://proxy', 'https://proxy', 'http://[::1]:8080/'].map((url) => {
        const { host, port, secure } = proxyFor(url, target)!;
        return { host, port, secure };
      }),
      [
        { host: 'proxy', port: 80, secure: false },
        { host: 'proxy', port: 443, secure: true },
        { host: '::1', port: 8080, secure: false },
      ],
    );
  });

  test('RFC 9110 §9.3.6: the authority has its port, and brackets around an IPv6 address', () => {
    const proxy = proxyFor('http://proxy', target) as HttpProxy;
    assert.equal(
      connectRequest(proxy, { secure: true, host: '2001:db8::1', port: 443 }).toString(),
      'CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n',
    );
    const withCredentials = proxyFor('http://Aladdin:open%20sesame@proxy', target) as HttpProxy;
    assert.equal(
      connectRequest(withCredentials, target).toString(),
      'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n' +
        'Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n',
    );
  });
});

describe('the answer to CONNECT', () => {
  const target = { secure: true, host: 'example.com', port: 443 };
  const proxy = proxyFor('http://proxy', target) as HttpProxy;

  test('RFC 9110 §9.3.6: any 2xx is a yes; Content-Length and Transfer-Encoding say nothing', () => {
    for (const head of [
      'HTTP/1.1 200 Connection established\r\n\r\n',
      'HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n',
      'HTTP/1.1 204 Fine\r\n\r\n',
      'HTTP/1.1 299\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
    ]) {
      fc.assert(
        fc.property(fc.array(fc.nat(head.length), { maxLength: 5 }), (cuts) => {
          const answer = new TunnelAnswer(proxy, target);
          const bounds = [0, ...cuts.sort((a, b) => a - b), head.length];
          const opened = bounds
            .slice(1)
            .map((end, i) => end > bounds[i] && answer.feed(Buffer.from(head.slice(bounds[i], end))));
          assert.deepEqual(opened.filter(Boolean), [true]);
        }),
        { numRuns: 25 },
      );
    }
  });

  test('of a refusal, Retry-After is told', () => {
    const answer = new TunnelAnswer(proxy, target);
    assert.throws(
      () => answer.feed(Buffer.from('HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n')),
      { code: 'ERR_PROXY', statusCode: 503, retryAfter: 7_000 },
    );
  });
});
