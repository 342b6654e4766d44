/** RFC 6455 §5.4: messages in fragments. */
import { describe } from 'node:test';
import { pseudoRandomText } from '../arbitraries/payload.js';
import { patterned } from '../leases/link.js';
import { closed, type Ending, fails, howeverCut, type Named, scenario, scenarios } from './conversation.js';
import { binary, close, continuation, fragments, frame, MORE, ping, pong, text } from './frames.js';

const UNEXPECTED = fails(1002, 'ERR_UNEXPECTED_CONTINUATION');
const EXPECTED = fails(1002, 'ERR_EXPECTED_CONTINUATION');
const CONTROL = fails(1002, 'ERR_CONTROL_FRAGMENTED');

describe('§5.4: the fragments of a message are put together in their order, whatever their number and sizes', () => {
  const contents = {
    'an empty text': text(),
    'a short text': text('Hello, Wörld: κόσμε'),
    'a text of 300 bytes': text(pseudoRandomText(300, 1)),
    'an empty binary message': binary(),
    'a short binary message': binary(Buffer.of(0, 255, 1, 254, 128)),
    'a binary message of 300 bytes': binary(patterned(300, 1)),
  };
  for (const [what, whole] of Object.entries(contents)) {
    const payload = whole.subarray(whole.length > 200 ? 4 : 2);
    const opcode = whole[0] & 0x0f;
    for (const size of [1, 2, 3, 7, 126, 299]) {
      if (size > 1 && size >= payload.length) continue;
      scenarios(`${what} in fragments of ${size}, however cut`, () =>
        howeverCut(fragments(opcode, payload, size), { client: [whole] }),
      );
    }
    scenarios(`${what} in two fragments, split at every place, empty ones too`, () => {
      const steps = payload.length > 30 ? 37 : 1;
      const wire: Buffer[] = [];
      const client: Buffer[] = [];
      for (let at = 0; at <= payload.length; at += steps) {
        wire.push(frame(opcode, payload.subarray(0, at), MORE), continuation(payload.subarray(at)));
        client.push(whole);
      }
      return howeverCut(wire, { client });
    });
    scenarios(`${what} among empty fragments`, () =>
      howeverCut(
        [
          frame(opcode, '', MORE),
          continuation('', MORE),
          continuation(payload, MORE),
          continuation('', MORE),
          continuation(),
        ],
        { client: [whole] },
      ),
    );
  }
});

describe('§5.4: control frames may stand between the fragments, and are answered there', () => {
  for (const [kind, opcode] of [
    ['text', 1],
    ['binary', 2],
  ] as const) {
    const [hello, world] = [Buffer.from('Hello, '), Buffer.from('World')];
    const whole = frame(opcode, Buffer.concat([hello, world]));

    scenarios(`a Ping between two fragments of a ${kind} message, however cut`, () =>
      howeverCut([frame(opcode, hello, MORE), ping('now'), continuation(world)], {
        client: [pong('now'), whole],
      }),
    );
    scenario(`a Ping is answered while the ${kind} message is unfinished`, {
      server: [frame(opcode, hello, MORE), 0, ping('now'), 1, continuation(world)],
      client: [pong('now'), whole],
    });
    scenario(`a Ping is answered before the first fragment of a ${kind} message is whole`, {
      server: [
        Buffer.concat([ping('now'), frame(opcode, hello, MORE).subarray(0, 4)]),
        1,
        frame(opcode, hello, MORE).subarray(4),
        continuation(world),
      ],
      client: [pong('now'), whole],
    });
    scenarios(`two Pings and a Pong between five fragments of a ${kind} message, however cut`, () =>
      howeverCut(
        [
          frame(opcode, 'fragment1', MORE),
          continuation('fragment2', MORE),
          ping('ping1'),
          continuation('fragment3', MORE),
          pong('unasked'),
          continuation('fragment4', MORE),
          ping('ping2'),
          continuation('fragment5'),
        ],
        {
          client: [
            pong('ping1'),
            pong('ping2'),
            frame(opcode, 'fragment1fragment2fragment3fragment4fragment5'),
          ],
          pongs: [Buffer.from('unasked')],
        },
      ),
    );
    scenarios(`a Close frame between two fragments of a ${kind} message ends it, however cut`, () =>
      howeverCut([frame(opcode, hello, MORE), close(1000), continuation(world)], { ends: closed(1000) }),
    );
  }

  scenario('ten Pings between every two of ten fragments', {
    server: [
      text('0', MORE),
      ...Array.from({ length: 8 }, (_, i) => [
        Buffer.concat(Array.from({ length: 10 }, () => ping(`${i}`))),
        continuation(`${i + 1}`, MORE),
      ]).flat(),
      continuation('9'),
    ],
    client: [
      ...Array.from({ length: 8 }, (_, i) => Array.from({ length: 10 }, () => pong(`${i}`))).flat(),
      text('0123456789'),
    ],
  });
});

