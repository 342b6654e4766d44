/**
 * The negotiation of permessage-deflate (RFC 7692 §7.1): what is offered, and what the server's answer agrees on.
 * An answer that is not legal for the offer fails the handshake: what follows it could not be understood.
 */

import { type FailedResponse, HandshakeError, UsageError } from '../errors.js';
import type { Extension, ExtensionOffer, ExtensionParameter } from './extensions.js';
import { quoted } from './http-field.js';

export interface PerMessageDeflateOptions {
  /** Ask the server to compress each message without reference to earlier ones. It must agree, or decline. Default false. */
  serverNoContextTakeover?: boolean;
  /** Compress each message we send without reference to earlier ones, whatever the server says. Default false. */
  clientNoContextTakeover?: boolean;
  /** Ask the server to look back 2^n bytes at most, n from 8 to 15. It must agree, or decline. Default: nothing is asked. */
  serverMaxWindowBits?: number;
  /**
   * Let the server limit how far back our compression looks (true), or look back 2^n bytes at most, n from 8 to 15,
   * whatever it says. Default false: 2^15, and an answer that limits it is illegal. Some exchanges misbehave when it is
   * offered.
   */
  clientMaxWindowBits?: boolean | number;
  /** Messages shorter than this, in bytes, are sent uncompressed unless `send` is asked otherwise. Default 1_024. */
  threshold?: number;
}

/** What both sides do (§7.1). */
export interface DeflateAgreement {
  readonly serverNoContextTakeover: boolean;
  readonly clientNoContextTakeover: boolean;
  /** 8 to 15 */
  readonly serverMaxWindowBits: number;
  readonly clientMaxWindowBits: number;
}

const NAME = 'permessage-deflate';
const SERVER_NO_TAKEOVER = 'server_no_context_takeover';
const CLIENT_NO_TAKEOVER = 'client_no_context_takeover';
const SERVER_BITS = 'server_max_window_bits';
const CLIENT_BITS = 'client_max_window_bits';

const LEAST_BITS = 8;
const MOST_BITS = 15;

/**
 * What is wrong with the options, nobody finds out later.
 * @throws UsageError `ERR_INVALID_OPTION`
 */
export function checkDeflateOptions(given: unknown): PerMessageDeflateOptions | undefined {
  if (given === undefined || given === false) return undefined;
  if (given === true) return {};
  if (typeof given !== 'object' || given === null)
    refuse('perMessageDeflate', 'a boolean or an object', given);
  const options = given as PerMessageDeflateOptions;
  const { serverMaxWindowBits, clientMaxWindowBits, threshold } = options;
  for (const name of ['serverNoContextTakeover', 'clientNoContextTakeover'] as const) {
    const value: unknown = options[name];
    if (value !== undefined && typeof value !== 'boolean')
      refuse(`perMessageDeflate.${name}`, 'a boolean', value);
  }
  const bits = 'an integer from 8 to 15';
  if (serverMaxWindowBits !== undefined && !isWindowBits(serverMaxWindowBits))
    refuse('perMessageDeflate.serverMaxWindowBits', bits, serverMaxWindowBits);
  if (
    clientMaxWindowBits !== undefined &&
    typeof clientMaxWindowBits !== 'boolean' &&
    !isWindowBits(clientMaxWindowBits)
  )
    refuse('perMessageDeflate.clientMaxWindowBits', `a boolean or ${bits}`, clientMaxWindowBits);
  if (threshold !== undefined && !(typeof threshold === 'number' && threshold >= 0))
    refuse('perMessageDeflate.threshold', 'a number of bytes', threshold);
  return { ...options };
}

function isWindowBits(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= LEAST_BITS && (value as number) <= MOST_BITS;
}

function refuse(name: string, what: string, given: unknown): never {
  throw new UsageError('ERR_INVALID_OPTION', `${name} must be ${what}, not ${String(given)}`);
}

