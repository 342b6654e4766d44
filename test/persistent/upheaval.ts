/**
 * Two connections to one exchange, hot-hot, of which one dies at random while the other is well, and which rotate at
 * random: what was published is delivered, each message once and in order, and no later than the connection that lives
 * brings it. The seed is printed; given again it makes the same choices.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Message,
  PersistentConnection,
  RedundantConnection,
  type RedundantStats,
} from '../../src/index.js';
import { login, speaking } from '../exchange/client.js';
import { startExchange } from '../exchange/exchange.js';
import type { Session } from '../exchange/session.js';
import { turns } from '../server/scripted-server.js';
import { BY_KEY, BY_SEQUENCE, Ledger } from './continuity.js';
import { impatient, until } from './feed.js';
import { randomFrom } from './interruptions.js';

const CHANNELS = ['trades.A', 'trades.B', 'book.A', 'trades.quiet'];

export interface Upheaval {
  messages: number;
  deaths: number;
  rotations: number;
  stats: RedundantStats;
  /** Of the heap, bytes: after the first quarter, and at the end. */
  heap: [number, number];
}

export async function upheaval(seconds: number, seed: number): Promise<Upheaval> {
  const random = randomFrom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const exchange = await startExchange({ log: false, rules: { login: true, replay: 2 } });
  const ledger = new Ledger();
  // Behind the other by so many ms, over the whole run.
  const lags = [0, 5 + below(20)];
  const arrived = [new Map<string, number>(), new Map<string, number>()];
  const tooLate: string[] = [];
  /** Called for all that a leg brings, before it is known whether it is the first to. */
  const watch =
    (leg: number) =>
    (message: Message): boolean => {
      const { channel, seq } = message.json() as { channel?: string; seq?: number };
      if (channel === undefined || seq === undefined) return false;
      const before = arrived[leg].get(channel);
      // What the one that is not killed has brought has been delivered when it brings the next.
      if (leg === steady && before !== undefined && ledger.last(channel) < before)
        tooLate.push(`${channel}: ${before} is not delivered when ${seq} comes`);
      arrived[leg].set(channel, seq);
      return false;
    };
  let steady = 1;
  const feed = new RedundantConnection(
    lags.map((lag, leg) => `${exchange.url}?leg=${leg}&lag=${lag}`),
    {
      ...speaking,
      authenticate: login(),
      deduplication: seed % 2 === 0 ? BY_KEY : BY_SEQUENCE,
      connectionBudget: false,
      retry: impatient,
      random,
      leg: (leg) => ({ rotation: { notice: watch(leg), overlap: 100 } }),
      onMessage: ledger.onMessage,
    },
  );
  const heap: number[] = [];
  let deaths = 0;
  let rotations = 0;
  feed.on('rotation', ({ step }) => {
    if (step === 'done') rotations++;
  });
  const of = (leg: number) => [...exchange.sessions].filter(({ url }) => url.includes(`leg=${leg}&`));
  const isWell = (leg: number): boolean => feed.legs[leg].state === 'ready';
  try {
    for (const channel of CHANNELS) feed.subscribe(channel);
    await until('both ready', () => isWell(0) && isWell(1));
    exchange.publishEvery(2, CHANNELS.slice(0, 3), 2);
    exchange.publishEvery(300, CHANNELS.slice(3));
    const end = performance.now() + seconds * 1_000;
    const quarter = performance.now() + seconds * 250;
    while (performance.now() < end) {
      if (heap.length === 0 && performance.now() > quarter) heap.push(process.memoryUsage().heapUsed);
      // Whoever lives has come back long enough ago to have what the other one is behind by.
      await until('both well', () => isWell(0) && isWell(1));
      await delay(60 + below(300));
      if (!isWell(0) || !isWell(1)) continue;
      const victim = below(2);
      steady = 1 - victim;
      // The exchange's memory of the dead is not what is tested.
      if (exchange.history.length > 20) exchange.history.splice(0, 10);
      if (exchange.knocks.length > 20) exchange.knocks.splice(0, 10);
      arrived[steady].clear();
      if (random() < 0.3) {
        await feed.legs[victim].rotate().catch(() => {});
        continue;
      }
      deaths++;
      const { epoch } = feed.legs[victim];
      for (const session of of(victim)) {
        if (random() < 0.5) session.reset();
        else session.close([1000, 1001, 1012, 4000][below(4)]);
      }
      exchange.rules.refuseLogins = below(2);
      await until('dead', () => !isWell(victim) || feed.legs[victim].epoch > epoch);
    }
    const last = CHANNELS.map((channel) => exchange.market.sequence(channel));
    await until('all has come', () => CHANNELS.every((channel, i) => ledger.last(channel) >= last[i]));
    heap.push(process.memoryUsage().heapUsed);
    ledger.assertWhole(`lost, twice, or out of order; seed ${seed}`);
    assert.deepEqual(tooLate.slice(0, 5), [], `later than the other one brought it; seed ${seed}`);
    assert.deepEqual(exchange.violations, [], `seed ${seed}`);
    return { messages: ledger.count, deaths, rotations, stats: feed.stats(), heap: [heap[0], heap.at(-1)!] };
  } finally {
    await feed.close();
    await exchange.stop();
  }
}