describe('§5.4: a message that the client sends in fragments keeps the same rules', () => {
  for (const [kind, opcode, piece] of [
    ['text', 1, (content: string) => content],
    ['binary', 2, (content: string) => Buffer.from(content)],
  ] as const) {
    scenario(`${kind}: only the first frame has the opcode, only the last has FIN; Pongs may stand between`, {
      server: [
        (connection) => void connection.send(piece('one'), { fin: false }),
        1,
        ping('between'),
        2,
        (connection) => {
          connection.send(piece(''), { fin: false });
          connection.send(piece('three'));
          connection.send(piece('another'));
        },
      ],
      client: [
        frame(opcode, 'one', MORE),
        pong('between'),
        continuation('', MORE),
        continuation('three'),
        frame(opcode, 'another'),
      ],
      messages: [],
    });
    scenario(`${kind}: a Close frame ends what is unfinished`, {
      server: [(connection) => void connection.send(piece('one'), { fin: false }), 1, close(1001)],
      client: [frame(opcode, 'one', MORE)],
      messages: [],
      ends: closed(1001),
    });
  }
});

describe('§5.4: a continuation frame that continues nothing fails the connection', () => {
  for (const [what, payload] of [
    ['empty', ''],
    ['with a payload', 'continues nothing'],
  ] as const) {
    for (const fin of [true, false]) {
      const wrong = continuation(payload, { fin });
      const name = `${what}, ${fin ? 'the last' : 'not the last'}`;
      scenarios(`${name}: first of all frames`, () =>
        howeverCut([wrong, text('behind')], { ends: UNEXPECTED }),
      );
      scenarios(`${name}: behind a whole message`, () =>
        howeverCut([text('before'), wrong, ping('behind')], { client: [text('before')], ends: UNEXPECTED }),
      );
      scenarios(`${name}: behind a message that has been continued to its end`, () =>
        howeverCut([text('fragment1', MORE), continuation('fragment2'), wrong, text('behind')], {
          client: [text('fragment1fragment2')],
          ends: UNEXPECTED,
        }),
      );
      scenarios(`${name}: behind a Ping, which is no message`, () =>
        howeverCut([ping('1'), wrong], { client: [pong('1')], ends: UNEXPECTED }),
      );
      scenario(`${name}: its first byte is enough`, {
        server: [text('before'), 1, wrong.subarray(0, 1)],
        client: [text('before')],
        ends: UNEXPECTED,
      });
    }
  }
  scenarios('again and again', () =>
    howeverCut(
      Array.from({ length: 8 }, (_, i) => continuation(`fragment${i}`, { fin: i % 2 === 1 })),
      { ends: UNEXPECTED },
    ),
  );
});

