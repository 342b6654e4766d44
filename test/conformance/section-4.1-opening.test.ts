/** RFC 6455 §4.1: what a client must send to open a connection, and what it must find in the answer. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type ConnectOptions, connect } from '../../src/index.js';
import { type Peer, scriptedServer, turns } from '../server/scripted-server.js';
import { accepted, acceptOf, and, answer, field, instead, keyOf, refused } from './opening.js';

/** The server’s end of a connection that has been opened with these options. */
async function opened(t: TestContext, options: ConnectOptions = {}): Promise<Peer> {
  const server = await scriptedServer({
    answer: (request) => {
      const [protocol] = (field(request, 'Sec-WebSocket-Protocol') ?? '').split(', ');
      return and(...(protocol === '' ? [] : [`Sec-WebSocket-Protocol: ${protocol}`]))(request);
    },
  });
  t.after(() => server.close());
  const connection = await connect(server.url, options);
  t.after(() => connection.terminate());
  return server.peer();
}

describe('§4.1: the client sends a valid HTTP request and nothing more before the answer', () => {
  test('items 1 to 6, 9: request line, Host, Upgrade, Connection, key, version', async (t) => {
    const { request, socket } = await opened(t);
    const port = socket.localPort;
    const lines = request.split('\r\n');
    assert.equal(lines[0], 'GET / HTTP/1.1');
    assert.deepEqual(
      lines.slice(1).map((line) => line.replace(/(Key: ).*/, '$1…')),
      [
        `Host: 127.0.0.1:${port}`,
        'Upgrade: websocket',
        'Connection: Upgrade',
        'Sec-WebSocket-Key: …',
        'Sec-WebSocket-Version: 13',
      ],
    );
  });

  test('item 7: the key is 16 bytes in base64, another one for every connection', async (t) => {
    const keys = await Promise.all(Array.from({ length: 100 }, async () => keyOf((await opened(t)).request)));
    for (const key of keys) {
      assert.match(key, /^[A-Za-z0-9+/]{22}==$/);
      assert.equal(Buffer.from(key, 'base64').length, 16);
    }
    assert.equal(new Set(keys).size, 100);
    const bytes = keys.map((key) => Buffer.from(key, 'base64'));
    for (let i = 0; i < 16; i++) {
      const values = new Set(bytes.map((one) => one[i]));
      assert.ok(values.size > 50, `byte ${i} has only ${values.size} values in 100 keys`);
    }
  });

  test('item 8: Origin is sent when the application, which is no browser, gives one', async (t) => {
    assert.equal(field((await opened(t)).request, 'Origin'), undefined);
    const { request } = await opened(t, { headers: { Origin: 'https://example.com' } });
    assert.equal(field(request, 'Origin'), 'https://example.com');
  });

  test('item 10: subprotocols in their order, once each; none asked for, no field', async (t) => {
    assert.equal(field((await opened(t)).request, 'Sec-WebSocket-Protocol'), undefined);
    const { request } = await opened(t, { protocols: ['chat', 'superchat', 'v10.stomp'] });
    assert.equal(field(request, 'Sec-WebSocket-Protocol'), 'chat, superchat, v10.stomp');
    for (const protocols of [['a', 'a'], [''], ['a b'], ['a,b'], ['"a"'], ['é'], ['a/b'], ['a\r\nX: y']]) {
      await assert.rejects(connect('ws://127.0.0.1/', { protocols }), {
        name: 'UsageError',
        code: 'ERR_INVALID_PROTOCOL',
      });
    }
  });

  test('item 12: fields of the application go along, those of the handshake are not its to set', async (t) => {
    const { request } = await opened(t, { headers: { Cookie: 'a=1', Authorization: 'Bearer x' } });
    assert.equal(field(request, 'Cookie'), 'a=1');
    assert.equal(field(request, 'Authorization'), 'Bearer x');
    for (const name of ['Upgrade', 'connection', 'Sec-WebSocket-Key', 'SEC-WEBSOCKET-VERSION']) {
      await assert.rejects(connect('ws://127.0.0.1/', { headers: { [name]: 'x' } }), {
        name: 'UsageError',
        code: 'ERR_INVALID_HEADER',
      });
    }
    await assert.rejects(connect('ws://127.0.0.1/', { headers: { 'X-A': 'b\r\nX-C: d' } }), {
      code: 'ERR_INVALID_HEADER',
    });
  });

  test('the client waits for the answer before it sends anything', async (t) => {
    let waiting: Peer | undefined;
    const server = await scriptedServer({ answer: () => '', onConnection: (peer) => (waiting = peer) });
    t.after(() => server.close());
    const connecting = connect(server.url);
    const peer = await server.peer();
    await turns(50);
    assert.equal(peer.receivedLength, 0);
    assert.equal(peer.hasEnded, false);
    await waiting!.write(Buffer.from(answer()(peer.request)));
    const connection = await connecting;
    t.after(() => connection.terminate());
    connection.send('now');
    await peer.receives(9);
  });
});

