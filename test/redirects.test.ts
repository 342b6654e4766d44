/** Redirects of the opening handshake (RFC 6455 §4.1, RFC 9110 §15.4): followed on request, and what goes where. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { type ConnectOptions, connect } from '../src/connect.js';
import { HandshakeError, UsageError } from '../src/errors.js';
import { harmlessHeaders, isRedirect, redirection } from '../src/protocol/redirect.js';
import type { Response } from '../src/protocol/response-reader.js';
import { authority } from './server/authority.js';
import { certificate } from './server/certificate.js';
import { connectProxy } from './server/connect-proxy.js';
import { leavesNothingOpen } from './server/resources.js';
import {
  accepting,
  type Peer,
  type ScriptedServer,
  scriptedServer,
  turns,
} from './server/scripted-server.js';
import { tlsServer } from './server/tls-server.js';

const TLS = { ca: certificate().cert };

/** A server that redirects the paths of `routes`, and accepts every other. Keeps the requests it has had. */
async function serving(
  t: TestContext,
  routes: Record<string, string | ((path: string) => string)> = {},
  tls = false,
): Promise<ScriptedServer & { requests: string[] }> {
  const requests: string[] = [];
  const server = await scriptedServer({
    tls,
    answer(request) {
      requests.push(request);
      const path = /^GET (\S+)/.exec(request)![1];
      const route = routes[path.split('?')[0]];
      if (route === undefined) return accepting(request);
      return typeof route === 'string' ? to(route) : route(path);
    },
  });
  t.after(() => server.close());
  return Object.assign(server, { requests });
}

function to(location: string, status = 302): string {
  return `HTTP/1.1 ${status} Elsewhere\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`;
}

async function refusal(url: string, options: ConnectOptions): Promise<HandshakeError> {
  const outcome: unknown = await connect(url, options).catch((thrown: unknown) => thrown);
  if (!(outcome instanceof HandshakeError)) (outcome as { terminate?(): void }).terminate?.();
  assert.ok(outcome instanceof HandshakeError, `${outcome}`);
  return outcome;
}

function pathOf(request: string): string {
  return /^GET (\S+)/.exec(request)![1];
}

function field(request: string, name: string): string | undefined {
  return new RegExp(`^${name}: *(.*)$`, 'im').exec(request)?.[1];
}

describe('on request only', () => {
  test('by default a redirect is a refusal', async (t) => {
    const server = await serving(t, { '/': '/there' });
    const error = await refusal(server.url, {});
    assert.equal(error.code, 'ERR_HANDSHAKE_STATUS');
    assert.equal(error.statusCode, 302);
    assert.equal(error.headers?.location, '/there');
    assert.equal(server.requests.length, 1);
  });

  for (const status of [301, 302, 303, 307, 308]) {
    test(`RFC 9110 §15.4: ${status} is followed`, async (t) => {
      const server = await serving(t, { '/': () => to('/there?x=1', status) });
      const connection = await connect(server.url, { maxRedirects: 1 });
      assert.equal(connection.url, `${server.url}there?x=1`);
      assert.deepEqual(connection.handshake.redirects, [{ status, location: `${server.url}there?x=1` }]);
      assert.equal(connection.handshake.status, 101);
      assert.deepEqual(server.requests.map(pathOf), ['/', '/there?x=1']);
      connection.terminate();
    });
  }

  for (const status of [300, 304, 305, 306, 309, 399, 201, 404]) {
    test(`${status} is not, whatever Location it has`, async (t) => {
      const server = await serving(t, { '/': () => to('/there', status) });
      const error = await refusal(server.url, { maxRedirects: 5 });
      assert.equal(error.code, 'ERR_HANDSHAKE_STATUS');
      assert.equal(error.statusCode, status);
      assert.equal(server.requests.length, 1);
    });
  }

  test('without a redirect there is none to report', async (t) => {
    const connection = await connect((await serving(t)).url, { maxRedirects: 5 });
    assert.deepEqual(connection.handshake.redirects, []);
    connection.terminate();
  });

  test('maxRedirects that is no number', async () => {
    for (const maxRedirects of [-1, Number.NaN, '1' as unknown as number]) {
      await assert.rejects(connect('ws://127.0.0.1:9/', { maxRedirects }), UsageError);
    }
  });
});

