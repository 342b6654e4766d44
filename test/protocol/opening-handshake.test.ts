import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it, mock } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { HandshakeError, UsageError } from '../../src/errors.js';
import type { OpeningRequest, OpeningRequestOptions } from '../../src/protocol/opening-handshake.js';
import { openingRequest, verifyResponse } from '../../src/protocol/opening-handshake.js';
import type { Response } from '../../src/protocol/response-reader.js';
import { ResponseReader } from '../../src/protocol/response-reader.js';

function linesOf(request: OpeningRequest): string[] {
  const head = request.bytes.toString('latin1');
  assert.ok(head.endsWith('\r\n\r\n'));
  return head.slice(0, -4).split('\r\n');
}

function requestLines(url: string | URL, options?: OpeningRequestOptions): string[] {
  return linesOf(openingRequest(url, options));
}

/** The lines of that name, in any letter case, as they are sent. */
function sent(name: string, url: string | URL, options?: OpeningRequestOptions): string[] {
  return requestLines(url, options).filter((line) =>
    line.toLowerCase().startsWith(`${name.toLowerCase()}: `),
  );
}

function refusal(url: unknown, options?: unknown): UsageError {
  try {
    openingRequest(url as string, options as OpeningRequestOptions);
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error;
  }
  return assert.fail('not refused');
}

