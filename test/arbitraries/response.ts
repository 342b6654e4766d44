/**
 * What a server may answer to the opening handshake: heads as HTTP wants them (RFC 9112 §4, §5), interim ones in
 * front and bodies or frames behind them, and the same with faults.
 */
import fc from 'fast-check';
import { cutUp, type Split, spoil, type WireStream, wireFault } from './wire.js';

const TCHARS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** RFC 9110 §5.5: visible characters, obs-text, and whitespace between them. */
const VALUE_BYTES = ' \t!"#$%&()*+,-./0129:;<=>?@AZ[]^_az{|}~\x80\xa0\xff';

const chars = (from: string, most: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...from), maxLength: most });

/** Most are made up, so that none of them says how long a body is. */
const field: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .tuple(chars(TCHARS, 12), fc.constantFrom('', ' ', '\t', '  '), chars(VALUE_BYTES, 20))
      .map(([name, space, value]) => `X-${name}:${space}${value}`),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'Date: Sun, 06 Nov 1994 08:49:37 GMT',
      'Set-Cookie: a=1; Path=/',
      'set-cookie: b=2',
      'Retry-After: 120',
      'Location: /elsewhere',
      'Connection: close',
      'Connection: keep-alive',
      'Upgrade: h2c',
      '__proto__: x',
      'Sec-WebSocket-Protocol: chat',
    ),
  },
);

const version = fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0');
const reason = fc.oneof(
  fc.constantFrom('', 'OK', 'Switching Protocols', 'Not  Found'),
  chars(VALUE_BYTES, 20),
);

const lines = (statusLine: string, fields: readonly string[]): string =>
  [statusLine, ...fields, '', ''].join('\r\n');

/** RFC 9110 §15.2 */
const interim: fc.Arbitrary<string> = fc
  .tuple(fc.constantFrom(100, 102, 103, 199), reason, fc.array(field, { maxLength: 2 }))
  .map(([status, phrase, fields]) => lines(`HTTP/1.1 ${status} ${phrase}`, fields));

/** RFC 6455 §4.2.2, and bytes of frames behind it. */
const switching: fc.Arbitrary<string> = fc
  .tuple(reason, fc.array(field, { maxLength: 4 }), chars('\x00\x81\x82\x89\xff\r\nHTTP/1. 20', 30))
  .map(
    ([phrase, fields, behind]) =>
      lines(`HTTP/1.1 101 ${phrase}`, ['Upgrade: websocket', 'Connection: Upgrade', ...fields]) + behind,
  );

/** RFC 9112 §6.3: every way to say how long the body is. */
const body: fc.Arbitrary<{ field: string; bytes: string }> = fc.oneof(
  chars('abc\r\n\x00\xff', 40).map((bytes) => ({ field: `Content-Length: ${bytes.length}`, bytes })),
  fc
    .array(
      chars('abc\r\n\x00\xff', 20).filter((chunk) => chunk !== ''),
      { maxLength: 4 },
    )
    .map((chunks) => ({
      field: 'Transfer-Encoding: chunked',
      bytes: [...chunks, '']
        .map(
          (chunk, i) =>
            `${chunk.length.toString(16)}${i % 2 === 1 ? ';ext=1' : ''}\r\n${chunk && `${chunk}\r\n`}`,
        )
        .join('')
        .concat('\r\n'),
    })),
  chars('abc\r\n\x00\xff', 40).map((bytes) => ({ field: 'X-Until: close', bytes })),
);

const final: fc.Arbitrary<string> = fc
  .tuple(version, fc.integer({ min: 200, max: 999 }), reason, fc.array(field, { maxLength: 4 }), body)
  .map(([number, status, phrase, fields, { field: length, bytes }]) => {
    const bodyless = status === 204 || status === 304;
    return lines(`${number} ${status} ${phrase}`, [...fields, length]) + (bodyless ? '' : bytes);
  });

/** An answer without a fault. `frameStarts` are where lines begin: faults and cuts are aimed there. */
export const answer: fc.Arbitrary<WireStream> = fc
  .tuple(fc.array(interim, { maxLength: 2 }), fc.oneof(switching, final))
  .map(([before, last]) => aimed(before.join('') + last));

function aimed(text: string): WireStream {
  const bytes = Buffer.from(text, 'latin1');
  const frameStarts = [0];
  for (let at = bytes.indexOf('\r\n'); at >= 0; at = bytes.indexOf('\r\n', at + 1)) frameStarts.push(at + 2);
  return { bytes, frameStarts };
}

/** Pieces that have a meaning of their own, put where they do not belong. */
const intruder = fc.constantFrom(
  '\r',
  '\n',
  '\r\n',
  '\n\n',
  '\r\r\n',
  '\r\n\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ' :',
  '\r\n folded',
  'HTTP/1.1 200 OK\r\n\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: 6\r\n',
  'Content-Length: -1\r\n',
  'Content-Length: 0x5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: gzip, chunked\r\n',
  'Transfer-Encoding: chunked, identity\r\n',
  'Connection: \r\n',
  '\x0b',
  '\x7f',
);

const withIntruders: fc.Arbitrary<WireStream> = fc
  .tuple(
    answer,
    fc.array(fc.tuple(fc.nat(40), fc.integer({ min: -2, max: 12 }), intruder), {
      minLength: 1,
      maxLength: 2,
    }),
  )
  .map(([whole, intruders]) => {
    let text = whole.bytes.toString('latin1');
    for (const [line, offset, what] of intruders) {
      const starts = whole.frameStarts;
      const at = Math.max(0, starts[line % starts.length] + offset);
      text = text.slice(0, at) + what + text.slice(at);
    }
    return aimed(text);
  });

const withFaults: fc.Arbitrary<WireStream> = fc
  .tuple(answer, fc.array(wireFault, { minLength: 1, maxLength: 3 }))
  .map(([whole, faults]) => faults.reduce(spoil, whole));

export const faultyAnswer: fc.Arbitrary<WireStream> = fc.oneof(withIntruders, withFaults);

export interface Answer {
  stream: WireStream;
  how: Split;
}

export const piecesOf = ({ stream, how }: Answer): Buffer[] => cutUp(stream, how);
