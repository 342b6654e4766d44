/** Servers of Debian packages, each in a process of its own: Python's `websockets` and `aiohttp`, and nginx. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { certificate } from '../../server/certificate.js';
import { accepts, freePort } from '../../server/port.js';
import type { Counterpart } from './part.js';

/** Debian's, whatever else is called `python3`: the packages are for it alone. */
const PYTHON = '/usr/bin/python3';

/** What is there of these packages: false, or what it says of its version. */
export function versionOf(name: 'websockets' | 'aiohttp' | 'nginx'): string | false {
  const { status, stdout, stderr } =
    name === 'nginx'
      ? spawnSync('nginx', ['-v'], { encoding: 'utf8' })
      : spawnSync(PYTHON, ['-c', `import ${name}; print(${name}.__version__)`], { encoding: 'utf8' });
  return status === 0 && `${stdout}${stderr}`.trim();
}

export async function startPython(name: 'websockets' | 'aiohttp', tls: boolean): Promise<Counterpart> {
  const { folder, files, remove } = certificateFolder();
  const program = fileURLToPath(new URL(`${name}_server.py`, import.meta.url));
  const child = spawn(PYTHON, ['-u', program, ...(tls ? files : [])], {
    cwd: folder,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await Promise.race([once(child.stdout!, 'data'), ending(child)])) as [Buffer];
  return {
    url: `${tls ? 'wss' : 'ws'}://127.0.0.1:${Number(line)}`,
    close: () => stop(child).then(remove),
  };
}

/** nginx, which ends TLS and passes everything on to `behind`. */
export async function startNginx(behind: Counterpart): Promise<Counterpart> {
  const { folder, files, remove } = certificateFolder();
  const port = await freePort();
  const configuration = join(folder, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  writeFileSync(
    configuration,
    `
    daemon off;
    master_process off;
    pid ${folder}/nginx.pid;
    error_log stderr crit;
    events {}
    http {
      access_log off;
      ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
      map $http_upgrade $connection_upgrade { default upgrade; '' close; }
      server {
        listen 127.0.0.1:${port} ssl;
        ssl_certificate ${files[0]};
        ssl_certificate_key ${files[1]};
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Host $host;
        location / { proxy_pass ${behind.url.replace('ws:', 'http:')}; }
      }
    }`,
  );
  const child = spawn('nginx', ['-p', folder, '-c', configuration, '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await Promise.race([accepts(port), ending(child)]);
  return {
    url: `wss://127.0.0.1:${port}`,
    async close() {
      await stop(child);
      remove();
      await behind.close();
    },
  };
}

function certificateFolder(): { folder: string; files: [cert: string, key: string]; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'heartwire-interop-'));
  const files: [string, string] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const { cert, key } = certificate();
  writeFileSync(files[0], cert);
  writeFileSync(files[1], key, { mode: 0o600 });
  return { folder, files, remove: () => rmSync(folder, { recursive: true }) };
}

async function ending(child: ChildProcess): Promise<never> {
  const [code] = await once(child, 'exit');
  throw new Error(`${child.spawnargs.join(' ')} ended with ${code}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