describe('RFC 6455 §4.1 the request', () => {
  it('is a GET of HTTP/1.1 with the headers that items 4 to 9 ask for, and ends in an empty line', () => {
    const request = openingRequest('ws://example.com/chat?room=1');
    assert.deepEqual(linesOf(request), [
      'GET /chat?room=1 HTTP/1.1',
      'Host: example.com',
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Key: ${request.key}`,
      'Sec-WebSocket-Version: 13',
    ]);
  });

  it('item 7: the key is 16 bytes in base64, new for every request', () => {
    const keys = Array.from({ length: 50 }, () => openingRequest('ws://h').key);
    assert.equal(new Set(keys).size, keys.length);
    for (const key of keys) {
      assert.match(key, /^[A-Za-z0-9+/]{22}==$/);
      assert.equal(Buffer.from(key, 'base64').length, 16);
    }
  });

  it('item 10: subprotocols are sent in order of preference', () => {
    const options = { protocols: ['soap', 'wamp.2.json'] };
    assert.deepEqual(sent('Sec-WebSocket-Protocol', 'ws://h', options), [
      'Sec-WebSocket-Protocol: soap, wamp.2.json',
    ]);
    assert.deepEqual(openingRequest('ws://h', options).protocols, ['soap', 'wamp.2.json']);
    assert.deepEqual(sent('Sec-WebSocket-Protocol', 'ws://h', { protocols: 'mqtt' }), [
      'Sec-WebSocket-Protocol: mqtt',
    ]);
  });

  it('item 10: without subprotocols there is no such header', () => {
    assert.deepEqual(sent('Sec-WebSocket-Protocol', 'ws://h', { protocols: [] }), []);
    assert.deepEqual(openingRequest('ws://h').protocols, []);
  });

  it('item 10: subprotocols in different letter case are different', () => {
    assert.deepEqual(openingRequest('ws://h', { protocols: ['a', 'A'] }).protocols, ['a', 'A']);
  });

  it('item 11, §9.1: extensions are offered as they were understood', () => {
    const options = { extensions: 'permessage-deflate ;server_max_window_bits="10",foo' };
    assert.deepEqual(sent('Sec-WebSocket-Extensions', 'ws://h', options), [
      'Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10, foo',
    ]);
    assert.deepEqual(openingRequest('ws://h', options).offered, [
      { name: 'permessage-deflate', parameters: [{ name: 'server_max_window_bits', value: '10' }] },
      { name: 'foo', parameters: [] },
    ]);
    assert.deepEqual(openingRequest('ws://h').offered, []);
  });

  for (const [title, protocols] of [
    ['an empty string', ''],
    ['an empty string in a list', ['a', '']],
    ['a space', 'a b'],
    ['a comma', 'a,b'],
    ['CR and LF', 'a\r\nX: 1'],
    ['NUL', 'a\0'],
    ['a character beyond ASCII', 'caf\u00e9'],
    ['the same one twice', ['a', 'b', 'a']],
    ['something that is no string', ['a', 1]],
  ] as const) {
    it(`item 10: subprotocols are distinct tokens, which refuses ${title}`, () => {
      assert.equal(refusal('ws://h', { protocols }).code, 'ERR_INVALID_PROTOCOL');
    });
  }

  for (const extensions of ['', 'a b', 'a\r\nX: 1', 'a; b="']) {
    it(`§9.1: the extensions offered follow the grammar, which refuses ${JSON.stringify(extensions)}`, () => {
      const error = refusal('ws://h', { extensions });
      assert.equal(error.code, 'ERR_INVALID_HEADER');
      assert.ok(error.cause instanceof HandshakeError);
    });
  }
});

describe('RFC 6455 §3 the URL', () => {
  const targets: [url: string, line: string, host: string, port: number, hostHeader: string][] = [
    ['ws://example.com', '/', 'example.com', 80, 'example.com'],
    ['wss://example.com', '/', 'example.com', 443, 'example.com'],
    ['ws://example.com:80/', '/', 'example.com', 80, 'example.com'],
    ['wss://example.com:443/', '/', 'example.com', 443, 'example.com'],
    ['ws://example.com:443/', '/', 'example.com', 443, 'example.com:443'],
    ['wss://example.com:80/', '/', 'example.com', 80, 'example.com:80'],
    ['ws://example.com:8080/a/b', '/a/b', 'example.com', 8080, 'example.com:8080'],
    ['ws://[::1]/', '/', '::1', 80, '[::1]'],
    ['wss://[2001:DB8::1]:9000/', '/', '2001:db8::1', 9000, '[2001:db8::1]:9000'],
    ['WS://EXAMPLE.com/A', '/A', 'example.com', 80, 'example.com'],
    ['ws://b\u00fccher.example/', '/', 'xn--bcher-kva.example', 80, 'xn--bcher-kva.example'],
    ['ws://h/\u00e9 \u{1f600}?q=\u00e9 x', '/%C3%A9%20%F0%9F%98%80?q=%C3%A9%20x', 'h', 80, 'h'],
    ['ws://h?a=b', '/?a=b', 'h', 80, 'h'],
    ['ws://h/?', '/', 'h', 80, 'h'],
    ['ws://h/a%23b', '/a%23b', 'h', 80, 'h'],
  ];
  for (const [url, resourceName, host, port, hostHeader] of targets) {
    it(`${url} asks ${host}, port ${port}, as ${hostHeader} for ${resourceName}`, () => {
      const request = openingRequest(url);
      assert.equal(request.host, host);
      assert.equal(request.port, port);
      assert.equal(request.secure, url.startsWith('wss:'));
      assert.deepEqual(linesOf(request).slice(0, 2), [`GET ${resourceName} HTTP/1.1`, `Host: ${hostHeader}`]);
    });
  }

  it('may be a URL object, which is not changed and not kept', () => {
    const url = new URL('wss://user:secret@example.com/chat');
    const request = openingRequest(url);
    assert.equal(url.href, 'wss://user:secret@example.com/chat');
    assert.notEqual(request.url, url);
    assert.equal(request.url.href, 'wss://example.com/chat');
  });

  for (const scheme of ['http', 'https']) {
    const wanted = scheme.replace('http', 'ws');
    it(`is not ${scheme}:, and the message says to write ${wanted}:`, () => {
      const error = refusal(`${scheme}://user:secret@example.com/`);
      assert.equal(error.code, 'ERR_INVALID_URL');
      assert.match(error.message, new RegExp(`Write ${wanted}:// instead of ${scheme}://`));
    });
  }

  for (const [title, url] of [
    ['another scheme', 'ftp://user:secret@example.com/'],
    ['no scheme, where a host and port look like one', 'localhost:8080/secret'],
    ['no scheme, where a user name looks like one', 'user:secret@example.com'],
    ['no scheme at all', 'secret.example.com'],
    ['nothing', ''],
    ['no host', 'ws://'],
    ['a port that is none', 'ws://user:secret@example.com:65536/'],
    ['a fragment', 'ws://user:secret@example.com/#a'],
    ['an empty fragment', 'ws://user:secret@example.com/#'],
    ['an empty fragment in a URL object', new URL('ws://user:secret@example.com/?a#')],
    ['CR and LF, which the parser would strip', 'ws://example.com/secret\r\nX: 1'],
    ['a tab, which the parser would strip', 'ws://example.com/sec\tret'],
    ['LF at the end, which the parser would strip', 'ws://example.com/secret\n'],
    ['NUL at the start, which the parser would strip', '\0ws://example.com/secret'],
    ['NUL, which the parser would escape', 'ws://example.com/secret\0'],
    ['DEL', 'ws://example.com/secret\x7f'],
    ['undefined', undefined],
    ['an object without a text', Object.create(null)],
  ] as const) {
    it(`is refused with ${title}, and no message quotes it`, () => {
      const error = refusal(url);
      assert.equal(error.code, 'ERR_INVALID_URL');
      // Without the stack, whose paths could hold anything.
      assert.doesNotMatch(inspect([{ ...error }, error.cause, error.message]), /secret|user/);
    });
  }
});

describe('RFC 7617 user info in the URL', () => {
  for (const [title, userInfo, userPass] of [
    ['user and password', 'Aladdin:open%20sesame', 'Aladdin:open sesame'],
    ['a user alone', 'user', 'user:'],
    ['a password alone', ':secret', ':secret'],
    ['colons in the password', 'user:a:b%3Ac', 'user:a:b:c'],
    ['percent-encoded UTF-8', 't%C3%A9st:%C2%A3', 't\u00e9st:\u00a3'],
    ['characters that the parser encodes as UTF-8', 't\u00e9st:\u00a3', 't\u00e9st:\u00a3'],
    ['reserved characters', '%40%2F:%3F%23', '@/:?#'],
    ['a percent sign that encodes nothing', '100%:50%zz', '100%:50%zz'],
  ]) {
    it(`${title} becomes Authorization: Basic`, () => {
      const base64 = Buffer.from(userPass).toString('base64');
      assert.deepEqual(sent('Authorization', `wss://${userInfo}@example.com/`), [
        `Authorization: Basic ${base64}`,
      ]);
    });
  }

  it('that is not UTF-8 is sent as the bytes it encodes', () => {
    assert.deepEqual(sent('Authorization', 'ws://%FF:%FE@h'), [
      `Authorization: Basic ${Buffer.from('ff3afe', 'hex').toString('base64')}`,
    ]);
  });

  it('is in no other line, nor in the URL of the request', () => {
    const request = openingRequest('ws://aladdin:sesame@example.com:8080/chat');
    assert.deepEqual(linesOf(request).slice(0, 2), ['GET /chat HTTP/1.1', 'Host: example.com:8080']);
    assert.doesNotMatch(inspect(request), /aladdin|sesame/);
  });

  it('gives way to an Authorization header of the caller, in any letter case', () => {
    const options = { headers: { AUTHORIZATION: 'Bearer token' } };
    assert.deepEqual(sent('Authorization', 'ws://a:b@h', options), ['AUTHORIZATION: Bearer token']);
    assert.deepEqual(sent('Authorization', 'ws://a%3A:b@h', options), ['AUTHORIZATION: Bearer token']);
  });

  it('is sent where the caller’s Authorization has no line', () => {
    assert.equal(sent('Authorization', 'ws://a:b@h', { headers: { Authorization: [] } }).length, 1);
  });

  it('§2: refuses a user name with a colon and control characters, quoting neither', () => {
    for (const url of [
      'ws://secret%3A:x@h',
      'ws://secret%0D%0A@h',
      'ws://a:secret%00@h',
      'ws://a:secret%7F@h',
      'ws://a:secret%1F@h',
    ]) {
      const error = refusal(url);
      assert.equal(error.code, 'ERR_INVALID_URL');
      assert.doesNotMatch(error.message, /secret/);
    }
  });
});

describe('RFC 6455 §4.1 item 12 the caller’s headers', () => {
  it('are sent behind those of the handshake, in order and in their letter case', () => {
    const lines = requestLines('ws://h', {
      headers: { origin: 'https://example.com', 'User-Agent': 'me', 'X-EMPTY': '', 'x-tab': 'a\tb' },
    });
    assert.deepEqual(lines.slice(6), [
      'origin: https://example.com',
      'User-Agent: me',
      'X-EMPTY: ',
      'x-tab: a\tb',
    ]);
  });

  it('have one line for each value of a list', () => {
    assert.deepEqual(sent('Cookie', 'ws://h', { headers: { Cookie: ['a=1', 'b=2'] } }), [
      'Cookie: a=1',
      'Cookie: b=2',
    ]);
  });

  it('may carry Latin-1 (RFC 9110 §5.5), each character as its one byte', () => {
    const { bytes } = openingRequest('ws://h', { headers: { x: '\u00e9\u00ff\u0080' } });
    assert.ok(bytes.includes(Buffer.from('783a20e9ff800d0a', 'hex')));
  });

  it('may say Host, which then comes first and once', () => {
    assert.deepEqual(requestLines('ws://h/', { headers: { a: '1', hOST: 'virtual.example' } }).slice(0, 2), [
      'GET / HTTP/1.1',
      'hOST: virtual.example',
    ]);
    assert.deepEqual(sent('Host', 'ws://h/', { headers: { Host: 'virtual.example' } }), [
      'Host: virtual.example',
    ]);
    assert.deepEqual(sent('Host', 'ws://h/', { headers: { Host: [] } }), ['Host: h']);
  });

  it('RFC 9112 §3.2: say Host once', () => {
    for (const headers of [{ Host: ['a', 'b'] }, { Host: 'a', host: 'a' }]) {
      assert.equal(refusal('ws://h', { headers }).code, 'ERR_INVALID_HEADER');
    }
  });

  it('may have names that JavaScript objects have of their own', () => {
    const headers = JSON.parse('{"__proto__": "1", "constructor": "2"}');
    assert.deepEqual(requestLines('ws://h', { headers }).slice(6), ['__proto__: 1', 'constructor: 2']);
  });

  for (const name of [
    'Upgrade',
    'CONNECTION',
    'Sec-WebSocket-Key',
    'sec-websocket-version',
    'Sec-WebSocket-Protocol',
    'Sec-WebSocket-Extensions',
    'Content-Length',
    'Transfer-Encoding',
  ]) {
    it(`cannot say ${name}, which is the handshake’s`, () => {
      const error = refusal('ws://h', { headers: { [name]: 'x' } });
      assert.equal(error.code, 'ERR_INVALID_HEADER');
      assert.ok(error.message.includes(name));
    });
  }

  for (const [title, name] of [
    ['an empty name', ''],
    ['a space', 'a b'],
    ['a colon', 'a:'],
    ['CR and LF', 'a\r\nb'],
    ['NUL', 'a\0'],
    ['a character beyond ASCII', '\u00e9'],
    ['a character beyond Latin-1 whose low byte is a letter', '\u0161'],
  ]) {
    it(`RFC 9110 §5.1: names are tokens, which refuses ${title}`, () => {
      assert.equal(refusal('ws://h', { headers: { [name]: 'x' } }).code, 'ERR_INVALID_HEADER');
    });
  }

  it('an unusable name is quoted without control characters and not in full length', () => {
    const { message } = refusal('ws://h', { headers: { [`\x9b\r\x7f${'x'.repeat(500)}`]: '' } });
    assert.match(message, /"\\u009b\\r\\u007fx{77}…"$/);
  });

  for (const [title, value] of [
    ['CR and LF', 'secret\r\nX: 1'],
    ['LF alone', 'secret\n'],
    ['CR alone', 'secret\r'],
    ['NUL', 'secret\0'],
    ['another control character', 'secret\x1b'],
    ['DEL', 'secret\x7f'],
    ['a character that Latin-1 cannot carry', 'secret\u0100'],
    ['a character whose low byte is LF', 'secret\u010a'],
    ['one such value in a list', ['fine', 'secret\n']],
    ['a number', 1],
    ['undefined', undefined],
  ] as const) {
    it(`RFC 9110 §5.5: values are refused with ${title}, and not quoted`, () => {
      const error = refusal('ws://h', { headers: { 'X-Token': value } });
      assert.equal(error.code, 'ERR_INVALID_HEADER');
      assert.match(error.message, /X-Token/);
      assert.doesNotMatch(error.message, /secret/);
    });
  }

  it('whatever they hold, the head keeps its lines: one each, nothing smuggled in', () => {
    const unit = fc.oneof(
      fc.constantFrom(...'aZ0-:, \t\r\n\0\x7f\u00e9\u010d\u010a'),
      fc.string({ maxLength: 2 }),
    );
    const text = fc.string({ unit, maxLength: 6 });
    fc.assert(
      fc.property(fc.dictionary(text, text, { maxKeys: 3 }), text, text, (headers, protocol, path) => {
        let request: OpeningRequest;
        try {
          request = openingRequest(`ws://h/${path}`, { headers, protocols: [`p${protocol}`] });
        } catch (error) {
          assert.ok(error instanceof UsageError, String(error));
          return;
        }
        const own = ['Host', 'Upgrade', 'Connection', 'Sec-WebSocket-Key', 'Sec-WebSocket-Version'];
        const names = [...own, 'Sec-WebSocket-Protocol', ...Object.keys(headers)];
        assert.deepEqual(
          linesOf(request)
            .slice(1)
            .map((line) => line.slice(0, line.indexOf(':'))),
          names,
        );
        assert.match(linesOf(request)[0], /^GET \/[!-~]* HTTP\/1\.1$/);
      }),
      { numRuns: 2_000 },
    );
  });
});

const REQUESTED = openingRequest('ws://example.com/chat', {
  protocols: ['soap', 'wamp'],
  extensions: 'foo; a, bar, foo',
});

function acceptFor(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

const UPGRADE = 'Upgrade: websocket';
const CONNECTION = 'Connection: Upgrade';
const ACCEPT = `Sec-WebSocket-Accept: ${acceptFor(REQUESTED.key)}`;

function answer(
  lines: readonly string[],
  statusLine = 'HTTP/1.1 101 Switching Protocols',
  body = '',
): Response {
  const reader = new ResponseReader();
  reader.feed(Buffer.from(`${[statusLine, ...lines].join('\r\n')}\r\n\r\n${body}`, 'latin1'));
  return reader.response ?? assert.fail('the answer is not complete');
}

function accepted(...lines: string[]) {
  return verifyResponse(REQUESTED, answer([UPGRADE, CONNECTION, ACCEPT, ...lines]));
}

function failure(response: Response, request = REQUESTED): HandshakeError {
  try {
    verifyResponse(request, response);
  } catch (error) {
    assert.ok(error instanceof HandshakeError, String(error));
    assert.equal(error.statusCode, response.statusCode);
    assert.equal(error.headers, response.headers);
    assert.equal(error.body, response.body);
    return error;
  }
  return assert.fail('not refused');
}

/** Code and section of the failure. */
function reason(...lines: string[]): (string | undefined)[] {
  const { code, section } = failure(answer(lines));
  return [code, section];
}

describe('RFC 6455 §4.1 the response', () => {
  it('is accepted with the three headers it must have', () => {
    assert.deepEqual(accepted(), { protocol: '', extensions: [] });
  });

  it('§1.3: the accept value of the RFC’s own example', () => {
    const request = { ...REQUESTED, key: 'dGhlIHNhbXBsZSBub25jZQ==' };
    const response = answer([UPGRADE, CONNECTION, 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=']);
    assert.deepEqual(verifyResponse(request, response), { protocol: '', extensions: [] });
  });

  for (const upgrade of ['WebSocket', 'WEBSOCKET', '  websocket\t']) {
    it(`item 2: Upgrade may be ${JSON.stringify(upgrade)}`, () => {
      assert.doesNotThrow(() =>
        verifyResponse(REQUESTED, answer([`UPGRADE:${upgrade}`, CONNECTION, ACCEPT])),
      );
    });
  }

  for (const [title, ...upgrade] of [
    ['missing'],
    ['empty', 'Upgrade:'],
    ['another protocol', 'Upgrade: h2c'],
    ['a longer word', 'Upgrade: websockets'],
    ['a list', 'Upgrade: websocket, h2c'],
    ['two lines', UPGRADE, UPGRADE],
    ['padded with a no-break space', 'Upgrade: websocket\xa0'],
  ]) {
    it(`item 2: refuses an Upgrade that is ${title}`, () => {
      assert.deepEqual(reason(...upgrade, CONNECTION, ACCEPT), ['ERR_HANDSHAKE_UPGRADE', '4.1']);
    });
  }

  for (const connection of [
    ['Connection: upgrade'],
    ['CONNECTION: UPGRADE'],
    ['Connection: keep-alive, Upgrade'],
    ['Connection: keep-alive\t,\tUpgrade , x'],
    ['Connection: ,,Upgrade,'],
    ['Connection: keep-alive', 'Connection: Upgrade'],
  ]) {
    it(`item 3: accepts ${connection.join(' + ')}`, () => {
      assert.doesNotThrow(() => verifyResponse(REQUESTED, answer([UPGRADE, ...connection, ACCEPT])));
    });
  }

  for (const [title, ...connection] of [
    ['missing'],
    ['empty', 'Connection:'],
    ['without upgrade', 'Connection: keep-alive'],
    ['with a longer word', 'Connection: upgraded, x-upgrade'],
    ['with two words in one', 'Connection: keep-alive Upgrade'],
  ]) {
    it(`item 3: refuses a Connection ${title}`, () => {
      assert.deepEqual(reason(UPGRADE, ...connection, ACCEPT), ['ERR_HANDSHAKE_CONNECTION', '4.1']);
    });
  }

  it('item 4: whitespace around the accept value is ignored', () => {
    const response = answer([UPGRADE, CONNECTION, ACCEPT.replace(': ', ':\t  ').concat(' \t')]);
    assert.doesNotThrow(() => verifyResponse(REQUESTED, response));
  });

  for (const [title, ...accept] of [
    ['missing'],
    ['empty', 'Sec-WebSocket-Accept:'],
    ['for another key', `Sec-WebSocket-Accept: ${acceptFor('dGhlIHNhbXBsZSBub25jZQ==')}`],
    ['the key itself', `Sec-WebSocket-Accept: ${REQUESTED.key}`],
    ['in another letter case', ACCEPT.slice(0, 22) + ACCEPT.slice(22).toLowerCase()],
    ['without its padding', ACCEPT.slice(0, -1)],
    ['padded with a no-break space', `${ACCEPT}\xa0`],
  ]) {
    it(`item 4: refuses a Sec-WebSocket-Accept that is ${title}`, () => {
      assert.deepEqual(reason(UPGRADE, CONNECTION, ...accept), ['ERR_HANDSHAKE_ACCEPT', '4.1']);
    });
  }

  it('§11.3.3: refuses Sec-WebSocket-Accept more than once, even the same', () => {
    assert.deepEqual(reason(UPGRADE, CONNECTION, ACCEPT, ACCEPT), ['ERR_HANDSHAKE_ACCEPT', '11.3.3']);
  });

  it('item 5: extensions that were offered are in use, in the server’s order, with its parameters', () => {
    assert.deepEqual(
      accepted('Sec-WebSocket-Extensions: bar; x="1"', 'Sec-WebSocket-Extensions: foo').extensions,
      [
        { name: 'bar', parameters: [{ name: 'x', value: '1' }] },
        { name: 'foo', parameters: [] },
      ],
    );
  });

  for (const [title, value, section] of [
    ['one that was not offered', 'baz', '4.1'],
    ['one that was not offered beside one that was', 'foo, baz', '4.1'],
    ['one in another letter case', 'FOO', '4.1'],
    ['one more often than it was offered', 'bar, bar', '4.1'],
    ['a malformed list', 'foo;', '9.1'],
    ['an empty list', '', '9.1'],
  ]) {
    it(`item 5, §9.1: refuses extensions with ${title}`, () => {
      const lines = [UPGRADE, CONNECTION, ACCEPT, `Sec-WebSocket-Extensions: ${value}`];
      assert.deepEqual(reason(...lines), ['ERR_HANDSHAKE_EXTENSION', section]);
    });
  }

  it('item 5: the same extension may be accepted as often as it was offered', () => {
    assert.equal(accepted('Sec-WebSocket-Extensions: foo, foo').extensions.length, 2);
  });

  it('item 5: refuses any extension where none was offered', () => {
    const request = openingRequest('ws://h');
    const accept = `Sec-WebSocket-Accept: ${acceptFor(request.key)}`;
    const lines = [UPGRADE, CONNECTION, accept, 'Sec-WebSocket-Extensions: permessage-deflate'];
    const error = failure(answer(lines), request);
    assert.deepEqual([error.code, error.section], ['ERR_HANDSHAKE_EXTENSION', '4.1']);
  });

  it('item 6: a subprotocol that was requested is in use', () => {
    assert.equal(accepted('Sec-WebSocket-Protocol: wamp').protocol, 'wamp');
  });

  for (const [title, value] of [
    ['that was not requested', 'mqtt'],
    ['in another letter case', 'Soap'],
    ['that is empty', ''],
    ['that is a list', 'soap, wamp'],
  ]) {
    it(`item 6: refuses a subprotocol ${title}`, () => {
      const lines = [UPGRADE, CONNECTION, ACCEPT, `Sec-WebSocket-Protocol: ${value}`];
      assert.deepEqual(reason(...lines), ['ERR_HANDSHAKE_PROTOCOL', '4.1']);
    });
  }

  it('item 6: refuses a subprotocol where none was requested', () => {
    const request = openingRequest('ws://h');
    const accept = `Sec-WebSocket-Accept: ${acceptFor(request.key)}`;
    const error = failure(answer([UPGRADE, CONNECTION, accept, 'Sec-WebSocket-Protocol: soap']), request);
    assert.equal(error.code, 'ERR_HANDSHAKE_PROTOCOL');
  });

  it('§11.3.4: refuses Sec-WebSocket-Protocol more than once, even the same', () => {
    const lines = [
      UPGRADE,
      CONNECTION,
      ACCEPT,
      'Sec-WebSocket-Protocol: soap',
      'sec-websocket-protocol: soap',
    ];
    assert.deepEqual(reason(...lines), ['ERR_HANDSHAKE_PROTOCOL', '11.3.4']);
  });

  it('what the server wrote is quoted without control sequences and not in full length', () => {
    const { message } = failure(answer([`Upgrade: \x9b2J${'x'.repeat(500)}`]));
    assert.ok(message.includes(`"\\u009b2J${'x'.repeat(77)}…"`), message);
    assert.ok(failure(answer([`Upgrade: ${'x'.repeat(80)}`])).message.includes(`"${'x'.repeat(80)}"`));
  });
});

describe('RFC 6455 §4.1 item 1 a status other than 101', () => {
  function status(line: string, ...lines: string[]): HandshakeError {
    const error = failure(answer([...lines, 'Content-Length: 4'], line, 'body'));
    assert.equal(error.code, 'ERR_HANDSHAKE_STATUS');
    return error;
  }

  it('is an error with status, headers and body, and broke no section', () => {
    const error = status('HTTP/1.1 401 Unauthorized', 'WWW-Authenticate: Basic');
    assert.equal(error.statusCode, 401);
    assert.equal(error.headers?.['www-authenticate'], 'Basic');
    assert.equal(error.body?.toString(), 'body');
    assert.equal(error.section, undefined);
    assert.equal(error.message, 'The server answered 401 "Unauthorized", not 101');
  });

  it('is one even with everything a 101 must have, and without a reason phrase', () => {
    const error = status('HTTP/1.1 200', UPGRADE, CONNECTION, ACCEPT);
    assert.equal(error.message, 'The server answered 200, not 101');
  });

  it('is one in HTTP/1.0 too', () => {
    assert.equal(status('HTTP/1.0 503 Busy').statusCode, 503);
  });

  it('RFC 9110 §10.2.3: Retry-After in seconds', () => {
    assert.equal(status('HTTP/1.1 503 Busy', 'Retry-After: 120').retryAfter, 120_000);
  });

  it('RFC 9110 §10.2.3: Retry-After as a date counts from now', () => {
    const now = mock.method(Date, 'now', () => Date.UTC(1994, 10, 6, 8, 49, 7));
    try {
      for (const date of [
        'Sun, 06 Nov 1994 08:49:37 GMT',
        'Sunday, 06-Nov-94 08:49:37 GMT',
        'Sun Nov  6 08:49:37 1994',
      ]) {
        assert.equal(status('HTTP/1.1 429 Slow Down', `Retry-After: ${date}`).retryAfter, 30_000);
      }
    } finally {
      now.mock.restore();
    }
  });

  it('RFC 9110 §10.2.3: Retry-After in the past is 0', () => {
    assert.equal(status('HTTP/1.1 503 Busy', 'Retry-After: Sun, 06 Nov 1994 08:49:37 GMT').retryAfter, 0);
  });

  it('RFC 9110 §10.2.3: Retry-After absent or unreadable is undefined', () => {
    assert.equal(status('HTTP/1.1 503 Busy').retryAfter, undefined);
    assert.equal(status('HTTP/1.1 503 Busy', 'Retry-After: soon').retryAfter, undefined);
  });
});
