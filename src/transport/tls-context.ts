/**
 * One `SecureContext` per distinct set of options, shared by all connections. Making one parses certificates
 * and keys and, without `ca`, loads every root the system trusts; it is most of what a TLS connection costs.
 */

import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { TlsOptions } from './tls-client.js';

/**
 * These belong to a connection. Everything else is taken for an option of the context: one we do not know yet
 * then makes a context of its own, and is never ignored.
 */
const OF_A_CONNECTION = new Set([
  'ALPNProtocols',
  'allowHalfOpen',
  'checkServerIdentity',
  'enableTrace',
  'minDHSize',
  'rejectUnauthorized',
  'requestOCSP',
  'secureContext',
  'servername',
  'session',
]);

const MAX_CONTEXTS = 32;

type Option = [name: string, value: unknown];
/** Sorted by name. */
type Options = readonly Option[];

interface SharedContext {
  /** Copies of what can be changed in place, so that a changed Buffer is seen to be another value. */
  readonly options: Options;
  readonly context: SecureContext;
}

/** The most recently used first. */
const shared: SharedContext[] = [];

/** Throws what Node throws for options that make no context. */
export function sharedContext(tlsOptions: TlsOptions): SecureContext {
  const wanted = contextOptions(tlsOptions);
  const found = shared.findIndex(({ options }) => sameOptions(options, wanted));
  if (found === 0) return shared[0].context;
  const [entry] = found > 0 ? shared.splice(found, 1) : [made(wanted)];
  shared.unshift(entry);
  if (shared.length > MAX_CONTEXTS) shared.pop();
  return entry.context;
}

function made(wanted: Options): SharedContext {
  const copies = wanted.map(([name, value]): Option => [name, snapshot(value)]);
  return {
    options: copies,
    context: createSecureContext(Object.fromEntries(wanted) as SecureContextOptions),
  };
}

function contextOptions(tlsOptions: TlsOptions): Option[] {
  const options: Option[] = [];
  for (const option of Object.entries(tlsOptions)) {
    if (option[1] !== undefined && !OF_A_CONNECTION.has(option[0])) options.push(option);
  }
  return options.sort(([a], [b]) => (a < b ? -1 : 1));
}

function sameOptions(a: Options, b: Options): boolean {
  if (a.length !== b.length) return false;
  return a.every(([name, value], i) => name === b[i][0] && sameValue(value, b[i][1]));
}

/** By value for strings, bytes and arrays of them; by identity otherwise. */
function sameValue(a: unknown, b: unknown): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((element, i) => sameValue(element, b[i]));
  }
  return Object.is(a, b);
}

function snapshot(value: unknown): unknown {
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  return Array.isArray(value) ? value.map(snapshot) : value;
}
