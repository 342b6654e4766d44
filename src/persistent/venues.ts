/**
 * Limits of trading venues that matter to who comes back by himself, as data. Every figure says where it is from,
 * when it was read, and whether that was the venue's own documentation; where sources disagree the stricter figure
 * stands. Heartbeats are in `src/heartbeat/`.
 */

import type { MessageRate } from './persistent-options.js';
import type { Rate } from './token-bucket.js';

/** A figure and its origin. */
export interface Fact<T> {
  readonly value: T;
  readonly source: string;
  /** When the source was read. */
  readonly date: string;
  /** False: from other programs or by report, not from the venue's documentation. */
  readonly verified: boolean;
}

/** How the messages of a stream are numbered. */
export interface SequenceFields {
  /** `contiguous`: each id is one more. `previous`: each names the one before. `range`: from one id to another. */
  readonly kind: 'contiguous' | 'previous' | 'range';
  /** The field with the id; of a range, its last. */
  readonly id: string;
  /** The field with the id before; of a range, with its first. */
  readonly from?: string;
  readonly per: 'channel' | 'connection';
  /** An id that says "begin anew" instead of telling of a gap. */
  readonly reset?: number;
  /** The way from the message to the object with these fields, by names. Default: the message itself. */
  readonly within?: readonly string[];
}

export interface Venue {
  readonly name: string;
  /** Attempts to connect, per address of ours. */
  readonly connections?: Fact<Rate>;
  /** Messages of ours on one connection. */
  readonly messages?: Fact<MessageRate>;
  /** ms that the venue shuts out who connects too often, where it says so by a status only. */
  readonly penalty?: Fact<number>;
  /** Connections at a time, per address of ours. */
  readonly maxConnections?: Fact<number>;
  /** Subscriptions of one connection. */
  readonly maxSubscriptions?: Fact<number>;
  /** ms until the first subscription must have been asked for. */
  readonly firstSubscription?: Fact<number>;
  /** ms until the venue ends every connection, and the notice it gives. */
  readonly lifetime?: Fact<{ readonly maxAge?: number; readonly notice?: number }>;
  readonly sequence?: Fact<SequenceFields>;
}

const DATE = '2026-11-20';

/** The venue's documentation says so. */
function stated<T>(value: T, source: string): Fact<T> {
  return { value, source, date: DATE, verified: true };
}

/** Somebody else says so: to be checked before anything depends on it. */
function reported<T>(value: T, source: string): Fact<T> {
  return { value, source, date: DATE, verified: false };
}

const HOUR = 3_600_000;
const BINANCE_SPOT = 'binance/binance-spot-api-docs @a5e0bc3, web-socket-streams.md';
const BINANCE_FUTURES =
  'developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams';
const OKX = 'okx.com/docs-v5/en/#overview-websocket (stored copy)';
const BYBIT = 'bybit-exchange/docs @072c197';
const BITFINEX = 'quotation of docs.bitfinex.com/docs/ws-general';
const HYPERLIQUID = 'hyperliquid.gitbook.io, websocket/rate-limits';
const COINBASE = 'docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket';
const NAUTILUS = 'nautilus_trader @a95c804';

