import { type Peer, unmasked } from './peer.js';

/**
 * The client says how many frames it wants, and gets them as fast as the socket takes them: `chunk`, which is so many
 * `frames` of one length, over and over.
 */
export function stream(peer: Peer, chunk: Buffer, frames: number): void {
  peer.onFrame = (_, bytes, offset, length) =>
    write(peer, chunk, chunk.length / frames, Number(unmasked(bytes, offset, length).toString()));
}

function write(peer: Peer, chunk: Buffer, frameLength: number, messages: number): void {
  const bytes = Math.min(chunk.length, messages * frameLength);
  const left = messages - bytes / frameLength;
  if (bytes === 0) return;
  peer.write(bytes === chunk.length ? chunk : chunk.subarray(0, bytes), () =>
    write(peer, chunk, frameLength, left),
  );
}
