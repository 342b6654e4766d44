/** Heartbeats in messages: requests and replies on a link without a socket, and what patterns match. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Kind } from '../../src/codec/layout.js';
import { type MessagePattern, matches } from '../../src/heartbeat/application-heartbeat.js';
import { Message } from '../../src/protocol/message.js';
import { FakeLink } from './fake-link.js';

/** As a receiver would hand it over, with other bytes around it. */
function message(content: string | Uint8Array, receivedAt = 0): Message {
  const bytes = Buffer.from(content as string);
  const memory = Buffer.concat([Buffer.from('pong{"x"'), bytes, Buffer.from('pong"y"}')]);
  const cursor = new Message(memory);
  cursor.read(memory, receivedAt);
  cursor.point(typeof content === 'string' ? Kind.text : Kind.binary, 8, bytes.length);
  return cursor;
}

describe('a pattern', () => {
  const cases: [string, MessagePattern, string, boolean][] = [
    ['text', { text: 'pong' }, 'pong', true],
    ['text', { text: 'pong' }, 'pongs', false],
    ['text', { text: 'pong' }, 'pon', false],
    ['text that is not ASCII', { text: '€' }, '€', true],
    ['parts', { parts: ['"a"', 'b'], maxLength: 20 }, '{"a":"b"}', true],
    ['parts, of which one is missing', { parts: ['"a"', 'c'], maxLength: 20 }, '{"a":"b"}', false],
    ['parts that stand beside the message in memory', { parts: ['pong'], maxLength: 20 }, '{"a":"b"}', false],
    ['parts of a longer message', { parts: ['"a"'], maxLength: 8 }, '{"a":"b"}', false],
    ['a function', (given) => given.byteLength === 3, 'abc', true],
    ['a function that gives something else than true', () => 1 as unknown as boolean, 'abc', false],
  ];
  for (const [what, pattern, content, expected] of cases) {
    test(`of ${what}: ${content}`, () => assert.equal(matches(pattern, message(content)), expected));
  }
});

const SECOND = { interval: 1_000, timeout: 500 };
const PONG = { request: 'ping', isReply: { text: 'pong' } };

describe('a request of the application', () => {
  test('is sent in place of a ping; messages are looked at only until the reply has come', () => {
    const link = new FakeLink({ ...SECOND, application: PONG });
    assert.equal(link.watched, false);
    link.clock.pass(1_010);
    assert.deepEqual([link.messages, link.payloads], [['ping'], []]);
    assert.equal(link.watched, true);
    link.arrives(20);
    link.clock.pass(20);
    assert.equal(link.heartbeat.look(message('data', link.clock.time), 0), false);
    assert.equal(link.watched, true);
    assert.equal(link.heartbeat.look(message('pong', link.clock.time), 0), false, 'it is delivered as well');
    assert.equal(link.watched, false);
    assert.equal(link.roundTrips.length, 1);
    assert.ok(link.roundTrips[0] >= 20 && link.roundTrips[0] <= 30, `${link.roundTrips[0]}`);
    assert.equal(link.heartbeat.stats().heartbeatsSent, 1);
  });

  test('deliver: false keeps heartbeats from the listener, and nothing else', () => {
    const application = { ...PONG, isRequest: { text: '?' }, reply: '!', deliver: false };
    const link = new FakeLink({ ...SECOND, application });
    assert.equal(link.watched, true, 'the server may ask at any time');
    link.clock.pass(1_010);
    assert.deepEqual(
      ['data', '?', 'pong', 'pong'].map((content) => link.heartbeat.look(message(content), 0)),
      [false, true, true, false],
    );
    assert.deepEqual(link.messages, ['ping', '!']);
  });

  test('may be made by a function, each time anew', () => {
    let id = 0;
    const link = new FakeLink({ ...SECOND, application: { request: () => `{"id":${++id}}` } });
    for (let i = 0; i < 3; i++) {
      link.clock.pass(1_020);
      link.arrives(0);
      link.clock.pass(0);
    }
    assert.deepEqual(link.messages, ['{"id":1}', '{"id":2}', '{"id":3}']);
  });

  test('any byte proves the link, whether or not it is a reply; silence is a verdict', () => {
    const link = new FakeLink({ ...SECOND, application: PONG });
    for (let i = 0; i < 5; i++) {
      link.arrives(1_200);
      link.clock.pass(1_300);
    }
    assert.equal(link.failure, undefined);
    link.clock.pass(2_000);
    assert.equal(link.failure!.code, 'ERR_PING_NEVER_ANSWERED');
    assert.match(link.failure!.message, /heartbeat\.application/);
  });

  test('for which there is no room waits, and no deadline runs for it', () => {
    const link = new FakeLink({ ...SECOND, application: PONG });
    link.hasRoom = false;
    link.clock.pass(60_000);
    assert.equal(link.failure, undefined, 'nothing was asked: a message is unfinished');
    link.hasRoom = true;
    link.clock.pass(200);
    assert.equal(link.messages.length, 1);
    link.clock.pass(1_000);
    assert.ok(link.failure !== undefined, 'now it was');
  });

  test('for which there is no room, because nothing leaves any more: that is a verdict too', () => {
    const link = new FakeLink({ ...SECOND, application: PONG });
    link.hasRoom = false;
    link.queued = 16 * 1024 * 1024;
    link.clock.pass(1_490);
    assert.equal(link.failure, undefined);
    link.clock.pass(100);
    assert.ok(link.failure !== undefined, 'dead');
  });

  test('for which there is no room, until what waited has left: then it is sent', () => {
    const link = new FakeLink({ ...SECOND, application: PONG });
    link.hasRoom = false;
    link.queued = 16 * 1024 * 1024;
    link.clock.pass(1_200);
    link.sent = link.queued;
    link.hasRoom = true;
    link.clock.pass(500);
    assert.deepEqual(link.messages, ['ping']);
    assert.equal(link.failure, undefined);
  });

  test('a function that throws is reported, and harms nothing else', async (t) => {
    const uncaught: unknown[] = [];
    process.setUncaughtExceptionCaptureCallback((error) => uncaught.push(error));
    t.after(() => process.setUncaughtExceptionCaptureCallback(null));
    let calls = 0;
    const link = new FakeLink({
      ...SECOND,
      application: {
        request: () => {
          if (++calls === 1) throw new Error('mine');
          return 'ping';
        },
      },
    });
    link.clock.pass(1_200);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(uncaught.map(String), ['Error: mine']);
    assert.deepEqual(link.messages, ['ping']);
  });
});

describe("a request of the server's", () => {
  const application = {
    isRequest: { parts: ['test_request'], maxLength: 100 },
    reply: (asked: Message) => `{"re":${asked.text().length}}`,
  };

  test('is answered in the turn of its read; pings go on', () => {
    const link = new FakeLink({ ...SECOND, application }).answering(1);
    assert.equal(link.heartbeat.look(message('{"test_request":1}'), 0), false);
    assert.deepEqual(link.messages, ['{"re":18}']);
    link.clock.pass(1_010);
    assert.equal(link.payloads.length, 1);
  });

  test('is answered later, where a message is unfinished', () => {
    const link = new FakeLink({ ...SECOND, application }).answering(1);
    link.hasRoom = false;
    link.heartbeat.look(message('{"test_request":1}'), 0);
    link.clock.pass(400);
    assert.deepEqual(link.messages, []);
    link.hasRoom = true;
    link.clock.pass(110);
    assert.deepEqual(link.messages, ['{"re":18}']);
  });
});
