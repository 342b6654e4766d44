/**
 * An HTTP proxy that knows CONNECT (RFC 9110 §9.3.6) and nothing else, over http or https; or that does what a
 * test tells it, which may be anything.
 */
import { once } from 'node:events';
import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Certificate } from './certificate.js';

export interface ProxyScript {
  /** An https proxy, with this certificate. */
  tls?: Certificate;
  /** `user:password`, without which it answers 407. */
  credentials?: string;
  /** Instead of opening a tunnel. */
  answer?: (socket: Socket, head: string) => void;
  /** The line and fields of its yes, each with CR LF. */
  yes?: string;
}

export interface ConnectProxy {
  port: number;
  /** Without credentials. */
  url: string;
  /** The head of every request, the empty line not counted. */
  heads: string[];
  /** How many connections it has had. */
  connections: number;
  close(): Promise<void>;
}

export async function connectProxy(script: ProxyScript = {}): Promise<ConnectProxy> {
  const sockets = new Set<Socket>();
  const heads: string[] = [];
  const serve = (socket: Socket): void => {
    socket.on('error', () => {});
    readHead(socket, (head) => {
      heads.push(head);
      if (script.answer !== undefined) script.answer(socket, head);
      else if (isWelcome(head, script.credentials)) openTunnel(socket, head, sockets, script.yes);
      else socket.end(REFUSAL);
    });
  };
  const server: Server = script.tls === undefined ? createServer(serve) : createTlsServer(script.tls, serve);
  const proxy = { connections: 0 };
  server.on('tlsClientError', () => {});
  server.on('connection', (socket: Socket) => {
    proxy.connections++;
    keep(socket, sockets);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return Object.assign(proxy, {
    port,
    url: `${script.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    heads,
    async close() {
      if (!server.listening) return;
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  });
}

export const REFUSAL =
  'HTTP/1.1 407 Proxy Authentication Required\r\n' +
  'Proxy-Authenticate: Basic realm="test"\r\nContent-Length: 9\r\n\r\nno ticket';

function isWelcome(head: string, credentials: string | undefined): boolean {
  if (credentials === undefined) return true;
  const given = /^proxy-authorization: basic (\S+)$/im.exec(head)?.[1] ?? '';
  return Buffer.from(given, 'base64').toString('latin1') === credentials;
}

function openTunnel(socket: Socket, head: string, sockets: Set<Socket>, yes = 'HTTP/1.1 200 OK\r\n'): void {
  const authority = /^CONNECT (\S+):(\d+) HTTP\/1\.1\r\n/.exec(head);
  if (authority === null) {
    socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  const host = authority[1].replace(/^\[|\]$/g, '');
  const far = connectTcp({ host, port: Number(authority[2]) });
  keep(far, sockets);
  far.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n'));
  far.on('connect', () => {
    socket.write(`${yes}\r\n`);
    socket.pipe(far).pipe(socket);
    socket.on('close', () => far.destroy());
    far.on('close', () => socket.destroy());
  });
}

function keep(socket: Socket, sockets: Set<Socket>): void {
  socket.on('error', () => {});
  sockets.add(socket);
  socket.on('close', () => sockets.delete(socket));
}

function readHead(socket: Socket, onHead: (head: string) => void): void {
  let head = '';
  const onData = (chunk: Buffer): void => {
    head += chunk.toString('latin1');
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    socket.off('data', onData);
    onHead(head.slice(0, end + 2));
  };
  socket.on('data', onData);
}
