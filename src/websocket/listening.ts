/** How one listens to a WebSocket: the emitter's methods, and beside them the standard's. */

import { EventEmitter } from 'node:events';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { WebSocket } from '../websocket.js';
import { addListener, attribute, dispatch, emitEvent, removeListener, setAttribute } from './listeners.js';

/** The emitter's events and their arguments, as `on` gives them. */
export interface WebSocketEvents {
  open: [];
  message: [data: WebSocket.RawData, isBinary: boolean];
  close: [code: number, reason: Buffer];
  error: [error: Error];
  ping: [data: Buffer];
  pong: [data: Buffer];
  upgrade: [response: IncomingMessage];
  redirect: [url: string, request: ClientRequest];
  'unexpected-response': [request: ClientRequest, response: IncomingMessage];
}

/** Objects without a prototype, and with fast properties. */
function Listeners(): void {}
Listeners.prototype = Object.create(null);

// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the interface only says what the emitter's methods take.
export abstract class Listening extends EventEmitter {
  /** @internal The standard's ways, where they differ. */
  declare readonly isStandard: boolean;
  /** @internal Somebody listens in the standard's way. */
  hasListeners = false;

  constructor() {
    super();
    // Node's is a hash table from the start, which takes five times the memory.
    (this as unknown as { _events: object })._events = new (Listeners as unknown as new () => object)();
  }

  /** @internal Emits, for listeners of both kinds. */
  fire(type: string, ...args: unknown[]): void {
    if (this.hasListeners) emitEvent(this.#socket, type, ...args);
    else this.emit(type, ...args);
  }

  /** @internal An emitter throws an error that nobody listens for; the standard's events are never an exception. */
  fireError(error: Error): void {
    if (this.isStandard && this.listenerCount('error') === 0) return;
    this.fire('error', error);
  }

  get onopen(): ((event: WebSocket.Event) => void) | null {
    return this.#attribute('open');
  }

  set onopen(handler: ((event: WebSocket.Event) => void) | null) {
    this.#setAttribute('open', handler);
  }

  get onmessage(): ((event: WebSocket.MessageEvent) => void) | null {
    return this.#attribute('message');
  }

  set onmessage(handler: ((event: WebSocket.MessageEvent) => void) | null) {
    this.#setAttribute('message', handler);
  }

  get onerror(): ((event: WebSocket.ErrorEvent) => void) | null {
    return this.#attribute('error');
  }

  set onerror(handler: ((event: WebSocket.ErrorEvent) => void) | null) {
    this.#setAttribute('error', handler);
  }

  get onclose(): ((event: WebSocket.CloseEvent) => void) | null {
    return this.#attribute('close');
  }

  set onclose(handler: ((event: WebSocket.CloseEvent) => void) | null) {
    this.#setAttribute('close', handler);
  }

  #attribute<Handler>(type: string): Handler | null {
    return (attribute(this.#socket, type)?.handler ?? null) as Handler | null;
  }

  #setAttribute(type: string, handler: unknown): void {
    const isHandler =
      typeof handler === 'function' || (this.isStandard && typeof handler === 'object' && handler !== null);
    this.hasListeners = true;
    setAttribute(this.#socket, type, isHandler ? handler : null);
  }

  /** Listeners are called in the order in which they came, those of `on()` among them. */
  addEventListener<Type extends keyof WebSocket.WebSocketEventMap>(
    type: Type,
    listener: EventListenerOf<WebSocket.WebSocketEventMap[Type]> | null,
    options?: WebSocket.EventListenerOptions | boolean,
  ): void;
  addEventListener(
    type: string,
    listener: unknown,
    options?: WebSocket.EventListenerOptions | boolean,
  ): void {
    this.hasListeners = true;
    addListener(this.#socket, String(type), listener, options);
  }

  removeEventListener<Type extends keyof WebSocket.WebSocketEventMap>(
    type: Type,
    listener: EventListenerOf<WebSocket.WebSocketEventMap[Type]> | null,
    options?: WebSocket.EventListenerOptions | boolean,
  ): void;
  removeEventListener(
    type: string,
    listener: unknown,
    options?: WebSocket.EventListenerOptions | boolean,
  ): void {
    removeListener(this.#socket, String(type), listener, options);
  }

  /** Calls the listeners of the standard's kind. Returns false when the event was cancelled. */
  dispatchEvent(event: object): boolean {
    return dispatch(this.#socket, event);
  }

  get #socket(): WebSocket {
    return this as unknown as WebSocket;
  }
}

// As in the browser's class, and in ws: attributes are enumerable.
for (const name of ['onclose', 'onerror', 'onmessage', 'onopen']) {
  Object.defineProperty(Listening.prototype, name, { enumerable: true });
}

type EventListenerOf<Event> = ((event: Event) => unknown) | { handleEvent(event: Event): unknown };

type EmitterListener<Name extends keyof WebSocketEvents> = (
  this: WebSocket,
  ...args: WebSocketEvents[Name]
) => void;

/** The emitter's methods, with the types of their arguments. */
export interface Listening {
  on<Name extends keyof WebSocketEvents>(event: Name, listener: EmitterListener<Name>): this;
  on(event: string | symbol, listener: (this: WebSocket, ...args: never[]) => void): this;
  once<Name extends keyof WebSocketEvents>(event: Name, listener: EmitterListener<Name>): this;
  once(event: string | symbol, listener: (this: WebSocket, ...args: never[]) => void): this;
  off<Name extends keyof WebSocketEvents>(event: Name, listener: EmitterListener<Name>): this;
  off(event: string | symbol, listener: (this: WebSocket, ...args: never[]) => void): this;
  addListener<Name extends keyof WebSocketEvents>(event: Name, listener: EmitterListener<Name>): this;
  addListener(event: string | symbol, listener: (this: WebSocket, ...args: never[]) => void): this;
  removeListener<Name extends keyof WebSocketEvents>(event: Name, listener: EmitterListener<Name>): this;
  removeListener(event: string | symbol, listener: (this: WebSocket, ...args: never[]) => void): this;
}
