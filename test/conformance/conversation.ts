/**
 * The language of the catalogue: a server writes exact bytes in exact segments, over tcp; the client is `connect()`
 * with an `onMessage` that echoes. What must be true afterwards is the whole of it: every byte the client sent, every
 * event, how the connection was reported to end, who closed TCP first, and that it came soon.
 *
 *     scenario('a Ping between two fragments', {
 *       server: [text('Hel', MORE), ping('now'), continuation('lo')],
 *       client: [pong('now'), text('Hello')],
 *     });
 *
 * Unless said otherwise the server then closes with 1000, and closes TCP when the client has answered.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CloseInfo, type Connection, type ConnectOptions, connect } from '../../src/index.js';
import { decodeHeader } from '../reference/frame.js';
import { type Peer, scriptedServer, turns } from '../server/scripted-server.js';
import { clientFrames, close, digest, inSegments, shownFrame } from './frames.js';

/**
 * Bytes: the server writes them as a segment of their own. A number: the client has by now sent so many of the
 * frames expected of it, neither less nor more. A function: the application does something. FIN, RST: the server
 * ends TCP without more ado, FIN at once behind the bytes before it.
 */
export type Step = Uint8Array | number | ((connection: Connection) => void) | 'FIN' | 'RST';

export interface Scenario {
  server: Step | readonly Step[];
  /** The frames that the client must send, as they are before masking, all but its Close frame. Default none. */
  client?: readonly Buffer[];
  /** What `onMessage` is given, as frames. Default: the data frames among `client`, since it echoes. */
  messages?: readonly Buffer[];
  /** What `onPing` is given. Default: the payloads of the Pong frames among `client`. */
  pings?: readonly Uint8Array[];
  /** What `onPong` is given. Default none. */
  pongs?: readonly Uint8Array[];
  ends?: Ending;
  options?: ConnectOptions;
  /** False: messages are taken, and not sent back. */
  echo?: boolean;
}

export interface Ending {
  /** What the server writes at last. */
  server?: Buffer;
  /** The client's Close frame; none when the connection is lost. */
  client?: Buffer;
  /** Who sends FIN first, §7.1.1. */
  tcp: 'server' | 'client';
  info: { code: number; reason: string; wasClean: boolean; error?: string };
}

/** The server closes, the client answers with the same code, the server closes TCP: §7.1.2, §7.1.1. */
export function closes(code?: number, reason = ''): Ending {
  return { ...closed(code, reason), server: close(code, reason) };
}

/** The same when the server's Close frame is among the steps. */
export function closed(code?: number, reason = ''): Ending {
  return { client: close(code), tcp: 'server', info: { code: code ?? 1005, reason, wasClean: true } };
}

/** The server ends TCP, by a step, without a closing handshake, §7.1.5. */
export function lost(): Ending {
  return { tcp: 'server', info: { ...LOST, error: 'ERR_CONNECTION_LOST' } };
}

/** The client fails the connection, §7.1.7: it says why, and closes TCP. */
export function fails(closeCode: number, error: string): Ending {
  return { client: close(closeCode), tcp: 'client', info: { ...LOST, error } };
}

const LOST = { code: 1006, reason: '', wasClean: false };

/** How soon an answer must come, in ms: what is due at once, on a machine with a lot to do. */
const SOON = 15_000;

/** No deadline of the client's own ends a conversation. */
const NEVER = 2 ** 31 - 1;

/** One test for one scenario; given as a function where it takes long to make. */
export function scenario(title: string, content: Scenario | (() => Scenario)): void {
  test(title, () => holds(typeof content === 'function' ? content() : content));
}

export type Named = readonly [name: string, content: Scenario];

/** One test for many scenarios, a few at a time. */
export function scenarios(title: string, all: () => Iterable<Named>): void {
  test(title, async () => {
    const left = [...all()];
    assert.ok(left.length > 0, 'there is something to test');
    const next = async (): Promise<void> => {
      for (let one = left.pop(); one !== undefined; one = left.pop()) await holds(one[1], one[0]);
    };
    try {
      await Promise.all(Array.from({ length: 8 }, next));
    } finally {
      left.length = 0;
    }
  });
}

/** The same frames in one segment, in segments of their own, and a byte a segment: nothing may depend on it. */
export function* howeverCut(
  frames: readonly Uint8Array[],
  content: Omit<Scenario, 'server'>,
  name = '',
): Iterable<Named> {
  const whole = Buffer.concat(frames);
  yield [`${name} in one segment`.trim(), { ...content, server: whole }];
  yield [`${name} frame by frame`.trim(), { ...content, server: frames }];
  yield [`${name} byte by byte`.trim(), { ...content, server: inSegments(whole, 1) }];
}

