/** `y-websocket`: documents of Yjs, whose updates are binary messages; with the server of that project. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { docs, setupWSConnection } from '@y/websocket-server/utils';
import { WebSocketServer } from 'ws';
import { WebsocketProvider } from 'y-websocket';
import { Doc } from 'yjs';
import { type Loopback, loopback, RETRY, until } from './loopback.js';
import { GIVEN_OR_GLOBAL, makeGlobal } from './subject.js';

/** A restart loses the documents: what comes back, the clients have kept. */
function service(t: TestContext): Promise<Loopback> {
  const forget = (): void => {
    for (const doc of docs.values()) doc.destroy();
    docs.clear();
  };
  t.after(forget);
  return loopback(t, (http, show) => {
    forget();
    const sockets = new WebSocketServer({ server: http });
    sockets.on('connection', (socket, request) => {
      show(socket);
      setupWSConnection(socket, request);
    });
  });
}

interface Author {
  doc: Doc;
  provider: WebsocketProvider;
}

for (const { ways, WebSocket } of GIVEN_OR_GLOBAL) {
  describe(`y-websocket, in ${ways}`, { timeout: 20_000 }, () => {
    function author(t: TestContext, { url }: Loopback): Author {
      if (WebSocket === undefined) makeGlobal(t);
      const doc = new Doc();
      const provider = new WebsocketProvider(url, 'books', doc, {
        WebSocketPolyfill: WebSocket,
        disableBc: true,
        maxBackoffTime: RETRY,
      });
      t.after(() => {
        provider.destroy();
        doc.destroy();
      });
      return { doc, provider };
    }
    const textOf = ({ doc }: Author): string => doc.getText('text').toString();

    test('two write one document, small and large, and a close', async (t) => {
      const server = await service(t);
      const [ada, bob] = [author(t, server), author(t, server)];
      await until(() => ada.provider.synced && bob.provider.synced, 'both have the document');
      ada.doc.getText('text').insert(0, 'é水🐟');
      await until(() => textOf(bob) === 'é水🐟', 'Bob has what Ada wrote');
      const long = 'ab'.repeat(150_000);
      bob.doc.getText('text').insert(0, long);
      await until(() => textOf(ada) === `${long}é水🐟`, 'Ada has what Bob wrote');
      for (let i = 0; i < 300; i++) ada.doc.getArray('numbers').push([i]);
      await until(() => bob.doc.getArray('numbers').length === 300, 'Bob has all numbers');
      assert.deepEqual(
        bob.doc.getArray('numbers').toArray(),
        Array.from({ length: 300 }, (_, i) => i),
      );
      ada.provider.awareness.setLocalState({ name: 'Ada' });
      const name = () => bob.provider.awareness.getStates().get(ada.doc.clientID)?.name;
      await until(() => name() === 'Ada', 'Bob knows of Ada');

      const closed = server.closed();
      ada.provider.disconnect();
      assert.equal(await closed, 1005);
      await until(() => name() === undefined, 'Bob knows that Ada has left');
    });

    test('what both wrote while the server was away is brought together afterwards', async (t) => {
      const server = await service(t);
      const [ada, bob] = [author(t, server), author(t, server)];
      await until(() => ada.provider.synced && bob.provider.synced, 'both have the document');
      ada.doc.getMap('prices').set('BTC', 1);
      await until(() => bob.doc.getMap('prices').get('BTC') === 1, 'Bob has the price');
      const restarted = server.restart();
      await until(() => !ada.provider.wsconnected && !bob.provider.wsconnected, 'both know of the loss');
      ada.doc.getMap('prices').set('ETH', 2);
      bob.doc.getMap('prices').set('SOL', 3);
      await restarted;
      const all = { BTC: 1, ETH: 2, SOL: 3 };
      const has = ({ doc }: Author) => doc.getMap('prices').size === 3;
      await until(() => has(ada) && has(bob), 'both have all prices');
      assert.deepEqual(ada.doc.getMap('prices').toJSON(), all);
      assert.deepEqual(bob.doc.getMap('prices').toJSON(), all);
    });
  });
}
