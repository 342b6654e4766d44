import { createRequire } from 'node:module';
import { WebSocket } from 'heartwire';
import type { WebSocket as Client } from 'ws';
import type { Contender } from '../harness/contender.js';
import { openWith } from '../harness/ws-link.js';

const require = createRequire(import.meta.url);

export const contender: Contender = {
  subject: `heartwire ${require('heartwire/package.json').version}, its WebSocket`,
  note: "the drop-in class as ws is used here: on('message') with Buffers, text by toString()",
  load: "await import('heartwire')",
  // Servers are not its business, so to the compiler it is not the whole of ws's class.
  open: openWith(WebSocket as unknown as typeof Client),
};
