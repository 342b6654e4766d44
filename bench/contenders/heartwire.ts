import { createRequire } from 'node:module';
import { connect } from 'heartwire';
import type { Contender } from '../harness/contender.js';
import { openWith } from '../harness/heartwire-link.js';

const require = createRequire(import.meta.url);

export const contender: Contender = {
  subject: `heartwire ${require('heartwire/package.json').version}`,
  note: 'Connection as it comes, heartbeat on; binary read at buffer and byteOffset, text by text()',
  load: "await import('heartwire')",
  open: openWith(connect),
};
