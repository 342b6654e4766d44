/** A server on loopback which can be lost, and which comes back at the port where it was. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { certificate } from '../server/certificate.js';

/** Long enough for a client that tries every `RETRY` ms to be refused. */
const ABSENCE = 120;
/** ms between a client's attempts. */
export const RETRY = 40;

/** A WebSocket of the server's, of whatever version of `ws` that has. */
interface Closing {
  on(event: 'close', listener: (code: number) => void): unknown;
}

export interface Loopback {
  /** `127.0.0.1:port` */
  readonly host: string;
  /** `ws://127.0.0.1:port`, or `wss:` */
  readonly url: string;
  /** For clients: trust in this server's certificate. */
  readonly tls: { ca: string } | undefined;
  /** The code with which the next connection to be closed is closed, as the server sees it. */
  closed(): Promise<number>;
  /** Loses every connection without a word, refuses new ones for a while and comes back without a memory. */
  restart(): Promise<void>;
}

/**
 * @param serve attaches a new server of the consumer's kind, and shows each of its WebSockets
 */
export async function loopback(
  t: TestContext,
  serve: (http: Server, show: (socket: Closing) => void) => void | Promise<void>,
  { tls = false } = {},
): Promise<Loopback> {
  const closes = new EventEmitter();
  let http: Server;
  let sockets: Set<Socket>;

  async function start(port: number): Promise<number> {
    http = tls ? createTlsServer(certificate()) : createServer();
    sockets = new Set();
    http.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    });
    await serve(http, (socket) => socket.on('close', (code) => closes.emit('close', code)));
    http.listen(port, '127.0.0.1');
    await once(http, 'listening');
    return (http.address() as AddressInfo).port;
  }
  async function stop(): Promise<void> {
    const closed = once(http, 'close');
    http.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  }

  const port = await start(0);
  t.after(stop);
  return {
    host: `127.0.0.1:${port}`,
    url: `${tls ? 'wss' : 'ws'}://127.0.0.1:${port}`,
    tls: tls ? { ca: certificate().cert } : undefined,
    closed: async () => (await once(closes, 'close'))[0],
    async restart() {
      await stop();
      await sleep(ABSENCE);
      await start(port);
    },
  };
}

/** Waits for what a consumer tells nobody. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 5_000;
  while (!condition()) {
    assert.ok(performance.now() < end, `waited too long until ${what}`);
    await sleep(5);
  }
}
