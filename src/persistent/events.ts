/** Listeners by name. What a listener throws reaches the process as any uncaught exception, and no other listener. */

import { rethrow } from '../protocol/callback.js';

export class Events<Map> {
  readonly #listeners = new globalThis.Map<keyof Map, ((event: never) => void)[]>();

  on<Name extends keyof Map>(name: Name, listener: (event: Map[Name]) => void): void {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
  }

  off<Name extends keyof Map>(name: Name, listener: (event: Map[Name]) => void): void {
    const listeners = this.#listeners.get(name)?.filter((each) => each !== listener);
    if (listeners !== undefined) this.#listeners.set(name, listeners);
  }

  emit<Name extends keyof Map>(name: Name, event: Map[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        (listener as (event: Map[Name]) => void)(event);
      } catch (thrown) {
        rethrow(thrown);
      }
    }
  }
}
