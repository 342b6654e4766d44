/** RFC 6455 §8.1: text is UTF-8, and what is not fails the connection, at the first byte that shows it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pseudoRandomText } from '../arbitraries/payload.js';
import { firstWrongByte, isUtf8 } from '../reference/utf8.js';
import { fails, type Named, type Scenario, scenario, scenarios } from './conversation.js';
import { binary, continuation, fragments, hex, inSegments, MORE, ping, pong, text } from './frames.js';
import { SEQUENCES, type Sequence } from './utf8-sequences.js';

const INVALID = fails(1007, 'ERR_INVALID_UTF8');

/** As the RFC’s own test text has it: valid before, valid behind. */
const BEFORE = Buffer.from('κόσμε');
const BEHIND = Buffer.from('edited');

/** Each place between two bytes, the ends too. */
function* places(bytes: Buffer): Iterable<[place: number, first: Buffer, second: Buffer]> {
  for (let at = 0; at <= bytes.length; at++) yield [at, bytes.subarray(0, at), bytes.subarray(at)];
}

const all = Object.entries(SEQUENCES);
const byGroup = (valid: boolean): [group: string, sequences: Sequence[]][] =>
  all
    .map(([group, some]): [string, Sequence[]] => [
      group,
      some.filter(({ bytes }) => isUtf8(bytes) === valid),
    ])
    .filter(([, some]) => some.length > 0);

describe('§8.1: valid sequences arrive, split at every place', () => {
  /** One conversation: the text whole, then every split of it. */
  function conversation(bytes: Buffer, split: (first: Buffer, second: Buffer) => Buffer[]): Scenario {
    const server: Buffer[] = [];
    const client: Buffer[] = [];
    for (const content of [bytes, Buffer.concat([BEFORE, bytes, BEHIND])]) {
      for (const [, first, second] of places(content)) {
        server.push(...split(first, second));
        client.push(text(content));
      }
    }
    return { server, client };
  }

  for (const [group, sequences] of byGroup(true)) {
    scenarios(`${group}: across fragments`, () =>
      sequences.map(
        ({ name, bytes }): Named => [
          name,
          conversation(bytes, (first, second) => [Buffer.concat([text(first, MORE), continuation(second)])]),
        ],
      ),
    );
    scenarios(`${group}: across fragments with a Ping between them`, () =>
      sequences.map(({ name, bytes }): Named => {
        const { server, client } = conversation(bytes, (first, second) => [
          Buffer.concat([text(first, MORE), ping('between'), continuation(second)]),
        ]);
        return [name, { server, client: client!.flatMap((message) => [pong('between'), message]) }];
      }),
    );
    scenarios(`${group}: across segments`, () =>
      sequences.map(
        ({ name, bytes }): Named => [
          name,
          conversation(bytes, (first, second) => {
            const wire = text(Buffer.concat([first, second]));
            return [wire.subarray(0, 2 + first.length), wire.subarray(2 + first.length)].filter(
              ({ length }) => length > 0,
            );
          }),
        ],
      ),
    );
    scenarios(`${group}: across segments of a long frame`, () =>
      sequences.map(({ name, bytes }): Named => {
        const front = 20_003;
        const wire = text(Buffer.concat([Buffer.alloc(front, 'x'), bytes, Buffer.alloc(30_000, 'y')]));
        const splits = [...places(bytes)].map(([at]) => 4 + front + at);
        return [
          name,
          {
            server: splits.flatMap((at) => [wire.subarray(0, at), wire.subarray(at)]),
            client: splits.map(() => wire),
          },
        ];
      }),
    );
    scenarios(`${group}: a byte a fragment, a byte a segment`, () =>
      sequences.map(({ name, bytes }): Named => {
        const content = Buffer.concat([BEFORE, bytes, BEHIND]);
        const wire = Buffer.concat(fragments(1, content, 1));
        return [name, { server: inSegments(wire, 1), client: [text(content)] }];
      }),
    );
  }
});

