/**
 * Memory of idle connections: `npm run bench:idle [-- connections]`. Each contender is a process of its own, and so is
 * the server; heap and resident memory are taken after collections, before the connections and with all of them open.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

interface Memory {
  heap: number;
  resident: number;
}

/** Opens a connection; what it gives is kept. */
type Open = (url: string) => Promise<unknown>;

const CONTENDERS: Record<string, () => Promise<Open>> = {
  async ws() {
    const { default: WebSocket } = await import('ws');
    return (url) => opened(new WebSocket(url));
  },
  async heartwire() {
    const { connect } = await import('heartwire');
    return (url) => connect(url, { onMessage() {} });
  },
  async 'heartwire WebSocket'() {
    const { WebSocket } = await import('heartwire');
    return (url) => opened(new WebSocket(url));
  },
  async net() {
    const { connect } = await import('node:net');
    return async (url) => {
      const { hostname, port } = new URL(url);
      const buffer = Buffer.alloc(64);
      const socket = connect({
        host: hostname,
        port: Number(port),
        onread: { buffer, callback: () => true },
      });
      await once(socket, 'connect');
      socket.write(`GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`);
      socket.write(`Sec-WebSocket-Key: ${'A'.repeat(22)}==\r\nSec-WebSocket-Version: 13\r\n\r\n`);
      return socket;
    };
  },
};

/** With the listeners that an application has. */
async function opened<Socket extends NodeJS.EventEmitter>(socket: Socket): Promise<Socket> {
  socket.on('message', () => {});
  socket.on('close', () => {});
  socket.on('error', () => {});
  await once(socket, 'open');
  return socket;
}

/** Opened side by side. */
const ABREAST = 50;

async function play(name: string, url: string, count: number): Promise<void> {
  const open = await CONTENDERS[name]();
  const kept: unknown[] = [];
  const openMany = async (wanted: number): Promise<void> => {
    const worker = async (): Promise<void> => {
      while (wanted-- > 0) kept.push(await open(url));
    };
    await Promise.all(Array.from({ length: ABREAST }, worker));
  };
  // The first ones load and compile.
  await openMany(500);
  const before = await memory();
  await openMany(count);
  const after = await memory();
  const each = (key: keyof Memory): number => (after[key] - before[key]) / count;
  process.send!({ heap: each('heap'), resident: each('resident'), kept: kept.length });
}

async function memory(): Promise<Memory> {
  for (let i = 0; i < 6; i++) {
    globalThis.gc!();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const { heapUsed, rss } = process.memoryUsage();
  return { heap: heapUsed, resident: rss };
}

async function serve(): Promise<void> {
  const { WebSocketServer } = await import('ws');
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', backlog: 1_000 });
  await once(server, 'listening');
  process.send!((server.address() as { port: number }).port);
}

function child(...args: string[]): ChildProcess {
  const execArgv = [...process.execArgv, '--expose-gc'];
  return fork(fileURLToPath(import.meta.url), args, {
    execArgv,
    env: { ...process.env, WS_NO_BUFFER_UTIL: '1' },
  });
}

async function conduct(count: number): Promise<void> {
  console.log(`${count} idle connections, Node ${process.versions.node}; kB each`);
  for (const name of Object.keys(CONTENDERS)) {
    const server = child('serve');
    const [port] = await once(server, 'message');
    const player = child('play', name, `ws://127.0.0.1:${port}/`, String(count));
    const [{ heap, resident }] = (await once(player, 'message')) as [Memory];
    console.log(`${name.padEnd(20)} heap ${kilobytes(heap)}  resident ${kilobytes(resident)}`);
    for (const each of [player, server]) {
      each.kill('SIGKILL');
      await once(each, 'exit');
    }
  }
}

const kilobytes = (bytes: number): string => (bytes / 1024).toFixed(2).padStart(6);

const [role, ...rest] = process.argv.slice(2);
if (role === 'serve') await serve();
else if (role === 'play') await play(rest[0], rest[1], Number(rest[2]));
else await conduct(Number(role ?? 10_000));
