/** Servers that keep to nothing: what they do with a socket is the test's affair, from the first byte on. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { type Certificate, certificate } from '../server/certificate.js';
import { accepting, readRequest } from '../server/scripted-server.js';

export interface RawServer {
  /** `ws://127.0.0.1:port/`, or `wss:`. */
  url: string;
  port: number;
  tls: { ca: string } | undefined;
  /** How many TCP connections it has had. */
  connections: number;
  close(): Promise<void>;
}

export interface RawOptions {
  /** TLS, with the test's own certificate (`true`) or another. */
  tls?: boolean | Certificate;
}

export async function rawServer(
  onSocket: (socket: Socket) => void,
  { tls = false }: RawOptions = {},
): Promise<RawServer> {
  const sockets = new Set<Socket>();
  const server: Server = tls
    ? createTlsServer(tls === true ? certificate() : tls, onSocket).on('tlsClientError', () => {})
    : createServer(onSocket);
  const raw = { connections: 0 };
  server.on('connection', (socket: Socket) => {
    raw.connections++;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  if (tls) server.on('secureConnection', (socket: Socket) => socket.on('error', () => {}));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return Object.assign(raw, {
    url: `${tls ? 'wss' : 'ws'}://127.0.0.1:${port}/`,
    port,
    tls: tls ? { ca: (tls === true ? certificate() : tls).cert } : undefined,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  });
}

/** Answers every request with these bytes. */
export function answering(answer: (request: string) => string | Uint8Array): (socket: Socket) => void {
  return (socket) =>
    readRequest(socket, (request) => {
      const bytes = answer(request);
      socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
      socket.resume();
    });
}

/** Opens every connection, and hands it over. */
export function opening(onOpen: (socket: Socket) => void): (socket: Socket) => void {
  return (socket) =>
    readRequest(socket, (request) => {
      socket.write(accepting(request));
      onOpen(socket);
    });
}

/** Writes `chunk` again and again, as fast as it is taken: `times`, or as long as there is somebody. */
export function pour(socket: Socket, chunk: Uint8Array, times = Number.POSITIVE_INFINITY): void {
  let left = times;
  const write = (): void => {
    while (left-- > 0 && !socket.destroyed) {
      if (!socket.write(chunk)) {
        socket.once('drain', write);
        return;
      }
    }
  };
  write();
}
