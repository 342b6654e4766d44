/**
 * Redirects of the opening handshake (RFC 6455 §4.1: a client may follow them, or not), without a socket: where
 * an answer leads, and what may be told there.
 */

import { HandshakeError } from '../errors.js';
import { quoted } from './http-field.js';
import type { Response } from './response-reader.js';

export interface Redirection {
  readonly url: URL;
  /** Scheme, host and port are those of the URL that answered (RFC 6454 §5). */
  readonly sameOrigin: boolean;
}

/** RFC 9110 §15.4, without those that mean something else. The opening handshake is a GET, so all mean the same. */
export function isRedirect(statusCode: number): boolean {
  return (
    statusCode === 301 || statusCode === 302 || statusCode === 303 || statusCode === 307 || statusCode === 308
  );
}

/**
 * Where `response`, of `from`, leads.
 * @throws HandshakeError `ERR_REDIRECT` for a place that must not, or cannot, be gone to
 */
export function redirection(from: URL, response: Response): Redirection {
  const locations = response.rawHeaders.filter(([name]) => name.toLowerCase() === 'location');
  if (locations.length === 0) throw refusal(response, 'without a Location');
  if (locations.length > 1) throw refusal(response, 'with more than one Location');
  const location = locations[0][1];
  let url: URL;
  try {
    url = new URL(location, from);
  } catch {
    throw refusal(response, `to ${quoted(location)}, which is no URL`);
  }
  // Credentials are the user's to give. First, because the other messages quote the URL.
  if (url.username !== '' || url.password !== '') throw refusal(response, 'to a URL with user information');
  // A server that knows nothing of WebSocket URLs redirects as it would a page.
  if (url.protocol === 'http:' || url.protocol === 'https:') url = new URL(url.href.replace(/^http/, 'ws'));
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:')
    throw refusal(response, `to ${quoted(location)}, whose scheme is not ws: or wss:`);
  if (from.protocol === 'wss:' && url.protocol === 'ws:')
    throw refusal(response, `from wss: to ${quoted(location)}, which would not be encrypted`);
  url.hash = ''; // RFC 6455 §3
  return { url, sameOrigin: url.origin === from.origin };
}

export function tooManyRedirects(response: Response, most: number): HandshakeError {
  const { statusCode, headers, body } = response;
  return new HandshakeError(
    'ERR_TOO_MANY_REDIRECTS',
    `The server redirects once more (${statusCode}), after ${most} redirects`,
    { statusCode, headers, body },
  );
}

function refusal({ statusCode, headers, body }: Response, where: string): HandshakeError {
  return new HandshakeError('ERR_REDIRECT', `The server redirects (${statusCode}) ${where}`, {
    statusCode,
    headers,
    body,
  });
}

/**
 * What another origin may be told, of the fields that the caller gave: those known to be no secret. Everything
 * else stays behind, because authorization goes by many names.
 */
const HARMLESS = new Set(['accept', 'accept-language', 'cache-control', 'origin', 'pragma', 'user-agent']);

export function harmlessHeaders<Value>(headers: Readonly<Record<string, Value>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => HARMLESS.has(name.toLowerCase())));
}

/** Options of TLS that prove who the client is, or are about one server. */
const IDENTITY = new Set([
  'cert',
  'clientCertEngine',
  'key',
  'passphrase',
  'pfx',
  'privateKeyEngine',
  'privateKeyIdentifier',
  'secureContext',
  'servername',
  'session',
]);

export function withoutIdentity<Options extends object>(tls: Options): Options {
  return Object.fromEntries(Object.entries(tls).filter(([name]) => !IDENTITY.has(name))) as Options;
}
