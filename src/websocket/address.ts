/** What the constructor is given: https://websockets.spec.whatwg.org/#dom-websocket-websocket, and as `ws` has it. */

import type { ClientOptions } from './client-options.js';

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NO_PROTOCOLS: readonly string[] = [];

/** By their values. */
export const STATE_NAMES = ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'] as const;

export type Given = ClientOptions & Record<string, unknown>;

/** The subprotocols and the options, wherever they stand. */
export function sorted(
  protocols: string | readonly string[] | ClientOptions | undefined,
  options: ClientOptions | undefined,
): { given: Given; wanted: string | Iterable<string> | undefined } {
  let given = (options ?? {}) as Given;
  if (typeof protocols === 'object' && protocols !== null && !isIterable(protocols)) {
    given = protocols as Given;
    protocols = undefined;
  }
  // As Node's own class takes them: Headers, or pairs.
  if (isIterable(given.headers)) given = { ...given, headers: Object.fromEntries(given.headers as never) };
  const version = given.protocolVersion ?? 13;
  if (version !== 13 && version !== 8)
    throw new RangeError(`Unsupported protocol version: ${version} (supported versions: 8, 13)`);
  const wanted = protocols === undefined ? given.protocols : protocols;
  return { given, wanted: wanted as string | Iterable<string> | undefined };
}

export function parseAddress(address: string | URL, isStandard: boolean): URL {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw syntaxError(`Invalid URL: ${address}`, isStandard);
  }
  if (url.protocol === 'http:' || url.protocol === 'https:') url = new URL(url.href.replace(/^http/, 'ws'));
  const { protocol } = url;
  if (protocol !== 'ws:' && protocol !== 'wss:' && protocol !== 'ws+unix:') {
    throw syntaxError(
      'The URL\'s protocol must be one of "ws:", "wss:", "http:", "https:", or "ws+unix:"',
      isStandard,
    );
  }
  if (protocol === 'ws+unix:' && url.pathname === '')
    throw syntaxError("The URL's pathname is empty", isStandard);
  // The standard refuses an empty fragment too.
  if (url.hash !== '' || (isStandard && url.href.includes('#')))
    throw syntaxError('The URL contains a fragment identifier', isStandard);
  return url;
}

export function checkProtocols(
  protocols: string | Iterable<string> | undefined,
  isStandard: boolean,
): readonly string[] {
  if (protocols === undefined) return NO_PROTOCOLS;
  const list = typeof protocols === 'string' || !isIterable(protocols) ? [protocols] : [...protocols];
  const wanted = isStandard ? list.map(String) : (list as string[]);
  const isWrong = (protocol: string, index: number) =>
    typeof protocol !== 'string' || !TOKEN.test(protocol) || isRepeated(wanted, protocol, index, isStandard);
  if (wanted.some(isWrong))
    throw syntaxError('An invalid or duplicated subprotocol was specified', isStandard);
  return wanted;
}

/** The standard compares without regard to ASCII case, as the tokens of HTTP are compared. */
function isRepeated(list: readonly string[], protocol: string, index: number, caseless: boolean): boolean {
  const key = (text: string) => (caseless ? text.toLowerCase() : text);
  return list.slice(0, index).some((earlier) => key(earlier) === key(protocol));
}

function syntaxError(message: string, isStandard: boolean): Error {
  return isStandard ? new DOMException(message, 'SyntaxError') : new SyntaxError(message);
}

function isIterable(value: unknown): value is Iterable<string> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value;
}
