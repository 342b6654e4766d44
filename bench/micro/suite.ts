/** A micro-benchmark: one operation of the codec, done in several ways. Every other file here exports `suites`. */
export interface MicroSuite {
  /** The operation and its size: `mask 64 B`. */
  readonly name: string;
  /** How many frames or payloads one call handles; times are given for one of them. */
  readonly perCall: number;
  /** Left out unless it is asked for. */
  readonly long?: boolean;
  /** All ways have the same input and the same effect, which `verify` asserts before they are timed. */
  readonly ways: Record<string, () => unknown>;
  verify(): void;
}
