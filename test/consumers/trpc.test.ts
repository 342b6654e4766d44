/** `@trpc/client`, whose `createWSClient` takes the class or the global one, with tRPC's own server. */
import assert from 'node:assert/strict';
import { EventEmitter, on } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import { createTRPCClient, createWSClient, wsLink } from '@trpc/client';
import { initTRPC, TRPCError, tracked } from '@trpc/server';
import { applyWSSHandler } from '@trpc/server/adapters/ws';
import { WebSocketServer } from 'ws';
import { type Loopback, loopback, RETRY, until } from './loopback.js';
import { GIVEN_OR_GLOBAL, makeGlobal } from './subject.js';

const trpc = initTRPC.context<{ token: string | undefined }>().create();

function isString(input: unknown): string {
  assert.equal(typeof input, 'string');
  return input as string;
}

/** The last trades are kept, for those who come back. */
const trades = new EventEmitter();
const history: number[] = [];

function trade(price: number): void {
  history.push(price);
  trades.emit('trade');
}

const router = trpc.router({
  reversed: trpc.procedure.input(isString).query(({ input }) => [...input].reverse().join('')),
  whoami: trpc.procedure.query(({ ctx }) => ctx.token ?? 'nobody'),
  fail: trpc.procedure.mutation(() => {
    throw new TRPCError({ code: 'CONFLICT', message: 'no' });
  }),
  trades: trpc.procedure
    .input((input: unknown) => input as { lastEventId?: string } | undefined)
    .subscription(async function* ({ input, signal }) {
      const news = on(trades, 'trade', { signal: signal! });
      let next = input?.lastEventId === undefined ? 0 : Number(input.lastEventId) + 1;
      for (;;) {
        for (; next < history.length; next++) yield tracked(`${next}`, history[next]);
        await news.next();
      }
    }),
});

function service(t: TestContext): Promise<Loopback> {
  history.length = 0;
  return loopback(t, (http, show) => {
    const wss = new WebSocketServer({ server: http });
    wss.on('connection', show);
    applyWSSHandler({
      wss,
      router,
      createContext: ({ info }) => ({ token: info.connectionParams?.token }),
      keepAlive: { enabled: true, pingMs: 50, pongWaitMs: 2_000 },
    });
  });
}

for (const { ways, WebSocket } of GIVEN_OR_GLOBAL) {
  describe(`@trpc/client, in ${ways}`, { timeout: 20_000 }, () => {
    function connect(t: TestContext, { url }: Loopback) {
      if (WebSocket === undefined) makeGlobal(t);
      const socket = createWSClient({
        url,
        WebSocket,
        connectionParams: { token: 'secret' },
        retryDelayMs: () => RETRY,
        keepAlive: { enabled: true, intervalMs: 50, pongTimeoutMs: 2_000 },
      });
      t.after(() => socket.close());
      return { socket, client: createTRPCClient<typeof router>({ links: [wsLink({ client: socket })] }) };
    }

    test('queries at the same time, a mutation that fails, pings of the application, and a close', async (t) => {
      const server = await service(t);
      const { socket, client } = connect(t, server);
      const long = 'aé水🐟'.repeat(20_000);
      assert.deepEqual(
        await Promise.all([client.whoami.query(), client.reversed.query('é水'), client.reversed.query(long)]),
        ['secret', '水é', [...long].reverse().join('')],
      );
      await assert.rejects(client.fail.mutate(), { message: 'no' });
      // Meanwhile either side has asked whether the other is there.
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal(await client.reversed.query('ab'), 'ba');

      const closed = server.closed();
      await socket.close();
      assert.equal(await closed, 1005);
    });

    test('a subscription goes on after a restart of the server, where it was', async (t) => {
      const server = await service(t);
      const { client } = connect(t, server);
      const prices: number[] = [];
      const failed: unknown[] = [];
      const subscription = client.trades.subscribe(
        {},
        { onData: ({ data }) => void prices.push(data), onError: (error) => void failed.push(error) },
      );
      trade(1.5);
      await until(() => prices.length === 1, 'the first trade is there');
      const restarted = server.restart();
      trade(2.5);
      await restarted;
      trade(3.5);
      await until(() => prices.length === 3, 'the other trades are there');
      assert.deepEqual([prices, failed], [[1.5, 2.5, 3.5], []]);
      subscription.unsubscribe();
    });
  });
}
