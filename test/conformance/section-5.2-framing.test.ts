/** RFC 6455 §5.2: the base framing protocol. */
import { describe } from 'node:test';
import { pseudoRandomText } from '../arbitraries/payload.js';
import { patterned } from '../leases/link.js';
import { fails, howeverCut, type Named, scenario, scenarios } from './conversation.js';
import { binary, continuation, frame, hex, inSegments, MORE, ping, pong, text } from './frames.js';

describe('§5.2 payload length: a message of any length arrives, however the segments fall', () => {
  for (const length of [0, 1, 2, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537]) {
    const kinds = { text: text(pseudoRandomText(length, length)), binary: binary(patterned(length, length)) };
    for (const [kind, wire] of Object.entries(kinds)) {
      scenario(`${kind} of ${length} bytes in one segment`, { server: wire, client: [wire] });
      for (const size of [997, 2048].filter((each) => each < length)) {
        scenario(`${kind} of ${length} bytes in segments of ${size}`, {
          server: inSegments(wire, size),
          client: [wire],
        });
      }
      const bytewise = length <= 128 ? wire.length : 12;
      scenario(`${kind} of ${length} bytes, ${bytewise} of the wire’s one by one`, {
        server: [...inSegments(wire.subarray(0, bytewise), 1), wire.subarray(bytewise)],
        client: [wire],
      });
    }
  }

  scenarios('every length from 0 to 300, all in one segment', () => {
    const frames = Array.from({ length: 301 }, (_, length) => binary(patterned(length, length)));
    return [['', { server: Buffer.concat(frames), client: frames }]];
  });
});

describe('§5.2 payload length: the minimal number of bytes must be used', () => {
  const FORMS = [
    ...[0, 1, 125].map((length) => ({ length, lengthEncoding: 16 as const })),
    ...[0, 1, 125, 126, 65_535].map((length) => ({ length, lengthEncoding: 64 as const })),
  ];
  for (const { length, lengthEncoding } of FORMS) {
    const payload = Buffer.alloc(length, 'x');
    scenarios(
      `${length} in ${lengthEncoding} bits fails the connection, in frames that begin and continue`,
      () => {
        const wrong = [text(payload, { lengthEncoding }), binary(payload, { lengthEncoding })];
        const ends = fails(1002, 'ERR_LENGTH_NOT_MINIMAL');
        const alone = wrong.map(
          (one): Named => [
            `opcode ${one[0] & 0xf}`,
            { server: [text('before'), one, text('behind')], client: [text('before')], ends },
          ],
        );
        const header = wrong[0].subarray(0, 2 + lengthEncoding / 8);
        return [
          ...alone,
          ['a fragment', { server: text(payload, { lengthEncoding, fin: false }), ends }],
          ['continuing', { server: [text('', MORE), continuation(payload, { lengthEncoding })], ends }],
          [
            'at the end of the header, before the payload',
            { server: [header.subarray(0, -1), 0, header.subarray(-1)], ends },
          ],
        ];
      },
    );
  }
});

describe('§5.2 payload length: the most significant bit of 64 must be 0', () => {
  for (const high of ['80', 'ff', 'c0']) {
    for (const opcode of ['82', '81', '02']) {
      scenario(`${opcode} 7f ${high}: fails the connection at that byte`, {
        server: [hex(`${opcode} 7f`), 0, hex(high)],
        ends: fails(1002, 'ERR_LENGTH_INVALID'),
      });
    }
  }
});

/** Every kind of frame, with what must stand before it, and what of that the client answers. */
const KINDS: readonly { kind: string; opcode: number; fin: boolean; before: Buffer[]; payload: Buffer }[] = [
  { kind: 'a text', opcode: 1, fin: true, before: [], payload: Buffer.from('Hello') },
  { kind: 'a binary message', opcode: 2, fin: true, before: [], payload: Buffer.from('Hello') },
  { kind: 'a first fragment', opcode: 1, fin: false, before: [], payload: Buffer.from('Hello') },
  {
    kind: 'a fragment in the middle',
    opcode: 0,
    fin: false,
    before: [text('', MORE)],
    payload: Buffer.from('Hel'),
  },
  { kind: 'a last fragment', opcode: 0, fin: true, before: [text('', MORE)], payload: Buffer.from('lo') },
  { kind: 'a Ping', opcode: 9, fin: true, before: [], payload: Buffer.from('Hello') },
  { kind: 'an empty Ping', opcode: 9, fin: true, before: [], payload: Buffer.alloc(0) },
  { kind: 'a Pong', opcode: 10, fin: true, before: [], payload: Buffer.from('Hello') },
  { kind: 'a Close frame', opcode: 8, fin: true, before: [], payload: Buffer.from([0x03, 0xe8]) },
  { kind: 'an empty Close frame', opcode: 8, fin: true, before: [], payload: Buffer.alloc(0) },
];

describe('§5.2 RSV1, RSV2, RSV3: must be 0 unless an extension is negotiated', () => {
  const ends = fails(1002, 'ERR_RESERVED_BITS');
  for (const { kind, opcode, fin, before, payload } of KINDS) {
    for (const bits of [1, 2, 3, 4, 5, 6, 7]) {
      const rsv = { rsv1: (bits & 4) !== 0, rsv2: (bits & 2) !== 0, rsv3: (bits & 1) !== 0 };
      const wrong = frame(opcode, payload, { ...rsv, fin });
      scenarios(
        `RSV ${bits.toString(2).padStart(3, '0')} on ${kind} fails the connection at its first byte`,
        () => [
          ...howeverCut([text('before'), ...before, wrong, ping('behind')], {
            client: [text('before')],
            ends,
          }),
          [
            'the first byte alone',
            { server: [text('before'), ...before, 1, wrong.subarray(0, 1)], client: [text('before')], ends },
          ],
        ],
      );
    }
  }
});

describe('§5.2 opcode: an unknown one fails the connection', () => {
  const ends = fails(1002, 'ERR_RESERVED_OPCODE');
  for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
    const payload = Buffer.from('reserved opcode payload');
    scenario(`opcode ${opcode} alone, empty`, { server: frame(opcode), ends });
    scenario(`opcode ${opcode} alone, with a payload`, { server: frame(opcode, payload), ends });
    scenario(`opcode ${opcode}: its first byte is enough`, {
      server: [text('before'), 1, frame(opcode, payload).subarray(0, 1)],
      client: [text('before')],
      ends,
    });
    scenarios(`opcode ${opcode} in a conversation: what was before is answered, nothing behind it`, () => [
      ...howeverCut(
        [text('before'), frame(opcode), ping('behind')],
        { client: [text('before')], ends },
        'empty',
      ),
      ...howeverCut(
        [ping('1'), frame(opcode, payload), text('behind')],
        { client: [pong('1')], ends },
        'full',
      ),
    ]);
    scenarios(`opcode ${opcode} inside a message, and as a fragment`, () => [
      ...howeverCut([text('Hel', MORE), frame(opcode, payload), continuation('lo')], { ends }, 'inside'),
      ...howeverCut([frame(opcode, payload, MORE), continuation('lo')], { ends }, 'first'),
    ]);
  }
});

describe('§5.2 opcode: the known ones are taken, empty or not', () => {
  for (const content of ['', 'Hello']) {
    scenarios(content === '' ? 'empty' : 'with a payload', () =>
      howeverCut(
        [ping(content), pong(content), text(content), binary(content), text('', MORE), continuation(content)],
        {
          client: [pong(content), text(content), binary(content), text(content)],
          pongs: [Buffer.from(content)],
        },
      ),
    );
  }
});