describe('bounded', () => {
  test('ERR_TOO_MANY_REDIRECTS, with the answer that would have been one too many', async (t) => {
    const server = await serving(t, {
      '/': '/1',
      '/1': '/2',
      '/2': () => 'HTTP/1.1 307 On and on\r\nLocation: /3\r\nContent-Length: 4\r\n\r\nmore',
    });
    await leavesNothingOpen(
      async () => {
        const error = await refusal(server.url, { maxRedirects: 2 });
        assert.equal(error.code, 'ERR_TOO_MANY_REDIRECTS');
        assert.equal(error.statusCode, 307);
        assert.equal(error.headers?.location, '/3');
        assert.match(error.message, /after 2 redirects/);
        assert.deepEqual(server.requests.map(pathOf), ['/', '/1', '/2']);
      },
      () => server.close(),
    );
  });

  test('as many as are allowed are followed, each listed', async (t) => {
    const server = await serving(t, { '/': '/1', '/1': '/2', '/2': '/3' });
    const connection = await connect(server.url, { maxRedirects: 3 });
    assert.deepEqual(
      connection.handshake.redirects.map(({ location }) => new URL(location).pathname),
      ['/1', '/2', '/3'],
    );
    connection.terminate();
  });

  test('a circle ends', async (t) => {
    const server = await serving(t, { '/': '/' });
    assert.equal((await refusal(server.url, { maxRedirects: 20 })).code, 'ERR_TOO_MANY_REDIRECTS');
    assert.equal(server.requests.length, 21);
  });

  test('the deadline is one for all hops', async (t) => {
    const server = await serving(t, {
      '/': (path) => to(`/?${Number(path.split('?')[1] ?? 0) + 1}`),
      '/silent': () => '',
    });
    const error = await refusal(server.url, { maxRedirects: 1_000_000, handshakeTimeout: 80 });
    assert.equal(error.code, 'ERR_HANDSHAKE_TIMEOUT');
    assert.ok(server.requests.length > 2);
    const slow = await serving(t, { '/': '/silent', '/silent': () => '' });
    const late = await refusal(slow.url, { maxRedirects: 5, handshakeTimeout: 80 });
    assert.equal(late.code, 'ERR_HANDSHAKE_TIMEOUT');
    assert.match(late.message, /waiting for the response/);
  });

  test('the signal ends any hop', async (t) => {
    const controller = new AbortController();
    const server = await serving(t, {
      '/': '/silent',
      '/silent': () => {
        setImmediate(() => controller.abort());
        return '';
      },
    });
    await leavesNothingOpen(
      async () => {
        const error = await refusal(server.url, { maxRedirects: 5, signal: controller.signal });
        assert.equal(error.code, 'ERR_ABORTED');
      },
      () => server.close(),
    );
  });

  test('a body that never ends is not waited for', async (t) => {
    const server = await serving(t, {
      '/': () => 'HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 1000000\r\n\r\n',
    });
    const connection = await connect(server.url, { maxRedirects: 1, handshakeTimeout: 5_000 });
    assert.equal(new URL(connection.url).pathname, '/there');
    connection.terminate();
  });

  test('where redirects are allowed, any other answer may come in pieces as well', async (t) => {
    const server = await scriptedServer({ answer: () => '' });
    t.after(() => server.close());
    for (const [answer, expected] of [
      [(peer: Peer) => accepting(peer.request), 'open'],
      [() => 'HTTP/1.1 404 No\r\nContent-Length: 7\r\n\r\nnothing', '404 nothing'],
    ] as const) {
      const index = server.peers.length;
      const outcome = connect(server.url, { maxRedirects: 1 }).then(
        (connection) => {
          connection.terminate();
          return 'open';
        },
        (error: HandshakeError) => `${error.statusCode} ${error.body}`,
      );
      const peer = await server.peer(index);
      await peer.write(...[...answer(peer)].map((byte) => Buffer.from(byte)));
      peer.end();
      assert.equal(await outcome, expected);
    }
  });

  test('what is left of a connection that redirected changes nothing for the next', async (t) => {
    const server = await serving(t, { '/': '/there' });
    const connection = await connect(server.url, { maxRedirects: 1, onMessage: () => {} });
    await server.peers[0].closed;
    await turns(5);
    assert.equal(connection.readyState, 1);
    connection.terminate();
  });
});

