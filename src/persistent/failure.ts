/**
 * What can end an attempt or a connection, sorted into kinds, and what each kind calls for. The figures are
 * defaults: the application's `retry` function has the last word.
 */

import { HandshakeError, HeartwireError, UsageError } from '../errors.js';
import type { CloseInfo } from '../report.js';

export type FailureKind =
  /** Nobody listens there: ECONNREFUSED. */
  | 'refused'
  /** The name was not resolved. */
  | 'dns'
  /** The TLS handshake failed, or the certificate is not trusted. */
  | 'tls'
  /** Any other way of not reaching the server, or of losing it before its answer. */
  | 'unreachable'
  /** `handshakeTimeout` ran out. */
  | 'timeout'
  /** 401, 403, or 407 of the proxy. */
  | 'unauthorized'
  /** 429 or 503: the server, or what stands before it, has had enough of us. */
  | 'throttled'
  /** Any other answer that is not the 101 it must be. */
  | 'handshake'
  /** Close code 1008, policy violation: rate limits, at venues. */
  | 'policy'
  /** Close code 1012, service restart. */
  | 'restart'
  /** Close code 1013, try again later. */
  | 'overload'
  /** The server closed with another code, 1000 and 1001 among them. */
  | 'closed'
  /** A heartbeat was not answered. */
  | 'heartbeat'
  /** TCP ended or was reset without a Close frame. */
  | 'lost'
  /** The server broke the protocol or exceeded a limit of ours. */
  | 'protocol'
  /** `authenticate` threw, or took too long. */
  | 'authentication'
  /** A subscription was not acknowledged, however often asked for. */
  | 'subscription'
  /** A subscription's data had stopped, and asking for it anew did not help. */
  | 'stale'
  /** A loop did not keep up, and its policy is to disconnect. */
  | 'slow-consumer'
  /** `reconnect()` was called. */
  | 'application'
  /** An option is wrong, or this process lacks something: trying again would change nothing. */
  | 'usage';

export interface Failure {
  readonly kind: FailureKind;
  /** The attempt that failed. */
  readonly epoch: number;
  readonly url: string;
  /** What was thrown, or ended the connection; undefined when it ended with a Close frame. */
  readonly error?: Error;
  /** How the connection ended, if there was one. */
  readonly close?: CloseInfo;
  /** ms that the server asks to be left alone for. */
  readonly retryAfter?: number;
  /** Attempts that have failed in a row, this one included; stability sets it back. */
  readonly attempts: number;
}

/** What happens next: the attempt after `delay` ms, to `url`, or nothing any more. */
export interface RetryDecision {
  /** False: the persistent connection closes for good, with the failure's error. */
  readonly retry: boolean;
  /** ms until the next attempt. The connection budget may add to it. */
  readonly delay: number;
  /** One of the URLs; by default the next of them. */
  readonly url: string;
  /** ms during which nobody in this process connects to the failed URL's host. */
  readonly holdOff: number;
}

interface Policy {
  /** The first of a row of failures is followed by an attempt at once. */
  readonly atOnce: boolean;
  /** ms that any attempt at the same host waits at least; the backoff comes on top. */
  readonly atLeast: number;
  /** The host is left alone by the whole process meanwhile. */
  readonly wholeHost?: true;
  readonly retry?: false;
  /** It says nothing against the URL: a connection that was ready goes back there first. */
  readonly stays?: true;
}

/** What a link does that was fine until now. */
const AT_ONCE: Policy = { atOnce: true, atLeast: 0 };
const AT_ONCE_THERE: Policy = { ...AT_ONCE, stays: true };
const AFTER_BACKOFF: Policy = { atOnce: false, atLeast: 0 };

