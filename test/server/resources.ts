/** What keeps a process alive, counted before and after. */
import assert from 'node:assert/strict';
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

function open(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter((kind) => KINDS.has(kind))
    .sort();
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
