/** The class that every consumer is given: in `ws`'s ways, and in the standard's. */
import type { TestContext } from 'node:test';
import { WebSocket } from '../../src/websocket.js';
import { WebSocket as StandardClass } from '../../src/whatwg.js';

export { WebSocket };
export const StandardWebSocket: typeof globalThis.WebSocket = StandardClass;

/** For the consumers that use no more than the standard has. */
export const BOTH = [
  { ways: "ws's ways", WebSocket: WebSocket as unknown as typeof globalThis.WebSocket },
  { ways: "the standard's ways", WebSocket: StandardWebSocket },
];

/** And for those that take the global class when they are given none. */
export const GIVEN_OR_GLOBAL = [
  ...BOTH,
  { ways: "the standard's ways, as the global class", WebSocket: undefined },
];

/** Puts the standard's class in the place of the global one, for as long as the test takes. */
export function makeGlobal(t: TestContext): void {
  const own = globalThis.WebSocket;
  globalThis.WebSocket = StandardWebSocket;
  t.after(() => {
    globalThis.WebSocket = own;
  });
}
