import { createRequire } from 'node:module';
import websocket from 'websocket';
import type { Contender } from '../harness/contender.js';

const require = createRequire(import.meta.url);
/** It refuses messages above 1 MiB otherwise, and cuts what it sends into fragments of 16 KiB. */
const LARGEST = 64 * 1024 * 1024;

export const contender: Contender = {
  subject: `websocket ${require('websocket/package.json').version}`,
  note: 'theturtle32, its WebSocketClient; no fragments sent, larger messages allowed than by default',
  load: "await import('websocket')",
  open: ({ url, ca }, inbox) =>
    new Promise((resolve, reject) => {
      const client = new websocket.client({
        tlsOptions: { ca },
        fragmentOutgoingMessages: false,
        maxReceivedMessageSize: LARGEST,
        maxReceivedFrameSize: LARGEST,
      });
      client.on('connectFailed', reject);
      client.on('connect', (connection) => {
        let closing = false;
        connection.on('message', (message) => {
          if (message.type === 'utf8') inbox.text(message.utf8Data);
          else inbox.binary(message.binaryData, 0, message.binaryData.length);
        });
        connection.on('error', (error) => inbox.fail(error));
        connection.on('close', (code, reason) => {
          if (!closing) inbox.fail(new Error(`connection closed: ${code} ${reason}`));
        });
        resolve({
          send: (payload) => connection.send(payload),
          sendAll: (payloads) => {
            for (const payload of payloads) connection.send(payload);
          },
          close: () => {
            closing = true;
            return new Promise((closed) => {
              connection.on('close', () => closed());
              connection.close();
            });
          },
        });
      });
      client.connect(url);
    }),
};
