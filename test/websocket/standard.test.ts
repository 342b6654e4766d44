/** `heartwire/whatwg`, by the sections of https://websockets.spec.whatwg.org/ (of 2024) and the standards it rests on. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { CloseEvent, MessageEvent, WebSocket } from '../../src/whatwg.js';
import { encodeFrame } from '../reference/frame.js';
import { type EchoServer, echoServer } from '../server/echo-server.js';
import { scriptedServer } from '../server/scripted-server.js';

let server: EchoServer;
before(async () => {
  server = await echoServer({ ws: { handleProtocols: (offered) => [...offered][0] } });
});
after(() => server.close());

const is = (name: string) => (error: unknown) => error instanceof DOMException && error.name === name;

/** The event of this name, for listeners of the standard's kind. */
function next<Event = MessageEvent<string>>(socket: WebSocket, type: string): Promise<Event> {
  return new Promise((resolve) => {
    const listener = (event: never): void => resolve(event);
    socket.addEventListener(type, listener, { once: true });
  });
}

async function open(): Promise<WebSocket> {
  const socket = new WebSocket(server.url);
  await next(socket, 'open');
  return socket;
}

async function close(socket: WebSocket): Promise<void> {
  const closed = next(socket, 'close');
  socket.close();
  await closed;
}

const frame = (opcode: number, payload: string | Buffer): Buffer =>
  encodeFrame({ opcode, payload: Buffer.from(payload as string) });

describe('§3.1 constructor', () => {
  for (const url of [
    '',
    'a',
    '/a',
    'ws:',
    'ftp://a',
    'mailto:a@b',
    'ws://a b',
    'ws://a:99999',
    'ws://a/#b',
    'ws://a/#',
  ]) {
    test(`SyntaxError for ${JSON.stringify(url)}`, () => {
      assert.throws(() => new WebSocket(url), is('SyntaxError'));
    });
  }

  for (const protocols of [
    '',
    'a b',
    'a,b',
    'grüße',
    '\u0000',
    ['a', 'a'],
    ['a', 'A'],
    ['a', ''],
    [null, 'null'],
  ]) {
    test(`SyntaxError for the subprotocols ${JSON.stringify(protocols)}`, () => {
      assert.throws(() => new WebSocket('ws://a', protocols as string[]), is('SyntaxError'));
    });
  }

  test('without new, a TypeError; without a URL, an error', () => {
    assert.throws(() => (WebSocket as unknown as (url: string) => void)('ws://a'), TypeError);
    assert.throws(() => Reflect.construct(WebSocket, []));
  });

  for (const [given, expected] of [
    ['http://LOCALHOST:1/a', 'ws://localhost:1/a'],
    ['https://localhost:1', 'wss://localhost:1/'],
    ['ws://localhost:80/ä?ö', 'ws://localhost/%C3%A4?%C3%B6'],
    [new URL('ws://localhost:1/x'), 'ws://localhost:1/x'],
  ] as const) {
    test(`url of ${given}`, async () => {
      const socket = new WebSocket(given);
      assert.equal(socket.url, expected);
      await close(socket);
    });
  }

  test('the subprotocol that the server chose', async () => {
    for (const [protocols, expected] of [
      ['a', 'a'],
      [['b', 'c'], 'b'],
      [[], ''],
    ] as const) {
      const socket = new WebSocket(server.url, protocols as unknown as string[]);
      assert.equal(socket.protocol, '');
      await next(socket, 'open');
      assert.equal(socket.protocol, expected);
      await close(socket);
    }
  });

  test('no answer to the subprotocols: the connection is failed', async () => {
    const silent = await scriptedServer();
    const socket = new WebSocket(silent.url, ['a']);
    const types: string[] = [];
    for (const type of ['open', 'error', 'close']) socket.addEventListener(type, () => types.push(type));
    await next(socket, 'close');
    assert.deepEqual(types, ['error', 'close']);
    await silent.close();
  });
});

