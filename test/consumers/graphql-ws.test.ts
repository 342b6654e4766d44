/** `graphql-ws`: queries and subscriptions over one socket; the class is its option `webSocketImpl`. */
import assert from 'node:assert/strict';
import { EventEmitter, on } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import { buildSchema } from 'graphql';
import { type Client, type ClientOptions, createClient } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';
import { type Loopback, loopback, RETRY } from './loopback.js';
import { BOTH } from './subject.js';

const schema = buildSchema(`
  type Query { reversed(text: String!): String! }
  type Subscription { trades(symbol: String!): Float!, countdown(from: Int!): Int! }
`);

interface Exchange extends Loopback {
  /** Emits a price by the symbol's name. */
  trades: EventEmitter;
}

async function exchange(t: TestContext): Promise<Exchange> {
  const trades = new EventEmitter();
  const roots = {
    query: { reversed: ({ text }: { text: string }) => [...text].reverse().join('') },
    subscription: {
      async *trades({ symbol }: { symbol: string }) {
        const prices = on(trades, symbol);
        trades.emit('subscribed', symbol);
        for await (const [price] of prices) yield { trades: price };
      },
      async *countdown({ from }: { from: number }) {
        for (let left = from; left > 0; left--) yield { countdown: left };
      },
    },
  };
  const server = await loopback(t, (http, show) => {
    const sockets = new WebSocketServer({ server: http });
    sockets.on('connection', show);
    useServer({ schema, roots }, sockets);
  });
  return { ...server, trades };
}

/** A client that ends with its test, however that ends. */
function dial(t: TestContext, options: ClientOptions): Client {
  const client = createClient(options);
  t.after(() => client.dispose());
  return client;
}

async function first<Data>(client: Client, query: string): Promise<Data> {
  for await (const { data } of client.iterate<Data>({ query })) return data!;
  throw new Error('no result');
}

for (const { ways, WebSocket } of BOTH) {
  describe(`graphql-ws, in ${ways}`, { timeout: 20_000 }, () => {
    test('queries at the same time, a subscription to its end, and a close', async (t) => {
      const server = await exchange(t);
      const client = dial(t, { url: server.url, webSocketImpl: WebSocket, lazy: false });
      const long = 'aé水🐟'.repeat(20_000);
      const answers = await Promise.all(
        ['left', '水🐟', long].map((text) =>
          first<{ reversed: string }>(client, `{ reversed(text: ${JSON.stringify(text)}) }`),
        ),
      );
      assert.deepEqual(
        answers.map(({ reversed }) => reversed),
        ['tfel', '🐟水', [...long].reverse().join('')],
      );
      const counts: unknown[] = [];
      for await (const { data } of client.iterate({ query: 'subscription { countdown(from: 300) }' })) {
        counts.push(data?.countdown);
      }
      assert.deepEqual(
        counts,
        Array.from({ length: 300 }, (_, i) => 300 - i),
      );
      const closed = server.closed();
      await client.dispose();
      assert.equal(await closed, 1000);
    });

    test('a subscription goes on after a restart of the server', async (t) => {
      const server = await exchange(t);
      const client = dial(t, {
        url: server.url,
        webSocketImpl: WebSocket,
        retryAttempts: 50,
        retryWait: () => new Promise((resolve) => setTimeout(resolve, RETRY)),
        shouldRetry: () => true,
      });
      let subscribed = on(server.trades, 'subscribed');
      const prices = client.iterate({ query: 'subscription { trades(symbol: "BTC") }' });
      const price = prices.next();
      await subscribed.next();
      server.trades.emit('BTC', 1.5);
      assert.deepEqual((await price).value.data, { trades: 1.5 });

      subscribed = on(server.trades, 'subscribed');
      const afterwards = prices.next();
      await server.restart();
      await subscribed.next();
      server.trades.emit('BTC', 2.5);
      assert.deepEqual((await afterwards).value.data, { trades: 2.5 });
      await prices.return?.();
    });

    test('a server that closes with a code of the protocol’s is understood: the client is told why', async (t) => {
      const server = await loopback(t, (http) => {
        const sockets = new WebSocketServer({ server: http });
        useServer({ schema, onConnect: () => false }, sockets);
      });
      const client = dial(t, { url: server.url, webSocketImpl: WebSocket, retryAttempts: 0 });
      await assert.rejects(first(client, '{ reversed(text: "") }'), { code: 4403, reason: 'Forbidden' });
    });
  });
}
