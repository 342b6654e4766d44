/** Opcodes, RFC 6455 §5.2, and the bits above them in a frame's first byte. */
export const Opcode = {
  continuation: 0x0,
  text: 0x1,
  binary: 0x2,
  close: 0x8,
  ping: 0x9,
  pong: 0xa,
} as const;

export const FIN = 0x80;
export const RSV1 = 0x40;
export const OPCODE_MASK = 0x0f;
/** Opcodes from 8 on are control frames. */
export const CONTROL = 0x08;
