/**
 * The client's side of TLS: shared contexts, resumed sessions, and what went wrong in words. Loaded by the
 * first connection that needs it.
 */

import { isIP, type OnReadOpts } from 'node:net';
import {
  connect as connectTls,
  type ConnectionOptions as NodeTlsOptions,
  type SecureContext,
  TLSSocket,
} from 'node:tls';
import { SessionCache } from './session-cache.js';
import { sharedContext } from './tls-context.js';

/** Options of `tls.connect` that concern trust and the client's identity. */
export type TlsOptions = Omit<
  NodeTlsOptions,
  'host' | 'port' | 'path' | 'socket' | 'onread' | 'lookup' | 'timeout' | 'highWaterMark' | 'pskCallback'
>;

/** What the TLS handshake agreed on. */
export interface TlsReport {
  /** `TLSv1.3` */
  readonly protocol: string;
  /** OpenSSL's name of the cipher suite. */
  readonly cipher: string;
  /** The protocol chosen by ALPN (RFC 7301); undefined when the server chose none. */
  readonly alpn?: string;
  /** An earlier session was resumed. */
  readonly resumed: boolean;
}

export interface TlsFailure {
  code: 'ERR_TLS' | 'ERR_TLS_CERTIFICATE';
  reason: string;
}

const sessions = new SessionCache();

/** Not documented, so it may go. */
interface Resumable {
  setSession?(session: Buffer): void;
}

const canSetSession = typeof (TLSSocket.prototype as Resumable).setSession === 'function';

export class TlsClient {
  readonly #options: NodeTlsOptions;
  readonly #sessionKey: string;
  #offered = false;
  #socket: TLSSocket | undefined;

  /** Throws what Node throws for bad options. */
  constructor(target: { host: string; port: number }, given: TlsOptions) {
    const { host, port } = target;
    // Node looks at it only when the socket is connecting already, and leaves that to itself.
    if (given.servername && typeof given.servername !== 'string')
      throw new TypeError('tls.servername must be a string');
    const options: NodeTlsOptions = {
      // For SNI and the certificate check; an address is not a name (RFC 6066 §3).
      servername: isIP(host) ? undefined : host,
      ALPNProtocols: ['http/1.1'],
      ...present(given),
    };
    options.secureContext ??= sharedContext(given);
    this.#sessionKey = sessionKey(host, port, options, options.secureContext);
    this.#options = options;
  }

  /** Starts the handshake, over a connection that is made first or over one that is there. */
  connect(over: NodeTlsOptions & { onread?: OnReadOpts; allowHalfOpen?: boolean }): TLSSocket {
    const session = this.#options.session ?? (canSetSession && !over.socket ? undefined : this.#take());
    const socket = connectTls({ ...this.#options, session, ...over });
    // A ticket is not spent on an address that does not answer; and a session that Node is given as an option it
    // parses twice, at a tenth of what the handshake costs.
    if (session === undefined && !over.socket)
      socket.prependOnceListener('connect', () => this.#offer(socket));
    keepSessions(socket, this.#sessionKey);
    this.#socket = socket;
    return socket;
  }

  /** In the last moment: the next listener begins the handshake. */
  #offer(socket: TLSSocket & Resumable): void {
    const session = this.#take();
    if (session === undefined) return;
    try {
      socket.setSession?.(session);
    } catch {
      // Then the handshake is a full one.
    }
  }

  #take(): Buffer | undefined {
    const session = sessions.take(this.#sessionKey);
    this.#offered = session !== undefined;
    return session;
  }

  /** The handshake did not succeed. If a session of ours is the reason, it must not be so again. */
  failed(): void {
    if (this.#offered) sessions.forget(this.#sessionKey);
  }

  report(): TlsReport {
    return tlsReport(this.#socket!);
  }

  explain(error: Error): TlsFailure {
    return explain(error, this.#socket);
  }
}

/** Node tells of a session only when the server has been verified. */
function keepSessions(socket: TLSSocket, key: string): void {
  socket.on('session', (session) => sessions.keep(key, session));
}

/** An option whose value is undefined means its default; Node takes some of them for a value. */
function present(given: TlsOptions): TlsOptions {
  const options: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) if (value !== undefined) options[name] = value;
  return options;
}

const identities = new WeakMap<object, number>();
let lastIdentity = 0;

function identityOf(object: object): number {
  let identity = identities.get(object);
  if (identity === undefined) {
    identity = ++lastIdentity;
    identities.set(object, identity);
  }
  return identity;
}

/**
 * A resumed handshake shows no certificate: what was verified then counts again. So a session belongs to all
 * that the verification depended on. Authorities and client certificate are the context's.
 */
function sessionKey(host: string, port: number, options: NodeTlsOptions, context: SecureContext): string {
  const { servername, ALPNProtocols, checkServerIdentity, rejectUnauthorized } = options;
  const verifies = rejectUnauthorized ?? process.env.NODE_TLS_REJECT_UNAUTHORIZED !== '0';
  const verifier = checkServerIdentity === undefined ? 0 : identityOf(checkServerIdentity);
  // No name, however odd, can pass for two of these.
  const names = JSON.stringify([host, servername, ALPNProtocols]);
  return `${port} ${verifies} ${verifier} ${identityOf(context)} ${names}`;
}

export function tlsReport(socket: TLSSocket): TlsReport {
  return {
    protocol: socket.getProtocol() ?? 'unknown',
    cipher: socket.getCipher().name,
    alpn: socket.alpnProtocol || undefined,
    resumed: socket.isSessionReused(),
  };
}

/** By the codes of OpenSSL's verification (X509_V_ERR_…) and of Node's check of the name. */
const CERTIFICATE_FAILURES: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet',
  CERT_REVOKED: 'has been revoked',
  CERT_REJECTED: 'is rejected for this purpose',
  CERT_UNTRUSTED: 'is not trusted for this purpose',
  CERT_SIGNATURE_FAILURE: 'has a wrong signature',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'is self-signed and not among the trusted ones',
  SELF_SIGNED_CERT_IN_CHAIN: 'comes from an authority that is not trusted',
  UNABLE_TO_GET_ISSUER_CERT: 'comes from an authority that is not trusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'comes from an authority that is not trusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'comes from an authority that is not trusted, or its chain is incomplete',
  INVALID_CA: 'comes from an authority that may not issue any',
  PATH_LENGTH_EXCEEDED: 'has too long a chain',
  CERT_CHAIN_TOO_LONG: 'has too long a chain',
  INVALID_PURPOSE: 'is not one for servers',
  ERR_TLS_CERT_ALTNAME_INVALID: 'is for another name',
  HOSTNAME_MISMATCH: 'is for another name',
};

function explain(error: Error, socket: TLSSocket | undefined): TlsFailure {
  const { code = '' } = error as NodeJS.ErrnoException;
  // Node notes there why it did not accept the certificate; what `checkServerIdentity` said included.
  const verdict: unknown = socket?.authorizationError;
  if (verdict && verdict === (code || error.message)) {
    const what = CERTIFICATE_FAILURES[code] ?? 'was not accepted';
    return { code: 'ERR_TLS_CERTIFICATE', reason: `the certificate ${what} (${error.message})` };
  }
  return { code: 'ERR_TLS', reason: error.message };
}