/**
 * One connection that rotates without end, at random lags of old and new; the new one dies, or the old one while both
 * deliver and are equally far: nothing lost, nothing twice, everything in order, and nothing sent twice.
 */
export async function turnover(seconds: number, seed: number): Promise<{ steps: Record<string, number> }> {
  const random = randomFrom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const exchange = await startExchange({ log: false, rules: { login: true, replay: 2 } });
  const ledger = new Ledger();
  const unknown = new Set<string>();
  const feed = new PersistentConnection(exchange.url, {
    ...speaking,
    authenticate: login(),
    deduplication: seed % 2 === 0 ? BY_KEY : BY_SEQUENCE,
    connectionBudget: false,
    retry: impatient,
    random,
    rotation: { drain: 300 },
    onMessage: ledger.onMessage,
  });
  const steps: Record<string, number> = {};
  let blow: ((step: string) => void) | undefined;
  feed.on('rotation', ({ step }) => {
    steps[step] = (steps[step] ?? 0) + 1;
    blow?.(step);
  });
  feed.on('unknown-outcome', ({ key }) => unknown.add(key));
  const orders: string[] = [];
  const arrived: (string | number)[] = [];
  const busy = CHANNELS.slice(0, 3);
  const settled = (): Promise<void> =>
    until('one session', () => {
      const { begun = 0, done = 0, failed = 0 } = steps;
      return begun === done + failed && exchange.sessions.size === 1 && feed.state === 'ready';
    });
  /** Whoever comes after `old`, while it cannot have taken over yet. */
  const killBeforeSubscribed = async (old: Session): Promise<void> => {
    for (let i = 0; i < 100; i++) {
      const newest = exchange.history.at(-1)!;
      if (newest !== old) {
        if (newest.subscriptions.size === 0) newest.reset();
        return;
      }
      await turns(1);
    }
  };
  try {
    for (const channel of CHANNELS) feed.subscribe(channel);
    await feed.ready;
    exchange.publishEvery(2, busy, 2);
    const end = performance.now() + seconds * 1_000;
    while (performance.now() < end) {
      const isEven = random() < 0.5;
      exchange.rules.lag = isEven ? 0 : below(30);
      exchange.rules.loginDelay = below(5);
      exchange.rules.ackDelay = below(10);
      const fate = isEven ? below(5) : Number.NaN;
      const old = [...exchange.sessions][0];
      if (fate === 0) exchange.rules.refuseLogins = 1;
      blow = (step) => {
        // A reset takes with it what has not left, or been read: what was sent before the new one subscribed has been.
        if (fate === 1 && step === 'overlapping') void turns(10).then(() => old.reset());
        if ((fate === 2 || fate === 3) && step === 'begun') void killBeforeSubscribed(old);
      };
      const rotated = feed.rotate().catch(() => {});
      for (let i = below(4); i > 0; i--) {
        const id = `order ${orders.length}`;
        if (feed.state !== 'ready') break;
        feed.send(JSON.stringify({ op: 'order', id }), { key: id });
        orders.push(id);
        await delay(below(10));
      }
      await rotated;
      await settled();
      blow = undefined;
      await delay(below(40));
      // Whoever is behind is not made the old one that dies.
      if (exchange.rules.lag > 0) {
        exchange.rules.lag = 0;
        await feed.rotate();
        await settled();
      }
      while (exchange.history.length > 1 && !exchange.history[0].isOpen)
        arrived.push(...exchange.history.shift()!.orders);
    }
    const last = busy.map((channel) => exchange.market.sequence(channel));
    await until('all has come', () => busy.every((channel, i) => ledger.last(channel) >= last[i]));
    await until('all acknowledged', () => feed.unacknowledged.length === 0);
    ledger.assertWhole(`lost, twice, or out of order; seed ${seed}`);
    assert.deepEqual(exchange.violations, [], `seed ${seed}`);
    for (const session of exchange.history) arrived.push(...session.orders);
    assert.equal(new Set(arrived).size, arrived.length, `sent twice; seed ${seed}`);
    const missing = orders.filter((id) => !arrived.includes(id) && !unknown.has(id));
    assert.deepEqual(missing, [], `neither arrived nor reported; seed ${seed}`);
    return { steps };
  } finally {
    await feed.close();
    await exchange.stop();
  }
}
