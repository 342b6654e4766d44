/** The user's callbacks run inside a walk over a read: nothing they do may end it halfway. */

/**
 * An exception of the user's reaches the process like every uncaught one, after the walk (lease rule 5). From a
 * microtask, not a tick: an exception in a tick aborts the native read callback that it runs in, which then forgets
 * where the next read was to land.
 */
export function rethrow(thrown: unknown): void {
  queueMicrotask(() => {
    throw thrown;
  });
}

let warned = false;

/** `onMessage` returned something. A promise means that the message would be used after it has expired. */
export function warnOfPromise(result: unknown): void {
  if (warned || typeof (result as { then?: unknown } | null)?.then !== 'function') return;
  warned = true;
  process.emitWarning(
    'onMessage returned a promise. The message expires when the callback returns, before anything awaited: ' +
      'take text(), json() or copy() first, and start asynchronous work from there.',
    { type: 'HeartwireWarning', code: 'ERR_ASYNC_ON_MESSAGE' },
  );
}
