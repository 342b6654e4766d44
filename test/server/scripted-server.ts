/**
 * A server that does what a test tells it, over tcp or TLS: it answers the opening handshake, then writes exactly
 * the bytes it is given in the segments it is given, and records what comes.
 *
 *     const server = await scriptedServer({
 *       tls: true,
 *       onConnection: (peer) => void peer.write(encodeFrame({ opcode: 1, payload: Buffer.from('hello') })),
 *     });
 *     const connection = await connect(server.url, { tls: server.tls, onMessage });
 *     …
 *     await server.close();
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { type ReadFrame, readFrames } from '../reference/frame-reader.js';
import { certificate } from './certificate.js';

export interface Script {
  tls?: boolean;
  /** The opening handshake has been answered. */
  onConnection?: (peer: Peer) => void;
  /** The whole answer to a request; by default the 101 that `accepting` makes. */
  answer?: (request: string) => string | Uint8Array;
  /** Bytes that leave in the same segment as the answer, right behind it. */
  behindAnswer?: Uint8Array;
}

export interface ScriptedServer {
  /** `ws://127.0.0.1:port/`, or `wss:`. */
  url: string;
  port: number;
  /** For `connect`: trust in this server's certificate; undefined over tcp. */
  tls: { ca: string } | undefined;
  /** Every connection that completed the handshake, oldest first. */
  peers: Peer[];
  /** The connection with this number, when it is there. */
  peer(index?: number): Promise<Peer>;
  /** Destroys all connections and stops. */
  close(): Promise<void>;
}

export async function scriptedServer(script: Script = {}): Promise<ScriptedServer> {
  const sockets = new Set<Socket>();
  const peers: Peer[] = [];
  const waiting: { index: number; resolve: (peer: Peer) => void }[] = [];

  /** `tcp` is the socket below TLS, or `socket` itself. */
  const serve = (socket: Socket, tcp: Socket): void => {
    socket.setNoDelay(true);
    readRequest(socket, (request, rest) => {
      const answer = Buffer.from(script.answer?.(request) ?? accepting(request));
      socket.write(Buffer.concat([answer, script.behindAnswer ?? Buffer.alloc(0)]));
      const peer = new Peer(socket, tcp, request, rest);
      peers.push(peer);
      script.onConnection?.(peer);
      for (const { index, resolve } of waiting) if (index === peers.length - 1) resolve(peer);
    });
  };

  let server: Server;
  if (script.tls) {
    const tcpSockets = new Map<number | undefined, Socket>();
    const tlsServer = createTlsServer(certificate());
    tlsServer.on('connection', (tcp: Socket) => tcpSockets.set(tcp.remotePort, tcp));
    tlsServer.on('secureConnection', (socket) => serve(socket, tcpSockets.get(socket.remotePort)!));
    // A client that does not trust us is its test's concern.
    tlsServer.on('tlsClientError', () => {});
    server = tlsServer;
  } else {
    server = createServer((socket) => serve(socket, socket));
  }
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // Resets are part of the scripts.
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };

  return {
    url: `${script.tls ? 'wss' : 'ws'}://127.0.0.1:${port}/`,
    port,
    tls: script.tls ? { ca: certificate().cert } : undefined,
    peers,
    peer: (index = 0) =>
      index < peers.length
        ? Promise.resolve(peers[index])
        : new Promise((resolve) => waiting.push({ index, resolve })),
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** The server's end of one connection. */
export class Peer {
  /** Carries the frames: over TLS, the TLS socket. */
  readonly socket: Socket;
  /** The head of the client's request, without the empty line. */
  readonly request: string;
  /** The client has sent FIN. */
  readonly ended: Promise<void>;
  /** The socket is gone. */
  readonly closed: Promise<void>;
  readonly #tcp: Socket;
  #hasEnded = false;
  #chunks: Buffer[];
  #length: number;
  #watchers: { count: number; resolve: () => void }[] = [];

  constructor(socket: Socket, tcp: Socket, request: string, received: Buffer) {
    this.socket = socket;
    this.request = request;
    this.#tcp = tcp;
    this.#chunks = [received];
    this.#length = received.length;
    this.ended = new Promise((resolve) => socket.once('end', resolve));
    socket.once('end', () => (this.#hasEnded = true));
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      const reached = this.#watchers.filter(({ count }) => count <= this.#length);
      this.#watchers = this.#watchers.filter(({ count }) => count > this.#length);
      for (const { resolve } of reached) resolve();
    });
  }

  /** `ended` has come true. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Everything the client has sent behind its request. */
  get received(): Buffer {
    this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0];
  }

  /** How many bytes that is. */
  get receivedLength(): number {
    return this.#length;
  }

  /** Resolves when the client has sent at least `count` bytes behind its request. */
  receives(count: number): Promise<void> {
    if (this.#length >= count) return Promise.resolve();
    return new Promise((resolve) => this.#watchers.push({ count, resolve }));
  }

  /**
   * The complete frames among what the client has sent, unmasked.
   * @throws Error when the client broke RFC 6455
   */
  frames(): ReadFrame[] {
    const { frames, error } = readFrames(this.received, { masked: true, rsv1: false });
    if (error !== undefined) throw new Error(`The client sent a wrong frame: ${error}`);
    return frames;
  }

  /**
   * Writes each of `segments` by a system call of its own, so that a client which keeps up reads them one by
   * one: between two of them, the event loop comes by twice. Resolves when the last has been written.
   */
  async write(...segments: Uint8Array[]): Promise<void> {
    for (const [index, segment] of segments.entries()) {
      if (index > 0) await turns(2);
      this.socket.write(segment);
    }
  }

  /** Sends FIN. */
  end(): void {
    this.socket.end();
  }

  /** Sends RST, over TLS as well. */
  reset(): void {
    this.#tcp.resetAndDestroy();
  }

  /** Reads nothing, so that the client's writes fill the kernel's buffers. Until `resume()`. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }
}

/** RFC 6455 §4.2.2: the response that opens the connection that `request` asks for. */
export function accepting(request: string, fields: readonly string[] = []): string {
  const key = /^sec-websocket-key: *(\S+)/im.exec(request)?.[1] ?? '';
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  return [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${accept}`,
    ...fields,
    '',
    '',
  ].join('\r\n');
}

/** Gives the event loop `count` whole turns: everything that waits in the kernel has been read by then. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Calls back with the request's head, and with what the client sent behind it already. */
export function readRequest(socket: Socket, onRequest: (request: string, rest: Buffer) => void): void {
  let head: Buffer = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    socket.off('data', onData);
    onRequest(head.toString('latin1', 0, end), head.subarray(end + 4));
  };
  socket.on('data', onData);
  socket.on('error', () => {});
}
