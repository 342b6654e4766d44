/**
 * The options of `ws`, with its defaults, and what they mean to `connect()`. What only Node's own HTTP client can do
 * (agents, a request to be finished by the caller, redirects as `ws` follows them) is left to it: http-opening.ts.
 */

import type { ConnectOptions } from '../connect.js';
import type { DropIn } from '../options.js';
import type { TlsOptions } from '../transport/tls-client.js';
import type { Given } from './address.js';
import type { ClientOptions, PerMessageDeflateOptions } from './client-options.js';

/** Of `ws` 8.23. */
export const DEFAULTS = {
  allowSynchronousEvents: true,
  autoPong: true,
  closeTimeout: 30_000,
  followRedirects: false,
  handshakeTimeout: undefined,
  maxFragments: 16 * 1024,
  maxPayload: 100 * 1024 * 1024,
  maxRedirects: 10,
  perMessageDeflate: true,
  protocolVersion: 13,
  skipUTF8Validation: false,
} as const;

/** They need Node's HTTP client, or are its own. */
const OF_HTTP = [
  'agent',
  'createConnection',
  'finishRequest',
  'followRedirects',
  'socketPath',
  'autoSelectFamily',
  'autoSelectFamilyAttemptTimeout',
  'defaultPort',
  'hints',
  'insecureHTTPParser',
  'joinDuplicateHeaders',
  'localPort',
  'maxHeaderSize',
  'pskCallback',
  'setHost',
  'signal',
  'uniqueHeaders',
];

/** Everything else concerns TLS. */
const NOT_OF_TLS = new Set([
  ...OF_HTTP,
  ...Object.keys(DEFAULTS),
  'auth',
  'family',
  'generateMask',
  'headers',
  'heartbeat',
  'host',
  'hostname',
  'keepAlive',
  'keepAliveInitialDelay',
  'localAddress',
  'lookup',
  'maxBufferedChunks',
  'maxPendingAutoPongs',
  'method',
  'noDelay',
  'origin',
  'path',
  'port',
  'protocol',
  'protocols',
  'timeout',
]);

/** The handshake's own fields: over HTTP `ws` overrides those that are given, or lets them pass if it sets none. */
const SET_BY_HANDSHAKE = new Set(['connection', 'upgrade', 'sec-websocket-key', 'sec-websocket-version']);
const LET_PASS = new Set([
  'content-length',
  'sec-websocket-extensions',
  'sec-websocket-protocol',
  'transfer-encoding',
]);

const MAX_MESSAGE_SIZE = 2 ** 32 - 1;

/** True when only Node's HTTP client can do it. */
export function needsHttp(url: URL, options: Given): boolean {
  if (url.protocol === 'ws+unix:') return true;
  if ((options.protocolVersion ?? 13) !== 13) return true;
  if (OF_HTTP.some((name) => Boolean(options[name]))) return true;
  return Object.keys(options.headers ?? {}).some((name) => LET_PASS.has(name.toLowerCase()));
}

/** What `ws` takes for a limit, 0 meaning none. */
const limit = (given: number | undefined, byDefault: number, most: number): number => {
  const wanted = (given ?? byDefault) | 0;
  return wanted > 0 ? Math.min(wanted, most) : most;
};

/** The connection's part, whatever way it is opened. */
export function connectOptions(url: URL, options: Given, protocols: readonly string[]): ConnectOptions {
  const handshakeTimeout = options.handshakeTimeout ?? options.timeout;
  const { family, localAddress, lookup, keepAlive, keepAliveInitialDelay } = options;
  const connect: ConnectOptions = {
    protocols,
    headers: requestHeaders(url, options),
    closeTimeout: Math.min(options.closeTimeout ?? DEFAULTS.closeTimeout, 2 ** 31 - 1),
    maxMessageSize: limit(options.maxPayload, DEFAULTS.maxPayload, MAX_MESSAGE_SIZE),
    // As with ws, it is the application that looks at bufferedAmount.
    highWaterMark: Number.MAX_SAFE_INTEGER,
    maxBufferedAmount: Number.MAX_SAFE_INTEGER,
    perMessageDeflate: deflateOptions(options.perMessageDeflate ?? DEFAULTS.perMessageDeflate),
    heartbeat: options.heartbeat ?? false,
    socket: {
      family: family === 4 || family === 6 ? family : undefined,
      localAddress,
      lookup,
      keepAlive: keepAlive === true ? { initialDelay: keepAliveInitialDelay ?? 0 } : false,
    },
  };
  if (handshakeTimeout) connect.handshakeTimeout = handshakeTimeout;
  if (url.protocol === 'wss:') connect.tls = tlsOptions(options);
  return connect;
}

