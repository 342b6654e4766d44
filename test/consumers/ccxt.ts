/**
 * `ccxt`'s pro exchanges, which ask for `ws`: installed into a folder of their own from the registry, where npm's
 * `overrides` put this package, as it is packed, in the place of `ws`. Run by `npm run test:ccxt`, after a build.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import type { EventEmitter } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { type WebSocket as ServerSocket, WebSocketServer } from 'ws';
import { connectProxy } from '../server/connect-proxy.js';
import { type Loopback, loopback, RETRY, until } from './loopback.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const CCXT = '4.5.84';
const HTTPS_PROXY_AGENT = '7.0.6';
const BTC = 'BTC/USD';

interface Book {
  bids: [price: number, amount: number][];
  asks: [price: number, amount: number][];
}

interface Exchange {
  urls: { api: { ws: Record<string, unknown> } };
  loadHttpProxyAgent(): Promise<unknown>;
  setMarkets(markets: object[]): void;
  safeMarketStructure(market: object): object;
  watchOrderBook(symbol: string): Promise<Book>;
  watchTrades(symbol: string): Promise<{ id: string; price: number }[]>;
  close(): Promise<void>;
  clients: Record<string, { connection: unknown }>;
}
type Pro = Record<'kraken' | 'htx', new (options: object) => Exchange>;

const folder = mkdtempSync(join(tmpdir(), 'heartwire-ccxt-'));
let pro: Pro;
let WebSocket: abstract new () => unknown;

async function npm(cwd: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(
    'npm',
    [...args, '--ignore-scripts', '--no-audit', '--no-fund'],
    {
      cwd,
    },
  );
  return stdout;
}

before(async () => {
  const [{ filename }] = JSON.parse(await npm(root, 'pack', '--json', '--pack-destination', folder));
  const heartwire = `file:${join(folder, filename)}`;
  const shim = join(folder, 'ws');
  mkdirSync(shim);
  const write = (at: string, name: string, content: string) => writeFileSync(join(at, name), content);
  write(
    shim,
    'package.json',
    JSON.stringify({
      name: 'ws',
      version: '8.99.0',
      exports: { import: './index.mjs', require: './index.cjs' },
      dependencies: { heartwire },
    }),
  );
  write(shim, 'index.mjs', "export * from 'heartwire';\nexport { default } from 'heartwire';\n");
  write(shim, 'index.cjs', "module.exports = require('heartwire');\n");
  write(
    folder,
    'package.json',
    JSON.stringify({
      private: true,
      dependencies: { ccxt: CCXT, heartwire, 'https-proxy-agent': HTTPS_PROXY_AGENT },
      overrides: { ws: `file:${shim}` },
    }),
  );
  await npm(folder, 'install');
  const load = (...path: string[]) => import(pathToFileURL(join(folder, 'node_modules', ...path)).href);
  pro = (await load('ccxt', 'js', 'ccxt.js')).default.pro;
  WebSocket = (await load('heartwire', 'dist', 'index.js')).WebSocket;
});
after(() => rmSync(folder, { recursive: true }));

/** What an exchange has on its side: what it answers to a request. */
type Answer = (request: Record<string, unknown>, socket: ServerSocket) => void;

async function server(t: TestContext, tls: boolean, answer: Answer): Promise<Loopback> {
  return loopback(
    t,
    (http, show) => {
      const sockets = new WebSocketServer({ server: http, perMessageDeflate: true });
      sockets.on('connection', (socket) => {
        show(socket);
        socket.on('message', (data) => answer(JSON.parse(String(data)), socket));
      });
    },
    { tls },
  );
}

/** Without the exchange's REST interface: the market is told, not asked for. */
async function exchange(name: 'kraken' | 'htx', site: Loopback, more: object = {}): Promise<Exchange> {
  const made = new pro[name]({
    enableRateLimit: false,
    options: {
      ws: {
        gunzip: name === 'htx',
        backoff: { base: RETRY, factor: 1, max: RETRY },
        options: { ...site.tls },
      },
    },
    ...more,
  });
  // What goes without TLS, ccxt gives an http.Agent.
  if (site.tls === undefined) await made.loadHttpProxyAgent();
  const [base, quote] = BTC.split('/');
  const market = { id: 'btcusd', symbol: BTC, base, quote, type: 'spot', spot: true, active: true };
  made.setMarkets([made.safeMarketStructure(market)]);
  made.urls.api.ws =
    name === 'kraken'
      ? { public: site.url, publicV2: `${site.url}/v2` }
      : { api: { spot: { public: site.url } } };
  return made;
}

const LEVELS = 10;
const UPDATES = 2_000;
const level = (price: number, qty: number) => ({ price, qty });

