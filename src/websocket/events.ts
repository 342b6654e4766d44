/**
 * What listeners of the standard's kind are given. Making one of Node's own events costs a microsecond and more, so
 * these are plain objects that say the same, and pass for an `Event` where somebody asks with `instanceof`.
 */

import { type InspectOptions, inspect } from 'node:util';
import type { WebSocket } from '../websocket.js';

/** `Event.AT_TARGET`: a socket has no parent, so an event is nowhere else on its way. */
const AT_TARGET = 2;

/** Events of other makers that are to go no further. */
const stoppedOthers = new WeakSet<object>();

/** @internal Its way to the listeners begins. */
export let beginDispatch: (event: SocketEvent, target: WebSocket) => void;
/** @internal */
export let endDispatch: (event: SocketEvent) => void;
/** @internal True when the rest of the listeners is not to be called. */
export let isStopped: (event: SocketEvent) => boolean;

export class SocketEvent {
  readonly #type: string;
  readonly #timeStamp: number;
  /** The socket. */
  #target: WebSocket | null = null;
  /** While listeners are called. */
  #underWay = false;
  #stopped = false;

  static {
    beginDispatch = (event, target) => {
      if (!(#target in event)) {
        shadow(event, target);
        return;
      }
      event.#target = target;
      event.#underWay = true;
      event.#stopped = false;
    };
    endDispatch = (event) => {
      if (#target in event) event.#underWay = false;
      else shadow(event, null);
    };
    isStopped = (event) => (#target in event ? event.#stopped : stoppedOthers.has(event));
  }

  constructor(type: string, _init?: object, timeStamp = performance.now()) {
    this.#type = type;
    this.#timeStamp = timeStamp;
  }

  get type(): string {
    return this.#type;
  }

  get timeStamp(): number {
    return this.#timeStamp;
  }

  get target(): WebSocket | null {
    return this.#target;
  }

  get currentTarget(): WebSocket | null {
    return this.#underWay ? this.#target : null;
  }

  get srcElement(): WebSocket | null {
    return this.#target;
  }

  get eventPhase(): number {
    return this.#underWay ? AT_TARGET : 0;
  }

  composedPath(): WebSocket[] {
    return this.#underWay ? [this.#target!] : [];
  }

  stopImmediatePropagation(): void {
    this.#stopped = true;
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
    return this.#stopped;
  }

  get returnValue(): boolean {
    return true;
  }

  get isTrusted(): boolean {
    return true;
  }

  /** Node's own events would look for their own fields. */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { name } = this.constructor;
    return `${name} ${inspect({ type: this.type, ...this.shown() }, options)}`;
  }

  /** @internal What it says beside its type. */
  protected shown(): object {
    return {};
  }
}

Object.setPrototypeOf(SocketEvent.prototype, globalThis.Event.prototype);

const NO_PORTS: readonly never[] = Object.freeze([]);

export class MessageEvent<Data = unknown> extends SocketEvent {
  readonly #data: Data;

  constructor(type: string, init?: { data?: Data }, timeStamp?: number) {
    super(type, init, timeStamp);
    this.#data = init?.data === undefined ? (null as Data) : init.data;
  }

  get data(): Data {
    return this.#data;
  }

  /** Scheme, host and port of the URL. */
  get origin(): string {
    return this.target === null ? '' : new URL(this.target.url).origin;
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

  protected override shown(): object {
    return { data: this.data };
  }
}

export class CloseEvent extends SocketEvent {
  readonly #code: number;
  readonly #reason: string;
  readonly #wasClean: boolean;

  constructor(type: string, init: { code?: number; reason?: string; wasClean?: boolean } = {}) {
    super(type);
    this.#code = init.code ?? 0;
    this.#reason = init.reason ?? '';
    this.#wasClean = init.wasClean ?? false;
  }

  get code(): number {
    return this.#code;
  }

  get reason(): string {
    return this.#reason;
  }

  get wasClean(): boolean {
    return this.#wasClean;
  }

  protected override shown(): object {
    return { code: this.code, reason: this.reason, wasClean: this.wasClean };
  }
}

export class ErrorEvent extends SocketEvent {
  readonly #error: unknown;
  readonly #message: string;

  constructor(type: string, init: { error?: unknown; message?: string } = {}) {
    super(type);
    this.#error = init.error ?? null;
    this.#message = init.message ?? '';
  }

  get error(): unknown {
    return this.#error;
  }

  get message(): string {
    return this.#message;
  }

  protected override shown(): object {
    return { message: this.message, error: this.error };
  }
}

for (const [kind, name] of [
  [SocketEvent, 'Event'],
  [MessageEvent, 'MessageEvent'],
  [CloseEvent, 'CloseEvent'],
  [ErrorEvent, 'ErrorEvent'],
] as const) {
  Object.defineProperty(kind, 'name', { value: name, configurable: true });
  Object.defineProperty(kind.prototype, Symbol.toStringTag, { value: name, configurable: true });
  // As in the browser's classes, and in ws: attributes are enumerable, on the prototype.
  for (const [attribute, { get }] of Object.entries(Object.getOwnPropertyDescriptors(kind.prototype))) {
    if (get !== undefined) Object.defineProperty(kind.prototype, attribute, { enumerable: true });
  }
}

/** Node's own events learn their target only from Node's own EventTarget. */
function shadow(event: object, target: WebSocket | null): void {
  const values: Record<string, unknown> = {
    currentTarget: target,
    eventPhase: target === null ? 0 : AT_TARGET,
  };
  if (target !== null) {
    stoppedOthers.delete(event);
    values.target = target;
    values.srcElement = target;
    values.stopImmediatePropagation = () => void stoppedOthers.add(event);
  }
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(event, name, { value, configurable: true });
  }
}
