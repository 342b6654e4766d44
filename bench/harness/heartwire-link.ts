/** A link on Heartwire's Connection: of this tree, or of another commit's. */
import type { connect as Connect } from 'heartwire';
import type { Contender, Payload } from './contender.js';

export function openWith(connect: typeof Connect): Contender['open'] {
  return async ({ url, ca, compressed }, inbox) => {
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
  };
}
