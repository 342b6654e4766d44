import { createRequire } from 'node:module';
import type { Contender } from '../harness/contender.js';
import { type WhatwgWebSocket, whatwgLink } from '../harness/whatwg.js';

const require = createRequire(import.meta.url);
const { Client } = require('faye-websocket') as {
  Client: new (url: string, protocols: string[], options: object) => WhatwgWebSocket;
};

export const contender: Contender = {
  subject: `faye-websocket ${require('faye-websocket/package.json').version}`,
  note: 'its Client',
  load: "await import('faye-websocket')",
  open: ({ url, ca }, inbox) => whatwgLink(new Client(url, [], { ca, tls: { ca } }), inbox),
};
