/**
 * The client's opening handshake (RFC 6455 §4.1) without a socket: the request's bytes, and what must be true
 * of the response before a frame may be sent.
 */

import { hash, randomFillSync } from 'node:crypto';
import type { FailedResponse } from '../errors.js';
import { HandshakeError, UsageError } from '../errors.js';
import type { Extension, ExtensionOffer } from './extensions.js';
import { formatExtensions, parseExtensions } from './extensions.js';
import { isFieldValue, isToken, listElements, quoted } from './http-field.js';
import type { Response } from './response-reader.js';
import { retryAfter } from './retry-after.js';

export interface OpeningRequestOptions {
  protocols?: string | readonly string[];
  headers?: Record<string, string | readonly string[]>;
  /** The value of `Sec-WebSocket-Extensions` to offer; none by default. */
  extensions?: string | undefined;
}

export interface OpeningRequest {
  /** Without the user info, which is in `bytes` only. */
  readonly url: URL;
  readonly secure: boolean;
  /** To connect to; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** `Sec-WebSocket-Key` */
  readonly key: string;
  readonly protocols: readonly string[];
  readonly offered: readonly ExtensionOffer[];
  /** The whole request head. */
  readonly bytes: Buffer;
}

export interface AcceptedHandshake {
  /** The subprotocol in use, '' for none. */
  readonly protocol: string;
  readonly extensions: readonly Extension[];
}

type HeaderLine = readonly [name: string, value: string];

/** §1.3, where it is said why. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** What these say, the handshake says. A body (RFC 9110 §9.3.1) would be taken for frames. */
const HANDSHAKE_HEADERS = new Set([
  'upgrade',
  'connection',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-protocol',
  'sec-websocket-extensions',
  'content-length',
  'transfer-encoding',
]);

/** Throws `UsageError` for whatever must not be sent. */
export function openingRequest(url: string | URL, options: OpeningRequestOptions = {}): OpeningRequest {
  const target = parseUrl(url);
  const userInfo = takeUserInfo(target);
  const protocols = checkProtocols(options.protocols ?? []);
  const offered = options.extensions === undefined ? [] : parseOffers(options.extensions);
  const headers = options.headers === undefined ? [] : checkHeaders(options.headers);
  const secure = target.protocol === 'wss:';
  const key = freshKey(); // §4.1 item 7

  const host = headers.find((line) => isNamed(line, 'host')) ?? ['Host', target.host]; // The parser omits a default port.
  let head =
    `GET ${target.pathname}${target.search} HTTP/1.1\r\n` + // The resource name, §3
    `${host[0]}: ${host[1]}\r\n` +
    'Upgrade: websocket\r\n' +
    'Connection: Upgrade\r\n' +
    `Sec-WebSocket-Key: ${key}\r\n` +
    'Sec-WebSocket-Version: 13\r\n';
  if (protocols.length > 0) head += `Sec-WebSocket-Protocol: ${protocols.join(', ')}\r\n`;
  if (offered.length > 0) head += `Sec-WebSocket-Extensions: ${formatExtensions(offered)}\r\n`;
  if (userInfo !== null && !headers.some((line) => isNamed(line, 'authorization'))) {
    head += `Authorization: ${basicCredentials(userInfo)}\r\n`;
  }
  for (const line of headers) if (!isNamed(line, 'host')) head += `${line[0]}: ${line[1]}\r\n`;

  return {
    url: target,
    secure,
    host: target.hostname.replace(/^\[|\]$/g, ''),
    port: target.port === '' ? (secure ? 443 : 80) : Number(target.port),
    key,
    protocols,
    offered,
    bytes: Buffer.from(`${head}\r\n`, 'latin1'),
  };
}

/** Throws `HandshakeError` unless the response is all that §4.1 asks of it. */
export function verifyResponse(request: OpeningRequest, response: Response): AcceptedHandshake {
  const { statusCode, statusText, headers } = response;
  if (statusCode !== 101) {
    const reason = statusText === '' ? '' : ` ${quoted(statusText)}`;
    refuse(response, 'ERR_HANDSHAKE_STATUS', `The server answered ${statusCode}${reason}, not 101`, {
      retryAfter: retryAfter(headers['retry-after'], Date.now()),
    });
  }

  if (headers.upgrade?.toLowerCase() !== 'websocket') {
    const message = `"Upgrade: websocket" expected, got ${shown(headers.upgrade)}`;
    refuse(response, 'ERR_HANDSHAKE_UPGRADE', message, { section: '4.1' });
  }

  if (!hasUpgradeOption(headers.connection ?? '')) {
    const message = `"Connection: Upgrade" expected, got ${shown(headers.connection)}`;
    refuse(response, 'ERR_HANDSHAKE_CONNECTION', message, { section: '4.1' });
  }

  const accept = headers['sec-websocket-accept'];
  if (accept !== acceptFor(request.key)) {
    if (fieldLines(response, 'sec-websocket-accept').length > 1) {
      const message = 'Sec-WebSocket-Accept came more than once';
      refuse(response, 'ERR_HANDSHAKE_ACCEPT', message, { section: '11.3.3' });
    }
    const message = `Sec-WebSocket-Accept does not answer the key that was sent, got ${shown(accept)}`;
    refuse(response, 'ERR_HANDSHAKE_ACCEPT', message, { section: '4.1' });
  }

  return { extensions: acceptedExtensions(request, response), protocol: acceptedProtocol(request, response) };
}

