/**
 * Compressing what a client sends, so that the next line can go out: nothing that waits for a thread pool. zlib's
 * public functions are synchronous only without a history.
 */
import assert from 'node:assert/strict';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { sharedCodec } from '../../src/codec/codec.js';
import { Deflater } from '../../src/codec/deflater.js';
import { deltas, mixed, snapshots } from '../harness/market-data.js';
import type { MicroSuite } from './suite.js';

const codec = sharedCodec();
const OUT = codec.stagingBlock;
const WHOLE = { finishFlush: constants.Z_SYNC_FLUSH };

function deflate(label: string, texts: readonly string[]): MicroSuite {
  const messages = texts.map((text) => Buffer.from(text));
  const inWasm = (takeover: boolean) => {
    const deflater = new Deflater(codec, { takeover, windowBits: 15 });
    let next = 0;
    return (): number => {
      const message = messages[next++ % messages.length];
      deflater.begin();
      codec.memory.set(message, deflater.input());
      return deflater.compress(message.length, OUT) - OUT;
    };
  };
  const byZlib = (level: number) => {
    let next = 0;
    return (): Buffer => deflateRawSync(messages[next++ % messages.length], { level, ...WHOLE });
  };
  const ways = { heartwire: inWasm(true), 'heartwire, no history': inWasm(false) };
  return {
    name: `deflate, ${label}`,
    perCall: 1,
    ways: { ...ways, 'deflateRawSync, level 1': byZlib(1), 'deflateRawSync, level 6': byZlib(6) },
    verify() {
      const sizes = { input: 0, heartwire: 0, 'no history': 0, 'level 1': 0, 'level 6': 0 };
      const pieces: Buffer[] = [];
      const [own, forgetful, fast, usual] = [inWasm(true), inWasm(false), byZlib(1), byZlib(6)];
      for (const message of messages) {
        const size = own();
        pieces.push(Buffer.from(codec.memory.subarray(OUT, OUT + size)));
        sizes.input += message.length;
        sizes.heartwire += size;
        const alone = forgetful();
        sizes['no history'] += alone;
        assert.ok(
          message.equals(inflateRawSync(codec.memory.subarray(OUT, OUT + alone), WHOLE)),
          'no history',
        );
        sizes['level 1'] += fast().length;
        sizes['level 6'] += usual().length;
      }
      assert.ok(Buffer.concat(messages).equals(inflateRawSync(Buffer.concat(pieces), WHOLE)), 'heartwire');
      const { input, ...outputs } = sizes;
      const ratios = Object.entries(outputs).map(([way, size]) => `${way} ${(input / size).toFixed(2)}`);
      console.log(`  to a part of its size: ${ratios.join(', ')}`);
    },
  };
}

const book = snapshots(1).messages[0];

export const suites = [
  deflate('150–700 B', deltas(512).messages),
  {
    ...deflate(
      '1–4 KiB',
      mixed(512).messages.filter(({ length }) => length >= 1024),
    ),
    long: true,
  },
  deflate(
    '16 KiB',
    Array.from({ length: 16 }, (_, i) => book.slice(i * 16_384, (i + 1) * 16_384)),
  ),
];
