/**
 * Two connections to one exchange, hot-hot, of which one dies at random while the other is well, and which rotate at
 * random: what was published is delivered, each message once and in order, and no later than the connection that lives
 * brings it. The seed is printed; given again it makes the same choices.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { type Message, RedundantConnection, type RedundantStats } from '../../src/index.js';
import { login, speaking } from '../exchange/client.js';
import { startExchange } from '../exchange/exchange.js';
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