/** Nearly always it is the only one. */
function hasUpgradeOption(connection: string): boolean {
  const options = connection.toLowerCase();
  return options === 'upgrade' || listElements(options).includes('upgrade');
}

/** §3. No message quotes the URL: it may hold a password. */
function parseUrl(url: string | URL): URL {
  let target: URL;
  try {
    const text = String(url);
    // The parser would strip tab, CR and LF, and every control at the ends, without a word.
    if (/[\x00-\x1f\x7f]/.test(text))
      throw new UsageError('ERR_INVALID_URL', 'The URL holds control characters');
    target = new URL(text);
  } catch (error) {
    // Node's own error is not the cause: it holds the URL.
    throw error instanceof UsageError ? error : new UsageError('ERR_INVALID_URL', 'The URL cannot be parsed');
  }
  if (target.protocol === 'http:' || target.protocol === 'https:') {
    const wanted = target.protocol.replace('http', 'ws');
    const message = `Write ${wanted}// instead of ${target.protocol}// in the URL (RFC 6455 §3)`;
    throw new UsageError('ERR_INVALID_URL', message);
  }
  if (target.protocol !== 'ws:' && target.protocol !== 'wss:') {
    throw new UsageError('ERR_INVALID_URL', 'A WebSocket URL begins with ws:// or wss:// (RFC 6455 §3)');
  }
  // Not `hash`, which is empty for an empty fragment too; everywhere else the parser has escaped "#".
  if (target.href.includes('#')) {
    throw new UsageError('ERR_INVALID_URL', 'A WebSocket URL has no fragment; write # as %23 (RFC 6455 §3)');
  }
  return target;
}

export interface UserInfo {
  readonly username: Buffer;
  readonly password: Buffer;
}

/** Takes it out of the URL as well, so that nobody shows it by showing the URL. */
export function takeUserInfo(target: URL): UserInfo | null {
  if (target.username === '' && target.password === '') return null;
  const userInfo = { username: percentDecode(target.username), password: percentDecode(target.password) };
  target.username = '';
  target.password = '';
  return userInfo;
}

/** Not `decodeURIComponent`, which refuses a stray "%" and bytes that are not UTF-8. The URL parser left ASCII. */
function percentDecode(text: string): Buffer {
  const decoded = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(decoded, 'latin1');
}

/** RFC 7617 §2 */
export function basicCredentials({ username, password }: UserInfo): string {
  if (username.includes(':')) {
    throw new UsageError(
      'ERR_INVALID_URL',
      "The URL's user name holds a colon, which Basic authentication cannot",
    );
  }
  const userPass = Buffer.concat([username, Buffer.from(':'), password]);
  if (userPass.some((byte) => byte < 0x20 || byte === 0x7f)) {
    throw new UsageError('ERR_INVALID_URL', "The URL's user info holds control characters");
  }
  return `Basic ${userPass.toString('base64')}`;
}

/** §4.1 item 10 */
function checkProtocols(protocols: string | readonly string[]): readonly string[] {
  const list = typeof protocols === 'string' ? [protocols] : [...protocols];
  for (const protocol of list) {
    if (typeof protocol !== 'string' || !isToken(protocol)) {
      const message = `A subprotocol must be a token, not ${quoted(String(protocol))} (RFC 6455 §4.1)`;
      throw new UsageError('ERR_INVALID_PROTOCOL', message);
    }
  }
  if (new Set(list).size < list.length) {
    throw new UsageError('ERR_INVALID_PROTOCOL', 'A subprotocol is requested twice (RFC 6455 §4.1)');
  }
  return list;
}

/** Written anew from what was understood, so that nothing else can slip into the request. */
function parseOffers(extensions: string): ExtensionOffer[] {
  try {
    return parseExtensions(extensions);
  } catch (cause) {
    const message = 'The extensions to offer are no Sec-WebSocket-Extensions value (RFC 6455 §9.1)';
    throw new UsageError('ERR_INVALID_HEADER', message, { cause });
  }
}

