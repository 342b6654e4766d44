/** What a workload is to the harness. Every file of `bench/workloads/` exports one as `workload`. */
import type { Peer } from '../server/peer.js';
import type { Contender, Link, Mailbox } from './contender.js';
import type { Inbox } from './inbox.js';

/** `resumed` is TLS to a server that resumes sessions, which the one of `tls` refuses; `none` needs no server. */
export const transports = ['tcp', 'tls', 'resumed', 'none'] as const;
export type Transport = (typeof transports)[number];

/**
 * Messages per second; the time of each message or round trip; time and CPU time of something that is done now and
 * then; or the time of each message and the memory of many connections.
 */
export type Metric = 'rate' | 'latency' | 'cost' | 'fleet';

export interface Workload {
  readonly name: string;
  /** What is compared. */
  readonly metric: Metric;
  /** tcp and tls where nothing is said. */
  readonly transports?: readonly Transport[];
  /**
   * Who takes part in the short run: everybody; heartwire, ws and the floor; or those that can inflate. In the full run
   * everybody does who can.
   */
  readonly cast: 'everybody' | 'usual' | 'inflating';
  /** permessage-deflate is offered and accepted. */
  readonly compressed?: true;
  /** How many rounds are measured, and how long each should take or how many steps it has. */
  readonly rounds: number;
  readonly round: { readonly milliseconds: number } | { readonly steps: number };
  /** Where the harness's own idea is not enough, or too much. */
  readonly warmUp?: WarmUp;
  readonly cases: readonly Case[];
}

/** For so many messages and so long, but three times as long at most. */
export interface WarmUp {
  readonly messages: number;
  readonly milliseconds: number;
}

/** One row group of the results: the same server and the same wire bytes for every contender. */
export interface Case {
  readonly label: string;
  /** Left to `bench:full` (over TLS, or altogether), unless it is asked for by name. */
  readonly long?: true | 'tls';
  /** Of a message, where there are any. */
  readonly byteLength?: number;
  /** A round is a number of steps, of so many messages each. */
  readonly messagesPerStep: number;
  /** The server's part, once per connection, after the opening handshake. */
  serve(peer: Peer): void;
  /** The client's part, once per contender. */
  play(stage: Stage): Player | Promise<Player>;
}

/** What a case plays with. */
export interface Stage {
  readonly contender: Contender;
  /** Where the messages of its connections arrive, unless the case has something else to do with them. */
  readonly inbox: Inbox;
  /** Opens a connection to the case's part of the server. */
  open(inbox?: Mailbox): Promise<Link>;
}

export interface Player {
  /** Closed when the case is over. */
  readonly link?: { close(): Promise<unknown> };
  /** Does `steps` steps and resolves when the last message is checked; fills `latencies` (ms) unless the metric is a rate. */
  round(steps: number, latencies?: Float64Array): Promise<void>;
  /** CPU time of the last round in µs, where the round is not played in this process. */
  elsewhere?(): { measured: number; altogether: number };
}