describe('§5.4: the fragments of one message are not interleaved with another', () => {
  for (const [first, begins] of [
    ['text', text],
    ['binary', binary],
  ] as const) {
    for (const [second, intrudes] of [
      ['text', text],
      ['binary', binary],
    ] as const) {
      for (const fin of [true, false]) {
        const what = `a ${fin ? 'whole' : 'fragmented'} ${second} message inside a ${first} message`;
        scenarios(`${what}, however cut`, () =>
          howeverCut([begins('Hel', MORE), intrudes('intruder', { fin }), continuation('lo')], {
            ends: EXPECTED,
          }),
        );
        scenario(`${what}: its first byte is enough`, {
          server: [begins('Hel', MORE), 0, intrudes('intruder', { fin }).subarray(0, 1)],
          ends: EXPECTED,
        });
      }
    }
  }
  scenarios('behind a continuation, and behind a Ping between fragments', () =>
    howeverCut(
      [text('one', MORE), continuation('two', MORE), ping('1'), text('three'), continuation('four')],
      { client: [pong('1')], ends: EXPECTED },
    ),
  );
});

describe('§5.4, §5.5: control frames must not be fragmented', () => {
  for (const [kind, opcode] of [
    ['Close frame', 8],
    ['Ping', 9],
    ['Pong', 10],
  ] as const) {
    for (const payload of ['', 'xx']) {
      const first = frame(opcode, payload, MORE);
      const what = `a fragmented ${kind} of ${payload.length} bytes`;
      scenarios(`${what}, and its continuation`, () =>
        howeverCut([first, continuation('fragment2'), ping('behind')], { ends: CONTROL }),
      );
      scenarios(`${what} inside a message`, () =>
        howeverCut([text('Hel', MORE), first, continuation('lo')], { ends: CONTROL }),
      );
      scenario(`${what}: its first byte is enough`, { server: [first.subarray(0, 1)], ends: CONTROL });
    }
  }
});

describe('§5.4: every order of frames, legal and illegal', () => {
  /** Frames by a letter: Text, Binary, Continuation, Ping; small when more is to follow. */
  const LETTERS: Readonly<Record<string, (content: string) => Buffer>> = {
    T: (content) => text(content),
    t: (content) => text(content, MORE),
    B: (content) => binary(content),
    b: (content) => binary(content, MORE),
    C: (content) => continuation(content),
    c: (content) => continuation(content, MORE),
    P: (content) => ping(content),
  };

  /** §5.4 as an automaton: whether a message is open decides what may come. */
  function expected(order: string): { client: Buffer[]; ends: Ending | undefined } {
    const client: Buffer[] = [];
    let open: { opcode: number; content: string } | undefined;
    for (const [i, letter] of [...order].entries()) {
      if (letter === 'P') {
        client.push(pong(`${i}`));
        continue;
      }
      const continues = letter.toUpperCase() === 'C';
      if (continues && open === undefined) return { client, ends: UNEXPECTED };
      if (!continues && open !== undefined) return { client, ends: EXPECTED };
      open ??= { opcode: letter.toUpperCase() === 'T' ? 1 : 2, content: '' };
      open.content += `${i}`;
      if (letter !== letter.toUpperCase()) continue;
      client.push(frame(open.opcode, open.content));
      open = undefined;
    }
    // The server closes in the middle of a message as well: the message is lost, the handshake is clean.
    return { client, ends: undefined };
  }

  function* ordersOf(first: string, length: number): Iterable<Named> {
    const orders = (rest: number): string[] =>
      rest === 0
        ? ['']
        : Object.keys(LETTERS).flatMap((letter) => orders(rest - 1).map((order) => letter + order));
    for (const order of orders(length - 1)) {
      const whole = first + order;
      const wire = [...whole].map((letter, i) => LETTERS[letter](`${i}`));
      yield [`${whole}, frame by frame`, { server: wire, ...expected(whole) }];
    }
  }

  for (const first of Object.keys(LETTERS)) {
    for (const length of [1, 2, 3, 4]) {
      scenarios(`of ${length} frames that begin with ${first}`, () => ordersOf(first, length));
    }
  }
});
