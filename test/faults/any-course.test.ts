/**
 * Whole connections, over real sockets, to a server that sends right and faulty streams in any pieces and ends in
 * any way, while the application pauses, resumes, sends, pings, closes and terminates: what is told is what the
 * reference makes of the bytes, up to where it ended.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type CloseInfo, type Connection, connect, HeartwireError } from '../../src/index.js';
import { cutUp, faultyStream, type Split, split, validStream, type WireStream } from '../arbitraries/wire.js';
import { soon } from '../leases/link.js';
import { type Event, receive } from '../reference/receiver.js';
import { leavesNothingOpen } from '../server/resources.js';
import { type Peer, type ScriptedServer, scriptedServer, turns } from '../server/scripted-server.js';

const MAX_MESSAGE_SIZE = 2 ** 26;
const CLOSE_TIMEOUT = 60;

const ACTS = ['pause', 'resume', 'pause for a moment', 'send', 'ping', 'close', 'terminate'] as const;
type Act = (typeof ACTS)[number];

interface Course {
  stream: WireStream;
  how: Split;
  /** What the application does: at its nth message, or as soon as it is open. */
  acts: readonly (readonly [at: number, act: Act])[];
  ending: 'FIN' | 'RST' | 'the client';
}

const stream: fc.Arbitrary<WireStream> = fc.oneof(
  validStream({ maxActs: 5 }).map((valid) => valid as WireStream),
  faultyStream({ maxActs: 4 }),
  faultyStream({ maxActs: 2, large: true }),
);

const course = (withActs: boolean): fc.Arbitrary<Course> =>
  fc.record({
    stream,
    how: split,
    acts: withActs
      ? fc.array(fc.tuple(fc.nat(4), fc.constantFrom(...ACTS)), { maxLength: 4 })
      : fc.constant([]),
    ending: withActs
      ? fc.constantFrom('FIN' as const, 'FIN' as const, 'RST' as const, 'the client' as const)
      : fc.constant('FIN' as const),
  });

/** At most 40 segments: what is sent byte by byte goes on as a whole. */
function segments({ stream, how }: Course): Buffer[] {
  const pieces = cutUp(stream, how);
  return pieces.length <= 40 ? pieces : [...pieces.slice(0, 39), Buffer.concat(pieces.slice(39))];
}

function act(connection: Connection, what: Act, waits: Promise<unknown>[]): void {
  if (what === 'pause') connection.pause();
  else if (what === 'resume') connection.resume();
  else if (what === 'ping') waits.push(connection.ping());
  else if (what === 'close') waits.push(connection.close(3000, 'enough'));
  else if (what === 'terminate') connection.terminate();
  else if (what === 'pause for a moment') {
    connection.pause();
    setImmediate(() => connection.resume());
  } else if (connection.readyState === 1) {
    connection.send('something');
    waits.push(connection.flushed());
  }
}

async function run(course: Course, server: ScriptedServer, index: number): Promise<void> {
  const expected = receive(course.stream.bytes, { maxMessageSize: MAX_MESSAGE_SIZE });
  const messages = expected.filter((event): event is Event & { type: 'message' } => event.type === 'message');
  const closes: CloseInfo[] = [];
  const waits: Promise<unknown>[] = [];
  let received = 0;
  let over = false;
  const actAt = (connection: Connection, at: number): void => {
    for (const [when, what] of course.acts) {
      if (when !== at) continue;
      act(connection, what, waits);
      if (what === 'terminate') over = true;
    }
  };
  const connection = await connect(server.url, {
    tls: server.tls,
    closeTimeout: CLOSE_TIMEOUT,
    maxMessageSize: MAX_MESSAGE_SIZE,
    onMessage: (message, itself) => {
      assert.ok(!over, 'a message behind the end');
      assert.ok(received < messages.length, 'a message too many');
      const { isText, data } = messages[received++];
      assert.equal(message.isText, isText);
      assert.ok(message.copy().equals(data), `message ${received - 1} is another one`);
      actAt(itself, received);
    },
    onClose: (info) => {
      over = true;
      closes.push(info);
    },
  });
  actAt(connection, 0);
  const peer = await server.peer(index);
  await peer.write(...segments(course));
  end(course, connection, peer);
  // A pause may be for ever, and come late; the application goes on in the end.
  await turns(4);
  const goOn = setInterval(() => connection.resume(), 5);

  const info = await soon(connection.closed);
  clearInterval(goOn);
  for (const wait of waits) {
    const reason = await soon(wait).catch((error: unknown) => error);
    if (reason instanceof Error) assert.ok(reason instanceof HeartwireError, String(reason));
  }
  await turns(1);
  assert.deepEqual(closes, [info]);
  assert.ok(info.wasClean || info.error instanceof HeartwireError, 'an unclean end has an error');
  if (course.acts.length > 0 || course.ending !== 'FIN') return;

  // Nothing came between: the end is the one that the bytes tell.
  assert.equal(received, messages.length);
  const last = expected.at(-1);
  if (last?.type === 'close')
    assert.deepEqual(info, { code: last.code, reason: last.reason, wasClean: true });
  else assert.equal(info.error?.code, last?.type === 'error' ? last.code : 'ERR_CONNECTION_LOST');
}

function end({ ending }: Course, connection: Connection, peer: Peer): void {
  if (ending === 'FIN') peer.end();
  else if (ending === 'RST') peer.reset();
  else void connection.close();
}

describe('RFC 6455 §7.1 whatever course a connection takes, its end is told once, and nothing is left', () => {
  for (const { over, tls, numRuns } of [
    { over: 'tcp', tls: false, numRuns: 250 },
    { over: 'TLS', tls: true, numRuns: 150 },
  ]) {
    for (const [title, withActs] of [
      ['the server alone', false],
      ['with an application that interferes', true],
    ] as const) {
      test(`${title}, over ${over}`, async () => {
        const server = await scriptedServer({ tls });
        let index = 0;
        const uncaught: unknown[] = [];
        const onUncaught = (error: unknown): void => void uncaught.push(error);
        process.on('uncaughtException', onUncaught);
        try {
          await leavesNothingOpen(
            () =>
              fc.assert(
                fc.asyncProperty(course(withActs), async (one) => {
                  await run(one, server, index++);
                  assert.deepEqual(uncaught, []);
                }),
                { seed: 1, numRuns },
              ),
            () => server.close(),
          );
        } finally {
          process.off('uncaughtException', onUncaught);
        }
      });
    }
  }
});
