/**
 * Many connections in a process of their own, whose event loop can be made to stand still, and which tells how each
 * connection fared. What the tests judge is observed here from outside: by callbacks, and by a ticker that measures how
 * long this process wanted to run and did not get to.
 */
import { connect as connectTcp } from 'node:net';
import { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { HeartbeatOptions } from '../../src/heartbeat/settings.js';
import { type Connection, type ConnectOptions, connect, HeartbeatTimeoutError } from '../../src/index.js';
import { serve } from './heartbeat-remote.js';
import type { Doors } from './heartbeat-server.js';

/** Where the event loop is made to stand still. */
export type Where = 'message' | 'immediate' | 'timer' | 'tick' | 'pong in the kernel';

export interface Opening {
  doors: Doors;
  count: number;
  /** In turn. */
  paths: string[];
  modes: HeartbeatOptions['mode'][];
  heartbeat: HeartbeatOptions;
  /** Half of them behind the relay. */
  delayed?: boolean;
  /** Over a stream whose socket the connection does not see. */
  foreign?: boolean;
}

/** How one connection fared. Times are ms since 1970. */
export interface Fate {
  /** Such as `wss /feed idle`. */
  kind: string;
  isOpen: boolean;
  messages: number;
  pings: number;
  roundTrips: number;
  pausedFor: number;
  lastByteAt: number;
  closedAt: number;
  closeCode: number;
  error?: { code: string; message: string; silence?: string; stalledFor?: number; lag?: number };
}

export type NearEnd = typeof methods;

const EPOCH = performance.timeOrigin;
const now = (): number => EPOCH + performance.now();

class Link {
  readonly connection: Connection;
  readonly kind: string;
  messages = 0;
  lastByteAt = 0;
  ended: { at: number; code: number; error: Fate['error'] } | undefined;

  constructor(connection: Connection, kind: string, onMessage: () => void) {
    this.connection = connection;
    this.kind = kind;
    const seen = (): void => {
      this.lastByteAt = now();
    };
    seen();
    connection.onPing = seen;
    connection.onPong = seen;
    connection.onMessage = () => {
      seen();
      this.messages++;
      onMessage();
    };
    connection.onClose = ({ code, error }) => {
      this.ended = { at: now(), code, error: error && told(error) };
    };
  }

  get fate(): Fate {
    const { heartbeatsSent, rtt, pausedFor } = this.connection.stats();
    return {
      kind: this.kind,
      isOpen: this.connection.readyState === 1,
      messages: this.messages,
      pings: heartbeatsSent,
      roundTrips: rtt?.count ?? 0,
      pausedFor,
      lastByteAt: this.lastByteAt,
      closedAt: this.ended?.at ?? 0,
      closeCode: this.ended?.code ?? 0,
      error: this.ended?.error,
    };
  }
}

function told(error: Error & { code?: string }): Fate['error'] {
  const code = error.code ?? error.name;
  if (!(error instanceof HeartbeatTimeoutError)) return { code, message: error.message };
  const { message, silence, stalledFor, eventLoopLag } = error;
  return { code, message, silence, stalledFor, lag: eventLoopLag.last };
}

let links: Link[] = [];
let sending: NodeJS.Timeout | undefined;
/** What the next message's callback does. */
let inMessage: (() => void) | undefined;

const methods = {
  /** Resolves when all are open and have had an answer. */
  async open(opening: Opening): Promise<void> {
    await openAll(opening);
    await Promise.all(
      links.map(({ connection, kind }) =>
        kind.includes('/mute') ? undefined : connection.ping().catch(() => {}),
      ),
    );
  },

  /** The same, with a loop that stands still `after` ms after the first was begun. */
  async openStalled(opening: Opening, after: number, ms: number): Promise<void> {
    const opened = openAll(opening);
    await delay(after);
    standStill(ms);
    await opened;
  },

  /** Terminates all. */
  close(): void {
    methods.send(0);
    for (const { connection } of links) connection.terminate();
    links = [];
  },

  /** Each connection sends so many bytes every 20 ms; 0: no longer. */
  send(bytes: number): void {
    clearInterval(sending);
    if (bytes > 0) sending = setInterval(() => burst(bytes), TICK);
  },

  /** Each connection sends `bytes` at once. */
  burst,

  pause(): void {
    for (const { connection } of links) connection.pause();
  },

  /** Nobody takes messages any more: what arrives is kept up to a limit, then reading pauses. */
  leave(): void {
    for (const { connection } of links) connection.onMessage = undefined;
  },

  /** Reads on; resolves with the time. */
  resume(): number {
    for (const link of links) {
      link.connection.onMessage ??= () => {
        link.messages++;
        link.lastByteAt = now();
      };
      link.connection.resume();
    }
    return now();
  },

  /** Resolves when the event loop runs again, with how many pings were under way when it stopped. */
  stall(where: Where, ms: number): Promise<number> {
    return new Promise((resolve) => {
      const stop = (): void => {
        const underWay = links.filter(isAwaited).length;
        standStill(ms);
        resolve(underWay);
      };
      if (where === 'message') inMessage = stop;
      else if (where === 'immediate') setImmediate(stop);
      else if (where === 'timer') setTimeout(stop, 1);
      else if (where === 'tick') process.nextTick(stop);
      else whenPinging(stop);
    });
  },

  fates(): Fate[] {
    return links.map((link) => link.fate);
  },

  /** When all have ended, or after `ms`. */
  async ended(ms: number): Promise<Fate[]> {
    const until = performance.now() + ms;
    while (links.some(({ ended }) => ended === undefined) && performance.now() < until) await delay(20);
    return methods.fates();
  },

  /** ms between two times in which this process was made to stand still, and in which it was kept from running. */
  kept(since: number[], until: number[]): { stalled: number; waited: number }[] {
    tick();
    return since.map((from, i) => {
      const between = ticks.filter(({ at, gap }) => at > from && at - gap < until[i]);
      const sum = (what: 'stalled' | 'waited'): number =>
        between.reduce((total, each) => total + Math.min(each[what], each.at - from), 0);
      return { stalled: sum('stalled'), waited: sum('waited') };
    });
  },

  residentBytes(): number {
    return process.memoryUsage().rss;
  },

  pingsReceived(): number {
    return links.reduce((sum, { connection }) => sum + connection.stats().pingsReceived, 0);
  },
};

async function openAll({ doors, count, paths, modes, heartbeat, delayed, foreign }: Opening): Promise<void> {
  links = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const tls = i % 2 === 1;
      // Every combination, as far as there are enough.
      const behindRelay = delayed === true && (i >> 1) % 2 === 1;
      const mode = modes[(i >> 2) % modes.length];
      const path = paths[(i >> 3) % paths.length];
      const port = doors[behindRelay ? 'delayed' : 'direct'][tls ? 'wss' : 'ws'];
      const scheme = tls ? 'wss' : 'ws';
      const options: ConnectOptions = { heartbeat: { ...heartbeat, mode } };
      if (tls) options.tls = { ca: doors.ca, servername: 'localhost' };
      if (foreign) options.createConnection = ({ host }) => hidden(port, host);
      const connection = await connect(`${scheme}://${doors.host}:${port}${path}`, options);
      const kind = `${scheme} ${path} ${mode}${behindRelay ? ' delayed' : ''}`;
      return new Link(connection, kind, () => {
        const now = inMessage;
        inMessage = undefined;
        now?.();
      });
    }),
  );
}

