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

type Options = ReadonlyMap<string, unknown>;

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
  const at = shared.findIndex(({ options }) => sameOptions(options, wanted));
  if (at === 0) return shared[0].context;
  const found =
    at > 0
      ? shared.splice(at, 1)[0]
      : {
          options: new Map([...wanted].map(([name, value]) => [name, snapshot(value)])),
          context: createSecureContext(Object.fromEntries(wanted) as SecureContextOptions),
        };
  shared.unshift(found);
  if (shared.length > MAX_CONTEXTS) shared.pop();
  return found.context;
}

function contextOptions(tlsOptions: TlsOptions): Options {
  const options = new Map<string, unknown>();
  for (const [name, value] of Object.entries(tlsOptions)) {
    if (value !== undefined && !OF_A_CONNECTION.has(name)) options.set(name, value);
  }
  return options;
}

function sameOptions(a: Options, b: Options): boolean {
  if (a.size !== b.size) return false;
  for (const [name, value] of a) {
    if (!b.has(name) || !sameValue(value, b.get(name))) return false;
  }
  return true;
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
