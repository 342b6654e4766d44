/**
 * The conversation with the servers that Debian has: `npm run test:interop` installs them and runs this. Its name
 * keeps it out of `npm test`, whose result must not depend on what a machine happens to have.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, HandshakeError } from '../../src/index.js';
import { certificate } from '../server/certificate.js';
import { COMPRESSED, conversation, type Partner, PLAIN } from './conversation.js';
import { startNginx, startPython, versionOf } from './servers/debian.js';

const WEBSOCKETS: Omit<Partner, 'name' | 'start'> = {
  echoesClose: (code, reason) => [code, reason],
  refusesWithBody: true,
};
const AIOHTTP: Omit<Partner, 'name' | 'start'> = {
  // It answers any Close frame with its own.
  echoesClose: () => [1000, ''],
  refusesWithBody: true,
  // Version 3.8: the Ping has FIN set and RSV1 not, and that is remembered.
  forgetsCompression: true,
};

const there = {
  websockets: versionOf('websockets'),
  aiohttp: versionOf('aiohttp'),
  nginx: versionOf('nginx'),
};

for (const tls of [false, true]) {
  const over = tls ? 'over TLS' : 'over tcp';
  having('websockets', () => {
    const start = () => startPython('websockets', tls);
    for (const variant of [PLAIN, ...COMPRESSED])
      conversation({ name: `Python's websockets ${over}`, start, ...WEBSOCKETS }, variant);
  });
  having('aiohttp', () => {
    const start = () => startPython('aiohttp', tls);
    for (const variant of [PLAIN, ...COMPRESSED])
      conversation({ name: `Python's aiohttp ${over}`, start, ...AIOHTTP }, variant);
  });
}

having('nginx', () => {
  for (const [name, traits] of [
    ['websockets', WEBSOCKETS],
    ['aiohttp', AIOHTTP],
  ] as const) {
    having(name, () => {
      const start = async () => startNginx(await startPython(name, false));
      for (const variant of [PLAIN, ...COMPRESSED])
        conversation({ name: `nginx, TLS for Python's ${name}`, start, ...traits }, variant);
    });
  }

  test('nginx with nobody behind it: 502, and its page', async (t) => {
    const nobody = { url: 'ws://127.0.0.1:9', close: async () => {} };
    const server = await startNginx(nobody);
    t.after(() => server.close());
    await assert.rejects(connect(`${server.url}/`, { tls: { ca: certificate().cert } }), (error) => {
      assert.ok(error instanceof HandshakeError, `${error}`);
      assert.equal(error.statusCode, 502);
      assert.match(error.body!.toString(), /<h1>502 Bad Gateway<\/h1>/);
      return true;
    });
  });
});

/** Runs `body` when the package is there, and says so when it is not. */
function having(name: keyof typeof there, body: () => void): void {
  if (there[name] !== false) body();
  else console.error(`\nNOT RUN: the conversations with ${name}, which is not installed.\n`);
}
