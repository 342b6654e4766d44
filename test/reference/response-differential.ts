/**
 * Our reader of the server's answer beside Node's: where both take a head they must take the same one, and where
 * only one does, the difference must be one that is meant and named here.
 */
import assert from 'node:assert/strict';
import { HandshakeError } from '../../src/errors.js';
import { ResponseReader } from '../../src/protocol/response-reader.js';
import { type Reading, readByNode } from './node-response.js';

/**
 * What we refuse and Node takes. A proxy in front of us that reads such a head one way, and we another, could be
 * made to smuggle (RFC 9112 §11.2), so the doubtful is refused; nobody who means to open a WebSocket sends it.
 */
const STRICTER: readonly (readonly [message: RegExp, why: string])[] = [
  [/a bad status line/, 'RFC 9112 §4 to the letter: HTTP/1.0 or 1.1, 100 to 999, no control character'],
  [/malformed: NUL/, 'RFC 9112 §4, RFC 9110 §5.5: nowhere; Node takes it in a reason phrase'],
  [/obs-fold/, 'RFC 9112 §5.2: a server must not send it; newer versions of Node take it'],
  [/a bare LF/, 'RFC 9112 §2.2: a line ends with CR LF'],
  [/a bare CR/, 'RFC 9112 §2.2: a CR that no LF follows is invalid'],
  [/a control character in a field value/, 'RFC 9110 §5.5'],
  [/whitespace before the colon/, 'RFC 9112 §5.1: none is allowed'],
  [/more than 8 interim responses/, 'a bound: Node reads them for ever'],
  [/exceeds 16384 bytes/, 'a bound: we count all heads together, Node each of them'],
];

/** What Node refuses and we take. */
const LAXER: readonly (readonly [error: RegExp, why: string])[] = [
  [
    /Content-Length|Transfer-Encoding/i,
    'a body only explains a failure: it is never worth an error of its own (src/protocol/response-body.ts)',
  ],
  [/HPE_CLOSED_CONNECTION/, 'an interim answer with `Connection: close`: RFC 9112 §9.6 means the final one'],
];

/** What ours makes of the pieces. The bytes are gone when `feed` has returned, as they are from scratch. */
export function readByUs(pieces: readonly Buffer[]): Reading {
  const reading: Reading = {};
  const reader = new ResponseReader();
  const behind: Buffer[] = [];
  try {
    for (const piece of pieces) {
      const copy = Buffer.from(piece);
      const taken = reader.feed(copy);
      assert.ok(taken === copy.length || reader.response !== null, 'bytes left over, but no response');
      behind.push(piece.subarray(taken));
      copy.fill(0xee);
    }
    reader.end();
  } catch (error) {
    if (!(error instanceof HandshakeError)) throw error;
    reading.error = `${error.code}: ${error.message}`;
  }
  const response = reader.response ?? reader.partial;
  if (response === null) return reading;
  const { httpVersion, statusCode, statusText, rawHeaders } = response;
  reading.head = { httpVersion, statusCode, statusText, rawHeaders: rawHeaders.flat() };
  if (statusCode === 101) reading.behind = Buffer.concat(behind);
  else if (reader.response !== null) reading.body = response.body;
  return reading;
}

/** In those pieces and byte by byte ours is the same, and beside Node's there is no difference but the meant. */
export async function compareWithNode(pieces: readonly Buffer[]): Promise<void> {
  const whole = Buffer.concat(pieces);
  const ours = readByUs(pieces);
  const singly = readByUs(Array.from(whole, (byte) => Buffer.of(byte)));
  assert.deepEqual(ours, singly, 'in pieces, and byte by byte');
  const theirs = await readByNode(pieces);
  const said = `ours ${shown(ours)}; Node's ${shown(theirs)}`;

  if (ours.head === undefined) {
    // Before the end of its head, neither knows of an answer; a wrong byte may show us earlier than Node.
    if (theirs.head === undefined) return;
    assert.ok(
      STRICTER.some(([message]) => message.test(ours.error ?? '')),
      `refused by us, taken by Node: ${said}`,
    );
    return;
  }
  if (theirs.head === undefined) {
    assert.ok(
      LAXER.some(([error]) => error.test(theirs.error ?? '')),
      `taken by us, refused by Node: ${said}`,
    );
    return;
  }
  assert.deepEqual(ours.head, theirs.head);
  // Without `Upgrade` and `Connection: Upgrade` a 101 switches nothing for Node; we refuse it a layer above.
  if (ours.behind !== undefined && theirs.behind !== undefined)
    assert.deepEqual(ours.behind, theirs.behind, `behind a 101: ${said}`);
  // Node does not know the coding when a tab stands behind it (RFC 9110 §5.6.3: it is no part of the value).
  const misread = /^transfer-encoding:.*\t/im.test(whole.toString('latin1'));
  if (ours.body !== undefined && theirs.body !== undefined && !misread)
    assert.deepEqual(ours.body, theirs.body, 'the body');
}

function shown({ head, body, behind, error }: Reading): string {
  const more = { body: body?.toString('latin1'), behind: behind?.toString('latin1'), error };
  return JSON.stringify({ status: head?.statusCode, ...more });
}
