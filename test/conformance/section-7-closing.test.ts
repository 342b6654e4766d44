/** RFC 6455 §7: closing the connection. That the server closes TCP first is checked in every scenario. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Connection } from '../../src/index.js';
import { connect } from '../../src/index.js';
import { patterned } from '../leases/link.js';
import { scriptedServer, turns } from '../server/scripted-server.js';
import { closed, closes, fails, howeverCut, lost, type Named, scenario, scenarios } from './conversation.js';
import { binary, clientFrames, close, continuation, frame, hex, MORE, ping, pong, text } from './frames.js';

/** The application closes; the server’s answer is among the steps, or follows. */
const starts =
  (code?: number, reason?: string) =>
  (connection: Connection): void =>
    void connection.close(code, reason);

describe('§7.1.1: after the closing handshake the server closes TCP first, however long that takes', () => {
  for (const initiator of ['server', 'client']) {
    test(`the ${initiator} begins: the client keeps TCP open, and sends nothing more`, async (t) => {
      const server = await scriptedServer();
      t.after(() => server.close());
      const connection = await connect(server.url, { closeTimeout: 60_000 });
      t.after(() => connection.terminate());
      const peer = await server.peer();
      let over = false;
      void connection.closed.then(() => (over = true));
      if (initiator === 'client') void connection.close(1000);
      await peer.write(close(1000));
      await peer.receives(8);
      await turns(100);
      assert.deepEqual({ fin: peer.hasEnded, over }, { fin: false, over: false });
      peer.end();
      assert.deepEqual(await connection.closed, { code: 1000, reason: '', wasClean: true });
      assert.equal(clientFrames(peer.received).length, 1);
    });
  }

  scenario('FIN comes with the server’s Close frame', {
    server: [text('before'), 1, close(1001, 'bye'), 'FIN'],
    client: [text('before')],
    ends: closed(1001, 'bye'),
  });
  scenario('FIN comes with the server’s answer', {
    server: [starts(4000), close(4000), 'FIN'],
    ends: closed(4000),
  });

  test('a server that never does: the client closes TCP after closeTimeout, and the closing was clean', async (t) => {
    const server = await scriptedServer();
    t.after(() => server.close());
    const connection = await connect(server.url, { closeTimeout: 50 });
    const peer = await server.peer();
    await peer.write(close(1000, 'done'));
    assert.deepEqual(await connection.closed, { code: 1000, reason: 'done', wasClean: true });
    await peer.closed;
  });
});

describe('§7.1.2: close() sends a Close frame with its code and reason, and waits for the server’s', () => {
  for (const [code, reason] of [
    [1000, ''],
    [1000, 'done'],
    [1001, 'x'.repeat(123)],
    [3000, 'é€😀'],
    [4999, ''],
  ] as const) {
    scenario(`${code}, reason of ${Buffer.byteLength(reason)} bytes`, {
      server: [starts(code, reason), close(code)],
      ends: { ...closed(code), client: close(code, reason) },
    });
  }
  scenario('the server answers with another code: that is the one reported', {
    server: [starts(4000, 'mine'), close(1001, 'yours')],
    ends: { ...closed(1001, 'yours'), client: close(4000, 'mine') },
  });
  scenario('the server answers without a code: 1005', {
    server: [starts(1000), close()],
    ends: { ...closed(), client: close(1000) },
  });
  scenario('messages that come before the answer are delivered, and cannot be answered', {
    server: [starts(1000), text('late'), Buffer.concat([binary('later'), close(1000)])],
    messages: [text('late'), binary('later')],
    echo: false,
    ends: closed(1000),
  });
  scenario('everything sent before is in front of the Close frame', {
    server: [
      (connection) => {
        for (let i = 0; i < 5; i++) connection.send(`${i}`);
        void connection.close();
        assert.throws(() => connection.send('too late'), { code: 'ERR_NOT_OPEN' });
      },
      close(1000),
    ],
    client: ['0', '1', '2', '3', '4'].map((each) => text(each)),
    messages: [],
    ends: closed(1000),
  });
});

describe('§7.1.3, §7.1.4: from a Close frame on, sent or received, no data frame is sent', () => {
  for (const [what, first] of [
    ['received', close(1000)],
    ['sent', starts(1000)],
  ] as const) {
    scenario(`a Close frame was ${what}`, {
      server: [
        first,
        (connection) => {
          assert.equal(connection.readyState, 2, 'closing');
          assert.throws(() => connection.send('too late'), { code: 'ERR_NOT_OPEN' });
          assert.throws(() => connection.send(Buffer.of(1)), { code: 'ERR_NOT_OPEN' });
        },
        ...(what === 'sent' ? [close(1000)] : []),
      ],
      ends: closed(1000),
    });
  }
});

/** §7.4: each class of codes, its ends, and some within. */
const VALID = [
  1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
];
const INVALID = [0, 1, 125, 500, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32_768, 65_535];

