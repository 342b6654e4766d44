/** What the catalogue rests on: segments are read one by one, and whatever differs from a scenario fails it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connect } from '../../src/index.js';
import { scriptedServer } from '../server/scripted-server.js';
import { closed, closes, fails, holds, type Scenario } from './conversation.js';
import { close, continuation, frame, MORE, ping, pong, text } from './frames.js';

describe('the segments of a scenario', () => {
  test('reach the client one by one', async (t) => {
    const reads: number[] = [];
    const server = await scriptedServer();
    t.after(() => server.close());
    const connection = await connect(server.url, {
      onMessage: (_, { stats }) => void reads.push(stats.call(connection).bytesReceived),
    });
    t.after(() => connection.terminate());
    const peer = await server.peer();
    await peer.write(...Array.from({ length: 50 }, () => text('x')), close());
    await peer.receives(6);
    assert.deepEqual(
      reads,
      Array.from({ length: 50 }, (_, i) => 3 * (i + 1)),
    );
  });
});

describe('a scenario fails', () => {
  const right: Scenario = { server: [ping('a'), text('b')], client: [pong('a'), text('b')] };
  test('not when everything is as it says', () => holds(right));

  const wrong: Readonly<Record<string, Scenario>> = {
    'when the client sends less than it says': {
      ...right,
      client: [pong('a'), text('b'), text('c')],
      messages: [text('b')],
    },
    'when the client sends more': { ...right, client: [pong('a')], messages: [text('b')] },
    'when a byte differs': { ...right, client: [pong('a'), text('c')], messages: [text('b')] },
    'when the order differs': { ...right, client: [text('b'), pong('a')] },
    'when the frames have another form': {
      ...right,
      client: [pong('a'), text('b', MORE), continuation()],
      messages: [text('b')],
    },
    'when the message that the application got differs': { ...right, messages: [frame(2, 'b')] },
    'when a Ping is not told': { ...right, pings: [] },
    'when a Pong is told that never came': { ...right, pongs: [Buffer.from('a')] },
    'when the code differs': { ...right, ends: { ...closes(1001), server: close(1000) } },
    'when the reason differs': { ...right, ends: { ...closes(1000, 'x'), server: close(1000, 'y') } },
    'when the other end closes TCP': { ...right, ends: { ...closes(1000), tcp: 'client' } },
    'when the connection should have failed': { ...right, ends: fails(1002, 'ERR_RESERVED_BITS') },
    'when it should not have': { server: frame(3), ends: closed(1002) },
    'when the client fails it for another reason': {
      server: frame(3),
      ends: fails(1002, 'ERR_RESERVED_BITS'),
    },
    'when the client answers too early': { server: [ping('a'), 0], client: [pong('a')] },
    'when the client answers too late': {
      server: [ping('a').subarray(0, 2), 1, ping('a').subarray(2)],
      client: [pong('a')],
    },
  };
  for (const [title, content] of Object.entries(wrong)) {
    test(title, async () => {
      await assert.rejects(holds(content, '', 100), { name: 'AssertionError' });
    });
  }
});
