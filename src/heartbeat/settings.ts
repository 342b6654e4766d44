/** How a connection's heartbeat is to beat: what the application gives, checked, and what follows from it. */

import { UsageError } from '../errors.js';
import type { ApplicationHeartbeat } from './application-heartbeat.js';

export interface HeartbeatOptions {
  /**
   * `idle`: a Ping after `interval` ms without a byte from the server. `always`: a Ping every `interval` ms, so that
   * the round trip is known at any time. `listen`: nothing is sent; the server is expected to send something at least
   * every `timeout` ms. Default `idle`.
   */
  mode?: 'idle' | 'always' | 'listen';
  /** ms, at least 10. Default 15_000. */
  interval?: number;
  /**
   * ms, at least 10, that may pass after a Ping before a byte arrives, whatever it is. Or bounds: the timeout then
   * follows the measured round trip (SRTT + 4 × RTTVAR, RFC 6298 §2.3), and is `ceiling` until one has been measured.
   * Default 5_000.
   */
  timeout?: number | { floor: number; ceiling: number };
  /** ms for which reading may be paused, by whomever; then the connection fails with `ERR_MAX_PAUSE`. Default: for ever. */
  maxPause?: number;
  /** Messages instead of Ping frames, and answers to the server's: for servers that ignore Pings. */
  application?: ApplicationHeartbeat;
}

export interface HeartbeatSettings {
  readonly mode: 'idle' | 'always' | 'listen';
  readonly interval: number;
  /** The timeout is between these. */
  readonly floor: number;
  readonly ceiling: number;
  /** 0: no limit. */
  readonly maxPause: number;
  readonly application: ApplicationHeartbeat | undefined;
}

const LEAST = 10;
const MOST = 2 ** 31 - 1;

const DEFAULT: HeartbeatSettings = {
  mode: 'idle',
  interval: 15_000,
  floor: 5_000,
  ceiling: 5_000,
  maxPause: 0,
  application: undefined,
};

/**
 * Undefined: no heartbeat.
 * @throws UsageError `ERR_INVALID_OPTION`
 */
export function heartbeatSettings(
  options: false | HeartbeatOptions | undefined,
): HeartbeatSettings | undefined {
  if (options === undefined) return DEFAULT;
  if (options === false) return undefined;
  if (typeof options !== 'object' || options === null) refuse('', 'is false or an object', options);
  const { mode = 'idle', interval, timeout = DEFAULT.ceiling, maxPause, application } = options;
  if (mode !== 'idle' && mode !== 'always' && mode !== 'listen') {
    refuse('.mode', "is 'idle', 'always' or 'listen'", mode);
  }
  const bounds = typeof timeout === 'object' && timeout !== null;
  const settings = {
    mode,
    interval: milliseconds('.interval', interval ?? DEFAULT.interval),
    floor: milliseconds(bounds ? '.timeout.floor' : '.timeout', bounds ? timeout.floor : timeout),
    ceiling: milliseconds(bounds ? '.timeout.ceiling' : '.timeout', bounds ? timeout.ceiling : timeout),
    maxPause: maxPause === undefined ? 0 : milliseconds('.maxPause', maxPause),
    application,
  };
  if (settings.floor > settings.ceiling) refuse('.timeout.floor', 'is not above the ceiling', settings.floor);
  if (application !== undefined) checkApplication(application, mode);
  return settings;
}

function checkApplication(application: ApplicationHeartbeat, mode: string): void {
  if (typeof application !== 'object' || application === null)
    refuse('.application', 'is an object', application);
  const { request, isReply, isRequest, reply } = application;
  if ((isRequest === undefined) !== (reply === undefined)) {
    refuse(
      '.application',
      'has isRequest and reply together',
      isRequest === undefined ? 'reply' : 'isRequest',
    );
  }
  if (isReply !== undefined && request === undefined)
    refuse('.application', 'has isReply with request', 'none');
  if (mode === 'listen' && request !== undefined)
    refuse('.application.request', "is not for mode 'listen'", mode);
}

function milliseconds(name: string, given: unknown): number {
  if (typeof given === 'number' && given >= LEAST && given <= MOST) return given;
  return refuse(name, `is a number of ms from ${LEAST} to ${MOST}`, given);
}

function refuse(name: string, what: string, given: unknown): never {
  throw new UsageError('ERR_INVALID_OPTION', `heartbeat${name} ${what}, not ${String(given)}`);
}
