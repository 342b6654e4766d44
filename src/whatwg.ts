/** `heartwire/whatwg`: the `WebSocket` class in the standard's ways, to be put in the place of the global one. */

import { EventEmitter } from 'node:events';
import type { ClientOptions } from './websocket/client-options.js';
import { CloseEvent, ErrorEvent, MessageEvent } from './websocket/events.js';
import { Listening } from './websocket/listening.js';
import { WebSocket as Base } from './websocket.js';

/** The global's type, of lib.dom or of Node's types, where there is one. */
type Global<Name extends string, Otherwise> =
  typeof globalThis extends Record<Name, { prototype: infer Type }> ? Type : Otherwise;

interface EventMap {
  open: Global<'Event', Base.Event>;
  message: Global<'MessageEvent', Base.MessageEvent>;
  error: Global<'Event', Base.Event>;
  close: Global<'CloseEvent', Base.CloseEvent>;
}

type ListenerOf<Event> = ((event: Event) => unknown) | { handleEvent(event: Event): unknown };
type Options = boolean | Base.EventListenerOptions;

type Differing =
  | 'addEventListener'
  | 'binaryType'
  | 'close'
  | 'onclose'
  | 'onerror'
  | 'onmessage'
  | 'onopen'
  | 'removeEventListener';

export interface WebSocket extends Omit<Base, Differing> {
  binaryType: 'blob' | 'arraybuffer';
  onopen: ((event: EventMap['open']) => unknown) | null;
  onmessage: ((event: EventMap['message']) => unknown) | null;
  onerror: ((event: EventMap['error']) => unknown) | null;
  onclose: ((event: EventMap['close']) => unknown) | null;
  /**
   * @param code 1000, or 3000 to 4999
   * @param reason at most 123 bytes of UTF-8
   */
  close(code?: number, reason?: string): void;
  addEventListener<Type extends keyof EventMap>(
    type: Type,
    listener: ListenerOf<EventMap[Type]> | null,
    options?: Options,
  ): void;
  addEventListener(type: string, listener: ListenerOf<never> | null, options?: Options): void;
  removeEventListener<Type extends keyof EventMap>(
    type: Type,
    listener: ListenerOf<EventMap[Type]> | null,
    options?: Options,
  ): void;
  removeEventListener(type: string, listener: ListenerOf<never> | null, options?: Options): void;
}

/** What the global's constructor takes: Node's takes an object with `protocols` and `headers` too. */
type GlobalProtocols = typeof globalThis extends {
  WebSocket: new (url: string, protocols?: infer Protocols) => object;
}
  ? Protocols
  : never;

interface WebSocketConstructor {
  /**
   * @param url `ws:`, `wss:`, `http:` or `https:`
   * @param options what the standard does not know: those of `ws`
   * @throws DOMException `SyntaxError` for a URL or subprotocol that cannot be
   */
  new (
    url: string | URL,
    protocols?: string | string[] | ClientOptions | GlobalProtocols,
    options?: ClientOptions,
  ): WebSocket;
  readonly prototype: WebSocket;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSING: 2;
  readonly CLOSED: 3;
}

class StandardWebSocket extends Base {}

// Web IDL: what the interface has is its prototype's own, and a WebSocket is an EventTarget. The emitter's methods come
// along; what is lost is `instanceof EventEmitter`, since a prototype has but one before it.
for (const { prototype } of [EventEmitter, Listening, Base]) {
  for (const name of Reflect.ownKeys(prototype)) {
    if (name === 'constructor' || name === 'isStandard') continue;
    Object.defineProperty(
      StandardWebSocket.prototype,
      name,
      Object.getOwnPropertyDescriptor(prototype, name)!,
    );
  }
}
Object.setPrototypeOf(StandardWebSocket.prototype, EventTarget.prototype);
Object.defineProperty(StandardWebSocket, 'name', { value: 'WebSocket' });
Object.defineProperty(StandardWebSocket, 'WebSocket', { value: StandardWebSocket });
Object.defineProperty(StandardWebSocket.prototype, 'isStandard', { value: true });
Object.defineProperty(StandardWebSocket.prototype, Symbol.toStringTag, {
  value: 'WebSocket',
  configurable: true,
});

export const WebSocket = StandardWebSocket as unknown as WebSocketConstructor;

// What `require('heartwire/whatwg')` gives.
export { CloseEvent, ErrorEvent, MessageEvent, WebSocket as 'module.exports' };
export default WebSocket;
