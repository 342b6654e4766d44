/** What the venue allows us to connect: how often, and how many at a time. Both count for the whole process, by name. */

import { ConnectionBudget, sharedBudget, type Turn } from './connection-budget.js';
import { hostOf } from './failure.js';
import type { PersistentOptions } from './persistent-options.js';

/** Connections of this process, by host or by the name under which several hosts count as one. */
const open = new Map<string, number>();

export class Allowance {
  readonly #options: PersistentOptions;

  constructor(options: PersistentOptions) {
    this.#options = options;
  }

  /** See `ConnectionBudget.request`. */
  request(url: string, begin: () => void): Turn {
    const budget = this.#budgetOf(url);
    if (budget !== undefined) return budget.request(begin);
    begin();
    return { granted: true, wait: 0, cancel() {} };
  }

  holdOff(url: string, ms: number): void {
    this.#budgetOf(url)?.holdOff(ms);
  }

  /** A connection more to this URL is not beyond the cap. */
  hasRoom(url: string): boolean {
    const { maxConnections = this.#options.venue?.maxConnections?.value } = this.#options;
    return maxConnections === undefined || (open.get(this.#nameOf(url)) ?? 0) < maxConnections;
  }

  /** One more (`by` 1) or one less (-1). */
  count(url: string, by: 1 | -1): void {
    const name = this.#nameOf(url);
    const count = (open.get(name) ?? 0) + by;
    if (count > 0) open.set(name, count);
    else open.delete(name);
  }

  #budgetOf(url: string): ConnectionBudget | undefined {
    const { connectionBudget = this.#options.venue?.connections?.value } = this.#options;
    if (connectionBudget === false) return undefined;
    if (connectionBudget instanceof ConnectionBudget) return connectionBudget;
    return sharedBudget(this.#nameOf(url), connectionBudget);
  }

  #nameOf(url: string): string {
    const { connectionBudget, venue } = this.#options;
    const { key } = (connectionBudget || {}) as { key?: string };
    return key ?? venue?.name ?? hostOf(url);
  }
}