describe('§3.1 the interface', () => {
  test('constants: on the class and on instances, enumerable, and for good', () => {
    for (const target of [WebSocket, WebSocket.prototype]) {
      for (const [value, name] of ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'].entries()) {
        assert.equal((target as unknown as Record<string, number>)[name], value);
      }
    }
    assert.equal(Object.getOwnPropertyDescriptor(Object.getPrototypeOf(WebSocket), 'OPEN')?.writable, false);
    assert.equal(WebSocket.name, 'WebSocket');
    assert.equal(String(WebSocket.prototype), '[object WebSocket]');
  });

  test('binaryType is blob; only what the standard names is accepted', async () => {
    const socket = await open();
    assert.equal(socket.binaryType, 'blob');
    socket.binaryType = 'arraybuffer';
    assert.equal(socket.binaryType, 'arraybuffer');
    socket.binaryType = 'nonsense' as never;
    assert.equal(socket.binaryType, 'arraybuffer');
    await close(socket);
  });

  test('readyState from 0 to 3', async () => {
    const socket = new WebSocket(server.url);
    assert.equal(socket.readyState, WebSocket.CONNECTING);
    await next(socket, 'open');
    assert.equal(socket.readyState, WebSocket.OPEN);
    const closed = next(socket, 'close');
    socket.close();
    assert.equal(socket.readyState, WebSocket.CLOSING);
    await closed;
    assert.equal(socket.readyState, WebSocket.CLOSED);
  });

  test('attributes that cannot be set', () => {
    const socket = new WebSocket(server.url);
    for (const name of ['url', 'readyState', 'bufferedAmount', 'extensions', 'protocol']) {
      assert.throws(() => Object.assign(socket, { [name]: 1 }), TypeError, name);
    }
    socket.close();
  });
});

describe('§3.1 send()', () => {
  test('InvalidStateError while connecting', async () => {
    const socket = new WebSocket(server.url);
    assert.throws(() => socket.send('a'), is('InvalidStateError'));
    await close(socket);
  });

  for (const [title, data, expected] of [
    ['a lone surrogate', '\ud800', '\ufffd'],
    ['undefined', undefined, 'undefined'],
    ['null', null, 'null'],
    ['a number', 1.5, '1.5'],
    ['an object', {}, '[object Object]'],
    ['an array', [1, 2], '1,2'],
  ] as const) {
    test(`${title} is sent as the string ${JSON.stringify(expected)}`, async () => {
      const socket = await open();
      socket.send(data as string);
      assert.equal((await next(socket, 'message')).data, expected);
      await close(socket);
    });
  }

  const shared = new Uint8Array(new SharedArrayBuffer(4), 1, 2);
  shared.set([7, 8]);
  for (const [title, data, expected] of [
    ['an ArrayBuffer', new Uint8Array([1, 2]).buffer, [1, 2]],
    ['a view', new Uint8Array([1, 2, 3]).subarray(1), [2, 3]],
    ['a DataView', new DataView(new Uint8Array([1, 2, 3]).buffer, 2), [3]],
    ['a view of shared memory', shared, [7, 8]],
    ['a Blob', new Blob([new Uint8Array([4, 5])]), [4, 5]],
  ] as const) {
    test(`${title} is sent as bytes`, async () => {
      const socket = await open();
      socket.binaryType = 'arraybuffer';
      socket.send(data);
      const { data: echoed } = await next<MessageEvent<ArrayBuffer>>(socket, 'message');
      assert.ok(echoed instanceof ArrayBuffer, 'an ArrayBuffer');
      assert.deepEqual([...new Uint8Array(echoed)], [...expected]);
      await close(socket);
    });
  }

  test('binary messages as Blobs, in what binaryType is when their turn comes', async () => {
    const peer = await scriptedServer({
      onConnection: (to) => void to.write(Buffer.concat([frame(2, 'ab'), frame(2, 'cd'), frame(2, 'ef')])),
    });
    const socket = new WebSocket(peer.url);
    const seen: unknown[] = [];
    await new Promise<void>((resolve) => {
      socket.onmessage = async ({ data }) => {
        seen.push(data);
        socket.binaryType = seen.length === 1 ? 'arraybuffer' : 'blob';
        if (seen.length === 3) resolve();
      };
    });
    assert.deepEqual(
      seen.map((data) => (data as object).constructor),
      [Blob, ArrayBuffer, Blob],
    );
    assert.equal(await (seen[0] as Blob).text(), 'ab');
    assert.equal(Buffer.from(seen[1] as ArrayBuffer).toString(), 'cd');
    assert.equal(await (seen[2] as Blob).text(), 'ef');
    socket.terminate();
    await peer.close();
  });
});