/** §7.1: without options it is bare. Some servers misbehave when they are asked for more. */
export function deflateOffer(options: PerMessageDeflateOptions): ExtensionOffer {
  const { serverNoContextTakeover, clientNoContextTakeover, serverMaxWindowBits, clientMaxWindowBits } =
    options;
  const parameters: ExtensionParameter[] = [];
  if (serverNoContextTakeover) parameters.push({ name: SERVER_NO_TAKEOVER, value: true });
  if (clientNoContextTakeover) parameters.push({ name: CLIENT_NO_TAKEOVER, value: true });
  if (serverMaxWindowBits !== undefined)
    parameters.push({ name: SERVER_BITS, value: String(serverMaxWindowBits) });
  if (typeof clientMaxWindowBits === 'number')
    parameters.push({ name: CLIENT_BITS, value: String(clientMaxWindowBits) });
  else if (clientMaxWindowBits) parameters.push({ name: CLIENT_BITS, value: true });
  return { name: NAME, parameters };
}

/**
 * What the server's answer to `deflateOffer(options)` agrees on; undefined when it declined.
 * @throws HandshakeError `ERR_HANDSHAKE_EXTENSION` for an answer that is not legal; it carries `response`
 */
export function deflateAgreement(
  options: PerMessageDeflateOptions,
  accepted: readonly Extension[],
  response: FailedResponse,
): DeflateAgreement | undefined {
  const answer = accepted.find(({ name }) => name === NAME);
  if (answer === undefined) return undefined;
  const fail = (what: string, section: string): never => {
    throw new HandshakeError(
      'ERR_HANDSHAKE_EXTENSION',
      `The server's answer to permessage-deflate is wrong: ${what} (RFC 7692 §${section})`,
      response,
    );
  };

  const given = new Map<string, string | true>();
  for (const { name, value } of answer.parameters) {
    if (given.has(name)) fail(`${quoted(name)} comes twice`, '7.1');
    given.set(name, value);
    const section = SECTIONS.get(name) ?? fail(`there is no parameter ${quoted(name)}`, '7.1');
    const takesBits = name === SERVER_BITS || name === CLIENT_BITS;
    if (!takesBits && value !== true) fail(`${name} has a value, ${quoted(String(value))}`, section);
    // A decimal integer without leading zeros; a quoted one is the same (RFC 6455 §9.1).
    if (takesBits && !(value !== true && /^(?:[89]|1[0-5])$/.test(value))) {
      const shown = value === true ? 'has no value' : `is ${quoted(value)}`;
      fail(`${name} ${shown}; it must be an integer from 8 to 15 without leading zeros`, section);
    }
  }

  const { serverMaxWindowBits: asked, clientMaxWindowBits: ours } = options;
  const serverBits = given.has(SERVER_BITS) ? Number(given.get(SERVER_BITS)) : undefined;
  const clientBits = given.has(CLIENT_BITS) ? Number(given.get(CLIENT_BITS)) : undefined;
  if (options.serverNoContextTakeover && !given.has(SERVER_NO_TAKEOVER))
    fail(`${SERVER_NO_TAKEOVER} was offered, and the server accepted the offer without it`, '7.1.1.1');
  if (asked !== undefined && serverBits === undefined)
    fail(`${SERVER_BITS} was offered, and the server accepted the offer without it`, '7.1.2.1');
  if (asked !== undefined && serverBits !== undefined && serverBits > asked)
    fail(`${SERVER_BITS} is ${serverBits}, more than the ${asked} that was offered`, '7.1.2.1');
  if (clientBits !== undefined && (ours === undefined || ours === false))
    fail(`${CLIENT_BITS} was not offered`, '7.1.2.2');
  if (clientBits !== undefined && typeof ours === 'number' && clientBits > ours)
    fail(`${CLIENT_BITS} is ${clientBits}, more than the ${ours} that was offered`, '7.1.2.2');

  return {
    serverNoContextTakeover: given.has(SERVER_NO_TAKEOVER),
    // What we offered to do by ourselves holds whatever the server answers (§7.1.1.2, §7.1.2.2).
    clientNoContextTakeover: given.has(CLIENT_NO_TAKEOVER) || options.clientNoContextTakeover === true,
    serverMaxWindowBits: serverBits ?? MOST_BITS,
    clientMaxWindowBits: clientBits ?? (typeof ours === 'number' ? ours : MOST_BITS),
  };
}

const SECTIONS: ReadonlyMap<string, string> = new Map([
  [SERVER_NO_TAKEOVER, '7.1.1.1'],
  [CLIENT_NO_TAKEOVER, '7.1.1.2'],
  [SERVER_BITS, '7.1.2.1'],
  [CLIENT_BITS, '7.1.2.2'],
]);
