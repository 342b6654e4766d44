/**
 * A row of troubles at random, with everything that may happen to data: connections that are lost in any way, a
 * publisher that stops, messages that the venue loses, loops that are slow, our own event loop that stands still, and,
 * where there is a network for it, black holes. In between it is looked at what came of it: what was delivered and what
 * was reported is what there was, in order and once, and the order book is the venue's. The seed is printed, and given
 * again it makes the same choices; what the network and the event loop do in between is theirs.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type MessageIterator, PersistentConnection } from '../../src/index.js';
import { speaking } from '../exchange/client.js';
import type { DataMessage } from '../exchange/market.js';
import type { RemoteExchange } from '../exchange/remote-exchange.js';
import type { Network } from '../faults/network-namespace.js';
import { Book } from './book.js';
import { until } from './feed.js';
import { randomFrom } from './interruptions.js';
import { Ledger, numbered } from './ledger.js';

export interface Course {
  exchange: RemoteExchange;
  /** For black holes. */
  network?: Network;
  seed: number;
  seconds: number;
  /** s between two looks. Default 3. */
  every?: number;
}

export interface CourseReport {
  seconds: number;
  connections: number;
  messages: number;
  gaps: Record<string, number>;
  resyncs: number;
  stale: number;
  dropped: number;
  blows: Record<string, number>;
  looks: number;
  /** MiB of heap after a collection, at each look. */
  heap: number[];
}

const PASSED_ON = ['trades.A', 'trades.B', 'trades.C'];
const BOOK = 'book.R';
/** Loops: one may lose messages, the other holds up reading. */
const DROPPING = 'trades.dropping';
const PAUSING = 'trades.pausing';
const CHANNELS = [...PASSED_ON, BOOK, DROPPING, PAUSING];