describe('§3.1 bufferedAmount', () => {
  test('counts bytes of UTF-8 within the turn, and nothing of the frames', async () => {
    const socket = await open();
    socket.send('grüße');
    assert.equal(socket.bufferedAmount, 7);
    socket.send(new Uint8Array(100));
    socket.send(new Blob(['12']));
    await Promise.resolve();
    assert.equal(socket.bufferedAmount, 109);
    for (let i = 0; i < 3; i++) await next(socket, 'message');
    assert.equal(socket.bufferedAmount, 0);
    await close(socket);
  });

  test('what is sent after close() is discarded and counted, for good', async () => {
    const socket = await open();
    socket.close();
    socket.send('12345');
    socket.send(new Uint8Array(10));
    socket.send(new Blob(['1']));
    assert.equal(socket.bufferedAmount, 16);
    await next(socket, 'close');
    assert.equal(socket.bufferedAmount, 16);
    socket.send('6');
    assert.equal(socket.bufferedAmount, 17);
  });

  test('what has not left when the connection ends stays counted', async () => {
    const peer = await scriptedServer({ onConnection: (to) => to.pause() });
    const socket = new WebSocket(peer.url);
    await next(socket, 'open');
    socket.send(Buffer.alloc(64 * 1024 * 1024));
    const closed = next(socket, 'close');
    peer.peers[0].reset();
    await closed;
    assert.ok(socket.bufferedAmount > 0, `${socket.bufferedAmount} bytes`);
    await peer.close();
  });
});

describe('§3.1 close()', () => {
  for (const code of [0, 999, 1001, 1005, 1006, 2999, 5000, -1, 65536 + 1000, Number.NaN, 'reason', null]) {
    test(`InvalidAccessError for the code ${String(code)}`, async () => {
      const socket = await open();
      assert.throws(() => socket.close(code as number), is('InvalidAccessError'));
      assert.equal(socket.readyState, WebSocket.OPEN);
      await close(socket);
    });
  }

  test('the checks come first, whatever the state', async () => {
    const socket = new WebSocket(server.url);
    assert.throws(() => socket.close(1), is('InvalidAccessError'));
    assert.throws(() => socket.close(1000, 'x'.repeat(124)), is('SyntaxError'));
    assert.throws(() => socket.close(1000, 'ü'.repeat(62)), is('SyntaxError'));
    await close(socket);
    assert.throws(() => socket.close(1), is('InvalidAccessError'));
  });

  for (const [args, code, reason] of [
    [[], 1005, ''],
    [[undefined], 1005, ''],
    [[1000], 1000, ''],
    [[3000, 'x'.repeat(123)], 3000, 'x'.repeat(123)],
    [[4999, '\ud807'], 4999, '\ufffd'],
    [[1000.4], 1000, ''],
  ] as [[number?, string?], number, string][]) {
    test(`close(${args.map((each) => JSON.stringify(each)?.slice(0, 9)).join()}): ${code}, clean`, async () => {
      const socket = await open();
      const closed = next<CloseEvent>(socket, 'close');
      socket.close(...args);
      const event = await closed;
      assert.deepEqual([event.code, event.reason, event.wasClean], [code, reason, true]);
    });
  }

  test('while connecting: an error, then a close that is not clean', async () => {
    const socket = new WebSocket(server.url);
    const seen: unknown[] = [];
    socket.onopen = () => seen.push('open');
    socket.onerror = ({ type }) => seen.push(type, socket.readyState);
    socket.onclose = ({ type, code, wasClean }) => seen.push(type, code, wasClean);
    socket.close();
    assert.equal(socket.readyState, WebSocket.CLOSING);
    assert.deepEqual(seen, []);
    await next(socket, 'close');
    assert.deepEqual(seen, ['error', 3, 'close', 1006, false]);
  });

  test('after it no message is delivered', async () => {
    const peer = await scriptedServer({
      onConnection: (to) => void to.write(Buffer.concat([frame(1, 'a'), frame(1, 'b')])),
    });
    const socket = new WebSocket(peer.url);
    const seen: unknown[] = [];
    socket.onmessage = ({ data }) => {
      seen.push(data);
      socket.close();
    };
    await next(socket, 'message');
    await (await peer.peer()).write(Buffer.concat([frame(1, 'c'), Buffer.from('8800', 'hex')]));
    (await peer.peer()).end();
    await next(socket, 'close');
    assert.deepEqual(seen, ['a']);
    await peer.close();
  });
});

