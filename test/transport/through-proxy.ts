/** What the tests of proxies share: a server that counts who comes, a refused `connect`, a tunnel put to use. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type ConnectOptions, connect } from '../../src/connect.js';
import type { Connection } from '../../src/connection.js';
import { HandshakeError } from '../../src/errors.js';
import { pseudoRandomBytes } from '../arbitraries/payload.js';
import { type EchoServer, echoServer } from '../server/echo-server.js';

export interface Counted extends EchoServer {
  /** TCP connections that came, from whomever. */
  connections: number;
}

export async function echoing(t: TestContext, tls: boolean): Promise<Counted> {
  const server = await echoServer({ tls });
  const counted = Object.assign(server, { connections: 0 });
  // `ws` does not show its HTTP server; its own is enough for requests, but a leak would show earlier.
  (server.server.options.server as { on(event: string, listener: () => void): void }).on(
    'connection',
    () => void counted.connections++,
  );
  t.after(() => server.close());
  return counted;
}

export async function refusal(url: string, options: ConnectOptions): Promise<HandshakeError> {
  const outcome: unknown = await connect(url, options).catch((thrown: unknown) => thrown);
  if (!(outcome instanceof HandshakeError)) (outcome as { terminate?(): void }).terminate?.();
  assert.ok(outcome instanceof HandshakeError, `${outcome}`);
  return outcome;
}

/** Sends messages of many sizes at once, and waits until all have come back. */
export async function echoes(connection: Connection): Promise<void> {
  const sizes = [0, 1, 125, 126, 4_000, 65_535, 65_536, 300_000, 2_000_000];
  const sent = sizes.map((size, i) => pseudoRandomBytes(size, i));
  const received: Buffer[] = [];
  let done = (): void => {};
  const all = new Promise<void>((resolve) => (done = resolve));
  connection.onMessage = (message) => {
    received.push(message.copy());
    if (received.length === sent.length) done();
  };
  for (const bytes of sent) connection.send(bytes);
  await all;
  for (const [i, bytes] of sent.entries()) assert.ok(received[i].equals(bytes), `${bytes.length} bytes`);
}
