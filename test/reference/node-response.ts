/**
 * Node's own reader of HTTP as the reference for ours: `http.request` over a stream that plays the server's bytes,
 * piece by piece, and then its end.
 */
import { type IncomingMessage, request } from 'node:http';
import { Duplex } from 'node:stream';

export interface Head {
  httpVersion: string;
  statusCode: number;
  statusText: string;
  /** Names and values by turns. */
  rawHeaders: readonly string[];
}

/** What a reader of HTTP makes of an answer. */
export interface Reading {
  /** Of the first answer that is not interim. */
  head?: Head;
  /** Complete, as its own framing or the end says. */
  body?: Buffer;
  /** What stands behind a 101. */
  behind?: Buffer;
  /** Code and message of what is wrong, in the head or behind it. */
  error?: string;
}

/** Plays `pieces` to whoever reads, once something has been written. */
function player(pieces: readonly Buffer[]): Duplex {
  let asked = false;
  return new Duplex({
    read() {},
    write(_chunk, _encoding, callback) {
      if (!asked) {
        asked = true;
        setImmediate(() => {
          for (const piece of pieces) this.push(piece);
          this.push(null);
        });
      }
      callback();
    },
  });
}

export function readByNode(pieces: readonly Buffer[]): Promise<Reading> {
  return new Promise((resolve) => {
    const reading: Reading = {};
    const stream = player(pieces);
    const fail = (error: Error): void => {
      reading.error ??= `${(error as NodeJS.ErrnoException).code}: ${error.message}`;
      resolve(reading);
    };
    const asking = request({
      createConnection: () => stream,
      headers: { Connection: 'Upgrade', Upgrade: 'websocket' },
    });
    asking.on('error', fail);
    asking.on('response', (message) => {
      reading.head = headOf(message);
      const chunks: Buffer[] = [];
      message.on('data', (chunk: Buffer) => chunks.push(chunk));
      message.on('error', fail);
      message.on('end', () => {
        if (message.complete) reading.body = Buffer.concat(chunks);
        resolve(reading);
      });
    });
    asking.on('upgrade', (message, socket, behind) => {
      reading.head = headOf(message);
      const chunks: Buffer[] = [behind];
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.on('error', fail);
      socket.on('end', () => {
        reading.behind = Buffer.concat(chunks);
        resolve(reading);
      });
    });
    asking.end();
  });
}

function headOf({ httpVersion, statusCode, statusMessage, rawHeaders }: IncomingMessage): Head {
  return { httpVersion, statusCode: statusCode!, statusText: statusMessage!, rawHeaders };
}
