/**
 * The server's part in the conversation (../conversation.ts), which every server of this folder plays, in JavaScript
 * or Python. What a connection is for is in its path:
 *
 *     /echo                    each message comes back as it came
 *     /ping?payload=…          pings with this payload, and reports the Pong's as `pong …`
 *     /close?code=…&reason=…   closes at once
 *     /told?id=…               the code and reason with which the client closed the connection `?id=…`, as JSON
 *
 * Of several subprotocols it knows `beta` and `gamma`. To any other path it says 404, and to /secret 401.
 */

/** One connection, whatever library it is of. */
export interface Session {
  send(data: string | Buffer): void;
  ping(payload: string): void;
  close(code: number, reason: string): void;
}

/** What a server's library has to report of a session. */
export interface Listener {
  message(data: string | Buffer): void;
  pong(payload: string): void;
  closed(code: number, reason: string): void;
}

export interface Refusal {
  status: number;
  reason: string;
  fields: Record<string, string>;
}

/** A server that waits for the conversation. */
export interface Counterpart {
  /** Without a path: `ws://127.0.0.1:port`. */
  url: string;
  close(): Promise<void>;
}

export const SUBPROTOCOLS = ['beta', 'gamma'];

const PATHS = ['/echo', '/ping', '/close', '/told'];

export class Part {
  /** By id: how the client closed; resolved when it has. */
  readonly #closings = new Map<string, { told: Promise<string>; tell: (closing: string) => void }>();

  /** What to say to a request instead of 101. */
  refusal(target: string): Refusal | undefined {
    const { pathname } = new URL(target, 'ws://server');
    if (PATHS.includes(pathname)) return undefined;
    return pathname === '/secret'
      ? { status: 401, reason: 'not for you', fields: { 'WWW-Authenticate': 'Basic realm="interop"' } }
      : { status: 404, reason: 'no such path', fields: {} };
  }

  join(target: string, session: Session): Listener {
    const { pathname, searchParams } = new URL(target, 'ws://server');
    const id = searchParams.get('id') ?? '';
    if (pathname === '/ping') session.ping(searchParams.get('payload') ?? '');
    if (pathname === '/close')
      session.close(Number(searchParams.get('code')), searchParams.get('reason') ?? '');
    if (pathname === '/told') void this.#closing(id).told.then((closing) => session.send(closing));
    return {
      message: (data) => {
        if (pathname === '/echo') session.send(data);
      },
      pong: (payload) => session.send(`pong ${payload}`),
      closed: (code, reason) => {
        if (pathname !== '/told') this.#closing(id).tell(JSON.stringify([code, reason]));
      },
    };
  }

  #closing(id: string): { told: Promise<string>; tell: (closing: string) => void } {
    let closing = this.#closings.get(id);
    if (closing === undefined) {
      let tell = (_: string): void => {};
      const told = new Promise<string>((resolve) => (tell = resolve));
      closing = { told, tell };
      this.#closings.set(id, closing);
    }
    return closing;
  }
}
