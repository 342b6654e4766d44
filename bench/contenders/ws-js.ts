import { createRequire } from 'node:module';
import type { Contender } from '../harness/contender.js';
import { openWith } from '../harness/ws-link.js';

const require = createRequire(import.meta.url);

process.env.WS_NO_BUFFER_UTIL = '1';
const { WebSocket } = await import('ws');

export const contender: Contender = {
  subject: `ws ${require('ws/package.json').version}`,
  note: 'as it comes, masking in JavaScript; perMessageDeflate only where messages are compressed',
  load: "process.env.WS_NO_BUFFER_UTIL = '1'; await import('ws')",
  open: openWith(WebSocket),
};
