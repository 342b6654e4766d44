/** A tcp proxy that lets every byte take its time, in order: the round trip of a server far away. */
import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';

/** Resolves with its port. `ms` is one way. */
export async function delayingProxy(port: number, ms: number): Promise<number> {
  const server = createServer((near) => {
    const far = dial(port, '127.0.0.1');
    forward(near, far, ms);
    forward(far, near, ms);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

function forward(from: Socket, to: Socket, ms: number): void {
  from.setNoDelay(true);
  from.on('data', (chunk: Buffer) => setTimeout(() => to.writable && to.write(chunk), ms));
  from.on('error', () => {});
  from.on('close', () => setTimeout(() => to.destroy(), ms));
}
