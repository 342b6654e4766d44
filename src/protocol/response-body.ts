/**
 * The body of an answer that is not the 101 (RFC 9112 §6.3). It only explains a failure, so it is never worth
 * an error of its own: framing that makes no sense ends it, and what came before stays readable.
 */

import { CR, isOptionalWhitespace, LF, listElements } from './http-field.js';
import { KeptBytes } from './kept-bytes.js';

/** Far above any chunk size with extensions seen in practice, far below what a hostile peer would like. */
const MAX_CHUNK_LINE_BYTES = 256;
const SEMICOLON = 0x3b;

type Place =
  | 'data' // up to the Content-Length, or until close
  | 'chunk-size'
  | 'chunk-extension'
  | 'chunk-line-end'
  | 'chunk-data'
  | 'chunk-data-cr'
  | 'chunk-data-lf'
  | 'complete';

export class ResponseBody {
  /** Whether only the peer's FIN tells where it ends. */
  readonly isUntilClose: boolean;
  readonly #kept: KeptBytes;
  #place: Place;
  /** Bytes of data still to come: of the body, or of the current chunk. */
  #remaining: number;
  #chunkLineBytes = 0;

  constructor(statusCode: number, headers: Readonly<Record<string, string>>, maxBytes: number) {
    this.#kept = new KeptBytes(maxBytes);
    const hasNone = statusCode < 200 || statusCode === 204 || statusCode === 304;
    const isChunked =
      listElements(headers['transfer-encoding'] ?? '')
        .at(-1)
        ?.toLowerCase() === 'chunked';
    this.#remaining = hasNone || isChunked ? 0 : contentLength(headers);
    this.isUntilClose = this.#remaining === Number.POSITIVE_INFINITY;
    this.#place = isChunked && !hasNone ? 'chunk-size' : 'data';
    if (maxBytes === 0 || (this.#place === 'data' && this.#remaining === 0)) this.#place = 'complete';
  }

  get isComplete(): boolean {
    return this.#place === 'complete';
  }

  /** A copy. */
  get bytes(): Buffer {
    return this.#kept.copy();
  }

  /** Reads from `start` on and returns where it stopped: at the end of `bytes` or of the body. */
  feed(bytes: Uint8Array, start: number): number {
    let at = start;
    while (at < bytes.length && !this.isComplete) {
      if (this.#place === 'data' || this.#place === 'chunk-data') at = this.#keep(bytes, at);
      else this.#place = this.#frame(bytes[at++]);
    }
    return at;
  }

  #keep(bytes: Uint8Array, start: number): number {
    const end = start + Math.min(this.#remaining, bytes.length - start, this.#kept.room);
    this.#kept.append(bytes.subarray(start, end));
    this.#remaining -= end - start;
    if (this.#kept.room === 0) this.#place = 'complete';
    else if (this.#remaining === 0) this.#place = this.#place === 'data' ? 'complete' : 'chunk-data-cr';
    return end;
  }

  /** RFC 9112 §7.1: the bytes around the data of the chunks. Trailer fields are of no use here. */
  #frame(byte: number): Place {
    switch (this.#place) {
      case 'chunk-size':
      case 'chunk-extension':
        return this.#chunkLine(byte);
      case 'chunk-line-end':
        return byte === LF && this.#remaining > 0 ? 'chunk-data' : 'complete';
      case 'chunk-data-cr':
        return byte === CR ? 'chunk-data-lf' : 'complete';
      default:
        this.#chunkLineBytes = 0;
        return byte === LF ? 'chunk-size' : 'complete';
    }
  }

  #chunkLine(byte: number): Place {
    const isFirst = this.#chunkLineBytes === 0;
    this.#chunkLineBytes += 1;
    if (this.#chunkLineBytes > MAX_CHUNK_LINE_BYTES) return 'complete';
    if (this.#place === 'chunk-size') {
      const digit = Number.parseInt(String.fromCharCode(byte), 16);
      if (!Number.isNaN(digit)) {
        this.#remaining = this.#remaining * 16 + digit;
        return 'chunk-size';
      }
      if (isFirst || (byte !== CR && byte !== SEMICOLON && !isOptionalWhitespace(byte))) return 'complete';
    }
    if (byte === CR) return 'chunk-line-end';
    return byte === LF ? 'complete' : 'chunk-extension';
  }
}

/**
 * Infinity, which is "until close", where there is none to be believed. RFC 9110 §8.6 lets a recipient take
 * the same length given twice for one.
 */
function contentLength(headers: Readonly<Record<string, string>>): number {
  const lengths = new Set(listElements(headers['content-length'] ?? ''));
  const [length = ''] = lengths;
  return lengths.size === 1 && /^\d+$/.test(length) ? Number(length) : Number.POSITIVE_INFINITY;
}