describe('§4 feedback from the protocol', () => {
  test('messages that came with the 101 come after open', async () => {
    const peer = await scriptedServer({ behindAnswer: Buffer.concat([frame(1, 'a'), frame(1, 'b')]) });
    const socket = new WebSocket(peer.url);
    const seen: string[] = [];
    socket.onopen = () => seen.push('open');
    socket.onmessage = ({ data }) => seen.push(data);
    while (seen.length < 3) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(seen, ['open', 'a', 'b']);
    socket.terminate();
    await peer.close();
  });

  test('each message is a task: all microtasks of the one before are done', async () => {
    const peer = await scriptedServer({
      onConnection: (to) => void to.write(Buffer.concat([frame(1, 'a'), frame(1, 'b'), frame(1, 'c')])),
    });
    const socket = new WebSocket(peer.url);
    const seen: string[] = [];
    const finished = new Promise<void>((resolve) => {
      socket.onmessage = async ({ data }) => {
        seen.push(data);
        for (let i = 0; i < 20; i++) await null;
        seen.push(`${data} done`);
        if (data === 'c') resolve();
      };
    });
    await finished;
    assert.deepEqual(seen, ['a', 'a done', 'b', 'b done', 'c', 'c done']);
    socket.terminate();
    await peer.close();
  });

  test('readyState is OPEN while messages before the Close frame are delivered', async () => {
    const peer = await scriptedServer({
      onConnection: (to) => {
        void to.write(Buffer.concat([frame(1, 'a'), frame(1, 'b'), Buffer.from('880203e8', 'hex')]));
        to.end();
      },
    });
    const socket = new WebSocket(peer.url);
    const seen: unknown[] = [];
    socket.onmessage = ({ data }) => {
      seen.push(data, socket.readyState);
      socket.send('into the void');
    };
    const event = await next<CloseEvent>(socket, 'close');
    assert.deepEqual(seen, ['a', 1, 'b', 1]);
    assert.deepEqual([event.code, event.wasClean], [1000, true]);
    assert.equal(socket.bufferedAmount, 26);
    await peer.close();
  });

  for (const [title, end] of [
    ['a wrong frame', Buffer.from('8500', 'hex')],
    ['text that is not UTF-8', Buffer.from('8101ff', 'hex')],
    ['an end without a Close frame', Buffer.alloc(0)],
  ] as const) {
    test(`${title}: error, then close with 1006, both in CLOSED`, async () => {
      const peer = await scriptedServer({
        onConnection: (to) => {
          void to.write(Buffer.concat([frame(1, 'a'), end]));
          to.end();
        },
      });
      const socket = new WebSocket(peer.url);
      const seen: unknown[] = [];
      for (const type of ['message', 'error', 'close']) {
        socket.addEventListener(type, () => seen.push(type, socket.readyState));
      }
      const event = await next<CloseEvent>(socket, 'close');
      assert.deepEqual(seen, ['message', 1, 'error', 3, 'close', 3]);
      assert.deepEqual([event.code, event.reason, event.wasClean], [1006, '', false]);
      await peer.close();
    });
  }

  test('nobody listens for the error: no exception', async () => {
    const socket = new WebSocket('ws://127.0.0.1:1');
    const event = await next<CloseEvent>(socket, 'close');
    assert.equal(event.code, 1006);
  });
});

