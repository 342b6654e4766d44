import { createRequire } from 'node:module';
import { connect } from 'heartwire';
import type { Contender, Payload } from '../harness/contender.js';

const require = createRequire(import.meta.url);

export const contender: Contender = {
  subject: `heartwire ${require('heartwire/package.json').version}`,
  note: 'Connection as it comes, heartbeat on; binary read at buffer and byteOffset, text by text()',
  load: "await import('heartwire')",
  async open({ url, ca, compressed }, inbox) {
    let closing = false;
    const connection = await connect(url, {
      tls: { ca },
      perMessageDeflate: compressed,
      onMessage(message) {
        if (message.isText) inbox.text(message.text());
        else inbox.binary(message.buffer, message.byteOffset, message.byteLength);
      },
      onClose({ code, reason }) {
        if (!closing) inbox.fail(new Error(`connection closed: ${code} ${reason}`));
      },
    });
    return {
      send: (payload: Payload) => {
        connection.send(payload);
      },
      sendAll: (payloads) => {
        for (const payload of payloads) connection.send(payload);
      },
      close: async () => {
        closing = true;
        await connection.close();
      },
    };
  },
};
