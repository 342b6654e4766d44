/**
 * The server's answer to the opening handshake (RFC 6455 §4.2.2), read as HTTP (RFC 9112) from bytes that may
 * be split anywhere. Strict, because a proxy that reads a head otherwise than we do could be made to smuggle
 * one; it fails at the first wrong byte, so that a peer that is no HTTP server need not be waited for.
 */

import { HandshakeError } from '../errors.js';
import {
  CR,
  isFieldChar,
  isOptionalWhitespace,
  isTokenChar,
  LF,
  SP,
  trimOptionalWhitespace,
} from './http-field.js';
import { KeptBytes } from './kept-bytes.js';
import { ResponseBody } from './response-body.js';
import { retryAfter } from './retry-after.js';

export interface Response {
  readonly statusCode: number;
  readonly statusText: string;
  readonly httpVersion: string;
  /** Names in lower case, the values of several lines joined by `, `. No prototype: `__proto__` is a name. */
  readonly headers: Readonly<Record<string, string>>;
  /** As they came: every line, in order, in the server's letter case. */
  readonly rawHeaders: readonly (readonly [string, string])[];
  readonly body: Buffer;
}

export interface ResponseReaderOptions {
  /** All heads together, those of interim responses too. 16 KiB, as Node's own parser. */
  maxHeadBytes?: number;
  /** What is kept of the body of an answer that is not the 101; with that it counts as complete. 64 KiB. */
  maxBodyBytes?: number;
  /** The answer to CONNECT: with 2xx it ends with its head, whatever the head says (RFC 9110 §9.3.6). */
  toConnect?: boolean;
}

const NO_BODY = Buffer.alloc(0);
const MAX_INTERIM_RESPONSES = 8;
const COLON = 0x3a;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
const VERSION_PREFIX = Buffer.from('HTTP/1.');

/**
 * A head in one piece, which is how nearly all come: a status line, then fields, as they must be. Whatever does
 * not match is read byte by byte, which tells what is wrong and where.
 */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d) ([\t\x20-\x7e\x80-\xff]*)\r\n/;
const FIELD_LINE = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r\n/y;

/** Where in the head the next byte stands. */
type Place = 'status-line' | 'line-start' | 'field-name' | 'field-value' | 'line-end' | 'head-end';

export class ResponseReader {
  readonly #maxHeadBytes: number;
  readonly #maxBodyBytes: number;
  readonly #toConnect: boolean;
  #place: Place = 'status-line';
  #headBytes = 0;
  #interimResponses = 0;
  /** The line being read: the status line, or a field's name and value without the colon. */
  readonly #line: KeptBytes;
  #nameLength = 0;

  #statusCode = 0;
  #statusText = '';
  #httpVersion = '';
  #headers: Record<string, string> = Object.create(null);
  #rawHeaders: (readonly [string, string])[] = [];
  /** Non-null behind the head of a final response that has one. */
  #body: ResponseBody | null = null;
  #response: Response | null = null;
  #failure: HandshakeError | null = null;

  constructor(options: ResponseReaderOptions = {}) {
    this.#maxHeadBytes = options.maxHeadBytes ?? 16 * 1024;
    this.#maxBodyBytes = options.maxBodyBytes ?? 64 * 1024;
    this.#toConnect = options.toConnect ?? false;
    this.#line = new KeptBytes(this.#maxHeadBytes);
  }

  /** Non-null as soon as it is complete: the head of a 101; head and body, or enough of it, otherwise. */
  get response(): Response | null {
    return this.#response;
  }

  /**
   * Non-null as soon as the head is complete, with what has come of the body: for a deadline or a reset that
   * ends the wait for the rest, so that the server's reason is not lost.
   */
  get partial(): Response | null {
    return this.#response ?? (this.#body === null ? null : this.#withBody(this.#body.bytes));
  }

