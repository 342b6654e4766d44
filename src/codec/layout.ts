/**
 * The map of linear memory, the mirror of assembly/layout.ts (test/codec/layout.test.ts compares them).
 * All in bytes; addresses are offsets into the memory.
 */

export const MEMORY_PAGES = 330;

export const REGISTERS = 0x400;
export const MASKING_KEYS = 0x1000;
export const MASKING_KEYS_SIZE = 0x1000;

export const READ_SIZE = 0x10000;
export const PEEK_SIZE = 0x1000;
export const SLAB_SIZE = 0x8000;

export const FRAME_TABLE = 0x10000;
export const FRAME_TABLE_SIZE = ((SLAB_SIZE + READ_SIZE) / 2) * 8;

export const SCRATCH = FRAME_TABLE + FRAME_TABLE_SIZE;
export const SCRATCH_READ = SCRATCH + SLAB_SIZE;

export const SEND_BLOCKS = 0x90000;
export const SEND_BLOCK_SIZE = 0x10000;
export const SEND_BLOCK_COUNT = 64;

export const SLABS = SEND_BLOCKS + SEND_BLOCK_SIZE * SEND_BLOCK_COUNT;
export const SLAB_COUNT = 512;

/** What `readFrames` says besides its result: indices into the i32 words at `REGISTERS`. */
export const Register = {
  consumed: 0,
  fragment: 1,
  utf8: 2,
  processed: 3,
  error: 4,
  pendingHeader: 5,
  pendingFirstByte: 6,
  pendingLength: 7,
  pendingKey: 8,
  lastMessage: 9,
  controls: 10,
  /** Means nothing. */
  ahead: 11,
} as const;

/** Bits of the `mode` that `readFrames` takes. */
export const READ_UNVALIDATED = 0x02;

/** Values of `Register.error`. */
export const FrameError = {
  none: 0,
  reservedBits: 1,
  reservedOpcode: 2,
  controlFragmented: 3,
  unexpectedContinuation: 4,
  expectedContinuation: 5,
  maskBit: 6,
  controlTooLong: 7,
  lengthNotMinimal: 8,
  lengthInvalid: 9,
  invalidUtf8: 10,
  messageTooLarge: 11,
} as const;

/** The second word of a frame table entry: payload length, kind (0: not a whole message) and first byte. */
export const LENGTH_MASK = 0xfffff;
export const KIND_SHIFT = 20;
export const KIND_MASK = 3;
export const FIRST_BYTE_SHIFT = 22;

export const Kind = { none: 0, binary: 1, text: 2, asciiText: 3 } as const;

/** In the UTF-8 state: continuation bytes missing; a byte above 0x7F was seen; and the state that means "wrong". */
export const UTF8_MISSING = 3;
export const UTF8_NON_ASCII = 1 << 24;
export const UTF8_INVALID = -1;
