/** One message from a source of chunks, sent as fragments (RFC 6455 §5.4) at the pace the peer takes them. */

import { aborted, unlessAborted } from './abort.js';
import { UsageError } from './errors.js';
import { type Payload, payloadBytes } from './protocol/payload.js';

export type MessageSource = Blob | ReadableStream<Payload> | AsyncIterable<Payload> | Iterable<Payload>;

/** Where the fragments go. */
export interface FragmentSink {
  /** False: accepted, but wait. Throws when the connection is not open. */
  fragment(payload: string | Uint8Array, isText: boolean, fin: boolean): boolean;
  /** False: one more fragment of this kind would be refused. */
  hasRoom(payload: string | Uint8Array): boolean;
  flushed(): Promise<void>;
}

interface Chunks {
  next(): IteratorResult<Payload, unknown> | Promise<IteratorResult<Payload, unknown>>;
  return?(): unknown;
}

/**
 * Resolves when the last fragment has been accepted. `signal` ends the wait for a chunk as well.
 * @throws UsageError `ERR_INVALID_PAYLOAD`; what the source throws; HeartwireError `ERR_ABORTED`
 */
export async function sendFragments(
  source: MessageSource,
  sink: FragmentSink,
  signal: AbortSignal,
): Promise<void> {
  const chunks = chunksOf(source);
  let finished = false;
  try {
    let isText: boolean | undefined;
    for (;;) {
      if (signal.aborted) throw aborted(signal, 'waiting for a chunk to send');
      const { done, chunk } = await unlessAborted(nextOf(chunks), signal, 'waiting for a chunk to send');
      finished = done;
      if (done) break;
      const payload = typeof chunk === 'string' ? chunk : payloadBytes(chunk);
      isText ??= typeof payload === 'string';
      if (isText !== (typeof payload === 'string')) {
        throw new UsageError(
          'ERR_INVALID_PAYLOAD',
          'The chunks of one message are all strings, or all bytes',
        );
      }
      if (!sink.hasRoom(payload)) await unlessAborted(sink.flushed(), signal, 'waiting for room');
      if (!sink.fragment(payload, isText, false)) {
        await unlessAborted(sink.flushed(), signal, 'waiting for room');
      }
    }
    sink.fragment(isText ? '' : new Uint8Array(0), isText ?? false, true);
  } finally {
    // Not awaited: a source that hangs would hang here as well.
    if (!finished) void leave(chunks).catch(() => {});
  }
}

async function leave(chunks: Chunks): Promise<void> {
  await chunks.return?.();
}

/** As `for await` does it: what a plain iterator yields may be a promise. */
async function nextOf(chunks: Chunks): Promise<{ done: boolean; chunk: Payload }> {
  const { done, value } = await chunks.next();
  return { done: done === true, chunk: (await value) as Payload };
}

/** @throws UsageError `ERR_INVALID_PAYLOAD` */
function chunksOf(source: MessageSource): Chunks {
  if (source instanceof Blob) return chunksOf(source.stream() as ReadableStream<Payload>);
  if (source instanceof ReadableStream) {
    // Its own iterator cannot be left while it waits for a chunk.
    const reader = source.getReader();
    return {
      next: () => reader.read() as Promise<IteratorResult<Payload, unknown>>,
      return: () => reader.cancel(),
    };
  }
  const given: Partial<AsyncIterable<Payload> & Iterable<Payload>> | undefined | null =
    typeof source === 'object' ? source : undefined;
  const iterator = given?.[Symbol.asyncIterator]?.() ?? given?.[Symbol.iterator]?.();
  if (iterator !== undefined) return iterator;
  throw new UsageError(
    'ERR_INVALID_PAYLOAD',
    'A source of chunks is a Blob, an iterable or an async iterable',
  );
}
