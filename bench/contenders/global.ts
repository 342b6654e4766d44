import tls from 'node:tls';
import type { Contender } from '../harness/contender.js';
import { whatwgLink } from '../harness/whatwg.js';

const { undici = 'none', node } = process.versions;
let trusted: string | undefined;

export const contender: Contender = {
  subject: `the WebSocket of Node ${node} (undici ${undici})`,
  note: "the global one, binaryType 'arraybuffer', the certificate trusted by setDefaultCACertificates()",
  unsupported:
    globalThis.WebSocket === undefined || tls.setDefaultCACertificates === undefined
      ? `Node ${node} has no global WebSocket, or no way to tell it what to trust: that takes 22.19 or 24.5`
      : undefined,
  // It is loaded when the name is used.
  load: 'globalThis.WebSocket',
  open({ url, ca }, inbox) {
    if (url.startsWith('wss:') && ca !== trusted) {
      tls.setDefaultCACertificates([ca]);
      trusted = ca;
    }
    return whatwgLink(new WebSocket(url), inbox);
  },
};