describe('events (DOM, HTML)', () => {
  test('a message event', async () => {
    const socket = await open();
    socket.send('a');
    const during: unknown[] = [];
    socket.addEventListener('message', function (this: unknown, event) {
      during.push(
        this === socket,
        event.currentTarget === (socket as unknown),
        event.eventPhase,
        event.composedPath().length,
      );
    });
    const event = await next(socket, 'message');
    await Promise.resolve();
    assert.deepEqual(during, [true, true, 2, 1]);
    assert.ok(event instanceof Event && event instanceof MessageEvent, 'an Event and a MessageEvent');
    assert.equal(event.type, 'message');
    assert.equal(event.target, socket);
    assert.equal(event.currentTarget, null);
    assert.equal(event.eventPhase, 0);
    assert.equal(event.origin, new URL(server.url).origin);
    assert.deepEqual([event.lastEventId, event.source, event.ports], ['', null, []]);
    assert.deepEqual(
      [event.bubbles, event.cancelable, event.composed, event.defaultPrevented],
      [false, false, false, false],
    );
    assert.ok(event.isTrusted && event.timeStamp > 0, 'trusted, with a time');
    event.preventDefault();
    event.stopPropagation();
    assert.equal(Object.prototype.toString.call(event), '[object MessageEvent]');
    await close(socket);
  });

  test('events have the standard’s names, and no keys of their own', async () => {
    const socket = await open();
    assert.ok(socket instanceof EventTarget, 'an EventTarget');
    const opening = new WebSocket(server.url);
    const opened = await next(opening, 'open');
    socket.send('a');
    const message = await next(socket, 'message');
    assert.deepEqual(
      [opened, message].map((event) => event.constructor.name),
      ['Event', 'MessageEvent'],
    );
    for (const event of [opened, message]) {
      assert.deepEqual(Reflect.ownKeys(event), []);
      assert.throws(() => Object.assign(event, { type: 'x' }), TypeError);
    }
    await Promise.all([close(socket), close(opening)]);
  });

  test('all listeners are given the same event; stopImmediatePropagation ends its way', async () => {
    const socket = await open();
    const seen: unknown[] = [];
    socket.onmessage = (event) => seen.push(event);
    socket.addEventListener('message', (event) => {
      seen.push(event);
      event.stopImmediatePropagation();
    });
    socket.addEventListener('message', () => seen.push('never'));
    socket.send('a');
    while (seen.length < 2) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(seen.length, 2);
    assert.equal(seen[0], seen[1]);
    await close(socket);
  });

  test('handlers: null at first, replaced in their place, functions and objects only', async () => {
    const socket = new WebSocket(server.url);
    const seen: string[] = [];
    for (const name of ['onopen', 'onmessage', 'onerror', 'onclose'] as const) {
      assert.equal(socket[name], null);
      socket[name] = 1 as never;
      assert.equal(socket[name], null);
      const object = {};
      socket[name] = object as never;
      assert.equal(socket[name], object as never);
      socket[name] = null;
      assert.equal(socket[name], null);
    }
    socket.onopen = () => seen.push('first');
    socket.addEventListener('open', () => seen.push('second'));
    socket.onopen = () => seen.push('first, replaced');
    await next(socket, 'open');
    assert.deepEqual(seen, ['first, replaced', 'second']);
    await close(socket);
  });

  test('addEventListener: once, signal, handleEvent, twice the same, removal', async () => {
    const socket = await open();
    const seen: string[] = [];
    const listener = () => seen.push('listener');
    const object = { handleEvent: () => seen.push('object') };
    const controller = new AbortController();
    socket.addEventListener('message', listener);
    socket.addEventListener('message', listener);
    socket.addEventListener('message', listener, { capture: true });
    socket.addEventListener('message', object);
    socket.addEventListener('message', () => seen.push('once'), { once: true });
    socket.addEventListener('message', () => seen.push('signal'), { signal: controller.signal });
    socket.addEventListener('message', () => seen.push('never'), { signal: AbortSignal.abort() });
    socket.addEventListener('message', null);
    const removed = () => seen.push('removed');
    socket.addEventListener('message', removed);
    socket.removeEventListener('message', removed);
    socket.send('1');
    await next(socket, 'message');
    assert.deepEqual(seen.splice(0), ['listener', 'listener', 'object', 'once', 'signal']);
    controller.abort();
    socket.removeEventListener('message', listener);
    socket.send('2');
    await next(socket, 'message');
    assert.deepEqual(seen, ['listener', 'object']);
    await close(socket);
  });

  test('an exception of one listener is reported, and the next is called', async () => {
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const socket = await open();
    try {
      const reported = once(process, 'uncaughtException') as Promise<[Error]>;
      const seen: string[] = [];
      socket.onmessage = () => {
        throw new Error('mine');
      };
      socket.addEventListener('message', () => seen.push('next'));
      socket.send('a');
      const [error] = await reported;
      assert.equal(error.message, 'mine');
      assert.deepEqual(seen, ['next']);
    } finally {
      for (const listener of others) process.on('uncaughtException', listener);
    }
    await close(socket);
  });

  test('dispatchEvent: events of one’s own, ours and Node’s, of any type', async () => {
    const socket = await open();
    const seen: unknown[] = [];
    for (const type of ['message', 'custom', 'ping']) {
      socket.addEventListener(type, (event: { type: string; target: unknown }) =>
        seen.push(event.type, event.target === socket),
      );
    }
    assert.equal(socket.dispatchEvent(new Event('custom')), true);
    assert.equal(socket.dispatchEvent(new MessageEvent('message', { data: 'x' })), true);
    const event = new Event('custom', { cancelable: true });
    socket.addEventListener('custom', (given: Event) => given.preventDefault());
    assert.equal(socket.dispatchEvent(event), false);
    assert.equal(event.eventPhase, 0);
    assert.deepEqual(seen, ['custom', true, 'message', true, 'custom', true]);
    assert.throws(() => socket.dispatchEvent({} as Event), TypeError);
    socket.ping();
    await once(socket as unknown as NodeJS.EventEmitter, 'pong');
    await close(socket);
  });

  test('events can be made anew from events, as wrappers do', async () => {
    const socket = await open();
    socket.send('a');
    const event = await next(socket, 'message');
    const copy = new MessageEvent(event.type, event);
    assert.deepEqual([copy.type, copy.data], ['message', 'a']);
    const closing = next<CloseEvent>(socket, 'close');
    socket.close(3001, 'b');
    const closed = await closing;
    const again = new CloseEvent('close', closed);
    assert.deepEqual([again.code, again.reason, again.wasClean], [3001, 'b', true]);
  });
});

