/** Blocks of linear memory that connections lease. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BlockPool } from '../../src/codec/block-pool.js';
import { Codec } from '../../src/codec/codec.js';
import {
  SEND_BLOCK_COUNT,
  SEND_BLOCK_SIZE,
  SEND_BLOCKS,
  SLAB_COUNT,
  SLAB_SIZE,
  SLABS,
} from '../../src/codec/layout.js';

describe('a pool of blocks', () => {
  test('gives every block once, then 0', () => {
    const pool = new BlockPool(0x100, 0x10, 3);
    assert.deepEqual([pool.take(), pool.take(), pool.take(), pool.take()], [0x100, 0x110, 0x120, 0]);
    assert.equal(pool.available, 0);
  });

  test('gives the block first that came back last, and untouched ones only when none came back', () => {
    const pool = new BlockPool(0x100, 0x10, 4);
    const [first, second] = [pool.take(), pool.take()];
    pool.give(first);
    pool.give(second);
    assert.equal(pool.available, 4);
    assert.deepEqual([pool.take(), pool.take(), pool.take()], [second, first, 0x120]);
  });

  test('slabs, send blocks and the staging block of a codec lie in their regions and apart', () => {
    const codec = new Codec();
    const takeAll = (pool: BlockPool): number[] => {
      const blocks: number[] = [];
      for (let block = pool.take(); block !== 0; block = pool.take()) blocks.push(block);
      return blocks;
    };
    const addresses = (start: number, size: number, count: number): number[] =>
      Array.from({ length: count }, (_, i) => start + i * size);
    assert.deepEqual(takeAll(codec.slabs), addresses(SLABS, SLAB_SIZE, SLAB_COUNT));
    assert.deepEqual(
      [...takeAll(codec.sendBlocks), codec.stagingBlock],
      addresses(SEND_BLOCKS, SEND_BLOCK_SIZE, SEND_BLOCK_COUNT),
    );
  });
});
