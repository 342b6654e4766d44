/**
 * A tunnel through an HTTP proxy: CONNECT (RFC 9110 §9.3.6), without a socket. It fails closed: whatever the
 * proxy says that is not a plain yes is `ERR_PROXY`, and nothing is ever sent another way.
 */

import { HandshakeError, UsageError } from '../errors.js';
import { quoted } from '../protocol/http-field.js';
import { basicCredentials, takeUserInfo } from '../protocol/opening-handshake.js';
import { type Response, ResponseReader } from '../protocol/response-reader.js';
import { retryAfter } from '../protocol/retry-after.js';
import { proxyFromEnvironment } from './no-proxy.js';
import type { TlsOptions } from './tls-client.js';

export interface HttpProxy {
  /** TLS to the proxy itself. */
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  /** For people: without credentials. */
  readonly origin: string;
  /** The value of `Proxy-Authorization`. */
  readonly credentials: string | undefined;
}

interface Destination {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
}

/**
 * The proxy that an option means for a target; undefined for a direct connection, which only `'env'` can mean.
 * @throws UsageError `ERR_INVALID_OPTION`
 */
export function proxyFor(option: string | URL, target: Destination): HttpProxy | undefined {
  if (option !== 'env') return parseProxy(option, 'The option proxy');
  const url = proxyFromEnvironment(target, process.env);
  return url === undefined ? undefined : parseProxy(url, 'The proxy in the environment');
}

/** No message quotes the URL: it may hold a password. */
function parseProxy(option: string | URL, what: string): HttpProxy {
  let url: URL;
  try {
    url = new URL(String(option));
  } catch {
    throw new UsageError('ERR_INVALID_OPTION', `${what} is not a URL`);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    const message = `${what} is a ${url.protocol} URL; proxies are reached by http: or https:, others by createConnection`;
    throw new UsageError('ERR_INVALID_OPTION', message);
  }
  const userInfo = takeUserInfo(url);
  const secure = url.protocol === 'https:';
  return {
    secure,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    origin: url.origin,
    credentials: userInfo === null ? undefined : basicCredentials(userInfo),
  };
}

/**
 * TLS to the proxy trusts the authorities that are given for the server, and speaks by the same limits. It is
 * always verified, whatever was said of the server, and shows no client certificate.
 */
export function proxyTls(options: TlsOptions = {}): TlsOptions {
  const { ca, crl, ciphers, sigalgs, ecdhCurve, minVersion, maxVersion } = options;
  return { ca, crl, ciphers, sigalgs, ecdhCurve, minVersion, maxVersion, rejectUnauthorized: true };
}

/** RFC 9110 §9.3.6: the authority, always with its port, is all that a proxy is told. */
export function connectRequest(proxy: HttpProxy, { host, port }: Destination): Buffer {
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const credentials = proxy.credentials === undefined ? '' : `Proxy-Authorization: ${proxy.credentials}\r\n`;
  return Buffer.from(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credentials}\r\n`, 'latin1');
}

/** The proxy's answer, as it comes. */
export class TunnelAnswer {
  readonly #proxy: HttpProxy;
  readonly #destination: Destination;
  readonly #reader = new ResponseReader({ toConnect: true });

  constructor(proxy: HttpProxy, destination: Destination) {
    this.#proxy = proxy;
    this.#destination = destination;
  }

  /** Returns true when the tunnel is open. Throws `HandshakeError` `ERR_PROXY` when it never will be. */
  feed(bytes: Uint8Array): boolean {
    const taken = this.#read(() => this.#reader.feed(bytes));
    const { response } = this.#reader;
    if (response === null) return false;
    if (!isSuccess(response)) throw this.#refusal(response);
    // The server has not been spoken to: these bytes can only be the proxy's own.
    if (taken !== undefined && taken < bytes.length) {
      throw this.#failure(`sent ${bytes.length - taken} bytes behind its answer`, { ...response });
    }
    return true;
  }

  /** The proxy's FIN. Throws in any case. */
  end(): never {
    this.#read(() => this.#reader.end());
    throw this.#refusal(this.#reader.response!);
  }

  /** What it has refused with, as far as it is known: for a deadline that ends the wait for the rest. */
  get refusal(): HandshakeError | undefined {
    const { partial } = this.#reader;
    return partial === null || isSuccess(partial) ? undefined : this.#refusal(partial);
  }

  #refusal(response: Response): HandshakeError {
    const { statusCode, statusText } = response;
    const reason = statusText === '' ? '' : ` ${quoted(statusText)}`;
    const hint =
      statusCode !== 407
        ? ''
        : this.#proxy.credentials === undefined
          ? ': it wants credentials, which go into the URL'
          : ': it does not accept the credentials in its URL';
    return this.#failure(`refused the tunnel with ${statusCode}${reason}${hint}`, response);
  }

  #read<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      const { partial } = this.#reader;
      throw this.#failure(
        `did not answer as it must: ${(error as Error).message}`,
        partial ?? undefined,
        error,
      );
    }
  }

  #failure(what: string, response?: Partial<Response>, cause?: unknown): HandshakeError {
    const { host, port } = this.#destination;
    return new HandshakeError('ERR_PROXY', `${host}:${port}: The proxy ${this.#proxy.origin} ${what}`, {
      statusCode: response?.statusCode,
      headers: response?.headers,
      body: response?.body,
      retryAfter: retryAfter(response?.headers?.['retry-after'], Date.now()),
      cause,
    });
  }
}

function isSuccess({ statusCode }: Response): boolean {
  return statusCode >= 200 && statusCode < 300;
}
