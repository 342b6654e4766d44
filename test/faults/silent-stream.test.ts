/** Streams of the user's that do not tell, or do not do, what a stream should: `closed` resolves all the same. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, type TestContext, test } from 'node:test';
import { type Connection, connect } from '../../src/index.js';
import { ended, soon, until } from '../leases/link.js';
import { echoServer } from '../server/echo-server.js';
import { scriptedServer } from '../server/scripted-server.js';

const SILENCES = ['emits no close event', 'is never done with closing'] as const;

class SilentStream extends Duplex {
  readonly #socket: Socket;
  readonly #closes: boolean;

  constructor(socket: Socket, silence: (typeof SILENCES)[number]) {
    super({ emitClose: silence !== 'emits no close event' });
    this.#socket = socket;
    this.#closes = silence === 'emits no close event';
    socket.on('data', (chunk: Buffer) => this.push(chunk));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#socket.write(chunk, callback);
  }

  override _final(callback: () => void): void {
    this.#socket.end(callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#socket.destroy();
    if (this.#closes) callback(error);
  }
}

describe('createConnection: a stream that ends in silence', () => {
  for (const silence of SILENCES) {
    const open = async (t: TestContext): Promise<{ connection: Connection; drop: () => void }> => {
      const echo = await echoServer();
      t.after(() => echo.close());
      const createConnection = async (): Promise<Duplex> => {
        const socket = connectTcp({ host: '127.0.0.1', port: echo.port });
        await once(socket, 'connect');
        return new SilentStream(socket, silence);
      };
      const connection = await connect(echo.url, { createConnection });
      return { connection, drop: () => [...echo.server.clients][0].terminate() };
    };

    test(`and ${silence}: close()`, async (t) => {
      const { connection } = await open(t);
      assert.deepEqual(await soon(connection.close()), { code: 1000, reason: '', wasClean: true });
    });

    test(`and ${silence}: terminate()`, async (t) => {
      const { connection } = await open(t);
      const pinged = connection.ping();
      connection.terminate();
      assert.equal((await ended(connection)).error?.code, 'ERR_TERMINATED');
      await assert.rejects(soon(pinged), { code: 'ERR_CONNECTION_LOST' });
    });

    test(`and ${silence}: the server is lost`, async (t) => {
      const { connection, drop } = await open(t);
      drop();
      assert.equal((await ended(connection)).error?.code, 'ERR_CONNECTION_LOST');
    });
  }
});

describe('RFC 6455 §7.1.4: the server has closed TCP, and does not read', () => {
  test('what is sent then is refused, not swallowed', async (t) => {
    const server = await scriptedServer();
    t.after(() => server.close());
    const connection = await connect(server.url, { closeTimeout: 200 });
    const peer = await server.peer();
    peer.pause();
    // More than the kernel takes: our own FIN has to wait behind it.
    connection.send(Buffer.alloc(12_000_000));
    peer.end();
    await until(() => connection.readyState !== 1);
    assert.equal(connection.readyState, 2);
    assert.throws(() => connection.send('later'), { code: 'ERR_NOT_OPEN' });
    const { wasClean, error } = await ended(connection);
    assert.deepEqual([wasClean, error?.code], [false, 'ERR_CONNECTION_LOST']);
  });
});
