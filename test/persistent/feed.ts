/** A persistent connection to a simulated exchange, observed, that ends with its test. */
import type { TestContext } from 'node:test';
import {
  type Failure,
  PersistentConnection,
  type PersistentOptions,
  type PersistentState,
  type RetryDecision,
  type Transition,
} from '../../src/index.js';
import { speaking } from '../exchange/client.js';
import { type Exchange, type ExchangeOptions, startExchange } from '../exchange/exchange.js';

export interface Observed {
  feed: PersistentConnection;
  transitions: Transition[];
  failures: { failure: Failure; decision: RetryDecision; at: number }[];
  /** Resolves when it is in this state, at once if it is. */
  in(state: PersistentState): Promise<void>;
  /** Resolves when it is ready on another connection than that of `epoch`. */
  readyAfter(epoch: number): Promise<void>;
}

export async function exchangeFor(t: TestContext, options?: ExchangeOptions): Promise<Exchange> {
  const exchange = await startExchange(options);
  t.after(() => exchange.stop());
  return exchange;
}

/** Retries come soon: a second is a millisecond. */
export function impatient(_: Failure, decision: RetryDecision): RetryDecision {
  return { ...decision, delay: decision.delay / 1_000, holdOff: decision.holdOff / 1_000 };
}

export function observe(feed: PersistentConnection): Observed {
  const transitions: Transition[] = [];
  const failures: Observed['failures'] = [];
  feed.on('state', (transition) => transitions.push(transition));
  feed.on('failure', (event) => failures.push({ ...event, at: performance.now() }));
  const reaches = (is: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!is()) return;
        feed.off('state', look);
        resolve();
      };
      feed.on('state', look);
      look();
    });
  return {
    feed,
    transitions,
    failures,
    in: (state) => reaches(() => feed.state === state),
    readyAfter: (epoch) => reaches(() => feed.epoch > epoch && feed.state === 'ready'),
  };
}

export function feedTo(
  t: TestContext,
  { url, tls }: Pick<Exchange, 'url' | 'tls'>,
  options: PersistentOptions = {},
): Observed {
  const connect = typeof options.connect === 'function' ? options.connect : { tls, ...options.connect };
  const feed = new PersistentConnection(url, { ...speaking, retry: impatient, ...options, connect });
  t.after(() => feed.close());
  return observe(feed);
}

/** As the states went by: `connecting authenticating …`. */
export function way(transitions: readonly Transition[]): string {
  return transitions.map(({ to }) => to).join(' ');
}

/** Polls, because what is awaited happens on the exchange's side; generous, because machines are loaded. */
export async function until(what: string, is: () => boolean, ms = 20_000): Promise<void> {
  const end = performance.now() + ms;
  while (!is()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
