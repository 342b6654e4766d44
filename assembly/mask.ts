// Masking, RFC 6455 §5.3: byte i of the payload is XORed with byte i mod 4 of the masking key.
// XOR is its own inverse, so the same function masks and unmasks.

/**
 * XORs [start, end) in place. `key` holds the masking key as it stands on the wire, read as a little-endian
 * word. `phase` is the position of `start` in its frame's payload (only its two low bits matter), so that a
 * payload can be masked in pieces.
 */
export function mask(start: usize, end: usize, key: u32, phase: u32): void {
  const word = rotr<u32>(key, (phase & 3) << 3);
  let at = start;

  const pattern = i32x4.splat(word);
  while (at + 64 <= end) {
    v128.store(at, v128.xor(v128.load(at), pattern));
    v128.store(at + 16, v128.xor(v128.load(at + 16), pattern));
    v128.store(at + 32, v128.xor(v128.load(at + 32), pattern));
    v128.store(at + 48, v128.xor(v128.load(at + 48), pattern));
    at += 64;
  }
  while (at + 16 <= end) {
    v128.store(at, v128.xor(v128.load(at), pattern));
    at += 16;
  }

  // Fewer than 16 bytes are left. Every step so far was a multiple of 4, so the phase has not moved.
  if (at + 8 <= end) {
    store<u64>(at, load<u64>(at) ^ (((<u64>word) << 32) | <u64>word));
    at += 8;
  }
  if (at + 4 <= end) {
    store<u32>(at, load<u32>(at) ^ word);
    at += 4;
  }
  let rest = word;
  while (at < end) {
    store<u8>(at, load<u8>(at) ^ <u8>rest);
    rest >>= 8;
    at++;
  }
}
