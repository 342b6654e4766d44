/**
 * Lease rule 4: scratch, frame table and message cursor belong to one walk at a time; `resume()`, a synchronous
 * stream or a read begun inside a callback never delivers re-entrantly, it is deferred.
 * Lease rule 6: after `close()` or `terminate()` in a callback, the rest of the read is delivered or discarded.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Codec } from '../../src/codec/codec.js';
import { connect } from '../../src/connect.js';
import { Receiver, type ReceiverEvents } from '../../src/protocol/receiver.js';
import { encodeFrame } from '../reference/frame.js';
import { turns } from '../server/scripted-server.js';
import {
  binary,
  contentOf,
  ended,
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

describe('lease rule 4: one walk at a time', () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`${over}: pause() and resume() in a callback deliver nothing within it`, async (t) => {
      const log: string[] = [];
      const one = await link(t, tls, {
        onMessage: (message, connection) => {
          const content = message.text();
          log.push(`> ${content}`);
          connection.pause();
          connection.resume();
          // The cursor still points at this message.
          log.push(`< ${message.text()}`);
        },
      });
      const wire = Buffer.concat(['a', 'b', 'c', 'd'].map(text));
      await one.peer.write(wire);
      await hasRead(one, wire.length);
      await until(() => log.length >= 8);
      assert.deepEqual(log, ['> a', '< a', '> b', '< b', '> c', '< c', '> d', '< d']);
    });

    test(`${over}: resume() in a callback of a delivery that waited delivers nothing within it`, async (t) => {
      const log: string[] = [];
      const one = await link(t, tls, {
        onMessage: (message, connection) => {
          const content = message.text();
          log.push(`> ${content}`);
          connection.pause();
          if (content !== 'a') connection.resume();
          log.push(`< ${message.text()}`);
        },
      });
      const wire = Buffer.concat(['a', 'b', 'c'].map(text));
      await one.peer.write(wire);
      await hasRead(one, wire.length);
      assert.deepEqual(log, ['> a', '< a']);
      one.connection.resume();
      await until(() => log.length >= 6);
      assert.deepEqual(log, ['> a', '< a', '> b', '< b', '> c', '< c']);
    });

    test(`${over}: resuming another connection in a callback leaves this walk's scratch alone`, async (t) => {
      const log: string[] = [];
      const payloads = ['first', 'second', 'third'].map((name) => name.repeat(500));
      const [waiting, reading] = await links(t, tls, [
        {
          onMessage: (message, connection) => {
            log.push(message.text().slice(0, 5));
            if (log.length === 1) connection.pause();
          },
        },
        {
          onMessage: (message) => {
            waiting.connection.resume();
            // Were the other connection's bytes delivered now, they would lie where this message lies.
            assert.equal(message.text(), payloads[log.length]);
            log.push(`this ${message.text().slice(0, 5)}`);
          },
        },
      ]);
      const own = Buffer.concat([text('other 1'), text('other 2'), text('other 3')]);
      await waiting.peer.write(own);
      await hasRead(waiting, own.length);
      log.length = 0;
      const wire = Buffer.concat(payloads.map(text));
      await reading.peer.write(wire);
      await hasRead(reading, wire.length);
      await until(() => log.length >= 5);
      assert.deepEqual(log, ['this first', 'this secon', 'this third', 'other', 'other']);
    });

    test(`${over}: setting onMessage in a callback changes the listener, and delivers nothing within it`, async (t) => {
      const log: string[] = [];
      const one = await link(t, tls, {
        onMessage: (message, connection) => {
          connection.onMessage = undefined;
          connection.onMessage = (next) => void log.push(`second: ${next.text()}`);
          log.push(`first: ${message.text()}`);
        },
      });
      const wire = Buffer.concat(['a', 'b', 'c'].map(text));
      await one.peer.write(wire);
      await hasRead(one, wire.length);
      await until(() => log.length >= 3);
      assert.deepEqual(log, ['first: a', 'second: b', 'second: c']);
    });

    test(`${over}: sends, pings, corks and a connect in a callback disturb no message of the read`, async (t) => {
      const payloads = Array.from({ length: 20 }, (_, i) => patterned(700, i));
      const seen: string[] = [];
      const connecting: Promise<void>[] = [];
      const one = await link(t, tls, {
        onMessage: (message, connection) => {
          connection.send(message.bytes);
          connection.cork(() => {
            connection.send('in a cork');
            connection.ping().catch(() => {});
          });
          if (seen.length === 3) {
            connecting.push(
              connect(one.server.url, { tls: one.server.tls }).then((other) => other.terminate()),
            );
          }
          seen.push(contentOf(message));
        },
      });
      const wire = Buffer.concat(payloads.map(binary));
      await one.peer.write(wire);
      await hasRead(one, wire.length);
      await Promise.all(connecting);
      const contents = payloads.map((payload) => print(payload));
      assert.deepEqual(seen, contents);
      await soon(one.peer.receives(20 * (708 + 15 + 10)));
      const echoed = one.peer.frames().filter(({ firstByte }) => firstByte === 0x82);
      assert.deepEqual(
        echoed.map(({ payload }) => print(payload)),
        contents,
      );
    });
  }

  /** A receiver without a socket, as a synchronous stream drives it. */
  const receiver = (codec: Codec, onMessage: (text: string) => void): Receiver<undefined> => {
    const nothing = (): void => {};
    const events: ReceiverEvents<undefined> = {
      answerPing: nothing,
      onPing: nothing,
      onPong: nothing,
      onClose: nothing,
      onError: (_owner, error) => assert.fail(error),
      onBlocked: nothing,
      onCaughtUp: nothing,
    };
    const made = new Receiver<undefined>(codec, undefined, events, { maxMessageSize: 1e6 });
    made.listen((message) => {
      onMessage(`> ${message.text().slice(0, 9)}`);
      onMessage(`< ${message.text().slice(0, 9)}`);
    });
    return made;
  };

  test('bytes fed to the same receiver within a callback wait for its end, and keep their order', async () => {
    const log: string[] = [];
    const one = receiver(new Codec(), (entry) => {
      log.push(entry);
      if (entry === '> a') one.feed(Buffer.concat([text('d'), text('e')]), 2);
      if (entry === '> b') one.feed(text('f'), 3);
    });
    one.feed(Buffer.concat([text('a'), text('b'), text('c')]), 1);
    assert.deepEqual(log, ['> a', '< a', '> b', '< b', '> c', '< c']);
    // What comes before the deferred bytes are delivered waits behind them.
    one.feed(text('g'), 4);
    await turns(1);
    assert.deepEqual(log.slice(6), ['> d', '< d', '> e', '< e', '> f', '< f', '> g', '< g']);
  });

  test('bytes fed to another receiver within a callback wait for its end', async () => {
    const codec = new Codec();
    const log: string[] = [];
    const other = receiver(codec, (entry) => void log.push(`  ${entry}`));
    const one = receiver(codec, (entry) => {
      log.push(entry);
      if (entry === '> a') other.feed(text('x'.repeat(70_000)), 2);
      if (entry === '> b') other.feed(text('y'), 3);
    });
    one.feed(Buffer.concat([text('a'), text('b'), text('c')]), 1);
    assert.deepEqual(log, ['> a', '< a', '> b', '< b', '> c', '< c']);
    await turns(1);
    assert.deepEqual(log.slice(6), ['  > xxxxxxxxx', '  < xxxxxxxxx', '  > y', '  < y']);
  });
});

