/** RFC 6455 §9.1, and item 5 of §4.1: extensions that were not offered, and a field that is none. */
import { describe } from 'node:test';
import { closes, fails, howeverCut, scenario, scenarios } from './conversation.js';
import { close, frame, text } from './frames.js';
import { and, refused } from './opening.js';

const extensions = (value: string): ReturnType<typeof and> => and(`Sec-WebSocket-Extensions: ${value}`);

describe('§9.1, §4.1 answer, item 5: an extension that was not offered is refused', () => {
  for (const value of [
    'permessage-deflate',
    'permessage-deflate; server_no_context_takeover',
    'x-unknown',
    'x-unknown; a=1, permessage-deflate',
  ]) {
    refused(value, extensions(value), 'ERR_HANDSHAKE_EXTENSION', {}, /not offered/);
  }
  refused(
    'in two lines',
    and('Sec-WebSocket-Extensions: a', 'Sec-WebSocket-Extensions: b'),
    'ERR_HANDSHAKE_EXTENSION',
    {},
    /not offered/,
  );
});

/** `1#extension` asks for one at least. */
describe('§9.1: a field that does not conform to the grammar fails the handshake', () => {
  for (const value of [
    '',
    ' , ,',
    'a b',
    'a;',
    'a; b=',
    'a; =b',
    'a; b="',
    'a; b="c d"',
    ';',
    '=',
    'a; b=c=d',
    '"a"',
    'a@',
  ]) {
    refused(value, extensions(value), 'ERR_HANDSHAKE_EXTENSION', {}, /malformed/);
  }
});

describe('§9: without an extension the frames are those of the base protocol', () => {
  scenarios('RSV1 behind a handshake that offered nothing', () =>
    howeverCut([frame(1, 'x', { rsv1: true })], { ends: fails(1002, 'ERR_RESERVED_BITS') }),
  );
  scenario('1010 from the server, which expected an extension, §7.4.1', {
    server: [text('before')],
    client: [text('before')],
    ends: closes(1010, 'permessage-deflate'),
  });
  scenario('its Close frame is like any other', {
    server: close(1010),
    ends: { ...closes(1010), server: undefined },
  });
});