describe('where a Location leads', () => {
  const from = new URL('ws://here.test/a/b?c');
  const fromSecure = new URL('wss://here.test/a/b?c');

  function answer(...locations: string[]): Response {
    return {
      statusCode: 302,
      statusText: '',
      httpVersion: '1.1',
      headers: {},
      rawHeaders: locations.map((location) => ['LOCATION', location] as const),
      body: Buffer.alloc(0),
    };
  }

  const places: [from: URL, location: string, href: string, sameOrigin: boolean][] = [
    [from, '/x', 'ws://here.test/x', true],
    [from, 'x', 'ws://here.test/a/x', true],
    [from, '?x', 'ws://here.test/a/b?x', true],
    [from, '//there.test/x', 'ws://there.test/x', false],
    [from, 'ws://here.test:80/x', 'ws://here.test/x', true],
    [from, 'ws://HERE.test/x', 'ws://here.test/x', true],
    [from, 'http://here.test/x', 'ws://here.test/x', true],
    [from, 'https://here.test/x', 'wss://here.test/x', false],
    [from, 'wss://here.test/x', 'wss://here.test/x', false],
    [from, 'ws://here.test:81/x', 'ws://here.test:81/x', false],
    [from, 'ws://www.here.test/x', 'ws://www.here.test/x', false],
    [from, '/x#fragment', 'ws://here.test/x', true],
    [from, '', 'ws://here.test/a/b?c', true],
    [fromSecure, '/x', 'wss://here.test/x', true],
    [fromSecure, 'https://here.test:443/x', 'wss://here.test/x', true],
    [fromSecure, 'wss://there.test/x', 'wss://there.test/x', false],
  ];
  for (const [base, location, href, sameOrigin] of places) {
    test(`${base.protocol} "${location}" leads to ${href}${sameOrigin ? '' : ', another origin'}`, () => {
      const { url, sameOrigin: same } = redirection(base, answer(location));
      assert.equal(url.href, href);
      assert.equal(same, sameOrigin);
    });
  }

  const refused: [title: string, from: URL, locations: string[], says: RegExp][] = [
    ['no Location', from, [], /without a Location/],
    ['two of them', from, ['/a', '/a'], /more than one Location/],
    ['no URL', from, ['ws://'], /which is no URL/],
    ['no port', from, ['ws://here.test:99999/'], /which is no URL/],
    ['another scheme', from, ['ftp://here.test/'], /scheme is not ws: or wss:/],
    ['a scheme that runs', from, ['javascript:alert(1)'], /scheme is not ws: or wss:/],
    ['a file', from, ['file:///etc/passwd'], /scheme is not ws: or wss:/],
    ['wss: to ws:', fromSecure, ['ws://here.test/x'], /would not be encrypted/],
    ['wss: to http:', fromSecure, ['http://here.test/x'], /would not be encrypted/],
    ['user information', from, ['ws://user:secret@here.test/'], /user information/],
    ['user information elsewhere', from, ['ftp://user:secret@there.test/'], /user information/],
  ];
  for (const [title, base, locations, says] of refused) {
    test(`ERR_REDIRECT: ${title}`, () => {
      assert.throws(
        () => redirection(base, answer(...locations)),
        (error) => {
          assert.ok(error instanceof HandshakeError);
          assert.equal(error.code, 'ERR_REDIRECT');
          assert.equal(error.statusCode, 302);
          assert.match(error.message, says);
          assert.doesNotMatch(error.message, /secret/);
          return true;
        },
      );
    });
  }

  test('wherever it leads: never from wss: to ws:, never with a fragment or user information', () => {
    const part = fc.string({ maxLength: 8 });
    const location = fc.oneof(
      part,
      fc.webUrl({ withFragments: true, withQueryParameters: true }),
      fc
        .tuple(fc.constantFrom('ws:', 'wss:', 'http:', 'https:', '', 'HTTP:', 'data:'), part)
        .map((p) => p.join('//')),
    );
    fc.assert(
      fc.property(fc.constantFrom(from, fromSecure), location, (base, text) => {
        try {
          const { url } = redirection(base, answer(text));
          assert.ok(url.protocol === 'wss:' || base.protocol === 'ws:');
          assert.ok(url.protocol === 'wss:' || url.protocol === 'ws:');
          assert.ok(!url.href.includes('#'));
          assert.equal(url.username + url.password, '');
        } catch (error) {
          assert.equal((error as HandshakeError).code, 'ERR_REDIRECT');
        }
      }),
    );
  });

  test('only five statuses redirect', () => {
    const redirecting = Array.from({ length: 500 }, (_, i) => i + 100).filter(isRedirect);
    assert.deepEqual(redirecting, [301, 302, 303, 307, 308]);
  });
});