/** What permessage-deflate takes of it; the rest tunes a zlib that is not there. */
function deflateOptions(given: boolean | PerMessageDeflateOptions): ConnectOptions['perMessageDeflate'] {
  if (!given) return false;
  const {
    serverNoContextTakeover,
    clientNoContextTakeover,
    serverMaxWindowBits,
    // As with ws, the server may limit us.
    clientMaxWindowBits = true,
    threshold,
  }: PerMessageDeflateOptions = given === true ? {} : given;
  const wanted = {
    serverNoContextTakeover,
    clientNoContextTakeover,
    serverMaxWindowBits,
    clientMaxWindowBits,
    threshold,
  };
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
}

function tlsOptions(options: Given): TlsOptions {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !NOT_OF_TLS.has(name))) as TlsOptions;
}

function requestHeaders(url: URL, options: Given): Record<string, string | readonly string[]> {
  const headers: Record<string, string | readonly string[]> = {};
  let isAuthorized = false;
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    const lowerCaseName = name.toLowerCase();
    if (SET_BY_HANDSHAKE.has(lowerCaseName) || LET_PASS.has(lowerCaseName)) continue;
    if (lowerCaseName === 'origin' && options.origin) continue;
    if (lowerCaseName === 'authorization') isAuthorized = true;
    headers[name] = typeof value === 'number' ? String(value) : value;
  }
  if (options.origin) headers.Origin = options.origin;
  const auth = authOf(url) ?? options.auth;
  if (auth && !isAuthorized) headers.Authorization = `Basic ${Buffer.from(auth).toString('base64')}`;
  return headers;
}

/** What is asked for: the fields of the request have the user information. */
export function withoutUser(url: URL): URL {
  const target = new URL(url);
  target.username = '';
  target.password = '';
  target.hash = '';
  return target;
}

/** The URL's user information. */
export function authOf({ username, password }: URL): string | undefined {
  return username === '' && password === '' ? undefined : `${unescaped(username)}:${unescaped(password)}`;
}

/** As `querystring.unescape`: what is no UTF-8 is taken byte by byte. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    const bytes = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    return Buffer.from(bytes, 'latin1').toString();
  }
}

type Events = Pick<DropIn, 'onFailure' | 'onClosing'>;

let usual: DropIn | undefined;

/** What the connection itself has to know. Those that ask for nothing else share it. */
export function behaviour(options: ClientOptions, { onFailure, onClosing }: Events): DropIn {
  const { autoPong, generateMask, maxFragments, skipUTF8Validation } = options;
  const isUsual =
    autoPong === undefined &&
    generateMask === undefined &&
    maxFragments === undefined &&
    skipUTF8Validation === undefined;
  if (isUsual && usual !== undefined) return usual;
  const dropIn: DropIn = {
    onFailure,
    onClosing,
    autoPong: autoPong ?? DEFAULTS.autoPong,
    validateUtf8: !(skipUTF8Validation ?? DEFAULTS.skipUTF8Validation),
    maxFragments: limit(maxFragments, DEFAULTS.maxFragments, Number.MAX_SAFE_INTEGER),
    maskingKey: generateMask === undefined ? undefined : maskingKeys(generateMask),
  };
  if (isUsual) usual = dropIn;
  return dropIn;
}

/** The key's bytes stand in memory in the order of the wire, as the codec writes them. */
function maskingKeys(generateMask: (mask: Buffer) => void): () => number {
  const mask = Buffer.alloc(4);
  return () => {
    generateMask(mask);
    return mask.readInt32LE(0);
  };
}
