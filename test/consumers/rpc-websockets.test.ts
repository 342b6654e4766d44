/** `rpc-websockets`, whose client asks for `ws`, with its own server. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type * as Rpc from 'rpc-websockets';
import { Server } from 'rpc-websockets';
import { loadWithSubject } from './in-place-of-ws.js';
import { type Loopback, loopback, RETRY, until } from './loopback.js';
import { WebSocket } from './subject.js';

const { Client } = loadWithSubject('rpc-websockets') as typeof Rpc;

interface Service extends Loopback {
  emit(event: string, ...args: unknown[]): void;
  notifications: unknown[];
}

async function service(t: TestContext): Promise<Service> {
  let server: Server;
  const notifications: unknown[] = [];
  const loop = await loopback(t, (http, show) => {
    server = new Server({ server: http });
    server.wss.on('connection', show);
    server.register('sum', (numbers) => (numbers as number[]).reduce((sum, number) => sum + number, 0));
    server.register('same', (value) => value);
    server.register('fail', () => {
      throw new Error('no');
    });
    server.register('note', (value) => {
      notifications.push(value);
      return true;
    });
    server.event('trade');
  });
  return { ...loop, notifications, emit: (event, ...args) => server.emit(event, ...args) };
}

function event(client: Rpc.Client, name: string): Promise<unknown[]> {
  return new Promise((resolve) => client.once(name, (...args: unknown[]) => resolve(args)));
}

describe('rpc-websockets', { timeout: 20_000 }, () => {
  test('calls, notifications, errors, events, and a close', async (t) => {
    const server = await service(t);
    const client = new Client(server.url, { reconnect: false });
    t.after(() => client.close());
    await event(client, 'open');
    const { socket } = client as unknown as { socket: unknown };
    assert.ok(socket instanceof WebSocket, 'the socket is of the class');

    assert.equal(await client.call('sum', [1, 2, 3]), 6);
    // A call is known from the callback of `send` on: which may not be later than the answer.
    const numbers = Array.from({ length: 500 }, (_, i) => i);
    assert.deepEqual(await Promise.all(numbers.map((i) => client.call('sum', [i]))), numbers);
    const long = { text: 'aé水🐟'.repeat(100_000) };
    assert.deepEqual(await client.call('same', long), long);
    assert.deepEqual(await client.call('same', { binary: true }, undefined, { binary: true }), {
      binary: true,
    });
    await assert.rejects(client.call('fail'), { code: -32000 });
    await assert.rejects(client.call('nothing'), { code: -32601 });
    await client.notify('note', { noted: 1 });
    await until(() => server.notifications.length === 1, 'the notification has come');
    assert.deepEqual(server.notifications, [{ noted: 1 }]);

    await client.subscribe('trade');
    const trade = event(client, 'trade');
    server.emit('trade', 'BTC', 1.5);
    assert.deepEqual(await trade, ['BTC', 1.5]);

    const closed = Promise.all([server.closed(), event(client, 'close')]);
    client.close(4000, 'enough');
    assert.deepEqual(await closed, [4000, [4000, 'enough']]);
  });

  test('reconnects after a restart of the server', async (t) => {
    const server = await service(t);
    const client = new Client(server.url, { reconnect_interval: RETRY, max_reconnects: 0 });
    t.after(() => {
      client.setAutoReconnect(false);
      client.close();
    });
    client.on('error', () => {});
    await event(client, 'open');
    assert.equal(await client.call('sum', [1]), 1);
    const [lost, open] = [event(client, 'close'), event(client, 'open')];
    await server.restart();
    assert.deepEqual(await lost, [1006, '']);
    await open;
    assert.equal(await client.call('sum', [2, 3]), 5);
  });
});
