/** An HTTP server of Node's, below a library's WebSocket server. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { certificate } from '../../server/certificate.js';
import type { Counterpart } from './part.js';

export function httpServer(tls: boolean): Server {
  return tls ? createTlsServer(certificate()) : createServer();
}

export async function listening(server: Server, tls: boolean): Promise<Counterpart> {
  const sockets = new Set<Socket>();
  server.on(tls ? 'secureConnection' : 'connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    url: `${tls ? 'wss' : 'ws'}://127.0.0.1:${port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