  /** Returns how many bytes it took. Behind a 101 the rest is frames. Nothing of `bytes` is kept by reference. */
  feed(bytes: Uint8Array): number {
    if (this.#failure !== null) throw this.#failure;
    let at = this.#headBytes === 0 ? this.#readWholeHead(bytes) : 0;
    while (at < bytes.length && this.#isInHead()) this.#readHead(bytes[at++]);
    if (this.#body !== null && this.#response === null) {
      at = this.#body.feed(bytes, at);
      if (this.#body.isComplete) this.#response = this.#withBody(this.#body.bytes);
    }
    return at;
  }

  /** The peer's FIN: the end of a body that nothing else delimits, too early for everything else. */
  end(): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#response !== null) return;
    if (this.#body?.isUntilClose) {
      this.#response = this.#withBody(this.#body.bytes);
      return;
    }
    const { statusCode, headers, body } = this.partial ?? {};
    const when = this.#headBytes === 0 ? 'without an answer' : 'in the middle of its answer';
    const status = statusCode === undefined ? '' : `, whose status is ${statusCode}`;
    this.#failure = new HandshakeError(
      'ERR_HANDSHAKE_CLOSED',
      `The server closed the connection ${when} to the opening handshake${status}`,
      { statusCode, headers, body, retryAfter: retryAfter(headers?.['retry-after'], Date.now()) },
    );
    throw this.#failure;
  }

  #isInHead(): boolean {
    return this.#body === null && this.#response === null;
  }

  /** Returns the size of the head that `bytes` begins with; 0 for one that is incomplete, interim or not plainly right. */
  #readWholeHead(bytes: Uint8Array): number {
    const text = latin1(bytes, Math.min(bytes.length, this.#maxHeadBytes));
    const size = text.indexOf('\r\n\r\n') + 4;
    if (size < 4) return 0;
    const head = text.slice(0, size - 2);
    const statusLine = STATUS_LINE.exec(head);
    if (statusLine === null) return 0;
    const statusCode = Number(statusLine[2]);
    if (statusCode < 200 && (statusCode !== 101 || statusLine[1] !== '1')) return 0;

    const lines: string[] = [];
    for (let end = statusLine[0].length; end < head.length; end = FIELD_LINE.lastIndex) {
      FIELD_LINE.lastIndex = end;
      const field = FIELD_LINE.exec(head);
      if (field === null) return 0;
      lines.push(field[1], field[2]);
    }
    for (let i = 0; i < lines.length; i += 2) this.#addHeader(lines[i], trimOptionalWhitespace(lines[i + 1]));
    this.#httpVersion = `1.${statusLine[1]}`;
    this.#statusCode = statusCode;
    this.#statusText = statusLine[3];
    this.#headBytes = size;
    this.#endHead();
    return size;
  }

  #readHead(byte: number): void {
    this.#headBytes += 1;
    if (this.#headBytes > this.#maxHeadBytes) {
      this.#fail(
        'ERR_HANDSHAKE_HEAD_TOO_LARGE',
        `The server's response head exceeds ${this.#maxHeadBytes} bytes`,
      );
    }
    if (this.#place === 'line-end' || this.#place === 'head-end') {
      // RFC 9112 §2.2: a CR that no LF follows is invalid wherever it stands.
      if (byte !== LF) this.#malformed(byte, 'a bare CR');
      if (this.#place === 'head-end') this.#endHead();
      else this.#endLine();
      return;
    }
    // RFC 9112 §2.2 allows a recipient to take a bare LF for a line's end; proxies that differ on it get smuggled.
    if (byte === LF) this.#malformed(byte, 'a bare LF');
    if (byte === 0) this.#malformed(byte, 'NUL');
    if (this.#place === 'status-line') this.#readStatusLine(byte);
    else if (this.#place === 'line-start') this.#readLineStart(byte);
    else if (this.#place === 'field-name') this.#readFieldName(byte);
    else this.#readFieldValue(byte);
  }

  /**
   * RFC 9112 §4. Only HTTP/1.1 can switch protocols (RFC 6455 §4.1), but a proxy that refuses in HTTP/1.0 has
   * something to say. Servers that leave out the space before an empty reason phrase are let pass.
   */
  #readStatusLine(byte: number): void {
    const at = this.#line.length;
    if (!fitsStatusLine(at, byte)) this.#malformed(byte, 'a bad status line');
    if (byte === CR) {
      this.#statusText = this.#line.latin1(13);
      this.#place = 'line-end';
      return;
    }
    this.#line.push(byte);
    if (at === 11) this.#readStatusCode(byte);
  }

  #readStatusCode(lastDigit: number): void {
    this.#httpVersion = this.#line.latin1(5, 8);
    this.#statusCode = Number(this.#line.latin1(9, 12));
    if (this.#isInterim()) {
      this.#interimResponses += 1;
      if (this.#interimResponses > MAX_INTERIM_RESPONSES) {
        this.#malformed(lastDigit, `more than ${MAX_INTERIM_RESPONSES} interim responses`);
      }
    } else if (this.#statusCode === 101 && this.#httpVersion !== '1.1') {
      this.#malformed(lastDigit, 'a bad status line: 101 needs HTTP/1.1');
    }
  }

  #readLineStart(byte: number): void {
    if (byte === CR) this.#place = 'head-end';
    // RFC 9112 §5.2: a line that begins with whitespace would continue the one before.
    else if (isOptionalWhitespace(byte)) this.#malformed(byte, 'obs-fold');
    else if (byte === COLON) this.#malformed(byte, 'an empty field name');
    else this.#readFieldName(byte);
  }