describe('§7.1.5, §7.4: a code that may be on the wire is reported and echoed', () => {
  for (const code of VALID) {
    scenarios(`${code}, with a reason and without, however cut`, () => [
      ...howeverCut([close(code)], { ends: closed(code) }, 'without'),
      ...howeverCut([close(code, 'reason')], { ends: closed(code, 'reason') }, 'with'),
    ]);
  }
  scenario('none: 1005', { server: [], ends: closes() });
  scenarios('every code from 3000 to 4999', () =>
    Array.from(
      { length: 2_000 },
      (_, i): Named => [`${3_000 + i}`, { server: [], ends: closes(3_000 + i) }],
    ).filter((_, i) => i % 7 === 0),
  );
});

describe('§7.4: a code that may not be on the wire fails the connection with 1002', () => {
  for (const code of INVALID) {
    scenarios(`${code}, with a reason and without, however cut`, () => [
      ...howeverCut([close(code)], { ends: fails(1002, 'ERR_CLOSE_CODE') }, 'without'),
      ...howeverCut([close(code, 'reason')], { ends: fails(1002, 'ERR_CLOSE_CODE') }, 'with'),
    ]);
  }
  scenarios('in answer to our Close frame: there is no second one', () =>
    INVALID.map(
      (code): Named => [
        `${code}`,
        {
          server: [starts(1000), close(code)],
          ends: { ...fails(1002, 'ERR_CLOSE_CODE'), client: close(1000) },
        },
      ],
    ),
  );
  scenario('codes that may not be sent are refused', {
    server: (connection) => {
      for (const code of INVALID) assert.throws(() => connection.close(code), { code: 'ERR_CLOSE_CODE' });
    },
  });
});

describe('§7.1.5: a connection that ends without a Close frame is 1006', () => {
  const BEFORE: Readonly<Record<string, Buffer[]>> = {
    'at once': [],
    'after a message': [text('before')],
    'in a header': [text('before'), binary(patterned(300, 1)).subarray(0, 3)],
    'in a payload': [text('before'), text('behind').subarray(0, 5)],
    'in a message': [text('before'), text('behind', MORE)],
    'in a Close frame': [text('before'), close(1000, 'bye').subarray(0, 3)],
  };
  for (const end of ['FIN', 'RST'] as const) {
    for (const [when, frames] of Object.entries(BEFORE)) {
      const client = frames.length > 0 ? [text('before')] : [];
      scenario(`${end} ${when}`, { server: [...frames, client.length, end], client, ends: lost() });
    }
    scenario(`${end} in answer to our Close frame`, {
      server: [starts(1000), 1, end],
      client: [close(1000)],
      ends: lost(),
      messages: [],
    });
  }
});

describe('§7.1.7: to fail the connection is to say why, to close TCP, and to take nothing more', () => {
  const WRONG = {
    'a reserved bit': [frame(1, 'x', { rsv2: true }), fails(1002, 'ERR_RESERVED_BITS')],
    'a reserved opcode': [frame(5, 'x'), fails(1002, 'ERR_RESERVED_OPCODE')],
    'a text that is none': [text(hex('ff')), fails(1007, 'ERR_INVALID_UTF8')],
    'a Close frame that is wrong': [close(1005), fails(1002, 'ERR_CLOSE_CODE')],
  } as const;
  for (const [what, [wrong, ends]] of Object.entries(WRONG)) {
    scenarios(`${what}: what stands before it was delivered, what stands behind it is not, however cut`, () =>
      howeverCut([text('before'), wrong, text('behind'), ping('behind'), continuation(), close(1000)], {
        client: [text('before')],
        ends,
      }),
    );
    scenario(`${what}: the server’s Close frame makes nothing undone, and is not answered`, {
      server: [wrong, close(1000, 'fine')],
      ends,
    });
    scenario(`${what}, while the client is closing: no second Close frame`, {
      server: [starts(4000), wrong],
      ends: { ...ends, client: close(4000) },
    });
    scenario(`${what}: nothing can be sent any more`, {
      server: [
        wrong,
        (connection) => {
          assert.notEqual(connection.readyState, 1, 'open');
          assert.throws(() => connection.send('too late'), { code: 'ERR_NOT_OPEN' });
        },
      ],
      ends,
    });
  }
});

describe('§7.3: a server may close at any time', () => {
  scenarios('right behind a message, a Ping, a fragment', () => [
    ...howeverCut([text('before'), close(1001)], { client: [text('before')], ends: closed(1001) }, 'message'),
    ...howeverCut([ping('before'), close(1001)], { client: [pong('before')], ends: closed(1001) }, 'Ping'),
    ...howeverCut([text('before', MORE), close(1001)], { ends: closed(1001) }, 'fragment'),
  ]);
  scenario('behind 256 KiB that are answered first', {
    server: Buffer.concat([text('x'.repeat(1 << 18)), close(1001)]),
    client: [text('x'.repeat(1 << 18))],
    ends: closed(1001),
  });
});
