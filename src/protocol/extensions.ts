/**
 * `Sec-WebSocket-Extensions` (RFC 6455 §9.1), read and written:
 *
 *     extension-list  = 1#extension
 *     extension       = extension-token *( ";" extension-param )
 *     extension-param = token [ "=" (token | quoted-string) ]
 *
 * What a parameter means, and whether it may come twice, is for the extension itself to say.
 */

import { HandshakeError } from '../errors.js';
import { isOptionalWhitespace, isTokenChar } from './http-field.js';

export interface ExtensionParameter {
  readonly name: string;
  /** `true` for a parameter without a value. */
  readonly value: string | true;
}

export interface Extension {
  readonly name: string;
  readonly parameters: readonly ExtensionParameter[];
}

/** An extension as the client offers it; the same one may be offered several times, the preferred one first. */
export type ExtensionOffer = Extension;

export function parseExtensions(value: string): Extension[] {
  return new ExtensionList(value).parse();
}

/** Every name and value is a token, so nothing ever needs quotes. */
export function formatExtensions(extensions: readonly Extension[]): string {
  return extensions
    .map(({ name, parameters }) =>
      [
        name,
        ...parameters.map((each) => (each.value === true ? each.name : `${each.name}=${each.value}`)),
      ].join('; '),
    )
    .join(', ');
}

class ExtensionList {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Extension[] {
    const extensions: Extension[] = [];
    do {
      this.#skipWhitespace();
      // RFC 9110 §5.6.1.2: empty elements are ignored, wherever they stand.
      if (this.#isAtEnd() || this.#next() === ',') continue;
      extensions.push(this.#extension());
    } while (this.#take(','));
    if (!this.#isAtEnd()) this.#fail('"," or ";" was expected');
    if (extensions.length === 0) this.#fail('it names no extension');
    return extensions;
  }

  #extension(): Extension {
    const name = this.#token('the name of an extension');
    const parameters: ExtensionParameter[] = [];
    while (this.#take(';')) {
      this.#skipWhitespace();
      const parameter = this.#token('the name of a parameter');
      parameters.push({ name: parameter, value: this.#take('=') ? this.#value() : true });
    }
    return { name, parameters };
  }

  #value(): string {
    this.#skipWhitespace();
    return this.#next() === '"' ? this.#quotedString() : this.#token('the value of a parameter');
  }

  /** §9.1: "the value after quoted-string unescaping MUST conform to the 'token' ABNF". */
  #quotedString(): string {
    this.#at += 1;
    let value = '';
    while (this.#next() !== '"') {
      if (this.#next() === '\\') this.#at += 1;
      if (this.#isAtEnd()) this.#fail('a quoted string does not end');
      if (!isTokenChar(this.#code())) this.#fail('a quoted value is not a token');
      value += this.#next();
      this.#at += 1;
    }
    if (value === '') this.#fail('a quoted value is empty');
    this.#at += 1;
    return value;
  }

  #token(what: string): string {
    const start = this.#at;
    while (isTokenChar(this.#code())) this.#at += 1;
    if (this.#at === start) this.#fail(`${what} was expected`);
    return this.#text.slice(start, this.#at);
  }

  /** Whitespace may stand around every separator (RFC 2616 §2.1, whose grammar §9.1 borrows). */
  #take(separator: string): boolean {
    this.#skipWhitespace();
    if (this.#next() !== separator) return false;
    this.#at += 1;
    return true;
  }

  #skipWhitespace(): void {
    while (isOptionalWhitespace(this.#code())) this.#at += 1;
  }

  #isAtEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  #next(): string {
    return this.#text.charAt(this.#at);
  }

  /** NaN, which is no token character, at the end. */
  #code(): number {
    return this.#text.charCodeAt(this.#at);
  }

  #fail(what: string): never {
    throw new HandshakeError(
      'ERR_HANDSHAKE_EXTENSION',
      `Sec-WebSocket-Extensions is malformed at character ${this.#at}: ${what}`,
      { section: '9.1' },
    );
  }
}