describe('lease rule 6: an end in a callback', () => {
  for (const { over, tls } of TRANSPORTS) {
    test(`${over}: terminate() discards the rest of the read, and what follows`, async (t) => {
      const seen: string[] = [];
      const pings: string[] = [];
      const one = await link(t, tls, {
        onPing: (payload) => void pings.push(payload.toString()),
        onMessage: (message, connection) => {
          seen.push(message.text());
          if (seen.length === 2) {
            connection.terminate();
            // The message that is being handled stays readable until its callback returns.
            seen.push(message.text());
          }
        },
      });
      const ping = encodeFrame({ opcode: 9, payload: Buffer.from('late') });
      await one.peer.write(Buffer.concat([text('a'), text('b'), ping, text('c'), patterned(40_000, 1)]));
      const { code, wasClean, error } = await ended(one.connection);
      await turns(3);
      assert.deepEqual({ seen, pings }, { seen: ['a', 'b', 'b'], pings: [] });
      assert.deepEqual(
        { code, wasClean, error: error?.code },
        { code: 1006, wasClean: false, error: 'ERR_TERMINATED' },
      );
    });

    test(`${over}: terminate() in a large message's callback, with more of the read behind it`, async (t) => {
      const payload = patterned(150_000, 5);
      const seen: string[] = [];
      const one = await link(t, tls, {
        onMessage: (message, connection) => {
          connection.terminate();
          seen.push(contentOf(message));
        },
      });
      await one.peer.write(Buffer.concat([binary(payload), text('a'), binary(payload)]));
      await ended(one.connection);
      await turns(3);
      assert.deepEqual(seen, [print(payload)]);
    });

    test(`${over}: terminate() discards what a pause left waiting`, async (t) => {
      const seen: string[] = [];
      const one = await link(t, tls, {
        onMessage: (message, connection) => {
          seen.push(message.text());
          connection.pause();
        },
      });
      const wire = Buffer.concat(['a', 'b', 'c'].map(text));
      await one.peer.write(wire);
      await hasRead(one, wire.length);
      one.connection.resume();
      one.connection.terminate();
      one.connection.resume();
      await ended(one.connection);
      await turns(3);
      assert.deepEqual(seen, ['a']);
    });

    test(`${over}: terminate() in a callback of a delivery that waited discards the rest`, async (t) => {
      const seen: string[] = [];
      const one = await link(t, tls, {
        onMessage: (message, connection) => {
          seen.push(message.text());
          if (seen.length === 1) connection.pause();
          if (seen.length === 2) connection.terminate();
        },
      });
      const wire = Buffer.concat(['a', 'b', 'c', 'd'].map(text));
      await one.peer.write(wire);
      await hasRead(one, wire.length);
      one.connection.resume();
      await ended(one.connection);
      await turns(3);
      assert.deepEqual(seen, ['a', 'b']);
    });

    test(`${over}: one connection terminates another in a callback, and reads on`, async (t) => {
      const seen: string[] = [];
      const [victim, one] = await links(t, tls, [
        { onMessage: (message) => void seen.push(`victim: ${message.text()}`) },
        {
          onMessage: (message) => {
            if (seen.length === 0) victim.connection.terminate();
            seen.push(message.text());
          },
        },
      ]);
      // The victim holds a slab with half a message; the other's tail is the next to need one.
      await victim.peer.write(text('half a message').subarray(0, 8));
      await hasRead(victim, 8);
      const wire = Buffer.concat(['a', 'b', 'c', 'd'].map((letter) => text(letter.repeat(9))));
      await one.peer.write(wire.subarray(0, 27));
      await victim.peer.write(text('half a message').subarray(8));
      await hasRead(one, 27);
      await one.peer.write(wire.subarray(27));
      await hasRead(one, wire.length);
      assert.deepEqual(
        seen,
        ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(9)),
      );
    });

    test(`${over}: close() still delivers what comes until the server's Close frame (§5.5.1)`, async (t) => {
      const seen: string[] = [];
      const one = await link(t, tls, {
        onMessage: (message, connection) => {
          seen.push(message.text());
          if (seen.length === 1) void connection.close(1000, 'enough');
        },
      });
      const first = Buffer.concat(['a', 'b', 'c'].map(text));
      await one.peer.write(first);
      await hasRead(one, first.length);
      assert.deepEqual(seen, ['a', 'b', 'c']);
      await soon(one.peer.receives(14));
      // A message behind the Close frame is none (§5.5.1).
      await one.peer.write(Buffer.concat([text('d'), Buffer.from('880203e8', 'hex'), text('never')]));
      one.peer.end();
      const { code, wasClean } = await ended(one.connection);
      assert.deepEqual(seen, ['a', 'b', 'c', 'd']);
      assert.deepEqual({ code, wasClean }, { code: 1000, wasClean: true });
    });

    test(`${over}: pause() and close() in one callback keep the rest until resume()`, async (t) => {
      const seen: string[] = [];
      const one = await link(t, tls, {
        onMessage: (message, connection) => {
          seen.push(message.text());
          if (seen.length > 1) return;
          connection.pause();
          void connection.close();
        },
      });
      const wire = Buffer.concat(['a', 'b', 'c'].map(text));
      await one.peer.write(wire);
      await hasRead(one, wire.length);
      await soon(one.peer.receives(8));
      assert.deepEqual(seen, ['a']);
      one.connection.resume();
      await one.peer.write(Buffer.concat([text('d'), Buffer.from('880203e8', 'hex')]));
      one.peer.end();
      const { wasClean } = await ended(one.connection);
      assert.deepEqual({ seen, wasClean }, { seen: ['a', 'b', 'c', 'd'], wasClean: true });
    });
  }
});
