/**
 * Lease rule 5: no exception of the user's crosses the read callback. It reaches the process as any uncaught one
 * does, and neither the rest of the read, nor the parser, nor another connection suffers.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ConnectOptions } from '../../src/connect.js';
import { encodeFrame } from '../reference/frame.js';
import { certificate } from '../server/certificate.js';
import { scriptedServer } from '../server/scripted-server.js';
import {
  binary,
  contentOf,
  ended,
  FILLING,
  fill,
  hasRead,
  link,
  links,
  patterned,
  print,
  soon,
  TRANSPORTS,
  text,
  until,
} from './link.js';

/** Collects uncaught exceptions, before the test runner or anybody else sees them. */
function uncaught(t: TestContext): unknown[] {
  const caught: unknown[] = [];
  process.setUncaughtExceptionCaptureCallback((error) => void caught.push(error));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  return caught;
}

/** What each test throws: not always an Error. */
const thrown = (what: string): string => `thrown in ${what}`;

describe('lease rule 5: a callback that throws', () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`${over}: onMessage: the rest of the read comes, and reads after it, here and elsewhere`, async (t) => {
      const caught = uncaught(t);
      const seen: string[][] = [[], []];
      const listen = (inbox: string[]): ConnectOptions => ({
        onMessage: (message) => {
          const content = message.text();
          inbox.push(content);
          if (content.startsWith('bad')) throw thrown(content);
        },
      });
      const [one, other] = await links(t, tls, seen.map(listen));
      // The read ends with a tail: what the walk keeps for the next one must be kept although it was thrown at.
      const wire = Buffer.concat(['a', 'bad 1', 'b', 'bad 2', 'c', 'split'].map(text));
      await one.peer.write(wire.subarray(0, wire.length - 3));
      await hasRead(one, wire.length - 3);
      await other.peer.write(text('there'));
      await hasRead(other, 7);
      await one.peer.write(Buffer.concat([wire.subarray(wire.length - 3), text('d')]));
      await hasRead(one, wire.length + 3);
      assert.deepEqual(seen, [['a', 'bad 1', 'b', 'bad 2', 'c', 'split', 'd'], ['there']]);
      assert.deepEqual(caught, [thrown('bad 1'), thrown('bad 2')]);
    });

    test(`${over}: onMessage for a large and for a fragmented message`, async (t) => {
      const caught = uncaught(t);
      const large = patterned(200_000, 1);
      const seen: string[] = [];
      const one = await link(t, tls, {
        onMessage: (message) => {
          seen.push(contentOf(message));
          throw thrown(`message ${seen.length}`);
        },
      });
      const halves = [
        encodeFrame({ opcode: 2, fin: false, payload: large.subarray(0, 500) }),
        encodeFrame({ opcode: 0, payload: large.subarray(500, 1_000) }),
      ];
      const wire = Buffer.concat([binary(large), ...halves, text('a'), binary(large), text('b')]);
      await one.peer.write(wire);
      await hasRead(one, wire.length);
      assert.deepEqual(seen, [
        print(large),
        print(large.subarray(0, 1_000)),
        'text a',
        print(large),
        'text b',
      ]);
      assert.deepEqual(
        caught,
        [1, 2, 3, 4, 5].map((i) => thrown(`message ${i}`)),
      );
    });

    // Ticks and microtasks of a callback run before the read callback has returned to the socket.
    for (const [what, later] of [
      ['a tick', process.nextTick],
      ['a microtask', queueMicrotask],
    ] as const) {
      test(`${over}: ${what} that onMessage has queued`, async (t) => {
        const caught = uncaught(t);
        const large = patterned(200_000, 1);
        const seen: string[] = [];
        const one = await link(t, tls, {
          onMessage: (message) => {
            seen.push(contentOf(message));
            later(() => {
              throw thrown('what was queued');
            });
          },
        });
        // Each read ends with a tail, so that the next one is to land elsewhere.
        const wire = Buffer.concat([text('a'), binary(large), text('b'), text('c')]);
        for (const [from, to] of [
          [0, 10_000],
          [10_000, wire.length - 4],
          [wire.length - 4, wire.length],
        ]) {
          await one.peer.write(wire.subarray(from, to));
          await hasRead(one, to);
        }
        assert.deepEqual(seen, ['text a', print(large), 'text b', 'text c']);
        assert.deepEqual(caught, Array(4).fill(thrown('what was queued')));
      });
    }

    test(`${over}: onMessage in a delivery that had waited`, async (t) => {
      const caught = uncaught(t);
      const seen: string[] = [];
      const one = await link(t, tls, {
        onMessage: (message, connection) => {
          seen.push(message.text());
          if (seen.length === 1) connection.pause();
          throw thrown(`message ${seen.length}`);
        },
      });
      const wire = Buffer.concat(['a', 'b', 'c', 'd'].map(text));
      await one.peer.write(wire.subarray(0, wire.length - 1));
      await hasRead(one, wire.length - 1);
      one.connection.resume();
      await one.peer.write(wire.subarray(wire.length - 1));
      await hasRead(one, wire.length);
      assert.deepEqual(seen, ['a', 'b', 'c', 'd']);
      assert.deepEqual(
        caught,
        [1, 2, 3, 4].map((i) => thrown(`message ${i}`)),
      );
    });

    test(`${over}: onMessage for what came with the 101; connect() resolves all the same`, async (t) => {
      const caught = uncaught(t);
      const seen: string[] = [];
      const options: ConnectOptions = {
        onMessage: (message) => {
          seen.push(message.text());
          throw thrown(message.text());
        },
      };
      const [one] = await links(t, tls, [options], Buffer.concat([text('a'), text('b')]));
      await one.peer.write(text('c'));
      await hasRead(one, 9);
      assert.deepEqual(seen, ['a', 'b', 'c']);
      assert.deepEqual(caught, ['a', 'b', 'c'].map(thrown));
    });

    test(`${over}: onPing and onPong; the Ping is answered and the messages come (§5.5.2)`, async (t) => {
      const caught = uncaught(t);
      const seen: string[] = [];
      const one = await link(t, tls, {
        onPing: (payload) => {
          throw thrown(`onPing ${payload}`);
        },
        onPong: (payload) => {
          throw thrown(`onPong ${payload}`);
        },
        onMessage: (message) => void seen.push(message.text()),
      });
      const wire = Buffer.concat([
        text('a'),
        encodeFrame({ opcode: 9, payload: Buffer.from('1') }),
        text('b'),
        encodeFrame({ opcode: 10, payload: Buffer.from('2') }),
        text('c'),
      ]);
      await one.peer.write(wire);
      await hasRead(one, wire.length);
      await soon(one.peer.receives(7));
      assert.deepEqual(seen, ['a', 'b', 'c']);
      assert.deepEqual(caught, [thrown('onPing 1'), thrown('onPong 2')]);
      assert.deepEqual(
        one.peer.frames().map(({ firstByte, payload }) => [firstByte, `${payload}`]),
        [[0x8a, '1']],
      );
    });

    test(`${over}: onClose: closed resolves all the same`, async (t) => {
      const caught = uncaught(t);
      const one = await link(t, tls, {
        onMessage: () => {},
        onClose: ({ code }) => {
          throw thrown(`onClose ${code}`);
        },
      });
      await one.peer.write(Buffer.from('880203e9', 'hex'));
      one.peer.end();
      const { code } = await ended(one.connection);
      await until(() => caught.length > 0);
      assert.equal(code, 1001);
      assert.deepEqual(caught, [thrown('onClose 1001')]);
    });

    test(`${over}: onDrain: what was sent arrives all the same`, async (t) => {
      const caught = uncaught(t);
      const one = await link(t, tls, {
        highWaterMark: 100_000,
        onDrain: () => {
          throw thrown('onDrain');
        },
      });
      const sent = await fill(one, 1_000_000);
      caught.length = 0;
      one.peer.resume();
      await soon(one.peer.receives(sent * (FILLING.length + 14)));
      await until(() => caught.length > 0);
      assert.deepEqual(caught, [thrown('onDrain')]);
      assert.equal(one.connection.bufferedAmount, 0);
      assert.equal(
        one.peer.frames().every(({ payload }) => payload.equals(FILLING)),
        true,
      );
    });

    test(`${over}: with nobody to catch it, the process ends as for any uncaught exception`, async (t) => {
      const server = await scriptedServer({ tls, behindAnswer: Buffer.concat([text('a'), text('b')]) });
      t.after(() => server.close());
      const client = spawn(
        process.execPath,
        ['--import', 'tsx', fileURLToPath(new URL('throwing-client.ts', import.meta.url)), server.url],
        {
          env: { ...process.env, SERVER_CERTIFICATE: certificate().cert },
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      );
      t.after(() => client.kill());
      let output = '';
      let complaint = '';
      client.stdout.on('data', (chunk: Buffer) => {
        output += chunk;
      });
      client.stderr.on('data', (chunk: Buffer) => {
        complaint += chunk;
      });
      const [status] = await soon(once(client, 'close'));
      assert.equal(status, 1);
      assert.match(complaint, /RangeError: nobody catches this/);
      // The walk was finished first.
      assert.equal(output, 'a\nb\n');
    });
  }
});
