/** `ws` behind a TLS server of Node's, with options of the test's, that tells how its clients came. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { TLSSocket, TlsOptions } from 'node:tls';
import { WebSocketServer } from 'ws';
import { certificate } from './certificate.js';

export interface TlsServer {
  /** `wss://127.0.0.1:port/` */
  url: string;
  port: number;
  server: Server;
  /** Of every completed TLS handshake, whether it resumed a session. */
  resumed: boolean[];
  /** The sockets behind that, oldest first. */
  sockets: TLSSocket[];
  /** The opening handshakes that arrived. */
  requests: number;
  close(): Promise<void>;
}

/** Echoes what it is sent. By default with `certificate()`, which is for 127.0.0.1 and localhost. */
export async function tlsServer(
  options: TlsOptions = {},
  wantedPort = 0,
  ticketKeys?: Buffer,
): Promise<TlsServer> {
  const server = createServer({ ...certificate(), ...options });
  const webSockets = new WebSocketServer({ server });
  const resumed: boolean[] = [];
  const sockets: TLSSocket[] = [];
  const counted = { requests: 0 };
  server.on('tlsClientError', () => {});
  server.on('secureConnection', (socket) => {
    resumed.push(socket.isSessionReused());
    sockets.push(socket);
  });
  server.on('upgrade', () => void counted.requests++);
  webSockets.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  if (ticketKeys !== undefined) server.setTicketKeys(ticketKeys);
  server.listen(wantedPort, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return Object.assign(counted, {
    url: `wss://127.0.0.1:${port}/`,
    port,
    server,
    resumed,
    sockets,
    async close() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      for (const client of webSockets.clients) client.terminate();
      webSockets.close();
      server.close();
      server.closeAllConnections();
      await closed;
    },
  });
}
