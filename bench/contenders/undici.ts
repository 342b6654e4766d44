import { createRequire } from 'node:module';
import { Agent, WebSocket } from 'undici';
import type { Contender } from '../harness/contender.js';
import { whatwgLink } from '../harness/whatwg.js';

const require = createRequire(import.meta.url);

/** One for all connections, as an application has it that trusts a certificate of its own. */
let agent: Agent | undefined;

export const contender: Contender = {
  subject: `undici ${require('undici/package.json').version}`,
  note: "its WebSocket, binaryType 'arraybuffer', one Agent for all connections",
  load: "await import('undici')",
  open({ url, ca }, inbox) {
    agent ??= new Agent({ connect: { ca } });
    return whatwgLink(new WebSocket(url, { dispatcher: agent }), inbox);
  },
};
