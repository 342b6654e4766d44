/** What may be sent as a message. */

import { UsageError } from '../errors.js';

export type Payload = string | ArrayBufferView | ArrayBufferLike;

/**
 * The bytes of a payload that is not a string, without copying them.
 * @throws UsageError `ERR_INVALID_PAYLOAD`
 */
export function payloadBytes(data: ArrayBufferView | ArrayBufferLike): Uint8Array {
  if (data instanceof Uint8Array) return data;
  try {
    if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return new Uint8Array(data);
  } catch {
    throw invalid('and this one has been transferred to somebody else');
  }
  if ((data as unknown) instanceof Blob)
    throw invalid('and the bytes of a Blob come later: use sendStream()');
  throw invalid(`not ${data === null ? 'null' : typeof data}`);
}

function invalid(why: string): UsageError {
  return new UsageError(
    'ERR_INVALID_PAYLOAD',
    `A message is a string, an ArrayBuffer or a view of one, ${why}`,
  );
}