/** Plays a scenario, and fails unless everything is as it says. */
export async function holds(content: Scenario, name = '', patience = SOON): Promise<void> {
  const wait = new Wait(patience);
  const { options, ends = closes(1000), echo = true, client = [] } = content;
  const steps = Array.isArray(content.server) ? content.server : [content.server as Step];
  const seen = { messages: [] as string[], pings: [] as string[], pongs: [] as string[] };
  const server = await scriptedServer();
  const connection = await connect(server.url, {
    closeTimeout: NEVER,
    onMessage(message, client) {
      const bytes = message.copy();
      seen.messages.push(`${message.isText ? 'text' : 'binary'} ${digest(bytes)}`);
      if (echo) client.send(message.isText ? message.text() : bytes);
    },
    onPing: (payload) => void seen.pings.push(digest(payload)),
    onPong: (payload) => void seen.pongs.push(digest(payload)),
    ...options,
  });
  try {
    const peer = await server.peer();
    const ended = await play(steps, connection, peer, client, wait, name);
    if (ends.server !== undefined) await peer.write(ends.server);
    const awaited = ends.client === undefined ? client : [...client, ends.client];
    await wait.for(Promise.race([peer.receives(maskedLength(awaited)), peer.closed]));
    const tcp = ended ? 'server' : await closeTcp(peer, ends.tcp, wait);
    const info = await wait.for(connection.closed);
    await wait.for(peer.closed);

    const sent = clientFrames(peer.received);
    assert.deepEqual(
      { ...seen, sent: sent.map(({ shown }) => shown), inTime: wait.inTime, tcp, info: plain(info) },
      {
        messages: (content.messages ?? client.filter(isData)).map(shownMessage),
        pings: (content.pings ?? client.filter(isPong).map(payloadOf)).map(digest),
        pongs: (content.pongs ?? []).map(digest),
        sent: awaited.map(shownFrame),
        inTime: true,
        tcp: ends.tcp,
        info: ends.info,
      },
      name,
    );
    const keys = sent.map(({ maskingKey }) => Buffer.from(maskingKey).toString('hex'));
    assert.ok(
      keys.every((key, i) => i === 0 || key !== keys[i - 1]),
      '§5.3: each frame has a masking key of its own',
    );
  } finally {
    connection.terminate();
    await server.close();
  }
}

/** True: the server has ended TCP. */
async function play(
  steps: readonly Step[],
  connection: Connection,
  peer: Peer,
  client: readonly Buffer[],
  wait: Wait,
  name: string,
): Promise<boolean> {
  let ended = false;
  for (const [index, step] of steps.entries()) {
    if (typeof step === 'function') {
      step(connection);
    } else if (typeof step === 'number') {
      const expected = maskedLength(client.slice(0, step));
      await wait.for(Promise.race([peer.receives(expected), peer.closed]));
      await turns(3);
      const message = `${name} Before step ${index} the client had sent ${peer.receivedLength} bytes, not ${expected}`;
      assert.equal(peer.receivedLength, expected, message.trim());
    } else if (typeof step === 'string') {
      ended = true;
      if (step === 'FIN') peer.end();
      else peer.reset();
    } else {
      await peer.write(step);
      if (steps[index + 1] !== 'FIN') await turns(2);
    }
  }
  return ended;
}

/** Who sends FIN first. A client that is to leave it to the server is given time to do it wrong. */
async function closeTcp(peer: Peer, expected: 'server' | 'client', wait: Wait): Promise<string> {
  if (expected === 'client') await wait.for(Promise.race([peer.ended, peer.closed]));
  else await turns(6);
  if (peer.hasEnded) return 'client';
  peer.end();
  return 'server';
}

/** Waits, but not for ever, and after the first time in vain no more: what is missing then shows in the comparison. */
class Wait {
  readonly #patience: number;
  inTime = true;

  constructor(patience: number) {
    this.#patience = patience;
  }

  async for<T>(promise: Promise<T>): Promise<T | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      const giveUp = (): void => {
        this.inTime = false;
        resolve(undefined);
      };
      timer = setTimeout(giveUp, this.inTime ? this.#patience : 0);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** How many bytes these frames have when they are masked: a key more each. */
function maskedLength(frames: readonly Buffer[]): number {
  return frames.reduce((sum, { length }) => sum + length + 4, 0);
}

function plain(info: CloseInfo | undefined): Ending['info'] | undefined {
  if (info === undefined) return undefined;
  const { error, ...rest } = info;
  return error === undefined ? rest : { ...rest, error: error.code };
}

const opcodeOf = (wire: Buffer): number => wire[0] & 0x0f;
const isData = (wire: Buffer): boolean => opcodeOf(wire) < 8;
const isPong = (wire: Buffer): boolean => opcodeOf(wire) === 0xa;
const payloadOf = (wire: Buffer): Buffer => wire.subarray(decodeHeader(wire)!.headerLength);

function shownMessage(wire: Buffer): string {
  return `${opcodeOf(wire) === 1 ? 'text' : 'binary'} ${digest(payloadOf(wire))}`;
}
