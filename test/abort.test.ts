/** Waits that an `AbortSignal` can end: by themselves, and as `flushed()` and `ping()` have them. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, test } from 'node:test';
import { aborted, unlessAborted } from '../src/abort.js';
import { type ConnectOptions, connect } from '../src/connect.js';
import { HeartwireError } from '../src/errors.js';
import { GUARD, receivedLines } from './connection/wire.js';
import { fill, link, TRANSPORTS, text, until } from './leases/link.js';
import { encodeFrame } from './reference/frame.js';
import { leavesNothingOpen } from './server/resources.js';
import { turns } from './server/scripted-server.js';

const reason = new Error('enough');
const abortedBy = (cause: unknown): object => ({ name: 'HeartwireError', code: 'ERR_ABORTED', cause });

function listening(signal: AbortSignal): number {
  return getEventListeners(signal, 'abort').length;
}

/** A promise that is settled by hand. */
function deferred<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
} {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Promises that are rejected while nobody handles them, until the test ends. */
function unhandled(t: { after(done: () => void): void }): unknown[] {
  const rejections: unknown[] = [];
  const others = process.rawListeners('unhandledRejection');
  const note = (error: unknown): void => void rejections.push(error);
  // The test runner's own listener would fail the test before it can say what it found.
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', note);
  t.after(() => {
    process.off('unhandledRejection', note);
    for (const other of others) process.on('unhandledRejection', other as NodeJS.UnhandledRejectionListener);
  });
  return rejections;
}

describe('the signal of connect()', GUARD, () => {
  let called = 0;
  const call = (): never => assert.fail(`called ${++called} times`);
  const ways: Record<string, [url: string, options: ConnectOptions]> = {
    'to an address': ['ws://127.0.0.1:9/', {}],
    'to a name': ['ws://localhost:9/', { socket: { lookup: call } }],
    'over TLS': ['wss://127.0.0.1:9/', {}],
    'with redirects': ['ws://127.0.0.1:9/', { maxRedirects: 3 }],
    'through a proxy': ['ws://127.0.0.1:9/', { proxy: 'http://127.0.0.1:9' }],
    'by createConnection': ['ws://a/', { createConnection: call }],
  };
  for (const [way, [url, options]] of Object.entries(ways)) {
    test(`${way}: aborted in the turn of the call, while modules are loaded`, async () => {
      called = 0;
      await leavesNothingOpen(async () => {
        const controller = new AbortController();
        const connecting = connect(url, { ...options, signal: controller.signal });
        controller.abort(reason);
        await assert.rejects(connecting, { name: 'HandshakeError', code: 'ERR_ABORTED', cause: reason });
        assert.equal(listening(controller.signal), 0);
      });
      assert.equal(called, 0, 'nothing of the user’s is called any more');
    });
  }
});

describe('aborted()', () => {
  test('is an ERR_ABORTED that names the wait and has the signal’s reason as its cause', () => {
    const error = aborted(AbortSignal.abort(reason), 'waiting for a Pong');
    assert.ok(error instanceof HeartwireError);
    assert.deepEqual(
      { code: error.code, message: error.message, cause: error.cause },
      { code: 'ERR_ABORTED', message: 'Aborted while waiting for a Pong', cause: reason },
    );
  });

  test('the cause is whatever the signal was aborted with: by default a DOMException, or a string', () => {
    assert.equal((aborted(AbortSignal.abort(), 'waiting').cause as DOMException).name, 'AbortError');
    assert.equal(aborted(AbortSignal.abort('text'), 'waiting').cause, 'text');
  });
});

describe('unlessAborted()', () => {
  test('without a signal it is the promise itself', () => {
    const promise = Promise.resolve(1);
    assert.equal(unlessAborted(promise, undefined, 'waiting'), promise);
  });

  test('passes on what the promise comes to, and leaves no listener behind', async () => {
    const { signal } = new AbortController();
    const [good, bad] = [deferred<number>(), deferred<number>()];
    const waits = [unlessAborted(good.promise, signal, 'a'), unlessAborted(bad.promise, signal, 'b')];
    assert.equal(listening(signal), 2);
    good.resolve(7);
    bad.reject(reason);
    assert.equal(await waits[0], 7);
    await assert.rejects(waits[1], (error) => error === reason);
    await turns(1);
    assert.equal(listening(signal), 0);
  });

  test('rejects when the signal aborts first; what the promise comes to later does not matter', async (t) => {
    const rejections = unhandled(t);
    for (const settle of ['resolve', 'reject'] as const) {
      const controller = new AbortController();
      const late = deferred<unknown>();
      const wait = unlessAborted(late.promise, controller.signal, 'waiting');
      controller.abort(reason);
      await assert.rejects(wait, abortedBy(reason));
      assert.equal(listening(controller.signal), 0);
      late[settle](new Error('too late'));
      await turns(1);
    }
    assert.deepEqual(rejections, []);
  });

  test('rejects when the signal had been aborted before, even if the promise is there already', async () => {
    const signal = AbortSignal.abort(reason);
    await assert.rejects(unlessAborted(Promise.resolve(1), signal, 'waiting'), abortedBy(reason));
    await turns(1);
    assert.equal(listening(signal), 0);
  });

  test('nothing listens to a signal that had been aborted before', async () => {
    const signal = AbortSignal.abort(reason);
    await assert.rejects(unlessAborted(new Promise(() => {}), signal, 'waiting'), abortedBy(reason));
    assert.equal(listening(signal), 0);
  });
});

for (const { over, tls } of TRANSPORTS) {
  describe(`flushed({ signal }), over ${over}`, GUARD, () => {
    test('an abort ends the wait while the peer does not read; what was sent still leaves', async (t) => {
      const one = await link(t, tls, { maxBufferedAmount: 64 * 1024 * 1024 });
      const count = await fill(one, 500_000);
      const controller = new AbortController();
      const wait = one.connection.flushed({ signal: controller.signal });
      await turns(5);
      controller.abort(reason);
      await assert.rejects(wait, abortedBy(reason));
      assert.equal(listening(controller.signal), 0);
      assert.equal(one.connection.readyState, 1);

      one.peer.resume();
      await one.connection.flushed();
      await one.peer.receives(count * 100_014);
    });
  });
}

describe('flushed({ signal })', GUARD, () => {
  test('a signal that was aborted before ends it at once; an abort afterwards changes nothing', async (t) => {
    const { connection } = await link(t, false);
    await assert.rejects(connection.flushed({ signal: AbortSignal.abort(reason) }), abortedBy(reason));

    const controller = new AbortController();
    connection.send('a');
    await connection.flushed({ signal: controller.signal });
    await turns(1);
    assert.equal(listening(controller.signal), 0);
    controller.abort(reason);
    assert.equal(connection.readyState, 1);
  });

  test('an aborted one need not be handled', async (t) => {
    const rejections = unhandled(t);
    const { connection } = await link(t, false);
    void connection.flushed({ signal: AbortSignal.abort(reason) });
    await turns(2);
    assert.deepEqual(rejections, []);
  });
});

describe('ping(payload, { signal })', GUARD, () => {
  const pong = (payload: string): Buffer => encodeFrame({ opcode: 10, payload: Buffer.from(payload) });

  test('RFC 6455 §5.5.3: the Pong comes first: the round trip, and nothing listens any more', async (t) => {
    const { connection, peer } = await link(t, false);
    const controller = new AbortController();
    const answered = connection.ping('p', { signal: controller.signal });
    assert.equal(listening(controller.signal), 1);
    await peer.write(pong('p'));
    assert.ok((await answered) >= 0);
    await turns(1);
    assert.equal(listening(controller.signal), 0);
    controller.abort(reason);
    assert.equal(connection.readyState, 1);
  });

  test('the abort comes first: ERR_ABORTED; the Pong that comes later answers the others', async (t) => {
    const { connection, peer } = await link(t, false);
    const controller = new AbortController();
    const given = connection.ping('1', { signal: controller.signal });
    const kept = connection.ping('2', { signal: new AbortController().signal });
    controller.abort(reason);
    await assert.rejects(given, abortedBy(reason));
    assert.equal(listening(controller.signal), 0);
    assert.deepEqual(await receivedLines(peer, 2), ['ping 1', 'ping 2']);
    await peer.write(Buffer.concat([pong('1'), pong('2'), text('done')]));
    assert.ok((await kept) >= 0);
    assert.equal(connection.readyState, 1);
  });

  test('a signal that was aborted before: ERR_ABORTED, and no Ping is sent', async (t) => {
    const { connection, peer } = await link(t, false);
    const given = connection.ping('p', { signal: AbortSignal.abort(reason) });
    await assert.rejects(given, abortedBy(reason));
    connection.send('next');
    await until(() => peer.receivedLength > 0);
    assert.deepEqual(await receivedLines(peer, 1), ['text next']);
  });

  test('the connection ends first: ERR_CONNECTION_LOST, and nothing listens any more', async (t) => {
    const { connection } = await link(t, false);
    const { signal } = new AbortController();
    const given = connection.ping('p', { signal });
    connection.terminate();
    await assert.rejects(given, { name: 'ConnectionLostError', code: 'ERR_CONNECTION_LOST' });
    await turns(1);
    assert.equal(listening(signal), 0);
  });

  test('“need not be handled”: an aborted one', async (t) => {
    const rejections = unhandled(t);
    const { connection } = await link(t, false);
    const controller = new AbortController();
    void connection.ping('p', { signal: controller.signal });
    controller.abort(reason);
    await turns(2);
    assert.deepEqual(rejections, []);
  });

  test('“need not be handled”: one that a closed connection refuses', async (t) => {
    const rejections = unhandled(t);
    const { connection } = await link(t, false);
    connection.terminate();
    void connection.ping();
    await turns(2);
    assert.deepEqual(rejections, []);
  });
});
