/**
 * Proxies that others wrote, each in a process of its own. Whatever they do, nobody is reached another way.
 * `npm run test:proxy` installs them and runs this; its name keeps it out of `npm test`, whose result must not
 * depend on what a machine happens to have.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { connect } from '../../src/connect.js';
import { certificate } from '../server/certificate.js';
import { echoServer } from '../server/echo-server.js';
import { accepts, freePort } from '../server/port.js';
import { leavesNothingOpen } from '../server/resources.js';
import { echoes, echoing, refusal } from './through-proxy.js';

const TLS = { ca: certificate().cert };

interface Settings {
  /** `user:password`, without which nobody gets through. */
  credentials?: string;
  /** The only port it opens a tunnel to. */
  onlyPort?: number;
  /** An https proxy, with `certificate()`. */
  tls?: boolean;
}

interface RealProxy {
  name: string;
  speaksTls: boolean;
  /** Writes what it needs into `folder` and says how it is started. */
  command: (folder: string, port: number, settings: Settings) => [program: string, ...args: string[]];
}

const PROXIES: RealProxy[] = [
  { name: 'tinyproxy', speaksTls: false, command: tinyproxy },
  { name: 'squid', speaksTls: true, command: squid },
];

function tinyproxy(folder: string, port: number, { credentials, onlyPort }: Settings): [string, ...string[]] {
  const lines = [`Port ${port}`, 'Listen 127.0.0.1', 'Timeout 60', 'LogLevel Critical'];
  if (credentials !== undefined) lines.push(`BasicAuth ${credentials.replace(':', ' ')}`);
  if (onlyPort !== undefined) lines.push(`ConnectPort ${onlyPort}`);
  return ['tinyproxy', '-d', '-c', written(folder, 'tinyproxy.conf', lines)];
}

/** It checks passwords in another process, the "helper" of Debian's package. */
function squid(folder: string, port: number, settings: Settings): [string, ...string[]] {
  const { credentials, onlyPort, tls } = settings;
  const lines = [
    `pid_filename ${folder}/squid.pid`,
    `cache_log ${folder}/cache.log`,
    `coredump_dir ${folder}`,
    'access_log none',
    'cache deny all',
    'pinger_enable off',
    'visible_hostname proxy.test',
  ];
  if (tls) {
    const { cert, key } = certificate();
    lines.push(`https_port 127.0.0.1:${port} tls-cert=${written(folder, 'proxy.pem', [cert, key])}`);
  } else {
    lines.push(`http_port 127.0.0.1:${port}`);
  }
  if (onlyPort !== undefined) lines.push(`acl allowed port ${onlyPort}`, 'http_access deny CONNECT !allowed');
  if (credentials === undefined) {
    lines.push('http_access allow all');
  } else {
    const [user, password] = credentials.split(':');
    const { stdout } = spawnSync('openssl', ['passwd', '-apr1', password], { encoding: 'utf8' });
    const file = written(folder, 'passwords', [`${user}:${stdout.trim()}`]);
    lines.push(
      `auth_param basic program /usr/lib/squid/basic_ncsa_auth ${file}`,
      'auth_param basic children 1 startup=1',
      'acl known proxy_auth REQUIRED',
      'http_access allow known',
      'http_access deny all',
    );
  }
  // As root it becomes another user, who must be able to read and write here.
  chmodSync(folder, 0o777);
  return ['squid', '-N', '-f', written(folder, 'squid.conf', lines)];
}

function written(folder: string, name: string, lines: readonly string[]): string {
  const file = join(folder, name);
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

interface Running {
  /** `127.0.0.1:port` */
  authority: string;
  stop(): Promise<void>;
}

async function run(t: TestContext, { command }: RealProxy, settings: Settings = {}): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), 'heartwire-proxy-'));
  const port = await freePort();
  const [program, ...args] = command(folder, port, settings);
  const child: ChildProcess = spawn(program, args, { stdio: 'ignore' });
  const exited = once(child, 'exit');
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  t.after(async () => {
    await stop();
    rmSync(folder, { recursive: true });
  });
  const early = exited.then(([code]) => Promise.reject(new Error(`${program} ended with ${code}`)));
  await Promise.race([accepts(port), early]);
  early.catch(() => {});
  return { authority: `127.0.0.1:${port}`, stop };
}