export const POLICIES: Readonly<Record<FailureKind, Policy>> = {
  lost: AT_ONCE_THERE,
  closed: AT_ONCE_THERE,
  application: AT_ONCE_THERE,
  heartbeat: AT_ONCE,
  stale: AT_ONCE,
  'slow-consumer': AFTER_BACKOFF,
  refused: AT_ONCE,
  unreachable: AT_ONCE,
  timeout: AT_ONCE,
  protocol: AFTER_BACKOFF,
  handshake: AFTER_BACKOFF,
  authentication: AFTER_BACKOFF,
  subscription: AFTER_BACKOFF,
  // A resolver keeps its "no such name" for a while.
  dns: { atOnce: false, atLeast: 1_000 },
  tls: { atOnce: false, atLeast: 5_000 },
  // Credentials do not mend themselves, and venues ban who insists.
  unauthorized: { atOnce: false, atLeast: 60_000 },
  throttled: { atOnce: false, atLeast: 60_000, wholeHost: true },
  policy: { atOnce: false, atLeast: 10_000 },
  // The registry of close codes asks for 5 to 30 s after 1012 (IANA, WebSocket Close Code Number Registry).
  restart: { atOnce: false, atLeast: 5_000 },
  overload: { atOnce: false, atLeast: 30_000 },
  usage: { atOnce: false, atLeast: 0, retry: false },
};

/** What a decision depends on besides the failure. */
export interface Prospects {
  /** The URL whose turn it is, and how many there are. */
  readonly next: string;
  readonly urls: number;
  /** ms that the venue shuts out who has exceeded its limits, if it does not say for how long. */
  readonly penalty: number;
  /** The next wait; it is asked only when there is one. */
  backoff(): number;
}

/** The decision that the kind of failure calls for. */
export function decide(failure: Failure, { next, urls, penalty, backoff }: Prospects): RetryDecision {
  const { kind, attempts } = failure;
  const { atOnce, atLeast, wholeHost, retry = true } = POLICIES[kind];
  const asked = failure.retryAfter ?? (wholeHost ? Math.max(atLeast, penalty) : atLeast);
  const elsewhere = hostOf(next) !== hostOf(failure.url);
  // Every URL has its attempt at once; then each round of them waits longer.
  const wait = (atOnce && attempts === 1) || (elsewhere && attempts < urls) ? 0 : backoff();
  const delay = (elsewhere ? 0 : asked) + wait;
  return { retry, delay, url: next, holdOff: wholeHost ? asked : 0 };
}

export function hostOf(url: string): string {
  return new URL(url).host;
}

/** What kind of failure `connect()`'s rejection is. */
export function kindOfError(error: unknown): FailureKind {
  if (error instanceof HandshakeError) return kindOfHandshake(error);
  if (error instanceof UsageError) return 'usage';
  if (error instanceof HeartwireError) return error.code === 'ERR_WASM_MEMORY' ? 'usage' : kindOfLoss(error);
  return 'unreachable';
}

function kindOfHandshake({ code, statusCode, cause }: HandshakeError): FailureKind {
  switch (statusCode) {
    case 401:
    case 403:
    case 407:
      return 'unauthorized';
    case 429:
    case 503:
      return 'throttled';
  }
  switch (code) {
    case 'ERR_TLS':
    case 'ERR_TLS_CERTIFICATE':
      return 'tls';
    case 'ERR_HANDSHAKE_TIMEOUT':
      return 'timeout';
    case 'ERR_CONNECT':
    case 'ERR_PROXY':
    case 'ERR_HANDSHAKE_CLOSED':
      return kindOfCause(cause);
    default:
      return 'handshake';
  }
}

function kindOfCause(cause: unknown): FailureKind {
  const { code, syscall } = (cause ?? {}) as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED') return 'refused';
  if (syscall === 'getaddrinfo' || code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'dns';
  return 'unreachable';
}

/** What kind of failure the end of an open connection is. */
export function kindOfClose({ code, error }: CloseInfo): FailureKind {
  if (error !== undefined) return kindOfLoss(error);
  switch (code) {
    case 1008:
      return 'policy';
    case 1012:
      return 'restart';
    case 1013:
      return 'overload';
    default:
      return 'closed';
  }
}

function kindOfLoss({ code, name }: HeartwireError): FailureKind {
  if (/^ERR_(?:HEARTBEAT_TIMEOUT|PING_NEVER_ANSWERED)$/.test(code)) return 'heartbeat';
  return name === 'ProtocolError' ? 'protocol' : 'lost';
}
