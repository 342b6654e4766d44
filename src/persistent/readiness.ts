/** The promise of being ready: kept once, and made anew after a loss. */

import { type Deferred, deferred } from './deferred.js';

export class Readiness {
  #current = unhandled();
  #kept = false;

  get promise(): Promise<void> {
    return this.#current.promise;
  }

  keep(): void {
    this.#kept = true;
    this.#current.resolve();
  }

  /** It is not ready any more; those who wait already go on waiting. */
  lose(): void {
    if (this.#kept) this.#current = unhandled();
    this.#kept = false;
  }

  /** It never will be. */
  break(error: Error): void {
    this.lose();
    this.#current.reject(error);
  }
}

/** Nobody need wait for it. */
function unhandled(): Deferred<void> {
  const made = deferred<void>();
  made.promise.catch(() => {});
  return made;
}
