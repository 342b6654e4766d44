/**
 * The map of linear memory, the mirror of assembly/layout.ts (test/codec/layout.test.ts compares them).
 * All in bytes; addresses are offsets into the memory.
 */

export const MEMORY_PAGES = 3150;

export const REGISTERS = 0x400;
export const MASKING_KEYS = 0x1000;
export const MASKING_KEYS_SIZE = 0x1000;

export const DEFLATE_CODES = 0x2000;
export const DEFLATE_CODES_SIZE = 0x1000;

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

export const INFLATE_TABLES = SLABS + SLAB_SIZE * SLAB_COUNT;
export const INFLATE_TABLES_SIZE = 0x10000;
export const INFLATE_INPUT = INFLATE_TABLES + INFLATE_TABLES_SIZE;
export const INFLATE_INPUT_SIZE = 0x8000;
export const WORKSPACE = INFLATE_INPUT + INFLATE_INPUT_SIZE;
export const WORKSPACE_SIZE = 0x18000;

export const WINDOWS = WORKSPACE + WORKSPACE_SIZE;
export const WINDOW_BLOCK_SIZE = 0xa000;
export const WINDOW_COUNT = 4096;

export const DEFLATE_BLOCKS = WINDOWS + WINDOW_BLOCK_SIZE * WINDOW_COUNT;
export const DEFLATE_BLOCK_SIZE = 0x10000;
export const DEFLATE_BLOCK_COUNT = 257;
export const DEFLATE_TABLE_SIZE = 0x4000;

// Enums, because the bundler writes their values where they are used. A constant would be a variable of the bundle,
// loaded and checked for every message (receive, 16 B: 7.8 ns in the delivery loop against 7.0).

/** What `readFrames` says besides its result: indices into the i32 words at `REGISTERS`. */
export enum Register {
  consumed = 0,
  fragment = 1,
  utf8 = 2,
  processed = 3,
  error = 4,
  pendingHeader = 5,
  pendingFirstByte = 6,
  pendingLength = 7,
  pendingKey = 8,
  lastMessage = 9,
  controls = 10,
  /** Means nothing. */
  ahead = 11,
}

/** Bits of the `mode` that `readFrames` takes. */
export const READ_UNVALIDATED = 0x02;

/** Values of `Register.error`. */
export enum FrameError {
  none = 0,
  reservedBits = 1,
  reservedOpcode = 2,
  controlFragmented = 3,
  unexpectedContinuation = 4,
  expectedContinuation = 5,
  maskBit = 6,
  controlTooLong = 7,
  lengthNotMinimal = 8,
  lengthInvalid = 9,
  invalidUtf8 = 10,
  messageTooLarge = 11,
}

/** What `inflate` says besides its result: indices into the i32 words at `INFLATE_TABLES`. */
export const InflateState = {
  /** In the input, in bits. */
  position: 0,
  output: 1,
} as const;

/** What `inflate` returns: why it stopped. */
export const InflateResult = { ended: 0, needsInput: 1, needsRoom: 2, corrupt: 3 } as const;

/** The last argument of `inflate`: a message begins; it goes on; it goes on after others were inflated. */
export const InflateResume = { start: 0, goOn: 1, restore: 2 } as const;

/** What a message that others interrupt must keep of `INFLATE_TABLES`. */
export const INFLATE_STATE_SIZE = 0x180;
/** How far behind the end that it was given `inflate` writes. */
export const INFLATE_OVERRUN = 320;
/** The longest history that DEFLATE knows. */
export const LONGEST_WINDOW = 0x8000;

/** The second word of a frame table entry: payload length, kind (0: not a whole message) and first byte. */
export enum Entry {
  lengthMask = 0xfffff,
  kindShift = 20,
  kindMask = 3,
  firstByteShift = 22,
}

export enum Kind {
  none = 0,
  binary = 1,
  text = 2,
  asciiText = 3,
}

/** In the UTF-8 state: continuation bytes missing; a byte above 0x7F was seen; and the state that means "wrong". */
export const UTF8_MISSING = 3;
export const UTF8_NON_ASCII = 1 << 24;
export const UTF8_INVALID = -1;
