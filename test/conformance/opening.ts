/** The opening handshake in the catalogue: what a server answers, and what the client makes of it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { type Connection, type ConnectOptions, connect } from '../../src/index.js';
import { accepting, type Peer, scriptedServer } from '../server/scripted-server.js';
import { clientFrames, inSegments, ping, pong, shownFrame, text } from './frames.js';

export type Answer = (request: string) => string;

/** The 101 that the request asks for, with `change` made to its lines. */
export function answer(change: (lines: string[], key: string) => string[] = (lines) => lines): Answer {
  return (request) => {
    const lines = accepting(request).split('\r\n').slice(0, 4);
    return [...change(lines, keyOf(request)), '', ''].join('\r\n');
  };
}

/** The 101 with these lines behind the others. */
export function and(...fields: string[]): Answer {
  return answer((lines) => [...lines, ...fields]);
}

/** The 101 without the field of this name, and with these lines instead. */
export function instead(name: string, ...fields: string[]): Answer {
  return answer((lines) => [
    ...lines.filter((line) => !line.toLowerCase().startsWith(`${name.toLowerCase()}:`)),
    ...fields,
  ]);
}

/** The value of a field of the request, undefined when it is not there. */
export function field(request: string, name: string): string | undefined {
  const lines = request
    .split('\r\n')
    .filter((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`));
  assert.ok(lines.length <= 1, `${name} comes once`);
  return lines[0]?.slice(name.length + 1).trim();
}

export function keyOf(request: string): string {
  return field(request, 'Sec-WebSocket-Key') ?? '';
}

export function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

/** The client takes the answer, whole and byte by byte: the connection is open, and frames pass both ways. */
export function accepted(
  title: string,
  reply: Answer,
  options: ConnectOptions = {},
  check: (connection: Connection, peer: Peer) => void = () => {},
): void {
  for (const [how, cut] of [
    ['', (bytes: Buffer) => [bytes]],
    [', byte by byte', (bytes: Buffer) => inSegments(bytes, 1)],
  ] as const) {
    test(`${title}${how}`, async (t) => {
      const server = await scriptedServer({
        answer: () => '',
        onConnection: (peer) => void peer.write(...cut(Buffer.from(reply(peer.request), 'latin1'))),
      });
      t.after(() => server.close());
      const connection = await connect(server.url, {
        onMessage: (message, client) => void client.send(message.text()),
        ...options,
      });
      t.after(() => connection.terminate());
      const peer = await server.peer();
      check(connection, peer);
      await peer.write(Buffer.concat([ping('now'), text('Hello')]));
      await peer.receives(9 + 11);
      assert.deepEqual(
        clientFrames(peer.received).map(({ shown }) => shown),
        [pong('now'), text('Hello')].map(shownFrame),
      );
    });
  }
}

/**
 * The client does not take the answer: `connect()` rejects with this code (and message), TCP is closed, and nothing was
 * sent behind the request.
 */
export function refused(
  title: string,
  reply: Answer,
  code: string,
  options: ConnectOptions = {},
  message = /./,
): void {
  test(`${title}: ${code}`, async (t) => {
    const messages: string[] = [];
    const server = await scriptedServer({
      answer: (request) => Buffer.from(reply(request), 'latin1'),
      behindAnswer: Buffer.concat([text('too early'), ping('too early')]),
    });
    t.after(() => server.close());
    const connecting = connect(server.url, {
      onMessage: (message) => void messages.push(message.text()),
      ...options,
    });
    await assert.rejects(connecting, { name: 'HandshakeError', code, message });
    const peer = await server.peer();
    await peer.closed;
    assert.deepEqual({ sent: peer.receivedLength, messages }, { sent: 0, messages: [] });
  });
}
