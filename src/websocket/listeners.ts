/**
 * `addEventListener` on an EventEmitter: each listener is wrapped into one of the emitter's, so that both kinds are
 * called in the order in which they came. An event object is made when the first wrapper of an emission wants one.
 */

import type { EventEmitter } from 'node:events';
import { rethrow } from '../protocol/callback.js';
import type { WebSocket } from '../websocket.js';
import {
  beginDispatch,
  CloseEvent,
  ErrorEvent,
  endDispatch,
  isStopped,
  MessageEvent,
  SocketEvent,
} from './events.js';
import { turn } from './task-queue.js';

export type ListenerCallback = (event: never) => unknown;
export type Listener = ListenerCallback | { handleEvent: ListenerCallback };

export interface ListenerOptions {
  once?: boolean | undefined;
  capture?: boolean | undefined;
  passive?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** A listener as the emitter has it. */
interface Wrapper {
  (first?: unknown, second?: unknown): void;
  handler: unknown;
  /** Set by `onmessage` and its like. */
  readonly isAttribute: boolean;
  readonly capture: boolean;
}

type Emitted = ((...args: never[]) => void) & Partial<Wrapper> & { listener?: Emitted };

/** What is behind a listener that was added with `once`. */
const unwrapped = (listener: Emitted): Emitted => listener.listener ?? listener;

/** An emission, and its event; `null` while no wrapper has asked for it. */
interface Emission {
  target: EventEmitter | undefined;
  type: string;
  event: SocketEvent | null;
}

/** The emission under way: one at a time, the innermost. */
let emission: Emission | undefined;
const usual: Emission = { target: undefined, type: '', event: null };

/** Emits; every listener of the standard's kind is given the same event. */
export function emitEvent(target: WebSocket, type: string, first?: unknown, second?: unknown): boolean {
  const outer = emission;
  // One serves all that are not inside another.
  const current: Emission = outer === undefined ? usual : { target, type, event: null };
  current.target = target;
  current.type = type;
  emission = current;
  try {
    // The emitter's listeners are given no argument more than ws gives them.
    if (second !== undefined) return target.emit(type, first, second);
    return first === undefined ? target.emit(type) : target.emit(type, first);
  } finally {
    emission = outer;
    const event = current.event;
    current.event = null;
    current.target = undefined;
    if (event !== null) endDispatch(event);
  }
}

/** True when whoever listens wants events, so that the emitter's arguments need not be made for anybody. */
export function wantsEventsOnly(listeners: unknown): boolean {
  if (typeof listeners === 'function') return unwrapped(listeners as Emitted).handler !== undefined;
  return (listeners as Emitted[]).every((listener) => unwrapped(listener).handler !== undefined);
}

// ------------------------------------------------------------------------------------------- the standard's methods

export function addListener(
  target: WebSocket,
  type: string,
  handler: unknown,
  options: ListenerOptions | boolean | undefined,
  isAttribute = false,
): void {
  const { once, signal } =
    typeof options === 'object' && options !== null ? options : ({} as ListenerOptions);
  const capture = typeof options === 'object' ? Boolean(options?.capture) : Boolean(options);
  if (handler === null || handler === undefined || signal?.aborted) return;
  if (typeof handler !== 'function' && typeof handler !== 'object') {
    throw new TypeError('The listener must be a function, or an object with handleEvent');
  }
  if (!isAttribute && find(target, type, handler, capture) !== undefined) return;
  const wrapper = wrap(target, type, handler, capture, isAttribute);
  if (once) target.once(type, wrapper);
  else target.on(type, wrapper);
  signal?.addEventListener('abort', () => void target.off(type, wrapper), { once: true });
}

export function removeListener(
  target: WebSocket,
  type: string,
  handler: unknown,
  options: ListenerOptions | boolean | undefined,
): void {
  const capture = typeof options === 'object' ? Boolean(options?.capture) : Boolean(options);
  const wrapper = find(target, type, handler, capture);
  if (wrapper !== undefined) target.off(type, wrapper as (...args: unknown[]) => void);
}

/** `onopen` and its like. */
export function attribute(target: WebSocket, type: string): Wrapper | undefined {
  const listeners = target.listeners(type) as Emitted[];
  return listeners.find((listener) => listener.isAttribute) as Wrapper | undefined;
}

/** Another handler takes the place of the one before; none gives it up (HTML, event handler attributes). */
export function setAttribute(target: WebSocket, type: string, handler: unknown): void {
  const wrapper = attribute(target, type);
  if (handler === null) {
    if (wrapper !== undefined) target.off(type, wrapper);
  } else if (wrapper !== undefined) {
    wrapper.handler = handler;
  } else {
    addListener(target, type, handler, undefined, true);
  }
}

/** Calls the listeners with an event of somebody's making. */
export function dispatch(target: WebSocket, given: unknown): boolean {
  const event = given as SocketEvent;
  if (typeof event?.type !== 'string') throw new TypeError('dispatchEvent() takes an Event');
  const outer = emission;
  emission = { target, type: event.type, event };
  beginDispatch(event, target);
  try {
    for (const listener of target.rawListeners(event.type) as Emitted[]) {
      if (unwrapped(listener).handler !== undefined) (listener as () => void).call(target);
    }
  } finally {
    emission = outer;
    endDispatch(event);
  }
  return !event.defaultPrevented;
}

function find(target: WebSocket, type: string, handler: unknown, capture: boolean): Emitted | undefined {
  return (target.listeners(type) as Emitted[]).find(
    (each) => each.handler === handler && !each.isAttribute && each.capture === capture,
  );
}

// ------------------------------------------------------------------------------------------------------- wrappers

function wrap(
  target: WebSocket,
  type: string,
  handler: unknown,
  capture: boolean,
  isAttribute: boolean,
): Wrapper {
  const listener = (first?: unknown, second?: unknown): void => {
    const event = eventOf(target, type, first, second);
    if (event === undefined || isStopped(event)) return;
    if (!target.isStandard) {
      call(wrapper, target, event);
      return;
    }
    // DOM, "inner invoke": an exception is reported, and the next listener called.
    try {
      call(wrapper, target, event);
    } catch (thrown) {
      rethrow(thrown);
    }
  };
  const wrapper: Wrapper = Object.assign(listener, { handler, isAttribute, capture });
  return wrapper;
}

function call({ handler, isAttribute }: Wrapper, target: WebSocket, event: SocketEvent): void {
  if (typeof handler === 'function') {
    handler.call(target, event);
  } else if (!isAttribute) {
    const { handleEvent } = handler as { handleEvent?: unknown };
    if (typeof handleEvent !== 'function') throw new TypeError('The listener has no handleEvent method');
    handleEvent.call(handler, event);
  }
}

/** The emission's event. An emission of somebody else's has an event for each listener. */
function eventOf(target: WebSocket, type: string, first: unknown, second: unknown): SocketEvent | undefined {
  const current = emission?.target === target && emission.type === type ? emission : undefined;
  if (current !== undefined && current.event !== null) return current.event;
  const event = makeEvent(target, type, first, second);
  if (event === undefined) return undefined;
  beginDispatch(event, target);
  if (current === undefined) endDispatch(event);
  else current.event = event;
  return event;
}

function makeEvent(
  target: WebSocket,
  type: string,
  first: unknown,
  second: unknown,
): SocketEvent | undefined {
  switch (type) {
    case 'message': {
      // Text that nobody wanted as a Buffer is a string already.
      const data = second || typeof first === 'string' ? first : String(first);
      return new MessageEvent(type, { data }, target.isStandard ? turn.startedAt : undefined);
    }
    case 'open':
      return new SocketEvent(type);
    case 'close':
      return new CloseEvent(type, {
        code: first as number,
        reason: String(second),
        wasClean: target.closedCleanly,
      });
    case 'error':
      return new ErrorEvent(type, { error: first, message: (first as Error | undefined)?.message });
    // The emitter has events of other names, which are none of the standard's.
    default:
      return undefined;
  }
}
