/** A stream of the user's over a socket, for `createConnection`, whose nth write or read goes wrong. */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

export interface StreamFault {
  /** Counted from 0. */
  nth: number;
  on: 'write' | 'read';
  /** `throw`: out of the stream's own method, which no stream should do. */
  failing: 'error' | 'destroy' | 'end' | 'stall' | 'throw';
}

export class FaultyStream extends Duplex {
  writes = 0;
  reads = 0;
  failed = false;
  readonly #socket: Socket;
  readonly #fault: StreamFault | undefined;

  constructor(socket: Socket, fault?: StreamFault) {
    super();
    this.#socket = socket;
    this.#fault = fault;
    socket.on('data', (chunk: Buffer) => {
      if (this.#isDue('read', this.reads++)) this.#fail();
      else if (!this.#hasEnded && !this.push(chunk)) socket.pause();
    });
    socket.on('end', () => this.#hasEnded || this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  /** Nothing is read any more, or ever will be. */
  get #hasEnded(): boolean {
    return this.failed && this.#fault?.on === 'read';
  }

  #isDue(on: 'write' | 'read', index: number): boolean {
    if (this.#fault?.on !== on || this.#fault.nth !== index) return false;
    this.failed = true;
    return true;
  }

  #fail(callback?: (error?: Error | null) => void): void {
    const error = new Error('a fault of this test');
    const { failing } = this.#fault!;
    if (failing === 'stall') this.#socket.pause();
    else if (failing === 'destroy') this.destroy();
    else if (failing === 'throw') throw error;
    else if (failing === 'end') {
      this.push(null);
      callback?.();
    } else if (callback !== undefined) callback(error);
    else this.destroy(error);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.#isDue('write', this.writes++)) this.#fail(callback);
    else this.#socket.write(chunk, callback);
  }

  override _final(callback: () => void): void {
    this.#socket.end(callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }
}
