/** The server, in a process of its own: the path `/workload/index` names the case whose part a connection plays. */
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { selfSignedCertificate } from '../server/certificate.js';
import { Peer } from '../server/peer.js';
import { answer } from './child.js';
import { workloads } from './registry.js';

export type ServerCalls = {
  listen(argument: undefined): Promise<{ tcp: string; tls: string; ca: string }>;
  /** CPU time used so far, in microseconds. */
  cpu(argument: undefined): number;
};

const known = await workloads();

function route(path: string, peer: Peer): void {
  const [, name, index] = path.split('/');
  const found = known.find((workload) => workload.name === name)?.cases[Number(index)];
  if (found === undefined) peer.fail(`nothing at ${path}`);
  else found.serve(peer);
}

function listen(server: Server): Promise<string> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(`127.0.0.1:${(server.address() as AddressInfo).port}`));
  });
}

answer<ServerCalls>({
  async listen() {
    const { key, cert } = selfSignedCertificate();
    const tcp = createTcpServer((socket) => Peer.accept(socket, route));
    const tls = createTlsServer({ key, cert }, (socket) => Peer.accept(socket, route));
    return { tcp: `ws://${await listen(tcp)}`, tls: `wss://${await listen(tls)}`, ca: cert };
  },
  cpu() {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
});
