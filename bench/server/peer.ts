/**
 * The server's end of one connection: a raw socket, a minimal opening handshake (RFC 6455 §4.2.2), and nothing
 * between the workload and the bytes. It is the same for every contender, and as lean as the contenders allow
 * it to be, so that the client is what is measured.
 */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { CLOSE, type FrameHandler, FrameReader, frame, PING, PONG } from './frames.js';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** What a connection is to be served with. */
export interface Part {
  readonly compressed: boolean;
  serve(peer: Peer): void;
}

export class Peer {
  /** The workload's handler of data frames; control frames are answered here. */
  onFrame: FrameHandler = () => this.fail('a message that the workload does not await');
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Queues bytes; `written` is called when the kernel has taken them. */
  write(bytes: Buffer, written?: () => void): void {
    this.#socket.write(bytes, written);
  }

  /** The client sent what it must not have: the contender hears of it by Close 1008, and its run fails. */
  fail(reason: string): void {
    console.error(`server: ${reason}`);
    this.#socket.end(frame(CLOSE, Buffer.concat([Buffer.from([0x03, 0xf0]), Buffer.from(reason)])));
  }

  /** Answers the handshake as the case that `route` finds at its path has it, then reads frames. */
  static accept(socket: Socket, route: (path: string) => Part | undefined): void {
    const peer = new Peer(socket);
    let head = '';
    socket.setNoDelay(true);
    // A contender that crashes resets its connection; the harness hears of it from the contender's process.
    socket.on('error', () => socket.destroy());
    socket.on('data', function shake(chunk: Buffer) {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      socket.off('data', shake);
      const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1];
      const path = head.slice(4, head.indexOf(' ', 4));
      const part = route(path);
      // Bare, which is legal for whatever parameters are offered as hints, and means context takeover.
      const deflate = part?.compressed ? 'Sec-WebSocket-Extensions: permessage-deflate\r\n' : '';
      const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64');
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
          `Sec-WebSocket-Accept: ${accept}\r\n${deflate}\r\n`,
      );
      const reader = new FrameReader((first, bytes, offset, length) => {
        if ((first & 0x08) === 0) peer.onFrame(first, bytes, offset, length);
        else peer.#control(first, unmasked(bytes, offset, length));
      });
      socket.on('data', (more: Buffer) => reader.read(more));
      if (part === undefined) peer.fail(`nothing at ${path}`);
      else part.serve(peer);
    });
  }

  #control(first: number, payload: Buffer): void {
    if (first === PING) this.#socket.write(frame(PONG, payload));
    else if (first === CLOSE) this.#socket.end(frame(CLOSE, payload));
  }
}

/** A copy of a small payload without its mask. */
export function unmasked(bytes: Buffer, offset: number, length: number): Buffer {
  const copy = Buffer.from(bytes.subarray(offset, offset + length));
  for (let i = 0; i < length; i++) copy[i] ^= bytes[offset - 4 + (i & 3)];
  return copy;
}
