/** The class that every consumer is given: in `ws`'s ways, and in the standard's. */
import { createRequire } from 'node:module';
import { WebSocket as UndiciWebSocket } from 'undici';
import type { WebSocket as WsWebSocket } from 'ws';

const built = process.env.HEARTWIRE_SUBJECT;
const subject =
  built === undefined
    ? { WebSocket: createRequire(import.meta.url)('ws'), StandardWebSocket: UndiciWebSocket }
    : {
        WebSocket: (await import(`${built}/index.js`)).WebSocket,
        StandardWebSocket: (await import(`${built}/whatwg.js`)).WebSocket,
      };

export const WebSocket = subject.WebSocket as typeof WsWebSocket;
export const StandardWebSocket = subject.StandardWebSocket as typeof globalThis.WebSocket;

/** For the consumers that use no more than the standard has. */
export const BOTH = [
  { ways: "ws's", WebSocket: WebSocket as unknown as typeof globalThis.WebSocket },
  { ways: "the standard's", WebSocket: StandardWebSocket },
];
