/** Inflating messages of a feed, with the history of those before (RFC 7692 §7.2.2), and long streams at once. */
import assert from 'node:assert/strict';
import {
  constants,
  createDeflateRaw,
  createInflateRaw,
  deflateRawSync,
  type InflateRaw,
  inflateRawSync,
} from 'node:zlib';
import { sharedCodec } from '../../src/codec/codec.js';
import { InflateError, Inflater } from '../../src/codec/inflater.js';
import { READ_SIZE, SCRATCH_READ } from '../../src/codec/layout.js';
import { Assembly } from '../../src/protocol/assembly.js';
import { mixed, snapshots } from '../harness/market-data.js';
import type { MicroSuite } from './suite.js';

const codec = sharedCodec();
const { Z_SYNC_FLUSH } = constants;

const TAIL = Buffer.from('0000ffff', 'hex');
const WINDOW = 32 * 1024;
const MAX_MESSAGE_SIZE = 64 * 1024 * 1024;

/** Node's private handle: the only way to have zlib go on with a stream synchronously. No library can rely on it. */
interface NativeHandle {
  writeSync(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputLength: number,
    output: Uint8Array,
    outputOffset: number,
    outputLength: number,
  ): void;
}

/** A feed's messages, compressed one after the other with one window. */
interface Feed {
  messages: Buffer[];
  compressed: Buffer[];
}

/** Messages of about that length: of the feed as they are, or several in an array, as exchanges batch them. */
function messagesOf(byteLength: number, count: number): Buffer[] {
  const messages: Buffer[] = [];
  let batch: string[] = [];
  let length = 0;
  for (const message of mixed(20_000).messages) {
    if (byteLength < 1_000) {
      if (Math.abs(message.length / byteLength - 1) < 0.1) messages.push(Buffer.from(message));
    } else {
      batch.push(message);
      length += message.length + 1;
      if (length < byteLength) continue;
      messages.push(Buffer.from(`[${batch.join()}]`));
      batch = [];
      length = 0;
    }
    if (messages.length === count) break;
  }
  return messages;
}

async function compress(messages: Buffer[]): Promise<Feed> {
  const stream = createDeflateRaw();
  const compressed: Buffer[] = [];
  let pieces: Buffer[] = [];
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  for (const message of messages) {
    stream.write(message);
    await new Promise<void>((resolve) => stream.flush(Z_SYNC_FLUSH, resolve));
    compressed.push(Buffer.concat(pieces));
    pieces = [];
  }
  return { messages, compressed };
}

/** Message after message, as many as one read brings, and again from the first. */
async function feed(byteLength: number, count: number): Promise<MicroSuite> {
  const { messages, compressed } = await compress(messagesOf(byteLength, count));
  const perCall = messages.length;
  const total = messages.reduce((sum, { length }) => sum + length, 0);

  // As they lie in a read; zlib must be given what the sender removed as well.
  const places: number[] = [];
  let end = SCRATCH_READ;
  for (const bytes of compressed) {
    places.push(end);
    end += bytes.length - TAIL.length;
  }
  places.push(end);
  assert.ok(end <= SCRATCH_READ + READ_SIZE, 'one read holds them');

  const options = { takeover: true, windowBits: 15, maxMessageSize: MAX_MESSAGE_SIZE };
  const inflater = new Inflater(codec, codec.windows.take(), options, new Assembly());
  const native = createInflateRaw() as InflateRaw & { _handle: NativeHandle; _writeState: Uint32Array };
  const output = Buffer.alloc(READ_SIZE);
  const all = Buffer.concat(messages);
  let at = 0;
  const dictionaries = messages.map(({ length }) => {
    at += length;
    return all.subarray(Math.max(0, at - length - WINDOW), at - length);
  });

  const inWasm = (index: number): Buffer => {
    const error = inflater.inflate(places[index], places[index + 1], true);
    if (error !== InflateError.none) assert.fail(`${error}`);
    return inflater.buffer;
  };
  const byHandle = (index: number): number => {
    const bytes = compressed[index];
    native._handle.writeSync(Z_SYNC_FLUSH, bytes, 0, bytes.length, output, 0, output.length);
    return output.length - native._writeState[0];
  };
  const byFunction = (index: number): Buffer => {
    const dictionary = dictionaries[index];
    const history = dictionary.length > 0 ? { dictionary } : {};
    return inflateRawSync(compressed[index], { finishFlush: Z_SYNC_FLUSH, ...history });
  };
  const each = (way: (index: number) => unknown) => (): void => {
    for (let index = 0; index < perCall; index++) way(index);
  };

  return {
    name: `inflate ${Math.round(total / perCall)} B (${Math.round((end - SCRATCH_READ) / perCall)} B compressed)`,
    perCall,
    ways: {
      heartwire: each(inWasm),
      'zlib, private synchronous handle': each(byHandle),
      'inflateRawSync with a dictionary': each(byFunction),
    },
    verify() {
      for (const [index, bytes] of compressed.entries()) {
        bytes.copy(codec.memory, places[index], 0, bytes.length - TAIL.length);
      }
      for (const [index, message] of messages.entries()) {
        const memory = inWasm(index);
        const { offset, length } = inflater;
        assert.ok(memory.subarray(offset, offset + length).equals(message), 'heartwire');
        assert.ok(output.subarray(0, byHandle(index)).equals(message), 'handle');
        assert.ok(byFunction(index).equals(message), 'inflateRawSync');
      }
    },
  };
}

