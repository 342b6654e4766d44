/** RFC 6455 §5.5: Close, Ping and Pong frames. What becomes of a connection after them is §7's. */
import { describe } from 'node:test';
import { patterned } from '../leases/link.js';
import { closed, closes, fails, howeverCut, type Named, scenario, scenarios } from './conversation.js';
import { binary, close, continuation, frame, hex, inSegments, MORE, ping, pong, text } from './frames.js';

const TOO_LONG = fails(1002, 'ERR_CONTROL_TOO_LONG');
const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

describe('§5.5: control frames have at most 125 bytes', () => {
  const KINDS = { 'Close frame': 8, Ping: 9, Pong: 10 };
  for (const [kind, opcode] of Object.entries(KINDS)) {
    for (const length of [126, 127, 128, 65_535, 65_536]) {
      const wrong = frame(opcode, Buffer.concat([hex('03e8'), Buffer.alloc(length - 2, 'x')]));
      scenario(`a ${kind} of ${length} bytes fails the connection`, {
        server: [text('before'), Buffer.concat([wrong, ping('behind')])],
        client: [text('before')],
        ends: TOO_LONG,
      });
    }
    for (const digits of ['7e', '7f']) {
      scenario(`a ${kind} whose length begins with ${digits} fails the connection at that byte`, {
        server: [frame(opcode).subarray(0, 1), 0, hex(digits)],
        ends: TOO_LONG,
      });
      scenario(`a ${kind} whose length begins with ${digits}, inside a message`, {
        server: [text('Hel', MORE), Buffer.concat([frame(opcode).subarray(0, 1), hex(digits), hex('0005')])],
        ends: TOO_LONG,
      });
    }
  }
});

describe('§5.5.2, §5.5.3: a Ping is answered by a Pong with the same application data', () => {
  for (const length of [0, 1, 2, 3, 4, 5, 16, 64, 124, 125]) {
    const data = patterned(length, length);
    scenarios(`${length} bytes, however cut`, () => howeverCut([ping(data)], { client: [pong(data)] }));
  }
  const all = Array.from({ length: 126 }, (_, length) => patterned(length, length));
  scenarios('every length from 0 to 125, however cut', () =>
    howeverCut(
      all.map((data) => ping(data)),
      { client: all.map((data) => pong(data)) },
    ),
  );
  const bytes = inSegments(EVERY_BYTE, 125);
  scenarios('every value of a byte: the data is no text', () =>
    howeverCut(
      bytes.map((data) => ping(data)),
      { client: bytes.map((data) => pong(data)) },
    ),
  );
  scenario('bytes that are not UTF-8', {
    server: ping(hex('00fffefdfcfb00ff')),
    client: [pong(hex('00fffefdfcfb00ff'))],
  });
  const ten = Array.from({ length: 10 }, (_, i) => `payload-${i}`);
  scenarios('ten in a row, however cut: ten Pongs in their order', () =>
    howeverCut(
      ten.map((data) => ping(data)),
      { client: ten.map((data) => pong(data)) },
    ),
  );
  scenario('each of ten as soon as it has come', {
    server: ten.flatMap((data, i) => [ping(data), i + 1]),
    client: ten.map((data) => pong(data)),
  });
  const thousand = Array.from({ length: 1_000 }, (_, i) => `${i}`);
  scenario('a thousand in one segment', {
    server: Buffer.concat(thousand.map((data) => ping(data))),
    client: thousand.map((data) => pong(data)),
  });
  scenario('one that does not end is not answered, and its end is waited for', {
    server: [ping('unfinished').subarray(0, 8), 0, ping('unfinished').subarray(8)],
    client: [pong('unfinished')],
  });
  scenario('before a long message behind it has come', {
    server: [
      Buffer.concat([ping('now'), binary(patterned(300_000, 1)).subarray(0, 50_000)]),
      1,
      binary(patterned(300_000, 1)).subarray(50_000),
    ],
    client: [pong('now'), binary(patterned(300_000, 1))],
  });
  scenario('before the messages of the same read are given to the application', {
    server: Buffer.concat([text('a'), ping('1'), text('b'), ping('2')]),
    client: [pong('1'), pong('2'), text('a'), text('b')],
  });
});

describe('§5.5.2: after the server’s Close frame no Ping is answered', () => {
  scenarios('however cut', () => howeverCut([close(1000), ping('late')], { pings: [], ends: closed(1000) }));
  scenario('nor after our own, §5.5.1', {
    server: [(connection) => void connection.close(4000), ping('late'), close(4000)],
    pings: [Buffer.from('late')],
    ends: closed(4000),
  });
});