export async function runCourse({
  exchange,
  network,
  seed,
  seconds,
  every = 3,
}: Course): Promise<CourseReport> {
  const random = randomFrom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const oneOf = <T>(choices: readonly T[]): T => choices[below(choices.length)];
  const report: CourseReport = {
    seconds,
    connections: 0,
    messages: 0,
    gaps: {},
    resyncs: 0,
    stale: 0,
    dropped: 0,
    blows: {},
    looks: 0,
    heap: [],
  };
  const { url } = await exchange.call('start', { log: false, ...(network && { host: network.server }) });
  await exchange.call('rules', { heartbeatInterval: 50 });

  const ledger = new Ledger();
  const book = new Book();
  const feed = new PersistentConnection(url, {
    ...speaking,
    subscriptions: { ...speaking.subscriptions!, timeout: 300 },
    connect: { handshakeTimeout: 1_000, heartbeat: { mode: 'always', interval: 150, timeout: 250 } },
    connectionBudget: false,
    retry: (_, decision) => ({ ...decision, delay: random() * 30, holdOff: 0 }),
    random,
    continuity: (key) => ({
      sequence: key === BOOK ? { ...numbered, read: updates } : numbered,
      // What the market leaves quiet is not stale.
      ...(key !== DROPPING && { deadline: 600 }),
      ...(key === BOOK && {
        resync: {
          timeout: 500,
          async snapshot({ channel, signal }) {
            await delay(below(40));
            const snapshot = await exchange.call('snapshot', channel);
            if (!signal.aborted) book.take(snapshot);
            return snapshot.seq;
          },
        },
      }),
    }),
    onMessage(message) {
      const { channel, type } = message.json() as DataMessage;
      if (channel === DROPPING || channel === PAUSING || (channel === BOOK && type === 'snapshot')) return;
      ledger.took(message);
      report.messages++;
      if (channel === BOOK) book.take(message.json() as DataMessage);
    },
  });
  ledger.follow(feed);
  feed.on('gap', ({ reason }) => {
    report.gaps[reason] = (report.gaps[reason] ?? 0) + 1;
  });
  feed.on('resynced', () => void report.resyncs++);
  feed.on('stale', () => void report.stale++);
  for (const channel of [...PASSED_ON, BOOK]) feed.subscribe(channel);
  const dropping = feed.messages(DROPPING, { whenFull: 'drop-oldest', maxMessages: 30 });
  const pausing = feed.messages(PAUSING, { maxMessages: 30 });
  /** ms that each loop takes for a message, now and then. */
  const slowness = [0, 0];
  /** The last id that has been accounted for. */
  const lookedAt = new Map<string, number>();
  const loops = [dropping, pausing].map((loop, i) => runLoop(loop, ledger, report, () => slowness[i]));

  const later = async (ms: number, undo: () => unknown): Promise<void> => {
    await delay(ms);
    await undo();
  };
  const blows: Record<string, () => unknown> = {
    reset: () => exchange.call('resetAll', undefined),
    fin: () => exchange.call('endAll', undefined),
    close: () => exchange.call('closeAll', oneOf([1000, 1001, 1008, 1012, 1013, 4000])),
    reconnect: () => feed.reconnect(),
    refuse: async () => {
      await exchange.call('refuse', { status: oneOf([401, 429, 500, 503]), count: 1 + below(3) });
      await exchange.call('resetAll', undefined);
    },
    skip: () => exchange.call('skip', { channel: oneOf(CHANNELS), count: 1 + below(5) }),
    acknowledgements: () => exchange.call('rules', { loseAcks: 1 + below(2), ackDelay: below(20) }),
    halt: async () => {
      await exchange.call('halt', random() < 0.5 ? [] : [oneOf(CHANNELS), oneOf(CHANNELS)]);
      await later(50 + below(1_200), () => exchange.call('continue', undefined));
    },
    slow: async () => {
      const loop = below(loops.length);
      slowness[loop] = 1 + below(20);
      await later(100 + below(400), () => {
        slowness[loop] = 0;
      });
    },
    pause: async () => {
      feed.pause();
      await later(below(200), () => feed.resume());
    },
    stall: () => {
      const end = performance.now() + below(300);
      while (performance.now() < end);
    },
    ...(network && {
      'black hole': async () => {
        network.blackHole(oneOf(['both', 'server', 'client'] as const));
        await later(100 + below(1_500), () => network.heal());
      },
    }),
  };

  try {
    await feed.ready;
    const end = performance.now() + seconds * 1_000;
    while (performance.now() < end) {
      await exchange.call('publishEvery', { ms: 2, channels: CHANNELS, count: 2 });
      const nextLook = Math.min(end, performance.now() + every * 1_000);
      while (performance.now() < nextLook) {
        const name = oneOf(Object.keys(blows));
        report.blows[name] = (report.blows[name] ?? 0) + 1;
        await blows[name]();
        await delay(below(150));
      }
      await exchange.call('stopPublishing', undefined);
      await exchange.call('rules', { loseAcks: 0, ackDelay: 0 });
      await look(`look ${++report.looks}, seed ${seed}`);
    }
  } finally {
    report.connections = feed.epoch;
    await feed.close();
    await Promise.all(loops);
  }
  return report;

  async function look(about: string): Promise<void> {
    await until(
      `recovered, ${about}`,
      () => feed.state === 'ready' && feed.stats().subscribed === CHANNELS.length,
    );
    // One more of each closes what gaps are open, as soon as everybody is subscribed.
    await exchange.call('publish', CHANNELS);
    for (const channel of CHANNELS) {
      const last = await exchange.call('sequence', channel);
      const isThere = (): boolean =>
        (ledger.delivered(channel).at(-1) ?? 0) >= last ||
        ledger.resyncs.some((resynced) => resynced.channel === channel && resynced.snapshot! >= last);
      await until(`${channel} has come to ${last}, ${about}: ${JSON.stringify(feed.stats())}`, isThere);
      const first = lookedAt.get(channel) ?? (ledger.delivered(channel)[0] ?? last) - 1;
      const there = Array.from({ length: last - first }, (_, i) => first + 1 + i);
      ledger.check(channel, there, about);
      lookedAt.set(channel, last);
    }
    const venue = new Book();
    venue.take(await exchange.call('snapshot', BOOK));
    assert.deepEqual(book.levels, venue.levels, `the order book, ${about}`);
    assert.deepEqual((await exchange.call('report', undefined)).violations, [], about);
    report.dropped = feed.stats().consumers.reduce((sum, { dropped }) => sum + dropped, 0);
    for (const channel of CHANNELS) ledger.settle(channel);
    report.heap.push(heapInUse());
  }
}

/** The venue's snapshots in the stream are not what this book is made of. */
function updates(message: Parameters<typeof numbered.read>[0]): ReturnType<typeof numbered.read> {
  return (message.json() as DataMessage).type === 'update' ? numbered.read(message) : undefined;
}

async function runLoop(
  loop: MessageIterator,
  ledger: Ledger,
  report: CourseReport,
  slowness: () => number,
): Promise<void> {
  for await (const message of loop) {
    ledger.took(message as string);
    report.messages++;
    if (slowness() > 0) await delay(slowness());
  }
}

let collect: (() => void) | undefined;

/** MiB, after a collection. */
function heapInUse(): number {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
  return Math.round((process.memoryUsage().heapUsed / 1024 / 1024) * 10) / 10;
}
