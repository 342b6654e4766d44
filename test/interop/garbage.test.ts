/**
 * A million small messages, read at `buffer` and `byteOffset`, leave no garbage: in a process that does nothing
 * else, no more collections than with a bare socket whose bytes nobody looks at.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** A collection of either process may fall in between by chance: a timer, the observer itself. */
const BY_CHANCE = 2;

function run(t: TestContext, file: string, ...args: string[]): ChildProcess {
  const child = spawn(
    process.execPath,
    ['--expose-gc', '--import', 'tsx', fileURLToPath(new URL(file, import.meta.url)), ...args],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  t.after(() => child.kill());
  return child;
}

/** The first line that a process prints. */
async function firstLine(child: ChildProcess): Promise<string> {
  let output = '';
  for await (const chunk of child.stdout!) {
    output += chunk;
    if (output.includes('\n')) break;
  }
  return output.trim();
}

interface Report {
  received: number;
  collections: number;
}

describe('a million messages of 64 bytes', () => {
  test('cause no collection that a bare socket does not cause', async (t) => {
    const port = await firstLine(run(t, 'frame-server.ts'));
    const measure = async (contender: string): Promise<Report> => {
      const client = run(t, 'garbage-client.ts', contender, port);
      const ended = once(client, 'exit');
      const report = JSON.parse(await firstLine(client)) as Report;
      await ended;
      return report;
    };
    const bare = await measure('bare');
    const heartwire = await measure('heartwire');
    t.diagnostic(`collections: bare socket ${bare.collections}, heartwire ${heartwire.collections}`);
    assert.deepEqual([bare.received, heartwire.received], [1_000_000, 1_000_000]);
    assert.ok(
      heartwire.collections <= bare.collections + BY_CHANCE,
      `${heartwire.collections} collections; a bare socket has ${bare.collections}`,
    );
  });
});
