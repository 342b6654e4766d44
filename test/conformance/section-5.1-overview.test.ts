/** RFC 6455 §5.1: who masks and who does not. That the client masks every frame is checked in every scenario. */
import { describe } from 'node:test';
import { fails, howeverCut, scenario, scenarios } from './conversation.js';
import { binary, close, continuation, MORE, ping, pong, text } from './frames.js';

const MASKED = { maskingKey: [0x37, 0xfa, 0x21, 0x3d] };
const MASKED_WITH_ZEROS = { maskingKey: [0, 0, 0, 0] };

describe('§5.1: a client closes the connection if it detects a masked frame', () => {
  const masked = {
    'a text': [text('Hello', MASKED)],
    'an empty text': [text('', MASKED)],
    'a text whose key changes nothing': [text('Hello', MASKED_WITH_ZEROS)],
    'a fragment': [text('Hello', { ...MASKED, fin: false })],
    'a binary message of 300 bytes': [binary(Buffer.alloc(300, 1), MASKED)],
    'a continuation': [text('Hel', MORE), continuation('lo', MASKED)],
    'a Ping': [ping('Hello', MASKED)],
    'a Pong': [pong('Hello', MASKED)],
    'a Close frame': [close(1000, '', MASKED)],
  };
  for (const [what, frames] of Object.entries(masked)) {
    scenarios(`${what}, alone, however cut; nothing behind it is looked at`, () =>
      howeverCut([...frames, text('behind'), ping('behind')], {
        ends: fails(1002, 'ERR_MASKED_FRAME'),
      }),
    );
  }

  scenario('as soon as the mask bit has come, before the key and the payload', {
    server: [
      text('before'),
      1,
      text('Hello', MASKED).subarray(0, 1),
      1,
      text('Hello', MASKED).subarray(1, 2),
    ],
    client: [text('before')],
    ends: fails(1002, 'ERR_MASKED_FRAME'),
  });
});

describe('§5.1: data is sent and received at any time after the opening handshake', () => {
  scenario('the application sends first', {
    server: [
      (connection) => {
        connection.send('first');
        connection.send(Buffer.of(0, 1, 2));
      },
      2,
      text('second'),
    ],
    client: [text('first'), binary(Buffer.of(0, 1, 2)), text('second')],
    messages: [text('second')],
  });
});