describe('§4.1: an answer that is as it must be opens the connection', () => {
  accepted('the plain 101', answer());
  accepted(
    'another reason phrase',
    answer(([, ...rest]) => ['HTTP/1.1 101 Whatever', ...rest]),
  );
  accepted(
    'no reason phrase',
    answer(([, ...rest]) => ['HTTP/1.1 101 ', ...rest]),
  );
  accepted('Upgrade in any letter case', instead('Upgrade', 'uPGRADE: WebSocket'));
  accepted('Connection in any letter case', instead('Connection', 'CONNECTION: upgrade'));
  accepted('Connection with other options', instead('Connection', 'Connection: keep-alive, Upgrade'));
  accepted('Connection in two lines', instead('Connection', 'Connection: keep-alive', 'Connection: Upgrade'));
  accepted(
    'whitespace around the accepted key',
    answer((lines, key) => [...lines.slice(0, 3), `Sec-WebSocket-Accept:  \t${acceptOf(key)} \t`]),
  );
  accepted(
    'no whitespace at all',
    answer((lines) => lines.map((line) => line.replace(': ', ':'))),
  );
  accepted(
    'the fields in another order',
    answer(([first, ...rest]) => [first, ...rest.reverse()]),
  );
  accepted(
    'fields that nobody knows',
    and('Date: today', 'Server: x', 'X-Empty:', 'Set-Cookie: a=1', 'Set-Cookie: b=2'),
  );
  accepted(
    'a subprotocol that was asked for',
    and('Sec-WebSocket-Protocol: b'),
    { protocols: ['a', 'b'] },
    (connection) => assert.equal(connection.protocol, 'b'),
  );
  accepted(
    'none of the subprotocols that were asked for',
    answer(),
    { protocols: ['a', 'b'] },
    (connection) => assert.equal(connection.protocol, ''),
  );
  accepted(
    'behind an interim response',
    (request) => `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${answer()(request)}`,
  );
});

describe('§4.1 answer, item 1: a status other than 101 opens nothing', () => {
  for (const status of [200, 201, 204, 301, 302, 304, 307, 400, 401, 403, 404, 407, 426, 429, 500, 503]) {
    refused(
      `${status}`,
      answer(([, ...rest]) => [`HTTP/1.1 ${status} X`, ...rest, 'Content-Length: 0']),
      'ERR_HANDSHAKE_STATUS',
    );
  }
  refused(
    '101 of HTTP/1.0',
    answer(([, ...rest]) => ['HTTP/1.0 101 X', ...rest]),
    'ERR_HANDSHAKE_MALFORMED',
  );
  refused('no HTTP at all', () => 'SSH-2.0-OpenSSH\r\n\r\n', 'ERR_HANDSHAKE_MALFORMED');
});

describe('§4.1 answer, item 2: Upgrade must be "websocket"', () => {
  refused('it is missing', instead('Upgrade'), 'ERR_HANDSHAKE_UPGRADE');
  for (const value of ['', 'websockets', 'web socket', 'WebSocket/13', 'h2c', 'websocket, h2c']) {
    refused(`Upgrade: ${value}`, instead('Upgrade', `Upgrade: ${value}`), 'ERR_HANDSHAKE_UPGRADE');
  }
});

describe('§4.1 answer, item 3: Connection must have the token "Upgrade"', () => {
  refused('it is missing', instead('Connection'), 'ERR_HANDSHAKE_CONNECTION');
  for (const value of ['', 'keep-alive', 'close', 'Upgraded', 'Up grade', 'not-Upgrade', '"Upgrade"']) {
    refused(
      `Connection: ${value}`,
      instead('Connection', `Connection: ${value}`),
      'ERR_HANDSHAKE_CONNECTION',
    );
  }
});

describe('§4.1 answer, item 4: Sec-WebSocket-Accept must answer the key', () => {
  const accept = (value: (key: string) => string): ReturnType<typeof answer> =>
    answer((lines, key) => [...lines.slice(0, 3), `Sec-WebSocket-Accept: ${value(key)}`]);
  const code = 'ERR_HANDSHAKE_ACCEPT';
  refused('it is missing', instead('Sec-WebSocket-Accept'), code);
  refused(
    'it is empty',
    accept(() => ''),
    code,
  );
  refused(
    'the key itself',
    accept((key) => key),
    code,
  );
  refused(
    'the answer to another key',
    accept(() => acceptOf('dGhlIHNhbXBsZSBub25jZQ==')),
    code,
  );
  refused(
    'in other letter case',
    accept((key) => swapCase(acceptOf(key))),
    code,
  );
  refused(
    'cut short',
    accept((key) => acceptOf(key).slice(0, -1)),
    code,
  );
  refused(
    'with something behind it',
    accept((key) => `${acceptOf(key)}x`),
    code,
  );
  refused(
    'twice',
    answer((lines) => [...lines, lines[3]]),
    code,
  );
  test('the RFC’s own example, §1.3', () => {
    assert.equal(acceptOf('dGhlIHNhbXBsZSBub25jZQ=='), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  });
});

function swapCase(value: string): string {
  return value.replace(/[a-z]/gi, (letter) =>
    letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
  );
}

describe('§4.1 answer, item 6: a subprotocol must be one that was asked for', () => {
  const code = 'ERR_HANDSHAKE_PROTOCOL';
  const chosen = (value: string): ReturnType<typeof and> => and(`Sec-WebSocket-Protocol: ${value}`);
  refused('none was asked for', chosen('chat'), code);
  refused('another', chosen('other'), code, { protocols: ['chat'] });
  refused('in other letter case', chosen('Chat'), code, { protocols: ['chat'] });
  refused('two of them', chosen('a, b'), code, { protocols: ['a', 'b'] });
  refused('an empty one', chosen(''), code, { protocols: ['chat'] });
  refused('twice', and('Sec-WebSocket-Protocol: a', 'Sec-WebSocket-Protocol: a'), code, { protocols: ['a'] });
});
