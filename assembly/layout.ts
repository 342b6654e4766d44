// The map of linear memory. `src/codec/layout.ts` mirrors it; test/codec/layout.test.ts compares the two.
// The memory is fixed: growing it would detach every view, and with it the buffer a socket reads into.

/** Memory in pages of 64 KiB (197 MiB). Pages that were never touched cost address space only. */
export const MEMORY_PAGES: u32 = 3150;

/** What `readFrames` returns besides its result: one i32 per `Register`. */
export const REGISTERS: u32 = 0x400;

/** Masking keys not yet used, from a cryptographic source (RFC 6455 §10.3). */
export const MASKING_KEYS: u32 = 0x1000;
export const MASKING_KEYS_SIZE: u32 = 0x1000;

/** What the compressor writes for a literal, a length and a distance (assembly/deflate.ts). */
export const DEFLATE_CODES: u32 = 0x2000;
export const DEFLATE_CODES_SIZE: u32 = 0x1000;

/** Most bytes one read may bring: larger reads leave the second-level cache and are slower. */
export const READ_SIZE: u32 = 0x10000;
/** A read that should bring the end of one large frame, the header of the next, and little that must be copied. */
export const PEEK_SIZE: u32 = 0x1000;

/** A slab keeps the start of a frame between two reads. */
export const SLAB_SIZE: u32 = 0x8000;

/** Two i32 per frame. The shortest frames (2 bytes) fit: one call always parses a whole read and what was kept. */
export const FRAME_TABLE: u32 = 0x10000;
export const FRAME_TABLE_SIZE: u32 = ((SLAB_SIZE + READ_SIZE) / 2) * 8;

/** Shared by all connections for the length of one read. What was kept is put back in front of where reads land. */
export const SCRATCH: u32 = FRAME_TABLE + FRAME_TABLE_SIZE;
export const SCRATCH_READ: u32 = SCRATCH + SLAB_SIZE;

/** Frames are built, masked and written from here, a block per connection and tick. */
export const SEND_BLOCKS: u32 = 0x90000;
export const SEND_BLOCK_SIZE: u32 = 0x10000;
export const SEND_BLOCK_COUNT: u32 = 64;

export const SLABS: u32 = SEND_BLOCKS + SEND_BLOCK_SIZE * SEND_BLOCK_COUNT;
export const SLAB_COUNT: u32 = 512;

/** The inflater's state and tables (assembly/inflate.ts). */
export const INFLATE_TABLES: u32 = SLABS + SLAB_SIZE * SLAB_COUNT;
export const INFLATE_TABLES_SIZE: u32 = 0x10000;
/** What a message that others interrupt must keep of it: the state, and the code lengths of a block. */
export const INFLATE_STATE_SIZE: u32 = 0x180;
/** How far behind the end that it was given `inflate` writes. */
export const INFLATE_OVERRUN: u32 = 320;
/** The longest history that DEFLATE knows (RFC 1951 §2). */
export const LONGEST_WINDOW: u32 = 0x8000;

/** Compressed pieces of one message, joined. */
export const INFLATE_INPUT: u32 = INFLATE_TABLES + INFLATE_TABLES_SIZE;
export const INFLATE_INPUT_SIZE: u32 = 0x8000;

/** Where messages are inflated whose server keeps no window; shared by all connections. */
export const WORKSPACE: u32 = INFLATE_INPUT + INFLATE_INPUT_SIZE;
export const WORKSPACE_SIZE: u32 = 0x18000;

/**
 * History of connections that inflate with context takeover, and room for what is inflated next: 4 096 of them. Every
 * 8 KiB of output the last 32 slide to a block's start. Blocks of 48 KiB make messages 2–5 % faster, of 64 and 128 no
 * more than 2 % beyond that; but a connection that has received more than a block keeps all of it resident (bench:
 * compressed-fleet).
 */
export const WINDOWS: u32 = WORKSPACE + WORKSPACE_SIZE;
export const WINDOW_BLOCK_SIZE: u32 = 0xa000;
export const WINDOW_COUNT: u32 = 4096;

/**
 * What a connection compresses, behind what it has compressed: a hash table, then bytes. 256 for connections that keep
 * their history from message to message; the last is shared by all others.
 */
export const DEFLATE_BLOCKS: u32 = WINDOWS + WINDOW_BLOCK_SIZE * WINDOW_COUNT;
export const DEFLATE_BLOCK_SIZE: u32 = 0x10000;
export const DEFLATE_BLOCK_COUNT: u32 = 257;
export const DEFLATE_TABLE_SIZE: u32 = 0x4000;
