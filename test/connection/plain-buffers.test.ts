/** On a Node whose Buffer has lost its undocumented methods, the documented ones must do. */

// Imports run in their order: these two look for the methods while they are hidden.
import './plain-buffers/hide.js';
import '../../src/protocol/message.js';
import '../../src/protocol/sender.js';
import './plain-buffers/restore.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../../src/index.js';
import { until } from '../leases/link.js';
import { echoServer } from '../server/echo-server.js';

test('texts of every kind and length come back through documented methods alone', async (t) => {
  const server = await echoServer();
  t.after(() => server.close());
  const received: string[] = [];
  const connection = await connect(server.url, {
    onMessage: (message) => void received.push(message.text()),
  });
  t.after(() => connection.terminate());
  const used = { latin1: 0, utf8: 0, write: 0 };
  const { toString: decode, write } = Buffer.prototype;
  t.mock.method(Buffer.prototype, 'toString', function (this: Buffer, encoding?: string, ...range: number[]) {
    if (encoding === 'latin1' || encoding === 'utf8') used[encoding]++;
    return decode.call(this, encoding as BufferEncoding, ...range);
  });
  t.mock.method(Buffer.prototype, 'write', function (this: Buffer, ...given: unknown[]) {
    used.write++;
    return (write as (...all: unknown[]) => number).apply(this, given);
  });
  const texts = ['', 'a', 'é', 'aé水🐟'].flatMap((alphabet) =>
    [1, 10, 100, 5_000, 30_000].map((count) => alphabet.repeat(count)),
  );
  for (const text of texts) connection.send(text);
  await until(() => received.length === texts.length);
  assert.deepEqual(received, texts);
  for (const [method, count] of Object.entries(used)) assert.ok(count > 0, `${method} was not used`);
});