describe('§8.1: invalid sequences fail the connection with 1007, split at every place', () => {
  for (const [group, sequences] of byGroup(false)) {
    scenarios(`${group}: whole`, () =>
      sequences.flatMap(({ name, bytes }): Named[] => [
        [name, { server: text(bytes), ends: INVALID }],
        [
          `${name}, valid text around it`,
          { server: text(Buffer.concat([BEFORE, bytes, BEHIND])), ends: INVALID },
        ],
        [
          `${name}, between messages`,
          {
            server: [text('before'), Buffer.concat([text(bytes), text('behind')])],
            client: [text('before')],
            ends: INVALID,
          },
        ],
      ]),
    );
    scenarios(`${group}: across fragments`, () =>
      sequences.flatMap(({ name, bytes }) =>
        [...places(Buffer.concat([bytes, BEHIND.subarray(0, 1)]))].map(
          ([at, first, second]): Named => [
            `${name} at ${at}`,
            { server: Buffer.concat([text(first, MORE), continuation(second)]), ends: INVALID },
          ],
        ),
      ),
    );
    scenarios(`${group}: across segments`, () =>
      sequences.flatMap(({ name, bytes }) => {
        const wire = text(Buffer.concat([bytes, BEHIND]));
        return [...places(bytes)].map(
          ([at]): Named => [
            `${name} at ${at}`,
            { server: [wire.subarray(0, 2 + at), wire.subarray(2 + at)], ends: INVALID },
          ],
        );
      }),
    );
  }
});

describe('§8.1: the connection fails as soon as the wrong byte arrives, and not before', () => {
  for (const [group, sequences] of byGroup(false)) {
    /** Up to the wrong byte, and that byte: of what could go on, a byte that does not. */
    const pieces = sequences.map(({ name, bytes }) => {
      const content = Buffer.concat([BEFORE, bytes, Buffer.from('!')]);
      return { name, content, at: firstWrongByte(content) };
    });

    scenarios(`${group}: in an unfinished frame`, () =>
      pieces.map(({ name, content, at }): Named => {
        const wire = text(Buffer.concat([content, Buffer.alloc(1_000, 'x')]));
        const header = 4;
        return [
          name,
          {
            server: [wire.subarray(0, header + at), 0, wire.subarray(header + at, header + at + 1)],
            ends: INVALID,
          },
        ];
      }),
    );
    scenarios(`${group}: in an unfinished frame, every byte a segment`, () =>
      pieces.map(({ name, content, at }): Named => {
        const wire = text(Buffer.concat([content, Buffer.alloc(70_000, 'x')])).subarray(0, 10 + at + 1);
        return [
          name,
          { server: [...inSegments(wire.subarray(0, -1), 1), 0, wire.subarray(-1)], ends: INVALID },
        ];
      }),
    );
    scenarios(`${group}: in an unfinished message, a byte a fragment`, () =>
      pieces.map(({ name, content, at }): Named => {
        const frames = fragments(1, content, 1);
        return [name, { server: [Buffer.concat(frames.slice(0, at)), 0, frames[at]], ends: INVALID }];
      }),
    );
    scenarios(`${group}: in an unfinished frame that continues a message`, () =>
      pieces.map(({ name, content, at }): Named => {
        const first = text(content.subarray(0, at - 1), MORE);
        const rest = continuation(Buffer.concat([content.subarray(at - 1), Buffer.alloc(1_000, 'x')]));
        return [
          name,
          {
            server: [Buffer.concat([first, ping('now')]), 1, rest.subarray(0, 5), 1, rest.subarray(5, 6)],
            client: [pong('now')],
            ends: INVALID,
          },
        ];
      }),
    );
  }

  for (const [where, offset] of [
    ['far into a frame of 1 MiB', 500_000],
    ['in the last byte but one of a frame of 1 MiB', (1 << 20) - 2],
    ['behind 64 KiB', 65_536],
    ['where a read of 64 KiB ends', 65_525],
  ] as const) {
    scenario(`a wrong byte ${where}`, () => {
      const content = pseudoRandomText(1 << 20, 3).map((byte) => (byte < 0x80 ? byte : 0x78));
      content[offset] = 0xff;
      const wire = text(content);
      return {
        server: [
          ...inSegments(wire.subarray(0, 10 + offset), 60_000),
          0,
          wire.subarray(10 + offset, 11 + offset),
        ],
        ends: INVALID,
      };
    });
  }
});

