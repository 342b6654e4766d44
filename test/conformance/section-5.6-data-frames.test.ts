/** RFC 6455 §5.6 to §5.8: text and binary; the RFC's own examples; what an extension could use. */
import { describe } from 'node:test';
import { fails, howeverCut, scenario, scenarios } from './conversation.js';
import { binary, continuation, frame, hex, MORE, ping, pong, text } from './frames.js';

describe('§5.6: text is text, binary is any bytes', () => {
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  scenarios('binary: every value of a byte, however cut', () =>
    howeverCut([binary(everyByte)], { client: [binary(everyByte)] }),
  );
  scenarios('binary that is no UTF-8, whole and in fragments', () =>
    howeverCut([binary(hex('eda080')), binary(hex('ff'), MORE), continuation(hex('80'))], {
      client: [binary(hex('eda080')), binary(hex('ff80'))],
    }),
  );
  scenarios('binary that is UTF-8 stays binary', () =>
    howeverCut([binary('Hello')], { client: [binary('Hello')] }),
  );
  scenarios('text in every alphabet, and NUL', () =>
    howeverCut([text('Hello-µ@ßöäüàá-UTF-8!! κόσμε 日本語 😀 \0')], {
      client: [text('Hello-µ@ßöäüàá-UTF-8!! κόσμε 日本語 😀 \0')],
    }),
  );
  scenarios('a byte order mark is part of the text', () =>
    howeverCut([text('\uFEFFHello')], { client: [text('\uFEFFHello')] }),
  );
  scenarios('both in turns', () =>
    howeverCut([text('a'), binary('b'), text('c'), binary('d')], {
      client: [text('a'), binary('b'), text('c'), binary('d')],
    }),
  );
});

describe('§5.7: the examples of the RFC, byte for byte', () => {
  const hello = text('Hello');
  const EXAMPLES = {
    'a single-frame unmasked text message': { server: hex('81 05 48 65 6c 6c 6f'), client: [hello] },
    'a fragmented unmasked text message': {
      server: [hex('01 03 48 65 6c'), hex('80 02 6c 6f')],
      client: [hello],
    },
    'an unmasked Ping request': { server: hex('89 05 48 65 6c 6c 6f'), client: [pong('Hello')] },
    '256 bytes of binary in a single unmasked frame': {
      server: Buffer.concat([hex('82 7e 01 00'), Buffer.alloc(256, 7)]),
      client: [binary(Buffer.alloc(256, 7))],
    },
    '64 KiB of binary in a single unmasked frame': {
      server: Buffer.concat([hex('82 7f 00 00 00 00 00 01 00 00'), Buffer.alloc(65_536, 7)]),
      client: [binary(Buffer.alloc(65_536, 7))],
    },
  };
  for (const [what, content] of Object.entries(EXAMPLES)) scenario(what, content);

  scenario('a single-frame masked text message: not from a server', {
    server: hex('81 85 37 fa 21 3d 7f 9f 4d 51 58'),
    ends: fails(1002, 'ERR_MASKED_FRAME'),
  });
});

describe('§5.8: nothing is taken for an extension that was not negotiated', () => {
  scenario('a message as permessage-deflate would send it', {
    server: hex('c1 07 f2 48 cd c9 c9 07 00'),
    ends: fails(1002, 'ERR_RESERVED_BITS'),
  });
  scenario('an opcode that an extension might define', {
    server: [ping('before'), frame(3, 'data')],
    client: [pong('before')],
    ends: fails(1002, 'ERR_RESERVED_OPCODE'),
  });
});
