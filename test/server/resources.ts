/** What keeps a process alive, and what connections hold of linear memory, counted before and after. */
import assert from 'node:assert/strict';
import { sharedCodec } from '../../src/codec/codec.js';
import { turns } from './scripted-server.js';

const KINDS = new Set([
  'Timeout',
  'TCPSocketWrap',
  'TCPConnectWrap',
  'PipeWrap',
  'PipeConnectWrap',
  'TLSWrap',
  'WriteWrap',
  'ShutdownWrap',
]);

/** No connection has been made yet. */
const { slabs, sendBlocks } = sharedCodec();
const free = { slabs: slabs.available, sendBlocks: sendBlocks.available };

function open(): string[] {
  const held = [
    ...Array<string>(free.slabs - slabs.available).fill('a slab'),
    ...Array<string>(free.sendBlocks - sendBlocks.available).fill('a send block'),
  ];
  const handles = process.getActiveResourcesInfo().filter((kind) => KINDS.has(kind));
  return [...handles.sort(), ...held];
}

/** What of `now` was not there before. */
function left(before: readonly string[], now: readonly string[]): string[] {
  const known = [...before];
  return now.filter((kind) => {
    const at = known.indexOf(kind);
    if (at >= 0) known.splice(at, 1);
    return at < 0;
  });
}

/** Runs `body`, and `close`, which ends the servers' side; then nothing is open that was not before. */
export async function leavesNothingOpen(
  body: () => Promise<void>,
  close: () => Promise<void> = async () => {},
): Promise<void> {
  await turns(3);
  const before = open();
  await body();
  await close();
  // Closing takes some turns of the event loop, more of them through a tunnel. A timer that was left takes longer.
  for (let i = 0; i < 50 && left(before, open()).length > 0; i++) await turns(1);
  assert.deepEqual(left(before, open()), []);
}
