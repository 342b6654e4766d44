import { createRequire } from 'node:module';
import { WebSocket } from 'heartwire/whatwg';
import type { Contender } from '../harness/contender.js';
import { whatwgLink } from '../harness/whatwg.js';

const require = createRequire(import.meta.url);

export const contender: Contender = {
  subject: `heartwire ${require('heartwire/package.json').version}, its WebSocket of heartwire/whatwg`,
  note: "binaryType 'arraybuffer', each message in a task of its own",
  load: "await import('heartwire/whatwg')",
  open: ({ url, ca }, inbox) => whatwgLink(new WebSocket(url, [], { perMessageDeflate: false, ca }), inbox),
};
