/**
 * From a host to a tcp connection: its name is resolved, and its addresses are tried in turn, the families by
 * turns (RFC 8305 §4), until one answers. Node's own way leaves a timer behind when it is stopped, and tries
 * one address only once a family or a local address is given.
 */

import type { LookupAddress } from 'node:dns';
import { isIP, type LookupFunction, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { ConnectionAttempt } from '../errors.js';
import type { SocketOptions } from './socket-options.js';

export interface DialEvents {
  /** The name has been resolved; not called for an address. */
  onLookup(): void;
  /** The socket is connected. Its errors are nobody's from now on: listen for them. */
  onConnect(socket: Socket): void;
  /** Nothing could be reached. */
  onFailed(error: Error): void;
}

/** Makes a socket, tcp or TLS, that starts to connect to an address. */
export type SocketMaker = (address: TcpNetConnectOpts) => Socket;

interface Address {
  address: string;
  family: 4 | 6;
}

const ATTEMPT_TIMEOUT = 1_000;

/** Loaded when first needed: addresses do without. */
let dns: typeof import('node:dns') | undefined;

export class Dial {
  readonly attempts: ConnectionAttempt[] = [];
  readonly #host: string;
  readonly #port: number;
  readonly #options: SocketOptions;
  readonly #makeSocket: SocketMaker;
  readonly #events: DialEvents;
  #untried: Address[] = [];
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(
    target: { host: string; port: number },
    options: SocketOptions,
    makeSocket: SocketMaker,
    events: DialEvents,
  ) {
    this.#host = target.host;
    this.#port = target.port;
    this.#options = options;
    this.#makeSocket = makeSocket;
    this.#events = events;
  }

  /** Throws when the options are such that no socket can be made. */
  start(): void {
    const family = isIP(this.#host);
    if (family === 0) {
      void this.#resolve();
      return;
    }
    this.#untried.push({ address: this.#host, family: family as 4 | 6 });
    this.#tryNext();
  }

  /** Gives up, without an event. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
  }

  async #resolve(): Promise<void> {
    const { localAddress, lookup } = this.#options;
    const family = this.#options.family ?? isIP(localAddress ?? '');
    try {
      dns ??= await import('node:dns');
      if (this.#stopped) return;
      const resolveWith: LookupFunction = lookup ?? (dns.lookup as LookupFunction);
      // A family this machine has no address of is not worth an attempt; one that was asked for is.
      const hints = family === 0 ? dns.ADDRCONFIG : 0;
      resolveWith(this.#host, { all: true, family, hints }, (error, found, foundFamily) => {
        if (this.#stopped || this.attempts.length > 0) return;
        if (error) this.#fail(error);
        else this.#resolved(usable(found, foundFamily, family));
      });
    } catch (thrown) {
      this.#fail(thrown as Error);
    }
  }

  #resolved(addresses: Address[]): void {
    if (addresses.length === 0) {
      this.#fail(new Error(`no usable address was found for ${this.#host}`));
      return;
    }
    this.#events.onLookup();
    this.#untried = byTurns(addresses);
    try {
      this.#tryNext();
    } catch (thrown) {
      this.#fail(thrown as Error);
    }
  }

  #tryNext(): void {
    const { address, family } = this.#untried.shift()!;
    const attempt: ConnectionAttempt = { address, port: this.#port, family };
    this.attempts.push(attempt);
    const socket = this.#makeSocket({
      host: address,
      port: this.#port,
      localAddress: this.#options.localAddress,
    });
    this.#socket = socket;

    const onError = (error: Error): void => {
      attempt.error ??= error;
      // Of an attempt that was given up, or of a socket that was stopped.
      if (this.#stopped || socket !== this.#socket) return;
      clearTimeout(this.#timer);
      socket.destroy();
      if (this.#untried.length > 0) this.#tryNext();
      else this.#fail(failureOf(this.attempts));
    };
    socket.on('error', onError);
    socket.once('connect', () => {
      if (this.#stopped || socket !== this.#socket) return;
      clearTimeout(this.#timer);
      socket.off('error', onError);
      this.#events.onConnect(socket);
    });
    // The last address has all the time that is left.
    if (this.#untried.length > 0) {
      const ms = this.#options.connectionAttemptTimeout ?? ATTEMPT_TIMEOUT;
      this.#timer = setTimeout(() => onError(noAnswer(attempt, ms)), ms);
    }
  }

  #fail(error: Error): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#events.onFailed(error);
  }
}

/** What a `lookup` found, in the form for `all: true` or not: those of the user's own give either. */
function usable(found: string | LookupAddress[], foundFamily: number | undefined, wanted: number): Address[] {
  const all = typeof found === 'string' ? [{ address: found, family: foundFamily }] : found;
  const addresses = new Map<string, Address>();
  for (const { address } of Array.isArray(all) ? all : []) {
    const family = isIP(address);
    if (family !== 0 && (wanted === 0 || wanted === family))
      addresses.set(address, { address, family: family as 4 | 6 });
  }
  return [...addresses.values()];
}

/** RFC 8305 §4: the order of the resolver, with the families by turns, so that one broken family costs one wait. */
function byTurns(addresses: Address[]): Address[] {
  const first = addresses.filter(({ family }) => family === addresses[0].family);
  const second = addresses.filter(({ family }) => family !== addresses[0].family);
  const order: Address[] = [];
  for (let i = 0; i < Math.max(first.length, second.length); i++) {
    order.push(...first.slice(i, i + 1), ...second.slice(i, i + 1));
  }
  return order;
}

function noAnswer({ address, port }: ConnectionAttempt, ms: number): Error {
  return Object.assign(new Error(`connect ETIMEDOUT ${address}:${port}: no answer within ${ms} ms`), {
    code: 'ETIMEDOUT',
    syscall: 'connect',
    address,
    port,
  });
}

/** One address: its error. Several: all of them, with the code of the first, as Node has it. */
function failureOf(attempts: readonly ConnectionAttempt[]): Error {
  const errors = attempts.map(({ error }) => error!);
  if (errors.length === 1) return errors[0];
  const { code } = errors[0] as NodeJS.ErrnoException;
  return Object.assign(new AggregateError(errors), { code });
}
