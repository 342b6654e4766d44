/** One client's connection, seen from the exchange: what it may do, what it is subscribed to, what it did wrong. */
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Exchange } from './exchange.js';
import { isSigned } from './signature.js';

export interface Request {
  op: 'login' | 'subscribe' | 'unsubscribe' | 'order' | 'ping';
  id: number | string;
  channels?: string[];
  key?: string;
  time?: number;
  signature?: string;
}

export class Session {
  readonly id: number;
  /** Path and query that the client asked for. */
  readonly url: string;
  readonly openedAt = performance.now();
  /** How often each channel is subscribed to: more than once is a client's mistake, and it gets everything twice. */
  readonly subscriptions = new Map<string, number>();
  /** Everything the client has sent, in its order. */
  readonly requests: Request[] = [];
  readonly orders: (string | number)[] = [];
  authenticated = false;
  readonly #exchange: Exchange;
  readonly #socket: WebSocket;
  readonly #tcp: Socket;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #lag: number;
  #inSecond: number[] = [];
  #idle: NodeJS.Timeout | undefined;
  #pong: NodeJS.Timeout | undefined;

  /** `lag` in the query of `url` is this session's own `rules.lag`. */
  constructor(id: number, exchange: Exchange, socket: WebSocket, tcp: Socket, url: string) {
    this.id = id;
    this.url = url;
    this.#exchange = exchange;
    this.#socket = socket;
    this.#tcp = tcp;
    const lag = new URL(url, exchange.url).searchParams.get('lag');
    this.#lag = Number(lag ?? exchange.rules.lag);
    socket.on('error', () => {});
    socket.on('message', (data) => this.#received(JSON.parse(String(data)) as Request));
    socket.on('ping', () => this.#counted());
    socket.on('pong', () => {
      clearTimeout(this.#pong);
      this.#pong = undefined;
      this.#counted();
    });
    socket.on('close', () => this.#end());
    this.#follow(exchange);
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** Sends a message, and logs it. */
  send(message: object): void {
    if (!this.isOpen) return;
    this.#exchange.sent(this, message);
    this.#socket.send(JSON.stringify(message));
  }

  /** Sends a message of the market, `rules.lag` later. */
  publish(message: object): void {
    if (this.#lag === 0) this.send(message);
    else this.#after(this.#lag, () => this.send(message));
  }

  close(code: number, reason = ''): void {
    this.#socket.close(code, reason);
  }

  /** Reads nothing any more, not even a Close frame, and goes on sending. */
  deafen(): void {
    this.#tcp.pause();
  }

  /** RST. */
  reset(): void {
    // While a FIN is on its way to the kernel, libuv refuses to reset, and Node then forgets to close.
    if (this.#tcp.writableEnded && !this.#tcp.writableFinished) this.#tcp.destroy();
    else this.#tcp.resetAndDestroy();
  }

  /** FIN, without a Close frame. */
  end(): void {
    this.#tcp.end();
  }

  // ----------------------------------------------------------------------------------------- what time does

  #follow({ rules }: Exchange): void {
    const { closeAfterOpen, heartbeatInterval, lifetime, notice, pingInterval } = rules;
    if (closeAfterOpen) this.#after(closeAfterOpen.after, () => this.close(closeAfterOpen.code));
    if (heartbeatInterval) this.#every(heartbeatInterval, () => this.send({ event: 'heartbeat' }));
    if (pingInterval) this.#every(pingInterval, () => this.#ping());
    if (lifetime) {
      this.#after(lifetime - notice, () => this.send({ event: 'notice', code: 64008, in: notice }));
      this.#after(lifetime, () => this.close(1001, 'lifetime'));
    }
    this.#busy();
  }

  #ping(): void {
    this.#socket.ping();
    this.#pong ??= setTimeout(() => {
      this.#exchange.violation(this, 'no Pong in time');
      this.reset();
    }, this.#exchange.rules.pongTimeout);
  }

  #busy(): void {
    const { idleTimeout } = this.#exchange.rules;
    clearTimeout(this.#idle);
    if (idleTimeout) this.#idle = setTimeout(() => this.reset(), idleTimeout);
  }

  #after(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  #every(ms: number, act: () => void): void {
    this.#timers.add(setInterval(act, ms));
  }

  #end(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    clearTimeout(this.#idle);
    clearTimeout(this.#pong);
    this.#exchange.ended(this);
  }

  // ---------------------------------------------------------------------------------------- what clients do

  #counted(): void {
    const now = performance.now();
    this.#inSecond = this.#inSecond.filter((at) => at > now - 1_000);
    this.#inSecond.push(now);
    if (this.#inSecond.length <= this.#exchange.rules.maxMessagesPerSecond) return;
    this.#exchange.violation(this, `${this.#inSecond.length} messages in a second`);
    this.close(1008, 'message rate');
  }

  #received(request: Request): void {
    this.requests.push(request);
    this.#counted();
    this.#busy();
    const { rules } = this.#exchange;
    if (rules.login && !this.authenticated && request.op !== 'login') {
      this.#exchange.violation(this, `${request.op} before login`);
      this.#refuse(request, 'not logged in');
      return;
    }
    switch (request.op) {
      case 'login':
        this.#after(rules.loginDelay, () => this.#login(request));
        break;
      case 'subscribe':
        this.#subscribe(request);
        break;
      case 'unsubscribe':
        for (const channel of request.channels ?? []) this.subscriptions.delete(channel);
        this.#acknowledge({ event: 'unsubscribed', id: request.id, channels: request.channels });
        break;
      case 'order':
        this.orders.push(request.id);
        if (!rules.silentOrders) this.#acknowledge({ event: 'order', id: request.id, status: 'accepted' });
        break;
      case 'ping':
        this.send({ event: 'pong', id: request.id });
    }
  }

  #login(request: Request): void {
    const { rules, now } = this.#exchange;
    const { id, key, time, signature } = request;
    if (rules.refuseLogins > 0) {
      rules.refuseLogins--;
      this.#refuse(request, 'login refused');
    } else if (!isSigned(key, time, signature)) {
      this.#refuse(request, 'wrong signature');
    } else if (Math.abs(now() - time!) > rules.loginWindow) {
      this.send({ event: 'error', id, error: 'signature expired', time: now() });
    } else if (this.#exchange.usedSignatures.has(signature!)) {
      this.#exchange.violation(this, 'a signature was used twice');
      this.#refuse(request, 'signature used');
    } else {
      this.#exchange.usedSignatures.add(signature!);
      this.authenticated = true;
      this.send({ event: 'login', id });
    }
  }

  #subscribe(request: Request): void {
    const { rules, market } = this.#exchange;
    const channels = request.channels ?? [];
    const refused = channels.filter((channel) => rules.unknownChannels.includes(channel));
    const taken: string[] = [];
    for (const channel of channels) {
      if (refused.includes(channel)) continue;
      const times = this.subscriptions.get(channel) ?? 0;
      if (times > 0) this.#exchange.violation(this, `${channel} is subscribed to already`);
      if (this.subscriptions.size >= rules.maxSubscriptions) {
        refused.push(channel);
        continue;
      }
      this.subscriptions.set(channel, times + 1);
      taken.push(channel);
    }
    if (refused.length > 0) this.#refuse(request, 'no such channel, or too many', refused);
    if (taken.length > 0) this.#acknowledge({ event: 'subscribed', id: request.id, channels: taken });
    for (const channel of taken) {
      const snapshot = market.snapshot(channel);
      if (snapshot) this.send(snapshot);
      else for (const trade of market.recent(channel, rules.replay)) this.publish(trade);
    }
  }

  #refuse({ id }: Request, error: string, channels?: string[]): void {
    this.send({ event: 'error', id, error, channels });
  }

  #acknowledge(message: object): void {
    const { rules } = this.#exchange;
    if (rules.loseAcks > 0) {
      rules.loseAcks--;
      return;
    }
    if (rules.ackDelay === 0) this.send(message);
    else this.#after(rules.ackDelay, () => this.send(message));
  }
}
