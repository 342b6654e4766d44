/**
 * A network of two hosts in one machine: this process on one side of a cable, processes in a namespace of their own
 * on the other. The cable can be cut silently: both sides then send into the void, as behind a broken router. Needs
 * Linux, root and `ip`.
 *
 *     const network = networkNamespace(t);
 *     if (network === undefined) return;              // it has said so loudly
 *     const server = network.spawn('server.ts');      // may listen on network.server
 *     network.blackHole();
 *     network.heal();
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import type { TestContext } from 'node:test';

export interface Network {
  /** The address of this side. */
  readonly client: string;
  /** The address of the other side. */
  readonly server: string;
  /** Runs a TypeScript file on the other side, with an IPC channel. */
  spawn(file: string): ChildProcess;
  /** From now on nothing arrives, in both directions or in one, and nobody is told. */
  blackHole(towards?: 'both' | 'server' | 'client'): void;
  heal(): void;
  /** Bits a second from this side to the other; 0: as many as there are. */
  limitRate(bits: number): void;
}

/** Nobody has this address: frames for it are lost on the cable. */
const NOBODY = '02:de:ad:00:00:01';

let made = 0;

export function networkNamespace(t: TestContext): Network | undefined {
  const name = `hw${process.pid}x${made++}`;
  const [near, far] = [`${name}a`, `${name}b`];
  // One of 16 384 networks of four addresses each, of the range for benchmarks (RFC 2544).
  const block = (process.pid * 7 + made) % 16_384;
  const prefix = `198.${18 + (block >> 13)}.${(block >> 6) & 0xff}`;
  const [client, server] = [1, 2].map((host) => `${prefix}.${((block & 0x3f) << 2) + host}`);
  const remove = (): void => {
    try {
      execFileSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
    } catch {
      // It was never made.
    }
  };
  try {
    ip('netns', 'add', name);
    ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', name);
    ip('addr', 'add', `${client}/30`, 'dev', near);
    ip('link', 'set', near, 'up');
    ip('-n', name, 'addr', 'add', `${server}/30`, 'dev', far);
    ip('-n', name, 'link', 'set', far, 'up');
    ip('-n', name, 'link', 'set', 'lo', 'up');
  } catch (error) {
    remove();
    const why = String((error as { stderr?: Buffer }).stderr ?? error).trim();
    console.error(`\n!!! NOT TESTED: ${t.name}: no network namespace can be made here (${why})\n`);
    t.skip(`no network namespaces: ${why}`);
    return undefined;
  }
  // Its interfaces go with the namespace.
  t.after(remove);
  return {
    client,
    server,
    spawn(file) {
      const command = ['netns', 'exec', name, process.execPath, '--import=tsx', file];
      const child = spawn('ip', command, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      t.after(() => child.kill('SIGKILL'));
      return child;
    },
    blackHole(towards = 'both') {
      if (towards !== 'client')
        ip('neigh', 'replace', server, 'lladdr', NOBODY, 'nud', 'permanent', 'dev', near);
      if (towards === 'server') return;
      ip('-n', name, 'neigh', 'replace', client, 'lladdr', NOBODY, 'nud', 'permanent', 'dev', far);
    },
    heal() {
      forget('neigh', 'del', server, 'dev', near);
      forget('-n', name, 'neigh', 'del', client, 'dev', far);
    },
    limitRate(bits) {
      if (bits === 0) forget('qdisc', 'del', 'dev', near, 'root');
      else
        run(
          'tc',
          'qdisc',
          'replace',
          'dev',
          near,
          'root',
          ...`tbf rate ${bits} burst 16kb latency 5s`.split(' '),
        );
    },
  };
}

function ip(...words: string[]): void {
  run('ip', ...words);
}

/** Undoes what may never have been done. */
function forget(...words: string[]): void {
  try {
    run(words[0] === 'qdisc' ? 'tc' : 'ip', ...words);
  } catch {
    // Then there is nothing to undo.
  }
}

function run(command: string, ...words: string[]): void {
  execFileSync(command, words, { stdio: ['ignore', 'ignore', 'pipe'] });
}
