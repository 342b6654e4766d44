/** How a WebSocket sends: `send`, `ping` and `pong` of `ws`, and what the standard counts of it. */

import type { Connection } from '../connection.js';
import type { WebSocket } from '../websocket.js';
import { STATE_NAMES } from './address.js';
import { BlobQueue } from './blob-queue.js';
import {
  type BufferLike,
  payloadOf,
  type SendCallback,
  type SendFrameOptions,
  sizeOf,
  standardPayload,
} from './payload.js';

const OPEN = 1;
const CLOSED = 3;
const MAX_CONTROL_PAYLOAD = 125;

const NO_OPTIONS: SendFrameOptions = {};

type Bytes = string | Uint8Array;

/** Made with the first message: most of many sockets only listen. */
export class Outgoing {
  readonly #socket: WebSocket;
  /** Undefined: it was never open. */
  readonly #connection: Connection | undefined;
  readonly #isStandard: boolean;
  /** The fragmented message under way is text. */
  #fragmentIsText: boolean | undefined;
  /** Made with the first Blob. */
  #blobs: BlobQueue | undefined;
  /** Bytes that were sent too late; in the standard's way, all that this turn has sent. */
  #queued = 0;
  /** In the standard's way: `#queued` counts what may have left meanwhile. */
  #counting = false;

  constructor(socket: WebSocket, connection: Connection | undefined) {
    this.#socket = socket;
    this.#connection = connection;
    this.#isStandard = socket.isStandard;
  }

  /** Bytes that the connection has not been given, or has not been given in time. */
  get waiting(): number {
    return this.#queued + (this.#blobs?.bytes ?? 0);
  }

  send(
    data: BufferLike,
    options: SendFrameOptions | SendCallback | undefined,
    callback: SendCallback | undefined,
  ): void {
    if (typeof options === 'function') {
      callback = options;
      options = undefined;
    }
    const payload = this.#isStandard ? standardPayload(data) : payloadOf(data);
    const { binary, fin = true, mask = true, compress = true } = options ?? NO_OPTIONS;
    const isText = binary === undefined ? typeof payload === 'string' : !binary;
    if (!this.#isOpen) {
      this.#sendTooLate(sizeOf(payload), callback);
    } else if (payload instanceof Blob) {
      this.#sendBlob(
        payload,
        (bytes) => this.#sendFrame(bytes, isText, fin, mask, compress, callback),
        callback,
      );
    } else if (this.#blobs?.isReading) {
      this.#wait(payload, (kept) => this.#sendFrame(kept, isText, fin, mask, compress, callback));
    } else {
      this.#sendFrame(payload, isText, fin, mask, compress, callback);
    }
  }

  #sendFrame(
    payload: Bytes,
    isText: boolean,
    fin: boolean,
    mask: boolean,
    compress: boolean,
    callback: SendCallback | undefined,
  ): void {
    // What follows the first fragment is of its kind (RFC 6455 §5.4), whatever is said of it.
    const asText = this.#fragmentIsText ?? isText;
    this.#fragmentIsText = fin ? undefined : asText;
    if (this.#isStandard) this.#count(sizeOf(payload));
    this.#connection!.sendFrame(payload, asText, fin, mask, compress);
    if (typeof callback === 'function') this.#whenFlushed(callback);
  }

  control(opcode: number, data: unknown, mask: unknown, callback: unknown): void {
    if (typeof data === 'function') [data, mask, callback] = [undefined, undefined, data];
    else if (typeof mask === 'function') [mask, callback] = [undefined, mask];
    const done = callback as SendCallback | undefined;
    const payload = payloadOf((data ?? '') as BufferLike);
    if (!this.#isOpen) {
      this.#sendTooLate(sizeOf(payload), done);
      return;
    }
    if (sizeOf(payload) > MAX_CONTROL_PAYLOAD)
      throw new RangeError('The data size must not be greater than 125 bytes');
    const send = (bytes: Bytes): void => {
      this.#connection!.sendControl(
        opcode,
        typeof bytes === 'string' ? Buffer.from(bytes) : bytes,
        mask !== false,
      );
      if (typeof done === 'function') this.#whenFlushed(done);
    };
    if (payload instanceof Blob) this.#sendBlob(payload, send, done);
    else if (this.#blobs?.isReading) this.#wait(payload, send);
    else send(payload);
  }

  /** Starts the closing handshake, behind what is still being read. */
  close(payload: Buffer): void {
    const close = (): void => this.#connection!.startClosing(payload);
    if (this.#blobs?.isReading) this.#blobs.behind(0, close);
    else close();
  }

  get #isOpen(): boolean {
    return this.#socket.readyState === OPEN && this.#connection!.readyState === OPEN;
  }

  /** A write's callback is given null, as Node gives it. */
  #whenFlushed(callback: SendCallback): void {
    this.#connection!.whenFlushed((error) => process.nextTick(callback, error ?? null));
  }

  #sendTooLate(size: number, callback: SendCallback | undefined): void {
    this.#queued += size;
    if (typeof callback !== 'function') return;
    const { readyState } = this.#socket;
    const state = `readyState ${readyState} (${STATE_NAMES[readyState]})`;
    process.nextTick(callback, new Error(`WebSocket is not open: ${state}`));
  }

  /** In the standard's way nothing that is sent leaves before the turn's end, as far as anybody can see. */
  #count(size: number): void {
    this.#queued += size;
    if (this.#counting) return;
    this.#counting = true;
    setImmediate(Outgoing.#recount, this);
  }

  /** A turn later: what has left is no longer buffered. */
  static readonly #recount = (outgoing: Outgoing): void => {
    const connection = outgoing.#connection!;
    const waiting = connection.bufferedAmount;
    // After the end the amount stays as it is.
    if (outgoing.#socket.readyState === CLOSED) return;
    outgoing.#queued = Math.min(outgoing.#queued, waiting);
    outgoing.#counting = waiting > 0;
    if (waiting > 0) connection.whenFlushed(() => setImmediate(Outgoing.#recount, outgoing));
  };

  /** Reads a Blob; whatever is sent meanwhile waits. */
  #sendBlob(blob: Blob, send: (bytes: Uint8Array) => void, callback: SendCallback | undefined): void {
    this.#blobs ??= new BlobQueue();
    this.#blobs.read(
      blob,
      (bytes) => {
        if (this.#connection!.readyState < CLOSED) send(bytes);
        else callback?.(new Error('The socket was closed while the blob was being read'));
      },
      (error) => {
        callback?.(error);
        this.#connection!.destroy();
        this.#socket.fireError(error);
      },
    );
  }

  /** Behind the Blob that is being read. */
  #wait(payload: Bytes, send: (kept: Bytes) => void): void {
    const kept = typeof payload === 'string' ? payload : Buffer.from(payload);
    this.#blobs!.behind(sizeOf(kept), () => send(kept));
  }
}

/** Why nothing can be sent yet; the standard has a name for it. */
export function notConnected(byStandard: boolean): Error {
  const message = 'WebSocket is not open: readyState 0 (CONNECTING)';
  return byStandard ? new DOMException(message, 'InvalidStateError') : new Error(message);
}
