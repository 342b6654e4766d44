/** RFC 6455 §3: WebSocket URIs. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connect } from '../../src/index.js';
import { scriptedServer } from '../server/scripted-server.js';

describe('§3, §4.1 item 1: a URI that is not valid is refused, and nothing is connected to', () => {
  for (const url of [
    'http://127.0.0.1/',
    'https://127.0.0.1/',
    'ftp://127.0.0.1/',
    '//127.0.0.1/',
    '/chat',
    'ws://',
    'ws:',
    'ws://127.0.0.1:65536/',
    'ws://127.0.0.1:port/',
    'ws://a b/',
    '',
  ]) {
    test(JSON.stringify(url), async () => {
      await assert.rejects(connect(url), { name: 'UsageError', code: 'ERR_INVALID_URL' });
    });
  }
});

describe('§3: a URI has no fragment', () => {
  for (const url of ['ws://127.0.0.1/#', 'ws://127.0.0.1/#a', 'ws://127.0.0.1/?q#a']) {
    test(url, async () => {
      await assert.rejects(connect(url), { name: 'UsageError', code: 'ERR_INVALID_URL' });
    });
  }
});

describe('§3: the resource name is the path, "/" where it is empty, and the query', () => {
  const NAMES = {
    '': '/',
    '/': '/',
    '/chat': '/chat',
    '/chat/': '/chat/',
    '?': '/',
    '?a=1': '/?a=1',
    '/chat?a=1&b=%23': '/chat?a=1&b=%23',
    '/a b': '/a%20b',
    '/é': '/%C3%A9',
  };
  for (const [suffix, name] of Object.entries(NAMES)) {
    test(`ws://host${suffix} asks for ${name}`, async (t) => {
      const server = await scriptedServer();
      t.after(() => server.close());
      const connection = await connect(server.url.replace(/\/$/, '') + suffix);
      t.after(() => connection.terminate());
      assert.equal((await server.peer()).request.split('\r\n')[0], `GET ${name} HTTP/1.1`);
    });
  }
});