for (const proxy of PROXIES) {
  if (spawnSync(proxy.name, ['-v']).error !== undefined) {
    console.error(`\nNOT RUN: the tests against ${proxy.name}, which is not installed.\n`);
    continue;
  }

  describe(proxy.name, () => {
    for (const secure of [false, true]) {
      for (const toProxy of proxy.speaksTls ? ['http', 'https'] : ['http']) {
        const title = `${secure ? 'wss' : 'ws'} through it over ${toProxy}: messages of all sizes, and back`;
        test(title, async (t) => {
          const server = await echoing(t, secure);
          const { authority } = await run(t, proxy, { tls: toProxy === 'https' });
          const connection = await connect(server.url, { proxy: `${toProxy}://${authority}`, tls: TLS });
          await echoes(connection);
          assert.equal(connection.handshake.proxy, `${toProxy}://${authority}`);
          assert.equal((await connection.close()).wasClean, true);
          assert.equal(server.connections, 1);
        });
      }

      test(`RFC 7617, ${secure ? 'wss' : 'ws'}: with credentials, with wrong ones, and with none`, async (t) => {
        const server = await echoing(t, secure);
        const { authority } = await run(t, proxy, { credentials: 'user:pass' });
        const connection = await connect(server.url, { proxy: `http://user:pass@${authority}`, tls: TLS });
        await echoes(connection);
        connection.terminate();
        for (const userInfo of ['', 'user:wrong@', 'nobody:pass@']) {
          const error = await refusal(server.url, { proxy: `http://${userInfo}${authority}`, tls: TLS });
          assert.equal(error.code, 'ERR_PROXY');
          assert.ok(error.statusCode === 407 || error.statusCode === 401, `${error.statusCode}`);
          assert.doesNotMatch(error.message, /wrong|pass@/);
        }
        assert.equal(server.connections, 1);
      });

      test(`${secure ? 'wss' : 'ws'}: a port that it opens no tunnel to`, async (t) => {
        const server = await echoing(t, secure);
        const { authority } = await run(t, proxy, { onlyPort: 443 });
        await leavesNothingOpen(async () => {
          const error = await refusal(server.url, { proxy: `http://${authority}`, tls: TLS });
          assert.deepEqual([error.code, error.statusCode], ['ERR_PROXY', 403]);
          assert.ok(error.body!.length > 0, 'it says why');
        });
        assert.equal(server.connections, 0);
      });
    }

    test('a server that is not there', async (t) => {
      const { authority } = await run(t, proxy);
      const gone = await echoServer();
      await gone.close();
      const error = await refusal(gone.url, { proxy: `http://${authority}` });
      assert.equal(error.code, 'ERR_PROXY');
      assert.ok(error.statusCode! >= 500, `${error.statusCode}`);
    });

    test('when it dies, the connection is lost, and the next one is not made without it', async (t) => {
      const server = await echoing(t, false);
      const { authority, stop } = await run(t, proxy);
      const connection = await connect(server.url, { proxy: `http://${authority}` });
      await echoes(connection);
      await stop();
      const { code, error } = await connection.closed;
      assert.deepEqual([code, error?.code], [1006, 'ERR_CONNECTION_LOST']);
      const failure = await refusal(server.url, { proxy: `http://${authority}` });
      assert.equal(failure.code, 'ERR_PROXY');
      assert.equal((failure.cause as NodeJS.ErrnoException).code, 'ECONNREFUSED');
      assert.equal(server.connections, 1);
    });
  });
}
