/** The server, in a process of its own: the path `/workload/index` names the case whose part a connection plays. */
import { constants } from 'node:crypto';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { selfSignedCertificate } from '../server/certificate.js';
import { type Part, Peer } from '../server/peer.js';
import { answer } from './answer.js';
import { workloads } from './registry.js';

export type ServerCalls = {
  listen(argument: undefined): Promise<Address>;
  tally(argument: undefined): Tally;
};

/** The base URL of each transport, and the certificate to trust. */
export interface Address {
  tcp: string;
  tls: string;
  resumed: string;
  none: string;
  ca: string;
}

/** From the start until now. */
export interface Tally {
  cpuMicroseconds: number;
  tlsHandshakes: number;
  resumed: number;
}

const known = await workloads();

function route(path: string): Part | undefined {
  const [, name, index] = path.split('/');
  const workload = known.find((candidate) => candidate.name === name);
  const found = workload?.cases[Number(index)];
  if (found === undefined) return undefined;
  return { compressed: workload?.compressed ?? false, serve: (peer) => found.serve(peer) };
}

let tlsHandshakes = 0;
let resumed = 0;

function acceptTls(socket: TLSSocket): void {
  tlsHandshakes += 1;
  if (socket.isSessionReused()) resumed += 1;
  Peer.accept(socket, route);
}

function listen(scheme: string, server: Server): Promise<string> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () =>
      resolve(`${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`),
    );
  });
}

answer<ServerCalls>({
  async listen() {
    const { key, cert } = selfSignedCertificate();
    // Without tickets a session would have to be looked up in a cache, and Node has none.
    const forgetful = { key, cert, secureOptions: constants.SSL_OP_NO_TICKET };
    return {
      tcp: await listen(
        'ws',
        createTcpServer((socket) => Peer.accept(socket, route)),
      ),
      tls: await listen('wss', createTlsServer(forgetful, acceptTls)),
      resumed: await listen('wss', createTlsServer({ key, cert }, acceptTls)),
      none: '',
      ca: cert,
    };
  },
  tally() {
    const { user, system } = process.cpuUsage();
    return { cpuMicroseconds: user + system, tlsHandshakes, resumed };
  },
});