describe('beside the standard', () => {
  test('the emitter’s listeners are given what ws gives them', async () => {
    const socket = await open();
    socket.on('message', (data, isBinary) => {
      assert.deepEqual([data, isBinary], [Buffer.from('a'), false]);
    });
    socket.send('a');
    const event = await next<MessageEvent<unknown>>(socket, 'message');
    assert.deepEqual(event.data, Buffer.from('a').toString());
    await close(socket);
  });

  test('the options of ws are taken as a third argument', async () => {
    const secure = await echoServer({ tls: true });
    const socket = new WebSocket(secure.url, [], { ca: secure.tls?.ca, headers: { 'X-A': 'b' } });
    await next(socket, 'open');
    await close(socket);
    await secure.close();
  });

  test('as Node’s own class: an object with protocols and headers, of every kind of headers', async () => {
    for (const headers of [{ 'X-A': 'b' }, [['X-A', 'b']], new Headers({ 'X-A': 'b' })]) {
      const asked = once(server.server, 'connection');
      const socket = new WebSocket(server.url, { protocols: ['p'], headers } as object);
      const [, request] = await asked;
      assert.equal(request.headers['x-a'], 'b');
      await next(socket, 'open');
      assert.equal(socket.protocol, 'p');
      await close(socket);
    }
  });

  test('it can be the global', async () => {
    const before = globalThis.WebSocket;
    globalThis.WebSocket = WebSocket as never;
    const socket = new globalThis.WebSocket(server.url);
    await new Promise((resolve) => socket.addEventListener('open', resolve));
    socket.close();
    await new Promise((resolve) => socket.addEventListener('close', resolve));
    globalThis.WebSocket = before;
  });
});
