import { createRequire } from 'node:module';
import { WebSocket } from 'heartwire';
import type { Contender, Payload } from '../harness/contender.js';

const require = createRequire(import.meta.url);

export const contender: Contender = {
  subject: `heartwire ${require('heartwire/package.json').version}, its WebSocket`,
  note: "the drop-in class as ws is used here: on('message') with Buffers, text by toString()",
  load: "await import('heartwire')",
  open: ({ url, ca }, inbox) =>
    new Promise((resolve, reject) => {
      let closed: (() => void) | undefined;
      const socket = new WebSocket(url, { perMessageDeflate: false, ca });
      socket.on('message', (data, isBinary) => {
        if (isBinary) inbox.binary(data as Buffer, 0, (data as Buffer).length);
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
          send: (payload: Payload) => socket.send(payload),
          sendAll: (payloads) => {
            for (const payload of payloads) socket.send(payload);
          },
          close: () =>
            new Promise((resolve) => {
              closed = resolve;
              socket.close();
            }),
        }),
      );
    }),
};
