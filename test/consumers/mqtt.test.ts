/** `mqtt`, with `aedes` as the broker: MQTT's bytes in binary messages, through `createWebSocketStream`. */
import assert from 'node:assert/strict';
import type { EventEmitter } from 'node:events';
import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { describe, type TestContext, test } from 'node:test';
import { Aedes } from 'aedes';
import type * as Mqtt from 'mqtt';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { loadWithSubject } from './in-place-of-ws.js';
import { type Loopback, loopback, RETRY, until } from './loopback.js';
import { makeGlobal, StandardWebSocket, WebSocket } from './subject.js';

/**
 * @param refusals so many connections are refused before one is accepted
 */
async function broker(t: TestContext, { tls = false, refusals = 0 } = {}): Promise<Loopback> {
  const brokers: Aedes[] = [];
  t.after(() => Promise.all(brokers.map((aedes) => new Promise<void>((done) => aedes.close(done)))));
  const serve = async (http: Server, show: (socket: EventEmitter) => void): Promise<void> => {
    const sockets = new WebSocketServer({
      server: http,
      handleProtocols: () => 'mqtt',
      verifyClient: (_info, answer) => answer(refusals-- <= 0, 401),
    });
    const aedes = await Aedes.createBroker();
    brokers.push(aedes);
    sockets.on('connection', (socket, request) => {
      show(socket);
      const stream = readingAll(createWebSocketStream(socket));
      // A client that is lost is its test's concern.
      stream.on('error', () => {});
      aedes.handle(stream, request);
    });
  };
  return loopback(t, serve, { tls });
}

/** aedes reads once each time that there is something to be read; since Node 26 a read gives one chunk of it. */
function readingAll(stream: Duplex): Duplex {
  const read = stream.read.bind(stream);
  stream.read = (size) => {
    if (size === 0) return read(0);
    const chunks: Buffer[] = [];
    for (let chunk = read(size); chunk !== null; chunk = read(size)) chunks.push(chunk);
    return chunks.length === 0 ? null : Buffer.concat(chunks);
  };
  return stream;
}

/** The messages of a client, each as soon as it is there. */
function inbox(client: Mqtt.MqttClient): () => Promise<{ topic: string; payload: Buffer }> {
  const messages: { topic: string; payload: Buffer }[] = [];
  client.on('message', (topic, payload) => void messages.push({ topic, payload }));
  return async () => {
    await until(() => messages.length > 0, 'a message comes');
    return messages.shift()!;
  };
}

type Send = (data: Uint8Array<ArrayBuffer>) => void;

const WAYS: { by: string; Subject: { prototype: { send: Send } }; options: Mqtt.IClientOptions }[] = [
  { by: 'which asks for ws', Subject: WebSocket, options: {} },
  {
    by: 'given the class by createWebsocket',
    Subject: WebSocket,
    options: {
      createWebsocket: (url, protocols, options) =>
        new WebSocket(url, protocols, options.wsOptions as object),
    },
  },
  {
    by: 'with the standard’s class as the global one',
    Subject: StandardWebSocket,
    options: { forceNativeWebSocket: true },
  },
];

for (const { by, Subject, options } of WAYS) {
  describe(`mqtt, ${by}`, { timeout: 20_000 }, () => {
    // mqtt chooses its kind of stream once.
    const { connectAsync } = loadWithSubject('mqtt') as typeof Mqtt;

    test('messages of every quality of service, small and large, and a close', async (t) => {
      makeGlobal(t);
      const sent = t.mock.method(Subject.prototype, 'send');
      const server = await broker(t);
      const client = await connectAsync(server.url, { ...options, clientId: 'talker' });
      t.after(() => void client.end(true));
      await client.subscribeAsync('books/#', { qos: 2 });
      const next = inbox(client);
      for (const qos of [0, 1, 2] as const) {
        for (const size of [0, 126, 300_000]) {
          const payload = Buffer.alloc(size, `${qos}é水`);
          const [{ topic, payload: received }] = await Promise.all([
            next(),
            client.publishAsync(`books/${qos}/${size}`, payload, { qos }),
          ]);
          assert.equal(topic, `books/${qos}/${size}`);
          assert.ok(payload.equals(received), `the ${size} bytes that were published with QoS ${qos}`);
        }
      }
      // Many packets in one read, and packets which end within a message.
      const count = 300;
      for (let i = 0; i < count; i++) client.publish('books/many', `${i}`, { qos: 0 });
      for (let i = 0; i < count; i++) assert.equal(`${(await next()).payload}`, `${i}`);

      const closed = server.closed();
      await client.endAsync();
      await closed;
      assert.equal(client.connected, false);
      assert.ok(sent.mock.callCount() > 0, 'it was the class that sent');
    });

    test('subscriptions and what was published meanwhile survive a restart of the broker', async (t) => {
      makeGlobal(t);
      const server = await broker(t);
      const client = await connectAsync(server.url, {
        ...options,
        reconnectPeriod: RETRY,
        clientId: 'stayer',
      });
      t.after(() => void client.end(true));
      client.on('error', () => {});
      await client.subscribeAsync('books/btc', { qos: 1 });
      const next = inbox(client);
      await client.publishAsync('books/btc', 'before', { qos: 1 });
      assert.equal(`${(await next()).payload}`, 'before');

      const lost = new Promise<void>((resolve) => client.once('offline', resolve));
      const restarted = server.restart();
      await lost;
      const published = client.publishAsync('books/btc', 'meanwhile', { qos: 1 });
      await restarted;
      await published;
      await client.publishAsync('books/btc', 'after', { qos: 1 });
      const received = [`${(await next()).payload}`];
      while (received.at(-1) !== 'after') received.push(`${(await next()).payload}`);
      assert.ok(received.includes('after'), 'the subscription is there again');
    });
  });
}

describe('mqtt, which asks for ws', { timeout: 20_000 }, () => {
  const { connect, connectAsync } = loadWithSubject('mqtt') as typeof Mqtt;

  test('over TLS, with a certificate authority of its own', async (t) => {
    const server = await broker(t, { tls: true });
    const client = await connectAsync(server.url, { ...server.tls });
    t.after(() => void client.end(true));
    await client.subscribeAsync('books');
    const next = inbox(client);
    await client.publishAsync('books', 'in secret');
    assert.equal(`${(await next()).payload}`, 'in secret');

    const untrusting = connect(server.url, { reconnectPeriod: 0 });
    t.after(() => void untrusting.end(true));
    const error = await new Promise<Error>((resolve) => untrusting.on('error', resolve));
    assert.equal((error as NodeJS.ErrnoException).code, 'DEPTH_ZERO_SELF_SIGNED_CERT');
  });

  test('a broker that refuses is tried again until it accepts', async (t) => {
    const server = await broker(t, { refusals: 2 });
    const client = connect(server.url, { reconnectPeriod: RETRY });
    t.after(() => void client.end(true));
    let refusals = 0;
    client.on('close', () => refusals++);
    client.on('error', () => {});
    await new Promise<void>((resolve) => client.on('connect', () => resolve()));
    assert.equal(refusals, 2);
  });

  test('an end by force loses the connection', async (t) => {
    const server = await broker(t);
    const client = await connectAsync(server.url, { reconnectPeriod: 0 });
    const closed = server.closed();
    await client.endAsync(true);
    assert.equal(await closed, 1006);
  });
});
