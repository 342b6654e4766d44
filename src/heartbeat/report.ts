/** What a heartbeat tells of itself. */

import type { EventLoopLag } from './loop-lag.js';
import type { RttSummary } from './rtt.js';

/** Pings of a heartbeat and the Pongs that came, whoever asked for them. */
export interface HeartbeatStats {
  /** Pings, or requests of the application's, that the heartbeat has sent. */
  readonly heartbeatsSent: number;
  /** Pongs that answer a Ping before the latest; that answer one again; that answer none while one waits; and while none does. */
  readonly pongsLate: number;
  readonly pongsDuplicate: number;
  readonly pongsForeign: number;
  readonly pongsUnsolicited: number;
  /** `performance.now()` of the last Pong, or reply, that answered; 0 when none has. */
  readonly lastPongAt: number;
  /** Undefined until there is one. */
  readonly rtt: RttSummary | undefined;
  /** Undefined where no connection of this thread has had a heartbeat. */
  readonly eventLoopLag: EventLoopLag | undefined;
}

/** Why a link has fallen silent, as far as it is known. */
export type SilenceCause =
  /** The server's kernel does not acknowledge what we send. */
  | 'link-dead'
  /** Its kernel does; its program says nothing. */
  | 'server-silent'
  /** The same, and it has not answered a single Ping on this connection: it may ignore them. */
  | 'never-answered'
  /** The system does not tell, and our own event loop stood still for so long that it may be the reason. */
  | 'own-stall'
  | 'unknown';
