/** A connection as the streams of the web and of Node, on its public methods only. */

import { Duplex } from 'node:stream';
import type { Connection } from './connection.js';
import type { Payload } from './protocol/payload.js';

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
  return new WritableStream<Payload>({
    async write(chunk) {
      if (!connection.send(chunk)) await connection.flushed();
    },
    async close() {
      await connection.close();
    },
    abort() {
      connection.terminate();
    },
  });
}

export interface DuplexOptions {
  /** One chunk a message, strings for text; false (the default): a stream of bytes, text as UTF-8. */
  objectMode?: boolean;
  /** Send strings, and in byte mode everything, as text messages. Default: what was written as a string. */
  text?: boolean;
}

/** As a Node stream: `end()` closes the connection, `destroy()` terminates it. */
export function duplexOf(connection: Connection, options: DuplexOptions): Duplex {
  const { objectMode = false, text = false } = options;
  const messages = connection.iterate({ preventClose: true });
  return new Duplex({
    objectMode,
    decodeStrings: false,
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
    write(chunk: Payload, _encoding, callback) {
      try {
        const asText = text && typeof chunk !== 'string';
        if (connection.send(chunk, asText ? { binary: false } : undefined)) callback();
        else connection.flushed().then(() => callback(), callback);
      } catch (error) {
        callback(error as Error);
      }
    },
    final(callback) {
      connection.close().then(({ error }) => callback(error), callback);
    },
    destroy(error, callback) {
      void messages.return();
      connection.terminate();
      callback(error);
    },
  });
}
