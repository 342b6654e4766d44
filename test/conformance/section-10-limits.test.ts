/** RFC 6455 §10.4: the client protects itself from messages that are too large. */
import { describe } from 'node:test';
import { patterned } from '../leases/link.js';
import { fails, howeverCut, scenario, scenarios } from './conversation.js';
import { binary, continuation, frame, hex, MORE, ping, pong, text } from './frames.js';

const TOO_LARGE = fails(1009, 'ERR_MESSAGE_TOO_LARGE');

describe('§10.4: a message above maxMessageSize fails the connection with 1009, at its header', () => {
  for (const limit of [0, 1, 125, 126, 65_535, 65_536, 100_000]) {
    const options = { maxMessageSize: limit };
    scenario(`${limit}: a message of just so many bytes arrives`, {
      server: binary(patterned(limit, 1)),
      client: [binary(patterned(limit, 1))],
      options,
    });
    scenario(`${limit}: of one more fails, when the header has come`, {
      server: [
        text(),
        1,
        binary(Buffer.alloc(limit + 1)).subarray(0, limit < 125 ? 2 : limit < 65_535 ? 4 : 10),
      ],
      client: [text()],
      options,
      ends: TOO_LARGE,
    });
    scenarios(`${limit}: fragments count together`, () => [
      [
        'just so many',
        {
          server: [binary(Buffer.alloc(limit), MORE), ping('p'), continuation('', MORE), continuation()],
          client: [pong('p'), binary(Buffer.alloc(limit))],
          options,
        },
      ],
      [
        'one more',
        {
          server: [binary(Buffer.alloc(limit), MORE), ping('p'), continuation('x').subarray(0, 2)],
          client: [pong('p')],
          options,
          ends: TOO_LARGE,
        },
      ],
    ]);
  }
});

describe('§10.4: a length that no machine can hold fails the connection at its header', () => {
  const LENGTHS = {
    '2^32': '00 00 00 01 00 00 00 00',
    '2^32 + 5, of which 32 bits say 5': '00 00 00 01 00 00 00 05',
    '2^53': '00 20 00 00 00 00 00 00',
    '2^62': '40 00 00 00 00 00 00 00',
    '2^63 - 1': '7f ff ff ff ff ff ff ff',
  };
  for (const [what, digits] of Object.entries(LENGTHS)) {
    scenarios(`${what}, in a message and in a fragment, however cut`, () => [
      ...howeverCut([hex(`82 7f ${digits}`), Buffer.from('Hello')], { ends: TOO_LARGE }, 'binary'),
      ...howeverCut([hex(`81 7f ${digits}`), Buffer.from('Hello')], { ends: TOO_LARGE }, 'text'),
      ...howeverCut(
        [text('x', MORE), hex(`80 7f ${digits}`), Buffer.from('Hello')],
        { ends: TOO_LARGE },
        'last',
      ),
    ]);
  }
});

describe('§10.7: what is not expected fails the connection, whatever it is', () => {
  for (const [what, bytes] of Object.entries({
    'an HTTP response': Buffer.from('HTTP/1.1 200 OK\r\n\r\n'),
    'a TLS record': hex('15 03 01 00 02 02 28'),
  })) {
    scenarios(`${what} instead of frames`, () =>
      howeverCut([text('before'), bytes], {
        client: [text('before')],
        ends: fails(1002, bytes[0] & 0x70 ? 'ERR_RESERVED_BITS' : 'ERR_RESERVED_OPCODE'),
      }),
    );
  }
  scenario('zeros', { server: Buffer.alloc(64), ends: fails(1002, 'ERR_UNEXPECTED_CONTINUATION') });
  scenario('ones', { server: Buffer.alloc(64, 0xff), ends: fails(1002, 'ERR_RESERVED_BITS') });
  scenario('a frame of the client’s own, sent back', {
    server: frame(1, 'x', { maskingKey: [1, 2, 3, 4] }),
    ends: fails(1002, 'ERR_MASKED_FRAME'),
  });
});
