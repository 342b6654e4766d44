/**
 * What listeners of the standard's kind are given. Making one of Node's own events costs a microsecond and more, so
 * these are plain objects that say the same, and pass for an `Event` where somebody asks with `instanceof`.
 */

import type { WebSocket } from '../websocket.js';

/** `Event.AT_TARGET`: a socket has no parent, so an event is nowhere else on its way. */
const AT_TARGET = 2;

export class SocketEvent {
  readonly type: string;
  /** The socket. */
  target!: WebSocket;
  readonly timeStamp: number;
  /** @internal While listeners are called. */
  underWay = false;
  /** @internal The rest of the listeners is not to be called. */
  stopped = false;

  constructor(type: string, _init?: object, timeStamp = performance.now()) {
    this.type = type;
    this.timeStamp = timeStamp;
  }

  get currentTarget(): WebSocket | null {
    return this.underWay ? this.target : null;
  }

  get srcElement(): WebSocket {
    return this.target;
  }

  get eventPhase(): number {
    return this.underWay ? AT_TARGET : 0;
  }

  composedPath(): WebSocket[] {
    return this.underWay ? [this.target] : [];
  }

  stopImmediatePropagation(): void {
    this.stopped = true;
  }

  /** There is nowhere for it to go. */
  stopPropagation(): void {}

  /** There is nothing to prevent. */
  preventDefault(): void {}

  get bubbles(): boolean {
    return false;
  }

  get cancelable(): boolean {
    return false;
  }

  get composed(): boolean {
    return false;
  }

  get defaultPrevented(): boolean {
    return false;
  }

  get cancelBubble(): boolean {
    return this.stopped;
  }

  get returnValue(): boolean {
    return true;
  }

  get isTrusted(): boolean {
    return true;
  }
}

Object.setPrototypeOf(SocketEvent.prototype, globalThis.Event.prototype);

const NO_PORTS: readonly never[] = Object.freeze([]);

export class MessageEvent<Data = unknown> extends SocketEvent {
  data: Data;

  constructor(type: string, init?: { data?: Data }, timeStamp?: number) {
    super(type, init, timeStamp);
    this.data = init?.data as Data;
  }

  /** Scheme, host and port of the URL. */
  get origin(): string {
    return this.target === undefined ? '' : new URL(this.target.url).origin;
  }

  get lastEventId(): string {
    return '';
  }

  get source(): null {
    return null;
  }

  get ports(): readonly never[] {
    return NO_PORTS;
  }
}

export class CloseEvent extends SocketEvent {
  readonly code: number;
  readonly reason: string;
  readonly wasClean: boolean;

  constructor(type: string, init: { code?: number; reason?: string; wasClean?: boolean } = {}) {
    super(type);
    this.code = init.code ?? 0;
    this.reason = init.reason ?? '';
    this.wasClean = init.wasClean ?? false;
  }
}

export class ErrorEvent extends SocketEvent {
  readonly error: unknown;
  readonly message: string;

  constructor(type: string, init: { error?: unknown; message?: string } = {}) {
    super(type);
    this.error = init.error ?? null;
    this.message = init.message ?? '';
  }
}

for (const [kind, name] of [
  [SocketEvent, 'Event'],
  [MessageEvent, 'MessageEvent'],
  [CloseEvent, 'CloseEvent'],
  [ErrorEvent, 'ErrorEvent'],
] as const) {
  Object.defineProperty(kind.prototype, Symbol.toStringTag, { value: name, configurable: true });
}
