import { createRequire } from 'node:module';
import WebSocket from 'ws';
import type { Contender, Payload } from '../harness/contender.js';

const require = createRequire(import.meta.url);
const versionOf = (name: string): string => require(`${name}/package.json`).version;

const UNCOMPRESSED = { compress: false };

export const contender: Contender = {
  subject: `ws ${versionOf('ws')}, bufferutil ${versionOf('bufferutil')}`,
  note: 'with bufferutil, perMessageDeflate off where nothing is compressed; text by toString() of the Buffer that it hands over',
  // Without bufferutil, which it would load and which is another package.
  load: "process.env.WS_NO_BUFFER_UTIL = '1'; await import('ws')",
  open: ({ url, ca, compressed }, inbox) =>
    new Promise((resolve, reject) => {
      let closed: (() => void) | undefined;
      const socket = new WebSocket(url, { perMessageDeflate: compressed, ca });
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
    }),
};
