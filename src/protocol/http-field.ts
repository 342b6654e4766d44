/**
 * What HTTP lets a field's name and value hold (RFC 9110 §5), for strings we are about to send and for bytes
 * as they arrive.
 */

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
const DEL = 0x7f;

// RFC 9110 §5.6.2: tchar
const TCHAR = new Uint8Array(256);
for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  TCHAR[char.charCodeAt(0)] = 1;
}

/** `code` is a byte or a UTF-16 code unit; above 255 the answer is no. */
export function isTokenChar(code: number): boolean {
  return TCHAR[code] === 1;
}

/** RFC 9110 §5.5: HTAB, SP, VCHAR and obs-text. What Latin-1 cannot carry is none of these. */
export function isFieldChar(code: number): boolean {
  return code === HTAB || (code >= SP && code !== DEL && code <= 0xff);
}

/** RFC 9110 §5.6.3 */
export function isOptionalWhitespace(code: number): boolean {
  return code === SP || code === HTAB;
}

export function isToken(text: string): boolean {
  return text !== '' && every(text, isTokenChar);
}

export function isFieldValue(text: string): boolean {
  return every(text, isFieldChar);
}

function every(text: string, accepts: (code: number) => boolean): boolean {
  for (let at = 0; at < text.length; at++) {
    if (!accepts(text.charCodeAt(at))) return false;
  }
  return true;
}

/** Not `trim()`: that would also remove a no-break space, which is part of the value. */
export function trimOptionalWhitespace(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isOptionalWhitespace(text.charCodeAt(start))) start += 1;
  while (end > start && isOptionalWhitespace(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

/** The elements of a comma-separated list (RFC 9110 §5.6.1); empty ones do not count. */
export function listElements(value: string): string[] {
  return value.split(',').map(trimOptionalWhitespace).filter(Boolean);
}

/** A peer's text in an error message: bounded, and unable to write control sequences into a log. */
export function quoted(text: string): string {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return JSON.stringify(shown).replace(
    /[\x7f-\x9f]/g,
    (control) => `\\u00${control.charCodeAt(0).toString(16)}`,
  );
}
