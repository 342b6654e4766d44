/** What `send` takes, as what goes into a frame. */

export type SendCallback = (error?: Error) => void;

export interface SendFrameOptions {
  mask?: boolean | undefined;
  binary?: boolean | undefined;
  compress?: boolean | undefined;
  fin?: boolean | undefined;
}

/** What can be sent. */
export type BufferLike =
  | string
  | number
  | ArrayBufferView
  | ArrayBufferLike
  | Blob
  | readonly unknown[]
  | { valueOf(): ArrayBufferLike | Uint8Array | readonly number[] | string }
  | { [Symbol.toPrimitive](hint: string): string };

export const NOTHING: Buffer = Buffer.alloc(0);

/** As `ws` has it. */
export function payloadOf(data: BufferLike): string | Uint8Array | Blob {
  if (typeof data === 'string') return data;
  if (data instanceof Uint8Array || data instanceof Blob) return data;
  if (typeof data === 'number') return String(data);
  if (data === null || data === undefined || (data as unknown) === false) return NOTHING;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return new Uint8Array(data);
  // Arrays, and objects with a value; whatever else is refused with a TypeError.
  return Buffer.from(data as never);
}

/** https://websockets.spec.whatwg.org/#dom-websocket-send: what is none of the union's types is a string. */
export function standardPayload(data: unknown): string | Uint8Array | Blob {
  if (typeof data === 'string') return data;
  if (data instanceof Uint8Array || data instanceof Blob) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return new Uint8Array(data);
  return String(data);
}

export function sizeOf(payload: string | Uint8Array | Blob): number {
  if (typeof payload === 'string') return Buffer.byteLength(payload);
  return payload instanceof Blob ? payload.size : payload.length;
}
