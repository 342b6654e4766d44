/**
 * A whole conversation with a server that answers messages in fragments and pings of its own: connecting, text,
 * binary, a ping, a message in fragments, close. However it ends, everything that was waited for must settle, with
 * a typed error where it failed, and the end must be told once.
 */
import assert from 'node:assert/strict';
import type { WebSocket } from 'ws';
import {
  type CloseInfo,
  type Connection,
  ConnectionLostError,
  type ConnectOptions,
  connect,
  HandshakeError,
  HeartwireError,
} from '../../src/index.js';
import { turns } from '../server/scripted-server.js';

/** ms for a link that says nothing any more: short, because every stall waits for one of them. */
const IMPATIENCE = { handshakeTimeout: 1_000, closeTimeout: 300, patience: 500 };
/** For everything else: what is waited for so long has been overheard. */
const PATIENCE = { handshakeTimeout: 10_000, closeTimeout: 10_000, patience: 10_000 };

export const MESSAGES: readonly (string | Buffer)[] = [
  'ä text',
  Buffer.from('00ff10', 'hex'),
  'in fragments',
];

export interface Told {
  /** Undefined: it was opened. */
  refused?: HandshakeError;
  /** Undefined: it was not. */
  info?: CloseInfo;
  received: (string | Buffer)[];
}

/** For `echoServer`: a Ping first, and each answer in two fragments. */
export function answerInFragments(socket: WebSocket): void {
  socket.ping('from the server');
  socket.on('message', (data, isBinary) => {
    const bytes = data as Buffer;
    const middle = bytes.length >> 1;
    socket.send(bytes.subarray(0, middle), { binary: isBinary, fin: false });
    socket.send(bytes.subarray(middle), { binary: isBinary, fin: true });
  });
}

/** A source that hangs when no Pong comes any more: only the connection's end ends the wait for it. */
async function* chunks(connection: Connection): AsyncGenerator<string> {
  yield 'in ';
  await new Promise<void>((resolve) => {
    connection.onPong = () => resolve();
    void connection.ping('go on');
  });
  yield 'frag';
  yield 'ments';
}

/** `mayStall`: the link may fall silent, and then the user closes after a while. */
export async function converse(url: string, options: ConnectOptions, mayStall: boolean): Promise<Told> {
  const { patience: untilClosing, ...timeouts } = mayStall ? IMPATIENCE : PATIENCE;
  const closes: CloseInfo[] = [];
  let connection: Connection;
  try {
    connection = await settles(
      'connect()',
      connect(url, {
        ...timeouts,
        ...options,
        onClose: (info) => void closes.push(info),
      }),
    );
  } catch (error) {
    assert.ok(error instanceof HandshakeError, `connect() rejected with ${error}`);
    assert.match(error.code, /^ERR_/);
    await turns(2);
    assert.deepEqual(closes, [], 'what never opened does not close');
    return { refused: error, received: [] };
  }

  const received: (string | Buffer)[] = [];
  const waits = new Map<string, Promise<unknown>>();
  const patience = setTimeout(() => void connection.close(), untilClosing);
  const messages = connection.iterate({ preventClose: true });
  let next: ReturnType<typeof messages.next> | undefined;
  const waitFor = <T>(what: string, promise: Promise<T>): Promise<T> => {
    waits.set(what, promise);
    promise.catch(() => {});
    return promise;
  };
  const receive = async (): Promise<void> => {
    next = waitFor('next()', messages.next());
    const { done, value } = await next;
    if (done) throw new ConnectionLostError('ERR_CONNECTION_LOST', 'the messages ended');
    received.push(value);
  };
  try {
    for (const message of MESSAGES.slice(0, 2)) {
      connection.send(message);
      void waitFor('flushed()', connection.flushed());
      await receive();
    }
    await waitFor('ping()', connection.ping('are you there?'));
    void waitFor('ping() without an await', connection.ping());
    await waitFor('sendStream()', connection.sendStream(chunks(connection)));
    await receive();
    await waitFor('close()', connection.close(1000, 'bye'));
  } catch (error) {
    assert.ok(error instanceof HeartwireError, `a wait rejected with ${error}`);
    // What the conversation does next is not said to a link that has gone.
    void waitFor('close() afterwards', connection.close());
  }
  const info = await settles('closed', connection.closed);
  clearTimeout(patience);
  waits.set('next() afterwards', messages.next());
  for (const [what, promise] of waits) {
    const error = await settles(what, promise).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(error === undefined || error instanceof HeartwireError, `${what} rejected with ${error}`);
  }
  await turns(2);
  assert.deepEqual(closes, [info], 'the end is told once');
  assert.equal(connection.readyState, 3);
  if (info.wasClean) {
    assert.equal(info.error, undefined);
    assert.equal(connection.bufferedAmount, 0);
  } else {
    assert.ok(info.error instanceof HeartwireError, `an unclean end has an error, not ${info.error}`);
  }
  // What came is what was sent, up to where it ended.
  assert.deepEqual(received, MESSAGES.slice(0, received.length));
  return { info, received };
}

/** Every wait here ends by a timeout of the client's own, at the latest. */
async function settles<T>(what: string, promise: Promise<T>): Promise<T> {
  let guard: NodeJS.Timeout | undefined;
  const never = new Promise<never>((_, reject) => {
    guard = setTimeout(() => reject(new assert.AssertionError({ message: `${what} never settled` })), 30_000);
  });
  try {
    return await Promise.race([promise, never]);
  } finally {
    clearTimeout(guard);
  }
}