/** RFC 9110 §5. Messages quote names, never values: those are often secret. */
function checkHeaders(headers: Readonly<Record<string, string | readonly string[]>>): HeaderLine[] {
  const lines: HeaderLine[] = [];
  for (const [name, values] of Object.entries(headers)) {
    if (!isToken(name)) {
      throw new UsageError('ERR_INVALID_HEADER', `A header's name must be a token, not ${quoted(name)}`);
    }
    if (HANDSHAKE_HEADERS.has(name.toLowerCase())) {
      throw new UsageError('ERR_INVALID_HEADER', `The handshake itself decides about the header ${name}`);
    }
    for (const value of Array.isArray(values) ? values : [values]) {
      if (typeof value !== 'string' || !isFieldValue(value)) {
        const message = `The header ${name} must be a string of Latin-1 without control characters`;
        throw new UsageError('ERR_INVALID_HEADER', message);
      }
      lines.push([name, value]);
    }
  }
  if (lines.filter((line) => isNamed(line, 'host')).length > 1) {
    throw new UsageError('ERR_INVALID_HEADER', 'The header Host must come once (RFC 9112 §3.2)');
  }
  return lines;
}

function isNamed([name]: HeaderLine, lowerCaseName: string): boolean {
  return name.toLowerCase() === lowerCaseName;
}

/** The system's random bytes come by the KiB: asking for 16 costs as much as for all. */
const KEY_SIZE = 16;
const keys = Buffer.alloc(64 * KEY_SIZE);
let nextKey = keys.length;

function freshKey(): string {
  if (nextKey === keys.length) {
    randomFillSync(keys);
    nextKey = 0;
  }
  nextKey += KEY_SIZE;
  return keys.toString('base64', nextKey - KEY_SIZE, nextKey);
}

/** §4.2.2 item 5.4 */
function acceptFor(key: string): string {
  return hash('sha1', key + GUID, 'base64');
}

const NO_EXTENSIONS: readonly Extension[] = Object.freeze([]);

/** §4.1 and §9.1: what was offered, each offer accepted at most once; what the parameters say is not judged here. */
function acceptedExtensions(request: OpeningRequest, response: Response): readonly Extension[] {
  const { 'sec-websocket-extensions': value } = response.headers;
  if (value === undefined) return NO_EXTENSIONS;
  let accepted: Extension[] = [];
  try {
    accepted = parseExtensions(value);
  } catch (cause) {
    const message = `Sec-WebSocket-Extensions is malformed: ${quoted(value)}`;
    refuse(response, 'ERR_HANDSHAKE_EXTENSION', message, { section: '9.1', cause });
  }
  const open = request.offered.map(({ name }) => name);
  for (const { name } of accepted) {
    const offer = open.indexOf(name);
    if (offer < 0) {
      const twice = request.offered.some((each) => each.name === name);
      const what = twice ? 'twice that was offered once' : 'that was not offered';
      const message = `The server uses an extension ${what}: ${quoted(name)}`;
      refuse(response, 'ERR_HANDSHAKE_EXTENSION', message, { section: '4.1' });
    }
    open.splice(offer, 1);
  }
  return accepted;
}

/** §4.1: absent is fine, even if some were requested; whether to go on then is the caller's decision. */
function acceptedProtocol(request: OpeningRequest, response: Response): string {
  const { 'sec-websocket-protocol': protocol } = response.headers;
  if (protocol === undefined) return '';
  if (fieldLines(response, 'sec-websocket-protocol').length > 1) {
    const message = 'Sec-WebSocket-Protocol came more than once';
    refuse(response, 'ERR_HANDSHAKE_PROTOCOL', message, { section: '11.3.4' });
  }
  if (!request.protocols.includes(protocol)) {
    const message = `The server chose a subprotocol that was not requested: ${quoted(protocol)}`;
    refuse(response, 'ERR_HANDSHAKE_PROTOCOL', message, { section: '4.1' });
  }
  return protocol;
}

/** The values of every line of that name: joined ones do not tell one line from two. */
function fieldLines(response: Response, lowerCaseName: string): string[] {
  return response.rawHeaders.filter((line) => isNamed(line, lowerCaseName)).map(([, value]) => value);
}

function shown(value: string | undefined): string {
  return value === undefined ? 'none' : quoted(value);
}

function refuse(response: Response, code: string, message: string, more: FailedResponse): never {
  const { statusCode, headers, body } = response;
  throw new HandshakeError(code, message, { statusCode, headers, body, ...more });
}
