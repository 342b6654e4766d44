/** A relay between a client and a server, below TLS where there is any, that fails where a test says. */
import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';

/** What becomes of the connection. Corruption is for TLS to find: nobody else could. */
export type Failing = 'RST' | 'FIN' | 'stall' | 'corruption';

export interface Fault {
  failing: Failing;
  /** How many segments pass, of either direction; or how many bytes of one. */
  after: { segments: number } | { bytes: number; towards: 'client' | 'server' };
}

export interface Relay {
  port: number;
  /** What has passed. */
  passed: { segments: number; client: number; server: number };
  /** Whether the fault has come to pass. */
  failed: boolean;
  close(): Promise<void>;
}

export async function relay(serverPort: number, fault?: Fault): Promise<Relay> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    return socket.setNoDelay(true);
  };
  const server = createServer((client) => {
    keep(client);
    const far = keep(connectTcp({ host: '127.0.0.1', port: serverPort }));
    const pass = (from: Socket, to: Socket, towards: 'client' | 'server'): void => {
      from.on('data', (chunk: Buffer) => {
        if (state.failed) return;
        const count = due(chunk, towards);
        if (count === undefined) {
          state.passed.segments++;
          state.passed[towards] += chunk.length;
          to.write(chunk);
          return;
        }
        state.failed = true;
        fail(fault!.failing, { client, far, to, chunk, count });
      });
      from.on('end', () => !state.failed && to.end());
      from.on('close', () => !state.failed && to.destroy());
    };
    pass(client, far, 'server');
    pass(far, client, 'client');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  const state: Relay = {
    port: (server.address() as { port: number }).port,
    passed: { segments: 0, client: 0, server: 0 },
    failed: false,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };

  /** How many bytes of a chunk still pass when the fault falls into it. */
  function due(chunk: Buffer, towards: 'client' | 'server'): number | undefined {
    if (fault === undefined) return undefined;
    const { after } = fault;
    if ('segments' in after) return state.passed.segments === after.segments ? 0 : undefined;
    if (after.towards !== towards || state.passed[towards] + chunk.length <= after.bytes) return undefined;
    return after.bytes - state.passed[towards];
  }

  return state;
}

interface Passing {
  client: Socket;
  far: Socket;
  to: Socket;
  chunk: Buffer;
  count: number;
}

function fail(failing: Failing, { client, far, to, chunk, count }: Passing): void {
  if (failing === 'corruption') {
    const wrong = Buffer.from(chunk);
    wrong[count] ^= 0x40;
    to.write(wrong);
    return;
  }
  if (count > 0) to.write(chunk.subarray(0, count));
  if (failing === 'stall') {
    client.pause();
    far.pause();
    return;
  }
  far.destroy();
  if (failing === 'RST') client.resetAndDestroy();
  else client.end();
}
