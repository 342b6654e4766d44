/** What the tests use of it; nobody publishes types. */
declare module 'faye-websocket' {
  import type { IncomingMessage } from 'node:http';
  import type { Duplex } from 'node:stream';

  export default class FayeWebSocket {
    constructor(request: IncomingMessage, socket: Duplex, head: Buffer, protocols: readonly string[]);
    on(event: 'open', listener: () => void): void;
    on(event: 'message', listener: (event: { data: string | Buffer }) => void): void;
    on(event: 'close', listener: (event: { code: number; reason: string }) => void): void;
    send(data: string | Buffer): boolean;
    ping(payload: string, onPong: () => void): boolean;
    close(code: number, reason: string): void;
  }
}
