/** RFC 6455 §5.3: client-to-server masking; §10.3: its keys cannot be foretold. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connect } from '../../src/index.js';
import { patterned } from '../leases/link.js';
import { scriptedServer } from '../server/scripted-server.js';
import { holds, scenario } from './conversation.js';
import { binary, clientFrames, ping, pong, text } from './frames.js';

describe('§5.3: octet i of the payload is masked with octet i MOD 4 of the key', () => {
  const steps = (lengths: readonly number[]): Buffer[] =>
    lengths.map((length) => binary(patterned(length, length)));

  scenario('messages of every length from 0 to 130', {
    server: Buffer.concat(steps(Array.from({ length: 131 }, (_, i) => i))),
    client: steps(Array.from({ length: 131 }, (_, i) => i)),
  });
  for (const length of [65_535, 65_536, 65_537, 130_999, 131_072, 262_145]) {
    scenario(`a message of ${length} bytes, which is masked in pieces`, {
      server: binary(patterned(length, 1)),
      client: [binary(patterned(length, 1))],
    });
  }
  scenario('text, Pong and Close frames are masked as well', {
    server: [text('text'), ping('ping')],
    client: [text('text'), pong('ping')],
  });
});

/** The keys of `count` frames that one connection sends, as numbers. */
async function keysOf(count: number): Promise<number[]> {
  const server = await scriptedServer();
  const connection = await connect(server.url);
  try {
    const peer = await server.peer();
    for (let i = 0; i < count; i++) connection.send('x');
    await peer.receives(count * 7);
    return clientFrames(peer.received).map(({ maskingKey }) => Buffer.from(maskingKey).readUInt32BE());
  } finally {
    connection.terminate();
    await server.close();
  }
}

/** Among 4096 random numbers of 32 bits two are equal in one of 500 runs; three pairs never are. */
const COINCIDENCES = 2;

describe('§5.3, §10.3: a fresh key for each frame, from a strong source of entropy', () => {
  test('keys of one connection do not repeat, nor do the steps from one to the next', async () => {
    const keys = await keysOf(4096);
    assert.equal(keys.length, 4096);
    assert.ok(new Set(keys).size >= 4096 - COINCIDENCES, 'keys repeat');
    const differences = keys.slice(1).map((key, i) => (key - keys[i]) >>> 0);
    assert.ok(new Set(differences).size >= 4095 - COINCIDENCES, 'keys are an arithmetic progression');
    const changes = keys.slice(1).map((key, i) => (key ^ keys[i]) >>> 0);
    assert.ok(new Set(changes).size >= 4095 - COINCIDENCES, 'keys differ by a pattern');
  });

  test('each bit of the key is set in about half of the frames, and does not follow the one before', async () => {
    const keys = await keysOf(4096);
    for (let bit = 0; bit < 32; bit++) {
      const bits = keys.map((key) => (key >>> bit) & 1);
      const set = bits.filter((value) => value === 1).length;
      const changed = bits.filter((value, i) => i > 0 && value !== bits[i - 1]).length;
      // Ten standard deviations.
      assert.ok(Math.abs(set - 2048) < 320, `bit ${bit} is set in ${set} of 4096 keys`);
      assert.ok(Math.abs(changed - 2048) < 320, `bit ${bit} changes ${changed} times in 4096 keys`);
    }
  });

  test('two connections have no keys in common', async () => {
    const [first, second] = [await keysOf(2048), await keysOf(2048)];
    const known = new Set(first);
    assert.ok(second.filter((key) => known.has(key)).length <= COINCIDENCES, 'keys are used again');
  });

  test('the same message is never on the wire in the same bytes', async () => {
    await holds({
      server: Array.from({ length: 50 }, () => text('the same')),
      client: Array.from({ length: 50 }, () => text('the same')),
    });
  });
});
