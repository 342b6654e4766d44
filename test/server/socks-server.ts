/** A SOCKS5 server (RFC 1928): no authentication, CONNECT only. */
import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';

export interface SocksServer {
  port: number;
  /** `host:port` of every request, as it was asked for. */
  requests: string[];
  close(): Promise<void>;
}

const VERSION = 5;
const NO_AUTHENTICATION = 0;
const CONNECT = 1;
const IPV4 = 1;
const DOMAIN_NAME = 3;
const SUCCEEDED = 0;
const REFUSED = 5;

export async function socksServer(): Promise<SocksServer> {
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  const server = createServer((socket) => {
    keep(socket);
    socket.once('data', (greeting: Buffer) => {
      if (greeting[0] !== VERSION) {
        socket.destroy();
        return;
      }
      socket.write(Buffer.from([VERSION, NO_AUTHENTICATION]));
      socket.once('data', (request: Buffer) => relay(socket, request));
    });
  });

  function keep(socket: Socket): void {
    socket.on('error', () => {});
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  }

  function relay(socket: Socket, request: Buffer): void {
    const [host, port] = destination(request);
    requests.push(`${host}:${port}`);
    const far = connectTcp({ host, port });
    keep(far);
    const answer = (code: number): Buffer => Buffer.from([VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0]);
    far.on('error', () => socket.end(answer(REFUSED)));
    far.on('connect', () => {
      socket.write(answer(SUCCEEDED));
      socket.pipe(far).pipe(socket);
      socket.on('close', () => far.destroy());
      far.on('close', () => socket.destroy());
    });
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    requests,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function destination(request: Buffer): [host: string, port: number] {
  if (request[1] !== CONNECT) throw new Error('only CONNECT is known here');
  if (request[3] === IPV4) return [request.subarray(4, 8).join('.'), request.readUInt16BE(8)];
  if (request[3] !== DOMAIN_NAME) throw new Error('an address of this type is not known here');
  const end = 5 + request[4];
  return [request.toString('latin1', 5, end), request.readUInt16BE(end)];
}
