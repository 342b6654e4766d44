/**
 * The bytes that a `ws` server sends for a sequence of messages, compressed with context takeover (RFC 7692), to be
 * sent at any speed: `ws` itself would be the bottleneck.
 *
 * The sequence is recorded twice on one connection. The second time it refers back to its first run's end; since that
 * is its own end as well, the second run may be sent again and again behind the first.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { WebSocketServer } from 'ws';

export interface Recording {
  /** Frames, one for each message: of the first run of the sequence, and of every later one. */
  readonly first: readonly Buffer[];
  readonly again: readonly Buffer[];
}

const recordings = new Map<readonly string[], Promise<Recording>>();

export function recorded(messages: readonly string[]): Promise<Recording> {
  const known = recordings.get(messages);
  if (known !== undefined) return known;
  const made = record(messages);
  recordings.set(messages, made);
  return made;
}

async function record(messages: readonly string[]): Promise<Recording> {
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    // As it comes, but for the messages that it would send uncompressed because they are small.
    perMessageDeflate: { threshold: 0 },
  });
  await once(server, 'listening');
  server.on('connection', async (socket) => {
    // ws queues everything that is sent while it compresses: not all at once.
    for (const message of [...messages, ...messages]) {
      await new Promise<unknown>((resolve) => socket.send(message, resolve));
    }
    socket.terminate();
  });

  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const key = randomBytes(16).toString('base64');
  socket.write(
    'GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n` +
      'Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n',
  );
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  server.close();

  const bytes = Buffer.concat(chunks);
  const head = bytes.indexOf('\r\n\r\n') + 4;
  if (!/\nSec-WebSocket-Extensions: permessage-deflate\r/.test(bytes.toString('latin1', 0, head))) {
    throw new Error('ws does not compress');
  }
  const frames = framesOf(bytes, head);
  if (frames.length !== 2 * messages.length) throw new Error(`${frames.length} frames recorded`);
  return { first: frames.slice(0, messages.length), again: frames.slice(messages.length) };
}

/** Each must be a compressed text message, whole (RFC 7692 §6.1). */
function framesOf(bytes: Buffer, start: number): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = start; at < bytes.length; ) {
    if (bytes[at] !== 0xc1) throw new Error(`not a compressed text message: ${bytes[at].toString(16)}`);
    const seven = bytes[at + 1];
    const [header, length] =
      seven < 126
        ? [2, seven]
        : seven === 126
          ? [4, bytes.readUInt16BE(at + 2)]
          : [10, bytes.readUInt32BE(at + 6)];
    frames.push(bytes.subarray(at, at + header + length));
    at += header + length;
  }
  return frames;
}
