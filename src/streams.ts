/** A connection as the streams of the web and of Node, on its public methods only. */

import { Duplex } from 'node:stream';
import type { Connection } from './connection.js';
import { UsageError } from './errors.js';
import { type Payload, payloadBytes } from './protocol/payload.js';

/** One chunk a message: strings for text, Buffers for binary. Cancelling it closes the connection. */
export function readableOf(connection: Connection): ReadableStream<string | Buffer> {
  const messages = connection.iterate();
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await messages.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await messages.return();
      },
    },
    // Nothing is taken before it is asked for: what waits is bounded once, by the connection.
    { highWaterMark: 0 },
  );
}

/** One message a chunk; closing it closes the connection, aborting it terminates the connection. */
export function writableOf(connection: Connection): WritableStream<Payload> {
  let closing = false;
  return new WritableStream<Payload>({
    start(controller) {
      // Who pipes into it must hear of a loss although nothing is being written.
      void connection.closed.then(({ error, code }) => {
        // A close() of the writer's own may be on its way.
        setImmediate(() => {
          if (!closing) controller.error(error ?? closedByServer(code));
        });
      });
    },
    async write(chunk) {
      if (!connection.send(chunk)) await connection.flushed();
    },
    async close() {
      closing = true;
      const { error } = await connection.close();
      if (error !== undefined) throw error;
    },
    abort() {
      connection.terminate();
    },
  });
}

export interface DuplexOptions {
  /** One chunk a message, strings for text; false (the default): a stream of bytes, text as UTF-8. */
  objectMode?: boolean;
  /** Send bytes as text messages too. They may be cut inside a character. Default: only strings are text. */
  text?: boolean;
}

/** As a Node stream: `end()` closes the connection, `destroy()` terminates it. */
export function duplexOf(connection: Connection, options: DuplexOptions): Duplex {
  const { objectMode = false, text = false } = options;
  const messages = connection.iterate({ preventClose: true });
  const decoder = text ? new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }) : undefined;
  const send = (payload: Payload, callback: (error?: Error | null) => void): void => {
    try {
      if (connection.send(payload)) callback();
      else connection.flushed().then(() => callback(), callback);
    } catch (error) {
      callback(error as Error);
    }
  };
  return new Duplex({
    objectMode,
    decodeStrings: false,
    // The server's close ends both sides.
    allowHalfOpen: false,
    read() {
      messages.next().then(
        ({ done, value }) => {
          if (done) this.push(null);
          // To a stream of bytes an empty message is nothing, and would end its reading.
          else if (value.length > 0 || objectMode) this.push(value);
          else this._read(0);
        },
        (error) => this.destroy(error),
      );
    },
    write(chunk: Payload, encoding, callback) {
      let payload = chunk;
      try {
        if (typeof chunk === 'string') {
          // No character may be cut in front of a string.
          decoder?.decode();
          const isUtf8 = !Buffer.isEncoding(encoding) || /^utf-?8$/i.test(encoding);
          if (!isUtf8) payload = Buffer.from(chunk, encoding);
        } else if (decoder !== undefined) {
          const bytes = payloadBytes(chunk);
          payload = decoder.decode(bytes, { stream: !objectMode });
          // Nothing but the start of a character: it goes with the rest.
          if (payload === '' && bytes.length > 0) {
            callback();
            return;
          }
        }
      } catch (cause) {
        callback(notText(cause));
        return;
      }
      send(payload, callback);
    },
    final(callback) {
      try {
        decoder?.decode();
      } catch (cause) {
        callback(notText(cause));
        return;
      }
      connection.close().then(({ error }) => callback(error), callback);
    },
    destroy(error, callback) {
      void messages.return();
      connection.terminate();
      callback(error);
    },
  });
}

function notText(cause: unknown): UsageError {
  return new UsageError(
    'ERR_INVALID_PAYLOAD',
    'Bytes to be sent as text are not valid UTF-8 (RFC 6455 §8.1)',
    {
      cause,
    },
  );
}

function closedByServer(code: number): UsageError {
  return new UsageError('ERR_NOT_OPEN', `The connection was closed (${code})`);
}
