/** `ws` in a process of its own, so that it answers while the client's event loop stands still. Tells its URL. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { echoServer } from '../server/echo-server.js';

export interface EchoProcess {
  url: string;
  tls: { ca: string } | undefined;
  child: ChildProcess;
}

/** Ends with the test. */
export async function echoProcess(t: TestContext, tls: boolean): Promise<EchoProcess> {
  const child = fork(fileURLToPath(import.meta.url), [String(tls)], { execArgv: ['--import', 'tsx'] });
  t.after(() => void child.kill('SIGKILL'));
  const [{ url, ca }] = (await once(child, 'message')) as [{ url: string; ca: string | undefined }];
  return { url, tls: ca === undefined ? undefined : { ca }, child };
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url, tls } = await echoServer({ tls: process.argv[2] === 'true' });
  process.send({ url, ca: tls?.ca });
  process.on('disconnect', () => process.exit());
}
