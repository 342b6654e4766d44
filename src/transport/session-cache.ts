/**
 * TLS sessions of earlier connections, so that the next one to the same server resumes: one round trip of
 * public-key work less (RFC 8446 §2.2). Neither Node nor other WebSocket clients keep them.
 */

const MAX_KEYS = 256;
/** A server usually sends two tickets on a full handshake. */
const MAX_SESSIONS = 2;

export class SessionCache {
  /** By key, the one that was kept longest ago first; of each key, the newest last. */
  readonly #sessions = new Map<string, Buffer[]>();

  keep(key: string, session: Buffer): void {
    const before = this.#sessions.get(key) ?? [];
    this.#sessions.delete(key);
    this.#sessions.set(key, [...before, session].slice(-MAX_SESSIONS));
    if (this.#sessions.size > MAX_KEYS) this.forget(this.#sessions.keys().next().value!);
  }

  /**
   * The newest session. It is given out once while there are others, so that an onlooker cannot tell two connections
   * of one client (RFC 8446 appendix C.4); but the last stays, because a reconnection that costs a full handshake
   * harms our users more, and many servers send no new ticket when a session is resumed.
   */
  take(key: string): Buffer | undefined {
    const sessions = this.#sessions.get(key);
    return sessions !== undefined && sessions.length > 1 ? sessions.pop() : sessions?.[0];
  }

  forget(key: string): void {
    this.#sessions.delete(key);
  }

  get size(): number {
    return this.#sessions.size;
  }
}