describe('§5.5.3: a Pong that nobody asked for is taken, and not answered', () => {
  for (const length of [0, 1, 125]) {
    const data = patterned(length, length);
    scenarios(`${length} bytes, however cut`, () => howeverCut([pong(data)], { pongs: [data] }));
  }
  scenarios('then a Ping is answered', () =>
    howeverCut([pong('unsolicited'), ping('ping')], {
      client: [pong('ping')],
      pongs: [Buffer.from('unsolicited')],
    }),
  );
  scenarios('ten in a row, then a Ping', () =>
    howeverCut([...Array.from({ length: 10 }, () => pong('x')), ping('ping')], {
      client: [pong('ping')],
      pongs: Array.from({ length: 10 }, () => Buffer.from('x')),
    }),
  );
  const ten = Array.from({ length: 10 }, (_, i) => `payload-${i}`);
  scenario('ten Pings of ours, and Pongs in return: nothing more is sent', {
    server: [
      (connection) => {
        for (const data of ten) void connection.ping(data);
      },
      10,
      ...ten.map((data) => pong(data)),
    ],
    client: ten.map((data) => ping(data)),
    pings: [],
    messages: [],
    pongs: ten.map((data) => Buffer.from(data)),
  });
});

describe('§5.5.1: a Close frame is answered by a Close frame with its code', () => {
  const reasons = ['', 'x', 'going away', 'x'.repeat(122), 'x'.repeat(123), 'é€😀', '€'.repeat(41)];
  for (const reason of reasons) {
    scenarios(`reason of ${Buffer.byteLength(reason)} bytes, however cut`, () =>
      howeverCut([close(1000, reason)], { ends: closed(1000, reason) }),
    );
  }
  scenarios('an empty one by an empty one', () => howeverCut([close()], { ends: closed() }));
  scenario('not before it is whole', {
    server: [close(1001, 'going').subarray(0, 6), 0, close(1001, 'going').subarray(6)],
    ends: closed(1001, 'going'),
  });
});

describe('§5.5.1: the body of a Close frame begins with a code of two bytes', () => {
  for (const byte of ['00', '03', 'ff']) {
    scenarios(`one byte, ${byte}: fails the connection`, () =>
      howeverCut([frame(8, hex(byte)), text('behind')], { ends: fails(1002, 'ERR_CLOSE_PAYLOAD') }),
    );
  }
});

describe('§5.5.1: the reason in a Close frame is UTF-8', () => {
  const WRONG = [
    'ff',
    '80',
    'c080',
    'ceba e1bd b9cf 83ce bcce b5ed a080 6564 6974 6564',
    'eda080',
    'f4908080',
    'c3',
    'e282',
  ];
  for (const reason of WRONG) {
    scenarios(`${reason}: fails the connection with 1007`, () =>
      howeverCut([close(1000, hex(reason)), ping('behind')], { ends: fails(1007, 'ERR_CLOSE_REASON') }),
    );
  }
});

describe('§5.5.1: what stands behind a Close frame is ignored', () => {
  const BEHIND: Readonly<Record<string, Buffer[]>> = {
    'a second Close frame': [close(1001)],
    'a second Close frame that is wrong': [close(999)],
    'a text': [text('behind')],
    'a Ping': [ping('behind')],
    'a fragment': [text('behind', MORE)],
    'a reserved opcode': [frame(3)],
    'a reserved bit': [frame(1, 'x', { rsv1: true })],
    'bytes that are no frames': [hex('ffffffffffffffff')],
    'half a frame': [text('behind').subarray(0, 3)],
    'a megabyte': [binary(Buffer.alloc(1 << 20))],
  };
  for (const [what, frames] of Object.entries(BEHIND)) {
    scenarios(`${what}, in the same segment and in another`, (): Named[] => [
      ['same', { server: Buffer.concat([close(1000), ...frames]), ends: closed(1000) }],
      ['another', { server: [close(1000), ...frames], ends: closed(1000) }],
      [
        'behind a message',
        {
          server: Buffer.concat([text('before'), close(1000), ...frames]),
          client: [text('before')],
          ends: closed(1000),
        },
      ],
    ]);
  }
  scenarios('a message whose last fragment stands behind it is not delivered', () =>
    howeverCut([text('Hel', MORE), close(1000), continuation('lo')], { ends: closed(1000) }),
  );
  scenario('256 KiB and a Ping behind it: the message in front was answered', {
    server: Buffer.concat([text('x'.repeat(1 << 18)), close(1000), ping('behind')]),
    client: [text('x'.repeat(1 << 18))],
    ends: closed(1000),
  });
});

describe('§5.5.1: both ends may close at once', () => {
  scenario('one Close frame each', {
    server: [(connection) => void connection.close(4000, 'client'), close(4001, 'server')],
    ends: { ...closed(4001, 'server'), client: close(4000, 'client') },
  });
  scenario('the application closes again when the server has: nothing more is sent', {
    server: [close(1000), (connection) => void connection.close(4000)],
    ends: closed(1000),
  });
  scenario('a message that was sent before is in front', {
    server: [(connection) => void connection.send('last words'), 1],
    client: [text('last words')],
    messages: [],
    ends: closes(1001),
  });
});
