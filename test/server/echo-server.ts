/** `ws` as the server, over tcp or TLS: what it is sent comes back, unless a test says otherwise. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws';
import { certificate } from './certificate.js';

export interface Echo {
  tls?: boolean;
  /** Instead of echoing. */
  onConnection?: (socket: WebSocket, request: IncomingMessage) => void;
  /** More options of `WebSocketServer`: `handleProtocols`, `verifyClient`, … */
  ws?: ServerOptions;
}

export interface EchoServer {
  /** `ws://127.0.0.1:port/`, or `wss:`. */
  url: string;
  port: number;
  /** For `connect`: trust in this server's certificate; undefined over tcp. */
  tls: { ca: string } | undefined;
  server: WebSocketServer;
  /** Ends all connections and stops. */
  close(): Promise<void>;
}

export async function echoServer({ tls, onConnection = echo, ws }: Echo = {}): Promise<EchoServer> {
  const http = tls ? createTlsServer(certificate()) : createServer();
  const server = new WebSocketServer({ ...ws, server: http });
  server.on('connection', (socket, request) => {
    // A client that ends badly is its test's concern.
    socket.on('error', () => {});
    onConnection(socket, request);
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const { port } = http.address() as { port: number };
  return {
    url: `${tls ? 'wss' : 'ws'}://127.0.0.1:${port}/`,
    port,
    tls: tls ? { ca: certificate().cert } : undefined,
    server,
    async close() {
      const closed = once(http, 'close');
      for (const socket of server.clients) socket.terminate();
      server.close();
      http.close();
      http.closeAllConnections();
      await closed;
    },
  };
}

function echo(socket: WebSocket): void {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
}
