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
  if (signal.aborted) {
    promise.catch(() => {});
    return Promise.reject(aborted(signal, what));
  }
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(aborted(signal, what));
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
