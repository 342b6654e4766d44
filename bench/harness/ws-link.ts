/** A link on ws's WebSocket, with or without its native masking: that is decided when it is loaded. */
import type { WebSocket } from 'ws';
import type { Contender, Payload } from './contender.js';

const UNCOMPRESSED = { compress: false };

export function openWith(Client: typeof WebSocket): Contender['open'] {
  return ({ url, ca, compressed }, inbox) =>
    new Promise((resolve, reject) => {
      let closed: (() => void) | undefined;
      const socket = new Client(url, { perMessageDeflate: compressed, ca });
      socket.on('message', (data: Buffer, isBinary) => {
        if (isBinary) inbox.binary(data, 0, data.length);
        else inbox.text(data.toString());
      });
      socket.on('error', (error) => {
        reject(error);
        inbox.fail(error);
      });
      socket.on('close', (code, reason) => {
        if (closed === undefined) inbox.fail(new Error(`connection closed: ${code} ${reason}`));
        else closed();
      });
      socket.on('open', () =>
        resolve({
          // The benchmark's server does not inflate.
          send: (payload: Payload) => socket.send(payload, UNCOMPRESSED),
          sendAll: (payloads) => {
            for (const payload of payloads) socket.send(payload, UNCOMPRESSED);
          },
          close: () =>
            new Promise((resolve) => {
              closed = resolve;
              socket.close();
            }),
        }),
      );
    });
}
