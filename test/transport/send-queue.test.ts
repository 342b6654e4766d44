/**
 * Blocks on their way into the kernel, over real sockets: whatever is free again is overwritten at once, so a block
 * that came back before its bytes had left would show at the other end.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { Codec } from '../../src/codec/codec.js';
import { SEND_BLOCK_SIZE } from '../../src/codec/layout.js';
import { SendQueue } from '../../src/transport/send-queue.js';
import { pseudoRandomBytes } from '../arbitraries/payload.js';
import { GUARD } from '../connection/wire.js';
import { certificate } from '../server/certificate.js';

const codec = new Codec();
const BLOCKS = codec.sendBlocks.available;

interface Ends {
  near: Socket;
  far: Socket;
}

/** Both ends of a connection; the far one does not read until it is told to. */
async function ends(t: TestContext, secure: boolean): Promise<Ends> {
  const server = secure ? createTlsServer(certificate()) : createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const accepted = once(server, secure ? 'secureConnection' : 'connection');
  const near = secure
    ? connectTls({ port, host: '127.0.0.1', ca: certificate().cert })
    : connectTcp({ port, host: '127.0.0.1' });
  const [[far]] = (await Promise.all([accepted, once(near, secure ? 'secureConnect' : 'connect')])) as [
    [Socket],
    unknown,
  ];
  far.pause();
  for (const socket of [near, far]) socket.on('error', () => {});
  t.after(() => {
    near.destroy();
    far.destroy();
    server.close();
  });
  return { near, far };
}

/** A sender without frames: fills blocks, and hands them to the queue as the sender does. */
class Source {
  readonly queue: SendQueue<Source>;
  progress = 0;
  readonly #sent: Buffer[] = [];
  #seed = 0;
  #block = 0;

  constructor(socket: Socket, secure: boolean) {
    this.queue = new SendQueue<Source>(codec, socket, !secure, (owner) => void owner.progress++, this);
  }

  send(length: number): void {
    if (this.#block === 0) this.#block = codec.sendBlocks.take() || codec.stagingBlock;
    const bytes = pseudoRandomBytes(length, ++this.#seed);
    codec.memory.set(bytes, this.#block);
    this.#sent.push(bytes);
    const reusable = this.queue.write(this.#block, length);
    if (reusable) codec.memory.fill(0xee, this.#block, this.#block + length);
    if (!reusable || this.#block === codec.stagingBlock) this.#block = 0;
    this.spoilFreeBlocks();
  }

  /** What the pool would lease next must be nobody's any more. */
  spoilFreeBlocks(): void {
    const block = codec.sendBlocks.take();
    if (block === 0) return;
    codec.memory.fill(0xee, block, block + SEND_BLOCK_SIZE);
    codec.sendBlocks.give(block);
  }

  get sent(): Buffer {
    return Buffer.concat(this.#sent);
  }

  release(): void {
    if (this.#block !== 0) codec.sendBlocks.give(this.#block);
    this.#block = 0;
  }
}

async function readAll(far: Socket, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let arrived = 0;
  far.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    arrived += chunk.length;
  });
  far.resume();
  while (arrived < length) await once(far, 'data');
  return Buffer.concat(chunks);
}

for (const { over, secure } of [
  { over: 'tcp', secure: false },
  { over: 'TLS', secure: true },
]) {
  describe(`the send queue over ${over}`, GUARD, () => {
    test('what the kernel takes arrives, and nothing of it is pending', async (t) => {
      const { near, far } = await ends(t, secure);
      const source = new Source(near, secure);
      const reading = readAll(far, 60_000);
      for (let i = 0; i < 60; i++) {
        source.send(1_000);
        if (i % 7 === 0) await turn();
      }
      assert.ok((await reading).equals(source.sent));
      while (source.queue.pending > 0) await turn();
      source.release();
      assert.equal(source.queue.sent, 60_000);
      assert.equal(codec.sendBlocks.available, BLOCKS);
    });

    test('a peer that does not read gets every byte later, and holds at most four blocks meanwhile', async (t) => {
      const { near, far } = await ends(t, secure);
      const source = new Source(near, secure);
      let least = BLOCKS;
      for (let i = 0; i < 200; i++) {
        source.send(SEND_BLOCK_SIZE - i);
        if (i % 20 === 0) await turn();
        least = Math.min(least, codec.sendBlocks.available);
      }
      const { sent, queue } = source;
      assert.equal(queue.sent + queue.pending, sent.length);
      assert.ok(queue.pending > 4 * SEND_BLOCK_SIZE, 'the kernel took everything: the test shows nothing');
      // Four in flight, and the one that is being filled.
      assert.ok(least >= BLOCKS - 5, `${BLOCKS - least} blocks were leased`);

      const before = source.progress;
      const reading = readAll(far, sent.length);
      while (queue.pending > 0) {
        await turn();
        source.spoilFreeBlocks();
      }
      assert.ok(source.progress > before);
      assert.ok((await reading).equals(sent), 'a block was reused before its bytes had left');
      source.release();
      assert.equal(codec.sendBlocks.available, BLOCKS, 'blocks given back');
    });

    test('with no block to lease, frames are copied out of the staging block', async (t) => {
      const { near, far } = await ends(t, secure);
      const taken: number[] = [];
      for (let block = codec.sendBlocks.take(); block !== 0; block = codec.sendBlocks.take())
        taken.push(block);
      const source = new Source(near, secure);
      for (let i = 0; i < 120; i++) source.send(SEND_BLOCK_SIZE - i);
      const { sent, queue } = source;
      assert.ok(queue.pending > 0);
      assert.ok((await readAll(far, sent.length)).equals(sent));
      while (queue.pending > 0) await turn();
      for (const block of taken) codec.sendBlocks.give(block);
      assert.equal(codec.sendBlocks.available, BLOCKS);
    });

    test('a socket that is destroyed gives its blocks back', async (t) => {
      const { near } = await ends(t, secure);
      const source = new Source(near, secure);
      for (let i = 0; i < 150; i++) source.send(SEND_BLOCK_SIZE);
      assert.ok(codec.sendBlocks.available < BLOCKS);
      const { sent, pending } = source.queue;
      const { progress } = source;
      near.destroy();
      await once(near, 'close');
      await turn();
      assert.ok(pending > 0);
      assert.equal(source.queue.pending, 0);
      assert.equal(source.queue.sent, sent, 'what was lost counts as sent');
      assert.equal(source.progress, progress);
      source.release();
      assert.equal(codec.sendBlocks.available, BLOCKS);
    });
  });
}
