/** Messages that `maxMessageSize` allows, and for which there is no room all the same. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { connect } from '../../src/index.js';
import { receivedLines } from '../connection/wire.js';
import { ended, soon } from '../leases/link.js';
import { encodeFrame } from '../reference/frame.js';
import { type ScriptedServer, scriptedServer } from '../server/scripted-server.js';

const PLENTY = 2 ** 32 - 1;
const GIB = 1n << 30n;

const announcing = (fin: boolean, opcode: number, length: bigint): Buffer =>
  encodeFrame({ fin, opcode, lengthEncoding: 64, declaredLength: length });

async function server(t: TestContext): Promise<ScriptedServer> {
  const made = await scriptedServer();
  t.after(() => made.close());
  return made;
}

/** As in a process whose address space is limited. */
function withoutMemory(t: TestContext): void {
  const allocate = Buffer.allocUnsafeSlow;
  t.mock.method(Buffer, 'allocUnsafeSlow', (size: number) => {
    if (size > 2 ** 29) throw new RangeError('Array buffer allocation failed');
    return allocate(size);
  });
}

describe('RFC 6455 §10.4 no memory for a message: ERR_MESSAGE_TOO_LARGE, and the process lives', () => {
  const cases: [title: string, ...segments: Buffer[]][] = [
    ['of one frame', announcing(true, 2, 3n * GIB)],
    ['of one frame of text', announcing(true, 1, 3n * GIB)],
    ['of fragments', announcing(false, 2, 3n * GIB)],
    [
      'that goes on',
      encodeFrame({ fin: false, opcode: 2, payload: Buffer.alloc(10) }),
      announcing(true, 0, 3n * GIB),
    ],
  ];
  for (const [title, ...segments] of cases) {
    for (const behind of ['in a read of its own', 'behind the 101'] as const) {
      test(`${title}, ${behind}`, async (t) => {
        withoutMemory(t);
        const bytes = Buffer.concat(segments);
        const scripted = await scriptedServer({
          behindAnswer: behind === 'behind the 101' ? bytes : undefined,
          onConnection: (peer) => {
            if (behind !== 'behind the 101') void peer.write(...segments);
          },
        });
        t.after(() => scripted.close());
        const connection = await connect(scripted.url, { maxMessageSize: PLENTY, closeTimeout: 200 });
        const { code, error } = await ended(connection);
        assert.deepEqual([code, error?.code], [1006, 'ERR_MESSAGE_TOO_LARGE']);
        assert.deepEqual(await receivedLines(await scripted.peer(), 1), ['close 1009']);
      });
    }
  }
});

test('text longer than a string can be: the iterator rejects, and closes the connection', async (t) => {
  const length = 7_777;
  const inherited = Buffer.prototype.toString;
  t.mock.method(Buffer.prototype, 'toString', function (this: Buffer, ...args: []) {
    if (this.length === length) throw Object.assign(new Error('too long'), { code: 'ERR_STRING_TOO_LONG' });
    return inherited.apply(this, args);
  });
  const scripted = await server(t);
  const connection = await connect(scripted.url, { closeTimeout: 200 });
  const messages = connection.iterate();
  const next = messages.next();
  const peer = await scripted.peer();
  await peer.write(encodeFrame({ opcode: 1, payload: Buffer.alloc(length, 'x') }));
  await assert.rejects(soon(next), { code: 'ERR_MESSAGE_TOO_LARGE', connectionId: connection.id });
  assert.deepEqual(await soon(messages.next()), { done: true, value: undefined });
  assert.equal((await ended(connection)).error?.code, 'ERR_CLOSE_TIMEOUT');
});
