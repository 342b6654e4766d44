import { createRequire } from 'node:module';
import WebSocket from 'ws';
import type { Contender } from '../harness/contender.js';
import { openWith } from '../harness/ws-link.js';

const require = createRequire(import.meta.url);
const versionOf = (name: string): string => require(`${name}/package.json`).version;

export const contender: Contender = {
  subject: `ws ${versionOf('ws')}, bufferutil ${versionOf('bufferutil')}`,
  note: 'with bufferutil, perMessageDeflate only where messages are compressed; text by toString() of the Buffer that it hands over',
  // Without bufferutil, which it would load and which is another package.
  load: "process.env.WS_NO_BUFFER_UTIL = '1'; await import('ws')",
  open: openWith(WebSocket),
};
