/** What a client puts on the wire, and in which pieces. */
import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { until } from '../leases/link.js';
import { decodeHeader } from '../reference/frame.js';
import type { Peer } from '../server/scripted-server.js';

type Write = (this: Socket, chunk: Uint8Array, ...rest: unknown[]) => boolean;

/**
 * Every write to a socket that is connected to `port`, from now until the test ends. The bytes are copied: they
 * lie in memory that is used again.
 */
export function watchWrites(t: TestContext, port: number): Buffer[] {
  const writes: Buffer[] = [];
  const prototype = Socket.prototype as unknown as { write: Write };
  const inherited = prototype.write;
  prototype.write = function (chunk, ...rest) {
    if (this.remotePort === port) writes.push(Buffer.from(chunk));
    return inherited.call(this, chunk, ...rest);
  };
  t.after(() => {
    prototype.write = inherited;
  });
  return writes;
}

export interface SentFrame {
  fin: boolean;
  opcode: number;
  payload: Buffer;
}

/** The frames a client sent, unmasked; anything else than whole, masked frames fails. Fit for many megabytes. */
export function sentFrames(bytes: Uint8Array): SentFrame[] {
  const frames: SentFrame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const header = decodeHeader(bytes, at);
    assert.ok(header !== undefined, 'an incomplete header');
    const { fin, opcode, maskingKey, headerLength } = header;
    assert.ok(maskingKey !== undefined, 'RFC 6455 §5.1: a client masks every frame');
    const start = at + headerLength;
    at = start + Number(header.payloadLength);
    assert.ok(at <= bytes.length, 'an incomplete frame');
    const payload = Buffer.from(bytes.subarray(start, at));
    for (let i = 0; i < payload.length; i++) payload[i] ^= maskingKey[i & 3];
    frames.push({ fin, opcode, payload });
  }
  return frames;
}

/** One line a frame: whether more of the message follows, opcode, payload as text; of a Close frame code and reason. */
export function frameLines(bytes: Uint8Array): string[] {
  return sentFrames(bytes).map(({ fin, opcode, payload }) => {
    const shown =
      opcode === 8 && payload.length > 1 ? `${payload.readUInt16BE()} ${payload.subarray(2)}` : payload;
    return `${fin ? '' : '…'}${NAMES[opcode]} ${shown}`.trim();
  });
}

/** What waits for the other end would wait for ever when it does not come. */
export const GUARD = { timeout: 30_000 };

/** The frames that a server has received, as lines, once there are `count` of them. */
export async function receivedLines(peer: Peer, count: number): Promise<string[]> {
  await until(() => peer.frames().length >= count);
  return frameLines(peer.received);
}

const NAMES: Readonly<Record<number, string>> = {
  0: 'continuation',
  1: 'text',
  2: 'binary',
  8: 'close',
  9: 'ping',
  10: 'pong',
};