/** Everything that could say who the caller is. */
const CALLER = {
  Authorization: 'Bearer secret',
  Cookie: 'session=secret',
  'Proxy-Authorization': 'Basic secret',
  'X-Api-Key': 'secret',
  'X-Auth-Token': ['secret', 'secret'],
  Host: 'secret.test',
  'User-Agent': 'harmless',
  'Accept-Language': 'harmless',
  Origin: 'https://harmless.test',
};

describe('what is told', () => {
  const harmless = ['User-Agent', 'Accept-Language', 'Origin'];
  const secret = Object.keys(CALLER).filter((name) => !harmless.includes(name));

  test('the same origin is told everything, user information included', async (t) => {
    const server = await serving(t, { '/': '/there' });
    const { Authorization: _, ...headers } = CALLER;
    const connection = await connect(server.url.replace('//', '//us%65r:pa%20ss@'), {
      maxRedirects: 1,
      headers,
    });
    const [first, second] = server.requests;
    for (const name of Object.keys(headers)) assert.equal(field(second, name), field(first, name), name);
    assert.equal(field(second, 'authorization'), `Basic ${Buffer.from('user:pa ss').toString('base64')}`);
    assert.equal(field(second, 'x-api-key'), 'secret');
    assert.equal(connection.url, `${server.url}there`);
    assert.notEqual(field(second, 'sec-websocket-key'), field(first, 'sec-websocket-key'));
    connection.terminate();
  });

  test('another origin is told nothing but what is known to be harmless', async (t) => {
    const there = await serving(t);
    const here = await serving(t, { '/': `${there.url}x` });
    const connection = await connect(here.url.replace('//', '//user:secret@'), {
      maxRedirects: 1,
      headers: CALLER,
      protocols: ['chat'],
    });
    const [request] = there.requests;
    for (const name of harmless) assert.equal(field(request, name), field(here.requests[0], name), name);
    for (const name of secret.filter((each) => each !== 'Host'))
      assert.equal(field(request, name), undefined, name);
    assert.equal(field(request, 'host'), `127.0.0.1:${there.port}`);
    assert.doesNotMatch(request, /secret|user:/);
    assert.equal(field(request, 'sec-websocket-protocol'), 'chat');
    connection.terminate();
  });

  test('nor is the first origin, when another leads back there', async (t) => {
    const routes: Record<string, string> = {};
    const here = await serving(t, routes);
    const there = await serving(t, { '/': `${here.url}back` });
    routes['/'] = there.url;
    const connection = await connect(here.url.replace('//', '//user:secret@'), {
      maxRedirects: 2,
      headers: CALLER,
    });
    const back = here.requests[1];
    assert.equal(pathOf(back), '/back');
    assert.doesNotMatch(back, /secret/);
    connection.terminate();
  });

  test('whatever a header is called, it passes only by being known', () => {
    const name = fc.stringMatching(/^[A-Za-z-]{1,12}$/);
    fc.assert(
      fc.property(
        fc.dictionary(fc.oneof(name, fc.constantFrom(...Object.keys(CALLER))), fc.string()),
        (headers) => {
          const known = ['accept', 'accept-language', 'cache-control', 'origin', 'pragma', 'user-agent'];
          const expected = Object.keys(headers).filter((each) => known.includes(each.toLowerCase()));
          assert.deepEqual(Object.keys(harmlessHeaders(headers)).sort(), expected.sort());
        },
      ),
    );
  });

  test('a client certificate, a session and a server’s name are for one origin', async (t) => {
    const own = authority();
    const client = own.issue({ name: 'client' });
    const there = await tlsServer({ requestCert: true, rejectUnauthorized: false, ca: own.cert });
    t.after(() => there.close());
    const here = await serving(t, { '/': there.url }, true);
    const connection = await connect(here.url, {
      maxRedirects: 1,
      tls: { ...TLS, ...client, servername: 'localhost' },
    });
    assert.deepEqual(there.sockets[0].getPeerCertificate(), {});
    assert.equal(there.sockets[0].servername, false);
    connection.terminate();

    const direct = await connect(there.url, { tls: { ...TLS, ...client } });
    assert.equal(there.sockets[1].getPeerCertificate().subject.CN, 'client', 'the test shows nothing');
    direct.terminate();
  });
});

