import { createRequire } from 'node:module';
import { PersistentConnection } from 'heartwire';
import type { Contender, Payload } from '../harness/contender.js';

const require = createRequire(import.meta.url);

export const contender: Contender = {
  subject: `heartwire ${require('heartwire/package.json').version}, PersistentConnection`,
  note: 'ready, with nothing to acknowledge; onMessage as for Connection',
  load: "await import('heartwire')",
  async open({ url, ca }, inbox) {
    let closing = false;
    const feed = new PersistentConnection(url, {
      connect: { tls: { ca } },
      connectionBudget: false,
      onMessage(message) {
        if (message.isText) inbox.text(message.text());
        else inbox.binary(message.buffer, message.byteOffset, message.byteLength);
      },
    });
    feed.on('failure', ({ failure }) => {
      if (!closing) inbox.fail(failure.error ?? new Error(`connection closed: ${failure.kind}`));
    });
    await feed.ready;
    return {
      send: (payload: Payload) => {
        feed.send(payload);
      },
      sendAll: (payloads) => {
        for (const payload of payloads) feed.send(payload);
      },
      close: async () => {
        closing = true;
        await feed.close();
      },
    };
  },
};
