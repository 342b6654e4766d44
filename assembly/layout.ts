// The map of linear memory. `src/codec/layout.ts` mirrors it; test/codec/layout.test.ts compares the two.
// The memory is fixed: growing it would detach every view, and with it the buffer a socket reads into.

/** 64 MiB in pages of 64 KiB. Pages that were never touched cost address space only. */
export const MEMORY_PAGES: u32 = 1024;

/** What `readFrames` returns besides its result: one i32 per `Register`. */
export const REGISTERS: u32 = 0x400;

/** Masking keys not yet used, from a cryptographic source (RFC 6455 §10.3). */
export const MASKING_KEYS: u32 = 0x1000;
export const MASKING_KEYS_SIZE: u32 = 0x1000;

/** Most bytes one read may bring: larger reads leave the second-level cache and are slower. */
export const READ_SIZE: u32 = 0x10000;

/** A slab holds an incomplete frame and one read behind it. */
export const SLAB_SIZE: u32 = 0x20000;

/** Two i32 per frame. A slab full of the shortest frames (2 bytes) fits: one call always parses a whole read. */
export const FRAME_TABLE: u32 = 0x10000;
export const FRAME_TABLE_SIZE: u32 = (SLAB_SIZE / 2) * 8;

/** Shared by all connections for the length of one read. The first half takes a tail put back before a read. */
export const SCRATCH: u32 = FRAME_TABLE + FRAME_TABLE_SIZE;

/** Frames are built, masked and written from here, a block per connection and tick. */
export const SEND_BLOCKS: u32 = SCRATCH + SLAB_SIZE;
export const SEND_BLOCK_SIZE: u32 = 0x10000;
export const SEND_BLOCK_COUNT: u32 = 64;

export const SLABS: u32 = SEND_BLOCKS + SEND_BLOCK_SIZE * SEND_BLOCK_COUNT;
/** The last page stays unused: SIMD loads may look up to 15 bytes past a payload. */
export const SLAB_COUNT: u32 = (MEMORY_PAGES * 0x10000 - 0x10000 - SLABS) / SLAB_SIZE;
