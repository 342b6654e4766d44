/**
 * The far end of the heartbeat's faults, in a process of its own: `ws` over tcp and TLS, each also behind a relay that
 * takes its time in both directions (`netem` is not everywhere). What a connection is like, its path says:
 *
 *     /quiet    answers pings and sends nothing else
 *     /feed     sends a message every 20 ms as well
 *     /mute     answers no ping
 *     /strict   pings, and ends who does not answer within a second
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import {
  type AddressInfo,
  connect as connectTcp,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { certificate } from '../server/certificate.js';
import { serve } from './heartbeat-remote.js';

export interface Doors {
  host: string;
  /** Ports: straight to the server, and with a relay in front of it. */
  direct: { ws: number; wss: number };
  delayed: { ws: number; wss: number };
  ca: string;
}

export type FarEnd = typeof methods;

const EVERY = 20;
const TICK = 20;
const MESSAGE = JSON.stringify({ data: 'x'.repeat(180) });
/** More than this waits for a peer that does not take it: then nothing is added. */
const ENOUGH = 256 * 1024;

/** What clients are connected to: the end of their tcp connections. */
const fronts = new Set<Socket>();
const feeds = new Set<WebSocket>();
const webSockets = new Set<WebSocket>();

const methods = {
  /** `delay`: ms that the relay takes, each way. */
  async start(host: string, delay: number): Promise<Doors> {
    const [plain, secure] = [createServer(), createTlsServer(certificate())];
    for (const http of [plain, secure]) {
      http.on('connection', (socket: Socket) => {
        // The relay is on this host as well.
        if (socket.remoteAddress !== host) keepFront(socket);
      });
      const server = new WebSocketServer({ server: http, autoPong: false });
      server.on('connection', (socket, request) => behave(socket, request.url ?? ''));
    }
    const [ws, wss] = [await listen(plain, host), await listen(secure, host)];
    const relays = [
      await listen(relayTo(host, ws, delay), host),
      await listen(relayTo(host, wss, delay), host),
    ];
    setInterval(feed, EVERY);
    setInterval(tick, TICK);
    return {
      host,
      direct: { ws, wss },
      delayed: { ws: relays[0], wss: relays[1] },
      ca: certificate().cert,
    };
  },

  /** RST on every connection. */
  reset(): void {
    for (const socket of fronts) socket.resetAndDestroy();
  },

  /** FIN on every connection, with no Close frame before it. */
  end(): void {
    // `ws` has no public way to do this.
    for (const socket of webSockets) (socket as unknown as { _socket: Socket })._socket.end();
  },

  /** Sends so many pings without a payload on every connection, as fast as they are taken. */
  async flood(count: number): Promise<void> {
    const chunk = Buffer.alloc(2 * 10_000, Buffer.from('8900', 'hex'));
    for (const webSocket of webSockets) {
      const socket = (webSocket as unknown as { _socket: Socket })._socket;
      for (let sent = 0; sent < count; sent += 10_000) if (!socket.write(chunk)) await once(socket, 'drain');
    }
  },

  /** ms for which this process stood still at a stretch, at most, since `at` (ms since 1970). */
  longestStall(at: number): number {
    return Math.max(0, ...stalls.filter(({ until }) => until >= at).map(({ ms }) => ms));
  },
};

function behave(socket: WebSocket, path: string): void {
  webSockets.add(socket);
  socket.on('close', () => webSockets.delete(socket));
  socket.on('error', () => {});
  if (path !== '/mute') socket.on('ping', (payload) => socket.pong(payload));
  if (path === '/feed') {
    feeds.add(socket);
    socket.on('close', () => feeds.delete(socket));
  }
  if (path === '/strict') demandPongs(socket);
}

function demandPongs(socket: WebSocket): void {
  let answeredAt = performance.now();
  socket.on('pong', () => {
    answeredAt = performance.now();
  });
  const timer = setInterval(() => {
    if (performance.now() - answeredAt > 1_000) socket.terminate();
    else socket.ping();
  }, 200);
  socket.on('close', () => clearInterval(timer));
}

function feed(): void {
  for (const socket of feeds) {
    if (socket.readyState === socket.OPEN && socket.bufferedAmount < ENOUGH) socket.send(MESSAGE);
  }
}

// ------------------------------------------------------------------------------------------ this process's stalls

const stalls: { until: number; ms: number }[] = [];
let tickedAt = performance.now();

function tick(): void {
  const now = performance.now();
  const late = now - tickedAt - TICK;
  tickedAt = now;
  if (late >= 50) stalls.push({ until: performance.timeOrigin + now, ms: late });
}

// ----------------------------------------------------------------------------------------------------- the relay

function relayTo(host: string, port: number, delay: number): Server {
  return createTcpServer((client) => {
    keepFront(client);
    const onward = connectTcp({ port, host, noDelay: true });
    pass(client, onward, delay);
    pass(onward, client, delay);
  });
}

function pass(from: Socket, to: Socket, delay: number): void {
  from.on('data', (chunk) => void setTimeout(() => to.write(chunk), delay));
  from.on('end', () => void setTimeout(() => to.end(), delay));
  from.on('error', () => {});
  from.on('close', (failed) => failed && to.destroy());
}

function keepFront(socket: Socket): void {
  socket.setNoDelay(true);
  fronts.add(socket);
  socket.on('close', () => fronts.delete(socket));
  socket.on('error', () => {});
}

async function listen(server: Server, host: string): Promise<number> {
  server.listen(0, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

if (process.send !== undefined) serve(methods);
