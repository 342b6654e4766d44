/** The heartbeats of venues: each is a valid one, sourced and dated, and does what its rule asks for. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { heartbeatSettings } from '../../src/heartbeat/settings.js';
import { type VenueHeartbeat, venueHeartbeats } from '../../src/heartbeat/venues.js';
import { GUARD, receivedLines } from '../connection/wire.js';
import { link, text, until } from '../leases/link.js';

const all: [string, VenueHeartbeat][] = Object.entries(venueHeartbeats);

/** As the venues' documentation shows them; only what the patterns are about matters. */
const REPLIES: Partial<Record<keyof typeof venueHeartbeats, string>> = {
  okx: 'pong',
  bybit: '{"success":true,"ret_msg":"pong","conn_id":"0970e817","op":"ping"}',
  kraken: '{"method":"pong","req_id":101,"time_in":"2026-11-20T12:00:00Z","time_out":"2026-11-20T12:00:00Z"}',
  bitmex: 'pong',
  hyperliquid: '{"channel":"pong"}',
};

describe('the heartbeats of venues', GUARD, () => {
  test('are there for ten venues, and what is not verified says what', () => {
    const named = [
      'deribit',
      'binance',
      'okx',
      'bybit',
      'kraken',
      'coinbase',
      'bitmex',
      'bitfinex',
      'hyperliquid',
      'dydx',
    ];
    for (const name of named) assert.ok(name in venueHeartbeats, name);
    for (const [name, { date, note, rule, source, verified }] of all) {
      assert.match(date, /^20\d\d-\d\d-\d\d$/, name);
      assert.ok(source.length > 10 && rule.length > 20, name);
      assert.equal(/^Unverified: ./.test(note ?? ''), !verified, name);
    }
  });

  for (const [name, { heartbeat, setup }] of all) {
    test(`${name}: can be used`, () => {
      heartbeatSettings(heartbeat);
      const { application } = heartbeat;
      for (const payload of [setup, application?.request, application?.reply]) {
        if (typeof payload === 'string' && payload.startsWith('{')) JSON.parse(payload);
      }
      assert.equal(application?.isReply !== undefined, name in REPLIES);
    });
  }

  for (const [name, reply] of Object.entries(REPLIES)) {
    test(`${name}: a server that ignores pings and answers as this one keeps the link`, async (t) => {
      const { application } = (venueHeartbeats as Record<string, VenueHeartbeat>)[name].heartbeat;
      const { connection, peer } = await link(t, false, {
        heartbeat: { interval: 50, timeout: 2_000, application },
        onMessage: () => {},
      });
      let answered = 0;
      peer.socket.on('data', () => {
        const asked = peer.frames();
        for (; answered < asked.length; answered++) {
          assert.equal(`${asked[answered].payload}`, application!.request);
          void peer.write(text(reply));
        }
      });
      await until(() => connection.stats().rtt?.count === 2);
    });
  }

  test('deribit: test_request is answered, a plain heartbeat is not', async (t) => {
    const { heartbeat } = venueHeartbeats.deribit;
    const { connection, peer } = await link(t, false, { heartbeat, onMessage: () => {} });
    const asks = (type: string) => text(`{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"${type}"}}`);
    await peer.write(asks('heartbeat'), asks('test_request'), asks('heartbeat'));
    await delay(30);
    assert.deepEqual(await receivedLines(peer, 1), [`text ${heartbeat.application.reply}`]);
    assert.equal(connection.readyState, 1);
  });
});
