/**
 * TLS sessions of earlier connections, so that the next one to the same server resumes: one round trip of
 * public-key work less (RFC 8446 §2.2). Neither Node nor other WebSocket clients keep them.
 */

const MAX_KEYS = 256;
/** A server sends two on a full handshake and one on a resumed one: enough to go on resuming. */
const MAX_TICKETS = 2;

interface Ticket {
  readonly session: Buffer;
  readonly once: boolean;
}

export class SessionCache {
  /** By key, the one that was kept longest ago first; of each key, the newest last. */
  readonly #tickets = new Map<string, Ticket[]>();

  /** `once`: to be used for one connection only, as TLS 1.3 asks (RFC 8446 appendix C.4). */
  keep(key: string, session: Buffer, once: boolean): void {
    // A session that can be used again replaces its predecessor.
    const before = once ? (this.#tickets.get(key) ?? []).filter((ticket) => ticket.once) : [];
    this.#tickets.delete(key);
    this.#tickets.set(key, [...before, { session, once }].slice(-MAX_TICKETS));
    if (this.#tickets.size > MAX_KEYS) this.forget(this.#tickets.keys().next().value!);
  }

  /** The newest session. */
  take(key: string): Buffer | undefined {
    const tickets = this.#tickets.get(key);
    const newest = tickets?.at(-1);
    if (newest?.once) {
      tickets!.pop();
      if (tickets!.length === 0) this.forget(key);
    }
    return newest?.session;
  }

  forget(key: string): void {
    this.#tickets.delete(key);
  }

  get size(): number {
    return this.#tickets.size;
  }
}
