/**
 * An exchange to be connected to, that does what a script tells it: on `ws`'s server, with rules that can be changed
 * while it runs, and a log of all that it has sent.
 *
 *     const exchange = await startExchange({ rules: { login: true }, compression: true });
 *     exchange.publishEvery(10, ['trades.A', 'book.A']);
 *     exchange.maintenance(60_000);                  // 1012 to all, then 503 for a minute
 *     exchange.rules.refuse = () => ({ status: 429, headers: { 'Retry-After': '30' } });
 *     exchange.resetAll();
 *     await exchange.stop();
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { certificate } from '../server/certificate.js';
import { Market } from './market.js';
import { LENIENT, type Refusal, type Rules } from './rules.js';
import { Session } from './session.js';

export interface ExchangeOptions {
  tls?: boolean;
  /** Offers `permessage-deflate`. */
  compression?: boolean;
  rules?: Partial<Rules>;
  host?: string;
  port?: number;
  /** ms by which its clock is ahead. */
  clockSkew?: number;
  /** Default true. Off for long runs: the log grows. */
  log?: boolean;
}

export interface Sent {
  readonly at: number;
  readonly session: number;
  readonly message: object;
}

/** An opening handshake that arrived. */
export interface Knock {
  readonly at: number;
  /** 101, or what it was refused with. */
  readonly status: number;
}

export class Exchange {
  readonly market = new Market();
  readonly rules: Rules;
  readonly log: Sent[] = [];
  readonly knocks: Knock[] = [];
  /** What clients did that they must not. */
  readonly violations: string[] = [];
  readonly usedSignatures = new Set<string>();
  /** Those that are open. */
  readonly sessions = new Set<Session>();
  /** Every session there was, oldest first. */
  readonly history: Session[] = [];
  readonly now: () => number;
  readonly url: string;
  readonly port: number;
  readonly tls: { ca: string } | undefined;
  readonly #http: ReturnType<typeof createServer>;
  readonly #logs: boolean;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #tcp = new Set<Socket>();
  #halted: readonly string[] | true | undefined;

  constructor(http: ReturnType<typeof createServer>, options: ExchangeOptions) {
    const { clockSkew = 0, compression = false, host = '127.0.0.1', log = true, rules, tls } = options;
    this.rules = { ...LENIENT, ...rules };
    this.now = () => Date.now() + clockSkew;
    this.#logs = log;
    this.#http = http;
    this.port = (http.address() as { port: number }).port;
    this.url = `${tls ? 'wss' : 'ws'}://${host}:${this.port}/`;
    this.tls = tls ? { ca: certificate().cert } : undefined;

    const server = new WebSocketServer({ noServer: true, perMessageDeflate: compression });
    http.on('connection', (socket: Socket) => {
      this.#tcp.add(socket);
      socket.on('close', () => this.#tcp.delete(socket));
      socket.on('error', () => {});
    });
    http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const refusal = this.rules.refuse?.(this.knocks.length);
      this.knocks.push({ at: performance.now(), status: refusal?.status ?? 101 });
      if (refusal !== undefined) {
        socket.end(answer(refusal));
        return;
      }
      server.handleUpgrade(request, socket, head, (webSocket) => {
        const session = new Session(
          this.history.length + 1,
          this,
          webSocket,
          this.#tcpBelow(socket as Socket),
          request.url!,
        );
        this.sessions.add(session);
        this.history.push(session);
      });
    });
  }

  // ------------------------------------------------------------------------------------------- the market

  /** The next message of each channel goes to all who are subscribed to it. */
  publish(...channels: string[]): void {
    for (const channel of channels) {
      const message = this.market.next(channel);
      if (this.#halted === true || this.#halted?.includes(channel)) continue;
      for (const session of this.sessions) {
        const times = session.subscriptions.get(channel) ?? 0;
        for (let i = 0; i < times; i++) session.publish(message);
      }
    }
  }

  /** A message of so many bytes more than others. */
  publishGiant(channel: string, bytes: number): void {
    const message = { ...this.market.next(channel), filler: 'x'.repeat(bytes) };
    for (const session of this.sessions) if (session.subscriptions.has(channel)) session.send(message);
  }

  /** Keeps publishing, so many of each channel every `ms`. */
  publishEvery(ms: number, channels: readonly string[], count = 1): void {
    const timer = setInterval(() => {
      for (let i = 0; i < count; i++) this.publish(...channels);
    }, ms);
    this.#timers.add(timer);
  }

  stopPublishing(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** Goes on answering, and sends no data, or none of some channels: the publisher behind it has stopped. */
  halt(...channels: string[]): void {
    this.#halted = channels.length === 0 ? true : channels;
  }

  /** Messages that exist and are sent to nobody: the exchange has lost them. */
  skip(channel: string, count = 1): void {
    for (let i = 0; i < count; i++) this.market.next(channel);
  }

  continue(): void {
    this.#halted = undefined;
  }

  // ------------------------------------------------------------------------------------------ its troubles

  resetAll(): void {
    for (const session of this.sessions) session.reset();
  }

  closeAll(code: number, reason?: string): void {
    for (const session of this.sessions) session.close(code, reason);
  }

  /** Closes all with 1012, and refuses everybody with 503 for `ms`. */
  maintenance(ms: number, refusal: Refusal = { status: 503 }): void {
    this.rules.refuse = () => refusal;
    this.closeAll(1012, 'maintenance');
    const timer = setTimeout(() => {
      this.rules.refuse = undefined;
    }, ms);
    this.#timers.add(timer);
  }

  /** Over TLS, the socket that carries it: of that alone can a RST be sent. */
  #tcpBelow(socket: Socket): Socket {
    return [...this.#tcp].find(({ remotePort }) => remotePort === socket.remotePort)!;
  }

  /** Ends all connections and stops. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    const closed = once(this.#http, 'close');
    this.#http.close();
    for (const socket of this.#tcp) socket.destroy();
    await closed;
  }

  // -------------------------------------------------------------------------------------------- what it saw

  /** What the open sessions are subscribed to, each as often as it is. */
  get subscriptions(): string[] {
    return [...this.sessions].flatMap(({ subscriptions }) =>
      [...subscriptions].flatMap(([channel, times]) => Array<string>(times).fill(channel)),
    );
  }

  /** Data messages that were sent, in their order. */
  sentTo(channel: string): number[] {
    const data = this.log.map(({ message }) => message as { channel?: string; seq?: number });
    return data.filter((message) => message.channel === channel).map(({ seq }) => seq!);
  }

  sent(session: Session, message: object): void {
    if (this.#logs) this.log.push({ at: performance.now(), session: session.id, message });
  }

  violation(session: Session, what: string): void {
    this.violations.push(`session ${session.id}: ${what}`);
  }

  ended(session: Session): void {
    this.sessions.delete(session);
  }
}

export async function startExchange(options: ExchangeOptions = {}): Promise<Exchange> {
  const http = options.tls ? createTlsServer(certificate()) : createServer();
  http.on('clientError', (_: Error, socket: Duplex) => socket.destroy());
  http.listen(options.port ?? 0, options.host ?? '127.0.0.1');
  await once(http, 'listening');
  return new Exchange(http as ReturnType<typeof createServer>, options);
}

function answer({ status, headers = {}, body = '' }: Refusal): string {
  const fields = Object.entries({ ...headers, 'Content-Length': String(Buffer.byteLength(body)) });
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `HTTP/1.1 ${status} Refused\r\nConnection: close\r\n${lines}\r\n${body}`;
}