/** A book and its changes: at the end each level holds as much as the last change of it said. */
const book: Answer = ({ method, req_id, params }, socket) => {
  if (method !== 'subscribe') return;
  socket.send(JSON.stringify({ method, req_id, success: true }));
  assert.deepEqual((params as { symbol: string[] }).symbol, [BTC]);
  const tell = (type: string, bids: object[], asks: object[]) =>
    socket.send(JSON.stringify({ channel: 'book', type, data: [{ symbol: BTC, bids, asks, checksum: 0 }] }));
  const numbers = Array.from({ length: LEVELS }, (_, i) => i);
  const [bids, asks] = [numbers.map((i) => level(100 - i, 1)), numbers.map((i) => level(101 + i, 1))];
  tell('snapshot', bids, asks);
  for (let i = 1; i <= UPDATES; i++) tell('update', [level(100 - (i % LEVELS), i)], []);
};

const FINAL_BIDS = Array.from({ length: LEVELS }, (_, i) => [
  100 - i,
  i === 0 ? UPDATES : UPDATES - LEVELS + i,
]);

/** An application's loop: goes on until the book is what it must be, whatever happens meanwhile. */
async function followBook(kraken: Exchange): Promise<{ book: Book; errors: string[] }> {
  const errors: string[] = [];
  for (;;) {
    try {
      const book = await kraken.watchOrderBook(BTC);
      if (book.bids[0][1] === UPDATES) return { book, errors };
    } catch (error) {
      errors.push((error as Error).constructor.name);
      assert.ok(errors.length < 100, `it does not recover from ${error}`);
    }
  }
}

describe('ccxt', { timeout: 60_000 }, () => {
  for (const tls of [true, false]) {
    test(`an order book over a snapshot and its updates, ${tls ? 'over TLS' : 'by an agent'}, and a close`, async (t) => {
      const site = await server(t, tls, book);
      const client = await exchange('kraken', site);
      const { book: last, errors } = await followBook(client);
      const [{ connection }] = Object.values(client.clients);
      assert.ok(connection instanceof WebSocket, "its socket is of this package's class");
      assert.deepEqual([[...last.bids].map(([price, amount]) => [price, amount]), errors], [FINAL_BIDS, []]);
      assert.equal(last.asks.length, LEVELS);

      const closed = site.closed();
      const watching = assert.rejects(client.watchTrades(BTC), { name: 'ExchangeClosedByUser' });
      await client.close();
      await watching;
      assert.equal(await closed, 1005);
    });
  }

  test('the book is there again after a restart of the exchange', async (t) => {
    const site = await server(t, true, book);
    const client = await exchange('kraken', site);
    await followBook(client);
    const watching = client.watchOrderBook(BTC);
    const lost = assert.rejects(watching, { name: 'NetworkError' });
    const restarted = site.restart();
    await lost;
    const { book: last, errors } = await followBook(client);
    await restarted;
    assert.deepEqual(
      [...last.bids].map(([price, amount]) => [price, amount]),
      FINAL_BIDS,
    );
    assert.ok(
      errors.every((name) => name === 'NetworkError'),
      `what it was told meanwhile: ${errors}`,
    );
    await client.close();
  });

  test('compressed binary messages, the exchange’s pings in JSON and the client’s in the protocol', async (t) => {
    const answered: unknown[] = [];
    const site = await server(t, true, (request, socket) => {
      const tell = (message: object) => socket.send(gzipSync(JSON.stringify(message)));
      if ('pong' in request) answered.push(request.pong);
      if (!('sub' in request)) return;
      tell({ id: request.id, status: 'ok', subbed: request.sub, ts: 1 });
      tell({ ping: 42 });
      for (let id = 1; id <= 500; id++) {
        const trade = { id, ts: id, tradeId: id, amount: 1, price: id / 2, direction: 'sell' };
        tell({ ch: request.sub, ts: id, tick: { id, ts: id, data: [trade] } });
      }
    });
    const client = await exchange('htx', site, { streaming: { keepAlive: 50, maxPingPongMisses: 100 } });
    const trades: { id: string; price: number }[] = [];
    while (trades.length < 500) trades.push(...(await client.watchTrades(BTC)));
    assert.deepEqual(
      trades.map(({ id, price }) => [Number(id), price]),
      Array.from({ length: 500 }, (_, i) => [i + 1, (i + 1) / 2]),
    );
    let pongs = 0;
    const [{ connection }] = Object.values(client.clients);
    (connection as EventEmitter).on('pong', () => pongs++);
    await until(() => answered.length > 0 && pongs > 1, 'either has answered the other');
    assert.deepEqual(answered, [42]);
    await client.close();
  });

  test('through a proxy, by the agent that is given to the exchange', async (t) => {
    const proxy = await connectProxy();
    t.after(() => proxy.close());
    const { HttpsProxyAgent } = await import(
      pathToFileURL(join(folder, 'node_modules/https-proxy-agent/dist/index.js')).href
    );
    const site = await server(t, true, book);
    const client = await exchange('kraken', site, { agent: new HttpsProxyAgent(proxy.url) });
    const { errors } = await followBook(client);
    assert.deepEqual([errors, proxy.heads.length], [[], 1]);
    await client.close();
  });
});
