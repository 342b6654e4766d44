/**
 * Recovery interrupted at random points, many times: after that, the exchange has what is wanted, each once, and has
 * been sent nothing before a login. The seed is printed, and given again it makes the same choices; what the network
 * and the event loop do in between is theirs.
 */
import assert from 'node:assert/strict';
import { PersistentConnection, type PersistentState } from '../../src/index.js';
import { login, speaking } from '../exchange/client.js';
import { type Exchange, startExchange } from '../exchange/exchange.js';
import { turns } from '../server/scripted-server.js';
import { observe, until } from './feed.js';

const CHANNELS = Array.from({ length: 12 }, (_, i) => (i % 3 === 0 ? `book.${i}` : `trades.${i}`));

export interface Interrupted {
  interruptions: number;
  /** How many struck in each state. */
  states: Record<string, number>;
  sessions: number;
}

/** A small generator (mulberry32), so that a seed says everything. */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export async function interrupt(count: number, seed: number): Promise<Interrupted> {
  const random = randomFrom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const oneOf = <T>(choices: readonly T[]): T => choices[below(choices.length)];
  const exchange = await startExchange({ log: false, rules: { login: true } });
  const feed = new PersistentConnection(exchange.url, {
    ...speaking,
    subscriptions: { ...speaking.subscriptions!, batchSize: 3, timeout: 25 },
    authenticate: login(),
    authenticationTimeout: 100,
    connectionBudget: false,
    // Whoever waits long is seldom interrupted at anything else.
    retry: (_, decision) => ({ ...decision, delay: random() * 3, holdOff: 0 }),
    random,
  });
  const { in: comesTo } = observe(feed);
  const wishes: ReturnType<PersistentConnection['subscribe']>[] = [];
  const states: Record<string, number> = {};

  const changeMind = (): void => {
    if (random() < 0.55) wishes.push(feed.subscribe(oneOf(CHANNELS)));
    else wishes.splice(below(wishes.length || 1), 1)[0]?.unsubscribe();
  };
  const blows: (() => void)[] = [
    () => exchange.resetAll(),
    () => {
      for (const session of exchange.sessions) session.end();
    },
    () => exchange.closeAll(oneOf([1000, 1001, 1008, 1012, 1013, 4000])),
    () => feed.reconnect(),
    () => {
      exchange.rules.refuseLogins = 1;
      exchange.resetAll();
    },
    () => {
      exchange.rules.loseAcks = 1 + below(3);
    },
    () => {
      const until = exchange.knocks.length + 1 + below(2);
      exchange.rules.refuse = (knock) =>
        knock < until ? { status: oneOf([401, 429, 500, 503]) } : undefined;
      exchange.resetAll();
    },
  ];

  try {
    for (let i = 0; i < 6; i++) changeMind();
    for (let i = 1; i <= count; i++) {
      await atRandomPoint(below, comesTo, oneOf);
      exchange.rules.loginDelay = below(3);
      exchange.rules.ackDelay = below(3);
      for (let n = below(3); n > 0; n--) changeMind();
      states[feed.state] = (states[feed.state] ?? 0) + 1;
      oneOf(blows)();
      if (i % 100 === 0 || i === count)
        await settled(feed, exchange, `after ${i} interruptions, seed ${seed}`);
      // The exchange's memory of the dead is not what is tested.
      if (exchange.history.length > 1_000) exchange.history.splice(0, 900);
    }
  } finally {
    await feed.close();
    await exchange.stop();
  }
  return { interruptions: count, states, sessions: feed.epoch };
}

/** Some turns of the event loop after some state begins. */
async function atRandomPoint(
  below: (limit: number) => number,
  comesTo: (state: PersistentState) => Promise<void>,
  oneOf: <T>(choices: readonly T[]) => T,
): Promise<void> {
  // A state that does not come is not waited for: the last blow may have hit nothing.
  const gaveUp = new AbortController();
  const patience = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, 30);
    gaveUp.signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
  const state = oneOf(['connecting', 'authenticating', 'subscribing', 'ready', 'backing-off'] as const);
  await Promise.race([comesTo(state), patience]);
  gaveUp.abort();
  await turns(below(6));
}

async function settled(feed: PersistentConnection, exchange: Exchange, when: string): Promise<void> {
  const wanted = (): string[] => [...feed.desired].sort();
  await until(
    `recovered ${when}`,
    () => feed.state === 'ready' && feed.stats().subscribed === feed.desired.length,
  );
  // Sessions that were left are closed by then, and what is given back is gone.
  await until(
    `in line ${when}: ${exchange.subscriptions.sort()} for ${wanted()}`,
    () => exchange.sessions.size === 1 && String(exchange.subscriptions.sort()) === String(wanted()),
  );
  assert.deepEqual(exchange.violations, [], when);
}