describe('§8.1: a sequence that is cut short at a message’s end fails the connection', () => {
  for (const cut of ['c3', 'e2', 'e282', 'f0', 'f09f', 'f09f98', 'cebae1bd', 'f48fbf']) {
    const bytes = Buffer.from(cut, 'hex');
    scenarios(`${cut}: in one frame, in two, and before an empty last one`, () => [
      ['one', { server: text(bytes), ends: INVALID }],
      ['two', { server: [text(bytes.subarray(0, 1), MORE), continuation(bytes.subarray(1))], ends: INVALID }],
      ['empty last', { server: [text(bytes, MORE), 0, continuation()], ends: INVALID }],
      [
        'empty ones between',
        { server: [text(bytes, MORE), continuation('', MORE), 0, continuation()], ends: INVALID },
      ],
      [
        'behind a long text',
        { server: text(Buffer.concat([Buffer.alloc(100_000, 'x'), bytes])), ends: INVALID },
      ],
    ]);
    scenario(`${cut}: is not completed by the next message`, {
      server: Buffer.concat([text(bytes), text(Buffer.alloc(3, 0x80))]),
      ends: INVALID,
    });
  }
});

describe('§8.1: only text is judged', () => {
  for (const [group, sequences] of byGroup(false)) {
    scenarios(`${group}: as binary messages, whole and in fragments, and in Pings`, () => {
      const contents = sequences.map(({ bytes }) => bytes);
      return [
        [
          'whole',
          {
            server: Buffer.concat(contents.map((bytes) => binary(bytes))),
            client: contents.map((bytes) => binary(bytes)),
          },
        ],
        [
          'fragments',
          {
            server: contents.flatMap((bytes) => fragments(2, bytes, 1)),
            client: contents.map((bytes) => binary(bytes)),
          },
        ],
        [
          'Pings',
          { server: contents.map((bytes) => ping(bytes)), client: contents.map((bytes) => pong(bytes)) },
        ],
        [
          'Pings inside a text',
          {
            server: [
              text('κόσμε'.slice(0, 2), MORE),
              ...contents.map((bytes) => ping(bytes)),
              continuation('κόσμε'.slice(2)),
            ],
            client: [...contents.map((bytes) => pong(bytes)), text('κόσμε')],
          },
        ],
      ];
    });
  }
});

describe('§8.1: what the client sends as text is UTF-8', () => {
  scenario('code points of every length; a surrogate without its other half becomes U+FFFD', {
    server: (connection) => {
      for (const each of ['\0', '\x7f', '\u0080', '\u07ff', '\u0800', '\uffff', '😀', '\u{10ffff}'])
        connection.send(each);
      for (const each of ['\ud800', 'a\udfffb', '\ude00\ud83d', `${'x'.repeat(100)}\ud800`])
        connection.send(each);
    },
    client: [
      ...['00', '7f', 'c280', 'dfbf', 'e0a080', 'efbfbf', 'f09f9880', 'f48fbfbf'].map((digits) =>
        text(hex(digits)),
      ),
      ...['efbfbd', '61efbfbd62', 'efbfbdefbfbd', `${'78'.repeat(100)}efbfbd`].map((digits) =>
        text(hex(digits)),
      ),
    ],
    messages: [],
  });
  scenario('bytes that are none are refused, and nothing is sent', {
    server: (connection) => {
      for (const [, sequences] of byGroup(false)) {
        for (const { bytes } of sequences) {
          assert.throws(() => connection.send(bytes, { binary: false }), { code: 'ERR_INVALID_PAYLOAD' });
        }
      }
    },
  });
});

test('the sequences: each group is there, and its members are what the stress test says they are', () => {
  const count = Object.fromEntries(
    all.map(([group, some]) => [group.split(' ')[0], some.map(({ bytes }) => isUtf8(bytes))] as const),
  );
  const shown = Object.entries(count).map(
    ([group, valid]) => `${group}: ${valid.filter((one) => one).length} of ${valid.length}`,
  );
  assert.deepEqual(shown.sort(), [
    '1: 2 of 2',
    '2.1: 4 of 6',
    '2.2: 3 of 6',
    '2.3: 4 of 5',
    '3.1: 0 of 71',
    '3.2: 0 of 62',
    '3.3: 0 of 15',
    '3.4: 0 of 2',
    '3.5: 0 of 3',
    '4.1: 0 of 5',
    '4.2: 0 of 5',
    '4.3: 0 of 5',
    '5.1: 0 of 7',
    '5.2: 0 of 8',
    '5.3: 36 of 36',
  ]);
});