  #readFieldName(byte: number): void {
    this.#place = 'field-name';
    if (isTokenChar(byte)) {
      this.#line.push(byte);
    } else if (byte === COLON) {
      this.#nameLength = this.#line.length;
      this.#place = 'field-value';
    } else if (isOptionalWhitespace(byte)) {
      // RFC 9112 §5.1: "No whitespace is allowed between the field name and colon."
      this.#malformed(byte, 'whitespace before the colon, or no colon at all');
    } else if (byte === CR) {
      this.#malformed(byte, 'a missing colon');
    } else {
      this.#malformed(byte, 'a field name that is not a token');
    }
  }

  #readFieldValue(byte: number): void {
    if (byte === CR) {
      const name = this.#line.latin1(0, this.#nameLength);
      this.#addHeader(name, trimOptionalWhitespace(this.#line.latin1(this.#nameLength)));
      this.#place = 'line-end';
    } else if (isFieldChar(byte)) {
      this.#line.push(byte);
    } else {
      this.#malformed(byte, 'a control character in a field value');
    }
  }

  #addHeader(name: string, value: string): void {
    const key = name.toLowerCase();
    const before = this.#headers[key];
    this.#headers[key] = before === undefined ? value : `${before}, ${value}`;
    this.#rawHeaders.push([name, value]);
  }

  #endLine(): void {
    this.#line.clear();
    this.#place = 'line-start';
  }

  #endHead(): void {
    if (this.#isInterim()) {
      // RFC 9110 §15.2: a client reads past interim responses; what they say is not about the handshake.
      this.#headers = Object.create(null);
      this.#rawHeaders = [];
      this.#place = 'status-line';
      return;
    }
    const opensTunnel = this.#toConnect && this.#statusCode >= 200 && this.#statusCode < 300;
    if (opensTunnel || this.#statusCode === 101) this.#response = this.#withBody(NO_BODY);
    else this.#body = new ResponseBody(this.#statusCode, this.#headers, this.#maxBodyBytes);
  }

  #isInterim(): boolean {
    return this.#statusCode < 200 && this.#statusCode !== 101;
  }

  #withBody(body: Buffer): Response {
    return {
      statusCode: this.#statusCode,
      statusText: this.#statusText,
      httpVersion: this.#httpVersion,
      headers: this.#headers,
      rawHeaders: this.#rawHeaders,
      body,
    };
  }

  #malformed(byte: number, what: string): never {
    const hex = byte.toString(16).padStart(2, '0');
    this.#fail(
      'ERR_HANDSHAKE_MALFORMED',
      `The server's response is malformed: ${what} (byte 0x${hex} at offset ${this.#headBytes - 1})`,
    );
  }

  #fail(code: string, message: string): never {
    this.#failure = new HandshakeError(code, message);
    throw this.#failure;
  }
}

function latin1(bytes: Uint8Array, end: number): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString('latin1', 0, end);
}

/** status-line = HTTP-version SP status-code SP [ reason-phrase ], byte by byte. */
function fitsStatusLine(at: number, byte: number): boolean {
  if (at < 7) return byte === VERSION_PREFIX[at];
  if (at === 7) return byte === DIGIT_0 || byte === DIGIT_0 + 1;
  if (at === 8) return byte === SP;
  if (at < 12) return byte <= DIGIT_9 && byte >= (at === 9 ? DIGIT_0 + 1 : DIGIT_0);
  if (at === 12) return byte === SP || byte === CR;
  return byte === CR || isFieldChar(byte);
}
