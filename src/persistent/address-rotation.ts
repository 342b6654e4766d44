/**
 * Which of a host's addresses are tried first. The name is resolved for every attempt, and addresses that have
 * failed us lately go to the end: behind one name there are often machines of which one is broken.
 */

import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';

/** Beyond so many, the failure longest ago is forgotten. */
const REMEMBERED = 64;

export class AddressRotation {
  /** In the order of their failures. */
  readonly #failed = new Set<string>();

  failed(address: string | undefined): void {
    if (address === undefined) return;
    this.#failed.delete(address);
    this.#failed.add(address);
    if (this.#failed.size > REMEMBERED) this.#failed.delete(this.#failed.values().next().value!);
  }

  /** It has served well for a while. */
  served(address: string | undefined): void {
    if (address !== undefined) this.#failed.delete(address);
  }

  /** The same addresses; those that failed come last, the latest failure at the end. */
  order<Address extends { address: string }>(addresses: readonly Address[]): Address[] {
    const failures = [...this.#failed];
    const rank = ({ address }: Address): number => failures.indexOf(address);
    return [...addresses].sort((a, b) => rank(a) - rank(b));
  }

  /** A `lookup` that gives what `resolve` finds (by default the system's resolver), in this order. */
  lookup(resolve: LookupFunction | undefined): LookupFunction {
    return (host, options, callback) => {
      const done: typeof callback = (error, found, family) => {
        callback(error, Array.isArray(found) ? this.order(found as LookupAddress[]) : found, family);
      };
      if (resolve !== undefined) resolve(host, options, done);
      else
        import('node:dns').then(
          ({ lookup }) => (lookup as LookupFunction)(host, options, done),
          (error: NodeJS.ErrnoException) => callback(error, []),
        );
    };
  }
}
