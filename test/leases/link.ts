/** What the tests of the lease rules (DESIGN.md, part 2) share: a connection, and its server's end of it. */
import { createHash } from 'node:crypto';
import { beforeEach, type TestContext } from 'node:test';
import {
  type CloseInfo,
  type Connection,
  type ConnectOptions,
  connect,
  type Message,
} from '../../src/index.js';
import { encodeFrame } from '../reference/frame.js';
import {
  accepting,
  type Peer,
  type ScriptedServer,
  scriptedServer,
  turns,
} from '../server/scripted-server.js';

/** The lease rules hold over both; TLS brings 16 KiB a callback, and some more after a pause. */
export const TRANSPORTS = [
  { over: 'tcp', tls: false },
  { over: 'TLS', tls: true },
];

export interface Link {
  connection: Connection;
  peer: Peer;
  server: ScriptedServer;
}

/** One connection to a scripted server that ends with the test. */
export async function link(t: TestContext, tls: boolean, options: ConnectOptions = {}): Promise<Link> {
  const [first] = await links(t, tls, [options]);
  return first;
}

/** Several connections to one scripted server. */
export async function links(
  t: TestContext,
  tls: boolean,
  options: readonly ConnectOptions[],
  behindAnswer?: Uint8Array,
): Promise<Link[]> {
  const server = await scriptedServer({ tls, behindAnswer, answer });
  t.after(() => server.close());
  const made: Link[] = [];
  for (const each of options) {
    const connection = await connect(server.url, { tls: server.tls, ...each });
    t.after(() => connection.terminate());
    made.push({ connection, peer: await server.peer(made.length), server });
  }
  return made;
}

/** Accepts permessage-deflate where it is offered, as it is offered. */
function answer(request: string): string {
  const offer = /^sec-websocket-extensions: *(.+)$/im.exec(request)?.[1];
  return accepting(request, offer === undefined ? [] : [`Sec-WebSocket-Extensions: ${offer}`]);
}

/** Resolves when the connection has read `count` bytes behind the response, and one turn has passed. */
export async function hasRead({ connection }: Link, count: number): Promise<void> {
  await until(() => connection.stats().bytesReceived >= count);
  await turns(1);
}

/**
 * Makes the server stop reading and sends until the kernel takes no more and at least `rest` bytes wait here.
 * Returns the number of messages, each of which is `FILLING`.
 */
export async function fill({ connection, peer }: Link, rest: number): Promise<number> {
  peer.pause();
  let count = 0;
  while (connection.bufferedAmount < rest) {
    while (connection.bufferedAmount < rest) {
      if (++count > 1_000) throw new Error(`${connection.bufferedAmount} of 100 MB are buffered`);
      connection.send(FILLING);
    }
    // Over TLS, bytes count as buffered until the next turn, even when the kernel has taken them.
    await turns(2);
  }
  return count;
}

/** Turns the event loop until `condition` holds, or fails after a time that nothing here comes near. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`It never came true: ${condition}`);
    await turns(1);
  }
}

/** What a promise gives; fails, where it would hang, as `until` does. */
export async function soon<T>(promise: Promise<T>): Promise<T> {
  let settled = false;
  const settle = (): void => {
    settled = true;
  };
  promise.then(settle, settle);
  await until(() => settled);
  return promise;
}

/** How the connection ended, once it has. */
export function ended(connection: Connection): Promise<CloseInfo> {
  return soon(connection.closed);
}

/** A message while it lasts: what it is and what it holds, short enough to be shown when it is wrong. */
export function contentOf(message: Message): string {
  // `bytes` is not asked for: it would make a large message the application's.
  const { buffer, byteOffset, byteLength, isText } = message;
  return print(buffer.subarray(byteOffset, byteOffset + byteLength), isText);
}

/** What `contentOf` says of a message with these bytes. */
export function print(bytes: Uint8Array, isText = false): string {
  const kind = isText ? 'text' : 'binary';
  if (isText && bytes.length < 20) return `${kind} ${Buffer.from(bytes)}`;
  return `${kind} of ${bytes.length} bytes, ${createHash('sha1').update(bytes).digest('hex')}`;
}

/** Makes the bytes of every test different: a buffer used again must not happen to hold them already. */
let salt = 0;
beforeEach(() => {
  salt++;
});

/** Bytes of which no two places look alike, different for every `seed` and in every test. */
export function patterned(length: number, seed: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = Math.imul(seed + 1_000 * salt, 0x9e3779b1) + 1;
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    words[i] = state ^ (state >>> 15);
  }
  return Buffer.from(words.buffer, 0, length);
}

/** An unfragmented frame as a server sends it. */
export function binary(payload: Uint8Array): Buffer {
  return encodeFrame({ opcode: 2, payload });
}

export function text(payload: string): Buffer {
  return encodeFrame({ opcode: 1, payload: Buffer.from(payload) });
}

/** What `fill` sends. */
export const FILLING = patterned(100_000, 99);
