/**
 * zlib as the reference for inflating: given a message byte by byte, so that it tells the first bit that is wrong, and
 * what it made of everything before.
 */
import { constants, createInflateRaw, type InflateRaw } from 'node:zlib';

/** `complete`: the message may end here. `incomplete`: not wrong so far. */
export type Outcome = 'complete' | 'incomplete' | 'corrupt';

export interface Inflated {
  outcome: Outcome;
  output: Buffer;
  /** How much output there is after each byte of the message, as far as it is not wrong. */
  lengths: number[];
}

/** Node's private synchronous handle of a stream; the public functions take whole streams only. */
interface NativeHandle {
  writeSync(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputLength: number,
    output: Uint8Array,
    outputOffset: number,
    outputLength: number,
  ): void;
  onerror: () => void;
  close(): void;
}

const TAIL = Buffer.from('0000ffff', 'hex');
/** A last stored block of one byte: at a block's border, and nowhere else, it means just that byte. */
const PROBE = Buffer.from('010100feff41', 'hex');
const LONGEST_WINDOW = 0x8000;

/** One DEFLATE stream, up to the end of its last block. */
class ZlibStream {
  readonly #handle: NativeHandle;
  /** What is left of output and input after a write. */
  readonly #left: Uint32Array;
  readonly #output: Buffer;
  written: number;
  failed = false;

  constructor(windowBits: number, output: Buffer, written: number) {
    const history = output.subarray(Math.max(0, written - LONGEST_WINDOW), written);
    const options = history.length > 0 ? { windowBits, dictionary: history } : { windowBits };
    const stream = createInflateRaw(options) as InflateRaw & {
      _handle: NativeHandle;
      _writeState: Uint32Array;
    };
    this.#handle = stream._handle;
    this.#handle.onerror = () => {
      this.failed = true;
    };
    this.#left = stream._writeState;
    this.#output = output;
    this.written = written;
  }

  /**
   * Returns how many bytes were taken; none behind the last block. When it failed, `written` is what it was before.
   * With `room` 1 there is no more than one byte that it can have written since, and a distance reaches no further
   * back than the window: zlib lets it reach as far as the output of the same call.
   */
  write(input: Buffer, room = this.#output.length - this.written): number {
    let taken = 0;
    while (true) {
      const { Z_SYNC_FLUSH } = constants;
      this.#handle.writeSync(
        Z_SYNC_FLUSH,
        input,
        taken,
        input.length - taken,
        this.#output,
        this.written,
        room,
      );
      if (this.failed) return taken;
      const [roomLeft, inputLeft] = this.#left;
      this.written += room - roomLeft;
      taken = input.length - inputLeft;
      if (roomLeft > 0) return taken;
    }
  }

  close(): void {
    this.#handle.close();
  }
}

/**
 * Inflates a message without the `00 00 ff ff` that its sender removed. Behind a last block DEFLATE starts again at the
 * next byte, with what is there so far as history (RFC 7692 §7.2.3.4–5). `room` is more than the message can have.
 */
export function zlibInflate(payload: Buffer, room: number, windowBits = 15): Inflated {
  const output = Buffer.allocUnsafe(room + TAIL.length + PROBE.length);
  const slowly = windowBits < 15 ? 0 : payload.length;
  const result = inflateInto(output, payload, windowBits, slowly);
  if (result.outcome !== 'corrupt') return result;
  // zlib does not say what it wrote in a call that fails: asked for one byte, no more than that, if it is not the guess.
  let length = 0;
  for (const guess of [0x55, 0xaa]) {
    length = inflateInto(output, payload, windowBits, Math.min(slowly, result.taken), guess).output.length;
    if (output[length] !== guess) return { ...result, output: output.subarray(0, length + 1) };
  }
  return { ...result, output: output.subarray(0, length) };
}

/** From the byte at `slowly` on the output is asked for byte by byte, of which each is `guess` before. */
function inflateInto(
  output: Buffer,
  payload: Buffer,
  windowBits: number,
  slowly: number,
  guess = 0,
): Inflated & { taken: number } {
  let stream = new ZlibStream(windowBits, output, 0);
  let at = 0;
  const lengths: number[] = [];
  const stop = (outcome: Outcome, length: number): Inflated & { taken: number } => {
    stream.close();
    return { outcome, output: output.subarray(0, length), lengths, taken: at };
  };
  while (at < payload.length) {
    if (at >= slowly) output.fill(guess, stream.written, stream.written + 0x1000);
    const taken = stream.write(payload.subarray(at, at + 1), at >= slowly ? 1 : undefined);
    if (stream.failed) return stop('corrupt', stream.written);
    if (taken === 0) {
      const { written } = stream;
      stream.close();
      stream = new ZlibStream(windowBits, output, written);
    }
    at += taken;
    if (taken > 0) lengths.push(stream.written);
  }

  const length = stream.written;
  // Behind a last block, and before the first, a message may end as well: nothing is missing.
  const taken = payload.length === 0 ? 0 : stream.write(TAIL);
  if (taken === 0 && !stream.failed) return stop('complete', length);
  if (stream.failed || taken < TAIL.length || stream.written > length) return stop('incomplete', length);
  // The tail may be what was missing of a last block.
  const isLast = stream.write(PROBE) === 0 && !stream.failed;
  const atBorder = !stream.failed && stream.written === length + 1 && stream.write(PROBE) === 0;
  return stop(isLast || atBorder ? 'complete' : 'incomplete', length);
}
