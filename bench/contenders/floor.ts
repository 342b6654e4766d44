/**
 * What a WebSocket client costs when nearly everything is left out: `node:net` or `node:tls` reading into reused
 * memory, the least walk over frame headers that finds the messages, a callback with a reused cursor, and writes
 * from reused memory; over TLS one context for all connections, and sessions resumed. It validates nothing, knows no fragments, answers no ping, and masks with a key of zeros,
 * which the wire format allows and RFC 6455 §10.3 forbids. No client can be this careless; none is expected to be
 * faster by much.
 */
import { randomBytes } from 'node:crypto';
import { connect as connectTcp, type OnReadOpts, type Socket, type TcpNetConnectOpts } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import type { Contender, Link, Payload } from '../harness/contender.js';

/** Larger reads are slower: they fall out of the second-level cache. */
const READ = 64 * 1024;
/** Frames up to this size become whole in the memory that is read into; larger ones get memory of their own. */
const ROOM = 64 * 1024;
/** Fin and opcode 8, an empty payload, a key of zeros. */
const CLOSE_FRAME = Buffer.from('888000000000', 'hex');

/** Memory of connections that are closed. */
const spareReadMemory: Buffer[] = [];
/** What TLS connections have in common, and the session of the last one. */
let trust: { ca: string; context: SecureContext; session?: Buffer } | undefined;

/** `Buffer` has these methods in every version of Node, though its types do not list them. */
type Latin1 = Buffer & {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number, length: number): number;
};

class Cursor {
  isText = false;
  buffer: Buffer = Buffer.alloc(0);
  byteOffset = 0;
  byteLength = 0;

  text(): string {
    return (this.buffer as Latin1).latin1Slice(this.byteOffset, this.byteOffset + this.byteLength);
  }
}

type OnMessage = (message: Cursor) => void;

class Reader {
  readonly #cursor = new Cursor();
  readonly #onMessage: OnMessage;
  readonly #memory = spareReadMemory.pop() ?? Buffer.allocUnsafeSlow(ROOM + READ);
  readonly #firstRead = this.#memory.subarray(0, READ);
  /** Bytes of an incomplete frame at the start of the memory; the next read lands behind them. */
  #kept = 0;
  /** A frame that is too large for the memory: the whole of it, how much it is, how much has come. */
  #large = Buffer.alloc(0);
  #largeSize = 0;
  #largeEnd = 0;

  constructor(onMessage: OnMessage) {
    this.#onMessage = onMessage;
  }

  /** Where the next read goes. */
  readonly destination = (): Uint8Array => {
    if (this.#largeSize > 0) return this.#large.subarray(this.#largeEnd, this.#largeSize);
    return this.#kept === 0 ? this.#firstRead : this.#memory.subarray(this.#kept, this.#kept + READ);
  };

  readonly arrived = (count: number): boolean => {
    if (this.#largeSize > 0) {
      this.#largeEnd += count;
      if (this.#largeEnd === this.#largeSize) {
        this.#hand(this.#large, 0, 10, this.#largeSize - 10);
        this.#largeSize = 0;
      }
    } else this.#walk(this.#kept + count);
    return true;
  };

  release(): void {
    spareReadMemory.push(this.#memory);
  }

  #walk(end: number): void {
    const bytes = this.#memory;
    let position = 0;
    while (end - position >= 2) {
      let length = bytes[position + 1];
      let payload = position + 2;
      if (length === 126) {
        if (end - position < 4) break;
        length = (bytes[position + 2] << 8) | bytes[position + 3];
        payload = position + 4;
      } else if (length === 127) {
        if (end - position < 10) break;
        length = bytes.readUInt32BE(position + 6);
        payload = position + 10;
      }
      if (payload + length > end) {
        if (length > ROOM - 10) this.#startLarge(position, end, 10 + length);
        break;
      }
      this.#hand(bytes, position, payload, length);
      position = payload + length;
    }
    this.#kept = this.#largeSize > 0 ? 0 : end - position;
    if (this.#kept > 0) bytes.copyWithin(0, position, end);
  }

  #startLarge(position: number, end: number, size: number): void {
    if (this.#large.length < size) this.#large = Buffer.allocUnsafeSlow(size);
    this.#memory.copy(this.#large, 0, position, end);
    this.#largeSize = size;
    this.#largeEnd = end - position;
  }

  #hand(bytes: Buffer, header: number, payload: number, length: number): void {
    const cursor = this.#cursor;
    cursor.isText = bytes[header] === 0x81;
    cursor.buffer = bytes;
    cursor.byteOffset = payload;
    cursor.byteLength = length;
    this.#onMessage(cursor);
  }
}

class FloorLink implements Link {
  readonly #socket: Socket;
  /** Reused at once: in each workload the next message of a connection is sent when the last has been answered. */
  #sendMemory = Buffer.alloc(256);
  #closing = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get closing(): boolean {
    return this.#closing;
  }