/** A stream that does not show its socket. */
function hidden(port: number, host: string): Duplex {
  const socket = connectTcp({ port, host, noDelay: true });
  return Duplex.from({ readable: socket, writable: socket } as unknown as Parameters<typeof Duplex.from>[0]);
}

function burst(bytes: number): void {
  const message = Buffer.alloc(bytes, 'x');
  for (const { connection } of links) {
    if (connection.readyState === 1 && connection.bufferedAmount < 1_000_000) connection.send(message);
  }
}

/** A Pong is under way: `open` has had one itself. */
function isAwaited({ connection }: Link): boolean {
  const { heartbeatsSent, pongsReceived } = connection.stats();
  return heartbeatsSent + 1 > pongsReceived;
}

/** Calls back when most of those who ever wait for a Pong are waiting for one. */
function whenPinging(callback: () => void): void {
  const delayed = links.filter(({ kind }) => kind.endsWith('always delayed'));
  const wanted = delayed.length / 2;
  const until = performance.now() + 1_000;
  const look = (): void => {
    if (delayed.filter(isAwaited).length >= wanted || performance.now() > until) callback();
    else setTimeout(look, 1);
  };
  look();
}

// -------------------------------------------------------------------------------------------- this process's time

const TICK = 20;
const ticks: { at: number; gap: number; stalled: number; waited: number }[] = [];
let tickedAt = now();
let busyBefore = cpu();

function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * Later than due, and not because of anything this process did: the machine kept it from running. What a heartbeat does
 * that takes long is no excuse for it, and costs CPU.
 */
function tick(stalled = 0): void {
  const [at, busy] = [now(), cpu()];
  const gap = at - tickedAt;
  const waited = stalled > 0 ? 0 : Math.max(0, gap - TICK - (busy - busyBefore));
  if (waited > 1 || stalled > 0) ticks.push({ at, gap, stalled, waited });
  [tickedAt, busyBefore] = [at, busy];
}
setInterval(() => tick(), TICK);

const never = new Int32Array(new SharedArrayBuffer(4));

/** Without wearing out the machine. */
function standStill(ms: number): void {
  tick();
  const begin = performance.now();
  Atomics.wait(never, 0, 0, ms);
  tick(performance.now() - begin);
}

serve(methods);