/** One message of 8 MiB, given in pieces as large as a read. */
function stream(label: string, whole: Buffer): MicroSuite {
  const compressed = deflateRawSync(whole, { finishFlush: Z_SYNC_FLUSH }).subarray(0, -TAIL.length);
  const overflow = new Assembly();
  const options = { takeover: false, windowBits: 15, maxMessageSize: MAX_MESSAGE_SIZE };
  const inflater = new Inflater(codec, codec.windows.take(), options, overflow);

  const inWasm = (): Buffer => {
    for (let at = 0; at < compressed.length; at += READ_SIZE) {
      const end = Math.min(at + READ_SIZE, compressed.length);
      inflater.append(compressed, at, end, true, compressed.length - end);
    }
    const error = inflater.finish(true);
    if (error !== InflateError.none) assert.fail(`${error}`);
    const { buffer, length } = inflater;
    overflow.clear(false);
    return buffer.subarray(0, length);
  };
  const byFunction = (): Buffer => inflateRawSync(compressed, { finishFlush: Z_SYNC_FLUSH });
  return {
    name: `inflate ${label}, 8 MiB`,
    perCall: 1,
    ways: { heartwire: inWasm, inflateRawSync: byFunction },
    verify() {
      assert.ok(inWasm().equals(whole), 'heartwire');
      assert.ok(byFunction().equals(whole), 'inflateRawSync');
    },
  };
}

/** Words in no order, the common ones more often: it compresses as prose does. */
function prose(byteLength: number): Buffer {
  let state = 7;
  const below = (bound: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
  const letters = 'eeeeeettttaaaaoooiiinnnsssrrhhlddcummfpgwybvk';
  const words = Array.from({ length: 4_000 }, () =>
    Array.from({ length: 2 + below(5) + below(5) }, () => letters[below(letters.length)]).join(''),
  );
  const text: string[] = [];
  for (let length = 0; length < byteLength; ) {
    const word = words[Math.floor((below(4_000) * below(4_000) * below(4_000)) / 4_000 ** 2)];
    text.push(below(12) === 0 ? `${word}.\n` : word);
    length += word.length + 1;
  }
  return Buffer.from(text.join(' ')).subarray(0, byteLength);
}

const LONG = 8 * 1024 * 1024;

export const suites = [
  { ...(await feed(160, 400)), long: true },
  await feed(470, 400),
  { ...(await feed(750, 200)), long: true },
  await feed(3_300, 40),
  stream('JSON', Buffer.from(snapshots(8).messages.join(''))),
  { ...stream('text', prose(LONG)), long: true },
];