  send(payload: Payload): void {
    const end = this.#frame(payload, 0);
    this.#socket.write(this.#sendMemory.subarray(0, end));
  }

  sendAll(payloads: readonly Payload[]): void {
    let end = 0;
    for (const payload of payloads) end = this.#frame(payload, end);
    this.#socket.write(this.#sendMemory.subarray(0, end));
  }

  /** The server answers with its Close frame, unread here, and FIN (RFC 6455 §7.1.1). */
  close(): Promise<void> {
    this.#closing = true;
    this.#socket.write(CLOSE_FRAME);
    return new Promise((resolve) => this.#socket.on('close', () => resolve()));
  }

  #grow(least: number): void {
    const larger = Buffer.alloc(2 * least);
    this.#sendMemory.copy(larger);
    this.#sendMemory = larger;
  }

  /** The four bytes of the key are already zero wherever a header has room for them. */
  #frame(payload: Payload, offset: number): number {
    const length = payload.length;
    if (offset + length + 14 > this.#sendMemory.length) this.#grow(offset + length + 14);
    const bytes = this.#sendMemory;
    let at = offset + 6;
    bytes[offset] = typeof payload === 'string' ? 0x81 : 0x82;
    if (length < 126) bytes[offset + 1] = 0x80 | length;
    else if (length < 65_536) {
      bytes[offset + 1] = 0xfe;
      at = bytes.writeUInt16BE(length, offset + 2) + 4;
    } else {
      bytes[offset + 1] = 0xff;
      bytes.writeUInt32BE(0, offset + 2);
      at = bytes.writeUInt32BE(length, offset + 6) + 4;
    }
    bytes.writeUInt32LE(0, at - 4);
    if (typeof payload === 'string') (bytes as Latin1).latin1Write(payload, at, length);
    else bytes.set(payload, at);
    return at + length;
  }
}

export const contender: Contender = {
  subject: `raw sockets of Node ${process.versions.node}`,
  note: 'a raw net/tls socket with onread and a cursor; no validation, no fragments, no masking: a bound, not a client',
  load: "await Promise.all([import('node:net'), import('node:tls'), import('node:crypto')])",
  open: ({ url, ca }, inbox) =>
    new Promise((resolve, reject) => {
      const { protocol, hostname, port, pathname } = new URL(url);
      const reader = new Reader((message) => {
        if (message.isText) inbox.text(message.text());
        else inbox.binary(message.buffer, message.byteOffset, message.byteLength);
      });
      let link: FloorLink | undefined;
      const onread = {
        buffer: reader.destination,
        callback: (count: number, bytes: Uint8Array): boolean => {
          if (link !== undefined) return link.closing || reader.arrived(count);
          // The server of the benchmark sends nothing behind its answer until it is asked to.
          const head = Buffer.from(bytes.buffer, bytes.byteOffset, count).toString('latin1');
          if (!head.startsWith('HTTP/1.1 101 ') || !head.endsWith('\r\n\r\n')) {
            reject(new Error(`not a complete 101 response: ${head}`));
          }
          link = new FloorLink(socket);
          resolve(link);
          return true;
        },
      };
      const options = { host: hostname, port: Number(port), onread };
      const socket = protocol === 'wss:' ? resumeTls(options, ca) : connectTcp(options);
      socket.setNoDelay(true);
      socket.on('error', (error) => {
        reject(error);
        inbox.fail(error);
      });
      socket.on('end', () => link?.closing || inbox.fail(new Error('connection closed')));
      socket.on('close', () => reader.release());
      socket.write(
        `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      );
    }),
};

function resumeTls(options: TcpNetConnectOpts & { onread: OnReadOpts }, ca: string): Socket {
  if (trust?.ca !== ca) trust = { ca, context: createSecureContext({ ca }) };
  const { context: secureContext, session } = trust;
  const socket = connectTls({ ...options, secureContext, session });
  const own = trust;
  socket.on('session', (next) => {
    own.session = next;
  });
  return socket;
}
