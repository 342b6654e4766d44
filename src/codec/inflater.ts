/**
 * Inflates the messages of one connection in linear memory (RFC 7692 §7.2.2), synchronously.
 *
 * When the server keeps its window from message to message ("context takeover"), a connection holds a window block,
 * and a message is inflated right behind the ones before it. Otherwise nothing is held between two messages: they are
 * inflated in a workspace that all connections of the thread share.
 */

import type { Codec } from './codec.js';

export interface InflaterOptions {
  /** The server keeps its window from message to message: `server_no_context_takeover` was not negotiated. */
  readonly takeover: boolean;
  /** Base-two logarithm of the server's window: 8–15. A distance beyond it is refused. */
  readonly windowBits: number;
  /** Most bytes an inflated message may have. */
  readonly maxMessageSize: number;
}

/** Where an inflated message gathers that does not fit where it was inflated; src/protocol/assembly.ts is one. */
export interface Overflow {
  readonly buffer: Buffer;
  readonly length: number;
  /** Makes room for `bytes` more. */
  reserve(bytes: number, exact: boolean): void;
  /** Copies [start, end) of `source` behind what is there. */
  append(source: Buffer, start: number, end: number): void;
}

/** What `inflate`, `append` and `finish` return. After anything but `none` the inflater is of no further use. */
export const InflateError = {
  none: 0,
  /** Not DEFLATE data, a distance that reaches too far back, or a message that ends within a block: 1007. */
  corrupt: 1,
  /** More than `maxMessageSize` bytes: 1009. At most 300 bytes too many have been inflated. */
  tooLarge: 2,
  /** A text message is not UTF-8: 1007. */
  invalidUtf8: 3,
} as const;

/**
 * A message is inflated by one `inflate()`, when all of its payload lies in linear memory, or by `append()` for each
 * piece, in order, and `finish()`. Then `kind`, `buffer`, `offset` and `length` say where it is.
 */
export class Inflater {
  /** What the last message is: one of `Kind`, for the message cursor. */
  kind = 0;
  /** Where it lies: linear memory (`codec.memory`), or the overflow's buffer, then at offset 0. */
  buffer: Buffer;
  offset = 0;
  length = 0;

  /**
   * @param window a block of `codec.windows`, taken before compression was offered (0, none left, means: do not
   *   offer it). The inflater owns it from now on; without takeover it goes back at once.
   * @param overflow is used only for messages in pieces and for large ones. It is empty when a message begins; after
   *   one that ended in it (`buffer` is not linear memory) whoever handed it in clears it.
   */
  constructor(codec: Codec, window: number, options: InflaterOptions, overflow: Overflow) {
    this.buffer = codec.memory;
    throw new Error(`not built yet ${window} ${options} ${overflow}`);
  }

  /**
   * A whole message (one frame with RSV1 and FIN, or zero bytes): its payload lies in [start, end) of linear memory,
   * without the `00 00 ff ff` that the sender removed. Behind it 16 bytes of memory can be read; nothing there is
   * written. Returns an `InflateError`.
   *
   * The message is valid until the next call of any inflater of this thread; `keep()` makes it last. Messages must be
   * inflated in the order they came in, each once: inflate only what is to be delivered now, or keep it.
   */
  inflate(start: number, end: number, text: boolean): number {
    throw new Error(`not built yet ${start} ${end} ${text}`);
  }

  /**
   * The next piece of a message: [start, end) of any buffer, linear memory too. It is copied when it cannot be inflated
   * yet; small pieces are gathered first. `text` is the same for all pieces. Returns an `InflateError`: limits and
   * UTF-8 are enforced while the message is under way.
   */
  append(source: Buffer, start: number, end: number, text: boolean): number {
    throw new Error(`not built yet ${source} ${start} ${end} ${text}`);
  }

  /** The message whose pieces were given to `append()` (none is fine) has no more. Returns an `InflateError`. */
  finish(text: boolean): number {
    throw new Error(`not built yet ${text}`);
  }

  /** The last message has to wait: moves it to the overflow, unless it is there. Look at `buffer`… again. */
  keep(): void {
    throw new Error('not built yet');
  }

  /** The connection has ended: the window goes back. Calling it again does nothing. */
  release(): void {
    throw new Error('not built yet');
  }
}

/**
 * Has the engine compile and optimise the inflater, in small slices between other work: its first call takes about
 * 0.3 ms, and the next 2 000 are slow. Happens once a thread; the first `Inflater` asks for it.
 */
export function warmUpInflater(codec: Codec): void {
  throw new Error(`not built yet ${codec}`);
}
