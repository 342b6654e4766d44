/** What a workload is to the harness. Every file of `bench/workloads/` exports one as `workload`. */
import type { Peer } from '../server/peer.js';
import type { Link } from './contender.js';
import type { Inbox } from './inbox.js';

export interface Workload {
  readonly name: string;
  /** What is compared: messages per second, or the time of each round trip. */
  readonly metric: 'rate' | 'latency';
  /** How many rounds are measured, and how long each should take. */
  readonly rounds: number;
  readonly milliseconds: number;
  readonly cases: readonly Case[];
}

/** One row group of the results: the same server and the same wire bytes for every contender. */
export interface Case {
  readonly label: string;
  readonly byteLength: number;
  /** A round is a number of steps, of so many messages each. */
  readonly messagesPerStep: number;
  /** The server's part, once per connection, after the opening handshake. */
  serve(peer: Peer): void;
  /** The client's part, once per connection. */
  play(link: Link, inbox: Inbox): Player;
}

export interface Player {
  /** Does `steps` steps and resolves when the last message is checked; fills `latencies` (ms) where they are the metric. */
  round(steps: number, latencies?: Float64Array): Promise<void>;
}
