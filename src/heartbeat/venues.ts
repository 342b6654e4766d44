/**
 * Heartbeats that exchanges document, as data: give `heartbeat: venueHeartbeats.okx.heartbeat` to `connect()`. They
 * change: each entry has its source, and the date it was looked at. What was not found in the venue's own
 * documentation is marked as unverified, and `note` says which part.
 */

import type { HeartbeatOptions } from './settings.js';

export interface VenueHeartbeat {
  readonly venue: string;
  readonly heartbeat: HeartbeatOptions;
  /** A message to be sent once, when the connection is open, without which the heartbeat below does not come. */
  readonly setup?: string;
  /** What the venue does and expects. */
  readonly rule: string;
  readonly source: string;
  /** When that was looked at. */
  readonly date: string;
  /** All of `rule` comes from the venue's own documentation. */
  readonly verified: boolean;
  readonly note?: string;
}

const DATE = '2026-11-20';

export const venueHeartbeats = {
  deribit: {
    venue: 'Deribit, API v2',
    heartbeat: {
      mode: 'listen',
      timeout: 35_000,
      application: {
        isRequest: { parts: ['"method":"heartbeat"', '"test_request"'], maxLength: 256 },
        reply: '{"jsonrpc":"2.0","id":0,"method":"public/test","params":{}}',
      },
    },
    setup: '{"jsonrpc":"2.0","id":0,"method":"public/set_heartbeat","params":{"interval":30}}',
    rule:
      'Asked for by public/set_heartbeat (10 s or more), the server sends a heartbeat, and test_request; who does ' +
      'not answer that with public/test is closed at once. Without it: closed after 10 min of inactivity',
    source: 'docs.deribit.com: public-set_heartbeat, private-enable_cancel_on_disconnect',
    date: DATE,
    verified: true,
    note: 'set_heartbeat again for another interval, and then a timeout above it',
  },
  binance: {
    venue: 'Binance, spot streams',
    heartbeat: { mode: 'listen', timeout: 60_000 },
    rule:
      'The server sends a Ping frame every 20 s and wants its Pong, with the payload, within 60 s; unsolicited ' +
      'Pongs do not count. At most 5 messages a second from the client, Pings and Pongs included; closed after 24 h',
    source: 'binance/binance-spot-api-docs @a5e0bc3: web-socket-streams.md',
    date: DATE,
    verified: true,
    note: 'Pongs are sent by themselves. Pings of ours would count against the limit',
  },
  binanceFutures: {
    venue: 'Binance, USDⓈ-M futures streams',
    heartbeat: { mode: 'idle', interval: 30_000, timeout: 10_000 },
    rule: 'The server sends a Ping frame every 3 min and wants its Pong within 10 min. Closed after 24 h; 10 messages a second',
    source: 'developers.binance.com: derivatives, usds-margined-futures, websocket-market-streams',
    date: DATE,
    verified: true,
    note: 'Three minutes are long: our own Pings find out sooner',
  },
  okx: {
    venue: 'OKX, v5',
    heartbeat: {
      mode: 'idle',
      interval: 20_000,
      timeout: 5_000,
      application: { request: 'ping', isReply: { text: 'pong' } },
    },
    rule: 'Closed when nothing was subscribed or pushed for 30 s: the text "ping" before, after the last message; "pong" answers',
    source: 'okx.com/docs-v5/en/#overview-websocket (a stored copy)',
    date: DATE,
    verified: true,
  },
  bybit: {
    venue: 'Bybit, v5',
    heartbeat: {
      mode: 'always',
      interval: 20_000,
      timeout: 5_000,
      application: { request: '{"op":"ping"}', isReply: { parts: ['pong'], maxLength: 256 } },
    },
    rule: 'The client sends {"op":"ping"}, every 20 s as recommended; closed after 10 min with no ping and no data',
    source: 'bybit-exchange.github.io/docs/v5/ws/connect; the 20 s as quoted by third parties',
    date: DATE,
    verified: false,
    note: 'Unverified: the 20 s, and the form of the reply, of which only the word is looked for',
  },
  kraken: {
    venue: 'Kraken, v2',
    heartbeat: {
      mode: 'idle',
      interval: 5_000,
      timeout: 5_000,
      application: { request: '{"method":"ping"}', isReply: { parts: ['"pong"'], maxLength: 256 } },
    },
    rule:
      'A heartbeat message about once a second, only when nothing else flows and something is subscribed; a client ' +
      'may send {"method":"ping"}. Closed after about 1 min of silence',
    source: 'docs.kraken.com: spot-websocket-v2/heartbeat, websockets/reconnection',
    date: DATE,
    verified: false,
    note: 'Unverified: the minute, and the form of ping and pong',
  },
  coinbase: {
    venue: 'Coinbase, Advanced Trade and Exchange',
    heartbeat: { mode: 'listen', timeout: 5_000 },
    setup: '{"type":"subscribe","channel":"heartbeats"}',
    rule:
      'The heartbeats channel sends once a second, with heartbeat_counter. The first subscription within 5 s; most ' +
      'channels close after 60 to 90 s without an update',
    source: 'docs.cdp.coinbase.com: websocket-overview, websocket-channels',
    date: DATE,
    verified: false,
    note: 'Unverified: the form of setup. Only with that channel: without it use the default heartbeat',
  },
  bitmex: {
    venue: 'BitMEX',
    heartbeat: {
      mode: 'idle',
      interval: 5_000,
      timeout: 5_000,
      application: { request: 'ping', isReply: { text: 'pong' } },
    },
    rule: 'After 5 s of silence a Ping frame or the text "ping"; "pong" is expected within 5 s',
    source: "third parties that quote BitMEX's documentation",
    date: DATE,
    verified: false,
    note: 'Unverified: all of it',
  },
  bitfinex: {
    venue: 'Bitfinex, v2',
    heartbeat: { mode: 'listen', timeout: 45_000 },
    rule: 'The server sends "hb" on each subscribed channel, about every 15 s',
    source: 'docs.bitfinex.com/docs/ws-public',
    date: DATE,
    verified: false,
    note: 'Unverified: the 15 s. Only while something is subscribed',
  },
  hyperliquid: {
    venue: 'Hyperliquid',
    heartbeat: {
      mode: 'idle',
      interval: 30_000,
      timeout: 10_000,
      application: {
        request: '{"method":"ping"}',
        isReply: { parts: ['"channel":"pong"'], maxLength: 128 },
      },
    },
    rule: 'Closed when the server has sent nothing for 60 s: {"method":"ping"} before, {"channel":"pong"} answers',
    source: 'hyperliquid.gitbook.io: websocket/timeouts-and-heartbeats',
    date: DATE,
    verified: true,
    note: 'Third parties: it closes after 60.2 s, without a Close frame',
  },
  dydx: {
    venue: 'dYdX, v4',
    heartbeat: { mode: 'listen', timeout: 75_000 },
    rule: 'The server sends a Ping frame every 30 s and wants its Pong within 10 s',
    source: 'docs.dydx.xyz/interaction/data/feeds',
    date: DATE,
    verified: true,
    note: 'Pongs are sent by themselves; an event loop that stands still for 10 s loses the connection',
  },
} satisfies Record<string, VenueHeartbeat>;
