/** `createWebSocketStream` of `ws`: a WebSocket as a Duplex, a chunk for each message. */

import { Duplex, type DuplexOptions } from 'node:stream';
import type { WebSocket } from '../websocket.js';

class WebSocketStream extends Duplex {
  readonly #websocket: WebSocket;
  /** False when an error has ended the connection already, and its Close frame should still leave. */
  #terminates = true;

  constructor(websocket: WebSocket, options: DuplexOptions) {
    super({ ...options, autoDestroy: false, emitClose: false, objectMode: false, writableObjectMode: false });
    this.#websocket = websocket;
    const { readableObjectMode } = this;
    websocket.on('message', (data: unknown, isBinary: boolean) => {
      const chunk = isBinary || !readableObjectMode ? data : String(data);
      if (!this.push(chunk)) websocket.pause();
    });
    websocket.once('error', (error: Error) => {
      if (this.destroyed) return;
      this.#terminates = false;
      this.destroy(error);
    });
    websocket.once('close', () => {
      if (!this.destroyed) this.push(null);
    });
    this.on('end', () => {
      if (!this.destroyed && this.writableFinished) this.destroy();
    });
    const onError = (error: Error): void => {
      this.off('error', onError);
      this.destroy();
      // Whoever has no listener hears of it as of any error without one.
      if (this.listenerCount('error') === 0) this.emit('error', error);
    };
    this.on('error', onError);
  }

  override _read(): void {
    if (this.#websocket.isPaused) this.#websocket.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const websocket = this.#websocket;
    if (websocket.readyState === websocket.CONNECTING) {
      websocket.once('open', () => this._write(chunk, encoding, callback));
      return;
    }
    websocket.send(chunk, callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    const websocket = this.#websocket;
    if (websocket.readyState === websocket.CONNECTING) {
      websocket.once('open', () => this._final(callback));
      return;
    }
    const socket = websocket._socket;
    // The opening handshake has failed: its error ends the stream.
    if (socket === null) return;
    if (socket.writableFinished) {
      callback();
      if (this.readableEnded) this.destroy();
      return;
    }
    // The end of what is received comes later, with the socket's.
    socket.once('finish', () => callback());
    websocket.close();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const websocket = this.#websocket;
    const emitClose = () => process.nextTick(() => this.emit('close'));
    if (websocket.readyState === websocket.CLOSED) {
      callback(error);
      emitClose();
      return;
    }
    let called = false;
    websocket.once('error', (failure: Error) => {
      called = true;
      callback(failure);
    });
    websocket.once('close', () => {
      if (!called) callback(error);
      emitClose();
    });
    if (this.#terminates) websocket.terminate();
  }
}

/**
 * The connection as a stream of bytes, or of messages with `readableObjectMode`. Ending it closes the connection.
 * @param options of the Duplex; `objectMode`, `writableObjectMode` and `autoDestroy` are without effect
 */
export function createWebSocketStream(websocket: WebSocket, options: DuplexOptions = {}): Duplex {
  return new WebSocketStream(websocket, options);
}
