/** One connection's place in a recording: the first run of the sequence, then the second, again and again. */
import { monotonic } from '../harness/monotonic.js';
import { BINARY, frame } from './frames.js';
import type { Peer } from './peer.js';
import type { Recording } from './recording.js';

/** A message that tells when it was written, in 8 bytes that are filled in then. */
const STAMP = frame(BINARY, Buffer.alloc(8));
const STAMP_AT = STAMP.length - 8;

/** A recording that can be cut anywhere between frames without copying. */
class Run {
  readonly bytes: Buffer;
  /** Where each frame begins, and where the last one ends. */
  readonly edges: Float64Array;

  constructor(frames: readonly Buffer[]) {
    this.bytes = Buffer.concat(frames);
    this.edges = new Float64Array(frames.length + 1);
    for (const [i, frame] of frames.entries()) this.edges[i + 1] = this.edges[i] + frame.length;
  }
}

const runs = new Map<Recording, { first: Run; again: Run }>();

export class Replay {
  readonly #again: Run;
  #run: Run;
  #next = 0;

  constructor(recording: Recording) {
    const known = runs.get(recording) ?? { first: new Run(recording.first), again: new Run(recording.again) };
    runs.set(recording, known);
    this.#run = known.first;
    this.#again = known.again;
  }

  /** The next frames, `count` at most and about `bytes` at most: they, and how many they are. */
  take(count: number, bytes: number): { chunk: Buffer; taken: number } {
    const { edges } = this.#run;
    const start = this.#next;
    const most = Math.min(edges.length - 1, start + count);
    let end = start + 1;
    while (end < most && edges[end] - edges[start] < bytes) end++;
    const chunk = this.#run.bytes.subarray(edges[start], edges[end]);
    this.#next = end;
    if (end === edges.length - 1) {
      this.#run = this.#again;
      this.#next = 0;
    }
    return { chunk, taken: end - start };
  }

  /** Writes the next `count` frames at once, behind the time. */
  burst(peer: Peer, count: number): void {
    const chunks = [STAMP];
    for (let wanted = count; wanted > 0; ) {
      const { chunk, taken } = this.take(wanted, Number.POSITIVE_INFINITY);
      chunks.push(chunk);
      wanted -= taken;
    }
    const bytes = Buffer.concat(chunks);
    bytes.writeDoubleBE(monotonic(), STAMP_AT);
    peer.write(bytes);
  }
}
