/**
 * Masking, one byte at a time as RFC 6455 §5.3 writes it: transformed-octet-i = original-octet-i XOR
 * masking-key-octet-(i MOD 4). `phase` is the i of the first byte given.
 */
export function mask(bytes: Uint8Array, key: readonly number[], phase: number): Uint8Array {
  const transformed = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) transformed[i] = bytes[i] ^ key[(phase + i) % 4];
  return transformed;
}
