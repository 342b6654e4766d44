/**
 * The WASM module and its memory: loaded and made at the first connect, shared by all connections of a thread.
 * What frames mean is not known here.
 */

import { randomFillSync } from 'node:crypto';
import { HeartwireError } from '../errors.js';
import { BlockPool } from './block-pool.js';
import {
  DEFLATE_BLOCK_COUNT,
  DEFLATE_BLOCK_SIZE,
  DEFLATE_BLOCKS,
  FRAME_TABLE,
  FRAME_TABLE_SIZE,
  INFLATE_TABLES,
  MASKING_KEYS,
  MASKING_KEYS_SIZE,
  MEMORY_PAGES,
  PEEK_SIZE,
  READ_SIZE,
  REGISTERS,
  SCRATCH_READ,
  SEND_BLOCK_COUNT,
  SEND_BLOCK_SIZE,
  SEND_BLOCKS,
  SLAB_COUNT,
  SLAB_SIZE,
  SLABS,
  WINDOW_BLOCK_SIZE,
  WINDOW_COUNT,
  WINDOWS,
} from './layout.js';
import { MODULE_BYTES } from './module-bytes.js';

/** The module's exports; assembly/ documents each. Plain numbers cross in 0.3–3 ns. */
interface Exports {
  readFrames(
    start: number,
    end: number,
    mode: number,
    limit: number,
    assembled: number,
    fragment: number,
    utf8: number,
    processed: number,
  ): number;
  writeHeader(
    at: number,
    firstByte: number,
    length: number,
    lengthHigh: number,
    masked: number,
    key: number,
  ): number;
  sealFrame(at: number, firstByte: number, length: number, key: number): void;
  mask(start: number, end: number, key: number, phase: number): void;
  validateUtf8(start: number, end: number, state: number): number;
  prepareDeflate(): void;
  deflate(table: number, history: number, start: number, end: number, out: number, reach: number): number;
  slideDeflate(table: number, shift: number): void;
  prepareInflate(): void;
  inflate(
    input: number,
    inputEnd: number,
    output: number,
    outputEnd: number,
    floor: number,
    window: number,
    resume: number,
  ): number;
}

export class Codec {
  readonly readFrames: Exports['readFrames'];
  readonly writeHeader: Exports['writeHeader'];
  readonly sealFrame: Exports['sealFrame'];
  readonly mask: Exports['mask'];
  readonly validateUtf8: Exports['validateUtf8'];
  readonly prepareDeflate: Exports['prepareDeflate'];
  readonly deflate: Exports['deflate'];
  readonly slideDeflate: Exports['slideDeflate'];
  readonly prepareInflate: Exports['prepareInflate'];
  readonly inflate: Exports['inflate'];

  /** All of linear memory. */
  readonly memory: Buffer;
  readonly registers: Int32Array;
  readonly inflateState: Int32Array;
  /** Two words per frame: payload address, flags and length. */
  readonly frameTable: Int32Array;
  /** Where reads land. */
  readonly scratch: Buffer;
  /** The start of scratch, for a read that should bring a large frame's header and little of its payload. */
  readonly peek: Buffer;

  readonly slabs = new BlockPool(SLABS, SLAB_SIZE, SLAB_COUNT);
  /** Windows of connections that inflate with context takeover; 0 from `take()`: do not offer compression. */
  readonly windows = new BlockPool(WINDOWS, WINDOW_BLOCK_SIZE, WINDOW_COUNT);
  /** Histories of connections that compress with context takeover. */
  readonly deflateBlocks = new BlockPool(DEFLATE_BLOCKS, DEFLATE_BLOCK_SIZE, DEFLATE_BLOCK_COUNT - 1);
  /** The last of them is never leased: messages without history are compressed here. */
  readonly sharedDeflateBlock = DEFLATE_BLOCKS + DEFLATE_BLOCK_SIZE * (DEFLATE_BLOCK_COUNT - 1);
  readonly sendBlocks = new BlockPool(SEND_BLOCKS, SEND_BLOCK_SIZE, SEND_BLOCK_COUNT - 1);
  /** The last send block is never leased: frames that must be copied out are built here. */
  readonly stagingBlock = SEND_BLOCKS + SEND_BLOCK_SIZE * (SEND_BLOCK_COUNT - 1);

  /** Scratch and the frame table belong to one walk at a time (set by the receiver). */
  walking = false;
  /** How many walks there have been, and where the last one's bytes end: for who copies a walk's messages at once. */
  walks = 0;
  walkEnd = 0;

  readonly #keys: Int32Array;
  #nextKey: number;

  constructor() {
    const memory = fixedMemory();
    const module = new WebAssembly.Module(Buffer.from(MODULE_BYTES, 'base64'));
    const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
    this.readFrames = exports.readFrames;
    this.writeHeader = exports.writeHeader;
    this.sealFrame = exports.sealFrame;
    this.mask = exports.mask;
    this.validateUtf8 = exports.validateUtf8;
    this.prepareDeflate = exports.prepareDeflate;
    this.deflate = exports.deflate;
    this.slideDeflate = exports.slideDeflate;
    this.prepareInflate = exports.prepareInflate;
    this.inflate = exports.inflate;

    this.memory = Buffer.from(memory.buffer);
    this.registers = new Int32Array(memory.buffer, REGISTERS, 16);
    this.inflateState = new Int32Array(memory.buffer, INFLATE_TABLES, 2);
    this.frameTable = new Int32Array(memory.buffer, FRAME_TABLE, FRAME_TABLE_SIZE / 4);
    this.scratch = this.memory.subarray(SCRATCH_READ, SCRATCH_READ + READ_SIZE);
    this.peek = this.scratch.subarray(0, PEEK_SIZE);
    this.#keys = new Int32Array(memory.buffer, MASKING_KEYS, MASKING_KEYS_SIZE / 4);
    this.#nextKey = this.#keys.length;
  }

  /** A fresh masking key from the system's cryptographic source, never used before (RFC 6455 §5.3, §10.3). */
  maskingKey(): number {
    if (this.#nextKey === this.#keys.length) {
      randomFillSync(this.#keys);
      this.#nextKey = 0;
    }
    return this.#keys[this.#nextKey++];
  }
}

function fixedMemory(): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES });
  } catch (cause) {
    throw new HeartwireError(
      'ERR_WASM_MEMORY',
      'The WebAssembly memory could not be made. Each one reserves gigabytes of address space (not of RAM): ' +
        'raise the limit (`ulimit -v unlimited`), or start Node with --disable-wasm-trap-handler',
      { cause },
    );
  }
}

let shared: Codec | undefined;

/** This thread's codec. */
export function sharedCodec(): Codec {
  shared ??= new Codec();
  return shared;
}
