/** The exchange in a process of its own: its event loop goes on while ours stands still, and it can live in another network. */

import { delayingProxy } from './delaying-proxy.js';
import { type Exchange, type ExchangeOptions, startExchange } from './exchange.js';
import type { DataMessage } from './market.js';
import type { Rules } from './rules.js';

/** What may be asked of it, by message. */
export interface ExchangeCalls {
  /** `delay`: ms that every byte takes, in each direction. */
  start(options: ExchangeOptions & { delay?: number }): { url: string };
  publishEvery(options: { ms: number; channels: string[]; count?: number }): void;
  publishGiant(options: { channel: string; bytes: number }): void;
  /** Ends what `publishEvery` began. */
  stopPublishing(none: undefined): void;
  rules(rules: Partial<Rules>): void;
  resetAll(none: undefined): void;
  /** FIN to all, without a Close frame. */
  endAll(none: undefined): void;
  closeAll(code: number): void;
  /** The next so many opening handshakes are refused. */
  refuse(options: { status: number; count: number }): void;
  halt(channels: string[]): void;
  continue(none: undefined): void;
  skip(options: { channel: string; count: number }): void;
  publish(channels: string[]): void;
  /** The last id of a channel. */
  sequence(channel: string): number;
  /** The order book of this moment, as by REST. */
  snapshot(channel: string): DataMessage;
  report(none: undefined): ExchangeReport;
  sentTo(channel: string): number[];
}

export interface ExchangeReport {
  sessions: number;
  connections: number;
  subscriptions: string[];
  violations: string[];
}

export interface Call {
  id: number;
  name: keyof ExchangeCalls;
  argument: never;
}

if (process.send !== undefined) {
  let exchange: Exchange;
  const calls: { [Name in keyof ExchangeCalls]: (argument: Parameters<ExchangeCalls[Name]>[0]) => unknown } =
    {
      async start({ delay, ...options }) {
        exchange = await startExchange(options);
        if (delay === undefined) return { url: exchange.url };
        return { url: `ws://127.0.0.1:${await delayingProxy(exchange.port, delay)}/` };
      },
      publishEvery: ({ ms, channels, count }) => exchange.publishEvery(ms, channels, count),
      publishGiant: ({ channel, bytes }) => exchange.publishGiant(channel, bytes),
      stopPublishing: () => exchange.stopPublishing(),
      rules: (rules) => void Object.assign(exchange.rules, rules),
      resetAll: () => exchange.resetAll(),
      endAll: () => {
        for (const session of exchange.sessions) session.end();
      },
      closeAll: (code) => exchange.closeAll(code),
      refuse({ status, count }) {
        const until = exchange.knocks.length + count;
        exchange.rules.refuse = (knock) => (knock < until ? { status } : undefined);
      },
      halt: (channels) => exchange.halt(...channels),
      continue: () => exchange.continue(),
      skip: ({ channel, count }) => exchange.skip(channel, count),
      publish: (channels) => exchange.publish(...channels),
      sequence: (channel) => exchange.market.sequence(channel),
      snapshot: (channel) => exchange.market.snapshot(channel)!,
      report: () => ({
        sessions: exchange.sessions.size,
        connections: exchange.history.length,
        subscriptions: exchange.subscriptions,
        violations: exchange.violations,
      }),
      sentTo: (channel) => exchange.sentTo(channel),
    };
  process.on('message', async ({ id, name, argument }: Call) => {
    const result = await calls[name](argument);
    process.send?.({ id, result });
  });
  // Nobody is left to ask for anything.
  process.on('disconnect', () => process.exit());
}
