/** Waits that an `AbortSignal` can end. */

import { HeartwireError } from './errors.js';

/** A wait was given up. */
export function aborted(signal: AbortSignal, what: string): HeartwireError {
  return new HeartwireError('ERR_ABORTED', `Aborted while ${what}`, { cause: signal.reason });
}

/** `promise`, or a rejection with `ERR_ABORTED` when `signal` comes first. */
export function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  what: string,
): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(aborted(signal, what));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** The chunks of `source`, each awaited unless `signal` comes first. */
export async function* abortable<T>(
  source: AsyncIterable<T> | Iterable<T>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T> {
  if (signal === undefined) {
    yield* source;
    return;
  }
  const chunks = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  try {
    for (;;) {
      const next = Promise.resolve(chunks.next());
      const { done, value } = await unlessAborted(next, signal, 'waiting for a chunk to send');
      if (done) return;
      yield value;
    }
  } finally {
    // Not awaited: a source that hangs would hang here as well.
    void Promise.resolve(chunks.return?.()).catch(() => {});
  }
}