export const venues = {
  deribit: {
    name: 'deribit',
    messages: reported({ limit: 20, per: 3_000, burst: 10 }, `${NAUTILUS}: 3.3 a second, 10 at once`),
    maxConnections: stated(32, 'docs.deribit.com/articles/connection-management-best-practices'),
    sequence: stated(
      {
        kind: 'previous',
        id: 'change_id',
        from: 'prev_change_id',
        per: 'channel',
        within: ['params', 'data'],
      },
      'docs.deribit.com, book.{instrument_name}',
    ),
  },
  binanceSpot: {
    name: 'binanceSpot',
    connections: stated({ limit: 300, per: 300_000 }, BINANCE_SPOT),
    messages: stated({ limit: 5, per: 1_000, countsPings: true, countsPongs: true }, BINANCE_SPOT),
    maxSubscriptions: stated(1_024, BINANCE_SPOT),
    lifetime: stated({ maxAge: 24 * HOUR }, BINANCE_SPOT),
    sequence: stated({ kind: 'range', id: 'u', from: 'U', per: 'channel' }, BINANCE_SPOT),
  },
  binanceUsdm: {
    name: 'binanceUsdm',
    messages: stated({ limit: 10, per: 1_000 }, BINANCE_FUTURES),
    maxSubscriptions: stated(1_024, BINANCE_FUTURES),
    lifetime: stated({ maxAge: 24 * HOUR }, BINANCE_FUTURES),
    sequence: reported({ kind: 'previous', id: 'u', from: 'pu', per: 'channel' }, 'from memory'),
  },
  okx: {
    name: 'okx',
    connections: stated({ limit: 3, per: 1_000 }, OKX),
    messages: stated({ limit: 480, per: HOUR, burst: 100 }, `${OKX}: subscribe, unsubscribe and login`),
    lifetime: stated({ notice: 60_000 }, `${OKX}: notice 64008; older copies say 30 s`),
    sequence: stated(
      { kind: 'previous', id: 'seqId', from: 'prevSeqId', per: 'channel', within: ['data', '0'] },
      OKX,
    ),
  },
  bybit: {
    name: 'bybit',
    connections: stated({ limit: 500, per: 300_000 }, `${BYBIT}, ws/connect`),
    maxConnections: reported(1_000, `${BYBIT}: per market-data category`),
    sequence: stated(
      { kind: 'contiguous', id: 'u', per: 'channel', reset: 1, within: ['data'] },
      `${BYBIT}, websocket/public/orderbook`,
    ),
  },
  kraken: {
    name: 'kraken',
    connections: reported({ limit: 150, per: 600_000, burst: 15 }, 'probe of Cloudflare by a third party'),
    penalty: reported(600_000, 'probe of Cloudflare by a third party'),
  },
  coinbase: {
    name: 'coinbase',
    connections: stated({ limit: 8, per: 1_000 }, `${COINBASE}/websocket-rate-limits (older copies: 750)`),
    messages: stated({ limit: 8, per: 1_000 }, `${COINBASE}/websocket-rate-limits`),
    firstSubscription: stated(5_000, `${COINBASE}/websocket-overview`),
    sequence: stated(
      { kind: 'contiguous', id: 'sequence_num', per: 'connection' },
      `${COINBASE}/websocket-channels`,
    ),
  },
  bitfinex: {
    name: 'bitfinex',
    connections: reported({ limit: 20, per: 60_000, burst: 5 }, BITFINEX),
    penalty: reported(60_000, BITFINEX),
    maxSubscriptions: stated(25, 'docs.bitfinex.com/docs/ws-public'),
  },
  bitmex: {
    name: 'bitmex',
    connections: stated(
      { limit: 20, per: HOUR, burst: 10 },
      'blog.bitmex.com/site_announcement/rate-limiting-websocket-connections (2017)',
    ),
  },
  hyperliquid: {
    name: 'hyperliquid',
    connections: stated({ limit: 30, per: 60_000 }, HYPERLIQUID),
    messages: stated({ limit: 2_000, per: 60_000 }, HYPERLIQUID),
    maxConnections: stated(10, `${HYPERLIQUID} (older copies: 100)`),
    maxSubscriptions: stated(1_000, HYPERLIQUID),
  },
  dydx: {
    name: 'dydx',
    messages: reported({ limit: 2, per: 1_000 }, `${NAUTILUS}: per channel and id`),
    maxSubscriptions: reported(32, `${NAUTILUS}: per channel`),
    sequence: stated(
      { kind: 'contiguous', id: 'message_id', per: 'connection' },
      'docs.dydx.xyz/interaction/data/feeds',
    ),
  },
} satisfies Record<string, Venue>;