describe('from one scheme to another', () => {
  test('ws: to wss: is followed; the certificate is verified', async (t) => {
    const there = await serving(t, {}, true);
    const here = await serving(t, { '/': there.url.replace('wss', 'https') });
    const connection = await connect(here.url, { maxRedirects: 1, tls: TLS });
    assert.equal(connection.url, there.url);
    assert.ok(connection.handshake.tls !== undefined);
    connection.terminate();
    const error = await refusal(here.url, { maxRedirects: 1 });
    assert.equal(error.code, 'ERR_TLS_CERTIFICATE');
    assert.ok(error.message.includes(`127.0.0.1:${there.port}`), error.message);
    assert.equal(error.attempts[0].port, there.port);
  });

  test('wss: to ws: is not: ERR_REDIRECT, and nobody is connected to', async (t) => {
    const there = await serving(t);
    const here = await serving(t, { '/': there.url, '/http': there.url.replace('ws', 'http') }, true);
    for (const path of ['', 'http']) {
      const error = await refusal(here.url + path, { maxRedirects: 5, tls: TLS });
      assert.equal(error.code, 'ERR_REDIRECT');
      assert.equal(error.statusCode, 302);
    }
    assert.deepEqual(there.requests, []);
  });

  test('a chain may go up once, and never down again', async (t) => {
    const plain = await serving(t);
    const secure = await serving(t, { '/': plain.url }, true);
    const start = await serving(t, { '/': secure.url });
    assert.equal((await refusal(start.url, { maxRedirects: 5, tls: TLS })).code, 'ERR_REDIRECT');
    assert.deepEqual(plain.requests, []);
  });
});

describe('each hop takes the way that the options say', () => {
  test('through the proxy', async (t) => {
    const there = await serving(t, {}, true);
    const here = await serving(t, { '/': there.url });
    const proxy = await connectProxy();
    t.after(() => proxy.close());
    const connection = await connect(here.url, { maxRedirects: 1, tls: TLS, proxy: proxy.url });
    assert.deepEqual(
      proxy.heads.map((head) => head.split(' ')[1]),
      [`127.0.0.1:${here.port}`, `127.0.0.1:${there.port}`],
    );
    connection.terminate();
  });

  test('by createConnection', async (t) => {
    const { connect: connectTcp } = await import('node:net');
    const there = await serving(t);
    const here = await serving(t, { '/': there.url });
    const asked: string[] = [];
    const connection = await connect(here.url, {
      maxRedirects: 1,
      createConnection({ host, port, url }) {
        asked.push(url);
        return connectTcp(port, host);
      },
    });
    assert.deepEqual(asked, [here.url, there.url]);
    connection.terminate();
  });

  test('a hop that cannot be reached is the one that is told', async (t) => {
    // Port 1 is nobody's: one that a server has just left may be the next server's.
    const here = await serving(t, { '/': 'ws://127.0.0.1:1/' });
    const error = await refusal(here.url, { maxRedirects: 1 });
    assert.equal(error.code, 'ERR_CONNECT');
    assert.ok(error.message.startsWith('127.0.0.1:1: '), error.message);
  });
});
