/** Events and what is asked of listeners, as `@types/ws` types them. */

import type { WebSocket } from '../websocket.js';

export interface Event {
  type: string;
  target: WebSocket;
}

export interface ErrorEvent extends Event {
  error: Error;
  message: string;
}

export interface CloseEvent extends Event {
  wasClean: boolean;
  code: number;
  reason: string;
}

export interface MessageEvent extends Event {
  data: WebSocket.Data;
}

export interface WebSocketEventMap {
  open: Event;
  error: ErrorEvent;
  close: CloseEvent;
  message: MessageEvent;
}

export interface EventListenerOptions {
  once?: boolean | undefined;
  capture?: boolean | undefined;
  passive?: boolean | undefined;
  signal?: AbortSignal | undefined;
}
