/** `bufferutil` brings no types of its own. */
declare module 'bufferutil' {
  const bufferutil: {
    mask(source: Uint8Array, mask: Uint8Array, output: Uint8Array, offset: number, length: number): void;
    unmask(buffer: Uint8Array, mask: Uint8Array): void;
  };
  export default bufferutil;
}
