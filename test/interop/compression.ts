/**
 * A conversation of compressed messages with a server that echoes: the same with every server, for every set of
 * parameters. A server is what opens a connection with the options given, and says what it agreed to.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Connection, ConnectOptions, PerMessageDeflateOptions } from '../../src/index.js';
import { CONTENTS, type Content } from '../arbitraries/deflate.js';

export interface EchoingServer {
  connect(options: ConnectOptions): Promise<Connection>;
}

/** Every set of parameters that a client can offer, but for window bits in between. */
export function parameterSets(bits: readonly number[] = [8, 9, 12, 15]): PerMessageDeflateOptions[] {
  const sets: PerMessageDeflateOptions[] = [];
  for (const serverNoContextTakeover of [false, true]) {
    for (const clientNoContextTakeover of [false, true]) {
      for (const serverMaxWindowBits of [undefined, ...bits]) {
        for (const clientMaxWindowBits of [false, true, ...bits]) {
          sets.push({
            serverNoContextTakeover,
            clientNoContextTakeover,
            clientMaxWindowBits,
            ...(serverMaxWindowBits === undefined ? {} : { serverMaxWindowBits }),
          });
        }
      }
    }
  }
  return sets;
}

export function nameOf(options: PerMessageDeflateOptions): string {
  const given = Object.entries(options).filter(([, value]) => value !== false);
  return (
    given.map(([name, value]) => (value === true ? name : `${name} ${value}`)).join(', ') || 'the bare offer'
  );
}

const QUOTES = Array.from({ length: 40 }, (_, i) => CONTENTS.json(150 + i * 13, i).toString());

/** Short and long, of every kind, some of which no compression makes smaller. */
const MESSAGES: (string | Buffer)[] = [
  ...QUOTES,
  '',
  Buffer.alloc(0),
  'aé水🐟'.repeat(700),
  ...(Object.keys(CONTENTS) as Content[]).flatMap((kind) =>
    [1, 300, 5_000, 40_000].map((length) => CONTENTS[kind](length, 1)),
  ),
  CONTENTS.json(300_000, 7).toString(),
  ...QUOTES,
];

function digest(data: string | Uint8Array): string {
  const bytes = Buffer.from(data as string);
  const hash = createHash('sha1').update(bytes).digest('hex');
  return `${typeof data === 'string' ? 'text' : 'binary'} of ${bytes.length} bytes ${hash}`;
}

/** Everything that is sent, compressed or not, whole or in fragments, comes back as it was. */
export async function converse(
  server: EchoingServer,
  perMessageDeflate: PerMessageDeflateOptions,
): Promise<Connection> {
  const seen: string[] = [];
  const expected: string[] = [];
  let failed: unknown;
  let wanted = Number.POSITIVE_INFINITY;
  let done = (): void => {};
  const connection = await server.connect({
    perMessageDeflate,
    onMessage(message) {
      seen.push(digest(message.isText ? message.text() : message.copy()));
      if (seen.length === wanted) done();
    },
    onClose(info) {
      failed = info.error ?? new Error(`closed with ${info.code}`);
      done();
    },
  });

  for (const [i, message] of MESSAGES.entries()) {
    connection.send(message, { compress: i % 5 !== 4 });
    expected.push(digest(message));
  }
  for (const [i, message] of MESSAGES.slice(0, 50).entries()) {
    const third = Math.floor(message.length / 3);
    connection.send(message.slice(0, third), { fin: false, compress: i % 2 === 0 });
    connection.send(message.slice(third, 2 * third), { fin: false });
    connection.send(message.slice(2 * third));
    expected.push(digest(message));
  }
  await connection.sendStream(QUOTES, { compress: true });
  expected.push(digest(QUOTES.join('')));

  await new Promise<void>((resolve) => {
    done = resolve;
    wanted = expected.length;
    if (seen.length === wanted || failed !== undefined) resolve();
  });
  assert.equal(failed, undefined);
  assert.deepEqual(seen, expected);
  return connection;
}
