/** `ethers`' WebSocketProvider, which asks for `ws`, with a node that speaks Ethereum's JSON-RPC. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type * as Ethers from 'ethers';
import { WebSocketServer } from 'ws';
import { loadWithSubject } from './in-place-of-ws.js';
import { type Loopback, loopback } from './loopback.js';
import { StandardWebSocket, WebSocket } from './subject.js';

const { WebSocketProvider, Network } = loadWithSubject('ethers') as typeof Ethers;
const MAINNET = Network.from('mainnet');
const hex = (value: number): string => `0x${value.toString(16)}`;

interface Node extends Loopback {
  /** Tells the subscribers of a new block. */
  mine(): void;
  subscriptions(): number;
}

async function node(t: TestContext): Promise<Node> {
  let height = 100;
  const subscribers = new Map<string, (message: object) => void>();
  const methods: Record<string, (...params: unknown[]) => unknown> = {
    eth_chainId: () => hex(1),
    eth_blockNumber: () => hex(height),
    eth_getBalance: (address) => hex(String(address).length),
    // A long answer, in hexadecimal.
    eth_call: (call) => `0x${'ab'.repeat(Number((call as { data: string }).data))}`,
    eth_unsubscribe: (id) => subscribers.delete(String(id)),
  };
  const server = await loopback(t, (http, show) => {
    subscribers.clear();
    const sockets = new WebSocketServer({ server: http });
    sockets.on('connection', (socket) => {
      show(socket);
      socket.on('message', (data, isBinary) => {
        assert.equal(isBinary, false, 'JSON comes as text');
        const { id, method, params } = JSON.parse(String(data));
        let result: unknown;
        if (method === 'eth_subscribe') {
          result = hex(subscribers.size + 1);
          subscribers.set(String(result), (message) => socket.send(JSON.stringify(message)));
        } else {
          result = methods[method](...params);
        }
        socket.send(JSON.stringify({ jsonrpc: '2.0', id, result }));
      });
    });
  });
  return {
    ...server,
    subscriptions: () => subscribers.size,
    mine() {
      height++;
      for (const [subscription, notify] of subscribers) {
        const result = { number: hex(height) };
        notify({ jsonrpc: '2.0', method: 'eth_subscription', params: { subscription, result } });
      }
    },
  };
}

const WAYS = [
  { by: 'an address', Subject: WebSocket, given: (url: string) => url },
  {
    by: 'a function that makes one of the standard’s kind',
    Subject: StandardWebSocket,
    given: (url: string) => () => new StandardWebSocket(url) as Ethers.WebSocketLike,
  },
  { by: 'a socket', Subject: WebSocket, given: (url: string) => new WebSocket(url) as Ethers.WebSocketLike },
];

for (const { by, Subject, given } of WAYS) {
  describe(`ethers, with ${by}`, { timeout: 20_000 }, () => {
    test('requests at the same time, new blocks, and a close', async (t) => {
      const server = await node(t);
      const provider = new WebSocketProvider(given(server.url), MAINNET, { staticNetwork: MAINNET });
      t.after(() => provider.destroy());
      assert.ok(provider.websocket instanceof Subject, 'the socket is of the class');
      const address = `0x${'1'.repeat(40)}`;
      const [number, balance, short, long] = await Promise.all([
        provider.getBlockNumber(),
        provider.getBalance(address),
        provider.send('eth_call', [{ data: '2' }]),
        provider.send('eth_call', [{ data: '500000' }]),
      ]);
      assert.deepEqual([number, balance, short], [100, 42n, '0xabab']);
      assert.equal(long, `0x${'ab'.repeat(500_000)}`);

      const blocks: number[] = [];
      await provider.on('block', (block) => void blocks.push(block));
      await provider.send('eth_chainId', []);
      assert.equal(server.subscriptions(), 1);
      server.mine();
      server.mine();
      await provider.send('eth_chainId', []);
      assert.deepEqual(blocks, [101, 102]);

      const closed = server.closed();
      await provider.destroy();
      assert.equal(await closed, 1005);
    });

    test('an application that makes a new provider when the socket has closed goes on', async (t) => {
      const server = await node(t);
      let provider: Ethers.WebSocketProvider;
      let reconnected = (): void => {};
      let isOver = false;
      const connect = (): void => {
        provider = new WebSocketProvider(given(server.url), MAINNET, { staticNetwork: MAINNET });
        const socket = provider.websocket as unknown as globalThis.WebSocket;
        // Being refused is an error; it closes, too.
        socket.onerror = () => {};
        socket.onclose = () => {
          if (!isOver) setTimeout(connect, 40);
        };
        socket.addEventListener('open', () => reconnected());
      };
      t.after(() => {
        isOver = true;
        return provider.destroy();
      });
      connect();
      assert.equal(await provider!.getBlockNumber(), 100);
      const open = new Promise<void>((resolve) => {
        reconnected = resolve;
      });
      server.mine();
      await server.restart();
      await open;
      assert.equal(await provider!.getBlockNumber(), 101);
    });
  });
}
