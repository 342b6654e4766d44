/**
 * Does the catalogue notice? Each mutation breaks a copy of the sources in one way; the test that is named beside it
 * must fail there, and pass on the copy as it was. README.md lists them. About five seconds each:
 *
 *     node --import tsx test/conformance/mutations.ts [words of those to try]
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Mutation {
  breaks: string;
  edits: readonly (readonly [file: string, from: string, to: string])[];
  /** The section’s file, and the title in it. */
  caughtBy: readonly [file: string, title: string];
}

const FRAME = 'assembly/frame.ts';
const RECEIVER = 'src/protocol/receiver.ts';
const CONNECTION = 'src/connection.ts';
const CLOSING = 'src/protocol/closing-handshake.ts';
const OPENING = 'src/protocol/opening-handshake.ts';

export const MUTATIONS: readonly Mutation[] = [
  {
    breaks: 'UTF-8 is checked only at the end of the message',
    edits: [
      [
        FRAME,
        'if (utf8 == UTF8_INVALID || (complete && firstByte & FIN && utf8 & UTF8_MISSING)) {',
        'if (complete && firstByte & FIN && (utf8 == UTF8_INVALID || utf8 & UTF8_MISSING)) {',
      ],
    ],
    caughtBy: ['8.1-utf8', '§8.1: the connection fails as soon as the wrong byte arrives, and not before'],
  },
  {
    breaks: 'UTF-8 of a long frame is checked only when all of it has come',
    edits: [
      [
        RECEIVER,
        'if (this.#utf8 === UTF8_INVALID) {',
        'if (this.#utf8 === UTF8_INVALID && this.#frameLeft === stop - start) {',
      ],
    ],
    caughtBy: ['8.1-utf8', '§8.1: the connection fails as soon as the wrong byte arrives, and not before'],
  },
  {
    breaks: 'a character that is cut short at a message’s end is let pass',
    edits: [[FRAME, ' || (complete && firstByte & FIN && utf8 & UTF8_MISSING)) {', ') {']],
    caughtBy: ['8.1-utf8', '§8.1: a sequence that is cut short at a message’s end fails the connection'],
  },
  {
    breaks: 'surrogates are let pass as UTF-8',
    edits: [['assembly/utf8.ts', 'byte == 0xed ? 0x9f : 0xbf', '0xbf']],
    caughtBy: ['8.1-utf8', '§8.1: invalid sequences fail the connection with 1007, split at every place'],
  },
  {
    breaks: 'UTF-8 begins anew with each fragment',
    edits: [[FRAME, 'if (starts) utf8 = UTF8_START;', 'if (processed == 0) utf8 = UTF8_START;']],
    caughtBy: ['8.1-utf8', '§8.1: valid sequences arrive, split at every place'],
  },
  {
    breaks: 'the mask is off by one phase from the second piece of a long frame on',
    edits: [
      [
        'src/protocol/sender.ts',
        'codec.mask(at + header, at + header + piece.length, key, phase);',
        'codec.mask(at + header, at + header + piece.length, key, phase && phase + 1);',
      ],
    ],
    caughtBy: ['5.3-masking', '§5.3: octet i of the payload is masked with octet i MOD 4 of the key'],
  },
  {
    breaks: 'the last bytes of a payload are masked with the wrong octet of the key',
    edits: [['assembly/mask.ts', 'let rest = word;', 'let rest = rotr<u32>(word, 8);']],
    caughtBy: ['5.3-masking', '§5.3: octet i of the payload is masked with octet i MOD 4 of the key'],
  },
  {
    breaks: 'all frames are masked with the same key',
    edits: [['src/codec/codec.ts', 'return this.#keys[this.#nextKey++];', 'return this.#keys[0];']],
    caughtBy: ['5.3-masking', '§5.3, §10.3: a fresh key for each frame, from a strong source of entropy'],
  },
  {
    breaks: 'masking keys count upwards',
    edits: [
      [
        'src/codec/codec.ts',
        'return this.#keys[this.#nextKey++];',
        'return (this.#keys[0] + this.#nextKey++) | 0;',
      ],
    ],
    caughtBy: ['5.3-masking', '§5.3, §10.3: a fresh key for each frame, from a strong source of entropy'],
  },
  {
    breaks: 'a masked frame is taken from the server',
    edits: [[FRAME, 'if ((masked != 0) != ((mode & MASKED) != 0)) {', 'if (!masked && mode & MASKED) {']],
    caughtBy: ['5.1-overview', '§5.1: a client closes the connection if it detects a masked frame'],
  },
  {
    breaks: 'RSV3 is ignored',
    edits: [[FRAME, 'if (byte & RESERVED & ~allowed)', 'if (byte & RESERVED & ~allowed & 0x60)']],
    caughtBy: ['5.2-framing', '§5.2 RSV1, RSV2, RSV3: must be 0 unless an extension is negotiated'],
  },
  {
    breaks: 'RSV bits of control frames are ignored',
    edits: [
      [
        FRAME,
        'if (byte & RESERVED & ~allowed)',
        'if ((opcode & CONTROL) == 0 && byte & RESERVED & ~allowed)',
      ],
    ],
    caughtBy: ['5.2-framing', '§5.2 RSV1, RSV2, RSV3: must be 0 unless an extension is negotiated'],
  },
  {
    breaks: 'opcode 11 is taken for a control frame nobody minds',
    edits: [[FRAME, 'if (opcode > PONG) return', 'if (opcode > PONG + 1) return']],
    caughtBy: ['5.2-framing', '§5.2 opcode: an unknown one fails the connection'],
  },
  {
    breaks: 'a header is judged only when two bytes of it have come',
    edits: [
      [
        FRAME,
        `    error = firstByteError(firstByte, fragment, mode);
    if (error) break;
    if (available < 2) break;
`,
        `    if (available < 2) break;
    error = firstByteError(firstByte, fragment, mode);
    if (error) break;
`,
      ],
    ],
    caughtBy: ['5.2-framing', '§5.2 opcode: an unknown one fails the connection'],
  },
  {
    breaks: 'a length in 16 bits that would fit into 7 is accepted',
    edits: [[FRAME, 'if (length < 126) {', 'if (length < 0) {']],
    caughtBy: ['5.2-framing', '§5.2 payload length: the minimal number of bytes must be used'],
  },
  {
    breaks: 'a length of 65 535 is sent in 64 bits',
    edits: [
      [FRAME, 'if (lengthHigh != 0 || length > 0xffff) {', 'if (lengthHigh != 0 || length >= 0xffff) {'],
      ['src/protocol/sender.ts', 'return length < 65536 ? 8 : 14;', 'return length < 65535 ? 8 : 14;'],
    ],
    caughtBy: [
      '5.2-framing',
      '§5.2 payload length: a message of any length arrives, however the segments fall',
    ],
  },
  {
    breaks: 'of a length in 64 bits only 32 are read',
    edits: [[FRAME, 'lengthHigh = bswap<u32>(load<u32>(at, 2));', 'lengthHigh = 0;']],
    caughtBy: ['10-limits', '§10.4: a length that no machine can hold fails the connection at its header'],
  },
  {
    breaks: 'control frames may have 126 bytes and more',
    edits: [
      [
        FRAME,
        '      if (opcode & CONTROL) {\n        error = CONTROL_TOO_LONG;',
        '      if (opcode & CONTROL && length == LENGTH_64) {\n        error = CONTROL_TOO_LONG;',
      ],
    ],
    caughtBy: ['5.5-control-frames', '§5.5: control frames have at most 125 bytes'],
  },
  {
    breaks: 'fragmented control frames are taken as whole ones',
    edits: [[FRAME, 'return byte & FIN ? NONE : CONTROL_FRAGMENTED;', 'return NONE;']],
    caughtBy: ['5.4-fragmentation', '§5.4, §5.5: control frames must not be fragmented'],
  },
  {
    breaks: 'a continuation is accepted where no message has begun',
    edits: [[FRAME, 'return fragment ? NONE : UNEXPECTED_CONTINUATION;', 'return NONE;']],
    caughtBy: ['5.4-fragmentation', '§5.4: a continuation frame that continues nothing fails the connection'],
  },
  {
    breaks: 'a message is accepted inside another',
    edits: [[FRAME, 'return fragment ? EXPECTED_CONTINUATION : NONE;', 'return NONE;']],
    caughtBy: ['5.4-fragmentation', '§5.4: the fragments of one message are not interleaved with another'],
  },
  {
    breaks: 'a Pong has the first 124 bytes of the Ping',
    edits: [
      [
        CONNECTION,
        'connection.#outbound.pong(payload);',
        'connection.#outbound.pong(payload.subarray(0, 124));',
      ],
    ],
    caughtBy: [
      '5.5-control-frames',
      '§5.5.2, §5.5.3: a Ping is answered by a Pong with the same application data',
    ],
  },
  {
    breaks: 'Pongs are answered by Pongs',
    edits: [
      [
        CONNECTION,
        'connection.#pongsReceived++;',
        'connection.#pongsReceived++;\n      connection.#outbound.pong(payload);',
      ],
    ],
    caughtBy: ['5.5-control-frames', '§5.5.3: a Pong that nobody asked for is taken, and not answered'],
  },
  {
    breaks: 'Pings are answered after our Close frame',
    edits: [[CONNECTION, 'if (!connection.#closeSent) connection.#outbound', 'connection.#outbound']],
    caughtBy: ['5.5-control-frames', '§5.5.2: after the server’s Close frame no Ping is answered'],
  },
  {
    breaks: 'the close code is echoed as 1000, whatever it was',
    edits: [[CONNECTION, 'status.code === CloseCode.noStatus ? undefined : status.code', 'CloseCode.normal']],
    caughtBy: ['7-closing', '§7.1.5, §7.4: a code that may be on the wire is reported and echoed'],
  },
  {
    breaks: 'the reason is echoed with the close code',
    edits: [
      [
        CONNECTION,
        'closePayload(status.code === CloseCode.noStatus ? undefined : status.code)',
        'closePayload(status.code === CloseCode.noStatus ? undefined : status.code, status.reason)',
      ],
    ],
    caughtBy: ['5.5-control-frames', '§5.5.1: a Close frame is answered by a Close frame with its code'],
  },
  {
    breaks: '1005 and 1006 are accepted from the wire',
    edits: [[CLOSING, ' && code !== 1005 && code !== 1006)', ')']],
    caughtBy: ['7-closing', '§7.4: a code that may not be on the wire fails the connection with 1002'],
  },
  {
    breaks: 'a Close frame of one byte is taken for an empty one',
    edits: [[CLOSING, 'if (payload.length === 0) return', 'if (payload.length < 2) return']],
    caughtBy: ['5.5-control-frames', '§5.5.1: the body of a Close frame begins with a code of two bytes'],
  },
  {
    breaks: 'the reason of a Close frame is not validated',
    edits: [[CLOSING, 'if (!isUtf8(reason)) {', 'if (false as boolean) {']],
    caughtBy: ['5.5-control-frames', '§5.5.1: the reason in a Close frame is UTF-8'],
  },
  {
    breaks: 'data behind the Close frame is delivered',
    edits: [
      [FRAME, 'if (opcode == CLOSE) end = payload + length;', ''],
      [
        RECEIVER,
        'this.stop();\n        this.#events.onClose(this.#owner, status);',
        'this.#events.onClose(this.#owner, status);',
      ],
    ],
    caughtBy: ['5.5-control-frames', '§5.5.1: what stands behind a Close frame is ignored'],
  },
  {
    breaks: 'the client closes TCP first',
    edits: [
      [CONNECTION, 'if (this.#peerEnded) this.#transport.socket.end();', 'this.#transport.socket.end();'],
    ],
    caughtBy: [
      '7-closing',
      '§7.1.1: after the closing handshake the server closes TCP first, however long that takes',
    ],
  },
  {
    breaks: 'a connection that is failed is left open',
    edits: [
      [
        CONNECTION,
        'this.#sendClose(closePayload(error.closeCode));\n    this.#transport.socket.end();',
        'this.#sendClose(closePayload(error.closeCode));',
      ],
    ],
    caughtBy: [
      '7-closing',
      '§7.1.7: to fail the connection is to say why, to close TCP, and to take nothing more',
    ],
  },
  {
    breaks: 'a connection is failed without a Close frame',
    edits: [[CONNECTION, 'this.#sendClose(closePayload(error.closeCode));\n', '']],
    caughtBy: [
      '7-closing',
      '§7.1.7: to fail the connection is to say why, to close TCP, and to take nothing more',
    ],
  },
  {
    breaks: 'a second Close frame is sent in answer to the server’s',
    edits: [[CONNECTION, '    if (!this.#closeSent) {\n', '    {\n']],
    caughtBy: [
      '7-closing',
      '§7.1.2: close() sends a Close frame with its code and reason, and waits for the server’s',
    ],
  },
  {
    breaks: 'messages are delivered at one byte above maxMessageSize',
    edits: [
      [FRAME, '<u64>assembled + <u64>length > <u64>limit', '<u64>assembled + <u64>length > <u64>limit + 1'],
    ],
    caughtBy: [
      '10-limits',
      '§10.4: a message above maxMessageSize fails the connection with 1009, at its header',
    ],
  },
  {
    breaks: 'the accept key is not checked',
    edits: [[OPENING, 'if (accept !== acceptFor(request.key)) {', 'if (accept === undefined) {']],
    caughtBy: ['4.1-opening', '§4.1 answer, item 4: Sec-WebSocket-Accept must answer the key'],
  },
  {
    breaks: 'Upgrade need only begin with "websocket"',
    edits: [
      [
        OPENING,
        "headers.upgrade?.toLowerCase() !== 'websocket'",
        "headers.upgrade?.toLowerCase().startsWith('websocket') !== true",
      ],
    ],
    caughtBy: ['4.1-opening', '§4.1 answer, item 2: Upgrade must be "websocket"'],
  },
  {
    breaks: 'a subprotocol that was not asked for is accepted',
    edits: [[OPENING, 'if (!request.protocols.includes(protocol)) {', "if (protocol === '') {"]],
    caughtBy: ['4.1-opening', '§4.1 answer, item 6: a subprotocol must be one that was asked for'],
  },
  {
    breaks: 'an extension that was not offered is accepted',
    edits: [[OPENING, 'if (offer < 0) {', 'if (offer > 0) {']],
    caughtBy: ['9-extensions', '§9.1, §4.1 answer, item 5: an extension that was not offered is refused'],
  },
  {
    breaks: 'all connections have the same key',
    edits: [[OPENING, 'nextKey += KEY_SIZE;', 'nextKey = KEY_SIZE;']],
    caughtBy: [
      '4.1-opening',
      '§4.1: the client sends a valid HTTP request and nothing more before the answer',
    ],
  },
  {
    breaks: 'a fragment of the client’s that continues has the opcode again',
    edits: [['src/protocol/sender.ts', '(this.#fragmented === 0 ? opcode : Opcode.continuation)', 'opcode']],
    caughtBy: [
      '5.4-fragmentation',
      '§5.4: a message that the client sends in fragments keeps the same rules',
    ],
  },
];

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A tree that can be built and tested, and broken. */
function copy(): string {
  const folder = mkdtempSync(join(tmpdir(), 'heartwire-mutation-'));
  for (const each of ['src', 'assembly', 'test', 'build', 'asconfig.json', 'package.json', 'tsconfig.json']) {
    cpSync(join(root, each), join(folder, each), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  // What a broken client never sends need not be waited for.
  edit(join(folder, 'test/conformance/conversation.ts'), /const SOON = [\d_]+;/, 'const SOON = 400;');
  return folder;
}

function edit(file: string, from: string | RegExp, to: string): void {
  const before = readFileSync(file, 'utf8');
  const after = before.replace(from, () => to);
  if (after === before) throw new Error(`${file} does not have: ${from}`);
  writeFileSync(file, after);
}

function build(folder: string): void {
  const built = spawnSync('npm', ['run', 'build:wasm'], { cwd: folder, encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`It cannot be built:\n${built.stdout}${built.stderr}`);
}

/** The titles that failed in this file, those at the top. */
function failures(folder: string, file: string): string[] {
  const path = `test/conformance/section-${file}.test.ts`;
  const run = spawnSync(
    process.execPath,
    ['--import=tsx', '--test', '--test-reporter=tap', '--test-force-exit', path],
    { cwd: folder, encoding: 'utf8', timeout: 300_000, maxBuffer: 1 << 28 },
  );
  return [...run.stdout.matchAll(/^not ok \d+ - (.*)$/gm)].map(([, title]) => title);
}

function main(words: readonly string[]): number {
  const wanted = MUTATIONS.filter(({ breaks }) => words.every((word) => breaks.includes(word)));
  let missed = 0;
  const folder = copy();
  try {
    for (const file of new Set(wanted.map(({ caughtBy }) => caughtBy[0]))) {
      const failed = failures(folder, file);
      if (failed.length > 0) throw new Error(`Unbroken, ${file} fails: ${failed.join('; ')}`);
    }
    for (const { breaks, edits, caughtBy } of wanted) {
      for (const [file, from, to] of edits) edit(join(folder, file), from, to);
      const inAssembly = edits.some(([file]) => file.startsWith('assembly/'));
      if (inAssembly) build(folder);
      const failed = failures(folder, caughtBy[0]);
      const caught = failed.some((title) => title.replaceAll('\\', '') === caughtBy[1]);
      if (!caught) missed++;
      console.log(`${caught ? 'caught' : 'MISSED'}: ${breaks} (${failed.length} requirements failed)`);
      if (!caught) console.log(`  expected ${caughtBy[1]}\n  failed ${failed.join('\n         ')}`);
      for (const [file] of edits) cpSync(join(root, file), join(folder, file));
      if (inAssembly)
        cpSync(join(root, 'src/codec/module-bytes.ts'), join(folder, 'src/codec/module-bytes.ts'));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  console.log(`${wanted.length - missed} of ${wanted.length} caught`);
  return missed === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main(process.argv.slice(2));
