import bufferutil from 'bufferutil';
import { headerLength, writeHeader } from './frames.js';
import type { Peer } from './peer.js';

/**
 * Answers each message with itself: unmasked where it lies, with the shorter header written over the end of the masked
 * one. The reader's memory may go to the socket, because the next message comes only after this echo has arrived.
 */
export function serveEcho(peer: Peer): void {
  peer.onFrame = (first, bytes, offset, length) => {
    const body = bytes.subarray(offset, offset + length);
    bufferutil.unmask(body, bytes.subarray(offset - 4, offset));
    const start = offset - headerLength(length);
    writeHeader(bytes, start, first, length);
    peer.write(bytes.subarray(start, offset + length));
  };
}
